"""SimplE."""

from typing import ClassVar

import torch
from torch import Tensor

from dans.models.decoders.multilinear import Multilinear


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
