"""Regularisers: vectors in, a scalar out."""

from torch import Tensor


def l2(*vectors: Tensor) -> Tensor:
    """The sum of the mean squares of some tensors, as RGCN programs use it.

    Example:
        >>> l2(torch.tensor([1., 3.]), torch.tensor([2.]))
        tensor(9.)
    """
    return sum((v.square().mean() for v in vectors[1:]), start=vectors[0].square().mean())
