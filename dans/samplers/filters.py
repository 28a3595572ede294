"""Filters for negatives that are known triples, and the side a negative replaces."""

from typing import Literal, get_args

import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.errors import InputError

#: ``none`` offers it all the same; ``mask`` marks it invalid; ``resample`` draws another instead.
Filter = Literal["none", "mask", "resample"]

#: The policies of a sampler that has nothing else to draw.
Mask = Literal["none", "mask"]

#: A fair coin for each negative, or always the same side.
Side = Literal["coin", "head", "tail"]
SIDES: tuple[Side, ...] = get_args(Side)


def positive(option: str, value: int) -> None:
    """Check an option that counts something.

    Raises:
        InputError: the value is less than 1.
    """
    if value < 1:
        raise InputError(f"{option}: must be at least 1, got {value}")


def requires_known(policy: Filter, known: KnownTriples | None) -> None:
    """Check that a filter has something to filter by.

    Raises:
        InputError: the policy is to filter, and there are no known triples.
    """
    if policy != "none" and known is None:
        raise InputError(f"filter: {policy} needs the known triples; without them only none works")


def sides(side: Side, b: int, k: int, device: torch.device) -> Tensor:
    """Which negatives replace the head: (b, k) bool.

    Example:
        >>> sides("head", 1, 2, torch.device("cpu"))
        tensor([[True, True]])
    """
    if side == "coin":
        # A bit of each byte of random words: a tenth of the time that a number for each coin takes.
        words = torch.empty((b * k + 7) // 8, dtype=torch.int64, device=device).random_()
        bits = words.view(torch.uint8).bitwise_and_(1).view(torch.bool)
        return bits[: b * k].view(b, k)
    return torch.full((b, k), side == "head", device=device)


def not_known(known: KnownTriples, positives: Tensor, ids: Tensor, replaces_head: Tensor) -> Tensor:
    """Which corrupted triples are not known: (b, k) bool.

    Args:
        known: the triples that are.
        positives: (b, 3).
        ids: (b, k) entities put in the place of one side.
        replaces_head: (b, k) bool.
    """
    return ~known.is_known_corrupted(positives, ids, replaces_head)
