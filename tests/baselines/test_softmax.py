"""Softmax over all entities: against torch's own cross-entropy, query by query."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines import softmax
from baselines.candidates import all_entities
from baselines.softmax import SoftmaxCrossEntropy
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.batch import Positives
from dans.models.decoders import DECODERS
from dans.models.model import Model
from dans.training.batches import QueryBatches
from tests.suites.models import model_of


def positives_of(model: Model, triples: Tensor) -> Positives:
    return model.positives(triples, model.encoder.entities.weight)


def objective(kg: KnowledgeGraph, **given: Any) -> SoftmaxCrossEntropy:
    sizes = {"num_entities": kg.num_entities, "num_relations": kg.num_relations}
    return SoftmaxCrossEntropy(triples=kg.train, **sizes, **given)


def by_hand(
    model: Model, triples: Tensor, *, smoothing: float = 0.0, train: Tensor | None = None
) -> Tensor:
    """Triple by triple, both queries; weighed by #x / #y where ``train`` is given."""
    decoder, entities = model.decoder, model.encoder.entities.weight
    costs = []
    for head, relation, tail in triples.tolist():
        r = torch.tensor([relation])
        for queries, answer, kept, side in (
            (decoder.tail_queries(entities[[head]], r), tail, head, 2),
            (decoder.head_queries(r, entities[[tail]]), head, tail, 0),
        ):
            logits = decoder.score_all(queries, entities)
            cost = F.cross_entropy(logits, torch.tensor([answer]), label_smoothing=smoothing)
            if train is not None:
                same = (train[:, 2 - side] == kept) & (train[:, 1] == relation)
                cost = cost * same.sum() / (train[:, side] == answer).sum()
            costs.append(cost)
    return torch.stack(costs).sum() / len(triples)


def gradients(loss: Tensor, model: Model) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("reciprocal", [False, True])
@pytest.mark.parametrize(
    "given", [{}, {"smoothing": 0.3}, {"backward_correction": True}], ids=["sce", "ls", "bc"]
)
def test_loss_and_gradients_are_those_of_cross_entropy(
    kg: KnowledgeGraph, decoder: str, reciprocal: bool, given: dict[str, Any]
) -> None:
    model = model_of(kg, decoder, reciprocal=reciprocal)
    found = objective(kg, **given)(model.decoder, positives_of(model, kg.train))["loss"]
    train = kg.train if "backward_correction" in given else None
    expected = by_hand(model, kg.train, smoothing=given.get("smoothing", 0.0), train=train)
    assert torch.allclose(found, expected)
    for quick, plain in zip(gradients(found, model), gradients(expected, model), strict=True):
        assert torch.allclose(quick, plain)


def test_smoothing_is_the_published_one_with_a_rescaled_share(kg: KnowledgeGraph) -> None:
    model, n, share = model_of(kg), kg.num_entities, 0.3
    found = objective(kg, smoothing=share)(model.decoder, positives_of(model, kg.train))["loss"]
    entities, published = model.encoder.entities.weight, share * (n - 1) / n
    costs = []
    for head, relation, tail in kg.train.tolist():
        r = torch.tensor([relation])
        for queries, answer in (
            (model.decoder.tail_queries(entities[[head]], r), tail),
            (model.decoder.head_queries(r, entities[[tail]]), head),
        ):
            target = torch.full((1, n), published / (n - 1), dtype=torch.float64)
            target[0, answer] = 1 - published
            costs.append(F.cross_entropy(model.decoder.score_all(queries, entities), target))
    assert torch.allclose(found, torch.stack(costs).sum() / len(kg.train))


def test_a_shift_of_all_scores_changes_nothing(kg: KnowledgeGraph) -> None:
    plain, shifted = model_of(kg), model_of(kg, shift=-3.0)
    losses = [
        objective(kg, smoothing=0.2)(model.decoder, positives_of(model, kg.train))["loss"]
        for model in (plain, shifted)
    ]
    assert torch.allclose(*losses)


