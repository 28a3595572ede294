"""Grouping of rows by key, and an index of the queries (h, r, ?) and (?, r, t) of triples."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Groups:
    """Rows grouped by an integer key; groups are numbered in the order of their keys.

    ``numbers``, (f,), is the group of each row; ``counts``, (q,), the number of rows of each group.

    Example:
        >>> groups = Groups.of(torch.tensor([7, 3, 7, 5]))
        >>> groups.numbers, groups.counts, groups.rows, groups.first
        (tensor([2, 0, 2, 1]), tensor([1, 1, 2]), tensor([1, 3, 0, 2]), tensor([1, 3, 0]))
        >>> groups.take(torch.tensor([2, 0]))
        tensor([0, 2, 1])
    """

    numbers: Tensor
    counts: Tensor

    @classmethod
    def of(cls, keys: Tensor, most: int | None = None) -> "Groups":
        """Group (f,) integer keys; rows beyond ``most`` of a key make further groups."""
        numbers = keys.unique(return_inverse=True)[1]
        groups = cls(numbers, torch.bincount(numbers))
        if most is None or not len(keys) or int(groups.counts.max()) <= most:
            return groups
        position = torch.arange(len(keys)) - groups.starts.repeat_interleave(groups.counts)
        part = torch.empty_like(numbers)
        part[groups.rows] = position // most
        return cls.of(numbers * (int(part.max()) + 1) + part)

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def rows(self) -> Tensor:
        """(f,) the rows sorted by group, rising within each."""
        return self.numbers.argsort(stable=True)

    @cached_property
    def starts(self) -> Tensor:
        """(q,) where each group starts in ``rows``."""
        return self.counts.cumsum(0) - self.counts

    @property
    def first(self) -> Tensor:
        """(q,) the first row of each group."""
        return self.rows[self.starts]

    def take(self, groups: Tensor) -> Tensor:
        """The rows of some groups, concatenated."""
        return self.rows[ranges(self.starts[groups], self.counts[groups])[1]]


def ranges(starts: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Ranges of consecutive numbers by (q,) starts and lengths, concatenated.

    Flat pairs, (p,) each: the position of a range, and a number in it.

    Example:
        >>> ranges(torch.tensor([5, 2]), torch.tensor([2, 3]))
        (tensor([0, 0, 1, 1, 1]), tensor([5, 6, 2, 3, 4]))
    """
    which = torch.repeat_interleave(counts)
    before = counts.cumsum(0) - counts
    return which, torch.arange(len(which), device=which.device) + (starts - before)[which]


def query_keys(triples: Tensor, num_entities: int, num_relations: int | Tensor) -> Tensor:
    """(..., 2) keys of the queries (h, r, ?) and (?, r, t) of triples: (side·m + r)·n + the entity.

    Tail queries come first, then head queries, each ordered by relation and then by entity. For m
    any number above the relation ids will do.
    """
    heads, relations, tails = triples.unbind(-1)
    return torch.stack(
        (relations * num_entities + heads, (relations + num_relations) * num_entities + tails), -1
    )


def distinct_ends(triples: Tensor, num_relations: int) -> Tensor:
    """(2, m) int64: the number of distinct heads and of distinct tails of each relation.

    Example:
        >>> distinct_ends(torch.tensor([[0, 0, 1], [0, 0, 2], [0, 0, 2]]), 2)
        tensor([[1, 0],
                [2, 0]])
    """
    n = 1 + int(triples.max()) if len(triples) else 1
    ends = (triples[:, 1] * n + triples[:, column] for column in (0, 2))
    counts = [torch.bincount(keys.unique() // n, minlength=num_relations) for keys in ends]
    return torch.stack(counts)


class QueryIndex(nn.Module):
    """Numbers of the distinct queries (h, r, ?) and (?, r, t) of some triples.

    A query is looked up by a binary search in the sorted ``query_keys``: 8 bytes a query, left out
    of checkpoints.

    Example:
        >>> index = QueryIndex(torch.tensor([[0, 0, 1], [0, 0, 2]]), 3, 1)
        >>> index(torch.tensor([[0, 0, 2], [1, 0, 1]]))
        tensor([[0, 2],
                [3, 1]])
    """

    #: (q,) sorted: the tail queries, then the head queries
    keys: Tensor

    def __init__(self, triples: Tensor, num_entities: int, num_relations: int) -> None:
        super().__init__()
        self.num_entities = num_entities
        self.num_relations = num_relations
        keys = query_keys(triples, num_entities, num_relations).unique()
        self.register_buffer("keys", keys, persistent=False)

    def __len__(self) -> int:
        return len(self.keys)

    def forward(self, triples: Tensor) -> Tensor:
        """(b, 2): the numbers of the queries (h, r, ?) and (?, r, t) of (b, 3) triples.

        An unknown query gets the number after the last one, which may index a spare row of a table.
        """
        wanted = query_keys(triples, self.num_entities, self.num_relations)
        position = torch.searchsorted(self.keys, wanted)
        found = torch.cat((self.keys, self.keys.new_full((1,), -1)))[position] == wanted
        return torch.where(found, position, len(self))


def first_rows(keys: Tensor) -> Tensor:
    """The first row of each distinct key among (f,), rising.

    Example:
        >>> first_rows(torch.tensor([7, 3, 7, 5]))
        tensor([0, 1, 3])
    """
    # NumPy sorts without positions several times faster; mostly nothing is repeated.
    ordered = np.sort(keys.numpy())
    if not bool((ordered[1:] == ordered[:-1]).any()):
        return torch.arange(len(keys))
    rising, order = keys.sort(stable=True)
    first = torch.ones_like(keys, dtype=torch.bool)
    first[1:] = rising[1:] != rising[:-1]
    return order[first].sort().values


def last(rows: Tensor) -> Tensor:
    """The last position of each distinct number, in the order of the numbers.

    A write by repeated indices has no defined order; this picks one of each.
    """
    ordered, order = rows.sort(stable=True)
    ends = torch.ones_like(ordered, dtype=torch.bool)
    ends[:-1] = ordered[1:] != ordered[:-1]
    return order[ends]


def repeats(rows: Tensor) -> Tensor:
    """Whether each number in sorted rows equals the one before it."""
    again = torch.zeros_like(rows, dtype=torch.bool)
    again[:, 1:] = rows[:, 1:] == rows[:, :-1]
    return again
