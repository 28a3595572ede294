"""Dropout that costs little beside what it is put on."""

import torch
from torch import Tensor

from dans.errors import InputError


def check_share(name: str, value: float) -> float:
    """A share of numbers to drop, as it was given.

    Args:
        name: of the option.
        value: of it.

    Raises:
        InputError: not in [0, 1).
    """
    if not 0 <= value < 1:
        raise InputError(f"{name}: expected a share in [0, 1), got {value:g}")
    return value


def drop(x: Tensor, share: float) -> Tensor:
    """Zero a share of the numbers, and scale the others up so that the expectation stays.

    A coin has sixteen bits, and four of them are drawn at once: on a table of millions of numbers
    several times faster than torch's own, which draws a float for each. The share is rounded to
    1/65536, but neither to nothing nor to all, and the scale goes by what is really kept.

    Args:
        x: any shape.
        share: in [0, 1).

    Example:
        >>> kept = drop(torch.ones(1000, 100), 0.25)
        >>> kept.unique().tolist() == [0.0, torch.tensor(4 / 3).item()]
        True
    """
    if not share:
        return x
    bar = min(max(round(share * 2**16), 1), 2**16 - 1)
    quads = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
    coins = quads.random_(-(2**63), None).view(torch.int16)[: x.numel()]
    kept = (coins >= bar - 2**15).to(x.dtype).mul_(2**16 / (2**16 - bar))
    return x * kept.view(x.shape)
