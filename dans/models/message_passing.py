"""Relational message passing, out = Σ_r A_r X W_r, in plain torch.

A_r is the sparse (n, n) matrix of the normalisers of edge type r. A matrix per message takes too
much memory (48 GB for FB15k-237), a kernel per edge type too much time. There are two faster orders
of operations; `propagate` takes the one with the lower estimated cost.

**Grouped.** On one of its two sides a relation has fewer distinct entities, its *hubs*. One of its
two edge types points to the hubs, the other away from them. W_r is applied once per (edge type,
hub), a *row*:

    to hubs:    sum the messages of a hub in its row,   from hubs:  copy the hub into its row,
                multiply by W_r,                                    multiply by W_r,
                copy to the hub                                     sum in the targets

So out = D · blockdiag(W_r) · C · X, with sparse C and D. Rows are sorted by edge type, and edge
types with similar numbers of rows are padded to one length, a *bucket*: blockdiag(W_r) is a few
batched products.

Each triple sends a message in both directions, so A_{r+m} has the pattern of A_rᵀ. The gradient by
X is therefore a propagation too, of the gradient by out, with both halves exchanged, W_rᵀ, and the
weight of each message that of its inverse. C and D keep their patterns.

In a `Block` of sampled messages most inverses are missing: there the side of each edge type is
chosen by itself, and the gradient goes through the transposes of D and C.

**Basis first.** If W_r = Σ_b a_{rb} V_b, then out = Σ_b S_b X V_b with S_b = Σ_r a_{rb} A_r: only B
products by a V_b, but every message is summed B times. On small graphs S_b is a dense matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from dans.data.message_graph import MessageGraph, reverse
from dans.data.neighbor_sampling import Block

#: Costs per number, relative to a multiply-add of a matrix product: summing messages, summing them
#: with weights that have a gradient, mixing W_r from one basis.
PER_SUMMED, PER_WEIGHED, PER_MIXED = 6, 30, 10


def propagate(
    x: Tensor, messages: MessageGraph | Block, matrices: Tensor, coefficients: Tensor | None = None
) -> Tensor:
    """The sum over messages, Σ_r A_r X W_r.

    Args:
        x: (n, d_in); of a block, as many rows as it has sources.
        messages: with their normalisers, the A_r.
        matrices: (2m, c, d_in / c, d_out / c), the c diagonal blocks of each W_r; or, with
            coefficients, (B, 1, d_in, d_out), the bases V_b.
        coefficients: (2m, B), the a_{rb}.

    Returns:
        (n, d_out), with first derivatives by x, matrices and coefficients; of a block, as many rows
        as it has targets.

    Example:
        >>> messages = MessageGraph.of(torch.tensor([[0, 0, 1], [2, 0, 1]]), 3, 1)
        >>> twice_forth_never_back = torch.tensor([2.0, 0.0]).view(2, 1, 1, 1)
        >>> propagate(torch.tensor([[1.0], [10.0], [100.0]]), messages, twice_forth_never_back)
        tensor([[  0.],
                [101.],
                [  0.]])
    """
    if not len(messages):
        rows = messages.num_targets if isinstance(messages, Block) else len(x)
        return x.new_zeros(rows, matrices.shape[1] * matrices.shape[3])
    if coefficients is None or isinstance(messages, Block):
        return grouped(x, messages, matrices, coefficients)
    costs = estimate(messages, len(matrices), *matrices.shape[2:])
    return min(costs, key=costs.__getitem__)(x, messages, matrices, coefficients)


def grouped(
    x: Tensor, messages: MessageGraph | Block, matrices: Tensor, coefficients: Tensor | None = None
) -> Tensor:
    """`propagate`, grouped."""
    if isinstance(messages, Block):
        plan = Plan.of_block(messages, x.dtype)
    else:
        plan = Plan.of(messages, x.dtype)
    if coefficients is None:
        by_row = matrices.index_select(0, plan.etypes)
    else:
        mixed = coefficients.index_select(0, plan.etypes) @ matrices.flatten(1)
        by_row = mixed.view(-1, *matrices.shape[1:])
    out: Tensor = _Grouped.apply(x, by_row, plan)  # type: ignore[no-untyped-call]
    return out


def basis_first_dense(
    x: Tensor, messages: MessageGraph, bases: Tensor, coefficients: Tensor
) -> Tensor:
    """`propagate`, basis first, with all S_b as one dense (n·B, n) matrix."""
    n, b = messages.num_entities, len(bases)
    values = _values(x, messages, coefficients)
    row = messages.targets.long()[:, None] * b + torch.arange(b, device=x.device)
    index = row * n + messages.sources.long()[:, None]
    mixed = x.new_zeros(n * b * n).index_add(0, index.flatten(), values.flatten())
    return (mixed.view(n * b, n) @ x).view(n, -1) @ bases.flatten(0, 2)


def basis_first_sparse(
    x: Tensor, messages: MessageGraph, bases: Tensor, coefficients: Tensor
) -> Tensor:
    """`propagate`, basis first, with sparse S_b of one pattern."""
    values = _values(x, messages, coefficients)
    summed: Tensor = _SumByBasis.apply(x, values, messages)  # type: ignore[no-untyped-call]
    return summed.flatten(1) @ bases.flatten(0, 2)


def _values(x: Tensor, messages: MessageGraph, coefficients: Tensor) -> Tensor:
    """The a_{rb} of each message times its normaliser, (e, B)."""
    # By 64-bit ids, as torch gathers rows several times faster by them, and adds gradients to them.
    of_each = coefficients.index_select(0, messages.etype.long())
    return of_each * messages.weight.to(x.dtype)[:, None]


def estimate(
    messages: MessageGraph, bases: int, width: int, width_out: int
) -> dict[Callable[[Tensor, MessageGraph, Tensor, Tensor], Tensor], float]:
    """The estimated cost of each order of operations, fitted to times on one CPU core."""
    n, e, types = messages.num_entities, len(messages), messages.num_etypes
    rows = 2 * int(_receivers(messages)[1].amin(0).sum())
    square = width * width_out
    return {
        grouped: rows * square + PER_SUMMED * e * width + PER_MIXED * types * bases * square,
        basis_first_dense: bases * n * (n * width + square),
        basis_first_sparse: bases * (PER_WEIGHED * e * width + n * square),
    }


class Sparse(NamedTuple):
    """A sparse matrix in CSR form; `embedding_bag` is torch's fastest product with a dense one."""

    columns: Tensor
    pointers: Tensor
    values: Tensor

    @classmethod
    def pattern(cls, rows: Tensor, columns: Tensor, num_rows: int) -> tuple[Sparse, Tensor]:
        """A matrix with these entries, without their values, and the order of the entries in it."""
        order = torch.argsort(rows.int(), stable=True)
        pointers = rows.new_zeros(num_rows + 1, dtype=torch.int32)
        pointers[1:] = torch.bincount(rows, minlength=num_rows).cumsum(0)
        return cls(columns[order].int(), pointers, rows.new_empty(0)), order

    @classmethod
    def of(cls, rows: Tensor, columns: Tensor, values: Tensor, num_rows: int) -> Sparse:
        """A matrix with these entries."""
        pattern, order = cls.pattern(rows, columns, num_rows)
        return pattern._replace(values=values[order])

    def __matmul__(self, dense: Tensor) -> Tensor:
        return F.embedding_bag(
            self.columns,
            dense,
            self.pointers,
            mode="sum",
            per_sample_weights=self.values,
            include_last_offset=True,
        )


