"""DistMult, ComplEx and SimplE, whose scores are linear in head, relation and tail; their base."""

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from dans.errors import above_zero, number
from dans.models.decoders.base import Decoder, in_chunks
from dans.models.embedding_tables import Initial, check_share, drop


class Multilinear(Decoder):
    """A decoder whose score is linear in head, relation and tail.

    So the scores of all triples of some entities and relations have a closed sum:

        Σ_{h,r,t} f(h, r, t) = f(Σ h, Σ r, Σ t)

    With ``bound`` I, entities and relations pass through tanh, and the score is scaled by
    I / ``max_score``, the largest scale that keeps |f| < I. Source of bound, shift and query
    dropout: Hajimoradlou & Kazemi 2022, Stay Positive.

    Args:
        dim: d, of an entity.
        bound: I, above 0; None: scores are not bounded.
        shift: ψ, added to every score. It changes probabilities, not ranks.
        query_dropout: share of a query embedding's coordinates dropped.
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
        number("shift", shift)
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
        """d_r, given d."""
        return dim

    @property
    def max_score(self) -> int:
        """The largest |f| while no coordinate of h, r and t exceeds 1."""
        return self.dim

    @property
    def pair_width(self) -> int:
        """Numbers that ``relation_query`` computes per pair."""
        return self.relation.embedding_dim

    @abstractmethod
    def relation_query(self, h: Tensor, t: Tensor) -> Tensor:
        """The query embedding of (h, ?, t), whose dot product with r is the score without shift.

        (..., d_r) from (..., d) and (..., d).
        """

    def score_relations(self, h: Tensor, t: Tensor) -> Tensor:
        """Scores of all relations by a matrix product: (b, m) from (b, d) and (b, d)."""
        r = self.all_relations()

        def score(h: Tensor, t: Tensor) -> Tensor:
            scores = self.relation_query(h, t) @ r.T
            return scores + self.shift if self.shift else scores

        return in_chunks(score, self.pair_width, h, t)

    def prepare(self, entities: Tensor) -> Tensor:
        """The encoder's embeddings, through tanh if scores are bounded."""
        return entities if self.bound is None else entities.tanh()

    def embeddings(self, relations: Tensor) -> Tensor:
        """Relation embeddings by id, (..., d_r), through tanh and scaled if scores are bounded."""
        r: Tensor = self.relation(relations)
        return r if self.bound is None else r.tanh() * (self.bound / self.max_score)

    def drop_query(self, queries: Tensor) -> Tensor:
        """Query dropout, in training."""
        return drop(queries, self.query_dropout, self.training)

    def total(self, entities: Tensor, relations: Tensor | None = None) -> Tensor:
        """The sum of the scores of all triples of some entities and relations, without the shift.

            Σ_{h,r,t} f(h, r, t) = f(S, P, S),  S = Σ e,  P = Σ r

        (n + m) d operations instead of n² m d. With reciprocal relations, both scores of a triple
        are summed. No dropout. Source: Hajimoradlou & Kazemi 2022, Stay Positive, §4.

        Args:
            entities: (u, d) prepared embeddings.
            relations: (v,) distinct ids; None: all.
        """
        if relations is None:
            relations = torch.arange(self.num_relations, device=entities.device)
        if self.reciprocal:
            relations = torch.cat((relations, relations + self.num_relations))
        s, p = entities.sum(0), self.embeddings(relations).sum(0)
        return (self.tail_query(s, p) * s).sum(-1)


class DistMult(Multilinear):
    """A trilinear product: f(h, r, t) = Σ_k h_k r_k t_k.

    Source: Yang et al. 2015, arXiv:1412.6575. It is symmetric: f(h, r, t) = f(t, r, h). Takes the
    options of `Multilinear`.
    """

    symmetric: ClassVar[bool] = True

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        """h ⊗ r."""
        return h * r

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        """t ⊗ r."""
        return t * r

    def relation_query(self, h: Tensor, t: Tensor) -> Tensor:
        """h ⊗ t."""
        return h * t


def multiply(x: Tensor, y: Tensor) -> Tensor:
    """The complex product of embeddings packed as [real | imaginary]."""
    x_re, x_im = x.chunk(2, dim=-1)
    y_re, y_im = y.chunk(2, dim=-1)
    return torch.cat((x_re * y_re - x_im * y_im, x_re * y_im + x_im * y_re), dim=-1)


def conjugate(x: Tensor) -> Tensor:
    """The complex conjugate of embeddings packed as [real | imaginary]."""
    x_re, x_im = x.chunk(2, dim=-1)
    return torch.cat((x_re, -x_im), dim=-1)


class ComplEx(Multilinear):
    """A trilinear product of complex embeddings: f(h, r, t) = Re Σ_k h_k r_k conj(t_k).

    Source: Trouillon et al. 2016, arXiv:1606.06357. Embeddings are packed as [real | imaginary], so
    the score is a dot product of reals: with q = h·r, f = ⟨q_re, t_re⟩ + ⟨q_im, t_im⟩. The width d
    counts real numbers, two per complex one. Takes the options of `Multilinear`.
    """

    halves: ClassVar[bool] = True

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        """h · r."""
        return multiply(h, r)

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        """conj(r) · t."""
        return multiply(conjugate(r), t)

    def relation_query(self, h: Tensor, t: Tensor) -> Tensor:
        """conj(h) · t, because Re(h r conj(t)) = Re(conj(r) conj(h) t)."""
        return multiply(conjugate(h), t)


def swap(x: Tensor) -> Tensor:
    """The two halves exchanged: [b | a] from [a | b]."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((second, first), dim=-1)


class SimplE(Multilinear):
    """The mean of two trilinear products: f(h, r, t) = ½ (⟨hᴴ, r, tᵀ⟩ + ⟨tᴴ, r⁻, hᵀ⟩).

    Source: Kazemi & Poole 2018, arXiv:1802.04868. An entity is packed as [head half | tail half],
    a relation as [r | r⁻], and d counts both halves. Takes the options of `Multilinear`; with
    ``reciprocal``, the inverse of a relation has a pair [r | r⁻] of its own.
    """

    halves: ClassVar[bool] = True

    @property
    def max_score(self) -> int:
        """d / 2: half of d products."""
        return self.dim // 2

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        """½ [hᵀ ⊗ r⁻ | hᴴ ⊗ r]."""
        return swap(h * r) / 2

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        """½ [r ⊗ tᵀ | r⁻ ⊗ tᴴ]."""
        return r * swap(t) / 2

    def relation_query(self, h: Tensor, t: Tensor) -> Tensor:
        """½ [hᴴ ⊗ tᵀ | hᵀ ⊗ tᴴ]."""
        return h * swap(t) / 2
