"""What ``--set`` cannot set."""

from tests.malformed.case import Case


def sets(name: str, given: str, *words: str, command: str = "") -> Case:
    script = command or "pretrain_rgcn.py --recipe own.toml --out new"
    return Case(name, f"{script} --set {given}", *words)


CASES = [
    sets(
        "unknown option of a component",
        "encoder.dims=5",
        "encoder.dims: unknown option of lookup",
        "known: dim",
    ),
    sets("a section as a value", "train=5", "train: expected a section, got 5"),
    sets(
        "a list's member by a square", "sampler.².k=5", "--set sampler.²: expected a number below 1"
    ),
    sets("a member as a value", "sampler.0=5", "sampler.0: expected a name or a section, got 5"),
    sets("an empty list", "sampler=[]", "sampler: missing", "negative_sampling"),
    sets("NaN", "train.lr=nan", "train.lr: must be a finite number, got nan"),
    sets("two values in one", "'train.steps=5\ntrain.lr=0.1'", "train.steps: expected a whole"),
    sets(
        "hexadecimal digits without end",
        f"train.steps=0x{'f' * 6000}",
        "--set train.steps: value: expected a whole number below 2^63, got a very large int",
    ),
    sets("a key without end", f"train.{'x' * 5000}=1", "train.xxx", "unknown option"),
    sets("no recipe of that name", "data=umsl", "'umsl'", "did you mean umls?"),
    sets("a section for a choice", "train.optimizer={a=1}", "train.optimizer: known: adam"),
    sets(
        "by a script of many",
        "train.step=5",
        "train.step: unknown option",
        command="reproduce.py pretrain --match umls-distmult --seeds 1",
    ),
]
