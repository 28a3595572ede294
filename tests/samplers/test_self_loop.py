"""The degenerate-triple control."""

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.data.known_triples import KnownTriples
from dans.errors import InputError
from dans.samplers import SelfLoop
from tests.suites.samplers import triples_as_embeddings


@pytest.mark.parametrize("side", ["head", "tail"])
def test_the_uncorrupted_entity_is_at_both_ends(side: str, kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    negatives = SelfLoop(k=3, side=side)(positives)
    triples = negatives.triples(kg.train)
    end = kg.train[:, 2 if side == "head" else 0].unsqueeze(1).expand(-1, 3)
    assert torch.equal(triples[..., 0], end)
    assert torch.equal(triples[..., 2], end)


def test_its_negatives_are_called_as_recipes_call_it(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    assert list(SelfLoop(k=3).origins(positives)) == ["self_loop"]


def test_a_reflexive_triple_can_be_masked(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    reflexive = torch.stack((kg.train[:, 0], kg.train[:, 1], kg.train[:, 0]), dim=1)[:1]
    known = KnownTriples(reflexive, kg.num_entities, kg.num_relations)
    valid = SelfLoop(k=4, side="tail", filter="mask", known=known)(positives).valid
    same = (kg.train[:, :2] == reflexive[:, :2]).all(1)
    assert torch.equal(valid, ~same.unsqueeze(1).expand_as(valid))
    assert same.any()
    assert not same.all()


def test_there_is_nothing_else_to_draw() -> None:
    with pytest.raises(InputError, match="filter: known: none, mask; got 'resample'"):
        SelfLoop(filter="resample")
