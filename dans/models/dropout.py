"""Dropout that costs little beside what it is put on."""

import torch
from torch import Tensor


def drop(x: Tensor, share: float) -> Tensor:
    """Zero a share of the numbers, and scale the others up so that the expectation stays.

    A coin has sixteen bits, and four of them are drawn at once: on a table of millions of numbers
    several times faster than torch's own, which draws a float for each. The share is rounded to
    1/65536, and the scale goes by what is really kept.

    Args:
        x: any shape.
        share: in [0, 1).

    Example:
        >>> kept = drop(torch.ones(1000, 100), 0.25)
        >>> kept.unique().tolist() == [0.0, torch.tensor(4 / 3).item()]
        True
    """
    bar = round(share * 2**16)
    if not bar:
        return x
    quads = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
    coins = quads.random_(-(2**63), None).view(torch.int16)[: x.numel()]
    kept = (coins >= bar - 2**15).to(x.dtype).mul_(2**16 / (2**16 - bar))
    return x * kept.view(x.shape)
