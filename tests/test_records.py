"""Recorded results: each names a commit that holds its recipe, and some are met to the digit."""

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from baselines.assembly import train
from dans.analysis.tables import collect
from dans.cli.parsing import RESULTS
from dans.config import old_names, papers
from dans.config.recipes import Recipe, find_recipe, run_name
from dans.predict import Predictor
from dans.runs.evaluate_run import evaluate
from dans.runs.train import configure
from dans.runs.train import load as load_run
from docs.page_tables import content, expected
from tests.suites.builds import made_here, tolerance

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "scripts" / "results"

#: 0.1's names of settings.
BEFORE = {new: old for old, new in old_names.SETTINGS.items()}


@cache
def files_at(commit: str) -> set[str] | None:
    """The files of a commit; None where there is no history of it."""
    if shutil.which("git") is None:
        return None
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", commit], cwd=ROOT, capture_output=True, text=True
    )
    return set(listed.stdout.split()) if listed.returncode == 0 else None


def holds(files: set[str], recipe: Recipe, kind: str) -> bool:
    """Is a recipe among the files, as base and setting or as the one file of 0.1?"""
    parts = [recipe.base, *([recipe.setting] if recipe.setting else [])]
    if {str(part.relative_to(ROOT)) for part in parts} <= files:
        return True
    old = {Path(name).stem for name in files if f"/{kind}/" in name and name.endswith(".toml")}
    setting = recipe.setting.stem if recipe.setting else ""
    names = {recipe.stem, run_name(recipe.base.stem, BEFORE.get(setting, setting))}
    return bool(names & old)


def test_each_commit_named_holds_the_recipe_it_is_named_for() -> None:
    missing, unknown = [], set()
    for path in sorted(RESULTS.glob("*.toml")):
        kind = path.stem.split("-")[0]
        table = tomllib.loads(path.read_text())
        for base, settings in table["expected"].items():
            for setting, its in settings.items():
                commit = (
                    its.get("commit", table["commit"]) if isinstance(its, dict) else table["commit"]
                )
                files = files_at(commit)
                if files is None:
                    unknown.add(commit)
                    continue
                own = setting if setting not in ("base", "dans") else ""
                recipe = find_recipe(f"{base}-{own}" if own else base, kind)
                if not holds(files, recipe, kind):
                    missing.append(f"{path.name}: {commit} has no {recipe.stem}")
    assert not missing
    if unknown:
        pytest.skip(f"no history of {', '.join(sorted(unknown))}: a shallow clone, or no clone")


def test_tables_and_expected_results_are_those_of_the_records() -> None:
    printed = {"baselines": papers.published("baselines")}
    listed = tomllib.loads((ROOT / "docs" / "tables.toml").read_text())
    for table in listed["table"]:
        page, mark = (ROOT / table["page"]).read_text(), table["mark"]
        text = page.partition(f"<!-- {mark} -->\n")[2].partition(f"\n<!-- /{mark} -->")[0]
        assert text == content(table, ROOT, printed), f"{mark}: run tabulate.py --pages"
    for name, numbers in listed["expected"].items():
        path = RESULTS / name
        assert path.read_text() == expected(path, collect(RECORDS / f"{numbers}.json")), name


@pytest.mark.slow
@pytest.mark.usefixtures("umls")
def test_recorded_seeds_are_met_to_the_digit(tmp_path: Path) -> None:
    recorded = {
        kind: json.loads((RECORDS / f"{kind}.json").read_text()) for kind in ("pretrain", "dans")
    }
    start = tmp_path / "pretrain"
    for kind, name in (
        ("pretrain", "umls-distmult"),
        ("dans", "umls-distmult-self-loop-filtered"),
    ):
        changes = ["train.seed=0"] + ([f"init_from={start}"] if kind == "dans" else [])
        where = start if kind == "pretrain" else tmp_path / name
        train(configure(find_recipe(name, kind), changes), where)
        numbers = recorded[kind][name]
        at = numbers["seeds"].index(0)
        for which in ("best", "last"):
            found = round(evaluate(where, which=which).both["mrr"], 4)
            expected = numbers[which]["mrr"]["values"][at]
            assert found == pytest.approx(expected, abs=tolerance(1e-9)), f"{name}, {which}"
    if made_here():
        answers_are_those_of_the_page(start)


def answers_are_those_of_the_page(run: Path) -> None:
    """The printed answers on the page of predictions come from the run that they name."""
    page = (ROOT / "docs" / "pages" / "predict.md").read_text()
    block = page.partition("```text\nruns/pretrain/umls-distmult/seed0: ")[2].partition("```")[0]
    assert f"step {load_run(run).step}\n" in block
    rows = [line.split() for line in block.splitlines() if line.startswith("   ")]
    answers = Predictor.load(run).tails("steroid", "affects", top=len(rows))
    assert [(str(a.rank), a.name, " ".join(a.known)) for a in answers] == [
        (rank, name, known) for rank, name, _, known in rows
    ]
    scores = [float(score) for _, _, score, _ in rows]
    assert [round(a.score, 4) for a in answers] == scores
