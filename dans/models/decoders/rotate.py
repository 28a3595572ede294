"""RotatE."""

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dans.errors import number
from dans.models.decoders.base import Decoder
from dans.models.decoders.multilinear import multiply

#: Under the root, so that a distance of zero has a gradient.
EPSILON = 1e-12


class RotatE(Decoder):
    """A relation rotates heads to tails: f(h, r, t) = γ − Σ_k |h_k e^{iθ_k} − t_k|.

    Source: Sun et al. 2019, arXiv:1902.10197. Embeddings are packed as [real | imaginary]; the
    relation table holds the phases θ. A rotation keeps lengths, so the head query is t e^{−iθ}.

    Args:
        dim: d, in real numbers, two per complex one.
        gamma: γ, as for `TransE`.
    """

    dot: ClassVar[bool] = False
    halves: ClassVar[bool] = True

    def __init__(
        self,
        num_relations: int,
        dim: int,
        *,
        gamma: float = 6.0,
        reciprocal: bool = False,
        dropout: float = 0.0,
    ) -> None:
        number("gamma", gamma)
        super().__init__(num_relations, dim, dim // 2, reciprocal=reciprocal, dropout=dropout)
        self.gamma = gamma

    def reset_parameters(self) -> None:
        """Draw phases uniformly from the circle."""
        nn.init.uniform_(self.relation.weight, -math.pi, math.pi)

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        """h · e^{iθ}."""
        return multiply(h, torch.cat((r.cos(), r.sin()), dim=-1))

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        """t · e^{−iθ}."""
        return multiply(t, torch.cat((r.cos(), -r.sin()), dim=-1))

    def score_query(self, query: Tensor, entity: Tensor) -> Tensor:
        """γ − Σ_k |q_k − e_k|."""
        re, im = (query - entity).chunk(2, dim=-1)
        return self.gamma - (re * re + im * im + EPSILON).sqrt().sum(-1)

    def score_all(self, queries: Tensor, entities: Tensor) -> Tensor:
        """γ − Σ_k |q_k − e_k| for every pair, (b, n); in tiles, and so are gradients."""
        scores: Tensor = _Distances.apply(queries, entities, self.gamma)  # type: ignore[no-untyped-call]
        return scores


class _Distances(torch.autograd.Function):
    """γ − Σ_k |q_k − e_k| of every pair, whose backward pass recomputes the differences.

    With u = q_k − e_k, the gradient by q_k is −u / |u|, and by e_k its opposite.
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
        # (d, b) and (d, n), because the loop goes over dimensions.
        by_query, by_entity = torch.zeros_like(queries.T), torch.zeros_like(entities.T)
        by_query, by_entity = by_query.contiguous(), by_entity.contiguous()
        for rows, columns in _tiles(queries, entities):
            q, e = queries[rows].T.contiguous(), entities[columns].T.contiguous()
            _add_gradients(q, e, grad[rows, columns], by_query[:, rows], by_entity[:, columns])
        return by_query.T, by_entity.T, None


def _tiles(queries: Tensor, entities: Tensor) -> Iterator[tuple[slice, slice]]:
    """Slices of queries and of entities, tile by tile."""
    tall, wide = tile_shape(len(queries), on_cpu=queries.device.type == "cpu")
    for left in range(0, len(entities), wide):
        for top in range(0, len(queries), tall):
            yield slice(top, top + tall), slice(left, left + wide)


def tile_shape(rows: int, *, on_cpu: bool) -> tuple[int, int]:
    """Queries and entities of a tile: what fits a CPU's cache, or what keeps a GPU busy."""
    tall = max(1, min(rows, 64 if on_cpu else 1024))
    return tall, (2**18 if on_cpu else 2**24) // tall


def _moduli(queries: Tensor, entities: Tensor) -> Tensor:
    """Σ_k |q_k − a_k| of every pair: (b, n) from (d, b) and (d, n), one dimension at a time."""
    half = len(queries) // 2
    epsilon = queries.new_tensor(EPSILON)
    total = queries.new_zeros(queries.shape[1], entities.shape[1])
    square, difference = torch.empty_like(total), torch.empty_like(total)
    for k in range(half):
        torch.sub(queries[k].unsqueeze(1), entities[k], out=difference)
        torch.addcmul(epsilon, difference, difference, out=square)
        torch.sub(queries[half + k].unsqueeze(1), entities[half + k], out=difference)
        square.addcmul_(difference, difference)
        # √x as x · 1/√x, because torch's rsqrt is vectorised on a CPU and its sqrt is not.
        total.addcmul_(square, torch.rsqrt(square, out=difference))
    return total


def _add_gradients(q: Tensor, e: Tensor, grad: Tensor, by_query: Tensor, by_entity: Tensor) -> None:
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
