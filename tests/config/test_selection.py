"""Checkpoints are chosen by any metric of a validation, in its own direction."""

import math
from pathlib import Path

import pytest

from dans.config.selection import LABELLED, RANKING, Selection
from dans.errors import InputError
from dans.interface.run import Run
from dans.runs.train import configure, train
from dans.training.run_folder import RunFolder
from tests.suites.toy import RECIPE, lay


@pytest.mark.parametrize("name", [*RANKING, *LABELLED, "heads.mrr", "tails.mean_rank"])
def test_the_first_validation_is_better_than_none(name: str) -> None:
    of = Selection(name)
    assert of.is_better(0.5, of.worst)
    assert of.is_better(0.4, 0.5) == of.least
    assert not of.is_better(0.5, 0.5)


def test_hits_of_zero_are_better_than_none_and_an_mrr_starts_at_zero() -> None:
    assert Selection("hits@1").is_better(0.0, Selection("hits@1").worst)
    assert Selection("mrr").worst == 0.0
    assert Selection("nll").worst == math.inf


@pytest.mark.parametrize("name", ["hits", "heads.nll", "both.mrr", "hits@7", "", ".mrr"])
def test_another_name_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(InputError, match=r"known: mrr, mean_rank, .*tails\., .*nll.*got"):
        Selection(name)


@pytest.mark.parametrize("name", ["tails.mean_rank", "heads.sampled_mrr", "heads.restricted_mrr"])
def test_a_run_keeps_the_checkpoint_that_is_best_by_it(name: str, tmp_path: Path) -> None:
    lay(tmp_path / "toy")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(data=tmp_path / "toy"))
    sampled = "sampled_" in name
    restricted = "restricted_" in name
    select = name.replace("sampled_", "").replace("restricted_", "")
    changes = [f"train.select={select}", "train.steps=6", "train.lr=0.5"]
    changes += ["evaluation.candidates=3"] * sampled + [
        "evaluation.among=domain-range"
    ] * restricted
    config = configure(recipe, changes)
    where = tmp_path / "run"
    train(config, where)
    side, metric = name.split(".")
    values = {line["step"]: line[side][metric] for line in Run(where).history}
    best = (min if "rank" in metric else max)(values.values())
    state = RunFolder(where).checkpoints.load("best")
    assert state["best"][select] == best == values[state["best"]["step"]]
    assert config.selection_metric == name
    assert f"of {side} {best:.4f}" in repr(Run(where))
    train(config.replace(steps=8), where, resume=True)
    if restricted:
        found = Run(where).evaluate("valid", most=5)
        assert found.protocol["candidates"]["among"] == "domain-range"
        assert "restricted_mrr" in found.both
        assert "mrr" in Run(where).evaluate("valid", among="all").both
        assert "sampled_mrr" in Run(where).evaluate("valid", candidates=3).both
