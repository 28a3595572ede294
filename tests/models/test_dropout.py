"""Dropout: every number alike, no two numbers in step, expectation kept."""

import pytest
import torch

from dans.models.dropout import drop


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_expectation_stays_and_the_share_is_kept(share: float) -> None:
    torch.manual_seed(0)
    dropped = drop(torch.ones(1_000_001), share)
    assert (dropped == 0).double().mean() == pytest.approx(share, abs=0.003)
    assert dropped.double().mean() == pytest.approx(1, abs=0.012)
    assert len(dropped.unique()) == (2 if share else 1)


def test_coins_of_one_draw_are_independent() -> None:
    torch.manual_seed(0)
    quads = (drop(torch.ones(400_000), 0.5) > 0).view(-1, 4).long() @ torch.tensor([1, 2, 4, 8])
    counts = torch.bincount(quads, minlength=16).double()
    # χ² with 15 degrees of freedom exceeds 37.7 once in a thousand times.
    assert float(((counts - 6250).square() / 6250).sum()) < 37.7


def test_gradient_flows_where_numbers_stay() -> None:
    torch.manual_seed(0)
    x = torch.randn(40, 5, dtype=torch.float64, requires_grad=True)
    dropped = drop(x, 0.3)
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    assert torch.allclose(gradient * x, dropped)
    assert {0.0} < set(gradient.flatten().tolist())


def test_a_seed_repeats_it_and_the_input_stays() -> None:
    x = torch.randn(7, 3)
    before = x.clone()
    torch.manual_seed(1)
    one = drop(x, 0.4)
    torch.manual_seed(1)
    assert torch.equal(drop(x, 0.4), one)
    assert torch.equal(x, before)
    assert not torch.equal(drop(x, 0.4), one)
