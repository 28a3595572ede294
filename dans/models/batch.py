"""Batches of triples as embeddings, and their negatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dans.errors import InputError

if TYPE_CHECKING:
    from dans.models.decoders import Decoder
    from dans.models.embedding_tables import Shard

#: Scores query embeddings against entity embeddings over the last axis; larger is truer.
ScoreQuery = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Share:
    """The part of a batch that one of several processes computes.

    Random numbers are drawn for the whole batch by each of them, from the same random state, and
    each takes its part.

    Args:
        start: the first triple of the part.
        stop: the one after the last.
        total: triples of the whole batch.
        gather: from the rows of the part, (stop − start, …), to those of the whole batch, (total,
            …), with gradients into the rows of the part; all processes call it together.
        shard: this process among the others.
    """

    start: int
    stop: int
    total: int
    gather: Callable[[Tensor], Tensor]
    shard: Shard

    @property
    def weight(self) -> float:
        """The part of a mean over triples that is a mean over this part of them."""
        return (self.stop - self.start) / self.total


def own_of(ids: Tensor, shard: Shard) -> tuple[Tensor, Tensor]:
    """Entities shared out among processes: this one's part of (u,) distinct ids, and all places.

    ``shard.fetch`` of the parts' embeddings takes places, (u,), for ids.
    """
    keeper = ids % shard.size
    place = torch.empty_like(ids)
    for rank in range(shard.size):
        kept = (keeper == rank).nonzero().squeeze(1)
        place[kept] = torch.arange(len(kept), device=ids.device) * shard.size + rank
    return ids[keeper == shard.rank], place


@contextmanager
def own_randomness(share: Share | None) -> Iterator[None]:
    """Random numbers of its own for each of several processes, until the block ends."""
    if share is None:
        yield
        return
    state = torch.get_rng_state()
    torch.manual_seed(int(torch.randint(2**62, ())) + share.start)
    try:
        yield
    finally:
        torch.set_rng_state(state)


@dataclass(frozen=True)
class Positives:
    """A batch of triples and their current embeddings.

    Each triple has two queries, (h, r, ?) and (?, r, t). Each is a *query embedding*, which
    ``score_query`` compares with any entity embedding: all that samplers and losses need. Made by
    `Model.positives`.

    All ids are those of the graph, whichever entities are encoded: `embed` finds their rows.

    Args:
        triples: (b, 3) int64 ids.
        h: (b, d) embeddings of the heads.
        r: (b, d_r) embeddings of the relations.
        t: (b, d) embeddings of the tails.
        tail_query: (b, d) query embeddings of (h, r, ?).
        head_query: (b, d) query embeddings of (?, r, t).
        entities: (u, d) embeddings of the entities encoded: all, or those that the step needs.
        score_query: broadcasts over (..., d) to scores (...).
        reciprocal: do the two queries of one triple have different scores?
        dot: is ``score_query`` a dot product plus ``shift``?
        shift: what ``score_query`` adds to a dot product.
        is_head_query: (b,) bool, where each triple stands for one of its queries only: (?, r, t)
            where True. None: both.
        entity_ids: (u,) rising ids of the rows of ``entities``; None: all entities are there.
        num_entities: n, of the graph; by default the number of rows.
        proposal: what the objective drew before anything was encoded; None: nothing.
        share: the part of the batch that these triples are; None: all of it.
    """

    triples: Tensor
    h: Tensor
    r: Tensor
    t: Tensor
    tail_query: Tensor
    head_query: Tensor
    entities: Tensor
    score_query: ScoreQuery
    reciprocal: bool = False
    dot: bool = False
    shift: float = 0.0
    is_head_query: Tensor | None = None
    entity_ids: Tensor | None = None
    num_entities: int = -1
    proposal: Proposal | None = None
    share: Share | None = None

    @classmethod
    def from_embeddings(
        cls,
        triples: Tensor,
        entities: Tensor,
        decoder: Decoder | None = None,
        *,
        entity_ids: Tensor | None = None,
        num_entities: int = -1,
    ) -> Positives:
        """A batch from entity embeddings and a decoder.

        Args:
            triples: (b, 3) int64 ids.
            entities: (u, d) embeddings.
            decoder: scores them; None: DistMult whose relation embeddings are all ones.
            entity_ids: which entities the rows are, rising; None: all.
            num_entities: n, of the graph, if only some are there.

        Example:
            >>> entities = torch.tensor([[1., 0.], [2., 1.]])
            >>> Positives.from_embeddings(torch.tensor([[0, 0, 1]]), entities).scores()
            tensor([[2.]])
        """
        heads, relations, tails = triples.unbind(-1)
        ends = torch.cat((heads, tails))
        if entity_ids is not None:
            ends = rows_of(ends, entity_ids)
        # One gather for both: each has a gradient as large as the table.
        h, t = F.embedding(ends, entities).chunk(2)
        r, queries, score, dot = torch.ones_like(h), (h, t), _dot, True
        reciprocal, shift = False, 0.0
        if decoder is not None:
            queries = decoder.both_queries(h, relations, t)
            r, score = decoder.embeddings(relations), decoder.score_query
            reciprocal, dot, shift = decoder.reciprocal, decoder.dot, decoder.shift
        return cls(
            triples,
            h,
            r,
            t,
            *queries,
            entities,
            score,
            reciprocal=reciprocal,
            dot=dot,
            shift=shift,
            entity_ids=entity_ids,
            num_entities=num_entities,
        )

    @classmethod
    def of_ids(cls, triples: Tensor, num_entities: int) -> Positives:
        """Triples without embeddings, for samplers that do not use the model: (b, 3) ids."""
        if triples.device.type == "cpu" and triples.numel():
            low, high = triples.aminmax()
            if low < 0 or high >= num_entities:
                _check_ids(triples, num_entities)
        empty = torch.empty(len(triples), 0, device=triples.device)
        entities = torch.empty(num_entities, 0, device=triples.device)
        return cls(triples, empty, empty, empty, empty, empty, entities, _no_embeddings)

    def __len__(self) -> int:
        """The number of triples."""
        return len(self.triples)

    def __post_init__(self) -> None:
        """Check shapes."""
        if self.triples.ndim != 2 or self.triples.shape[1] != 3:
            raise ValueError(f"triples: expected (b, 3), got {tuple(self.triples.shape)}")
        if not len(self.triples):
            # Means over none are NaN: losses, regularizers, what a sampler learns by.
            raise InputError("triples: a batch of none; expected at least one")
        for name in ("h", "t", "tail_query", "head_query"):
            rows = len(getattr(self, name))
            if rows != len(self.triples):
                raise ValueError(f"{name}: expected {len(self.triples)} rows, got {rows}")
        if self.entity_ids is None:
            object.__setattr__(self, "num_entities", len(self.entities))
        elif len(self.entity_ids) != len(self.entities) or self.num_entities < len(self.entities):
            raise ValueError("entity_ids: expected one for each row, and num_entities of the graph")

    def randn_like(self, values: Tensor) -> Tensor:
        """Normal variates in the shape of (b, …) values, those of its part of the batch."""
        if self.share is None:
            return torch.randn_like(values)
        of_all = (self.share.total, *values.shape[1:])
        drawn = torch.randn(of_all, dtype=values.dtype, device=values.device)
        return drawn[self.share.start : self.share.stop]

    def gather(self, values: Tensor) -> Tensor:
        """(b, …) values of these triples as those of the whole batch, with gradients into them."""
        return values if self.share is None else self.share.gather(values)

    def rows(self, ids: Tensor) -> Tensor:
        """The rows of ``entities`` that entities have: (...) from (...) ids.

        Raises:
            ValueError: one of them is not encoded.
        """
        return ids if self.entity_ids is None else rows_of(ids, self.entity_ids)

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings of entities, (..., d), with gradients into their rows; errors of `rows`.

        Raises:
            InputError: on a CPU, an id is none of an entity.
        """
        try:
            return F.embedding(self.rows(ids), self.entities)
        except IndexError:
            found = f"{int(ids.min())} to {int(ids.max())}"
            known = f"expected ids from 0 to {self.num_entities - 1}"
            raise InputError(f"negatives: {known}, got {found}") from None

    def ids(self, rows: Tensor) -> Tensor:
        """The ids of rows of ``entities``: (...) from (...)."""
        return rows if self.entity_ids is None else self.entity_ids[rows]

    def detach(self) -> Positives:
        """The same batch without gradients to the model."""
        names = ("h", "r", "t", "tail_query", "head_query", "entities")
        return replace(self, **{name: getattr(self, name).detach() for name in names})

    def slice(self, start: int, stop: int) -> Positives:
        """Triples ``start`` to ``stop``, with the same entities."""
        rows = ["triples", "h", "r", "t", "tail_query", "head_query"]
        rows += [] if self.is_head_query is None else ["is_head_query"]
        parts = {name: getattr(self, name)[start:stop] for name in rows}
        proposal = None if self.proposal is None else self.proposal.slice(start, stop)
        if self.share is not None and (start, stop) != (0, len(self)):
            raise ValueError("the part of a batch that a process computes has no parts of its own")
        return replace(self, **parts, proposal=proposal)

    def scores(self, corrupt_head: Tensor | None = None) -> Tensor:
        """Scores of the triples, (b, 1), by the same query as their negatives.

        (b, k) like ``corrupt_head`` if the two queries of a triple have different scores.
        """
        as_tail = self.score_query(self.tail_query, self.t).unsqueeze(1)
        if not self.reciprocal or corrupt_head is None:
            return as_tail
        as_head = self.score_query(self.head_query, self.h).unsqueeze(1)
        return torch.where(corrupt_head, as_head, as_tail)


