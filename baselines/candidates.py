"""Log-sum-exp of the scores of all entities, and its gradients, in bounded memory."""

from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from dans.compiled import BLOCK, call, library, shares
from dans.memory import Budget
from dans.models.decoders import Decoder
from dans.models.decoders.costs import score_cost
from dans.models.decoders.distances import DIFFERENCES
from dans.models.decoders.rotate import RotatE
from dans.models.decoders.transe import TransE

T = TypeVar("T")

#: Scores of a tile, which stays in a CPU's cache until it is used.
TILE = 2**19

#: The same for scores that are no dot products: on a CPU, and on other devices.
TILE_OF_ANY, TILE_OF_ANY_ELSEWHERE = 2**20, 2**24

#: Scores of a tile from which the C functions are used.
WORTH_COMPILING = 3 * 2**17

#: The C functions.
SOURCE = Path(__file__).with_suffix(".c")

#: Bytes of the scores of a part of a batch, if all are kept.
MAX_BYTES = 2**28


def all_entities(
    decoder: Decoder,
    queries: Tensor,
    entities: Tensor,
    weights: Tensor,
    *,
    smoothing: float = 0.0,
    low: bool = False,
    budget: Budget | None = None,
) -> Tensor:
    """Σ_q w_q [log Σ_e exp f(q, e) − λ mean_e f(q, e)].

    Scores are computed in tiles, and gradients with them. Tiles that fit in the budget are kept in
    between; the others are computed again.

    Args:
        weights: (q,) w, without gradient.
        low: matrix products in bfloat16, if f is a dot product.
        budget: memory for scores; None: a quarter of what is free.
    """
    budget = budget or Budget(device=entities.device)
    if not decoder.dot:
        own = [p for p in decoder.parameters() if p.requires_grad]
        given = (queries, entities, weights, decoder, smoothing, budget, *own)
        total: Tensor = _AnyScores.apply(*given)  # type: ignore[no-untyped-call]
        return total
    total = _DotProducts.apply(queries, entities, weights, low, budget)  # type: ignore[no-untyped-call]
    if decoder.shift:
        total = total + decoder.shift * weights.sum()
    if smoothing:
        means = decoder.score_query(queries, entities.mean(0))
        total = total - smoothing * (weights * means).sum()
    return total


