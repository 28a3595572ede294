"""DistMult."""

from typing import ClassVar

from torch import Tensor

from dans.models.decoders.multilinear import Multilinear


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
