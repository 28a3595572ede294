"""Synthetic graphs: a power law, patterns that are there and can be learnt, the same by seed."""

from itertools import groupby
from math import inf
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.evaluation.evaluator import Evaluator
from dans.runs.build import build_trainer
from scripts.benchmarks import growth
from scripts.benchmarks.synthetic import Size, graph, triples, write

TINY = Size(200, 1500, relations=8, clusters=10)


def test_triples_are_different_and_repeat_by_seed() -> None:
    drawn = triples(TINY, seed=3)
    assert drawn.shape == (1500, 3)
    assert len(drawn.unique(dim=0)) == 1500
    assert (drawn.amin(0) >= 0).all()
    assert (drawn.amax(0) < torch.tensor([200, 8, 200])).all()
    assert torch.equal(drawn, triples(TINY, seed=3))
    assert not torch.equal(drawn, triples(TINY, seed=4))


def test_heads_tails_and_relations_have_a_power_law() -> None:
    drawn = triples(Size(20_000, 30_000, relations=40, clusters=10))
    for column, groups in ((0, 20_000), (1, 40), (2, 20_000)):
        counts = drawn[:, column].bincount(minlength=groups).sort(descending=True).values
        assert counts[: groups // 10].sum() > 0.4 * len(drawn), "a tenth has the most triples"


def counterparts(drawn: Tensor, relation: int, other: int) -> float:
    """The share of the triples of a relation whose reverse the other relation holds."""
    reverse = drawn[drawn[:, 1] == other].flip(1).tolist()
    held = {(h, t) for h, _, t in reverse}
    own = drawn[drawn[:, 1] == relation].tolist()
    return sum((h, t) in held for h, _, t in own) / len(own)


def test_relations_have_their_patterns() -> None:
    drawn = triples(TINY)
    # Those drawn last lose some counterparts, since the number of triples is exact.
    assert counterparts(drawn, 0, 0) > 0.75, "symmetric"
    assert counterparts(drawn, 1, 2) > 0.75, "inverses"
    assert counterparts(drawn, 2, 1) > 0.75, "inverses"
    assert counterparts(drawn, 3, 3) < 0.3, "no counterpart but by the clusters"


def test_a_head_and_a_relation_lead_to_one_cluster() -> None:
    size = Size(200, 1200, relations=8, clusters=10)
    drawn = triples(size)
    for relation in range(8):
        heads, _, tails = drawn[drawn[:, 1] == relation].T
        # Without the names of clusters: the tails that a head has are those of 20 entities.
        per_head = [len(tails[heads == head].unique()) for head in heads.unique()]
        assert max(per_head) <= 20


def test_a_graph_too_dense_to_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="different triples"):
        triples(Size(10, 1000, relations=2, clusters=5))
    with pytest.raises(ValueError, match="clusters"):
        triples(Size(10, 10, relations=2, clusters=11))


def test_files_hold_the_graph(tmp_path: Path) -> None:
    kg = graph(TINY)
    write(kg, tmp_path)
    read = KnowledgeGraph.load(tmp_path)
    for split in ("train", "valid", "test"):
        found = read.split(split).tolist()
        named = [[read.entities[h], read.relations[r], read.entities[t]] for h, r, t in found]
        assert [[int(name) for name in triple] for triple in named] == kg.split(split).tolist()


def test_a_lookup_model_learns_it() -> None:
    kg = graph(TINY)
    config = {
        "data": "synthetic",
        "encoder": {"name": "lookup", "dim": 32},
        "decoder": "complex",
        "loss": "logistic",
        "sampler": [{"name": "uniform", "k": 10}],
        "train": {"batch": 500, "lr": 0.02, "threads": 1, "validate_every": 1000},
    }
    trainer = build_trainer(RunConfig.parse(config), kg, None)
    evaluator = Evaluator(kg, "test")

    def mrr() -> float:
        entities = trainer.model.embeddings(kg.messages())
        return evaluator(trainer.model.decoder, entities).both["mrr"]

    before = mrr()
    for _ in range(150):
        trainer.step()
    assert before < 0.08
    assert mrr() > 4 * before


@pytest.fixture
def tiny_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"s": TINY, "m": Size(400, 3000, relations=8, clusters=10), "l": TINY}
    monkeypatch.setattr(growth, "SIZES", few)
    monkeypatch.setattr(growth, "BATCH", 50)


@pytest.mark.usefixtures("tiny_sizes")
def test_growth_measures_every_setting_at_the_sizes_it_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(growth, "measure", lambda name, size: growth.steps(name, size, 1))
    monkeypatch.setattr(growth, "STEPS", 2)
    # It would look through all that other tests hold, nine times.
    monkeypatch.setattr(growth.gc, "collect", lambda: 0)
    rows = growth.rows(("m", "s"))
    by_work = {work: list(of) for work, of in groupby(rows, lambda row: row.work)}
    assert len(by_work) == len(growth.available())
    for work, of in by_work.items():
        full = "full graph" in work
        assert [row.contender[0] for row in of] == (["s"] if full else ["s", "m"])
        assert ("α = " in work) != full
        assert all(0 < row.seconds < inf and row.peak and row.peak > 10**8 for row in of)


def test_growth_leaves_out_settings_whose_options_are_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later = {**growth.SETTINGS, "later": ({"graph": {"no_such_option": 1}}, "s")}
    monkeypatch.setattr(growth, "SETTINGS", later)
    assert "later" not in growth.available()
    assert "lookup + DANS" in growth.available()
