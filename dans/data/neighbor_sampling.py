"""Neighbor sampling: the messages around some entities, a few of each, drawn by DGL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor

from dans.data.message_graph import Norm
from dans.errors import InputError, one_of

if TYPE_CHECKING:
    from dans.data._dgl import dgl


@dataclass(frozen=True, eq=False)
class Block:
    """Messages of one layer, from the rows of its input to the rows of its output (DGL's word).

    Args:
        sources: (e,) int64 rows that send, in [0, num_sources).
        targets: (e,) int64 rows that receive, in [0, num_targets).
        etype: (e,) int64 in [0, 2m).
        weight: (e,) float32.
        num_sources: rows of the input.
        num_targets: rows of the output; in a `Neighborhood` they are the first of the input.
        num_etypes: 2m.
    """

    sources: Tensor
    targets: Tensor
    etype: Tensor
    weight: Tensor
    num_sources: int
    num_targets: int
    num_etypes: int

    def __len__(self) -> int:
        return len(self.sources)

    def to(self, device: torch.device | str) -> Block:
        """The same messages on another device."""
        names = ("sources", "targets", "etype", "weight")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


@dataclass(frozen=True, eq=False)
class Neighborhood:
    """Some entities, and the messages by which an encoder embeds the first of them.

    Args:
        entity_ids: (u,) int64 entities of the rows of the first layer's input; those around which
            was sampled come first, in their order.
        blocks: the messages of each layer, those of the first layer first.
    """

    entity_ids: Tensor
    blocks: tuple[Block, ...]

    @property
    def num_targets(self) -> int:
        """The number of entities around which was sampled."""
        return self.blocks[-1].num_targets

    def to(self, device: torch.device | str) -> Neighborhood:
        """The same messages on another device."""
        blocks = tuple(block.to(device) for block in self.blocks)
        return Neighborhood(self.entity_ids.to(device), blocks)


class IncomingMessages:
    """The messages of a graph by the entity that receives them, to be drawn from.

    They are those of `MessageGraph`: two for each triple, h to t by edge type r and t to h by
    r + m, with the weights w of a norm. `sample` draws messages without replacement. Where s of
    the deg(i) messages that i receives are drawn, each weighs w · deg(i) / s, so that the mean
    over draws of their sum is the sum of all messages.

    All lies on the CPU, where DGL draws: 24 bytes a triple (16 with the norm ``node``) and 8 an
    entity. A draw takes time by the number of messages drawn, not by the size of the graph.

    Args:
        triples: (f, 3) int64, without repeats.
        num_entities: n.
        num_relations: m.
        norm: of the weights.

    Example:
        >>> triples = torch.tensor([[0, 1, 2], [1, 1, 2], [2, 0, 0]])
        >>> around = IncomingMessages(triples, 3, 2).sample(torch.tensor([2]), [0])
        >>> around.entity_ids
        tensor([2, 0, 1])
        >>> block = around.blocks[0]
        >>> sorted(zip(block.sources.tolist(), block.etype.tolist(), block.weight.tolist()))
        [(1, 1, 0.5), (1, 2, 1.0), (2, 1, 0.5)]
    """

    def __init__(
        self, triples: Tensor, num_entities: int, num_relations: int, norm: Norm = "relation"
    ) -> None:
        one_of("norm", norm, get_args(Norm))
        if len(triples) >= 2**30:
            raise InputError(f"triples: expected fewer than 2^30, got {len(triples)}")
        self.triples = triples.cpu()
        self.num_entities = num_entities
        self.num_etypes = 2 * num_relations
        self.norm: Norm = norm
        heads, tails = self.triples[:, 0].int(), self.triples[:, 2].int()
        # Message i is that of triple i from its head, message f + i that from its tail.
        targets = torch.cat((tails, heads))
        #: (n + 1,) where the messages of each target begin
        self.pointers = torch.zeros(num_entities + 1, dtype=torch.int32)
        self.pointers[1:] = torch.bincount(targets, minlength=num_entities).cumsum(0)
        #: (2f,) messages by target, and their sources
        self.order = torch.argsort(targets, stable=True).int()
        self.sources = torch.cat((heads, tails))[self.order]
        #: (2f,) |N_i^r| of each message, in the order of messages
        self.counts = torch.empty(0)
        if norm != "node":
            keys = (self.triples[:, 1] * num_entities + self.triples[:, i] for i in (2, 0))
            self.counts = torch.cat([_multiplicity(key) for key in keys])
        # Rows of entities while a neighborhood is drawn, otherwise −1.
        self._rows = torch.full((num_entities,), -1, dtype=torch.int32)

    @cached_property
    def _graph(self) -> dgl.DGLGraph:
        from dans.data._dgl import dgl

        csc = "csc", (self.pointers, self.sources, self.order)
        return dgl.graph(csc, num_nodes=self.num_entities, idtype=torch.int32)

    def sample(
        self,
        ids: Tensor,
        fanout: Sequence[int],
        *,
        exclude: Tensor | None = None,
        seed: int | None = None,
    ) -> Neighborhood:
        """Messages around some entities, drawn anew by each call.

        DGL's own generator is seeded anew; its draws also depend on the number of threads.

        Args:
            ids: (u,) distinct entities.
            fanout: the most messages that an entity receives in each layer, the first layer first;
                0 or −1: all. Entities of excluded triples receive a few more: DGL draws, then
                excludes, and is asked for so many more messages.
            exclude: rows of triples that send no messages; the weights are those of the others.
            seed: of the draws; None: one that torch's generator gives.
        """
        from dans.data._dgl import dgl

        if not fanout or min(fanout) < -1:
            raise InputError(f"fanout: expected a number from -1 for each layer, got {fanout}")
        dgl.seed(int(torch.randint(2**31 - 1, ())) if seed is None else seed % (2**31 - 1))
        known, blocks = [ids.cpu().int()], []
        try:
            self._number(known[0], 0)
            excluded = _Excluded.of(self, exclude)
            for most in reversed(fanout):
                targets = torch.cat(known)
                drawn = self._draw(targets, most or -1, excluded)
                new = drawn[0][self._rows[drawn[0]] < 0].unique()
                self._number(new, len(targets))
                known.append(new)
                blocks.append(self._block(targets, len(targets) + len(new), drawn, excluded))
        finally:
            for some in known:
                self._rows[some] = -1
        return Neighborhood(torch.cat(known).long(), tuple(reversed(blocks)))

    def __len__(self) -> int:
        """The number of messages."""
        return len(self.sources)

    def piece(self, part: slice) -> tuple[int, Block]:
        """Some consecutive messages by target, and which entity their first output row is."""
        stop = min(part.stop, len(self))
        first = int(torch.searchsorted(self.pointers, part.start, right=True)) - 1
        last = int(torch.searchsorted(self.pointers, stop))
        bounds = self.pointers[first : last + 1].clamp(part.start, stop)
        targets = torch.repeat_interleave(torch.arange(last - first), bounds.diff())
        messages, size = self.order[part], int(targets[-1]) + 1
        # Of the whole entities, of which a piece may hold a part.
        degrees = self.degrees(torch.arange(first, first + size))
        weight = self.weights(messages, degrees[targets])
        sources, n = self.sources[part].long(), self.num_entities
        etype = self.etypes(messages)
        return first, Block(sources, targets, etype, weight, n, size, self.num_etypes)

    def degrees(self, ids: Tensor) -> Tensor:
        """How many messages (u,) entities receive, int64."""
        ids = ids.long()
        return (self.pointers[ids + 1] - self.pointers[ids]).long()

    def etypes(self, messages: Tensor) -> Tensor:
        """The edge types of (e,) messages."""
        back = messages >= len(self.triples)
        relations = self.triples[messages % len(self.triples), 1]
        return relations + self.num_etypes // 2 * back

    def weights(self, messages: Tensor, degrees: Tensor, lost: Tensor | int = 0) -> Tensor:
        """The weights of (e,) messages, float32.

        Args:
            degrees: (e,) deg(i), of their targets.
            lost: (e,) how many of the messages counted by the norm are excluded.
        """
        if self.norm == "node":
            return degrees.float().reciprocal()
        if self.norm == "relation":
            return (self.counts[messages] - lost).float().reciprocal()
        # What j sends by r is what j receives by the inverse of r.
        opposite = (messages.long() + len(self.triples)) % (2 * len(self.triples))
        weight = (self.counts[opposite] - lost).float().reciprocal()
        return degrees.float().reciprocal() * weight

    def _number(self, ids: Tensor, first: int) -> None:
        self._rows[ids] = torch.arange(first, first + len(ids), dtype=torch.int32)

    def _draw(
        self, targets: Tensor, most: int, excluded: _Excluded
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Sources, targets and numbers of messages, drawn for the first (u,) rows."""
        from dans.data._dgl import dgl

        lost = excluded.by_row(self._rows, len(targets))
        # Powers of two: few calls, and at most twice as many messages as are excluded.
        more = torch.where(lost > 0, lost.double().log2().ceil().exp2(), 0).int()
        more = more if most > 0 else more.clamp(max=1)
        drawn = []
        for number in more.unique().tolist():
            found = dgl.sampling.sample_neighbors(
                self._graph,
                targets[more == number],
                most + number if most > 0 else most,
                exclude_edges=excluded.messages if number else None,
            )
            drawn.append((*found.edges(), found.edata[dgl.EID]))
        sources, ends, messages = map(torch.cat, zip(*drawn, strict=True))
        return sources, ends, messages

    def _block(
        self,
        ids: Tensor,
        num_sources: int,
        drawn: tuple[Tensor, Tensor, Tensor],
        excluded: _Excluded,
    ) -> Block:
        """The messages drawn for (u,) entities, with their weights."""
        sources, targets = self._rows[drawn[0]].long(), self._rows[drawn[1]].long()
        messages = drawn[2]
        etype = self.etypes(messages)
        lost = excluded.by_row(self._rows, num_sources)
        degrees = self.degrees(ids) - lost[: len(ids)]
        number = torch.bincount(targets, minlength=len(ids))
        if self.norm == "code":
            inverse = (etype + self.num_etypes // 2) % self.num_etypes
            fewer = excluded.by_type(self._rows, lost, sources, inverse)
        else:
            fewer = excluded.by_type(self._rows, lost, targets, etype)
        weight = (
            self.weights(messages, degrees[targets], fewer) * (degrees.float() / number)[targets]
        )
        return Block(sources, targets, etype, weight, num_sources, len(ids), self.num_etypes)


@dataclass(frozen=True, eq=False)
class _Excluded:
    """The messages of excluded triples, and how many of them an entity would have received.

    Args:
        messages: (x,) int32.
        etypes: (x,) their types.
        targets: (x,) int64 entities.
    """

    messages: Tensor
    etypes: Tensor
    targets: Tensor

    @classmethod
    def of(cls, graph: IncomingMessages, rows: Tensor | None) -> _Excluded:
        """The messages of some rows of triples; repeats count once."""
        rows = torch.empty(0, dtype=torch.int64) if rows is None else rows.cpu().unique()
        messages = torch.cat((rows, rows + len(graph.triples)))
        targets = torch.cat((graph.triples[rows, 2], graph.triples[rows, 0]))
        return cls(messages.int(), graph.etypes(messages), targets)

    def by_row(self, rows: Tensor, number: int) -> Tensor:
        """(number,) messages lost by the entities of the first rows, by (n,) rows of entities."""
        found = rows[self.targets]
        return torch.bincount(found[(found >= 0) & (found < number)], minlength=number)

    def by_type(self, rows: Tensor, lost: Tensor, ends: Tensor, etype: Tensor) -> Tensor:
        """(e,) messages of a type lost by the entities of rows; ``lost`` is `by_row` of all."""
        types = int(self.etypes.max()) + 1 if len(self.etypes) else 1
        key = rows[self.targets].long() * types + self.etypes
        keys, counts = key.unique(return_counts=True)
        # Few entities lose any.
        some = ((lost > 0)[ends] & (etype < types)).nonzero().squeeze(1)
        key = ends[some] * types + etype[some]
        place = torch.searchsorted(keys, key).clamp(max=len(keys) - 1)
        found = torch.where(keys[place] == key, counts[place], 0)
        return torch.zeros_like(ends).index_copy_(0, some, found)


def _multiplicity(keys: Tensor) -> Tensor:
    """(f,) int32: how often the value of each key occurs."""
    keys, order = keys.sort()
    counts = torch.unique_consecutive(keys, return_counts=True)[1]
    repeated = counts.int().repeat_interleave(counts)
    return torch.empty_like(repeated).index_copy_(0, order, repeated)