@dataclass(frozen=True)
class Proposal:
    """What is drawn of a batch by id, before anything is encoded.

    It says which entities a step needs: their number does not depend on the size of the graph.

    Args:
        ids: (b, k) negatives; None if none is drawn by id.
        corrupt_head: (b, k) bool, their sides.
        valid: (b, k) bool, as of `Negatives`; ``weights`` likewise.
        candidates: (b, c) further entities, of each triple.
        shared: (...) further entities, of the whole batch; −1 for none.
        parts: those of the members of a mixture.
    """

    ids: Tensor | None = None
    corrupt_head: Tensor | None = None
    valid: Tensor | None = None
    weights: Tensor | None = None
    candidates: Tensor | None = None
    shared: Tensor | None = None
    parts: tuple[Proposal, ...] = ()

    def entities(self) -> list[Tensor]:
        """Ids of all entities that are needed, with repeats."""
        own = [ids.flatten() for ids in (self.ids, self.candidates) if ids is not None]
        if self.shared is not None:
            own.append(self.shared[self.shared >= 0])
        return own + [ids for part in self.parts for ids in part.entities()]

    def slice(self, start: int, stop: int) -> Proposal:
        """The part of triples ``start`` to ``stop``, with the same shared entities."""
        names = ("ids", "corrupt_head", "valid", "weights", "candidates")
        given = {name: getattr(self, name) for name in names}
        cut = {name: one[start:stop] for name, one in given.items() if one is not None}
        return replace(self, **cut, parts=tuple(part.slice(start, stop) for part in self.parts))

    def negatives(self, positives: Positives) -> Negatives:
        """The negatives of a batch in which they are encoded, with gradients into their rows."""
        if self.ids is None or self.corrupt_head is None:
            raise ValueError("this proposal has no negatives by id")
        embeddings = positives.embed(self.ids)
        weights = None if self.weights is None else self.weights.to(embeddings.dtype)
        return Negatives(embeddings, self.corrupt_head, self.ids, self.valid, weights)


