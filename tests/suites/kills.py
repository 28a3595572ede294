"""Runs that something happens to, beside those that nothing happened to."""

import csv
import json
import re
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

from dans.training.checkpoint import load_state
from tests.processes import run
from tests.suites import faults
from tests.suites.states import states_equal

TRAIN = """
[train]
steps = 28
batch = 10
validate_every = 4
threads = 1
"""


RECIPES = {
    "pretrain": """
data = "{folder}/triples"
encoder = {{ name = "rgcn", dim = 8 }}
graph = {{ hold_out_share = 1.0 }}
decoder = "distmult"
loss = "logistic"
sampler = [{{ name = "uniform", k = 3 }}]
"""
    + TRAIN,
    "dans": """
init_from = "{folder}/whole/pretrain"
loss = "logistic"
[[sampler]]
name = "dans"
preset = "dans"
k = 2
[[sampler]]
name = "nscaching"
size = 3
fresh = 3
"""
    + TRAIN
    + "log_negatives = true\n",
    "softmax": """
data = "{folder}/triples"
objective = "softmax"
encoder = {{ name = "lookup", dim = 8 }}
decoder = {{ name = "complex", reciprocal = true }}
"""
    + TRAIN
    + 'optimizer = "adagrad"\nbatch_by = "queries"\nlr = 0.1\nschedule = "plateau"\n',
}


SCRIPTS = {"pretrain": "pretrain_rgcn.py", "dans": "train_dans.py", "softmax": "train_baseline.py"}


def command(recipe: str, out: Path, *options: object) -> tuple[object, ...]:
    """A script and its arguments."""
    folder = out.parent.parent
    return SCRIPTS[recipe], "--recipe", folder / f"{recipe}.toml", "--out", out, *options


def go_on(recipe: str, out: Path, **fault: Any) -> Any:
    return run(*command(recipe, out, "--resume"), cwd=out.parent.parent, **fault)


def without_clock(path: Path) -> dict[str, Any]:
    state = load_state(path)
    del state["seconds"]
    return state


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl``, or the rows of ``metrics.csv``, without the clock."""
    text = path.read_text("utf-8").splitlines()
    table = csv.DictReader(text) if path.suffix == ".csv" else map(json.loads, text)
    return [{k: v for k, v in line.items() if not k.endswith("seconds")} for line in table]


def assert_as_if_nothing_had_happened(recipe: str, out: Path) -> None:
    """Weights, optimizers, samplers, random state, metrics, logged negatives: equal to the bit."""
    whole = out.parent.parent / "whole" / recipe
    for name in ("best", "last", "previous"):
        states = [without_clock(path / f"{name}.safetensors") for path in (whole, out)]
        assert states_equal(*states), f"{name}: bits differ"
    for name in ("metrics.jsonl", "metrics.csv"):
        assert lines(out / name) == lines(whole / name), name
    files = [
        {path.name: path.read_bytes() for path in (where / "negatives").glob("*")}
        for where in (whole, out)
    ]
    assert files[0] == files[1]
    names = [
        {path.name for path in where.iterdir() if path.is_file()} - {"memory.json"}
        for where in (whole, out)
    ]
    assert names[0] == names[1], "nothing is left over"


def validations(out: Path) -> int:
    path = out / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def is_best(folder: Path, recipe: str) -> list[bool]:
    """Of each checkpoint of a run that nothing happened to: was it the best so far?"""
    best, found = 0.0, []
    for line in lines(folder / "whole" / recipe / "metrics.jsonl"):
        found.append(line["both"]["mrr"] > best)
        best = max(best, line["both"]["mrr"])
    return found


def stopped(folder: Path, out: Path, recipe: str = "pretrain", *, save: int = 6) -> None:
    """Fill a folder with a run that was killed before it wrote a certain checkpoint."""
    once = folder / "stopped" / f"{recipe}{save}"
    if not once.exists():
        killed = go_on(recipe, once, before=partial(faults.kill_in_save, save, 0))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    shutil.copytree(once, out)


def assert_one_sentence(done: Any, *parts: str, status: int = 2) -> None:
    assert done.returncode == status, done.stderr
    said = r"^starting from |: continues from step \d+ of \d+$|: holds no run to resume, "
    messages = [line for line in done.stderr.splitlines() if not re.search(said, line)]
    assert len(messages) == 1, done.stderr
    assert messages[0].startswith("error: ")
    for part in parts:
        assert part in messages[0]
