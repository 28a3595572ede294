"""Regularisers against their formulas."""

import torch

from dans.regularizers import l2


def test_l2_is_the_sum_of_mean_squares() -> None:
    one, other = torch.randn(3, 4), torch.randn(7)
    expected = (one**2).sum() / 12 + (other**2).sum() / 7
    torch.testing.assert_close(l2(one, other), expected)
    assert l2(torch.zeros(2)).item() == 0


def test_l2_pulls_towards_zero() -> None:
    vectors = torch.tensor([2.0, -3.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(l2(vectors), vectors)
    assert gradient.tolist() == [2.0, -3.0]
