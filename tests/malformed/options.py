"""Options of scripts that cannot be."""

from tests.malformed.case import Case

OWN = "pretrain_rgcn.py --recipe own.toml"

CASES: list[Case] = [
    Case(
        "budget of text",
        "evaluate.py run --memory-budget lots",
        "memory_budget: expected a size",
        "200MB",
    ),
    Case("a run of a line end", "evaluate.py 'no\nwhere'", "no\\nwhere/config.json: not there"),
    Case(
        "a run to start from that is not there",
        "train_dans.py",
        "dans pretrain umls-distmult --seed 0",
    ),
    Case(
        "a run to inspect that is none", "inspect_sampler.py nowhere", "nowhere is not the folder"
    ),
    Case("seed of text", f"{OWN} --out new --seed x", "--seed: expected a whole number, got 'x'"),
    Case(
        "seed beyond numbers",
        f"{OWN} --out new --seed {2**64}",
        "--seed: expected a whole number below 2^63",
    ),
    Case("unknown option", f"{OWN} --nosuch", "unrecognized arguments: --nosuch", "--help"),
    Case("too few words", "evaluate.py", "RUN_DIR", "required", "--help"),
    Case(
        "unknown split",
        "evaluate.py run --split dev",
        "--split: ",
        "'dev'",
        "train",
        "valid",
        "test",
    ),
    Case("unknown device", f"{OWN} --out new --device gpu", "train.device: 'gpu'", "known: cpu"),
    Case(
        "unknown tracker",
        f"{OWN} --out new --logger mlfow",
        "logger: unknown name 'mlfow'",
        "known: ",
    ),
    Case("folder that holds a run", f"{OWN} --out run", "run: already holds a run", "--resume"),
    Case(
        "another run in the folder",
        f"{OWN} --out run --resume --set train.lr=0.5",
        "run/config.json",
        "train.lr: 0.001 then, 0.5 now",
    ),
    Case(
        "fewer steps than there were",
        f"{OWN} --out run --resume --set train.steps=1",
        "train.steps: run is at step 2 already",
    ),
    Case(
        "no seeds",
        "reproduce.py pretrain --match umls-distmult --seeds 0",
        "--seeds: ",
        "at least 1",
    ),
    Case(
        "unknown kind or table",
        "reproduce.py negatives",
        "'negatives': no such table or kind",
        "baselines",
        "dans",
        "pretrain",
    ),
    Case("no evaluated run", "tabulate.py triples", "triples: no evaluated run", "dans evaluate"),
    Case(
        "unknown reference",
        "tabulate.py runs --reference tea",
        "--reference tea",
        "known: toy",
        change=lambda world: evaluated(world),
    ),
    Case(
        "unknown metric",
        "tabulate.py runs --metrics mrrr",
        "--metrics mrrr: known: ",
        "mrr",
        change=lambda world: evaluated(world),
    ),
    Case(
        "no file to write into",
        "tabulate.py runs --write gone.md",
        "gone.md",
        change=lambda world: evaluated(world),
    ),
    Case("neither run nor triples", "inspect_sampler.py --sampler uniform", "--dataset NAME"),
    Case(
        "no sampler",
        "inspect_sampler.py --dataset triples",
        "--sampler: expected at least one",
        "uniform",
    ),
    Case(
        "unknown sampler",
        "inspect_sampler.py --dataset triples --sampler unifrom",
        "'unifrom'",
        "did you mean 'uniform'?",
    ),
    Case(
        "sampler with half an option",
        "inspect_sampler.py --dataset triples --sampler uniform:k",
        "uniform:k: expected NAME or NAME:OPTION=VALUE",
    ),
    Case(
        "sampler that needs a model",
        "inspect_sampler.py --dataset triples --sampler dans",
        "looks at the model",
        "uniform",
    ),
    Case(
        "passes without a model",
        "inspect_sampler.py --dataset triples --sampler uniform --warm-up 2",
        "--warm-up",
        "no effect with --dataset",
    ),
    Case("a relation that is none", "plot_diversity.py run --relation r9", "--relation: ", "'r9'"),
    Case(
        "a picture of another kind",
        "plot_calibration.py evaluated --out x.pdf",
        "--out: ",
        ".png",
        "x.pdf",
    ),
    Case(
        "a run twice",
        "plot_calibration.py evaluated evaluated/ --out x.png",
        "RUN: expected each",
    ),
    Case("a run without labels", "plot_calibration.py run --out x.png", "labelled true"),
    Case(
        "rows of no file",
        "plot_theory.py --out new --data triples --benchmark gone.json",
        "gone.json",
    ),
    Case(
        "a folder in DANS_DATASETS that is none",
        "fetch_datasets.py cards/toy.toml",
        "DANS_DATASETS: data: no such folder",
        change=lambda world: (world / "data").rename(world / "x"),
    ),
]


def evaluated(world) -> None:
    (world / "runs/toy").mkdir(parents=True)
    (world / "evaluated").rename(world / "runs/toy/seed0")
