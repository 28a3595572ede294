"""One encoder and one decoder: facts as vectors, and nothing that dropout could disturb in use."""

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.models import ENCODERS
from dans.models.decoders import DECODERS
from dans.models.model import Model


def model_of(kg: KnowledgeGraph, decoder: str, *, reciprocal: bool = False) -> Model:
    encoder = ENCODERS["rgcn"](kg.num_entities, kg.num_relations, 4)
    return Model(encoder, DECODERS[decoder](kg.num_relations, 4, reciprocal=reciprocal))


@pytest.mark.parametrize("reciprocal", [False, True])
@pytest.mark.parametrize("decoder", sorted(DECODERS))
def test_facts_are_scored_as_the_decoder_scores_them(
    kg: KnowledgeGraph, decoder: str, reciprocal: bool
) -> None:
    model = model_of(kg, decoder, reciprocal=reciprocal)
    entities = model.vectors(kg.messages("relation"))
    positives = model.positives(kg.train, entities)
    heads, relations, tails = kg.train.unbind(-1)
    expected = model.decoder.score(
        entities[heads], model.decoder.relation(relations), entities[tails]
    )
    torch.testing.assert_close(positives.scores(), expected.unsqueeze(1))
    assert positives.reciprocal == reciprocal


def test_vectors_in_use_have_no_dropout_and_no_gradient(kg: KnowledgeGraph) -> None:
    model = model_of(kg, "distmult").train()
    messages = kg.messages("relation")
    assert not torch.equal(model.encode(messages), model.encode(messages))
    assert torch.equal(model.vectors(messages), model.vectors(messages))
    assert not model.vectors(messages).requires_grad
    assert model.training


def test_widths_must_agree(kg: KnowledgeGraph) -> None:
    encoder = ENCODERS["lookup"](kg.num_entities, 4)
    with pytest.raises(ValueError, match="encoder gives 4 numbers, decoder takes 6"):
        Model(encoder, DECODERS["distmult"](kg.num_relations, 6))