class Bucket(NamedTuple):
    """Consecutive edge types with equally many rows, padding included."""

    etypes: slice
    rows: slice

    def batch(self, rows: Tensor, blocks: int) -> Tensor:
        """Their part of (2q, d) rows: (edge types, blocks, rows of each, d / blocks)."""
        types = self.etypes.stop - self.etypes.start
        width = rows.shape[1] // blocks
        return rows[self.rows].view(types, -1, blocks, width).transpose(1, 2)


class Plan(NamedTuple):
    """Rows, buckets, C and D of messages.

    Of a message graph, the first q of 2q rows are of the edge types that point to the hubs, the
    others of their inverses, in the same order: rows i and q + i have the same hub. The gradients
    by rows i and q + i then change places: ``back`` are ``buckets`` with their halves exchanged.
    """

    #: (2m,) edge types in row order; of a block, those that it has
    etypes: Tensor
    #: of the first half, then of the second
    buckets: list[Bucket]
    #: where the gradients by the rows of ``buckets`` are
    back: list[Bucket]
    #: C, (2q, n), and the same with the weights of the inverse messages; of a block, C and Dᵀ
    collect: Sparse
    collect_inverse: Sparse
    #: D, (n, 2q), likewise; of a block, D and Cᵀ
    deliver: Sparse
    deliver_inverse: Sparse

    @classmethod
    def of(cls, messages: MessageGraph, dtype: torch.dtype) -> Plan:
        """The plan of a message graph, cached in it."""
        key = ("plan", dtype)
        if key not in messages.cache:
            messages.cache[key] = cls.make(messages, dtype)
        return cast(Plan, messages.cache[key])

    @classmethod
    def make(cls, messages: MessageGraph, dtype: torch.dtype) -> Plan:
        """Sort and pad the rows, and find the entries of C and D."""
        m, device = messages.num_etypes // 2, messages.device
        first, receivers = _receivers(messages)
        inward = torch.arange(m, device=device) + m * (receivers[0] > receivers[1])
        hubs, by_number = receivers.amin(0).sort(descending=True, stable=True)
        inward = inward[by_number]
        first_half, starts, q = _pad(hubs.tolist())
        second_half = [
            Bucket(
                slice(bucket.etypes.start + m, bucket.etypes.stop + m),
                slice(bucket.rows.start + q, bucket.rows.stop + q),
            )
            for bucket in first_half
        ]

        # The messages to hubs, one per triple, and the row of each.
        start = torch.full_like(inward, -1).repeat(2)
        start[inward] = torch.tensor(starts, device=device)
        chosen = (start[messages.etype] >= 0).nonzero().squeeze(1)
        first, etype = first[chosen], messages.etype[chosen]
        number = torch.zeros_like(start).index_copy_(0, inward, hubs)
        before = number.cumsum(0) - number
        row = first.cumsum(0) - 1 + (start - before)[etype]

        # The entries of C, and, with its halves exchanged, of Dᵀ.
        rows = torch.cat((row, row[first] + q))
        entities = torch.cat((messages.sources[chosen], messages.targets[chosen[first]]))
        weight = messages.weight.to(dtype)
        copied = weight.new_ones(len(rows) - len(row))
        forth = torch.cat((weight[chosen], copied))
        back = torch.cat((weight[reverse(messages.triple_ids)[chosen]], copied))
        collect, order = Sparse.pattern(rows, entities, 2 * q)
        deliver, order_out = Sparse.pattern(entities, (rows + q) % (2 * q), messages.num_entities)
        return cls(
            torch.cat((inward, (inward + m) % (2 * m))),
            first_half + second_half,
            second_half + first_half,
            collect._replace(values=forth[order]),
            collect._replace(values=back[order]),
            deliver._replace(values=back[order_out]),
            deliver._replace(values=forth[order_out]),
        )

    @classmethod
    def of_block(cls, block: Block, dtype: torch.dtype) -> Plan:
        """The plan of a block; that of the gradient is empty where none is recorded.

        The rows of an edge type are its distinct targets, or its distinct sources where there are
        fewer of them.
        """
        etype, types = block.etype, block.num_etypes
        by_target = _Pairs.find(etype, block.targets, block.num_targets, types)
        by_source = _Pairs.find(etype, block.sources, block.num_sources, types)
        at_target = by_target.number <= by_source.number
        rows, by_number = torch.minimum(by_target.number, by_source.number).sort(
            descending=True, stable=True
        )
        present = int((rows > 0).sum())
        buckets, starts, q = _pad(rows.tolist())
        start = torch.zeros_like(rows).index_copy_(0, by_number, rows.new_tensor(starts))

        # The entries of C and D: one for each message on one side of its row, with its weight, and
        # one for each row on the other.
        mine = at_target[etype]
        summed, copied = mine.nonzero().squeeze(1), (~mine).nonzero().squeeze(1)
        sum_rows, sum_ends = by_target.rows(start, at_target)
        copy_rows, copy_ends = by_source.rows(start, ~at_target)
        weight = block.weight.to(dtype)
        one = weight.new_ones(1)
        collect = (
            torch.cat((by_target.row_of(start, etype, summed), copy_rows)),
            torch.cat((block.sources[summed], copy_ends)),
            torch.cat((weight[summed], one.expand(len(copy_rows)))),
        )
        deliver = (
            torch.cat((sum_ends, block.targets[copied])),
            torch.cat((sum_rows, by_source.row_of(start, etype, copied))),
            torch.cat((one.expand(len(sum_rows)), weight[copied])),
        )
        transposes = [Sparse(etype.new_empty(0), etype.new_empty(0), weight.new_empty(0))] * 2
        if torch.is_grad_enabled():
            transposes = [
                Sparse.of(deliver[1], deliver[0], deliver[2], q),
                Sparse.of(collect[1], collect[0], collect[2], block.num_sources),
            ]
        return cls(
            by_number[:present],
            buckets,
            buckets,
            Sparse.of(*collect, q),
            transposes[0],
            Sparse.of(*deliver, block.num_targets),
            transposes[1],
        )


