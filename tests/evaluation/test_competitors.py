"""Queries of a split: each once, those with most answers first."""

import torch
from torch import Tensor

from dans.evaluation.competitors import Queries

ANCHORS, RELATIONS = torch.tensor([5, 1, 5, 1, 5, 2]), torch.tensor([0, 1, 0, 0, 0, 1])
ANSWERS = torch.tensor([3, 4, 0, 2, 6, 1])


def known(anchors: Tensor, relations: Tensor) -> tuple[Tensor, Tensor]:
    """Of every query its answers here and, beyond those, entity 7."""
    pairs = [
        (row, answer)
        for row, (anchor, relation) in enumerate(
            zip(anchors.tolist(), relations.tolist(), strict=True)
        )
        for answer in [*ANSWERS[(anchor == ANCHORS) & (relation == RELATIONS)].tolist(), 7]
    ]
    rows, entities = torch.tensor(pairs).unbind(1)
    return rows, entities


def test_every_triple_is_below_its_own_query() -> None:
    asked = Queries.of(ANCHORS, RELATIONS, ANSWERS, known, num_entities=8)
    assert sorted(asked.triples.tolist()) == list(range(6))
    for i, (first, last) in enumerate(zip(asked.starts, asked.starts[1:], strict=False)):
        rows = asked.triples[first:last]
        assert (ANCHORS[rows] == asked.anchors[i]).all()
        assert (RELATIONS[rows] == asked.relations[i]).all()
        assert torch.equal(asked.answers[first:last], ANSWERS[rows])
        own = asked.known[asked.known_starts[i] : asked.known_starts[i + 1]]
        assert set(own.tolist()) == {7, *ANSWERS[rows].tolist()}


def test_equal_queries_are_asked_once_and_the_longest_first() -> None:
    asked = Queries.of(ANCHORS, RELATIONS, ANSWERS, known, num_entities=8)
    pairs = torch.stack((asked.anchors, asked.relations), 1)
    assert len(pairs.unique(dim=0)) == len(pairs) == 4
    assert asked.starts.diff().tolist() == [3, 1, 1, 1]
    assert pairs[0].tolist() == [5, 0]


def test_other_known_answers_do_not_compete() -> None:
    asked = Queries.of(ANCHORS, RELATIONS, ANSWERS, known, num_entities=8)
    # Of eight entities, all but the known ones and, of those, the right one.
    assert asked.candidates.tolist() == [8 + 1 - 4] * 3 + [8 + 1 - 2] * 3
