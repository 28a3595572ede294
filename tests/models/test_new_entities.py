"""Embeddings of new entities from those of their neighbors, against loops."""

import pytest
import torch

from dans.models.decoders import DECODERS, RotatE, TransE
from dans.models.new_entities import NEW_ENTITIES, neighbor_mean, query_mean
from dans.registry import build

#: Entities 0 to 3 are old, 4 to 7 new; 6 has a new neighbor alone, 7 has none.
TRIPLES = torch.tensor([[4, 0, 1], [2, 1, 4], [4, 1, 3], [5, 0, 0], [6, 1, 5], [4, 0, 5]])


@pytest.fixture
def entities() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(4, 6, dtype=torch.float64)


def test_the_mean_of_neighbors_spreads_in_rounds(entities: torch.Tensor) -> None:
    decoder = TransE(2, dim=6).double()
    found = neighbor_mean(decoder, entities, TRIPLES, 4)
    assert torch.equal(found[:4], entities)
    torch.testing.assert_close(found[4], entities[1:4].mean(0))
    torch.testing.assert_close(found[5], entities[0])
    torch.testing.assert_close(found[6], entities[0])
    torch.testing.assert_close(found[7], entities.mean(0))


@pytest.mark.parametrize("kind", [TransE, RotatE])
def test_queries_of_an_exact_inverse_give_the_embedding_that_made_the_triples(
    entities: torch.Tensor, kind: type
) -> None:
    decoder = kind(2, dim=6).double().eval()
    lost = entities[0]
    others = torch.cat(
        (
            decoder.tail_queries(lost.expand(2, -1), torch.tensor([0, 1])),
            decoder.head_queries(torch.tensor([1]), lost.unsqueeze(0)),
        )
    ).detach()
    triples = torch.tensor([[3, 0, 0], [3, 1, 1], [2, 1, 3]])
    torch.testing.assert_close(query_mean(decoder, others, triples, 1)[3], lost)


@pytest.mark.parametrize("name", DECODERS)
def test_every_decoder_ranks_what_its_queries_say(name: str, entities: torch.Tensor) -> None:
    torch.manual_seed(1)
    decoder = build(DECODERS, name, given={}, num_relations=2, dim=6).double().eval()
    found = query_mean(decoder, entities, TRIPLES[:1], 1)
    control = NEW_ENTITIES["table"](decoder, entities, TRIPLES[:1], 1)
    relations = TRIPLES[:1, 1]
    score = [
        decoder.score_query(decoder.head_queries(relations, e[1:2]), e[4:5]).item()
        for e in (found, control)
    ]
    assert score[0] > score[1]
    assert torch.equal(found[:4], control[:4])
    if decoder.dot:
        torch.testing.assert_close(found[4].norm(), entities.norm(dim=1).mean())