class _Pairs(NamedTuple):
    """The distinct pairs of an edge type and an entity on one side of messages, sorted.

    Args:
        etype: (p,).
        ends: (p,) entities.
        of: (e,) the pair of each message.
        number: (2m,) pairs of each edge type.
        before: (2m,) pairs of lower edge types.
    """

    etype: Tensor
    ends: Tensor
    of: Tensor
    number: Tensor
    before: Tensor

    @classmethod
    def find(cls, etype: Tensor, ends: Tensor, most: int, types: int) -> _Pairs:
        """The pairs of (e,) messages with (e,) entities below ``most``."""
        pairs, of = torch.unique(etype * most + ends, return_inverse=True)
        its_type = torch.div(pairs, most, rounding_mode="floor")
        number = torch.bincount(its_type, minlength=types)
        return cls(its_type, pairs - its_type * most, of, number, number.cumsum(0) - number)

    def rows(self, start: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and entities of the pairs of chosen edge types, whose first rows are ``start``."""
        some = chosen[self.etype].nonzero().squeeze(1)
        return some + (start - self.before)[self.etype[some]], self.ends[some]

    def row_of(self, start: Tensor, etype: Tensor, some: Tensor) -> Tensor:
        """The rows of some messages, of (e,) edge types whose first rows are ``start``."""
        return self.of[some] + (start - self.before)[etype[some]]


class _Grouped(torch.autograd.Function):
    """D · blockdiag(W_r) · C · X, with the W_r in row order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrices: Tensor, plan: Plan) -> Tensor:
        rows = plan.collect @ x
        ctx.plan = plan
        ctx.save_for_backward(rows, matrices)
        parts = [matrices[bucket.etypes] for bucket in plan.buckets]
        return plan.deliver @ _transform(rows, parts, plan.buckets)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        plan: Plan = ctx.plan
        rows, matrices = ctx.saved_tensors
        blocks = matrices.shape[1]
        back = plan.collect_inverse @ grad.contiguous()
        parts = [matrices[bucket.etypes].mT for bucket in plan.back]
        grad_x = plan.deliver_inverse @ _transform(back, parts, plan.buckets)
        grad_matrices = torch.zeros_like(matrices)
        for bucket, inverse in zip(plan.buckets, plan.back, strict=True):
            received = inverse.batch(back, blocks)
            _multiply(bucket.batch(rows, blocks).mT, received, grad_matrices[bucket.etypes])
        return grad_x, grad_matrices, None


