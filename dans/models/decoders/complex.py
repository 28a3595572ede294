"""ComplEx."""

from typing import ClassVar

import torch
from torch import Tensor

from dans.errors import InputError
from dans.models.decoders.base import Decoder


def multiply(x: Tensor, y: Tensor) -> Tensor:
    """The complex product of vectors packed as [real | imaginary]."""
    x_re, x_im = x.chunk(2, dim=-1)
    y_re, y_im = y.chunk(2, dim=-1)
    return torch.cat((x_re * y_re - x_im * y_im, x_re * y_im + x_im * y_re), dim=-1)


def conjugate(x: Tensor) -> Tensor:
    """The complex conjugate of vectors packed as [real | imaginary]."""
    x_re, x_im = x.chunk(2, dim=-1)
    return torch.cat((x_re, -x_im), dim=-1)


class ComplEx(Decoder):
    """A trilinear product over complex vectors: f(h, r, t) = Re Σ_k h_k r_k conj(t_k).

    Source: Trouillon et al. 2016, arXiv:1606.06357. Vectors are packed as [real | imaginary], so
    the score is a dot product of reals: with q = h·r, f = ⟨q_re, t_re⟩ + ⟨q_im, t_im⟩.

    Args:
        num_relations: m.
        dim: d, in real numbers: d / 2 complex ones.
        reciprocal: learn a vector for the inverse of each relation too.

    Raises:
        InputError: an odd ``dim``.
    """

    symmetric: ClassVar[bool] = False

    def __init__(self, num_relations: int, dim: int, *, reciprocal: bool = False) -> None:
        if dim % 2:
            raise InputError(f"dim: complex needs an even number, got {dim}")
        super().__init__(num_relations, dim, dim, reciprocal=reciprocal)

    def query_tails(self, h: Tensor, r: Tensor) -> Tensor:
        """h · r."""
        return multiply(h, r)

    def query_heads(self, r: Tensor, t: Tensor) -> Tensor:
        """conj(r) · t."""
        return multiply(conjugate(r), t)
