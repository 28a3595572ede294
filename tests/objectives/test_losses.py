"""Losses: values by hand, gradients the right way, masks respected."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dans.errors import InputError
from dans.objectives.losses import (
    LOSSES,
    Logistic,
    Loss,
    Margin,
    SampledSoftmax,
    SelfAdversarial,
)

POSITIVE = torch.tensor([[1.0], [-0.5]], dtype=torch.float64)
NEGATIVE = torch.tensor([[0.5, -1.0, 2.0], [0.0, 3.0, -2.0]], dtype=torch.float64)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize("balance", ["terms", "triples", "sum"])
def test_logistic_equals_its_formula(balance: str) -> None:
    total = 0.0
    for (positive,), negatives in zip(POSITIVE.tolist(), NEGATIVE.tolist(), strict=True):
        triple, terms = softplus(-positive), [softplus(f) for f in negatives]
        total += {
            "terms": (triple + sum(terms)) / 4,
            "triples": (triple + sum(terms) / 3) / 2,
            "sum": triple + sum(terms),
        }[balance]
    got = Logistic(balance=balance)(POSITIVE, NEGATIVE)  # type: ignore[arg-type]
    assert got.item() == pytest.approx(total / 2, rel=1e-12)


def test_self_adversarial_equals_its_formula_and_detaches_its_weights() -> None:
    negative = NEGATIVE.clone().requires_grad_()
    loss = SelfAdversarial(temperature=0.7, balance="triples")(POSITIVE, negative)
    weights = (0.7 * NEGATIVE).softmax(-1)
    expected = F.softplus(-POSITIVE).mean(-1) + (weights * F.softplus(NEGATIVE)).sum(-1)
    assert loss.item() == pytest.approx((expected / 2).mean().item(), rel=1e-12)
    (gradient,) = torch.autograd.grad(loss, negative)
    torch.testing.assert_close(gradient, weights * NEGATIVE.sigmoid() / 4)


def test_self_adversarial_at_zero_temperature_is_logistic() -> None:
    torch.testing.assert_close(
        SelfAdversarial(temperature=0.0)(POSITIVE, NEGATIVE), Logistic()(POSITIVE, NEGATIVE)
    )


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_step_widens_the_gap(name: str) -> None:
    loss: Loss = LOSSES[name]()
    positive = torch.zeros(4, 1, requires_grad=True)
    negative = torch.zeros(4, 3, requires_grad=True)
    for_positive, for_negative = torch.autograd.grad(loss(positive, negative), (positive, negative))
    assert bool((for_positive < 0).all())
    assert bool((for_negative > 0).all())


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_invalid_negatives_do_not_count(name: str) -> None:
    loss: Loss = LOSSES[name]()
    valid = torch.tensor([[True, True, False], [True, True, False]])
    wild = NEGATIVE.clone()
    wild[:, 2] = 1e3
    torch.testing.assert_close(
        loss(POSITIVE, wild, valid), loss(POSITIVE, NEGATIVE[:, :2], valid[:, :2])
    )


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_triple_without_a_valid_negative_has_a_finite_loss(name: str) -> None:
    none = torch.zeros(2, 3, dtype=torch.bool)
    negative = NEGATIVE.clone().requires_grad_()
    loss = LOSSES[name]()(POSITIVE, negative, none)
    (gradient,) = torch.autograd.grad(loss, negative, allow_unused=True, materialize_grads=True)
    assert math.isfinite(loss.item())
    assert bool((gradient == 0).all())


@pytest.mark.parametrize("balance", ["terms", "triples", "sum"])
@pytest.mark.parametrize("name", ["logistic", "self_adversarial"])
def test_triple_without_a_valid_negative_has_its_own_term_alone(name: str, balance: str) -> None:
    make: Any = LOSSES[name]
    loss, valid = make(balance=balance), torch.tensor([[False] * 3, [True, False, True]])
    alone = softplus(-POSITIVE[0].item()) * (0.5 if balance == "triples" else 1)
    other = loss(POSITIVE[1:], NEGATIVE[1:], valid[1:]).item()
    assert loss(POSITIVE, NEGATIVE, valid).item() == pytest.approx((alone + other) / 2, rel=1e-12)


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize(
    ("positive", "negative", "message"),
    [
        ((0, 1), (0, 3), r"negative: .* b and k at least 1; got \(0, 3\)"),
        ((2, 1), (2, 0), r"negative: .*; got \(2, 0\)"),
        ((2, 1), (2,), r"negative: .*; got \(2,\)"),
        ((2,), (2, 3), r"positive: expected \(2, 1\) or \(2, 3\) scores, got \(2,\)"),
    ],
)
def test_scores_without_a_loss_are_refused(
    name: str, positive: tuple[int, ...], negative: tuple[int, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        LOSSES[name]()(torch.zeros(positive), torch.zeros(negative))
    with pytest.raises(InputError, match=r"valid: expected \(2, 3\), got \(1,\)"):
        LOSSES[name]()(POSITIVE, NEGATIVE, torch.ones(1, dtype=torch.bool))


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_huge_scores_have_finite_losses_and_gradients(name: str) -> None:
    positive = torch.tensor([[-1e9]], requires_grad=True)
    negative = torch.tensor([[1e9, -1e9]], requires_grad=True)
    loss: Tensor = LOSSES[name]()(positive, negative)
    loss.backward()  # type: ignore[no-untyped-call]
    assert bool(torch.isfinite(loss))
    assert positive.grad is not None
    assert bool(torch.isfinite(positive.grad).all())


def test_positive_scores_may_differ_by_negative() -> None:
    torch.testing.assert_close(
        Logistic()(POSITIVE.expand(2, 3), NEGATIVE), Logistic()(POSITIVE, NEGATIVE)
    )


def test_unknown_balance_is_refused() -> None:
    with pytest.raises(InputError, match="balance: known: terms, triples, sum"):
        Logistic(balance="half")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(name for name in LOSSES if name != "sampled_softmax"))
def test_weights_multiply_terms_and_count_none(name: str) -> None:
    loss: Loss = LOSSES[name]()
    ones = torch.ones_like(NEGATIVE)
    whole = loss(POSITIVE, NEGATIVE, None, ones)
    torch.testing.assert_close(whole, loss(POSITIVE, NEGATIVE))
    nothing = loss(POSITIVE, NEGATIVE, None, 0 * ones)
    half = loss(POSITIVE, NEGATIVE, None, ones / 2)
    torch.testing.assert_close(half, (whole + nothing) / 2)


@pytest.mark.parametrize("balance", ["terms", "triples", "sum"])
@pytest.mark.parametrize("name", ["logistic", "self_adversarial"])
def test_an_offset_is_added_to_every_score(name: str, balance: str) -> None:
    make: Any = LOSSES[name]
    valid = torch.tensor([[True, True, False], [True, False, True]])
    got = make(balance=balance, offset=1.5)(POSITIVE, NEGATIVE, valid)
    expected = make(balance=balance)(POSITIVE + 1.5, NEGATIVE + 1.5, valid)
    torch.testing.assert_close(got, expected)
    assert not torch.equal(got, make(balance=balance)(POSITIVE, NEGATIVE, valid))


# 1 − f⁺ + f is ½, (−1), 2 of the first triple and 1½, 4½, (−½) of the second.
@pytest.mark.parametrize(("margin", "sums"), [(1.0, 2.5 + 6), (0.5, 1.5 + 5)])
def test_margin_equals_its_formula(margin: float, sums: float) -> None:
    assert Margin(margin=margin)(POSITIVE, NEGATIVE).item() == pytest.approx(sums / 6)


@pytest.mark.parametrize("offset", [math.inf, math.nan])
def test_an_offset_that_is_no_number_is_refused(offset: float) -> None:
    with pytest.raises(InputError, match="offset: must be a finite number"):
        SelfAdversarial(offset=offset)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_what_makes_no_sense_is_refused_by_name(value: float) -> None:
    with pytest.raises(InputError, match="temperature: must "):
        SelfAdversarial(temperature=value)
    with pytest.raises(InputError, match="margin: must "):
        Margin(margin=value)


def test_sampled_softmax_of_all_other_entities_is_softmax_cross_entropy() -> None:
    scores = torch.randn(5, 8, dtype=torch.float64, requires_grad=True)
    whole = F.cross_entropy(scores, torch.zeros(5, dtype=torch.int64))
    sampled = SampledSoftmax()(scores[:, :1], scores[:, 1:])
    torch.testing.assert_close(sampled, whole)
    one, other = (torch.autograd.grad(loss, scores)[0] for loss in (sampled, whole))
    torch.testing.assert_close(one, other)


def test_sampled_softmax_equals_its_formula() -> None:
    weights = torch.tensor([[2.0, 0.5, 1.0], [3.0, 1.0, 7.0]], dtype=torch.float64)
    valid = torch.tensor([[True, True, False], [True, True, True]])
    total = 0.0
    for i, (positive,) in enumerate(POSITIVE.tolist()):
        terms = [
            weights[i, j].item() * math.exp(f - positive)
            for j, f in enumerate(NEGATIVE[i].tolist())
            if valid[i, j]
        ]
        total += math.log(1 + sum(terms))
    got = SampledSoftmax()(POSITIVE, NEGATIVE, valid, weights)
    assert got.item() == pytest.approx(total / 2, rel=1e-12)
