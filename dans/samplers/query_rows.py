"""Rows for queries: what samplers that remember something of each query look it up by."""

import torch
from torch import Tensor, nn


class Queries(nn.Module):
    """The distinct queries (h, r, ?) and (?, r, t) of some triples, numbered.

    A query is one sorted integer key, (side·m + r)·n + uncorrupted entity, so a look-up is a binary
    search. State: 8 bytes a query, derived from the triples and left out of checkpoints.

    Args:
        triples: (f, 3); repeated queries count once.
        num_entities: n.
        num_relations: m.

    Example:
        >>> queries = Queries(torch.tensor([[0, 0, 1], [0, 0, 2]]), 3, 1)
        >>> len(queries)
        3
        >>> queries(torch.tensor([[0, 0, 2], [1, 0, 1]]))
        tensor([[0, 2],
                [3, 1]])
    """

    #: (q,) sorted: those that ask for a tail, then those that ask for a head
    keys: Tensor

    def __init__(self, triples: Tensor, num_entities: int, num_relations: int) -> None:
        super().__init__()
        self.num_entities = num_entities
        self.num_relations = num_relations
        self.register_buffer("keys", self.key(triples).unique(), persistent=False)

    def __len__(self) -> int:
        """How many distinct queries."""
        return len(self.keys)

    def forward(self, triples: Tensor) -> Tensor:
        """The numbers of the two queries that each triple answers.

        Args:
            triples: (b, 3).

        Returns:
            (b, 2): that of (h, r, ?), that of (?, r, t). One not among the queries gets the
            number after the last, so a table with a spare row needs no exception for it.
        """
        wanted = self.key(triples)
        place = torch.searchsorted(self.keys, wanted)
        found = torch.cat((self.keys, self.keys.new_full((1,), -1)))[place] == wanted
        return torch.where(found, place, len(self))

    def key(self, triples: Tensor) -> Tensor:
        """The keys of (h, r, ?) and (?, r, t): (b, 2) of (b, 3)."""
        heads, relations, tails = triples.unbind(-1)
        return torch.stack(
            (
                relations * self.num_entities + heads,
                (relations + self.num_relations) * self.num_entities + tails,
            ),
            dim=-1,
        )


def last(rows: Tensor) -> Tensor:
    """Where each distinct number stands last, in the order of the numbers.

    Whoever writes to a table by rows that repeat picks one of each by this: a write by index
    promises no order.

    Args:
        rows: (p,) int64.

    Example:
        >>> last(torch.tensor([5, 2, 5, 2, 9]))
        tensor([3, 2, 4])
    """
    ordered, order = rows.sort(stable=True)
    ends = torch.ones_like(ordered, dtype=torch.bool)
    ends[:-1] = ordered[1:] != ordered[:-1]
    return order[ends]


def repeats(rows: Tensor) -> Tensor:
    """What stands again beside itself in sorted rows.

    Example:
        >>> repeats(torch.tensor([[2, 5, 5, 5]]))
        tensor([[False, False,  True,  True]])
    """
    again = torch.zeros_like(rows, dtype=torch.bool)
    again[:, 1:] = rows[:, 1:] == rows[:, :-1]
    return again
