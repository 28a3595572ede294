"""What a decoder is: a query as an embedding, and how well an entity's embedding answers it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dans.errors import InputError, above_zero, finite
from dans.models.dropout import check_share, drop
from dans.models.initialization import Initial, draw

#: Numbers that lie between embeddings and scores at a time, where they are not the scores
#: themselves.
PIECE = 2**24


class Decoder(nn.Module, ABC):
    """Scores triples of embeddings; larger is truer. Owns the relation embeddings alone.

    A subclass says how (h, r, ?) and (?, r, t) become query embeddings and how a query is matched
    with entities; everything else follows:

        score(h, r, t) = score_query(query_tails(h, r), t)

    With ``reciprocal``, the relation table has a second row per relation and (?, r, t) is asked as
    (t, r⁻, ?) (Lacroix et al. 2018, arXiv:1806.07297); a triple then has two scores.

    Args:
        num_relations: m, inverses not counted.
        dim: d, the width of an entity embedding.
        relation_dim: the width of a relation embedding.
        reciprocal: learn an embedding for the inverse of each relation too.
        dropout: share of a relation embedding's coordinates dropped; for each query afresh, unless
            a decoder says otherwise.
        init: standard deviation, half width or gain of the relation embeddings at the start.
        initial: their distribution; see ``dans.models.initialization.draw``. By default as the RGCN
            programs have it (Schlichtkrull et al. 2018).

    Raises:
        InputError: an option out of range.
    """

    #: does f(h, r, t) = f(t, r, h) hold for every input? The suite checks, both pathways.
    symmetric: ClassVar[bool]
    #: is ``score_query`` a dot product, plus ``shift``?
    dot: ClassVar[bool] = True
    #: what ``score_query`` adds to a dot product
    shift: float = 0.0

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
        super().__init__()
        self.num_relations = num_relations
        self.dim = dim
        self.reciprocal = reciprocal
        self.dropout = check_share("dropout", dropout)
        self.init = init
        self.initial: Initial = initial
        #: relation ids to relation embeddings; with ``reciprocal``, the inverse of r is r + m
        self.relation = nn.Embedding(num_relations * (1 + reciprocal), relation_dim)
        for name, shape in self.own_shapes().items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        self.reset_parameters()

    def own_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of its parameters beside the relation table, by name."""
        return {}

    def reset_parameters(self) -> None:
        """Draw the relation embeddings anew."""
        draw(self.relation.weight, self.initial, self.init)

    @abstractmethod
    def query_tails(self, h: Tensor, r: Tensor) -> Tensor:
        """The query (h, r, ?) as an embedding: (..., d) from (..., d) and (..., d_r)."""

    @abstractmethod
    def query_heads(self, r: Tensor, t: Tensor) -> Tensor:
        """The query (?, r, t) as an embedding: (..., d) from (..., d_r) and (..., d)."""

    def score_query(self, query: Tensor, entity: Tensor) -> Tensor:
        """How well entities answer queries: (...) from any two (..., d) that broadcast."""
        scores = (query * entity).sum(-1)
        return scores + self.shift if self.shift else scores

    def score_all(self, queries: Tensor, entities: Tensor) -> Tensor:
        """Every entity against every query: (b, n) from (b, d) and (n, d).

        The result is laid out entity by entity: that product runs up to twice as fast.
        """
        scores = (entities @ queries.T).T
        return scores + self.shift if self.shift else scores

    def asking(self, rows: int) -> int:
        """How many numbers it holds at most to ask queries, their embeddings among them.

        Without gradients, and with the embeddings of the given entities.
        """
        return rows * (6 * self.dim + 2 * self.relation.embedding_dim)

    def matching(self, rows: int, entities: int) -> int:
        """How many numbers ``score_all`` holds at most, the scores among them; without gradients.

        Args:
            rows: queries.
            entities: matched with each.
        """
        return 2 * rows * entities

    def pulling(self, rows: int, entities: int) -> int:
        """How many numbers the gradient of ``score_all`` holds at most, itself among them.

        Args:
            rows: queries.
            entities: matched with each.
        """
        return 3 * rows * entities + 4 * (rows + entities) * self.dim

    def score(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        """Scores of triples, broadcasting over (..., d)."""
        return self.score_query(self.query_tails(h, r), t)

    def score_relations(self, h: Tensor, t: Tensor) -> Tensor:
        """All relations, inverses not counted, between pairs: (b, m) from (b, d) and (b, d).

        No dropout. Pairs are compared a few at a time, in bounded memory.
        """
        r = self._all_vectors()

        def compare(h: Tensor, t: Tensor) -> Tensor:
            return self.score(h.unsqueeze(1), r, t.unsqueeze(1))

        return in_pieces(compare, len(r) * self.dim, h, t)

    def prepare(self, entities: Tensor) -> Tensor:
        """What an encoder's embeddings are to this decoder: as they are, unless it bounds them."""
        return entities

    def embeddings(self, relations: Tensor) -> Tensor:
        """Relation embeddings by ids: (..., d_r)."""
        r: Tensor = self.relation(relations)
        return r

    def _all_vectors(self) -> Tensor:
        place = self.relation.weight.device
        return self.embeddings(torch.arange(self.num_relations, device=place))

    def ask(self, h: Tensor, relations: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Query embeddings of (h, r, ?) and of (?, r, t), (b, d) each."""
        return self.tail_queries(h, relations), self.head_queries(relations, t)

    def tail_queries(self, h: Tensor, relations: Tensor) -> Tensor:
        """Query embeddings of (h, r, ?) by relation ids: (b, d) from (b, d) and (b,)."""
        return self.query_tails(h, self._dropped(relations))

    def head_queries(self, relations: Tensor, t: Tensor) -> Tensor:
        """Query embeddings of (?, r, t) by relation ids: (b, d) from (b,) and (b, d)."""
        if self.reciprocal:
            return self.tail_queries(t, relations + self.num_relations)
        return self.query_heads(self._dropped(relations), t)

    def _dropped(self, relations: Tensor) -> Tensor:
        embeddings = self.embeddings(relations)
        return drop(embeddings, self.dropout) if self.training else embeddings


class Multilinear(Decoder):
    """A decoder whose score is linear in head, relation and tail alike.

    So the scores of all triples of some entities and relations add up to one score of their sums:

        Σ_{h,r,t} f(h, r, t) = f(Σ h, Σ r, Σ t)

    With ``bound`` I, entities and relations pass through tanh and the score is scaled so that
    |f| < I. Source of bound, shift and query dropout: Hajimoradlou & Kazemi 2022, Stay Positive.
    There the scale is I / d for every decoder; here it is I / ``terms``, the least that keeps the
    promise: I / d for DistMult and ComplEx, but 2I / d for SimplE, I / d² for RESCAL and
    I / (d² d_r) for TuckER. The last two are tiny at the start, and probabilities all but equal.

    Args:
        num_relations: m.
        dim: d, of an entity.
        reciprocal: learn an embedding for the inverse of each relation too.
        bound: I, above 0; None: scores are not bounded.
        shift: ψ, added to every score. It changes no rank, but a probability.
        dropout: as for `Decoder`.
        query_dropout: share of a query's products dropped: those of a head and a relation.
        init: as for `Decoder`.
        initial: as for `Decoder`.

    Raises:
        InputError: an option out of range.
    """

    def __init__(
        self,
        num_relations: int,
        dim: int,
        *,
        reciprocal: bool = False,
        bound: float | None = None,
        shift: float = 0.0,
        dropout: float = 0.0,
        query_dropout: float = 0.0,
        init: float = math.sqrt(2),
        initial: Initial = "xavier_uniform",
    ) -> None:
        if bound is not None:
            above_zero("bound", bound)
        finite("shift", shift)
        super().__init__(
            num_relations,
            dim,
            self.relation_width(dim),
            reciprocal=reciprocal,
            dropout=dropout,
            init=init,
            initial=initial,
        )
        self.bound = bound
        self.shift = shift
        self.query_dropout = check_share("query_dropout", query_dropout)

    def relation_width(self, dim: int) -> int:
        """The width of a relation embedding, given that of an entity embedding.

        Raises:
            InputError: no entity embedding of this decoder is that wide.
        """
        return dim

    @property
    def terms(self) -> int:
        """The largest |f| there is while no number of h, r and t exceeds 1."""
        return self.dim

    @property
    def pair_width(self) -> int:
        """How many numbers ``query_relations`` makes of a pair on its way."""
        return self.relation.embedding_dim

    @abstractmethod
    def query_relations(self, h: Tensor, t: Tensor) -> Tensor:
        """The query (h, ?, t) as an embedding, whose dot product with r is the score without shift.

        (..., d_r) from (..., d) and (..., d).
        """

    def score_relations(self, h: Tensor, t: Tensor) -> Tensor:
        """See ``Decoder``; by a matrix product."""
        r = self._all_vectors()

        def compare(h: Tensor, t: Tensor) -> Tensor:
            scores = self.query_relations(h, t) @ r.T
            return scores + self.shift if self.shift else scores

        return in_pieces(compare, self.pair_width, h, t)

    def prepare(self, entities: Tensor) -> Tensor:
        """Through tanh, where scores are bounded."""
        return entities if self.bound is None else entities.tanh()

    def embeddings(self, relations: Tensor) -> Tensor:
        """Relation embeddings by ids, (..., d_r); through tanh and scaled, if they are bounded."""
        return self._bounded(self.relation(relations))

    def _bounded(self, r: Tensor) -> Tensor:
        return r if self.bound is None else r.tanh() * (self.bound / self.terms)

    def tail_queries(self, h: Tensor, relations: Tensor) -> Tensor:
        """See ``Decoder``; some of the products are dropped in training."""
        return self._drop_products(super().tail_queries(h, relations))

    def head_queries(self, relations: Tensor, t: Tensor) -> Tensor:
        """See ``Decoder``; some of the products are dropped in training."""
        queries = super().head_queries(relations, t)
        # With reciprocal relations it was asked as a tail, and dropped there.
        return queries if self.reciprocal else self._drop_products(queries)

    def _drop_products(self, queries: Tensor) -> Tensor:
        return drop(queries, self.query_dropout) if self.training else queries

    def total(self, entities: Tensor, relations: Tensor | None = None) -> Tensor:
        """The sum of the scores of all triples of some entities and relations, without the shift.

            Σ_{h,r,t} f(h, r, t) = f(S, P, S),  S = Σ e,  P = Σ r

        Of (n + m) d operations, against n² m d. With reciprocal relations, of both scores of a
        triple. No dropout.

        Source: Hajimoradlou & Kazemi 2022, Stay Positive, §4.

        Args:
            entities: (u, d) prepared embeddings.
            relations: (v,) distinct ids; None: all.
        """
        if relations is None:
            relations = torch.arange(self.num_relations, device=entities.device)
        if self.reciprocal:
            relations = torch.cat((relations, relations + self.num_relations))
        one, all_of_them = entities.sum(0), self.embeddings(relations).sum(0)
        return (self.query_tails(one, all_of_them) * one).sum(-1)


def check_even(name: str, dim: int) -> int:
    """The width of an entity embedding that has two halves.

    Raises:
        InputError: it cannot be halved.
    """
    if dim % 2:
        raise InputError(f"dim: {name} needs an even number, got {dim}")
    return dim


def in_pieces(
    compare: Callable[[Tensor, Tensor], Tensor], width: int, h: Tensor, t: Tensor
) -> Tensor:
    """Compare pairs a few at a time; what lies between is made anew for the gradients.

    Args:
        compare: scores, (p, m), of some pairs' embeddings, twice (p, d).
        width: how many numbers it holds of a pair.
        h: (b, d).
        t: (b, d).

    Returns:
        (b, m).
    """
    rows = max(1, PIECE // max(1, width))
    if len(h) <= rows:
        return compare(h, t)
    parts = [
        checkpoint(compare, *part, use_reentrant=False, preserve_rng_state=False)
        for part in zip(h.split(rows), t.split(rows), strict=True)
    ]
    return torch.cat(parts)
