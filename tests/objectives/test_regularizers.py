"""Regularisers against their formulas."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.objectives.regularizers import (
    N3,
    REGULARIZERS,
    Lp,
    RelationPrediction,
    Table,
    TripleRegularizer,
)
from dans.runs.build import build_regularizers
from tests.suites.models import model_of

H, T = torch.randn(2, 5, 6, dtype=torch.float64)
R = torch.randn(5, 6, dtype=torch.float64)


#: Those of the embeddings of triples.
OF_FACTS = sorted(
    name for name, kind in REGULARIZERS.items() if issubclass(kind, TripleRegularizer)
)


def make(name: str) -> TripleRegularizer:
    given: dict[str, Any] = {"lp": {"p": 3, "entities": 0.1, "relations": 0.2}}
    made = REGULARIZERS[name](**given.get(name, {"weight": 0.1}))
    assert isinstance(made, TripleRegularizer)
    return made


@pytest.mark.parametrize("p", [1, 2, 3])
def test_lp_equals_its_formula_and_weighs_entities_and_relations_apart(p: int) -> None:
    entities = sum(abs(x) ** p for v in (H, T) for x in v.flatten().tolist())
    relations = sum(abs(x) ** p for x in R.flatten().tolist())
    for e, r in ((0.3, 0.7), (0.3, 0.0), (0.0, 0.7)):
        got = Lp(p=p, entities=e, relations=r).of(H, R, T)
        assert got.item() == pytest.approx((e * entities + r * relations) / p / len(H), rel=1e-12)


@pytest.mark.parametrize("one", [*map(make, OF_FACTS), *(Lp(p=p, entities=0.1) for p in (1, 2))])
def test_gradients_are_those_of_finite_differences(one: TripleRegularizer) -> None:
    assert torch.autograd.gradcheck(one.of, [v.clone().requires_grad_() for v in (H, R, T)])


def test_an_entity_counts_as_often_as_triples_mention_it() -> None:
    # Row 0 is three times in three triples, row 1 twice, row 2 once.
    table = torch.tensor([[1.0, -2.0], [3.0, 0.0], [0.5, 0.5]], requires_grad=True)
    heads, tails = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 0])
    loss = Lp(p=2, entities=0.3).of(table[heads], torch.zeros(3, 4), table[tails])
    (gradient,) = torch.autograd.grad(loss, table)
    counts = torch.tensor([[3.0], [2.0], [1.0]])
    torch.testing.assert_close(gradient, 0.3 * counts / 3 * table.detach())


def test_lp_takes_relations_of_any_width() -> None:
    got = Lp(p=2, entities=0.0, relations=1.0).of(H, torch.ones(5, 3), T)
    assert got.item() == pytest.approx(1.5)


def test_n3_is_of_moduli() -> None:
    moduli = [torch.complex(*v.chunk(2, dim=-1)).abs() for v in (H, R, T)]
    expected = 0.1 / len(H) * sum(float((m**3).sum()) for m in moduli)
    assert N3(weight=0.1).of(H, R, T).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", OF_FACTS)
def test_vectors_of_zeros_have_a_finite_gradient(name: str) -> None:
    zeros = [torch.zeros(2, 4, requires_grad=True) for _ in range(3)]
    for gradient in torch.autograd.grad(make(name).of(*zeros), zeros):
        assert bool((gradient == 0).all())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"p": 4, "entities": 1.0}, "p: known: 1, 2, 3; got 4"),
        ({"entities": -1.0}, "entities: must not be negative, got -1"),
        ({"relations": math.inf}, "relations: must be a finite number, got inf"),
        ({}, "entities: expected above 0 where relations has no weight"),
    ],
)
def test_wrong_options_of_lp_are_named(given: dict[str, Any], message: str) -> None:
    for make in (Lp, partial(Table, num_batches=1)):
        with pytest.raises(InputError, match=message):
            make(**given)


@pytest.mark.parametrize("weight", [-1.0, math.nan])
def test_a_weight_that_is_none_is_refused(weight: float) -> None:
    with pytest.raises(InputError, match="weight: must "):
        N3(weight=weight)
    with pytest.raises(InputError, match="weight: must "):
        RelationPrediction(weight=weight)


def test_n3_refuses_relations_that_cannot_be_complex_embeddings_as_entities_are() -> None:
    with pytest.raises(InputError, match="one even width, got 6 and 3"):
        N3(weight=1.0).of(H, R[:, :3], T)
    with pytest.raises(InputError, match="one even width, got 5 and 5"):
        N3(weight=1.0).of(H[:, :5], R[:, :5], T[:, :5])


@pytest.mark.parametrize("decoder", ["distmult", "rotate"])
def test_n3_of_a_decoder_without_complex_embeddings_names_both(
    decoder: str, kg: KnowledgeGraph
) -> None:
    plain: dict[str, Any] = {
        "data": "toy",
        "encoder": {"name": "lookup"},
        "decoder": {"name": decoder},
        "regularizer": [{"name": "n3", "weight": 0.1}],
    }
    message = f"regularizer.0.name: n3 is for complex embeddings, not {decoder}'s"
    with pytest.raises(InputError, match=message):
        build_regularizers(RunConfig.parse(plain), kg)
    plain["decoder"] = {"name": "complex"}
    assert build_regularizers(RunConfig.parse(plain), kg).keys() == {"n3"}


@pytest.mark.parametrize("p", [1, 2, 3])
def test_table_counts_every_vector_once_a_pass(p: int, kg: KnowledgeGraph) -> None:
    model = model_of(kg, reciprocal=True, bound=3.0)
    positives = model.positives(kg.train[:2], model.encode(kg.messages()))
    got = Table(num_batches=7, p=p, entities=0.3, relations=0.2)(model.decoder, positives)
    e = model.encoder.entities.weight.tanh()  # type: ignore[union-attr]
    r = model.decoder.relation.weight.tanh() * 3 / 4
    assert r.shape == (2 * kg.num_relations, 4)
    powers = (sum(abs(x) ** p for x in v.flatten().tolist()) for v in (e, r))
    by_e, by_r = powers
    assert got.item() == pytest.approx((0.3 * by_e + 0.2 * by_r) / p / 7, rel=1e-12)
    for weights, by in (({"entities": 0.3}, 0.3 * by_e), ({"relations": 0.2}, 0.2 * by_r)):
        one = Table(num_batches=7, p=p, **weights)(model.decoder, positives)
        assert one.item() == pytest.approx(by / p / 7, rel=1e-12)


@pytest.mark.parametrize("name", OF_FACTS)
def test_with_reciprocal_relations_those_of_both_queries_count_half_each(
    name: str, kg: KnowledgeGraph
) -> None:
    one, r = make(name), kg.train[:, 1]
    for reciprocal in (False, True):
        model = model_of(kg, "complex", reciprocal=reciprocal)
        positives = model.positives(kg.train, model.encode(kg.messages()))
        table = model.decoder.relation.weight
        both = (table[r], table[r + kg.num_relations]) if reciprocal else (table[r],)
        terms = torch.stack([one.of(positives.h, row, positives.t) for row in both])
        torch.testing.assert_close(one(model.decoder, positives), terms.mean())


@pytest.mark.parametrize("reciprocal", [False, True])
@pytest.mark.parametrize("decoder", ["complex", "rotate"])
def test_relations_are_predicted_among_all(
    decoder: str, reciprocal: bool, kg: KnowledgeGraph
) -> None:
    model = model_of(kg, decoder, reciprocal=reciprocal)
    positives = model.positives(kg.train, model.encode(kg.messages()))
    costs = []
    for (_, relation, _), h, t in zip(kg.train.tolist(), positives.h, positives.t, strict=True):
        r = model.decoder.relation.weight[: kg.num_relations]
        scores = torch.stack([model.decoder.score(h, one, t) for one in r])
        costs.append(-F.log_softmax(scores, 0)[relation])
    got = RelationPrediction(weight=0.5)(model.decoder, positives)
    torch.testing.assert_close(got, 0.5 * torch.stack(costs).mean())
    got.backward()
    grad = model.decoder.relation.weight.grad
    assert grad is not None
    assert bool(grad[: kg.num_relations].any(1).all())
    assert not grad[kg.num_relations :].any()


def test_a_regulariser_may_be_there_twice(kg: KnowledgeGraph) -> None:
    plain: dict[str, Any] = {
        "data": "toy",
        "encoder": "lookup",
        "decoder": "distmult",
        "regularizer": [
            {"name": "lp", "p": 2, "entities": 0.1},
            {"name": "table", "relations": 0.1},
            {"name": "lp", "p": 3, "relations": 0.1},
        ],
    }
    found = build_regularizers(RunConfig.parse(plain), kg)
    assert list(found) == ["lp", "table", "lp.2"]
    assert [one.p for one in found.values()] == [2, 2, 3]  # type: ignore[union-attr]
