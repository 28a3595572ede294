"""The interface of decoders: scores of triples of embeddings."""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dans.errors import InputError, counted, shown
from dans.memory import room_for
from dans.models.embedding_tables import Initial, check_share, draw, drop
from dans.registry import derivation

log = logging.getLogger(__name__)

#: Intermediate numbers per chunk when pairs are scored against all relations.
CHUNK = 2**24

#: The shape of a tensor.
Shape = tuple[int, ...]

#: Methods that some decoders have a faster form of, the methods that each agrees with, and what a
#: faster form is made with beside them.
SHORTCUTS: dict[str, tuple[set[str], set[str]]] = {
    "score_all": ({"score_query"}, set()),
    "score_relations": ({"tail_query", "matrices", "score_query"}, {"relation_query"}),
    "both_queries": ({"tail_queries", "head_queries", "tail_query", "head_query"}, set()),
    "tail_queries": ({"tail_query"}, set()),
    "head_queries": ({"head_query"}, set()),
}


class Decoder(nn.Module, ABC):
    """Scores triples of embeddings, larger is truer; owns the relation embeddings.

    A subclass turns (h, r, ?) and (?, r, t) into query embeddings, and compares a query with entity
    embeddings:

        score(h, r, t) = score_query(tail_query(h, r), t) = score_query(head_query(r, t), h)

    ``tail_queries`` and ``head_queries`` do the same from relation ids, with dropout in training.

    A class may have a faster form of a method in ``SHORTCUTS``. Subclasses inherit it until one has
    another form of what it agrees with: that one has the method as it is here.

    With ``reciprocal``, the relation table has a second row r⁻ per relation, (?, r, t) becomes
    (t, r⁻, ?), and a triple has two scores (Lacroix et al. 2018, arXiv:1806.07297).

    Args:
        dim: d, the width of an entity embedding.
        relation_dim: d_r, the width of a relation embedding.
        dropout: share of a relation embedding's coordinates dropped, independently per query unless
            the decoder says otherwise.
        init: standard deviation, half width or gain of the initial relation embeddings.
        initial: their distribution, see ``dans.models.embedding_tables.draw``. The default is that
            of RGCN programs (Schlichtkrull et al. 2018).
    """

    #: does f(h, r, t) = f(t, r, h) hold for every input?
    symmetric: ClassVar[bool] = False
    #: is ``score_query`` the dot product here, plus ``shift``? False where a subclass has another
    dot: ClassVar[bool] = True
    #: is an entity embedding packed as two halves?
    halves: ClassVar[bool] = False
    #: what ``score_query`` adds to a dot product
    shift: float = 0.0

    def __init_subclass__(cls, **given: object) -> None:
        """Leave out the shortcuts that do not agree with what the class has of its own."""
        super().__init_subclass__(**given)
        dot = cls.score_query is Decoder.score_query
        if vars(cls).get("dot", dot) != dot:
            raise InputError(
                f"dot: {cls.__name__} has {cls.dot}, which follows from its score_query and is "
                f"{dot}; leave it out"
            )
        cls.dot = dot
        for name, (agrees_with, made_with) in SHORTCUTS.items():
            if derivation(cls, agrees_with) < derivation(cls, {name, *made_with}):
                setattr(cls, name, getattr(Decoder, name))

    def __init__(
        self,
        num_relations: int,
        dim: int,
        relation_dim: int,
        *,
        reciprocal: bool = False,
        dropout: float = 0.0,
        init: float = math.sqrt(2),
        initial: Initial = "xavier_uniform",
    ) -> None:
        name = type(self).__name__.lower()
        if type(self).score is not Decoder.score:
            raise InputError(
                f"score: {name} has one of its own, which is not what is trained and ranked; "
                "expected tail_query, head_query and score_query"
            )
        if self.dot != (type(self).score_query is Decoder.score_query):
            raise InputError(
                f"score_query: {name} got another one after its class was made; expected a "
                "subclass that has it"
            )
        if self.halves and dim % 2:
            raise InputError(f"dim: {name} needs an even number, got {dim}")
        super().__init__()
        counted("dim", dim)
        rows = num_relations * (1 + reciprocal)
        self.num_relations = num_relations
        self.dim = dim
        self.reciprocal = reciprocal
        self.dropout = check_share("dropout", dropout)
        self.init = init
        self.initial: Initial = initial
        shapes = self.extra_parameters()
        room_for("dim", rows * relation_dim + sum(map(math.prod, shapes.values())))
        #: relation ids to relation embeddings; with ``reciprocal``, the inverse of r is r + m
        self.relation = nn.Embedding(rows, relation_dim)
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        self.reset_parameters()

    def extra_parameters(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters besides the relation table, by name."""
        return {}

    def reset_parameters(self) -> None:
        """Initialise all parameters anew."""
        draw(self.relation.weight, self.initial, self.init)

    @abstractmethod
    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        """The query embedding of (h, r, ?): (..., d) from (..., d) and (..., d_r)."""

    @abstractmethod
    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        """The query embedding of (?, r, t): (..., d) from (..., d_r) and (..., d)."""

    def score_query(self, query: Tensor, entity: Tensor) -> Tensor:
        """Scores of entities as answers to queries: (...) from two (..., d) that broadcast."""
        scores = (query * entity).sum(-1)
        return scores + self.shift if self.shift else scores

    def score_all(self, queries: Tensor, entities: Tensor) -> Tensor:
        """Scores of every entity for every query: (b, n) from (b, d) and (n, d).

        Products are stored entity by entity, because that is up to twice as fast. Other scores are
        made pair by pair; a subclass that knows a faster way has it here.
        """
        if not self.dot:

            def score(some: Tensor, _: Tensor) -> Tensor:
                return self.score_query(some.unsqueeze(1), entities)

            return in_chunks(score, entities.numel(), queries, queries)
        scores = (entities @ queries.T).T
        return scores + self.shift if self.shift else scores

    def score(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        """Scores of triples of embeddings, broadcasting over the last axis."""
        return self.score_query(self.tail_query(h, r), t)

    def score_relations(self, h: Tensor, t: Tensor) -> Tensor:
        """Scores of all relations, without inverses: (b, m) from (b, d) and (b, d); no dropout."""
        r = self.all_relations()

        def score(h: Tensor, t: Tensor) -> Tensor:
            return self.score(h.unsqueeze(1), r, t.unsqueeze(1))

        return in_chunks(score, len(r) * self.dim, h, t)

    def prepare(self, entities: Tensor) -> Tensor:
        """The encoder's embeddings as this decoder uses them: unchanged, unless it bounds them."""
        return entities

    def embeddings(self, relations: Tensor) -> Tensor:
        """Relation embeddings by id, (..., d_r)."""
        r: Tensor = self.relation(relations)
        return r

    def all_relations(self) -> Tensor:
        """The embeddings of all relations, without inverses: (m, d_r)."""
        return self.embeddings(torch.arange(self.num_relations, device=self.relation.weight.device))

    def both_queries(self, h: Tensor, relations: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Query embeddings of (h, r, ?) and of (?, r, t), (b, d) each."""
        return self.tail_queries(h, relations), self.head_queries(relations, t)

    def tail_queries(self, h: Tensor, relations: Tensor) -> Tensor:
        """Query embeddings of (h, r, ?) by relation id: (b, d) from (b, d) and (b,)."""
        return self.drop_query(self.tail_query(h, self.dropped_embeddings(relations)))

    def head_queries(self, relations: Tensor, t: Tensor) -> Tensor:
        """Query embeddings of (?, r, t) by relation id: (b, d) from (b,) and (b, d)."""
        if self.reciprocal:
            return self.tail_queries(t, relations + self.num_relations)
        return self.drop_query(self.head_query(self.dropped_embeddings(relations), t))

    def drop_query(self, queries: Tensor) -> Tensor:
        """Dropout of query embeddings in training: none, unless a decoder has it."""
        return queries

    def dropped_embeddings(self, relations: Tensor) -> Tensor:
        """Relation embeddings by id, with dropout in training."""
        return drop(self.embeddings(relations), self.dropout, self.training)


@torch.no_grad()
def check_shapes(decoder: Decoder) -> None:
    """Refuse a decoder whose methods return another shape than they should, on embeddings of ones.

    The first is named, in the order in which they use each other. ``score_relations``, which would
    take memory, is left out.
    """
    weight, d = decoder.relation.weight, decoder.dim
    ids = torch.zeros(3, dtype=torch.int64, device=weight.device)
    x, y, query, entity = (weight.new_ones(*shape, d) for shape in ((3,), (2,), (3, 1), (3, 2)))
    r = decoder.embeddings(ids)
    # How many numbers a relation has is the decoder's own affair.
    width = r.shape[-1] if isinstance(r, Tensor) and r.ndim else weight.shape[1]
    _check_shape(decoder, "embeddings", (ids,), r, (3, width))
    calls: dict[str, tuple[tuple[Tensor, ...], Shape | tuple[Shape, ...]]] = {
        "prepare": ((x,), (3, d)),
        "tail_query": ((x, r), (3, d)),
        "head_query": ((r, x), (3, d)),
        "tail_queries": ((x, ids), (3, d)),
        "head_queries": ((ids, x), (3, d)),
        "both_queries": ((x, ids, x), ((3, d), (3, d))),
        "score_query": ((query, entity), (3, 2)),
        "score_all": ((x, y), (3, 2)),
        "relation_query": ((x, x), (3, width)),
    }
    unused = {"head_query"} if decoder.reciprocal else set()
    for name, (given, expected) in calls.items():
        if name not in unused and hasattr(decoder, name):
            _check_shape(decoder, name, given, getattr(decoder, name)(*given), expected)


@torch.no_grad()
def check_queries(decoder: Decoder) -> None:
    """Warn of a decoder whose two queries do not give one triple the same score.

    One with reciprocal relations has no use for the second.
    """
    if decoder.reciprocal:
        return
    weight, d = decoder.relation.weight, decoder.dim
    ids = torch.zeros(1, dtype=torch.int64, device=weight.device)
    # No random numbers: those of training would change.
    values = torch.arange(1, 2 * d + 1, device=weight.device, dtype=weight.dtype).sin()
    h, t = decoder.prepare(values.view(2, d)).split(1)
    r = decoder.embeddings(ids)
    as_tail = decoder.score_query(decoder.tail_query(h, r), t)
    as_head = decoder.score_query(decoder.head_query(r, t), h)
    if not torch.allclose(as_tail, as_head, rtol=1e-2, atol=1e-3):
        log.warning(
            "decoder: tail_query and head_query of %s give one triple scores of %.3g and %.3g; "
            "expected the same, unless reciprocal = true",
            type(decoder).__name__,
            as_tail.item(),
            as_head.item(),
        )


def _check_shape(
    decoder: Decoder,
    name: str,
    given: Sequence[Tensor],
    found: object,
    expected: Shape | tuple[Shape, ...],
) -> None:
    """Refuse what a method returned for tensors, unless it has the expected shape, or shapes."""
    shape = tuple(map(_shape, found)) if isinstance(found, tuple) else _shape(found)
    if shape != expected:
        shapes = " and ".join(str(tuple(one.shape)) for one in given)
        raise InputError(
            f"decoder: {name} of {type(decoder).__name__}: expected {expected} from {shapes}; "
            f"got {shape}"
        )


def _shape(found: object) -> Shape | str:
    """The shape of a tensor; of anything else, what it is."""
    return tuple(found.shape) if isinstance(found, Tensor) else shown(found)


def in_chunks(
    score: Callable[[Tensor, Tensor], Tensor], width: int, h: Tensor, t: Tensor
) -> Tensor:
    """Score pairs in chunks, (b, m) from two (b, d), at ``width`` intermediate numbers per pair.

    Intermediate results are recomputed in the backward pass.
    """
    rows = max(1, CHUNK // max(1, width))
    if len(h) <= rows:
        return score(h, t)
    parts = [
        checkpoint(score, *part, use_reentrant=False, preserve_rng_state=False)
        for part in zip(h.split(rows), t.split(rows), strict=True)
    ]
    return torch.cat(parts)
