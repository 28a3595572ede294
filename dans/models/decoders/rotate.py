"""RotatE."""

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dans.errors import finite
from dans.models.decoders.base import Decoder, check_even
from dans.models.decoders.complex import multiply

#: Under the root, so that a distance of zero has a gradient.
EPSILON = 1e-12


class RotatE(Decoder):
    """A relation rotates heads onto tails: f(h, r, t) = γ − Σ_k |h_k e^{iθ_k} − t_k|.

    Source: Sun et al. 2019, arXiv:1902.10197. Embeddings are packed as [real | imaginary]; the
    relation table holds the phases θ. A rotation keeps lengths, so (?, r, t) is the query
    t e^{−iθ}: the conjugate, never an inverse.

    Args:
        num_relations: m.
        dim: d, in real numbers: d / 2 complex ones.
        gamma: γ, added to every score. It changes no rank, but a logistic loss needs it: without
            it no triple can be thought likelier than one half.
        reciprocal: learn phases for the inverse of each relation too.
        dropout: as for `Decoder`.

    Raises:
        InputError: an odd ``dim``, or an option out of range.
    """

    symmetric: ClassVar[bool] = False
    dot: ClassVar[bool] = False

    def __init__(
        self,
        num_relations: int,
        dim: int,
        *,
        gamma: float = 6.0,
        reciprocal: bool = False,
        dropout: float = 0.0,
    ) -> None:
        finite("gamma", gamma)
        width = check_even("rotate", dim) // 2
        super().__init__(num_relations, dim, width, reciprocal=reciprocal, dropout=dropout)
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

    def score_query(self, query: Tensor, entity: Tensor) -> Tensor:
        """γ minus the sum of the moduli of the differences."""
        re, im = (query - entity).chunk(2, dim=-1)
        return self.gamma - (re * re + im * im + EPSILON).sqrt().sum(-1)

    def score_all(self, queries: Tensor, entities: Tensor) -> Tensor:
        """As ``score_query``, for every pair; tile by tile and in bounded memory, gradients too."""
        scores: Tensor = _Distances.apply(queries, entities, self.gamma)  # type: ignore[no-untyped-call]
        return scores

    def matching(self, rows: int, entities: int) -> int:
        """See ``Decoder``; the scores, and what a tile of them is made by."""
        tall, wide = _tile(rows, on_cpu=self.relation.weight.device.type == "cpu")
        wide = min(wide, entities)
        return rows * entities + 4 * tall * wide + (tall + wide) * self.dim


class _Distances(torch.autograd.Function):
    """γ − Σ_k |q_k − e_k| of every pair, which keeps no difference: its gradient makes them anew.

    With u = q_k − e_k, that of a pair's score by q_k is −u / |u|, and by e_k its opposite.
    """

    @staticmethod
    def forward(ctx: Any, queries: Tensor, entities: Tensor, gamma: float) -> Tensor:
        ctx.save_for_backward(queries, entities)
        scores = queries.new_empty(len(queries), len(entities))
        for rows, columns in _tiles(queries, entities):
            q, e = queries[rows].T.contiguous(), entities[columns].T.contiguous()
            scores[rows, columns] = gamma - _moduli(q, e)
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        queries, entities = ctx.saved_tensors
        # One dimension after the other, so that numbers of a dimension have to lie together.
        by_query, by_entity = torch.zeros_like(queries.T), torch.zeros_like(entities.T)
        by_query, by_entity = by_query.contiguous(), by_entity.contiguous()
        for rows, columns in _tiles(queries, entities):
            q, e = queries[rows].T.contiguous(), entities[columns].T.contiguous()
            _pull(q, e, grad[rows, columns], by_query[:, rows], by_entity[:, columns])
        return by_query.T, by_entity.T, None


def _tiles(queries: Tensor, entities: Tensor) -> Iterator[tuple[slice, slice]]:
    """Rows and columns compared at a time: what a CPU's cache holds, or what keeps a GPU busy."""
    tall, wide = _tile(len(queries), on_cpu=queries.device.type == "cpu")
    for left in range(0, len(entities), wide):
        for top in range(0, len(queries), tall):
            yield slice(top, top + tall), slice(left, left + wide)


def _tile(rows: int, *, on_cpu: bool) -> tuple[int, int]:
    """Rows and columns of a tile."""
    tall = max(1, min(rows, 64 if on_cpu else 1024))
    return tall, (2**18 if on_cpu else 2**24) // tall


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


def _pull(q: Tensor, e: Tensor, grad: Tensor, by_query: Tensor, by_entity: Tensor) -> None:
    """Add the gradients of γ − Σ_k |q_k − e_k| to (d, b) and (d, n), from (b, n) of the scores."""
    half = len(q) // 2
    epsilon = q.new_tensor(EPSILON)
    re, im, weight = (
        torch.empty_like(grad, memory_format=torch.contiguous_format) for _ in range(3)
    )
    for k in range(half):
        torch.sub(q[k].unsqueeze(1), e[k], out=re)
        torch.sub(q[half + k].unsqueeze(1), e[half + k], out=im)
        torch.addcmul(epsilon, re, re, out=weight)
        weight.addcmul_(im, im).rsqrt_().mul_(grad)
        for i, part in ((k, re), (half + k, im)):
            part.mul_(weight)
            by_query[i] -= part.sum(1)
            by_entity[i] += part.sum(0)
