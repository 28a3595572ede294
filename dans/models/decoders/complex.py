"""ComplEx."""

from typing import ClassVar

import torch
from torch import Tensor

from dans.models.decoders.base import Multilinear, check_even


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
    """A trilinear product over complex embeddings: f(h, r, t) = Re Σ_k h_k r_k conj(t_k).

    Source: Trouillon et al. 2016, arXiv:1606.06357. Embeddings are packed as [real | imaginary], so
    the score is a dot product of reals: with q = h·r, f = ⟨q_re, t_re⟩ + ⟨q_im, t_im⟩. Its width d
    counts real numbers: d / 2 complex ones. Takes the options of `Multilinear`.

    Raises:
        InputError: an odd ``dim``.
    """

    symmetric: ClassVar[bool] = False

    def relation_width(self, dim: int) -> int:
        """As wide as an entity."""
        return check_even("complex", dim)

    def query_tails(self, h: Tensor, r: Tensor) -> Tensor:
        """h · r."""
        return multiply(h, r)

    def query_heads(self, r: Tensor, t: Tensor) -> Tensor:
        """conj(r) · t."""
        return multiply(conjugate(r), t)

    def query_relations(self, h: Tensor, t: Tensor) -> Tensor:
        """conj(h) · t: Re(h r conj(t)) = Re(conj(r) conj(h) t)."""
        return multiply(conjugate(h), t)
