"""Recipes that cannot be trained."""

from tests.malformed.case import Case, Content, case
from tests.malformed.world import RECIPE

TRAIN = "pretrain_rgcn.py --recipe bad.toml --out new"
RIVAL = "train_baseline.py --recipe bad.toml --out new"
HERE = "bad.toml: "
LOOKUP = 'name = "lookup"\ndim = 8'
UNIFORM = '[[sampler]]\nname = "uniform"\nk = 3\n'


def recipe(name: str, old: str, new: str, *words: str, command: str = TRAIN) -> Case:
    """The good recipe, with something else in one place."""
    assert old in RECIPE, old
    return case(name, command, *words, files={"bad.toml": RECIPE.replace(old, new, 1)})


def whole(name: str, content: Content, *words: str) -> Case:
    return case(name, TRAIN, "bad.toml", *words, files={"bad.toml": content})


def sampler(name: str, text: str, *words: str) -> Case:
    return recipe(name, UNIFORM, f"[[sampler]]\n{text}\n", *words)


def train(name: str, text: str, *words: str) -> Case:
    return recipe(name, "[train]\n", f"[train]\n{text}\n", *words)


def negative(name: str, text: str, *words: str, sampler: str = "") -> Case:
    text = RECIPE.replace('loss = "logistic"\n', text).replace(UNIFORM, sampler)
    return case(name, RIVAL, *words, files={"bad.toml": text})


def file(name: str, kind: str, option: str, content: Content, *words: str) -> Case:
    """A sampler that reads a file of its own."""
    text = RECIPE.replace(UNIFORM, f'[[sampler]]\nname = "{kind}"\n{option} = "own.tsv"\n')
    return case(
        name,
        TRAIN,
        f"sampler.0.{option}",
        "own.tsv",
        *words,
        files={"bad.toml": text, "own.tsv": content},
    )


