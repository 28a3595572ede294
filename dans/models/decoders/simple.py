"""SimplE."""

from typing import ClassVar

import torch
from torch import Tensor

from dans.models.decoders.base import Multilinear, check_even


def swap(x: Tensor) -> Tensor:
    """The other way round: [b | a] from [a | b].

    Example:
        >>> swap(torch.tensor([1, 2, 3, 4]))
        tensor([3, 4, 1, 2])
    """
    first, second = x.chunk(2, dim=-1)
    return torch.cat((second, first), dim=-1)


class SimplE(Multilinear):
    """Two trilinear products, there and back: f(h, r, t) = ½ (⟨hᴴ, r, tᵀ⟩ + ⟨tᴴ, r⁻, hᵀ⟩).

    Source: Kazemi & Poole 2018, arXiv:1802.04868. An entity is packed as [head half | tail half],
    a relation as [r | r⁻], so that d counts both halves. Takes the options of `Multilinear`; its r⁻
    is not that of ``reciprocal``, which gives every relation another pair of embeddings.

    Raises:
        InputError: an odd ``dim``.
    """

    symmetric: ClassVar[bool] = False

    def relation_width(self, dim: int) -> int:
        """As wide as an entity."""
        return check_even("simple", dim)

    @property
    def terms(self) -> int:
        """Half of d products, halved twice: d / 2."""
        return self.dim // 2

    def query_tails(self, h: Tensor, r: Tensor) -> Tensor:
        """½ [hᵀ ⊗ r⁻ | hᴴ ⊗ r]."""
        return swap(h * r) / 2

    def query_heads(self, r: Tensor, t: Tensor) -> Tensor:
        """½ [r ⊗ tᵀ | r⁻ ⊗ tᴴ]."""
        return r * swap(t) / 2

    def query_relations(self, h: Tensor, t: Tensor) -> Tensor:
        """½ [hᴴ ⊗ tᵀ | hᵀ ⊗ tᴴ]."""
        return h * swap(t) / 2