class _DotProducts(torch.autograd.Function):
    """Σ_q w_q log Σ_e exp(q · e) in tiles, with gradients computed in the forward pass.

    Tiles are stored entity by entity, because that product is faster. A tile holds
    exp(s − its own maximum), so that nothing overflows and scores are read once; the difference to
    the maximum over all tiles joins the factor of its columns.
    """

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, entities: Tensor, weights: Tensor, low: bool, budget: Budget
    ) -> Tensor:
        size = entities.element_size()
        part = min(len(queries), max(1, MAX_BYTES // (len(entities) * size)))
        rows = min(len(entities), max(1, TILE // part))
        tiles = ceil(len(entities) / rows)

        def work(kept: int) -> tuple[Tensor, Tensor, Tensor]:
            total = queries.new_zeros(())
            by_query, by_entity = torch.empty_like(queries), torch.zeros_like(entities)
            parts = (tensor.split(part) for tensor in (queries, weights, by_query))
            for q, w, dq in zip(*parts, strict=True):
                total += _one_part(q, entities, w, dq, by_entity, rows=rows, kept=kept, low=low)
            return total, by_query, by_entity

        between = 2 * rows * part + 4 * tiles * part + 6 * part + 3 * part * entities.shape[1]
        copies = 2 * (len(entities) + part) * entities.shape[1] if low else 0
        kept_size = part * rows * (2 if low else size)
        fixed = between * size + copies + kept_size
        total, *gradients = keeping(budget, tiles, kept_size, work, fixed=fixed)
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gradients = (made if grad == 1 else made * grad for made in ctx.saved_tensors)
        return *gradients, None, None, None


def _one_part(
    queries: Tensor,
    entities: Tensor,
    weights: Tensor,
    by_query: Tensor,
    by_entity: Tensor,
    *,
    rows: int,
    kept: int,
    low: bool,
) -> Tensor:
    """The sum over some queries; writes their gradient and adds to that of the entities."""
    q, es = (x.bfloat16() if low else x for x in (queries, entities))
    tiles = list(zip(es.split(rows), by_entity.split(rows), strict=True))
    # Tiles that are not kept share the last buffer.
    buffers = q.new_empty(min(kept + 1, len(tiles)), rows, len(q))
    tops, sums = queries.new_empty(2, len(tiles), len(q))

    def make(i: int, top: Tensor, summed: Tensor | None) -> Tensor:
        e = tiles[i][0]
        tile = buffers[min(i, len(buffers) - 1), : len(e)]
        torch.mm(e, q.T, out=tile)
        if compiled(tile, queries.dtype):
            _exponentials(tile, top, summed)
            return tile
        exact = tile.to(queries.dtype)
        if summed is not None:
            torch.amax(exact, 0, out=top)
        exact.sub_(top).exp_()
        if summed is not None:
            torch.sum(exact, 0, out=summed)
        return tile.copy_(exact) if low else tile

    for i, (top, summed) in enumerate(zip(tops, sums, strict=True)):
        make(i, top, summed)
    highest = tops.amax(0)
    off = (tops - highest).exp_()
    norm = (off * sums).sum(0)
    by_query.zero_()
    for i, factor in enumerate((off * (weights / norm)).unsqueeze(2)):
        recomputed = i >= len(buffers) - 1 and len(buffers) < len(tiles)
        tile = make(i, tops[i], None) if recomputed else buffers[i, : len(tiles[i][0])]
        e, de = tiles[i]
        by_query.addcmul_((tile.T @ e).to(queries.dtype), factor)
        if low:
            de.add_(tile @ (queries * factor).bfloat16())
        else:
            de.addmm_(tile, queries * factor)
    total: Tensor = (weights * (highest + norm.log())).sum()
    return total


def compiled(tile: Tensor, dtype: torch.dtype) -> bool:
    """Are the exponentials of a tile computed by the C functions? ``dtype`` is that of queries."""
    plain = dtype == torch.float32 and tile.device.type == "cpu"
    return plain and tile.numel() >= WORTH_COMPILING and library(SOURCE) is not None


def _exponentials(tile: Tensor, top: Tensor, summed: Tensor | None) -> None:
    """Replace scores by exp(s − top); where ``summed`` is given, it and ``top`` are of the tile."""
    kind = "bfloat16" if tile.dtype == torch.bfloat16 else "float32"
    sums = top if summed is None else summed
    calls = [
        (
            *(tile[:, part], top[part], sums[part]),
            *(len(tile), part.stop - part.start, tile.stride(0), int(summed is not None)),
        )
        for part in shares(tile.shape[1])
    ]
    call(getattr(library(SOURCE), f"exponentials_{kind}"), calls)


class _AnyScores(torch.autograd.Function):
    """Σ_q w_q [log Σ_e exp f(q, e) − λ mean_e f(q, e)] of any f, in tiles, by autograd of f."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        entities: Tensor,
        weights: Tensor,
        decoder: Decoder,
        smoothing: float,
        budget: Budget,
        *own: Tensor,
    ) -> Tensor:
        size, b, n = entities.element_size(), len(queries), len(entities)
        tile = TILE_OF_ANY if entities.device.type == "cpu" else TILE_OF_ANY_ELSEWHERE
        rows = min(n, max(1, tile // b))
        tiles = entities.split(rows)
        inputs = (queries.detach().requires_grad_(), *own)

        def work(kept: int) -> tuple[Tensor, list[Tensor | None]]:
            return _in_tiles(decoder, inputs, tiles, weights, smoothing, kept)

        made = score_cost(decoder, b, rows) * size
        fixed = made + (gradient_cost(decoder, b, rows) + 3 * b * rows + 4 * len(tiles) * b) * size
        total, gradients = keeping(budget, len(tiles), made, work, fixed=fixed)
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        by_entity, by_query, *by_own = (
            made if made is None or grad == 1 else made * grad for made in ctx.saved_tensors
        )
        return by_query, by_entity, None, None, None, None, *by_own


def _in_tiles(
    decoder: Decoder,
    inputs: tuple[Tensor, ...],
    tiles: tuple[Tensor, ...],
    weights: Tensor,
    smoothing: float,
    kept: int,
) -> tuple[Tensor, list[Tensor | None]]:
    """The sum, and its gradients by the entities and by each input: queries, then parameters."""
    queries, n = inputs[0], sum(len(tile) for tile in tiles)
    log_sums, means = queries.new_empty(2, len(tiles), len(queries))
    kept_tiles: list[tuple[Tensor, Tensor]] = []

    def make(tile: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = tile.detach().requires_grad_()
            return leaf, decoder.score_all(queries, leaf)

    for i, tile in enumerate(tiles):
        leaf, scores = make(tile)
        log_sums[i], means[i] = scores.detach().logsumexp(1), scores.detach().sum(1) / n
        if i < kept:
            kept_tiles.append((leaf, scores))
        del leaf, scores
    norm = log_sums.logsumexp(0)
    loss = weights @ (norm - smoothing * means.sum(0) if smoothing else norm)
    sums: list[Tensor | None] = [None] * len(inputs)
    by_entity = torch.empty(n, queries.shape[1], dtype=queries.dtype, device=queries.device)
    for i, (tile, own) in enumerate(zip(tiles, by_entity.split(len(tiles[0])), strict=True)):
        leaf, scores = kept_tiles[i] if i < kept else make(tile)
        pull = (scores.detach() - norm.unsqueeze(1)).exp_()
        pull = pull.sub_(smoothing / n).mul_(weights.unsqueeze(1))
        found = torch.autograd.grad(scores, (leaf, *inputs), pull, allow_unused=True)
        own.copy_(found[0])
        for j, (total, part) in enumerate(zip(sums, found[1:], strict=True)):
            sums[j] = part if total is None or part is None else total + part
        del leaf, scores, pull, found
    return loss, [by_entity, *sums]


def keeping(
    budget: Budget, total: int, bytes_each: int, work: Callable[[int], T], *, fixed: int = 0
) -> T:
    """The result of work that keeps as many of ``total`` items as fit in a budget.

    The work gets the number of items to keep, and is called again with half as many where they did
    not fit, so it must be without effect where it raises.
    """
    budget.check(fixed)
    while True:
        kept = max(0, min(total, (budget.bytes - fixed) // max(1, bytes_each)))
        try:
            return work(kept)
        except (RuntimeError, MemoryError) as error:
            budget.halve(error, kept > 0, fixed + kept // 2 * bytes_each, fixed)


def gradient_cost(decoder: Decoder, rows: int, entities: int) -> int:
    """Numbers held by the gradient of ``score_all``, itself included."""
    numbers = 3 * rows * entities + 4 * (rows + entities) * decoder.dim
    if isinstance(decoder, (RotatE, TransE)):
        # Each thread has a sum of its own, and a block of entities.
        numbers += len(shares(max(1, entities))) * (rows + 2 * BLOCK) * decoder.dim
    on_cpu = decoder.relation.weight.device.type == "cpu"
    if isinstance(decoder, TransE) and decoder.p == 1 and not on_cpu:
        numbers += min(DIFFERENCES, rows * entities * decoder.dim)
    return numbers
