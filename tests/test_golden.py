"""Numbers we mean to keep: the main recipe, a hundred steps into UMLS."""

import pytest

from dans.config.recipes import find_recipe, override, read_recipe
from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.runs.build import build_trainer


@pytest.mark.slow
def test_a_hundred_steps_reach_what_they_did() -> None:
    try:
        kg = KnowledgeGraph.load("umls")
    except InputError as error:
        pytest.skip(f"UMLS is not here: {error}")
    plain = read_recipe(find_recipe("umls-distmult", "pretrain"))
    config = RunConfig.parse(override(plain, ["train.steps=100", "train.validate_every=100"]))
    report = build_trainer(config, kg, None).fit(100)
    assert report is not None
    # .723 when this was written, .729 with seed 1; a lookup table is at .09 by then.
    assert report.both["mrr"] == pytest.approx(0.725, abs=0.04)
    assert report.both["hits@1"] <= report.both["ndcg@5"] <= 1