def _transform(rows: Tensor, matrices: list[Tensor], buckets: list[Bucket]) -> Tensor:
    """Each row times the W_r of its edge type: (2q, d_out) from (2q, d_in)."""
    _, blocks, _, width = matrices[0].shape
    out = rows.new_empty(len(rows), blocks * width)
    for bucket, part in zip(buckets, matrices, strict=True):
        _multiply(bucket.batch(rows, blocks), part, bucket.batch(out, blocks))
    return out


def _multiply(left: Tensor, right: Tensor, out: Tensor) -> None:
    """Write left @ right to ``out``, all (edge types, blocks, ·, ·)."""
    if out.shape[1] == 1:
        torch.bmm(left.squeeze(1), right.squeeze(1), out=out.squeeze(1))
    else:
        out.copy_(left @ right)


def _receivers(messages: MessageGraph) -> tuple[Tensor, Tensor]:
    """Is a message the first of its edge type and target, (e,)? How many are, by type, (2, m)."""
    if "receivers" not in messages.cache:
        new = messages.etype.diff().bool() | messages.targets.diff().bool()
        first = torch.cat((new.new_ones(1), new))
        number = torch.bincount(messages.etype[first], minlength=messages.num_etypes)
        messages.cache["receivers"] = first, number.view(2, -1)
    return cast(tuple[Tensor, Tensor], messages.cache["receivers"])


