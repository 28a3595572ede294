"""Batches of triples as embeddings, and their negatives."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

#: Compares query embeddings with entity embeddings over the last axis; larger is truer.
ScoreQuery = Callable[[Tensor, Tensor], Tensor]

#: Corrupted triples made at a time on a CPU, so that what lies between stays in its cache.
CORRUPTED = 2**14


@dataclass(frozen=True)
class Positives:
    """A batch of triples, and the embeddings a model has for them now.

    A decoder asks two queries of each triple, (h, r, ?) and (?, r, t), and turns each into a *query
    embedding*; ``score_query`` compares a query with any entity embedding. Samplers and losses need
    no more than that, so none of them imports a decoder.

    Args:
        triples: (b, 3) int64 ids; they index the rows of ``entities``.
        h: (b, d) embeddings of the heads.
        r: (b, ·) embeddings of the relations, as wide as the decoder wants them.
        t: (b, d) embeddings of the tails.
        tail_query: (b, d) the query embeddings of (h, r, ?).
        head_query: (b, d) the query embeddings of (?, r, t).
        entities: (n, d) every entity a negative may be drawn from.
        score_query: broadcasts over (..., d) to scores (...).
        reciprocal: do the two queries of one triple have two different scores?
        dot: is ``score_query`` a dot product plus ``shift``? Then many negatives are matched by one
            matrix product.
        shift: what ``score_query`` adds to every score, where it is a dot product.
        is_head_query: (b,) bool, the one query that each triple stands for: (?, r, t), or (h, r, ?)
            where False. None: both.
        shared_negatives: (p,) rows of ``entities``, those an objective wanted beside the triples'
            own.
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
    shared_negatives: Tensor | None = None

    @classmethod
    def of_ids(cls, triples: Tensor, num_entities: int) -> "Positives":
        """Triples without embeddings: all that a sampler needs which does not look at a model.

        Args:
            triples: (b, 3) int64 ids.
            num_entities: n.

        Example:
            >>> triples = torch.tensor([[0, 0, 1]])
            >>> Positives.of_ids(triples, 5).entities.shape
            torch.Size([5, 0])
        """
        empty = torch.empty(len(triples), 0, device=triples.device)
        entities = torch.empty(num_entities, 0, device=triples.device)
        return cls(triples, empty, empty, empty, empty, empty, entities, _no_vectors)

    def __len__(self) -> int:
        """How many triples."""
        return len(self.triples)

    def __post_init__(self) -> None:
        """Check the shapes that cross module borders."""
        if self.triples.ndim != 2 or self.triples.shape[1] != 3:
            raise ValueError(f"triples: expected (b, 3), got {tuple(self.triples.shape)}")
        for name in ("h", "t", "tail_query", "head_query"):
            rows = len(getattr(self, name))
            if rows != len(self.triples):
                raise ValueError(f"{name}: expected {len(self.triples)} rows, got {rows}")

    def detach(self) -> "Positives":
        """The same triples, cut off from the model: nothing computed from them can move it."""
        embeddings = ("h", "r", "t", "tail_query", "head_query", "entities")
        return replace(self, **{name: getattr(self, name).detach() for name in embeddings})

    def slice(self, start: int, stop: int) -> "Positives":
        """Triples ``start`` to ``stop``, over the same entities."""
        rows = ["triples", "h", "r", "t", "tail_query", "head_query"]
        rows += [] if self.is_head_query is None else ["is_head_query"]
        return replace(self, **{name: getattr(self, name)[start:stop] for name in rows})

    def scores(self, replaces_head: Tensor | None = None) -> Tensor:
        """Scores of the triples, each asked the way its negatives are.

        Args:
            replaces_head: (b, k) bool, the sides of the negatives.

        Returns:
            (b, 1); or (b, k) where the two queries of a triple have different scores.
        """
        as_tail = self.score_query(self.tail_query, self.t).unsqueeze(1)
        if not self.reciprocal or replaces_head is None:
            return as_tail
        as_head = self.score_query(self.head_query, self.h).unsqueeze(1)
        return torch.where(replaces_head, as_head, as_tail)