@dataclass(frozen=True)
class Negatives:
    """Negatives of a batch: entity embeddings that replace the head or the tail of a triple.

    Scoring needs the embeddings only; those drawn from the entities also have ids, generated ones
    do not.

    Args:
        embeddings: (b, k, d).
        corrupt_head: (b, k) bool: is the head the corrupted position?
        ids: (b, k) entities; None if any is generated.
        valid: (b, k) bool, False for a known triple, which does not count. None: all count.
        weights: (b, k) weights in the loss, without gradient.
        partial_ids: (b, k) where only some are generated: the ids of the others, −1 for these.
    """

    embeddings: Tensor
    corrupt_head: Tensor
    ids: Tensor | None = None
    valid: Tensor | None = None
    weights: Tensor | None = None
    partial_ids: Tensor | None = None

    def __post_init__(self) -> None:
        """Check shapes."""
        expected = self.embeddings.shape[:2]
        for name in ("corrupt_head", "ids", "valid", "weights", "partial_ids"):
            given = getattr(self, name)
            if given is not None and given.shape != expected:
                found = f"{tuple(expected)}, got {tuple(given.shape)}"
                raise InputError(f"negatives: {name}: expected {found}")

    @classmethod
    def of(
        cls, positives: Positives, ids: Tensor, corrupt_head: Tensor, valid: Tensor | None = None
    ) -> Negatives:
        """Negatives by entity id, with gradients into their rows."""
        return Proposal(ids, corrupt_head, valid).negatives(positives)

    def triples(self, positives: Tensor) -> Tensor:
        """The corrupted triples as ids: (b, k, 3) from the (b, 3) positives, stored by column."""
        if self.ids is None:
            raise ValueError("generated negatives have no ids; see dans.samplers.nearest")
        return corrupted(positives, self.ids, self.corrupt_head)

    def scores(self, positives: Positives) -> Tensor:
        """Scores of the corrupted triples, (b, k)."""
        if positives.dot:
            scores: Tensor = _Products.apply(  # type: ignore[no-untyped-call]
                self.embeddings, positives.tail_query, positives.head_query, self.corrupt_head
            )
            return scores + positives.shift if positives.shift else scores
        query = torch.where(
            self.corrupt_head.unsqueeze(-1),
            positives.head_query.unsqueeze(1),
            positives.tail_query.unsqueeze(1),
        )
        return positives.score_query(query, self.embeddings)


