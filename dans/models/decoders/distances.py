"""Distances of every query embedding to every entity embedding, as RotatE and TransE score.

Large ones on a CPU are computed by `dans.compiled` functions where there is a compiler, in a fifth
to a tenth of the time that torch's operations on whole tensors take.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dans.compiled import BLOCK, REORDERED, call, library, shares

#: Under the root, so that a distance of zero has a gradient.
EPSILON = 1e-12

#: Coordinate differences from which the compiled functions are used: below, torch takes some
#: milliseconds.
WORTH_COMPILING = 2**24

#: Coordinate differences per tile of ``manhattan``: some devices hold them all for the gradient.
DIFFERENCES = 2**26

#: The C functions.
SOURCE = Path(__file__).with_suffix(".c")


def moduli(queries: Tensor, entities: Tensor) -> Tensor:
    """Σ_k |q_k − e_k| of complex numbers, packed as [real | imaginary]: (b, n), every pair.

    In tiles, and so is the gradient, which is of finite length at q = e.
    """
    if compiled(queries, entities):
        found: Tensor = _Compiled.apply(queries, entities, "moduli")  # type: ignore[no-untyped-call]
    else:
        found = _Moduli.apply(queries, entities)  # type: ignore[no-untyped-call]
    return found


def manhattan(queries: Tensor, entities: Tensor) -> Tensor:
    """Σ_k |q_k − e_k| of real numbers: (b, n), every pair, in bounded memory."""
    if compiled(queries, entities):
        found: Tensor = _Compiled.apply(queries, entities, "manhattan")  # type: ignore[no-untyped-call]
        return found
    wide = max(1, DIFFERENCES // max(1, queries.numel()))
    return torch.cat([torch.cdist(part, queries, p=1) for part in entities.split(wide)]).T


def compiled(queries: Tensor, entities: Tensor) -> bool:
    """Are these distances computed by the C functions?

    What they cannot read, torch refuses in its own words.
    """
    pair = (queries, entities)
    plain = all(x.dtype == torch.float32 and x.device.type == "cpu" and x.ndim == 2 for x in pair)
    same = queries.shape[-1] == entities.shape[-1]
    worth = queries.numel() * len(entities) >= WORTH_COMPILING
    return plain and same and worth and library(SOURCE, REORDERED) is not None


class _Compiled(torch.autograd.Function):
    """Distances by the C functions."""

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, entities: Tensor, kind: Literal["moduli", "manhattan"]
    ) -> Tensor:
        queries, entities = queries.contiguous(), entities.contiguous()
        ctx.save_for_backward(queries, entities)
        ctx.kind = kind
        found = queries.new_empty(len(queries), len(entities))
        _call(kind, queries, entities, [(found[:, part],) for part in shares(len(entities))])
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        queries, entities = ctx.saved_tensors
        parts = shares(len(entities))
        grad, by_entity = grad.contiguous(), torch.empty_like(entities)
        by_query = queries.new_zeros(len(parts), *queries.shape)
        given = [
            (grad[:, part], own, by_entity[part]) for part, own in zip(parts, by_query, strict=True)
        ]
        _call(f"{ctx.kind}_gradients", queries, entities, given)
        return by_query.sum(0), by_entity, None


def _call(
    name: str, queries: Tensor, entities: Tensor, given: Sequence[tuple[Tensor, ...]]
) -> None:
    """Call a C function for every share of the entities, with what is given for it."""
    rows, width = queries.shape
    scratch = queries.new_empty(len(given), 2 * BLOCK * width)
    calls = []
    for part, tensors, own in zip(shares(len(entities)), given, scratch, strict=True):
        stride = tensors[0].stride(0)
        sizes = (rows, part.stop - part.start, width, stride)
        calls.append((queries, entities[part], *tensors, own, *sizes, EPSILON))
    call(getattr(library(SOURCE, REORDERED), name), calls)


class _Moduli(torch.autograd.Function):
    """Σ_k |q_k − e_k| of every pair, whose backward pass recomputes the differences.

    With u = q_k − e_k, the gradient by q_k is u / |u|, and by e_k its opposite.
    """

    @staticmethod
    def forward(ctx: Any, queries: Tensor, entities: Tensor) -> Tensor:
        ctx.save_for_backward(queries, entities)
        found = queries.new_empty(len(queries), len(entities))
        for rows, columns in _tiles(queries, entities):
            q, e = queries[rows].T.contiguous(), entities[columns].T.contiguous()
            found[rows, columns] = _moduli(q, e)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        queries, entities = ctx.saved_tensors
        # (d, b) and (d, n), because the loop goes over dimensions.
        by_query, by_entity = torch.zeros_like(queries.T), torch.zeros_like(entities.T)
        by_query, by_entity = by_query.contiguous(), by_entity.contiguous()
        for rows, columns in _tiles(queries, entities):
            q, e = queries[rows].T.contiguous(), entities[columns].T.contiguous()
            _add_gradients(q, e, grad[rows, columns], by_query[:, rows], by_entity[:, columns])
        return by_query.T, by_entity.T


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
    """Σ_k |q_k − e_k| of every pair: (b, n) from (d, b) and (d, n), one dimension at a time."""
    half = len(queries) // 2
    epsilon = queries.new_tensor(EPSILON)
    total = queries.new_zeros(queries.shape[1], entities.shape[1])
    square, difference = torch.empty_like(total), torch.empty_like(total)

    def squared(k: int) -> Tensor:
        torch.sub(queries[k].unsqueeze(1), entities[k], out=difference)
        torch.addcmul(epsilon, difference, difference, out=square)
        torch.sub(queries[half + k].unsqueeze(1), entities[half + k], out=difference)
        return square.addcmul_(difference, difference)

    if queries.device.type == "cpu":
        for k in range(half):
            # √x as x · 1/√x, because torch's rsqrt is vectorised on a CPU and its sqrt is not.
            total.addcmul_(squared(k), torch.rsqrt(square, out=difference))
        if not total.sum().isnan():
            return total
        # ∞ · 1/√∞ is NaN, where the distance is infinite.
        total.zero_()
    for k in range(half):
        total.add_(squared(k).sqrt_())
    return total


def _add_gradients(q: Tensor, e: Tensor, grad: Tensor, by_query: Tensor, by_entity: Tensor) -> None:
    """Add the gradients of Σ_k |q_k − e_k| to (d, b) and (d, n), from (b, n) of the distances."""
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
            by_query[i] += part.sum(1)
            by_entity[i] -= part.sum(0)
