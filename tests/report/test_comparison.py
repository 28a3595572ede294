"""Runs side by side: the table, the conclusion, and the expectation."""

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from dans.errors import InputError
from dans.report.comparison import SHOWN, compare, differing, held, recipe_of
from dans.report.gather import Page
from dans.training.run_folder import RunFolder


def test_comparison_has_the_numbers_and_the_conclusion_of_the_report(
    runs: list[Path], page: Page
) -> None:
    found = compare(runs)
    for run, summary in zip(found.runs.values(), page.runs, strict=True):
        assert run.report == summary.report
    head, first, second, empty, *conclusion, differ = found.lines()
    assert head.split() == ["test", "MRR", "Hits@1", "Hits@3", "Hits@10", "mean", "rank"]
    for line, summary in zip((first, second), page.runs, strict=True):
        numbers = [f"{summary.report.both[name]:.4f}" for name in SHOWN]
        assert line.split() == [summary.letter, summary.name, *numbers]
    assert empty == ""
    assert tuple(conclusion) == page.conclusion
    assert differ == f"They differ in {', '.join(found.differing)}."


def test_what_runs_differ_in_is_named_but_for_their_seeds(runs: list[Path]) -> None:
    config = RunFolder(runs[0]).config()
    longer = structs.replace(config, train=structs.replace(config.train, steps=99, seed=7))
    assert differing([config, longer]) == ["train.steps"]
    assert differing([config]) == []
    assert not compare(runs[:1]).lines()[-1].startswith("They differ")


def test_folders_that_cannot_be_compared_are_refused(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got one of them twice"):
        compare([runs[0], runs[0]])
    with pytest.raises(InputError, match="expected 1 to 8 folders of runs, got 9"):
        compare([tmp_path / str(i) for i in range(9)])
    with pytest.raises(InputError):
        compare([tmp_path])


@pytest.mark.parametrize(("off", "holds"), [(0.019, True), (-0.019, True), (0.021, False)])
def test_expectation_holds_within_its_tolerance(runs: list[Path], off: float, holds: bool) -> None:
    (run,) = compare(runs[:1]).runs.values()
    report = replace(run.report, both={**run.report.both, "mrr": 0.5 + off})
    expected = {"metric": "mrr", "value": 0.5, "tolerance": 0.02, "seeds": 5}
    found, said = held(replace(run, report=report), expected)
    assert found == holds
    assert f"MRR {0.5 + off:.4f}; recorded are 0.5000 ± 0.0200, over 5 seeds" in said
    assert said.endswith("as expected." if holds else "missed.")


def test_what_is_not_ranked_is_not_held(runs: list[Path]) -> None:
    (run,) = compare(runs[:1]).runs.values()
    expected = {"metric": "nll", "value": 0.5, "tolerance": 0.02, "seeds": 5}
    found, said = held(run, expected)
    assert found is None
    assert "recorded is NLL of labelled lines" in said
    assert held(run, None) == (None, f"{run.name}: nothing is recorded for a run of this name.")


def test_recipe_of_a_run_is_in_its_path(tmp_path: Path) -> None:
    assert recipe_of(tmp_path / "dans" / "umls-rotate-sans" / "seed3") == (
        "dans",
        "umls-rotate-sans",
    )
    assert recipe_of(Path("/")) == ("", "")