def _pad(hubs: list[int]) -> tuple[list[Bucket], list[int], int]:
    """Buckets for falling numbers of rows, each edge type's first row, and the rows in all.

    A bucket ends where padding would exceed both an eighth and eight rows. Edge types without
    messages are in no bucket.
    """
    buckets, starts, row, at = [], [0] * len(hubs), 0, 0
    while at < len(hubs) and hubs[at]:
        length, begin = hubs[at], at
        least = max(1, length - max(8, length // 8))
        while at < len(hubs) and hubs[at] >= least:
            starts[at] = row + length * (at - begin)
            at += 1
        buckets.append(Bucket(slice(begin, at), slice(row, row + length * (at - begin))))
        row = buckets[-1].rows.stop
    return buckets, starts, row


class _SumByBasis(torch.autograd.Function):
    """All S_b X, (n, B, d), from X and the values a_{rb} · normaliser of the messages, (e, B)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, messages: MessageGraph) -> Tensor:
        pattern, order = _by_target(messages)
        ctx.messages = messages
        ctx.save_for_backward(x, values)
        by_basis = values[order].T.contiguous()
        return torch.stack([pattern._replace(values=part) @ x for part in by_basis], 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        messages: MessageGraph = ctx.messages
        x, values = ctx.saved_tensors
        pattern, order = _by_target(messages)
        by_basis = values[reverse(messages.triple_ids)[order]].T.contiguous()
        grads = grad.transpose(0, 1).contiguous()
        grad_x = torch.zeros_like(x)
        for part, g in zip(by_basis, grads, strict=True):
            grad_x += pattern._replace(values=part) @ g
        grad_values = torch.empty_like(values)
        for some in torch.arange(len(messages), device=x.device).split(1 << 16):
            sent = x.index_select(0, messages.sources[some].long())
            for b, g in enumerate(grads):
                received = g.index_select(0, messages.targets[some].long())
                grad_values[some, b] = (sent * received).sum(1)
        return grad_x, grad_values, None


def _by_target(messages: MessageGraph) -> tuple[Sparse, Tensor]:
    """The pattern of Σ_r A_r, with an entry per message, and the order of the messages in it."""
    if "by target" not in messages.cache:
        messages.cache["by target"] = Sparse.pattern(
            messages.targets, messages.sources, messages.num_entities
        )
    return cast(tuple[Sparse, Tensor], messages.cache["by target"])
