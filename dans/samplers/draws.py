"""Draws of whole numbers: below a limit, and without repeats."""

import torch
from torch import Tensor


def below(limits: Tensor) -> Tensor:
    """A whole number from 0 to each limit, the limit left out, with equal probability: (...).

    Example:
        >>> below(torch.tensor([1, 1]))
        tensor([0, 0])
    """
    point = torch.rand(limits.shape, dtype=torch.float64, device=limits.device)
    # Rounding may carry a point to the limit itself.
    return torch.minimum((point * limits).long(), limits - 1)


def distinct(sizes: Tensor, side: Tensor) -> Tensor:
    """Places of members, without repeats among a triple's negatives of the same side.

    Robert Floyd's algorithm: the i-th of j out of N, i from 1, is drawn from the first N − j + i,
    or is the last of these where that one was drawn before. Each set of places is as likely as any
    other, in an order that is not random.

    Args:
        sizes: (b, k) how many members there are.
        side: (b, k) bool; negatives of the same triple and side have the same size.

    Returns:
        (b, k) places from 0 to the size; −1 for negatives for whom no member is left.

    Example:
        >>> sizes, side = torch.tensor([[3, 3, 3, 1]]), torch.tensor([[False, False, False, True]])
        >>> distinct(sizes, side).sort().values
        tensor([[0, 0, 1, 2]])
    """
    before = torch.where(side, side.cumsum(1), (~side).cumsum(1)) - 1
    negatives = torch.where(side, side.sum(1, keepdim=True), (~side).sum(1, keepdim=True))
    last = sizes - torch.minimum(negatives, sizes) + before
    drawn = below((last + 1).clamp(min=1))
    places = torch.full_like(sizes, -1)
    for j in range(sizes.shape[1]):
        same = side[:, :j] == side[:, j : j + 1]
        taken = ((places[:, :j] == drawn[:, j : j + 1]) & same).any(1)
        place = torch.where(taken, last[:, j], drawn[:, j])
        places[:, j] = torch.where(before[:, j] < sizes[:, j], place, -1)
    return places


def tossed(head_probability: Tensor, triples: Tensor, k: int) -> Tensor:
    """Coins, each with the chances of its triple's relation: (b, k) bool, True for heads.

    Args:
        head_probability: (m,).
        triples: (b, 3).
        k: coins for each triple.

    Example:
        >>> tossed(torch.tensor([0.0, 1.0]), torch.tensor([[5, 1, 6], [5, 0, 6]]), 2)
        tensor([[ True,  True],
                [False, False]])
    """
    probability = head_probability[triples[:, 1]].unsqueeze(1)
    return torch.rand(len(triples), k, device=probability.device) < probability
