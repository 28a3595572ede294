"""Recipes that cannot be trained."""

from tests.malformed.case import Case, Content
from tests.malformed.world import RECIPE

TRAIN = "pretrain_rgcn.py --recipe bad.toml --out new"
BASELINE = "train_baseline.py --recipe bad.toml --out new"
HERE = "bad.toml: "
LOOKUP = 'name = "lookup"\ndim = 8'
UNIFORM = '[[sampler]]\nname = "uniform"\nk = 3\n'


def recipe(name: str, old: str, new: str, *words: str, command: str = TRAIN) -> Case:
    """The good recipe, with something else in one place."""
    assert old in RECIPE, old
    return Case(name, command, *words, files={"bad.toml": RECIPE.replace(old, new, 1)})


def whole(name: str, content: Content, *words: str) -> Case:
    return Case(name, TRAIN, "bad.toml", *words, files={"bad.toml": content})


def sampler(name: str, text: str, *words: str) -> Case:
    return recipe(name, UNIFORM, f"[[sampler]]\n{text}\n", *words)


def train(name: str, text: str, *words: str) -> Case:
    return recipe(name, "[train]\n", f"[train]\n{text}\n", *words)


def negative(name: str, text: str, *words: str, sampler: str = "") -> Case:
    text = RECIPE.replace('loss = "logistic"\n', text).replace(UNIFORM, sampler)
    return Case(name, BASELINE, *words, files={"bad.toml": text})


def file(name: str, kind: str, option: str, content: Content, *words: str) -> Case:
    """A sampler that reads a file of its own."""
    text = RECIPE.replace(UNIFORM, f'[[sampler]]\nname = "{kind}"\n{option} = "own.tsv"\n')
    return Case(
        name,
        TRAIN,
        f"sampler.0.{option}",
        "own.tsv",
        *words,
        files={"bad.toml": text, "own.tsv": content},
    )


