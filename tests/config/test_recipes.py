"""Every recipe parses, builds on the toy graph, and says what it is expected to give."""

from pathlib import Path

import pytest

from baselines.assembly import OBJECTIVES
from dans.analysis.tables import METRICS
from dans.cli.parsing import RECIPES
from dans.config.recipes import read_recipe
from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.runs.build import build_model, build_objective, build_regularizers

ALL = sorted(RECIPES.rglob("*.toml"))

#: What a paper may have, or a recipe expect, of labelled data.
CLASSIFIED = ("nll", "brier", "auc", "platt.nll", "platt.brier")


def whole(recipe: Path) -> RunConfig:
    """A recipe with what it inherits from the recipe of the run it starts from."""
    plain = read_recipe(recipe)
    if start := plain.get("init_from"):
        before = read_recipe(RECIPES / f"{start}.toml")
        plain = {**{key: before[key] for key in RunConfig.INHERITED if key in before}, **plain}
    return RunConfig.parse(plain, where=str(recipe))


def test_recipes_are_found() -> None:
    assert {path.parent.name for path in ALL} == {"pretrain", "dans", "baselines"}


@pytest.mark.parametrize("recipe", ALL, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recipe_builds(recipe: Path, kg: KnowledgeGraph) -> None:
    config = whole(recipe)
    model = build_model(config, kg)
    objective = build_objective(config, kg, model.encoder.dim, OBJECTIVES)
    assert len(build_regularizers(config, kg)) == len(config.regularizer)
    phases = {phase.name for phase in objective.phases()}
    assert set(config.phase) <= phases


@pytest.mark.parametrize("recipe", ALL, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recipe_says_what_it_gives(recipe: Path) -> None:
    expected = read_recipe(recipe)["expected"]
    assert expected.keys() == {"metric", "split", "value", "tolerance", "seeds", "commit"}
    assert 0 < expected["tolerance"] <= 0.05
    assert expected["metric"] in (*METRICS, *CLASSIFIED)
    # An NLL has no upper end.
    assert 0 < expected["value"] <= (10 if expected["metric"].endswith("nll") else 1)
    assert expected["seeds"] >= 1


@pytest.mark.parametrize("recipe", ALL, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_paper_number_has_a_source(recipe: Path) -> None:
    paper = read_recipe(recipe).get("paper", {"source": "none"})
    assert isinstance(paper["source"], str)
    assert paper.keys() <= {"source", *METRICS, *CLASSIFIED}


@pytest.mark.parametrize("recipe", ALL, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_generators_are_still_trained_once_they_are_pretrained(recipe: Path) -> None:
    config = whole(recipe)
    for part in config.sampler:
        updates = config.train.steps * int(part.options.get("repeats", 1))
        assert int(part.options.get("pretrain", 0)) < updates
