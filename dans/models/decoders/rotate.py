"""RotatE."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from dans.errors import InputError
from dans.models.decoders.base import Decoder
from dans.models.decoders.complex import multiply

#: Under the root, so that a distance of zero has a gradient.
EPSILON = 1e-12


class RotatE(Decoder):
    """A relation rotates heads onto tails: f(h, r, t) = γ − Σ_k |h_k e^{iθ_k} − t_k|.

    Source: Sun et al. 2019, arXiv:1902.10197. Vectors are packed as [real | imaginary]; the
    relation table holds the phases θ. A rotation keeps lengths, so (?, r, t) is the query
    t e^{−iθ}: the conjugate, never an inverse.

    Args:
        num_relations: m.
        dim: d, in real numbers: d / 2 complex ones.
        gamma: γ, added to every score. It changes no rank, but a logistic loss needs it: without
            it no fact can be thought likelier than one half.
        reciprocal: learn phases for the inverse of each relation too.

    Raises:
        InputError: an odd ``dim``.
    """

    symmetric: ClassVar[bool] = False
    dot: ClassVar[bool] = False

    def __init__(
        self, num_relations: int, dim: int, *, gamma: float = 6.0, reciprocal: bool = False
    ) -> None:
        if dim % 2:
            raise InputError(f"dim: rotate needs an even number, got {dim}")
        super().__init__(num_relations, dim, dim // 2, reciprocal=reciprocal)
        self.gamma = gamma

    def reset_parameters(self) -> None:
        """Phases uniform on the circle."""
        nn.init.uniform_(self.relation.weight, -math.pi, math.pi)

    def query_tails(self, h: Tensor, r: Tensor) -> Tensor:
        """h · e^{iθ}."""
        return multiply(h, torch.cat((r.cos(), r.sin()), dim=-1))

    def query_heads(self, r: Tensor, t: Tensor) -> Tensor:
        """t · e^{−iθ}."""
        return multiply(t, torch.cat((r.cos(), -r.sin()), dim=-1))

    def match(self, query: Tensor, entity: Tensor) -> Tensor:
        """γ minus the sum of the moduli of the differences."""
        re, im = (query - entity).chunk(2, dim=-1)
        return self.gamma - (re * re + im * im + EPSILON).sqrt().sum(-1)

    def match_all(self, queries: Tensor, entities: Tensor) -> Tensor:
        """As ``match``, for every pair; without gradients, tile by tile and in bounded memory."""
        if torch.is_grad_enabled() and (queries.requires_grad or entities.requires_grad):
            return self.match(queries.unsqueeze(1), entities)
        scores = queries.new_empty(len(queries), len(entities))
        tall, wide = _tile(queries)
        for left in range(0, len(entities), wide):
            columns = entities[left : left + wide].T.contiguous()
            for top in range(0, len(queries), tall):
                rows = queries[top : top + tall].T.contiguous()
                scores[top : top + tall, left : left + wide] = self.gamma - _moduli(rows, columns)
        return scores


def _tile(queries: Tensor) -> tuple[int, int]:
    """Rows and columns scored at a time: what a CPU's cache holds, or what keeps a GPU busy."""
    area = 2**18 if queries.device.type == "cpu" else 2**24
    tall = max(1, min(len(queries), 64 if queries.device.type == "cpu" else 1024))
    return tall, area // tall


def _moduli(queries: Tensor, entities: Tensor) -> Tensor:
    """Σ_k |q_k − a_k| of every pair: (b, n) from (d, b) and (d, n), one dimension at a time."""
    half = len(queries) // 2
    epsilon = queries.new_tensor(EPSILON)
    total = queries.new_zeros(queries.shape[1], entities.shape[1])
    square, spare = torch.empty_like(total), torch.empty_like(total)
    for k in range(half):
        torch.sub(queries[k].unsqueeze(1), entities[k], out=spare)
        torch.addcmul(epsilon, spare, spare, out=square)
        torch.sub(queries[half + k].unsqueeze(1), entities[half + k], out=spare)
        square.addcmul_(spare, spare)
        # √x as x · 1/√x: torch's inverse root is vectorised, its root takes a slower library's way.
        total.addcmul_(square, torch.rsqrt(square, out=spare))
    return total