CASES = [
    Case(
        "no such recipe",
        "pretrain_rgcn.py --recipe umsl-distmult",
        "umsl-distmult.toml: no such",
        "known: ",
        "umls-distmult",
    ),
    Case(
        "a folder for a recipe",
        "pretrain_rgcn.py --recipe bad.toml",
        "bad.toml: ",
        "directory",
        files={"bad.toml/x": ""},
    ),
    whole("empty recipe", b"", "data: missing"),
    whole("a key of two lines", '"a\\nb" = 5', "a\\nb: unknown option"),
    Case(
        "starting at two lines",
        TRAIN,
        "runs/a\\nb/seed0: the run to start from is not there",
        files={"bad.toml": 'init_from = "a\\nb"'},
    ),
    whole("an option twice", RECIPE + "steps = 5\n", "not a TOML file", "line"),
    recipe(
        "unknown option",
        "steps = 2",
        "step = 2",
        HERE,
        "train.step: unknown option",
        "known: steps",
        "did you mean train.steps?",
    ),
    recipe("data of another name", '"triples"', '"factz"', "'factz'", "known: "),
    recipe(
        "unknown decoder",
        '"distmult"',
        '"dismult"',
        "decoder.name: unknown name 'dismult'",
        "known: complex, distmult",
        "did you mean 'distmult'?",
    ),
    recipe("sampler missing", UNIFORM, "", "sampler: missing", "negative_sampling"),
    recipe(
        "a negative's objective",
        'loss = "',
        'objective = "softmax"\nloss = "',
        "objective.name: unknown name 'softmax'",
        "known: discounted, negative_sampling",
    ),
    recipe(
        "option of another loss",
        '"logistic"',
        '{ name = "logistic", margin = 1.0 }',
        "loss.margin: unknown option of logistic",
        "known: balance, offset",
    ),
    recipe("width missing", "dim = 8\n", "", "encoder.dim: missing", "lookup needs it"),
    recipe("width negative", "dim = 8", "dim = -8", "encoder.dim: expected at least 1, got -8"),
    recipe(
        "width beyond memory",
        "dim = 8",
        "dim = 9_000_000_000_000",
        "encoder.dim: expected at most 1048576",
    ),
    recipe(
        "blocks that do not divide",
        LOOKUP,
        'name = "rgcn"\ndim = 8\nblocks = 3',
        "encoder.blocks: expected a divisor of dim = 8, got 3",
    ),
    recipe(
        "bases and blocks",
        LOOKUP,
        'name = "rgcn"\ndim = 8\nbases = 2\nblocks = 2',
        "encoder.blocks: cannot be combined with bases",
    ),
    recipe(
        "an odd width for rotate",
        LOOKUP + '\n\n[decoder]\nname = "distmult"',
        'name = "lookup"\ndim = 9\n[decoder]\nname = "rotate"',
        "decoder.dim: rotate needs an even number, got 9",
    ),
    recipe("a norm of 3 for transe", '"distmult"', '"transe"\np = 3', "decoder.p: expected 1 or 2"),
    recipe(
        "messages for an encoder that is deaf",
        "[train]",
        '[graph]\nnorm = "node"\n[train]',
        "graph: has no effect on the encoder lookup",
        "leave it out",
    ),
    recipe(
        "a learning rate for layers that are not there",
        "[train]",
        "[train]\nlayer_lr = 0.1",
        "train.layer_lr: has no effect on an encoder without layers; leave it out",
    ),
    sampler("k 0", 'name = "uniform"\nk = 0', "sampler.0.k: expected at least 1, got 0"),
    sampler("unknown filter", 'name = "uniform"\nfilter = "drop"', "sampler.0.filter: known: none"),
    sampler(
        "second of two",
        'name = "uniform"\n[[sampler]]\nname = "self_loop"\nk = 0',
        "sampler.1.k: expected at least 1, got 0",
    ),
    sampler(
        "generated embeddings, filtered by id",
        'name = "dans"\nfilter = "mask"\ndecode = "vector"',
        "sampler.0.filter: ",
        "decode = nearest",
    ),
    sampler(
        "a temperature without effect",
        'name = "nscaching"\nupdate = "top"\ntemperature = 1.0',
        "sampler.0.temperature: update = top has none",
        "leave it out",
    ),
    sampler(
        "a mixture of two alike", 'name = "dans"\n[[sampler]]\nname = "dans"', "sampler: two of a"
    ),
    sampler("no such list", 'name = "listed"\nfile = "gone.tsv"', "sampler.0.file: gone.tsv: "),
    file("a list of a third side", "listed", "file", "e0\tr0\te4\tleft\te2\n", "side: known: head"),
    file("types of an unknown name", "typed", "types", "e99\tthing\n", "own.tsv:1: ", "e99"),
    file("empty concept", "cake", "concepts", "e0\t \n", "own.tsv:1: empty type"),
    train("rate beyond numbers", f"lr = {10**400}", HERE, "train.lr: ", "below 2^63"),
    train("no labels to select by", 'select = "nll"', "train.select: nll: ", "labelled"),
    train("queries for negatives", 'batch_by = "queries"', "train.batch_by: queries"),
    Case(
        "a phase nobody has",
        TRAIN,
        "phase.discriminator: ",
        files={"bad.toml": RECIPE + "[phase.discriminator]\nlr = 0.1\n"},
    ),
    Case(
        "extends nothing there",
        TRAIN,
        "ownn.toml: no such recipe; known: bad, labelled, own",
        files={"bad.toml": 'extends = "ownn"\n'},
    ),
    Case(
        "start that is not there",
        TRAIN,
        "runs/pretrain/umls-distmult/seed0: ",
        "dans pretrain umls-distmult",
        files={"bad.toml": 'init_from = "pretrain/umls-distmult"\n' + RECIPE},
    ),
    whole(
        "start with another width",
        'init_from = "run"\n' + RECIPE.replace("dim = 8", "dim = 4"),
        "encoder.dim: 4 here, 8 in the run it starts from",
        "leave it out",
    ),
    Case(
        "start from itself",
        "pretrain_rgcn.py --recipe bad.toml --out run --resume",
        "run",
        files={"bad.toml": 'init_from = "run"\n' + RECIPE},
    ),
    negative(
        "a sampler that softmax has no use for",
        'objective = "softmax"\n',
        "sampler: has no place in the objective softmax",
        sampler=UNIFORM,
    ),
    negative(
        "half a precision",
        'objective = { name = "softmax", precision = "half" }\n',
        "objective.precision: known: float32, bfloat16; got 'half'",
    ),
    negative(
        "no negatives at all",
        'loss = "logistic"\nobjective = { name = "sampled", heads = 0, tails = 0 }\n',
        "objective.heads: expected at least 1",
    ),
]
