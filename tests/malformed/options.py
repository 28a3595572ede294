"""Options of scripts that cannot be."""

from tests.malformed.case import Case, case

OWN = "pretrain_rgcn.py --recipe own.toml"

CASES: list[Case] = [
    case(
        "budget of text",
        "evaluate.py run --memory-budget lots",
        "memory_budget: expected a size",
        "200MB",
    ),
    case(
        "budget of nothing",
        "evaluate.py run --memory-budget 0",
        "memory_budget: expected from 1 byte",
    ),
    case(
        "budget below nothing",
        f"{OWN} --out new --set train.memory_budget=-1",
        "train.memory_budget: expected a size such as 200MB",
    ),
    case("a run of a line end", "evaluate.py 'no\nwhere'", "no\\nwhere/config.json: not there"),
    case(
        "a recipe of a line end", "pretrain_rgcn.py --recipe 'a\nb'", "a\\nb.toml: no such recipe"
    ),
    case("a folder of a line end", f"{OWN} --out 'own.toml/\n'", "own.toml/\\n"),
    case(
        "a run to start from that is not there",
        "train_dans.py",
        "python scripts/pretrain_rgcn.py --recipe umls-distmult --seed 0",
    ),
    case(
        "a run to inspect that is none", "inspect_sampler.py nowhere", "nowhere is not the folder"
    ),
    case("seed of text", f"{OWN} --out new --seed x", "--seed: expected a whole number, got 'x'"),
    case(
        "seed of a float", f"{OWN} --out new --seed 1.5", "--seed: expected a whole number", "1.5"
    ),
    case("seed negative", f"{OWN} --out new --seed -1", "train.seed: expected at least 0, got -1"),
    case(
        "seed beyond numbers",
        f"{OWN} --out new --seed {2**64}",
        "--seed: expected a whole number below 2^63",
    ),
    case("unknown option", f"{OWN} --steps 5", "unrecognized arguments: --steps 5", "--help"),
    case("option without a value", f"{OWN} --seed", "--seed: expected one argument", "--help"),
    case(
        "too many words", "evaluate.py run evaluated", "unrecognized arguments: evaluated", "--help"
    ),
    case("too few words", "evaluate.py", "RUN_DIR", "required", "--help"),
    case(
        "unknown split",
        "evaluate.py run --split dev",
        "--split: ",
        "'dev'",
        "train",
        "valid",
        "test",
    ),
    case(
        "unknown model", "evaluate.py run --model newest", "--model: ", "'newest'", "best", "last"
    ),
    case(
        "unknown way with the unseen", "evaluate.py run --unseen skip", "--unseen: ", "rank", "drop"
    ),
    case("unknown device", f"{OWN} --out new --device gpu", "train.device: 'gpu'", "known: cpu"),
    case(
        "device of another kind", f"{OWN} --out new --device cpu:x", "train.device: 'cpu:x'", "cpu"
    ),
    case(
        "device without data",
        f"{OWN} --out new --device meta",
        "train.device: 'meta'",
        "known: cpu",
    ),
    case(
        "unknown tracker",
        f"{OWN} --out new --track mlfow",
        "track: unknown name 'mlfow'",
        "known: ",
    ),
    case("folder of a run that is a file", f"{OWN} --out own.toml", "own.toml"),
    case("folder of a run below a file", f"{OWN} --out own.toml/new", "own.toml"),
    case("folder that holds a run", f"{OWN} --out run", "run: already holds a run", "--resume"),
    case(
        "another run in the folder",
        f"{OWN} --out run --resume --set train.lr=0.5",
        "run/config.json",
        "train.lr: 0.001 then, 0.5 now",
    ),
    case(
        "fewer steps than there were",
        f"{OWN} --out run --resume --set train.steps=1",
        "train.steps: run is at step 2 already",
    ),
    case(
        "no seeds",
        "reproduce.py pretrain --match umls-distmult --seeds 0",
        "--seeds: ",
        "at least 1",
    ),
    case(
        "fewer than no seeds", "reproduce.py pretrain --match umls-distmult --seeds -1", "--seeds: "
    ),
    case(
        "seeds of text", "reproduce.py pretrain --seeds all", "--seeds: expected a whole", "'all'"
    ),
    case(
        "unknown kind",
        "reproduce.py negatives",
        "kind: ",
        "'negatives'",
        "baselines",
        "dans",
        "pretrain",
    ),
    case(
        "recipes of no name",
        "reproduce.py pretrain --match fb15k",
        "--match: ",
        "'fb15k'",
        "umls-distmult",
    ),
    case("no evaluated run", "tabulate.py triples", "triples: no evaluated run", "evaluate.py"),
    case(
        "tabulated runs of no name",
        "tabulate.py runs --match wn",
        "--match: ",
        "'wn'",
        "toy",
        change=lambda world: judged(world),
    ),
    case(
        "unknown reference",
        "tabulate.py runs --reference tea",
        "--reference tea",
        "known: toy",
        change=lambda world: judged(world),
    ),
    case(
        "unknown metric",
        "tabulate.py runs --metrics mrrr",
        "--metrics mrrr: known: ",
        "mrr",
        change=lambda world: judged(world),
    ),
    case(
        "unknown marks",
        "tabulate.py runs --write own.toml",
        "own.toml",
        "results",
        change=lambda world: judged(world),
    ),
    case(
        "no file to write into",
        "tabulate.py runs --write gone.md",
        "gone.md",
        change=lambda world: judged(world),
    ),
    case("neither run nor triples", "inspect_sampler.py --sampler uniform", "--dataset NAME"),
    case(
        "run and triples", "inspect_sampler.py run --dataset triples --sampler uniform", "not both"
    ),
    case(
        "no sampler",
        "inspect_sampler.py --dataset triples",
        "--sampler: expected at least one",
        "uniform",
    ),
    case(
        "unknown sampler",
        "inspect_sampler.py --dataset triples --sampler unifrom",
        "'unifrom'",
        "did you mean 'uniform'?",
    ),
    case(
        "empty sampler", "inspect_sampler.py --dataset triples --sampler ''", "--sampler", "known: "
    ),
    case(
        "sampler with half an option",
        "inspect_sampler.py --dataset triples --sampler uniform:k",
        "uniform:k: expected NAME or NAME:OPTION=VALUE",
    ),
    case(
        "sampler with text for a number",
        "inspect_sampler.py --dataset triples --sampler uniform:k=x",
        "--sampler uniform:k=x.k: expected a whole number",
        "'x'",
    ),
    case(
        "sampler that needs a model",
        "inspect_sampler.py --dataset triples --sampler dans",
        "looks at the model",
        "uniform",
    ),
    case(
        "no triples to draw for",
        "inspect_sampler.py --dataset triples --sampler uniform --triples 0",
        "--triples: ",
        "at least 1",
    ),
    case(
        "fewer than no triples",
        "inspect_sampler.py --dataset triples --sampler uniform --triples -3",
        "--triples: ",
        "at least 1",
    ),
    case(
        "passes without a model",
        "inspect_sampler.py --dataset triples --sampler uniform --warm-up 2",
        "--warm-up",
        "no effect with --dataset",
    ),
    case("passes negative", "inspect_sampler.py run --sampler kept --warm-up -1", "-1"),
    case("a relation that is none", "plot_diversity.py run --relation r9", "--relation: ", "'r9'"),
    case("an empty relation", "plot_diversity.py run --relation ''", "--relation: ", "''"),
    case(
        "a picture of another kind",
        "plot_calibration.py evaluated --out x.pdf",
        "--out: ",
        ".png",
        "x.pdf",
    ),
    case("no bins", "plot_calibration.py evaluated --out x.png --bins 0", "--bins: ", "at least 1"),
    case(
        "a run twice",
        "plot_calibration.py evaluated evaluated/ --out x.png",
        "RUN_DIR: expected each",
    ),
    case("a run without labels", "plot_calibration.py run --out x.png", "labelled true"),
    case(
        "rows of no file",
        "plot_theory.py --out new --data triples --benchmark gone.json",
        "gone.json",
    ),
    case("theory of no data", "plot_theory.py --out new --data factz", "'factz'", "known: "),
    case("no family", "benchmark.py --only speed", "--only: ", "'speed'", "encoder"),
    case("no threads", "benchmark.py --only rows --threads 0", "--threads: ", "at least 1"),
    case(
        "a folder in DANS_DATASETS that is none",
        "fetch_datasets.py cards/toy.toml",
        "DANS_DATASETS: data: no such folder",
        change=lambda world: (world / "data").rename(world / "x"),
    ),
    case(
        "a file in DANS_DATASETS",
        "fetch_datasets.py cards/toy.toml",
        "DANS_DATASETS: data: ",
        change=lambda world: filed(world),
    ),
]


def judged(world) -> None:
    (world / "runs/toy").mkdir(parents=True)
    (world / "evaluated").rename(world / "runs/toy/seed0")


def filed(world) -> None:
    (world / "data").rename(world / "x")
    (world / "data").write_text("no folder")
