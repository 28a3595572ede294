"""Regularisers: terms beside an objective's, of the embeddings that a model has in a step."""

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

#: The powers there are.
POWERS = (1, 2, 3)


class Regularizer(nn.Module, ABC):
    """A term beside the objective's.

    The embeddings are those that the decoder compares: the encoder's, which have no rows of their
    own in a table where it reads a graph, and after tanh and scaling where scores are bounded.
    Programs that hold the rows of a table (LibKGE, kbc) leave dropout out of it. Under a lookup's
    dropout of share δ, the mean of |x|^p here is (1 − δ)^(1 − p) times theirs: divide the weight by
    as much.
    """

    #: does it look at every entity, whatever the objective does?
    whole: ClassVar[bool] = False

    @abstractmethod
    def forward(self, decoder: Decoder, positives: Positives) -> Tensor:
        """The term of a batch of triples; ``positives.entities`` are all there are if ``whole``."""


class OfTriples(Regularizer):
    """A term that keeps the embeddings of a batch of triples small.

    An embedding counts as often as it occurs in the batch, so that those of frequent entities are
    held
    tighter: over a pass, a table's row counts as often as triples mention it. The mean is over
        triples,
    as the loss's is, so that a weight means the same at any size of batch.
    """

    def forward(self, decoder: Decoder, positives: Positives) -> Tensor:
        """See ``Regularizer``; of the relations of both queries, where they are two."""
        relations = positives.triples[:, 1]
        if decoder.reciprocal:
            relations = torch.cat((relations, relations + decoder.num_relations))
        return self.of(positives.h, decoder.embeddings(relations), positives.t)

    @abstractmethod
    def of(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        """Means over rows: (b, d), (c, d_r), (b, d) → ().

        With reciprocal relations, ``r`` holds those of both queries of each triple.
        """


class Lp(OfTriples):
    """Powers of the numbers: 1/b · Σ (w_e/p (‖h‖_p^p + ‖t‖_p^p) + w_r/p ‖r‖_p^p).

    Source: LibKGE's ``lp``, weighted (Broscheit et al. 2020), which Kamigaito & Hayashi 2021 use.
    With p = 3 it is N3 (Lacroix et al. 2018, arXiv:1806.07297) of real numbers, with a third of its
    weight. Without the weighting by frequency it is `Table`.

    Args:
        p: the power, 1, 2 or 3.
        entities: w_e.
        relations: w_r.

    Raises:
        InputError: another power, a weight that is negative or not finite, or no weight.

    Example:
        >>> import torch
        >>> h, r, t = torch.tensor([[[1., -2.]], [[3., 0.]], [[0., 1.]]])
        >>> Lp(p=3, entities=0.3, relations=0.1).of(h, r, t)
        tensor(1.9000)
    """

    def __init__(self, *, p: int = 2, entities: float = 0.0, relations: float = 0.0) -> None:
        super().__init__()
        check_powers(p, entities, relations)
        self.p = p
        self.entities = entities
        self.relations = relations

    def of(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        """See ``OfTriples``."""
        total = h.new_zeros(())
        if self.entities:
            weight = self.entities / (self.p * len(h))
            total = total + weight * (power(h, self.p) + power(t, self.p))
        if self.relations:
            total = total + self.relations / (self.p * len(r)) * power(r, self.p)
        return total


class N3(OfTriples):
    """The cubes of the moduli of complex numbers: w/b · Σ (|h|³ + |r|³ + |t|³).

    Source: Lacroix et al. 2018, arXiv:1806.07297, §4.2. Embeddings are packed as [real |
        imaginary].
    Which numbers are pairs, embeddings do not say: of another decoder, the name is needed to refuse
    it. For real numbers use `Lp` with p = 3 and three times the weight.

    Args:
        weight: w.
        decoder: the name of the decoder whose embeddings these are; None: not checked.

    Raises:
        InputError: a weight that is negative or not finite, or a decoder whose entities and
            relations are not complex embeddings both.

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
        """See ``OfTriples``.

        Raises:
            InputError: entities and relations cannot both be complex embeddings of one width.
        """
        if h.shape[-1] % 2 or r.shape[-1] != h.shape[-1]:
            raise InputError(
                "n3: expected entities and relations of one even width, "
                f"got {h.shape[-1]} and {r.shape[-1]}"
            )
        return self.weight * (_cubes(h) + _cubes(r) + _cubes(t))


class Table(Regularizer):
    """Powers of all embeddings, each once a pass: (w_e/p ‖E‖_p^p + w_r/p ‖R‖_p^p) / batches.

    Not weighted by frequency, as `Lp` is. E holds every entity's embedding, or what an encoder
    makes of the graph for it; R every relation's, inverses among them. So every row has a gradient,
    and an optimizer that leaves rows at rest leaves none; an encoder that reads a graph reads it
    once more where an objective looks at some entities only.

    Source: with p = 2 the L2 of Stay Positive's baselines (Hajimoradlou & Kazemi 2022). LibKGE's
    unweighted ``lp`` is whole in every batch: this with its weight times the batches of a pass.

    Args:
        num_batches: how many batches make a pass.
        p: the power, 1, 2 or 3.
        entities: w_e.
        relations: w_r.

    Raises:
        InputError: another power, a weight that is negative or not finite, or no weight.
    """

    whole: ClassVar[bool] = True

    def __init__(
        self, *, num_batches: int, p: int = 2, entities: float = 0.0, relations: float = 0.0
    ) -> None:
        super().__init__()
        check_powers(p, entities, relations)
        self.num_batches = num_batches
        self.p = p
        self.entities = entities
        self.relations = relations

    def forward(self, decoder: Decoder, positives: Positives) -> Tensor:
        """See ``Regularizer``."""
        total = positives.entities.new_zeros(())
        if self.entities:
            total = total + self.entities * power(positives.entities, self.p)
        if self.relations:
            table = decoder.relation.weight
            r = decoder.embeddings(torch.arange(len(table), device=table.device))
            total = total + self.relations * power(r, self.p)
        return total / (self.p * self.num_batches)


class RelationPrediction(Regularizer):
    """How unlikely the relations of triples are: w/b · Σ −log softmax(f(h, ·, t))[r].

    All relations are candidates, their inverses are not.

    Source: Chen et al. 2021, arXiv:2110.02834.

    Args:
        weight: w.

    Raises:
        InputError: a weight that is negative or not finite.
    """

    def __init__(self, *, weight: float) -> None:
        super().__init__()
        not_negative("weight", weight)
        self.weight = weight

    def forward(self, decoder: Decoder, positives: Positives) -> Tensor:
        """See ``Regularizer``."""
        logits = decoder.score_relations(positives.h, positives.t)
        return self.weight * F.cross_entropy(logits, positives.triples[:, 1])


def check_powers(p: int, entities: float, relations: float) -> None:
    """Check the options of powers of entities and relations.

    Raises:
        InputError: another power, a weight that is negative or not finite, or no weight.
    """
    one_of("p", p, POWERS)
    not_negative("entities", entities)
    not_negative("relations", relations)
    if not entities and not relations:
        raise InputError("entities: expected above 0 where relations has no weight, got 0")


def power(embeddings: Tensor, p: int) -> Tensor:
    """Σ |x|^p."""
    # Products, because a power that is not a square takes a slow function of the library's.
    if p == 1:
        return embeddings.abs().sum()
    squares = embeddings.square()
    return squares.sum() if p == 2 else (squares * embeddings.abs()).sum()


def _cubes(embeddings: Tensor) -> Tensor:
    """The mean over rows of the sum of |z|³."""
    re, im = embeddings.chunk(2, dim=-1)
    squares = re * re + im * im
    # A root, because a power of a half takes a slow function of the library's.
    return (squares * (squares + EPSILON).sqrt()).sum() / len(embeddings)


REGULARIZERS: dict[str, type[Regularizer]] = {
    "lp": Lp,
    "n3": N3,
    "relation_prediction": RelationPrediction,
    "table": Table,
}
