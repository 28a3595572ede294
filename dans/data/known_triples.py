"""The filter set: the triples known to be true, of the training split or of all splits."""

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from dans.data.query_index import ranges
from dans.errors import InputError

#: Knuth's multiplicative hash, ⌊2⁶⁴/φ⌋ as a signed integer: the high bits of the product are mixed.
MIX = -7046029254386353131

#: Slots of the hash table per triple, of eight bits each: about one unknown triple in 64 is taken
#: for known at first, which costs a binary search.
SLOTS = 8


class KnownTriples(nn.Module):
    """A set of triples, with exact membership and all answers to (h, r, ?) and (?, r, t).

    A triple is an integer key by `triple_keys`. A hash table of bits rejects nearly all unknown
    triples; a binary search in the sorted keys decides about the rest. Keys and table are made when
    first needed: a sampler without a filter has them for nothing. The tensors are buffers, which
    follow ``.to(device)`` and are left out of checkpoints.

    Args:
        triples: (f, 3) int64; repeated triples count once.
        num_entities: n.
        num_relations: m, inverses not counted; n·n·m must be below 2⁶³.

    Example:
        >>> known = KnownTriples(torch.tensor([[0, 0, 1], [0, 0, 2], [1, 0, 2]]), 3, 1)
        >>> known.is_known(torch.tensor([[0, 0, 2], [2, 0, 0]]))
        tensor([ True, False])
        >>> known.tails(heads=torch.tensor([1, 0]), relations=torch.tensor([0, 0]))
        (tensor([0, 1, 1]), tensor([2, 1, 2]))
    """

    _triples: Tensor | None
    _by_head: Tensor | None
    _by_tail: Tensor | None
    _table: Tensor | None

    def __init__(self, triples: Tensor, num_entities: int, num_relations: int) -> None:
        super().__init__()
        if num_entities * num_entities * num_relations >= 2**63:
            raise InputError(
                f"graph: {num_entities} entities and {num_relations} relations need keys beyond "
                f"64 bits; accepted are entities² × relations below 2^63"
            )
        self.num_entities = num_entities
        self.num_relations = num_relations
        triples = triples.reshape(-1, 3)
        limits = {"head": num_entities, "relation": num_relations, "tail": num_entities}
        for (name, limit), ids in zip(limits.items(), triples.unbind(1), strict=True):
            if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < limit:
                wrong = ids[(ids < 0) | (ids >= limit)]
                raise InputError(f"triples: {name} id {int(wrong[0])} is not in 0 to {limit - 1}")
        self.register_buffer("_triples", triples, persistent=False)
        for made in ("_by_head", "_by_tail", "_table"):
            self.register_buffer(made, None, persistent=False)

    @property
    def by_head(self) -> Tensor:
        """(f,) the sorted keys."""
        if self._by_head is None and self._triples is not None:
            self._by_head, self._triples = distinct(self._key(self._triples)), None
        return cast(Tensor, self._by_head)

    @property
    def by_tail(self) -> Tensor:
        """(f,) likewise of (r·n + t)·n + h."""
        if self._by_tail is None:
            queries, tails = _divided(self.by_head, self.num_entities)
            heads, relations = _divided(queries, self.num_relations)
            self._by_tail = distinct(
                (relations * self.num_entities + tails) * self.num_entities + heads
            )
        return self._by_tail

    @property
    def table(self) -> Tensor:
        """The hash table: slots of eight bits, one bit set for each key."""
        if self._table is None:
            bits = distinct(self._slot(self.by_head) * 8 + self._bit(self.by_head))
            table = torch.zeros(1 << self.bits, dtype=torch.uint8, device=self.device)
            # The bits are distinct, so that adding them sets them.
            self._table = table.index_add_(0, bits >> 3, (1 << (bits & 7)).to(torch.uint8))
        return self._table

    @property
    def bits(self) -> int:
        """The number of bits that number the slots of the table."""
        return max(6, (SLOTS * len(self) - 1).bit_length())

    def __len__(self) -> int:
        return len(self.by_head)

    @property
    def device(self) -> torch.device:
        """The device of the buffers, where queries are expected."""
        made = self._by_head if self._triples is None else self._triples
        return cast(Tensor, made).device

    def is_known(self, triples: Tensor) -> Tensor:
        """(...) bool, whether each of (..., 3) triples is in the set; ids must be in range."""
        return self._holds(self._key(triples))

    def is_known_corrupted(self, positives: Tensor, ids: Tensor, corrupt_head: Tensor) -> Tensor:
        """(b, k) bool, whether corrupted triples are in the set.

        The same as ``is_known(dans.models.batch.corrupted(…))``, without making those triples:
        (b, 3) positives, (b, k) entity ids, and (b, k) bool, whether they replace the head.
        """
        heads, _, tails = positives.unsqueeze(1).unbind(-1)
        side = corrupt_head.long()
        # The next tail has the next key, the next head the key n·m further on.
        more = torch.addcmul(tails, heads - tails, side)
        torch.sub(ids, more, out=more)
        worth = side.mul_(self.num_entities * self.num_relations - 1).add_(1)
        return self._holds(more.mul_(worth).add_(self._key(positives.unsqueeze(1))))

    def tails(self, heads: Tensor, relations: Tensor) -> tuple[Tensor, Tensor]:
        """All known answers to (b,) queries (h, r, ?).

        Flat pairs, (p,) each: the row of a query, rising, and an entity that answers it.
        """
        return self._answers(self.by_head, heads * self.num_relations + relations)

    def heads(self, relations: Tensor, tails: Tensor) -> tuple[Tensor, Tensor]:
        """All known answers to (b,) queries (?, r, t), in the form of ``tails``."""
        return self._answers(self.by_tail, relations * self.num_entities + tails)

    def _key(self, triples: Tensor) -> Tensor:
        return triple_keys(triples, self.num_entities, self.num_relations)

    def _holds(self, keys: Tensor) -> Tensor:
        shape, keys = keys.shape, keys.flatten()
        found = self.table.index_select(0, self._slot(keys)) >> self._bit(keys) & 1
        suspects = found.nonzero().squeeze(1)
        known = torch.zeros(len(keys), dtype=torch.bool, device=keys.device)
        if len(suspects):
            wanted = keys[suspects]
            position = torch.searchsorted(self.by_head, wanted).clamp_(max=len(self) - 1)
            known[suspects] = self.by_head[position] == wanted
        return known.view(shape)

    def _slot(self, keys: Tensor) -> Tensor:
        # The shift is arithmetic: the mask drops the copies of the sign.
        slots = keys * MIX
        return slots.bitwise_right_shift_(64 - self.bits).bitwise_and_((1 << self.bits) - 1)

    def _bit(self, keys: Tensor) -> Tensor:
        """The bit within a slot: the lowest bits of the key, nearly independent of its slot."""
        return keys.to(torch.uint8) & 7

    def _answers(self, keys: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        first = torch.searchsorted(keys, queries * self.num_entities)
        count = torch.searchsorted(keys, (queries + 1) * self.num_entities) - first
        rows, positions = ranges(first, count)
        return rows, keys[positions] % self.num_entities


def triple_keys(triples: Tensor, num_entities: int, num_relations: int) -> Tensor:
    """(...) keys of (..., 3) triples, (h·m + r)·n + t."""
    heads, relations, tails = triples.unbind(-1)
    return (heads * num_relations + relations) * num_entities + tails


def distinct(keys: Tensor) -> Tensor:
    """The distinct numbers among (f,) integers, rising."""
    if keys.device.type != "cpu":
        found: Tensor = keys.unique()
    else:
        # NumPy sorts integers several times faster.
        found = torch.from_numpy(np.sort(keys.numpy())).unique_consecutive()
    return found


def _divided(keys: Tensor, by: int) -> tuple[Tensor, Tensor]:
    """Quotients and remainders of keys of at least 0."""
    quotients = keys.div(by, rounding_mode="floor")
    return quotients, keys - quotients * by