@dataclass(frozen=True)
class Negatives:
    """Negatives: embeddings that stand in for one side of a triple.

    An entity-level sampler also knows whose embedding a negative is; a generator does not. Scoring
    needs only the embeddings, so nothing downstream asks which kind it got.

    Args:
        embeddings: (b, k, d).
        replaces_head: (b, k) bool; False where the negative replaces the tail.
        ids: (b, k) rows of the entities whose embeddings these are; None for generated ones.
        valid: (b, k) bool; False where a negative is a known triple and must not count. None: all
            count.
        weights: (b, k) floats without gradient, by which a loss multiplies each negative's term.
        partial_ids: (b, k), where only some were generated: ids of the others, −1 for these. None:
            no more is known than ``ids`` says.
    """

    embeddings: Tensor
    replaces_head: Tensor
    ids: Tensor | None = None
    valid: Tensor | None = None
    weights: Tensor | None = None
    partial_ids: Tensor | None = None

    def __post_init__(self) -> None:
        """Check the shapes that cross module borders."""
        expected = self.embeddings.shape[:2]
        for name in ("replaces_head", "ids", "valid", "weights", "partial_ids"):
            given = getattr(self, name)
            if given is not None and given.shape != expected:
                raise ValueError(f"{name}: expected {tuple(expected)}, got {tuple(given.shape)}")

    @classmethod
    def of(
        cls, entities: Tensor, ids: Tensor, replaces_head: Tensor, valid: Tensor | None = None
    ) -> "Negatives":
        """Negatives that are rows of the entities: gradients flow into those rows.

        Args:
            entities: (n, d).
            ids: (b, k) rows.
            replaces_head: (b, k) bool.
            valid: (b, k) bool or None.
        """
        return cls(F.embedding(ids, entities), replaces_head, ids, valid)

    def triples(self, positives: Tensor) -> Tensor:
        """The corrupted triples as ids.

        Args:
            positives: (b, 3).

        Returns:
            (b, k, 3).

        Raises:
            ValueError: these negatives were generated and have no ids.
        """
        if self.ids is None:
            raise ValueError("generated negatives have no ids; see dans.samplers.nearest")
        return corrupted(positives, self.ids, self.replaces_head)

    def scores(self, positives: Positives) -> Tensor:
        """Scores of the corrupted triples, (b, k)."""
        if positives.dot:
            # Both queries at once: half the memory traffic of choosing a query for each negative.
            queries = torch.stack((positives.tail_query, positives.head_query), dim=-1)
            as_tail, as_head = (self.embeddings @ queries).unbind(-1)
            scores = torch.where(self.replaces_head, as_head, as_tail)
            return scores + positives.shift if positives.shift else scores
        query = torch.where(
            self.replaces_head.unsqueeze(-1),
            positives.head_query.unsqueeze(1),
            positives.tail_query.unsqueeze(1),
        )
        return positives.score_query(query, self.embeddings)


def _no_vectors(query: Tensor, entity: Tensor) -> Tensor:
    raise ValueError("these triples have no embeddings to score; see Positives.of_ids")


def corrupted(positives: Tensor, ids: Tensor, replaces_head: Tensor) -> Tensor:
    """Put entities in the place of one side of triples.

    Args:
        positives: (b, 3).
        ids: (b, k) entities.
        replaces_head: (b, k) bool.

    Returns:
        (b, k, 3).

    Example:
        >>> replaces_head = torch.tensor([[True, False]])
        >>> corrupted(torch.tensor([[0, 7, 1]]), torch.tensor([[5, 6]]), replaces_head)
        tensor([[[5, 7, 1],
                 [0, 7, 6]]])
    """
    triples = ids.new_empty(*ids.shape, 3)
    rows = len(ids) if ids.device.type != "cpu" else max(1, CORRUPTED // max(1, ids.shape[1]))
    if len(ids):
        parts = (part.split(rows) for part in (positives, ids, replaces_head, triples))
        for given in zip(*parts, strict=True):
            _corrupt(*given)
    return triples


def _corrupt(positives: Tensor, ids: Tensor, replaces_head: Tensor, triples: Tensor) -> None:
    """Write corrupted triples into (b, k, 3) triples."""
    heads, relations, tails = positives.unsqueeze(1).unbind(-1)
    new_heads, same_relations, new_tails = triples.unbind(-1)
    # By bits, not by choices: no processor foresees a coin, and a wrong guess costs ten of these.
    mask = replaces_head.to(ids.dtype).neg_()
    torch.bitwise_xor((ids ^ heads).bitwise_and_(mask), heads, out=new_heads)
    same_relations.copy_(relations)
    torch.bitwise_xor((ids ^ tails).bitwise_and_(mask), ids, out=new_tails)
