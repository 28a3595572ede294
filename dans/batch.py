"""What flows between a model, a sampler and an objective: facts as vectors, and their rivals."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

#: Compares query vectors with entity vectors over the last axis; larger is truer.
Match = Callable[[Tensor, Tensor], Tensor]

#: Corrupted facts made at a time on a CPU, so that what lies between stays in its cache.
CORRUPTED = 2**14


@dataclass(frozen=True)
class Positives:
    """A batch of facts, and the vectors a model has for them now.

    A decoder asks two questions of each fact, (h, r, ?) and (?, r, t), and turns each into a *query
    vector*; ``match`` compares a query with any entity vector. Samplers and losses need no more
    than that, so none of them imports a decoder.

    Args:
        triples: (b, 3) int64 ids; they index the rows of ``entities``.
        h: (b, d) vectors of the heads.
        r: (b, ·) vectors of the relations, as wide as the decoder wants them.
        t: (b, d) vectors of the tails.
        tail_query: (b, d) the query vectors of (h, r, ?).
        head_query: (b, d) the query vectors of (?, r, t).
        entities: (n, d) every entity a rival may be drawn from.
        match: broadcasts over (..., d) to scores (...).
        reciprocal: do the two questions of one fact have two different scores?
        dot: is ``match`` a dot product plus ``shift``? Then many rivals are matched by one matrix
            product.
        shift: what ``match`` adds to every score, where it is a dot product.
        asks_head: (b,) bool, the one question that each fact stands for: (?, r, t), or (h, r, ?)
            where False. None: both.
        pool: (p,) rows of ``entities``, those an objective wanted beside the facts' own.
    """

    triples: Tensor
    h: Tensor
    r: Tensor
    t: Tensor
    tail_query: Tensor
    head_query: Tensor
    entities: Tensor
    match: Match
    reciprocal: bool = False
    dot: bool = False
    shift: float = 0.0
    asks_head: Tensor | None = None
    pool: Tensor | None = None

    @classmethod
    def of_ids(cls, triples: Tensor, num_entities: int) -> "Positives":
        """Facts without vectors: all that a sampler needs which does not look at a model.

        Args:
            triples: (b, 3) int64 ids.
            num_entities: n.

        Example:
            >>> facts = torch.tensor([[0, 0, 1]])
            >>> Positives.of_ids(facts, 5).entities.shape
            torch.Size([5, 0])
        """
        empty = torch.empty(len(triples), 0, device=triples.device)
        entities = torch.empty(num_entities, 0, device=triples.device)
        return cls(triples, empty, empty, empty, empty, empty, entities, _no_vectors)

    def __len__(self) -> int:
        """How many facts."""
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
        """The same facts, cut off from the model: nothing computed from them can move it."""
        vectors = ("h", "r", "t", "tail_query", "head_query", "entities")
        return replace(self, **{name: getattr(self, name).detach() for name in vectors})

    def slice(self, start: int, stop: int) -> "Positives":
        """Facts ``start`` to ``stop``, over the same entities."""
        rows = ["triples", "h", "r", "t", "tail_query", "head_query"]
        rows += [] if self.asks_head is None else ["asks_head"]
        return replace(self, **{name: getattr(self, name)[start:stop] for name in rows})

    def scores(self, replaces_head: Tensor | None = None) -> Tensor:
        """Scores of the facts, each asked the way its rivals are.

        Args:
            replaces_head: (b, k) bool, the sides of the rivals.

        Returns:
            (b, 1); or (b, k) where the two questions of a fact have different scores.
        """
        as_tail = self.match(self.tail_query, self.t).unsqueeze(1)
        if not self.reciprocal or replaces_head is None:
            return as_tail
        as_head = self.match(self.head_query, self.h).unsqueeze(1)
        return torch.where(replaces_head, as_head, as_tail)


@dataclass(frozen=True)
class Negatives:
    """Rivals: vectors that stand in for one side of a fact.

    An entity-level sampler also knows whose vector a rival is; a generator does not. Scoring needs
    only the vectors, so nothing downstream asks which kind it got.

    Args:
        vectors: (b, k, d).
        replaces_head: (b, k) bool; False where the rival replaces the tail.
        ids: (b, k) rows of the entities whose vectors these are; None for generated ones.
        valid: (b, k) bool; False where a rival is a known fact and must not count. None: all count.
        weights: (b, k) floats without gradient, by which a loss multiplies each rival's term.
        partial_ids: (b, k), where only some were generated: ids of the others, −1 for these. None:
            no more is known than ``ids`` says.
    """

    vectors: Tensor
    replaces_head: Tensor
    ids: Tensor | None = None
    valid: Tensor | None = None
    weights: Tensor | None = None
    partial_ids: Tensor | None = None

    def __post_init__(self) -> None:
        """Check the shapes that cross module borders."""
        expected = self.vectors.shape[:2]
        for name in ("replaces_head", "ids", "valid", "weights", "partial_ids"):
            given = getattr(self, name)
            if given is not None and given.shape != expected:
                raise ValueError(f"{name}: expected {tuple(expected)}, got {tuple(given.shape)}")

    @classmethod
    def of(
        cls, entities: Tensor, ids: Tensor, replaces_head: Tensor, valid: Tensor | None = None
    ) -> "Negatives":
        """Rivals that are rows of the entities: gradients flow into those rows.

        Args:
            entities: (n, d).
            ids: (b, k) rows.
            replaces_head: (b, k) bool.
            valid: (b, k) bool or None.
        """
        return cls(F.embedding(ids, entities), replaces_head, ids, valid)

    def corrupt(self, h: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Heads and tails of the corrupted facts, (b, k, d) each, from (b, d) each."""
        side = self.replaces_head.unsqueeze(-1)
        return (
            torch.where(side, self.vectors, h.unsqueeze(1)),
            torch.where(side, t.unsqueeze(1), self.vectors),
        )

    def triples(self, positives: Tensor) -> Tensor:
        """The corrupted facts as ids.

        Args:
            positives: (b, 3).

        Returns:
            (b, k, 3).

        Raises:
            ValueError: these rivals were generated and have no ids.
        """
        if self.ids is None:
            raise ValueError("generated rivals have no ids; see dans.samplers.nearest")
        return corrupted(positives, self.ids, self.replaces_head)

    def scores(self, positives: Positives) -> Tensor:
        """Scores of the corrupted facts, (b, k)."""
        if positives.dot:
            # Both questions at once: half the memory traffic of choosing a query for each rival.
            queries = torch.stack((positives.tail_query, positives.head_query), dim=-1)
            as_tail, as_head = (self.vectors @ queries).unbind(-1)
            scores = torch.where(self.replaces_head, as_head, as_tail)
            return scores + positives.shift if positives.shift else scores
        query = torch.where(
            self.replaces_head.unsqueeze(-1),
            positives.head_query.unsqueeze(1),
            positives.tail_query.unsqueeze(1),
        )
        return positives.match(query, self.vectors)


def _no_vectors(query: Tensor, entity: Tensor) -> Tensor:
    raise ValueError("these facts have no vectors to score; see Positives.of_ids")


def corrupted(positives: Tensor, ids: Tensor, replaces_head: Tensor) -> Tensor:
    """Put entities in the place of one side of facts.

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
    """Write corrupted facts into (b, k, 3) triples."""
    heads, relations, tails = positives.unsqueeze(1).unbind(-1)
    new_heads, same_relations, new_tails = triples.unbind(-1)
    # By bits, not by choices: no processor foresees a coin, and a wrong guess costs ten of these.
    mask = replaces_head.to(ids.dtype).neg_()
    torch.bitwise_xor((ids ^ heads).bitwise_and_(mask), heads, out=new_heads)
    same_relations.copy_(relations)
    torch.bitwise_xor((ids ^ tails).bitwise_and_(mask), ids, out=new_tails)
