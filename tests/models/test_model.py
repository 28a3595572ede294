"""A model: batches of triples with embeddings, and evaluation mode."""

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.models import ENCODERS
from dans.models.decoders import DECODERS
from dans.models.model import Model, eval_mode
from tests.suites.decoders import MULTILINEAR
from tests.suites.models import model_of

BOUNDED = {"bound": 2.0, "shift": 0.5}


@pytest.mark.parametrize("reciprocal", [False, True])
@pytest.mark.parametrize(
    ("decoder", "given"),
    [*((name, {}) for name in DECODERS), *((name, BOUNDED) for name in MULTILINEAR)],
)
def test_triples_are_scored_as_the_decoder_scores_them(
    kg: KnowledgeGraph, decoder: str, given: dict[str, float], reciprocal: bool
) -> None:
    model = model_of(kg, decoder, "rgcn", reciprocal=reciprocal, **given)
    entities = model.embeddings(kg.messages("relation"))
    positives = model.positives(kg.train, entities)
    heads, relations, tails = kg.train.unbind(-1)
    r = model.decoder.embeddings(relations)
    expected = model.decoder.score(entities[heads], r, entities[tails])
    torch.testing.assert_close(positives.scores(), expected.unsqueeze(1))
    torch.testing.assert_close(positives.r, r)
    assert positives.reciprocal == reciprocal
    assert positives.shift == given.get("shift", 0.0)
    assert (expected - positives.shift).abs().max() < given.get("bound", torch.inf)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_some_rows_are_encoded_as_all_are(kg: KnowledgeGraph, encoder: str, sparse: bool) -> None:
    ids = torch.tensor([5, 0, 3])
    for bound in (None, 2.0):
        model = model_of(kg, "distmult", encoder, bound=bound).eval()
        messages = kg.messages("relation")
        rows = model.encode_rows(messages, ids, sparse=sparse)
        assert torch.equal(rows, model.encode(messages)[ids])
        assert torch.equal(rows, model.embeddings(messages)[ids])
        plain = model.encoder(messages)[ids]
        assert torch.equal(rows, plain if bound is None else plain.tanh())


def test_embeddings_in_evaluation_mode_have_no_dropout_and_no_gradient(kg: KnowledgeGraph) -> None:
    model = model_of(kg, "distmult", "rgcn").train()
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
    model = model_of(kg, "distmult", "rgcn").train()
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
