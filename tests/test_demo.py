"""The demo trains what is recorded, beside a fair comparison, and holds it against the records."""

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from dans.analysis.tables import short
from dans.cli import parsing as cli
from dans.config.recipes import find_recipe

ROOT = Path(__file__).parents[1]

#: The runs of the demo by kind and name; two are trained further from the first.
PRETRAINED = "pretrain/umls-distmult"
UNIFORM = "dans/umls-distmult-self-adversarial-filtered"
OURS = "dans/umls-distmult-dans-filtered"

#: The default for triples of one's own, from scratch, in as many steps as two of these together.
BEST = "baselines/umls-distmult-sampled-softmax-self-loop"


@cache
def commands() -> list[str]:
    """The commands of the demo, as make would run them."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("the demo needs make")
    done = subprocess.run(
        [make, "--no-print-directory", "-n", "demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def runs(line: str) -> list[str]:
    """The runs of a line, such as ``dans/umls-distmult``, all of seed 0."""
    return re.findall(r"\bruns/([\w-]+/[\w-]+)/seed0\b", line)


def trained() -> list[str]:
    """The runs that the demo trains."""
    found = []
    for line in commands():
        if "pretrain" in line and "umls-distmult --resume" in line:
            found.append(PRETRAINED)
        if sampler := re.search(r"--sampler ([\w-]+)", line):
            found.append(f"dans/umls-distmult-{sampler[1]}")
        if loss := re.search(r"--loss ([\w-]+)", line):
            found.append(f"baselines/umls-distmult-{loss[1]}")
    return found


def test_every_run_that_is_used_is_trained_and_evaluated() -> None:
    used = {run for line in commands() for run in runs(line)}
    assert used == set(trained())
    assert {run for line in commands() if "evaluate" in line for run in runs(line)} == used


def test_dans_is_compared_with_as_many_steps_and_the_same_loss_against_uniform_negatives() -> None:
    last = commands()[-1]
    assert "compare" in last
    assert "--expected" in last
    assert runs(last) == [UNIFORM, OURS, BEST]
    ours, uniform = (
        find_recipe(name.partition("/")[2], "dans").plain() for name in (OURS, UNIFORM)
    )
    for key in ("init_from", "train", "loss"):
        assert ours[key] == uniform[key]
    before = find_recipe(PRETRAINED.partition("/")[2], "pretrain").plain()["train"]["steps"]
    best = find_recipe(BEST.partition("/")[2], "baselines").plain()["train"]["steps"]
    assert best == before + ours["train"]["steps"]


@pytest.mark.parametrize("run", [PRETRAINED, UNIFORM, OURS, BEST])
def test_recorded_run_of_seed_0_meets_its_expectation(run: str) -> None:
    kind, name = run.split("/")
    expected = cli.records(kind, "expected")[name]
    recorded = json.loads((ROOT / "scripts" / "results" / f"{kind}.json").read_text("utf-8"))[name]
    assert recorded["seeds"][0] == 0
    first = recorded["best"][expected["metric"]]["values"][0]
    assert abs(first - expected["value"]) <= expected["tolerance"]


def test_readme_shows_the_number_of_the_recipe_of_the_demo() -> None:
    for run in (OURS, BEST):
        kind, name = run.split("/")
        recorded = json.loads((ROOT / "scripts" / "results" / f"{kind}.json").read_text("utf-8"))
        mean = recorded[name]["best"]["mrr"]["mean"]
        assert short(mean) in (ROOT / "README.md").read_text("utf-8")
