"""A model: batches of triples with embeddings, and evaluation mode."""

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.models import ENCODERS
from dans.models.decoders import DECODERS, DistMult
from dans.models.model import Model, eval_mode
from dans.registry import build


def model_of(kg: KnowledgeGraph, decoder: str, *, reciprocal: bool = False) -> Model:
    encoder = ENCODERS["rgcn"](kg.num_entities, kg.num_relations, 4)
    return Model(encoder, DECODERS[decoder](kg.num_relations, 4, reciprocal=reciprocal))


@pytest.mark.parametrize("reciprocal", [False, True])
@pytest.mark.parametrize("decoder", sorted(DECODERS))
def test_triples_are_scored_as_the_decoder_scores_them(
    kg: KnowledgeGraph, decoder: str, reciprocal: bool
) -> None:
    model = model_of(kg, decoder, reciprocal=reciprocal)
    entities = model.embeddings(kg.messages("relation"))
    positives = model.positives(kg.train, entities)
    heads, relations, tails = kg.train.unbind(-1)
    expected = model.decoder.score(
        entities[heads], model.decoder.relation(relations), entities[tails]
    )
    torch.testing.assert_close(positives.scores(), expected.unsqueeze(1))
    assert positives.reciprocal == reciprocal


@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_some_rows_are_encoded_as_all_are(kg: KnowledgeGraph, encoder: str) -> None:
    ids = torch.tensor([5, 0, 3])
    for bound in (None, 2.0):
        decoder = DistMult(kg.num_relations, 4, bound=bound)
        model = Model(
            build(
                ENCODERS,
                encoder,
                num_entities=kg.num_entities,
                num_relations=kg.num_relations,
                dim=4,
            ),
            decoder,
        ).eval()
        messages = kg.messages("relation")
        rows = model.encode_rows(messages, ids)
        assert torch.equal(rows, model.encode(messages)[ids])
        assert torch.equal(rows, model.embeddings(messages)[ids])
        plain = model.encoder(messages)[ids]
        assert torch.equal(rows, plain if bound is None else plain.tanh())


@pytest.mark.parametrize("reciprocal", [False, True])
@pytest.mark.parametrize("decoder", ["simple", "rescal", "tucker"])
def test_bounded_triples_are_scored_within_the_bound(
    kg: KnowledgeGraph, decoder: str, reciprocal: bool
) -> None:
    given = {"bound": 2.0, "shift": 0.5, "reciprocal": reciprocal}
    encoder = ENCODERS["rgcn"](kg.num_entities, kg.num_relations, 4)
    known = {"num_relations": kg.num_relations, "dim": 4}
    model = Model(encoder, build(DECODERS, decoder, given=given, **known))
    entities = model.embeddings(kg.messages("relation"))
    positives = model.positives(kg.train, entities)
    heads, relations, tails = kg.train.unbind(-1)
    r = model.decoder.embeddings(relations)
    expected = model.decoder.score(entities[heads], r, entities[tails])
    torch.testing.assert_close(positives.scores().squeeze(1), expected)
    torch.testing.assert_close(positives.r, r)
    assert positives.shift == 0.5
    assert (expected - 0.5).abs().max() < 2


def test_embeddings_in_evaluation_mode_have_no_dropout_and_no_gradient(kg: KnowledgeGraph) -> None:
    model = model_of(kg, "distmult").train()
    messages = kg.messages("relation")
    assert not torch.equal(model.encode(messages), model.encode(messages))
    assert torch.equal(model.embeddings(messages), model.embeddings(messages))
    assert not model.embeddings(messages).requires_grad
    assert model.training


def test_widths_must_agree(kg: KnowledgeGraph) -> None:
    encoder = ENCODERS["lookup"](kg.num_entities, 4)
    with pytest.raises(ValueError, match="encoder gives 4 numbers, decoder takes 6"):
        Model(encoder, DECODERS["distmult"](kg.num_relations, 6))


def test_eval_mode_nothing_is_in_training_and_then_all_is_as_before(kg: KnowledgeGraph) -> None:
    model = model_of(kg, "distmult").train()
    model.encoder.eval()
    before = [part.training for part in model.modules()]
    assert any(before)
    assert not all(before)
    with eval_mode(model):
        assert not any(part.training for part in model.modules())
    assert [part.training for part in model.modules()] == before
    with pytest.raises(KeyError), eval_mode(model):
        raise KeyError
    assert [part.training for part in model.modules()] == before
