"""ComplEx."""

from typing import ClassVar

import torch
from torch import Tensor

from dans.models.decoders.multilinear import Multilinear


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
