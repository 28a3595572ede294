"""Regularisers against their formulas."""

import math
from typing import Any

import pytest
import torch

from dans.assembly import build_regularizers
from dans.config import RunConfig
from dans.errors import InputError
from dans.regularizers import N3, REGULARIZERS, Lp, Regularizer, l2

H, T = torch.randn(2, 5, 6, dtype=torch.float64)
R = torch.randn(5, 6, dtype=torch.float64)


def make(name: str) -> Regularizer:
    given: dict[str, Any] = {"lp": {"p": 3, "entities": 0.1, "relations": 0.2}}
    return REGULARIZERS[name](**given.get(name, {"weight": 0.1}))


def test_l2_is_the_sum_of_mean_squares() -> None:
    one, other = torch.randn(3, 4), torch.randn(7)
    expected = (one**2).sum() / 12 + (other**2).sum() / 7
    torch.testing.assert_close(l2(one, other), expected)
    assert l2(torch.zeros(2)).item() == 0


def test_l2_pulls_towards_zero() -> None:
    vectors = torch.tensor([2.0, -3.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(l2(vectors), vectors)
    assert gradient.tolist() == [2.0, -3.0]


@pytest.mark.parametrize("p", [1, 2, 3])
def test_lp_equals_its_formula_and_weighs_entities_and_relations_apart(p: int) -> None:
    entities = sum(abs(x) ** p for v in (H, T) for x in v.flatten().tolist())
    relations = sum(abs(x) ** p for x in R.flatten().tolist())
    for e, r in ((0.3, 0.7), (0.3, 0.0), (0.0, 0.7)):
        got = Lp(p=p, entities=e, relations=r)(H, R, T)
        assert got.item() == pytest.approx((e * entities + r * relations) / p / len(H), rel=1e-12)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_gradient_of_lp_is_a_power_less(p: int) -> None:
    h, r, t = (v.clone().requires_grad_() for v in (H, R, T))
    loss = Lp(p=p, entities=0.3, relations=0.7)(h, r, t)
    for vectors, weight in ((h, 0.3), (r, 0.7), (t, 0.3)):
        (gradient,) = torch.autograd.grad(loss, vectors, retain_graph=True)
        expected = weight * vectors.abs() ** (p - 1) * vectors.sign() / len(H)
        torch.testing.assert_close(gradient, expected)


def test_an_entity_counts_as_often_as_facts_mention_it() -> None:
    # Row 0 is three times in three facts, row 1 twice, row 2 once.
    table = torch.tensor([[1.0, -2.0], [3.0, 0.0], [0.5, 0.5]], requires_grad=True)
    heads, tails = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 0])
    loss = Lp(p=2, entities=0.3)(table[heads], torch.zeros(3, 4), table[tails])
    (gradient,) = torch.autograd.grad(loss, table)
    counts = torch.tensor([[3.0], [2.0], [1.0]])
    torch.testing.assert_close(gradient, 0.3 * counts / 3 * table.detach())


def test_lp_takes_relations_of_any_width() -> None:
    got = Lp(p=2, entities=0.0, relations=1.0)(H, torch.ones(5, 3), T)
    assert got.item() == pytest.approx(1.5)


def test_n3_is_of_moduli() -> None:
    moduli = [torch.complex(*v.chunk(2, dim=-1)).abs() for v in (H, R, T)]
    expected = 0.1 / len(H) * sum(float((m**3).sum()) for m in moduli)
    assert N3(weight=0.1)(H, R, T).item() == pytest.approx(expected, rel=1e-12)


def test_n3_of_real_numbers_is_lp_with_three_times_the_weight() -> None:
    def complex_of(v: torch.Tensor) -> torch.Tensor:
        return torch.cat((v, torch.zeros_like(v)), dim=-1)

    cubes = Lp(p=3, entities=0.3, relations=0.3)(H, R, T)
    torch.testing.assert_close(N3(weight=0.1)(*map(complex_of, (H, R, T))), cubes)


def test_gradient_of_n3_points_along_the_number() -> None:
    h = H.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(N3(weight=0.1)(h, R, T), h)
    modulus = torch.complex(*H.chunk(2, dim=-1)).abs().repeat(1, 2)
    torch.testing.assert_close(gradient, 0.1 * 3 / len(H) * modulus * H)


@pytest.mark.parametrize("name", sorted(REGULARIZERS))
def test_vectors_of_zeros_have_a_finite_gradient(name: str) -> None:
    zeros = [torch.zeros(2, 4, requires_grad=True) for _ in range(3)]
    for gradient in torch.autograd.grad(make(name)(*zeros), zeros):
        assert bool((gradient == 0).all())


@pytest.mark.parametrize("name", sorted(REGULARIZERS))
def test_a_batch_twice_over_costs_the_same(name: str) -> None:
    twice = [torch.cat((v, v)) for v in (H, R, T)]
    torch.testing.assert_close(make(name)(*twice), make(name)(H, R, T))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"p": 4, "entities": 1.0}, "p: expected 1, 2 or 3, got 4"),
        ({"entities": -1.0}, "entities: expected at least 0 and finite, got -1"),
        ({"relations": math.inf}, "relations: expected at least 0 and finite, got inf"),
        ({}, "entities: expected above 0 where relations has no weight"),
    ],
)
def test_wrong_options_of_lp_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Lp(**given)


@pytest.mark.parametrize("weight", [-1.0, math.nan])
def test_a_weight_that_is_none_is_refused(weight: float) -> None:
    with pytest.raises(InputError, match="weight: expected at least 0 and finite"):
        N3(weight=weight)


def test_n3_refuses_relations_that_cannot_be_complex_vectors_as_entities_are() -> None:
    with pytest.raises(InputError, match="one even width, got 6 and 3"):
        N3(weight=1.0)(H, R[:, :3], T)
    with pytest.raises(InputError, match="one even width, got 5 and 5"):
        N3(weight=1.0)(H[:, :5], R[:, :5], T[:, :5])


@pytest.mark.parametrize("decoder", ["distmult", "rotate"])
def test_n3_of_a_decoder_without_complex_vectors_names_both(decoder: str) -> None:
    plain: dict[str, Any] = {
        "data": "toy",
        "encoder": {"name": "lookup"},
        "decoder": {"name": decoder},
        "regularizer": [{"name": "n3", "weight": 0.1}],
    }
    message = f"regularizer.0.name: n3 is of complex vectors, not of {decoder}'s"
    with pytest.raises(InputError, match=message):
        build_regularizers(RunConfig.parse(plain))
    plain["decoder"] = {"name": "complex"}
    assert build_regularizers(RunConfig.parse(plain)).keys() == {"n3"}
