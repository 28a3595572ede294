"""Drawn negatives are false, and as many as the triples."""

import torch

from dans.data.graph import KnowledgeGraph
from dans.evaluation.drawn_negatives import with_drawn


def test_each_triple_has_one_negative_that_no_split_holds(kg: KnowledgeGraph) -> None:
    drawn = with_drawn(kg, ["train", "test"], seed=3)
    for split in ("train", "test"):
        triples = kg.split(split)  # type: ignore[arg-type]
        lines, holds = drawn.lines(split)  # type: ignore[arg-type]
        assert torch.equal(lines[holds], triples)
        assert int((~holds).sum()) == len(triples)
        assert not kg.known().is_known(lines[~holds]).any()
        near = (lines[~holds].unsqueeze(1) == triples).sum(2)
        assert bool((near.max(1).values == 2).all()), "each differs from a triple in one place"
    assert drawn.lines("valid")[1].all()
    again, other = (with_drawn(kg, ["train", "test"], seed=seed) for seed in (3, 4))
    assert torch.equal(again.lines("train")[0], drawn.lines("train")[0])
    assert not torch.equal(other.lines("train")[0], drawn.lines("train")[0])


def test_a_triple_without_a_negative_has_none() -> None:
    everything = [(h, "knows", t) for h in ("ada", "bob") for t in ("ada", "bob")]
    lines, holds = with_drawn(KnowledgeGraph.of(everything), ["train"]).lines("train")
    assert len(lines) == 4
    assert holds.all()
