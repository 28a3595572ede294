"""Comparison of nested states."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def states_equal(a: Any, b: Any) -> bool:
    """Are two nested states the same, to the bit?

    Example:
        >>> states_equal({"w": torch.ones(2)}, {"w": torch.ones(2)})
        True
    """
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return (
            isinstance(a, Tensor)
            and isinstance(b, Tensor)
            and a.dtype == b.dtype
            and torch.equal(a, b)
        )
    if isinstance(a, Mapping):
        return (
            isinstance(b, Mapping)
            and a.keys() == b.keys()
            and all(states_equal(a[key], b[key]) for key in a)
        )
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(states_equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)
