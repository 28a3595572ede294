"""The control."""

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.data.known_triples import KnownTriples
from dans.errors import InputError
from dans.samplers import SelfLoop
from tests.suites.samplers import triples_as_vectors


def test_the_kept_entity_stands_on_both_sides(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg)
    negatives = SelfLoop(k=20)(positives)
    triples = negatives.triples(kg.train)
    assert torch.equal(triples[..., 0], triples[..., 2])
    side = negatives.replaces_head
    heads, tails = (kg.train[:, [i]].expand_as(side) for i in (0, 2))
    assert torch.equal(triples[..., 0][side], tails[side])
    assert torch.equal(triples[..., 0][~side], heads[~side])


def test_its_vectors_are_those_of_the_kept_entity(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg)
    for side, embeddings in (("tail", positives.h), ("head", positives.t)):
        negatives = SelfLoop(k=3, side=side)(positives)
        assert torch.equal(negatives.embeddings, embeddings.unsqueeze(1).expand(-1, 3, -1))


def test_a_reflexive_triple_can_be_masked(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg)
    reflexive = torch.stack((kg.train[:, 0], kg.train[:, 1], kg.train[:, 0]), dim=1)[:1]
    known = KnownTriples(reflexive, kg.num_entities, kg.num_relations)
    valid = SelfLoop(k=4, side="tail", filter="mask", known=known)(positives).valid
    assert valid is not None
    same = (kg.train[:, :2] == reflexive[:, :2]).all(1)
    assert torch.equal(valid, ~same.unsqueeze(1).expand_as(valid))
    assert same.any()
    assert not same.all()


def test_there_is_nothing_else_to_draw() -> None:
    with pytest.raises(InputError, match="filter: known: none, mask; got 'resample'"):
        SelfLoop(filter="resample")


def test_a_filter_without_known_triples_is_refused() -> None:
    with pytest.raises(InputError, match="needs the known triples"):
        SelfLoop(filter="mask")