CASES = [
    case(
        "no such recipe",
        "pretrain_rgcn.py --recipe umsl-distmult",
        "umsl-distmult.toml: no such",
        "known: ",
        "umls-distmult",
    ),
    case(
        "no such file",
        "pretrain_rgcn.py --recipe gone.toml",
        "gone.toml: no such recipe",
        "known: ",
        "own",
    ),
    case(
        "a folder for a recipe",
        "pretrain_rgcn.py --recipe bad.toml",
        "bad.toml: ",
        "directory",
        files={"bad.toml/x": ""},
    ),
    case("a path for a name", "pretrain_rgcn.py --recipe ../../etc/passwd", "passwd.toml: no such"),
    case("no name", "pretrain_rgcn.py --recipe ''", ".toml: no such recipe"),
    whole("empty recipe", b"", "data: missing"),
    whole("a key of two lines", '"a\\nb" = 5', "a\\nb: unknown option"),
    whole("a section of escapes", '["\\u001b[31m"]', "\\x1b[31m: unknown option"),
    whole("extending a large number", f"extends = 0x{'f' * 6000}", "extends: expected a whole"),
    whole("starting at a large number", f"start = 0x{'f' * 6000}", "start: expected a whole"),
    case(
        "starting at two lines",
        TRAIN,
        "runs/a\\nb/seed0: the run to start from is not there",
        files={"bad.toml": 'start = "a\\nb"'},
    ),
    recipe(
        "steps of a large number", "= 2\n", f"= 0x{'f' * 6000}\n", "train.steps: expected a whole"
    ),
    whole("no TOML", "data: triples\n", "not a TOML file", "line 1"),
    whole("a value left out", "data =\n", "not a TOML file", "line 1"),
    whole("a list without an end", 'data = "triples"\nsampler = [\n', "not a TOML file"),
    whole("a string without an end", 'data = "triples\n', "not a TOML file", "line 1"),
    whole("a comma for a point", RECIPE + "lr = 0,1\n", "not a TOML file", "line 20"),
    whole("an option twice", RECIPE + "steps = 5\n", "not a TOML file", "line"),
    whole("UTF-16", RECIPE.encode("utf-16"), "bad.toml:1: ", "is not UTF-8"),
    whole("NUL", b'data = "fa\0cts"', "not a TOML file", "line 1"),
    whole("JSON", '{"data": "triples"}', "not a TOML file", "line 1"),
    whole("brackets without end", "data = " + "[" * 9999, "not a TOML file", "deeply"),
    whole("a number without end", "seed = " + "1" * 9999, "not a TOML file", "digits"),
    recipe(
        "unknown section",
        "[train]",
        "[training]",
        HERE,
        "training: unknown option",
        "known: data",
        "did you mean train?",
    ),
    recipe(
        "unknown option",
        "steps = 2",
        "step = 2",
        HERE,
        "train.step: unknown option",
        "known: steps",
        "did you mean steps?",
    ),
    recipe("data missing", 'data = "triples"\n', "", HERE, "data: missing"),
    recipe("data of a number", '"triples"', "5", HERE, "data: expected a string, got 5"),
    recipe("data of a list", '"triples"', '["triples"]', HERE, "data: expected a string"),
    recipe("data empty", '"triples"', '""', "data", "''", "known: "),
    recipe("data of another name", '"triples"', '"factz"', "'factz'", "known: "),
    recipe("data with a NUL", '"triples"', '"fac\\u0000ts"', "neither a data set nor a folder"),
    recipe("encoder missing", "[encoder]\n" + LOOKUP, "", HERE, "encoder: missing"),
    recipe("decoder missing", '[decoder]\nname = "distmult"', "", HERE, "decoder: missing"),
    recipe(
        "decoder without a name",
        'name = "distmult"',
        "dropout = 0.1",
        HERE,
        "decoder.name: missing",
    ),
    recipe(
        "decoder of a list",
        '[decoder]\nname = "distmult"',
        "[[decoder]]\nname = 'distmult'",
        HERE,
        "decoder: expected a name or a section",
    ),
    recipe(
        "unknown encoder",
        '"lookup"',
        '"lokup"',
        "encoder.name: unknown name 'lokup'",
        "known: lookup, rgcn",
        "did you mean 'lookup'?",
    ),
    recipe(
        "unknown decoder",
        '"distmult"',
        '"dismult"',
        "decoder.name: unknown name 'dismult'",
        "known: complex, distmult",
        "did you mean 'distmult'?",
    ),
    recipe("empty decoder", '"distmult"', '""', "decoder.name: unknown name ''", "known: complex"),
    recipe(
        "decoder of a number", '"distmult"', "5", HERE, "decoder.name: expected a string, got 5"
    ),
    recipe(
        "unknown loss",
        '"logistic"',
        '"logstic"',
        "loss.name: unknown name 'logstic'",
        "known: logistic, margin",
    ),
    recipe("loss missing", 'loss = "logistic"\n', "", "loss: missing", "negative_sampling"),
    recipe(
        "unknown sampler",
        '"uniform"',
        '"unifrom"',
        "sampler.0.name: unknown name 'unifrom'",
        "did you mean 'uniform'?",
    ),
    recipe("sampler missing", UNIFORM, "", "sampler: missing", "negative_sampling"),
    recipe("sampler not in a list", "[[sampler]]", "[sampler]", HERE, "sampler: expected a list"),
    recipe(
        "unknown objective",
        'loss = "',
        'objective = "softmx"\nloss = "',
        "objective.name: unknown name 'softmx'",
        "known: negative_sampling",
    ),
    recipe(
        "a negative's objective",
        'loss = "',
        'objective = "softmax"\nloss = "',
        "objective.name: unknown name 'softmax'",
        "known: negative_sampling",
    ),
    recipe(
        "unknown regularizer",
        "[train]",
        '[[regularizer]]\nname = "n4"\n[train]',
        "regularizer.0.name: unknown name 'n4'",
        "known: lp, n3",
    ),
    recipe(
        "unknown optimizer",
        "[train]",
        '[train]\noptimizer = "sgd"',
        HERE,
        "train.optimizer: known: adam, adagrad, lazy_adam; got 'sgd'",
    ),
    recipe(
        "unknown schedule",
        "[train]",
        '[train]\nschedule = "cosin"',
        HERE,
        "train.schedule: known: constant, cosine",
        "'cosin'",
    ),
    recipe(
        "unknown normaliser",
        "[train]",
        '[graph]\nnorm = "edge"\n[train]',
        HERE,
        "graph.norm: known: relation, node, code; got 'edge'",
    ),
    recipe(
        "unknown balance",
        '"logistic"',
        '{ name = "logistic", balance = "mean" }',
        "loss.balance: known: terms, triples, sum; got 'mean'",
    ),
    recipe(
        "a choice of a list",
        '"logistic"',
        '{ name = "logistic", balance = ["sum"] }',
        "loss.balance: known: terms, triples, sum; got ['sum']",
    ),
    recipe(
        "option of another loss",
        '"logistic"',
        '{ name = "logistic", margin = 1.0 }',
        "loss.margin: unknown option of logistic",
        "known: balance, offset",
    ),
    recipe(
        "option of another encoder",
        "dim = 8",
        "dim = 8\nlayers = 2",
        "encoder.layers: unknown option of lookup",
        "known: dim",
    ),
    recipe(
        "option of another decoder",
        '"distmult"',
        '"distmult"\ngamma = 6.0',
        "decoder.gamma: unknown option of distmult",
        "known: reciprocal",
    ),
    recipe(
        "what the caller gives",
        '"distmult"',
        '"distmult"\nnum_relations = 3',
        "decoder.num_relations: unknown option of distmult",
    ),
    recipe("width missing", "dim = 8\n", "", "encoder.dim: missing", "lookup needs it"),
    recipe("width 0", "dim = 8", "dim = 0", "encoder.dim: expected at least 1, got 0"),
    recipe("width negative", "dim = 8", "dim = -8", "encoder.dim: expected at least 1, got -8"),
    recipe(
        "width of a half", "dim = 8", "dim = 1.5", "encoder.dim: expected a whole number", "1.5"
    ),
    recipe(
        "width of true", "dim = 8", "dim = true", "encoder.dim: expected a whole number", "True"
    ),
    recipe("width of text", "dim = 8", 'dim = "8"', "encoder.dim: expected a whole number", "'8'"),
    recipe(
        "width of a list", "dim = 8", "dim = [8]", "encoder.dim: expected a whole number", "[8]"
    ),
    recipe(
        "width of a date", "dim = 8", "dim = 2020-01-01", "encoder.dim: expected a whole number"
    ),
    recipe(
        "width beyond memory", "dim = 8", "dim = 9_000_000_000_000", "encoder: lookup cannot be"
    ),
    recipe("width beyond numbers", "dim = 8", f"dim = {10**30}", "encoder.dim: ", "below 2^63"),
    recipe("layers 0", LOOKUP, 'name = "rgcn"\ndim = 8\nlayers = 0', "encoder.layers: expected"),
    recipe(
        "bases negative", LOOKUP, 'name = "rgcn"\ndim = 8\nbases = -1', "encoder.bases: expected"
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
    recipe("dropout of all", "dim = 8", "dim = 8\ndropout = 1.0", "encoder.dropout: "),
    recipe("dropout NaN", "dim = 8", "dim = 8\ndropout = nan", "encoder.dropout: ", "finite"),
    recipe("dropout negative", '"distmult"', '"distmult"\ndropout = -0.1', "decoder.dropout: "),
    recipe("start of infinity", "dim = 8", "dim = 8\ninit = inf", "encoder.init: ", "finite"),
    recipe(
        "unknown start", "dim = 8", 'dim = 8\ninitial = "zeros"', "encoder.initial: known: normal"
    ),
    recipe(
        "a flag of text",
        '"distmult"',
        '"distmult"\nreciprocal = "yes"',
        "decoder.reciprocal: expected true or false, got 'yes'",
    ),
    recipe(
        "a flag of 1",
        '"distmult"',
        '"distmult"\nreciprocal = 1',
        "decoder.reciprocal: expected true or false, got 1",
    ),
    recipe(
        "an odd width for rotate",
        LOOKUP + '\n\n[decoder]\nname = "distmult"',
        'name = "lookup"\ndim = 9\n[decoder]\nname = "rotate"',
        "decoder.dim: rotate needs an even number, got 9",
    ),
    recipe(
        "an odd width for complex",
        LOOKUP + '\n\n[decoder]\nname = "distmult"',
        'name = "lookup"\ndim = 9\n[decoder]\nname = "complex"',
        "decoder.dim: complex needs an even number, got 9",
    ),
    recipe("a norm of 3 for transe", '"distmult"', '"transe"\np = 3', "decoder.p: expected 1 or 2"),
    recipe("gamma NaN", '"distmult"', '"rotate"\ngamma = nan', "decoder.gamma: ", "finite"),
    recipe(
        "a bound of 0", '"distmult"', '"distmult"\nbound = 0.0', "decoder.bound: must be above 0"
    ),
    recipe(
        "a relation's width 0",
        '"distmult"',
        '"tucker"\nrelation_dim = 0',
        "decoder.relation_dim: expected at least 1, got 0",
    ),
    recipe(
        "a margin below 0",
        '"logistic"',
        '{ name = "margin", margin = -1.0 }',
        "loss.margin: must not be negative",
    ),
    recipe(
        "a temperature of infinity",
        '"logistic"',
        '{ name = "self_adversarial", temperature = inf }',
        "loss.temperature: ",
        "finite",
    ),
    recipe(
        "messages for an encoder that is deaf",
        "[train]",
        '[graph]\nnorm = "node"\n[train]',
        "graph: has no effect on the encoder lookup",
        "leave it out",
    ),
    recipe(
        "a share of messages above 1",
        "[train]",
        "[graph]\nsample = 1.5\n[train]",
        HERE,
        "graph.sample: expected above 0 and at most 1, got 1.5",
    ),
    sampler("k 0", 'name = "uniform"\nk = 0', "sampler.0.k: must be at least 1, got 0"),
    sampler("k negative", 'name = "uniform"\nk = -1', "sampler.0.k: must be at least 1, got -1"),
    sampler(
        "k of text", 'name = "uniform"\nk = "three"', "sampler.0.k: expected a whole", "'three'"
    ),
    sampler("k of a float", 'name = "uniform"\nk = 3.0', "sampler.0.k: expected a whole", "3.0"),
    sampler("k NaN", 'name = "uniform"\nk = nan', "sampler.0.k: expected a whole", "nan"),
    sampler("unknown side", 'name = "uniform"\nside = "left"', "sampler.0.side: known: coin, head"),
    sampler("unknown filter", 'name = "uniform"\nfilter = "drop"', "sampler.0.filter: known: none"),
    sampler(
        "rounds 0", 'name = "uniform"\nrounds = 0\nfilter = "resample"', "sampler.0.rounds: must"
    ),
    sampler(
        "second of two",
        'name = "uniform"\n[[sampler]]\nname = "self_loop"\nk = 0',
        "sampler.1.k: must be at least 1, got 0",
    ),
    sampler(
        "unknown preset",
        'name = "dans"\npreset = "danz"',
        "sampler.0.preset: known: paper, dans; got 'danz'",
    ),
    sampler(
        "preset of a list",
        'name = "dans"\npreset = ["dans"]',
        "sampler.0.preset: known: paper, dans",
    ),
    sampler(
        "preset of another sampler",
        'name = "uniform"\npreset = "dans"',
        "sampler.0.preset: unknown option of uniform",
    ),
    sampler(
        "generated embeddings, filtered by id",
        'name = "dans"\nfilter = "mask"\ndecode = "vector"',
        "sampler.0.filter: ",
        "decode = nearest",
    ),
    sampler("r1 negative", 'name = "dans"\nr1 = -1.0', "sampler.0.r1: "),
    sampler(
        "exponent of infinity",
        'name = "popularity"\nexponent = inf',
        "sampler.0.exponent: ",
        "finite",
    ),
    sampler("one candidate", 'name = "kbgan"\ncandidates = 1', "sampler.0.candidates: must be at"),
    sampler(
        "an odd width for kbgan",
        'name = "kbgan"\ngenerator = "complex"\nwidth = 3',
        "sampler.0.width: complex needs an even number, got 3",
    ),
    sampler(
        "a temperature without effect",
        'name = "nscaching"\nupdate = "top"\ntemperature = 1.0',
        "sampler.0.temperature: update = top has none",
        "leave it out",
    ),
    sampler(
        "walks without effect",
        'name = "sans"\nneighbourhood = "hops"\nwalks_per_entity = 3',
        "sampler.0.walks_per_entity: ",
        "leave it out",
    ),
    sampler("alpha 0", 'name = "mcns"\nalpha = 0.0', "sampler.0.alpha: must be above 0"),
    sampler(
        "a share above 1", 'name = "smile"\nfrequent = 1.5', "sampler.0.frequent: must be between"
    ),
    sampler(
        "a mixture of two alike", 'name = "dans"\n[[sampler]]\nname = "dans"', "sampler: two of a"
    ),
    sampler(
        "no file to list from", 'name = "listed"', "sampler.0.file: missing", "listed needs it"
    ),
    sampler("file of a number", 'name = "listed"\nfile = 5', "sampler.0.file: expected a string"),
    sampler("no such list", 'name = "listed"\nfile = "gone.tsv"', "sampler.0.file: gone.tsv: "),
    sampler("a list with a NUL", 'name = "listed"\nfile = "go\\u0000ne"', "sampler.0.file: "),
    file("a list of four columns", "listed", "file", "e0\tr0\te1\ttail\n", "own.tsv:1: "),
    file("a list of a third side", "listed", "file", "e0\tr0\te4\tleft\te2\n", "side: known: head"),
    file(
        "a list of an unknown name",
        "listed",
        "file",
        "e0\tr0\te4\ttail\te99\n",
        "own.tsv:1: ",
        "e99",
    ),
    file("a list of no negatives", "listed", "file", b"", "own.tsv"),
    file(
        "a list in latin-1",
        "listed",
        "file",
        b"e0\tr0\te4\ttail\t\xe9\n",
        "own.tsv:1: ",
        "is not UTF-8",
    ),
    file("types of one column", "typed", "types", "e0\n", "own.tsv:1: "),
    file("types of an unknown name", "typed", "types", "e99\tthing\n", "own.tsv:1: ", "e99"),
    file("empty types", "typed", "types", b"", "own.tsv: the file holds no line"),
    file("concepts of three columns", "cake", "concepts", "e0\ta\tb\n", "own.tsv:1: "),
    file("empty concept", "cake", "concepts", "e0\t \n", "own.tsv:1: empty concept"),
    recipe(
        "steps negative", "steps = 2", "steps = -1", HERE, "train.steps: expected at least 0", "-1"
    ),
    recipe(
        "steps of a float", "steps = 2", "steps = 2.0", HERE, "train.steps: expected a whole", "2.0"
    ),
    recipe(
        "steps of text", "steps = 2", 'steps = "2"', HERE, "train.steps: expected a whole", "'2'"
    ),
    recipe("batch 0", "batch = 10", "batch = 0", HERE, "train.batch: expected at least 1, got 0"),
    recipe(
        "validation never",
        "validate_every = 2",
        "validate_every = 0",
        HERE,
        "train.validate_every: expected at least 1",
    ),
    recipe(
        "threads of text", "threads = 1", 'threads = "all"', HERE, "train.threads: expected a whole"
    ),
    recipe("threads without end", "threads = 1", f"threads = {2**40}", "train.threads: expected"),
    train("rate NaN", "lr = nan", HERE, "train.lr: must be a finite number, got nan"),
    train("rate of infinity", "lr = inf", HERE, "train.lr: must be a finite number, got inf"),
    train("rate negative", "lr = -0.1", HERE, "train.lr: expected at least 0, got -0.1"),
    train("rate of true", "lr = true", HERE, "train.lr: expected a number, got True"),
    train("rate beyond numbers", f"lr = {10**400}", HERE, "train.lr: ", "below 2^63"),
    train("seed negative", "seed = -1", HERE, "train.seed: expected at least 0, got -1"),
    train("seed beyond numbers", f"seed = {2**63}", HERE, "train.seed: expected", "below 2^63"),
    train("one beta", "betas = [0.9]", HERE, "train.betas: expected 2 values, got [0.9]"),
    train("betas of text", 'betas = "0.9"', HERE, "train.betas: expected a list"),
    train("beta 1", "betas = [0.9, 1.0]", HERE, "train.betas.1: expected at least 0 and below 1"),
    train("beta of text", 'betas = [0.9, "x"]', HERE, "train.betas.1: expected a number, got 'x'"),
    train("decay without plateau", "decay = 0.5", HERE, "train.decay: has no effect", "plateau"),
    train(
        "accumulator without adagrad", "accumulator = 0.1", HERE, "train.accumulator: has no effect"
    ),
    train("unknown device", 'device = "abacus"', "train.device: 'abacus'", "known: cpu"),
    train("device of a number", "device = 0", HERE, "train.device: expected a string, got 0"),
    train("empty device", 'device = ""', "train.device: ''", "known: cpu"),
    train("no labels to select by", 'select = "nll"', "train.select: nll: ", "labelled"),
    train("queries for negatives", 'batch_by = "queries"', "train.batch_by: queries"),
    train(
        "a section for an option", "seed = { x = 1 }", HERE, "train.seed: expected a whole number"
    ),
    case(
        "a phase nobody has",
        TRAIN,
        "phase.discriminator: ",
        files={"bad.toml": RECIPE + "[phase.discriminator]\nlr = 0.1\n"},
    ),
    whole(
        "an option nobody has, of a phase",
        RECIPE + "[phase.discriminator]\nrate = 0.1\n",
        "phase.discriminator.rate: unknown option",
        "known: lr, betas, batch, sweep",
    ),
    whole(
        "a sweep without parts",
        RECIPE + "[phase.discriminator]\nsweep = true\n",
        "phase.discriminator.sweep: needs a batch",
    ),
    whole(
        "train of a number",
        "train = 5\n" + RECIPE.split("[train]")[0],
        "train: expected a section, got 5",
    ),
    whole("extends itself", 'extends = "bad"\n', ": extends: bad extends this recipe"),
    case(
        "two that extend each other",
        TRAIN,
        "extends this recipe",
        files={"bad.toml": 'extends = "worse"\n', "worse.toml": 'extends = "bad"\n'},
    ),
    case(
        "extends nothing there",
        TRAIN,
        "ownn.toml: no such recipe; known: bad, labelled, own",
        files={"bad.toml": 'extends = "ownn"\n'},
    ),
    whole("extends a path", 'extends = "../own"\n', "extends: expected the name of a recipe"),
    whole("extends a file", 'extends = "own.toml"\n', "extends: expected the name of a recipe"),
    whole("extends a number", "extends = 5\n", "extends: expected the name of a recipe", "got 5"),
    whole("extends an empty name", 'extends = ""\n', "extends: expected the name of a recipe"),
    case(
        "extends a name with a NUL",
        TRAIN,
        "extends: expected the name of a recipe",
        files={"bad.toml": 'extends = "o\\u0000wn"\n'},
    ),
    whole(
        "start of a number",
        RECIPE.replace("data", "start = 5\ndata", 1),
        "init_from: expected a string",
    ),
    case(
        "start that is not there",
        TRAIN,
        "runs/pretrain/umls-distmult/seed0: ",
        "python scripts/pretrain_rgcn.py --recipe umls-distmult",
        files={"bad.toml": 'start = "pretrain/umls-distmult"\n' + RECIPE},
    ),
    whole(
        "start, and a seed of text",
        'start = "run"\n' + RECIPE + 'seed = "x"\n',
        "train.seed: expected a whole number, got 'x'",
    ),
    whole(
        "start with another width",
        'start = "run"\n' + RECIPE.replace("dim = 8", "dim = 4"),
        "encoder.dim: 4 here, 8 in the run it starts from",
        "leave it out",
    ),
    whole(
        "start with other data",
        'start = "run"\n' + RECIPE.replace('"triples"', '"labelled.toml"'),
        "data: 'labelled.toml' here, 'triples' in the run it starts from",
    ),
    whole(
        "start with another decoder",
        'start = "run"\n' + RECIPE.replace("distmult", "transe"),
        "decoder.name: 'transe' here, 'distmult' in the run",
    ),
    case(
        "start from itself",
        "pretrain_rgcn.py --recipe bad.toml --out run --resume",
        "run",
        files={"bad.toml": 'start = "run"\n' + RECIPE},
    ),
    case(
        "start into itself",
        "pretrain_rgcn.py --recipe bad.toml --out run",
        "already holds a run",
        "--out",
        files={"bad.toml": 'start = "run"\n' + RECIPE},
    ),
    negative(
        "a loss that softmax has no use for",
        'objective = "softmax"\nloss = "logistic"\n',
        "loss: has no place in the objective softmax",
        "leave it out",
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
        "negative heads",
        'loss = "logistic"\nobjective = { name = "sampled", heads = -1 }\n',
        "objective.heads: expected at least 0, got -1",
    ),
    negative(
        "no negatives at all",
        'loss = "logistic"\nobjective = { name = "sampled", heads = 0, tails = 0 }\n',
        "objective.heads: expected at least 1",
    ),
    negative(
        "a weight of text",
        'objective = { name = "stay_positive", weight = "big" }\n',
        "objective.weight: expected a number, got 'big'",
    ),
    negative(
        "a power below 1",
        'objective = { name = "stay_positive", power = 0 }\n',
        "objective.power: ",
    ),
]
