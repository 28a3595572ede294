"""Regularizers: terms of the embeddings of a batch, added to the objective."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dans.errors import InputError, not_negative, one_of
from dans.models.batch import Positives
from dans.models.decoders import Decoder

#: Under the root, so that a modulus of zero has a gradient.
EPSILON = 1e-24


class Regularizer(nn.Module, ABC):
    """A term added to the objective.

    Embeddings are those that the decoder scores: after the encoder, its dropout, and the tanh of
    bounded scores.
    """

    #: does it need the embeddings of all entities, whatever the objective needs?
    all_entities: ClassVar[bool] = False

    @abstractmethod
    def forward(self, decoder: Decoder, positives: Positives) -> Tensor:
        """The term of a batch; with ``all_entities``, its ``entities`` are all of the graph."""


class TripleRegularizer(Regularizer):
    """A regularizer of a batch's triples: an embedding counts as often as it occurs in them."""

    def forward(self, decoder: Decoder, positives: Positives) -> Tensor:
        """The term of a batch; with reciprocal relations, of the relations of both queries."""
        relations = positives.triples[:, 1]
        if decoder.reciprocal:
            relations = torch.cat((relations, relations + decoder.num_relations))
        return self.of(positives.h, decoder.embeddings(relations), positives.t)

    @abstractmethod
    def of(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        """A scalar from (b, d), (b, d_r) and (b, d); 2b relations if reciprocal."""


class Powers(Regularizer):
    """A regularizer by the p-th powers of coordinates, entities and relations weighted apart.

    Args:
        p: the power, 1, 2 or 3.
        entities: w_e.
        relations: w_r.
    """

    def __init__(self, *, p: int = 2, entities: float = 0.0, relations: float = 0.0) -> None:
        super().__init__()
        one_of("p", p, (1, 2, 3))
        not_negative("entities", entities)
        not_negative("relations", relations)
        if not entities and not relations:
            raise InputError("entities: expected above 0 where relations has no weight, got 0")
        self.p = p
        self.entities = entities
        self.relations = relations


class Lp(Powers, TripleRegularizer):
    """Weighted Lp: 1/b · Σ (w_e/p (‖h‖_p^p + ‖t‖_p^p) + w_r/p ‖r‖_p^p).

    Source: LibKGE's ``lp``, weighted (Broscheit et al. 2020). With p = 3 it is N3 of real numbers,
    with a third of its weight. `Table` is the same without weighting by frequency. It takes the
    options of `Powers`.

    Example:
        >>> import torch
        >>> h, r, t = torch.tensor([[[1., -2.]], [[3., 0.]], [[0., 1.]]])
        >>> Lp(p=3, entities=0.3, relations=0.1).of(h, r, t)
        tensor(1.9000)
    """

    def of(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        """A scalar from (b, d), (b, d_r) and (b, d)."""
        total = h.new_zeros(())
        if self.entities:
            weight = self.entities / (self.p * len(h))
            total = total + weight * (power(h, self.p) + power(t, self.p))
        if self.relations:
            total = total + self.relations / (self.p * len(r)) * power(r, self.p)
        return total


class N3(TripleRegularizer):
    """The nuclear 3-norm of complex embeddings: w/b · Σ (|h|³ + |r|³ + |t|³).

    Source: Lacroix et al. 2018, arXiv:1806.07297, §4.2. Embeddings are [real | imaginary]. For real
    ones use `Lp` with p = 3 and three times the weight.

    Example:
        >>> import torch
        >>> one = torch.tensor([[3., 4.]])
        >>> N3(weight=0.1).of(one, one, one)
        tensor(37.5000)
    """

    #: decoders whose entities and relations are complex embeddings
    COMPLEX: ClassVar[tuple[str, ...]] = ("complex",)

    def __init__(self, *, weight: float, decoder: str | None = None) -> None:
        super().__init__()
        if decoder is not None and decoder not in self.COMPLEX:
            raise InputError(
                f"name: n3 is for complex embeddings, not {decoder}'s; for real ones use lp, p = 3"
            )
        not_negative("weight", weight)
        self.weight = weight

    def of(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        """A scalar from (b, d) each, d being even."""
        if h.shape[-1] % 2 or r.shape[-1] != h.shape[-1]:
            raise InputError(
                "n3: expected entities and relations of one even width, "
                f"got {h.shape[-1]} and {r.shape[-1]}"
            )
        return self.weight * (_cubes(h) + _cubes(r) + _cubes(t))


class Table(Powers):
    """Lp over all embeddings, once per epoch: (w_e/p ‖E‖_p^p + w_r/p ‖R‖_p^p) / batches.

    E are the embeddings of all entities, R of all relations and their inverses, so every row has a
    gradient. Unlike `Lp`, it is not weighted by frequency.

    Source: with p = 2 the L2 of Stay Positive's baselines (Hajimoradlou & Kazemi 2022). Takes the
    options of `Powers`.
    """

    all_entities: ClassVar[bool] = True

    def __init__(
        self, *, num_batches: int, p: int = 2, entities: float = 0.0, relations: float = 0.0
    ) -> None:
        super().__init__(p=p, entities=entities, relations=relations)
        self.num_batches = num_batches

    def forward(self, decoder: Decoder, positives: Positives) -> Tensor:
        """The term of a batch that holds all entities."""
        total = positives.entities.new_zeros(())
        if self.entities:
            total = total + self.entities * power(positives.entities, self.p)
        if self.relations:
            table = decoder.relation.weight
            r = decoder.embeddings(torch.arange(len(table), device=table.device))
            total = total + self.relations * power(r, self.p)
        return total / (self.p * self.num_batches)


class RelationPrediction(Regularizer):
    """The NLL of the relations of triples: w/b · Σ −log softmax(f(h, ·, t))[r], without inverses.

    Source: Chen et al. 2021, arXiv:2110.02834.
    """

    def __init__(self, *, weight: float) -> None:
        super().__init__()
        not_negative("weight", weight)
        self.weight = weight

    def forward(self, decoder: Decoder, positives: Positives) -> Tensor:
        """The term of a batch."""
        logits = decoder.score_relations(positives.h, positives.t)
        return self.weight * F.cross_entropy(logits, positives.triples[:, 1])


def power(embeddings: Tensor, p: int) -> Tensor:
    """Σ |x|^p, p being 1, 2 or 3."""
    # Products, because torch's power is slow for other exponents than 2.
    if p == 1:
        return embeddings.abs().sum()
    squares = embeddings.square()
    return squares.sum() if p == 2 else (squares * embeddings.abs()).sum()


def _cubes(embeddings: Tensor) -> Tensor:
    """The mean over rows of Σ |z|³."""
    re, im = embeddings.chunk(2, dim=-1)
    squares = re * re + im * im
    # A root, because torch's power of 1.5 is slow.
    return (squares * (squares + EPSILON).sqrt()).sum() / len(embeddings)


REGULARIZERS: dict[str, type[Regularizer]] = {
    "lp": Lp,
    "n3": N3,
    "relation_prediction": RelationPrediction,
    "table": Table,
}