def test_a_pass_by_query_is_a_pass_by_triple(kg: KnowledgeGraph) -> None:
    model, loss = model_of(kg), objective(kg, smoothing=0.1)
    whole = loss(model.decoder, positives_of(model, kg.train))["loss"] * len(kg.train)
    batches, triples, total = QueryBatches(kg.train, 4), len(kg.train), torch.zeros(())
    for _ in range(len(batches)):
        rows = batches.next()
        batch = positives_of(model, kg.train[rows % triples])
        batch = replace(batch, is_head_query=rows >= triples)
        # A query's batch counts its triples, of which a pass has twice as many.
        total = total + loss(model.decoder, batch)["loss"] * len(rows) / 2
    assert torch.allclose(total, whole)


def test_equal_queries_are_scored_once(kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    scored = []

    def spy(*given: Any, **options: Any) -> Tensor:
        scored.append((len(given[1]), float(given[3].sum())))
        return all_entities(*given, **options)

    monkeypatch.setattr(softmax, "all_entities", spy)
    model = model_of(kg)
    objective(kg)(model.decoder, positives_of(model, kg.train))
    distinct = sum(len(kg.train[:, part].unique(dim=0)) for part in ([0, 1], [1, 2]))
    assert scored == [(distinct, pytest.approx(2.0))]
    assert distinct < 2 * len(kg.train)


@pytest.mark.parametrize("given", [{}, {"smoothing": 0.3}])
def test_low_precision_is_nearly_right(kg: KnowledgeGraph, given: dict[str, Any]) -> None:
    model = model_of(kg).float()
    losses = [
        objective(kg, precision=precision, **given)(model.decoder, positives_of(model, kg.train))
        for precision in ("float32", "bfloat16")
    ]
    exact, low = (loss["loss"] for loss in losses)
    assert 0 < (exact - low).abs() < 0.01 * exact
    for one, other in zip(gradients(exact, model), gradients(low, model), strict=True):
        assert (one - other).norm() < 0.02 * one.norm()


@pytest.mark.parametrize("decoder", ["transe", "rotate"])
def test_low_precision_is_refused_where_nothing_is_multiplied(
    kg: KnowledgeGraph, decoder: str
) -> None:
    message = f"precision: bfloat16 is for scores by matrix products, not for those of {decoder}"
    with pytest.raises(InputError, match=message):
        objective(kg, precision="bfloat16", decoder=decoder)
    objective(kg, precision="float32", decoder=decoder)
    objective(kg, precision="bfloat16", decoder="distmult")
    model = model_of(kg, decoder)
    with pytest.raises(InputError, match=message):
        objective(kg, precision="bfloat16")(model.decoder, positives_of(model, kg.train))


@pytest.mark.parametrize("decoder", ["complex", "transe", "rotate"])
def test_scores_are_made_once_with_smoothing_too(
    kg: KnowledgeGraph, decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, made = model_of(kg, decoder), []
    score_all = model.decoder.score_all

    def spy(queries: Tensor, entities: Tensor) -> Tensor:
        made.append(len(queries))
        return score_all(queries, entities)

    monkeypatch.setattr(model.decoder, "score_all", spy)
    objective(kg, smoothing=0.3)(model.decoder, positives_of(model, kg.train))
    assert len(made) == (not model.decoder.dot)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"smoothing": 1.0}, r"smoothing: expected a share in \[0, 1\), got 1"),
        ({"smoothing": -0.1}, "smoothing: expected a share"),
        ({"smoothing": float("nan")}, "smoothing: expected a share"),
        ({"precision": "float16"}, "precision: known: float32, bfloat16; got 'float16'"),
        ({"smoothing": 0.1, "backward_correction": True}, "cannot be combined with smoothing"),
    ],
)
def test_options_out_of_range_are_refused(
    kg: KnowledgeGraph, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        objective(kg, **given)