class _Products(torch.autograd.Function):
    """Dot products of (b, k, d) embeddings with the tail or the head query of their triple, (b, k).

    Autograd would multiply matrices for the gradient by the embeddings, which are queries times a
    number each.
    """

    @staticmethod
    def forward(
        ctx: Any, embeddings: Tensor, tail_query: Tensor, head_query: Tensor, corrupt_head: Tensor
    ) -> Tensor:
        # Both queries at once: half the memory traffic of choosing a query per negative.
        queries = torch.stack((tail_query, head_query), dim=-1)
        ctx.save_for_backward(embeddings, tail_query, head_query, corrupt_head)
        as_tail, as_head = (embeddings @ queries).unbind(-1)
        return torch.where(corrupt_head, as_head, as_tail)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        embeddings, tail_query, head_query, corrupt_head = ctx.saved_tensors
        of_head = grad * corrupt_head
        by_query = torch.stack((grad - of_head, of_head), dim=1) @ embeddings
        by_embedding = None
        if ctx.needs_input_grad[0]:
            queries = torch.stack((tail_query, head_query), dim=1).flatten(0, 1)
            first = torch.arange(0, len(queries), 2, device=queries.device).unsqueeze(1)
            by_embedding = F.embedding(first + corrupt_head, queries).mul_(grad.unsqueeze(-1))
        return by_embedding, by_query[:, 0], by_query[:, 1], None


def _check_ids(triples: Tensor, num_entities: int) -> None:
    """Refuse ids that no entity or relation has; how many relations there are is not known here."""
    for name, columns, most in (("entities", [0, 2], num_entities - 1), ("relations", [1], None)):
        low, high = (int(id) for id in triples[:, columns].aminmax())
        if low < 0 or (most is not None and high > most):
            known = "at least 0" if most is None else f"from 0 to {most}"
            raise InputError(f"triples: expected ids of {name} {known}, got {low} to {high}")


def rows_of(ids: Tensor, entity_ids: Tensor) -> Tensor:
    """The positions of (...) ids among (u,) rising ones: (...)."""
    rows = torch.searchsorted(entity_ids, ids.contiguous()).clamp(max=len(entity_ids) - 1)
    missing = entity_ids[rows] != ids
    if bool(missing.any()):
        one = int(ids[missing][0])
        raise ValueError(f"entity {one} is not encoded in this step; a proposal must name it")
    return rows


def _dot(query: Tensor, entity: Tensor) -> Tensor:
    return (query * entity).sum(-1)


def _no_embeddings(query: Tensor, entity: Tensor) -> Tensor:
    raise ValueError("these triples have no embeddings to score; see Positives.of_ids")


def corrupted(positives: Tensor, ids: Tensor, corrupt_head: Tensor) -> Tensor:
    """Triples, (b, 3), with the head or the tail replaced by other entities: (b, k, 3).

    Example:
        >>> corrupt_head = torch.tensor([[True, False]])
        >>> corrupted(torch.tensor([[0, 7, 1]]), torch.tensor([[5, 6]]), corrupt_head)
        tensor([[[5, 7, 1],
                 [0, 7, 6]]])
    """
    heads, relations, tails = positives.unsqueeze(1).unbind(-1)
    # Column by column: numbers that lie apart are written one at a time. A choice by bits: branches
    # on random sides are mispredicted, at ten times the cost. In place: new memory costs more yet.
    columns = ids.new_empty(3, *ids.shape)
    as_head, mask, as_tail = columns.unbind()
    mask.copy_(corrupt_head).neg_()
    torch.bitwise_xor(ids, heads, out=as_head).bitwise_and_(mask).bitwise_xor_(heads)
    torch.bitwise_xor(ids, tails, out=as_tail).bitwise_and_(mask).bitwise_xor_(ids)
    mask.copy_(relations)
    return columns.movedim(0, -1)
