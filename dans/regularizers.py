"""Regularisers: vectors in, a scalar out."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from dans.errors import InputError


def l2(*vectors: Tensor) -> Tensor:
    """The sum of the mean squares of some tensors, as RGCN programs use it.

    Example:
        >>> import torch
        >>> l2(torch.tensor([1., 3.]), torch.tensor([2.]))
        tensor(9.)
    """
    return sum((v.square().mean() for v in vectors[1:]), start=vectors[0].square().mean())


#: Under the root, so that a modulus of zero has a gradient.
EPSILON = 1e-24


class Regularizer(nn.Module, ABC):
    """A term that keeps the vectors of a batch of facts small.

    A vector counts as often as it occurs in the batch, so that those of frequent entities are held
    tighter: over a pass, a table's row counts as often as facts mention it. The mean is over facts,
    as the loss's is, so that a weight means the same at any size of batch.

    The vectors are those that the decoder compares: the encoder's, which have no rows of their own
    in a table where it reads a graph, and after tanh and scaling where scores are bounded. Programs
    that hold the rows of a table (LibKGE, kbc) leave dropout out of it. Under a lookup's dropout of
    share δ, the mean of |x|^p here is (1 − δ)^(1 − p) times theirs: divide the weight by as much.
    """

    @abstractmethod
    def forward(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        """Means over rows: (b, d), (c, d_r), (b, d) → ().

        With reciprocal relations, ``r`` holds those of both questions of each fact.
        """


class Lp(Regularizer):
    """Powers of the numbers: 1/b · Σ (w_e/p (‖h‖_p^p + ‖t‖_p^p) + w_r/p ‖r‖_p^p).

    Source: LibKGE's ``lp``, weighted (Broscheit et al. 2020), which Kamigaito & Hayashi 2021 use.
    With p = 3 it is N3 (Lacroix et al. 2018, arXiv:1806.07297) of real numbers, with a third of its
    weight.

    Args:
        p: the power, 1, 2 or 3.
        entities: w_e.
        relations: w_r.

    Raises:
        InputError: another power, a weight that is negative or not finite, or no weight.

    Example:
        >>> import torch
        >>> h, r, t = torch.tensor([[[1., -2.]], [[3., 0.]], [[0., 1.]]])
        >>> Lp(p=3, entities=0.3, relations=0.1)(h, r, t)
        tensor(1.9000)
    """

    def __init__(self, *, p: int = 2, entities: float = 0.0, relations: float = 0.0) -> None:
        super().__init__()
        if p not in (1, 2, 3):
            raise InputError(f"p: expected 1, 2 or 3, got {p}")
        self.p = p
        self.entities = _weight("entities", entities)
        self.relations = _weight("relations", relations)
        if not entities and not relations:
            raise InputError("entities: expected above 0 where relations has no weight, got 0")

    def forward(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        """See ``Regularizer``."""
        total = h.new_zeros(())
        if self.entities:
            total = total + self.entities / (self.p * len(h)) * (self.power(h) + self.power(t))
        if self.relations:
            total = total + self.relations / (self.p * len(r)) * self.power(r)
        return total

    def power(self, vectors: Tensor) -> Tensor:
        """Σ |x|^p."""
        # Products, because a power that is not a square takes a slow function of the library's.
        if self.p == 1:
            return vectors.abs().sum()
        squares = vectors.square()
        return squares.sum() if self.p == 2 else (squares * vectors.abs()).sum()


class N3(Regularizer):
    """The cubes of the moduli of complex numbers: w/b · Σ (|h|³ + |r|³ + |t|³).

    Source: Lacroix et al. 2018, arXiv:1806.07297, §4.2. Vectors are packed as [real | imaginary].
    Which numbers are pairs, vectors do not say: of another decoder, the name is needed to refuse
    it. For real numbers use `Lp` with p = 3 and three times the weight.

    Args:
        weight: w.
        decoder: the name of the decoder whose vectors these are; None: not checked.

    Raises:
        InputError: a weight that is negative or not finite, or a decoder whose entities and
            relations are not complex vectors both.

    Example:
        >>> import torch
        >>> one = torch.tensor([[3., 4.]])
        >>> N3(weight=0.1)(one, one, one)
        tensor(37.5000)
    """

    #: decoders whose entities and relations are complex vectors
    COMPLEX: ClassVar[tuple[str, ...]] = ("complex",)

    def __init__(self, *, weight: float, decoder: str | None = None) -> None:
        super().__init__()
        if decoder is not None and decoder not in self.COMPLEX:
            raise InputError(
                f"name: n3 is of complex vectors, not of {decoder}'s; for real ones use lp, p = 3"
            )
        self.weight = _weight("weight", weight)

    def forward(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        """See ``Regularizer``.

        Raises:
            InputError: entities and relations cannot both be complex vectors of one width.
        """
        if h.shape[-1] % 2 or r.shape[-1] != h.shape[-1]:
            raise InputError(
                "n3: expected entities and relations of one even width, "
                f"got {h.shape[-1]} and {r.shape[-1]}"
            )
        return self.weight * (_cubes(h) + _cubes(r) + _cubes(t))


def _cubes(vectors: Tensor) -> Tensor:
    """The mean over rows of the sum of |z|³."""
    re, im = vectors.chunk(2, dim=-1)
    squares = re * re + im * im
    # A root, because a power of a half takes a slow function of the library's.
    return (squares * (squares + EPSILON).sqrt()).sum() / len(vectors)


def _weight(name: str, value: float) -> float:
    if not 0 <= value < math.inf:
        raise InputError(f"{name}: expected at least 0 and finite, got {value:g}")
    return value


REGULARIZERS: dict[str, type[Regularizer]] = {"lp": Lp, "n3": N3}
