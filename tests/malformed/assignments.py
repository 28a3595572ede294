"""What ``--set`` cannot set."""

from tests.malformed.case import Case, case


def sets(name: str, given: str, *words: str, command: str = "") -> Case:
    script = command or "pretrain_rgcn.py --recipe own.toml --out new"
    return case(name, f"{script} --set {given}", *words)


CASES = [
    sets("no equals sign", "train.steps", "--set train.steps: expected section.option=value"),
    sets("nothing", "''", "--set : expected section.option=value"),
    sets("no key", "=5", "--set =5: expected section.option=value"),
    sets("a colon", "train.steps:5", "--set train.steps:5: expected section.option=value"),
    sets("an empty part", "train..steps=5", "--set train..steps=5: expected section.option=value"),
    sets("a point at the end", "train.=5", "--set train.=5: expected section.option=value"),
    sets("a point at the start", ".steps=5", "--set .steps=5: expected section.option=value"),
    sets("unknown section", "trian.steps=5", "trian: unknown option", "did you mean train?"),
    sets("unknown option", "train.step=5", "train.step: unknown option; known: steps", "steps?"),
    sets(
        "unknown option of a component",
        "encoder.dims=5",
        "encoder.dims: unknown option of lookup",
        "known: dim",
    ),
    sets("a section as a value", "train=5", "train: expected a section, got 5"),
    sets("through a value", "train.steps.more=5", "--set train.steps: is a value, not a section"),
    sets("through a whole number", "encoder.dim.x.y=5", "--set encoder.dim: is a value"),
    sets("through a string", "data.name.x=5", "data: expected a string"),
    sets("beyond the list", "sampler.3.k=5", "--set sampler.3: expected a number below 1, got '3'"),
    sets("before the list", "sampler.-1.k=5", "--set sampler.-1: expected a number below 1"),
    sets(
        "a name in a list", "sampler.uniform.k=5", "--set sampler.uniform: expected a number below"
    ),
    sets("a list's member by a float", "sampler.0.0=5", "sampler.0.0: unknown option"),
    sets(
        "a list's member by a square", "sampler.².k=5", "--set sampler.²: expected a number below 1"
    ),
    sets("a list's member without end", f"sampler.{'9' * 500}.k=5", "expected a number below 1"),
    sets("a member as a value", "sampler.0=5", "sampler.0: expected a name or a section, got 5"),
    sets("a list as a value", "sampler=5", "sampler: expected a list, got 5"),
    sets("an empty list", "sampler=[]", "sampler: missing", "negative_sampling"),
    sets(
        "text for a whole number",
        "train.steps=many",
        "train.steps: expected a whole number",
        "many",
    ),
    sets(
        "nothing for a whole number", "train.steps=", "train.steps: expected a whole number", "''"
    ),
    sets("a float for a whole number", "train.steps=1e3", "train.steps: expected a whole number"),
    sets("a list for a number", "train.lr=[0.1]", "train.lr: expected a number, got [0.1]"),
    sets(
        "text for a flag", "graph.hold_out=yes", "graph.hold_out: expected true or false", "'yes'"
    ),
    sets(
        "True for a flag", "graph.hold_out=True", "graph.hold_out: expected true or false", "'True'"
    ),
    sets("a date", "train.lr=2020-01-01", "train.lr: expected a number"),
    sets("a date that is none", "train.lr=2020-99-99", "train.lr: expected a number", "2020-99-99"),
    sets("NaN", "train.lr=nan", "train.lr: must be a finite number, got nan"),
    sets("infinity", "train.clip=inf", "train.clip: must be a finite number, got inf"),
    sets("two values in one", "'train.steps=5\ntrain.lr=0.1'", "train.steps: expected a whole"),
    sets("a comment", "'train.steps=#5'", "train.steps: expected a whole number", "'#5'"),
    sets("a quote without an end", "'train.device=\"cpu'", "train.device", "known: cpu"),
    sets("digits without end", f"train.steps={'9' * 5000}", "train.steps: expected a whole"),
    sets(
        "hexadecimal digits without end",
        f"train.steps=0x{'f' * 6000}",
        "--set train.steps: value: expected a whole number below 2^63, got a very large int",
    ),
    sets("more steps than 64 bits", f"train.steps={2**63}", "train.steps", "below 2^63"),
    sets("a line end in a key", "'a\nb=1'", "a\\nb: unknown option"),
    sets("a line end and no value", "'a\nb'", "--set a\\nb: expected section.option=value"),
    sets("an escape in a key", "'train.\x1b[31m=1'", "train.\\x1b[31m: unknown option"),
    sets("an escape in a decoder's option", "'decoder.\x1b[31m=1'", "decoder.\\x1b[31m: unknown"),
    sets("a key without end", f"train.{'x' * 5000}=1", "train.xxx", "unknown option"),
    sets("no recipe of that name", "data=umsl", "'umsl'", "did you mean umls?"),
    sets(
        "no steps between validations", "train.validate_every=0", "train.validate_every: expected"
    ),
    sets("brackets without end", f"train.lr={'[' * 5000}", "train.lr: expected a number"),
    sets("a section for a choice", "train.optimizer={a=1}", "train.optimizer: known: adam"),
    sets("a choice in capitals", "train.optimizer=ADAM", "train.optimizer: known: adam", "'ADAM'"),
    sets(
        "option of a loss that is another",
        "loss.margin=1.0",
        "loss.margin: unknown option of logistic",
        "known: balance, offset",
    ),
    sets("a loss that is none", "loss=hinge", "loss.name: unknown name 'hinge'", "known: logistic"),
    sets("a loss taken away", "loss=", "loss: missing", "negative_sampling"),
    sets("a phase that is none", "phase.discriminator.lr=0.1", "phase.discriminator: ", ""),
    sets("a part of a name", "decoder.name.x=5", "decoder.name: expected a string"),
    sets(
        "by a negative's script",
        "objective=softmx",
        "objective.name: unknown name 'softmx'",
        "known: negative_sampling, sampled, softmax",
        command="train_baseline.py --recipe own.toml --out new",
    ),
    sets(
        "by a script of many",
        "train.step=5",
        "train.step: unknown option",
        command="reproduce.py pretrain --match umls-distmult --seeds 1",
    ),
]
