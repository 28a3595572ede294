"""Several processes that train one model, started by ``torchrun``.

Each process has all triples and draws the same random numbers. It computes a part of each batch,
and keeps a part of the rows of the entity table and of the optimizer's state for them; rows travel
to where they are needed, and their gradients back. All other parameters are in each process, and
their gradients are added up. So a step is that of a single process, but for the order of sums.
"""

from __future__ import annotations

import atexit
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dans.errors import InputError
from dans.evaluation.evaluator import Ranks
from dans.models.batch import Share
from dans.models.embedding_tables import EntityTable

T = TypeVar("T")

#: What torchrun sets for each process.
VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class LostProcessError(InputError):
    """Another process of the run has ended, or does not answer."""


@dataclass(eq=False)
class World:
    """The processes of a run, and this one's place among them.

    Args:
        rank: of this process, from 0; the first of them writes files and the log.
        size: how many there are.

    A shard of `EntityTable`: row e is kept by process e mod size.
    """

    rank: int
    size: int

    @property
    def leads(self) -> bool:
        """Does this process write for all?"""
        return self.rank == 0

    # What all processes call together.

    def wait(self) -> None:
        """Wait until all processes are here."""
        with lost():
            dist.barrier()

    def tell(self, value: T) -> T:
        """The first process's value, which JSON can hold, in all of them."""
        box = [value]
        with lost():
            dist.broadcast_object_list(box)
        return box[0]

    def add(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        with lost():
            dist.all_reduce(values)
        return values

    def share(self, total: int) -> Share:
        """This process's part of a batch of so many triples."""
        bounds = [i * total // self.size for i in range(self.size + 1)]

        def gather(values: Tensor) -> Tensor:
            joined: Tensor = _Gather.apply(values, bounds, self.rank)  # type: ignore[no-untyped-call]
            return joined

        return Share(bounds[self.rank], bounds[self.rank + 1], total, gather, self)

    def fetch(self, weight: Tensor, ids: Tensor, *, sparse: bool) -> Tensor:
        """Rows of a table that all share, (u, d), with gradients that go back to who keeps them."""
        rows: Tensor = _Fetch.apply(weight, ids, self.size, sparse)  # type: ignore[no-untyped-call]
        return rows

    @torch.no_grad()
    def whole(self, weight: Tensor, num_rows: int) -> Tensor:
        """All rows of a table that all share, without gradient."""
        longest = -(-num_rows // self.size)
        padded = weight.new_zeros(longest, *weight.shape[1:])
        padded[: len(weight)] = weight
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        with lost():
            dist.all_gather(parts, padded)
        rows = weight.new_empty(num_rows, *weight.shape[1:])
        for rank, part in enumerate(parts):
            kept = rows[rank :: self.size]
            kept.copy_(part[: len(kept)])
        return rows

    def check_equal(self, what: str, value: object) -> None:
        """Stop where the processes have been given different things; ``value`` is plain data."""
        if self.tell(value) != value:
            raise InputError(f"process {self.rank}: {what}: not what the first process was given")

    def joined(self, ranks: Ranks) -> Ranks:
        """The ranks of all queries, of which each process has a part and 0 for the others."""
        own = torch.stack((ranks.optimistic, ranks.pessimistic, ranks.candidates))
        parts = [torch.empty_like(own) for _ in range(self.size)]
        with lost():
            dist.all_gather(parts, own)
        return Ranks.joined([Ranks(ranks.triples, *part.unbind()) for part in parts])

    def check_randomness(self) -> None:
        """Stop where the processes have drawn different random numbers: their batches differ."""
        state = hashlib.sha256(torch.get_rng_state().numpy().tobytes()).digest()[:8]
        number = torch.tensor([int.from_bytes(state, "big") >> 1])
        lowest, highest = number.clone(), number.clone()
        with lost():
            dist.all_reduce(lowest, dist.ReduceOp.MIN)
            dist.all_reduce(highest, dist.ReduceOp.MAX)
        if not torch.equal(lowest, highest):
            raise RuntimeError("the processes of the run have drawn different random numbers")


class _Gather(torch.autograd.Function):
    """The rows of all processes; the gradient is that of this process's rows."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, bounds: list[int], rank: int) -> Tensor:
        ctx.part = slice(bounds[rank], bounds[rank + 1])
        sizes = [stop - start for start, stop in pairwise(bounds)]
        # Bits: torch's collectives do not take all types.
        given = values.detach().contiguous()
        as_bytes = given.dtype == torch.bool
        padded = (given.byte() if as_bytes else given).new_zeros(max(sizes), *given.shape[1:])
        padded[: len(given)] = given
        parts = [torch.empty_like(padded) for _ in sizes]
        with lost():
            dist.all_gather(parts, padded)
        joined = torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
        return joined.bool() if as_bytes else joined

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad[ctx.part], None, None


class _Fetch(torch.autograd.Function):
    """Rows of a table whose row e is row e // W of process e mod W."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor, size: int, sparse: bool) -> Tensor:
        keeper = ids % size
        order = torch.argsort(keeper, stable=True)
        wanted = torch.bincount(keeper, minlength=size)
        given = exchange(wanted, [1] * size, [1] * size)
        ctx.wanted, ctx.given = wanted.tolist(), given.tolist()
        ctx.rows = exchange(ids[order], ctx.wanted, ctx.given) // size
        ctx.order, ctx.sparse = order, sparse
        ctx.shape = weight.shape
        received = exchange(weight.detach()[ctx.rows], ctx.given, ctx.wanted)
        return torch.empty_like(received).index_copy_(0, order, received)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        values = exchange(grad[ctx.order], ctx.wanted, ctx.given)
        if ctx.sparse:
            gradient = torch.sparse_coo_tensor(
                ctx.rows.unsqueeze(0), values, ctx.shape, check_invariants=False
            )
            return gradient, None, None, None
        dense = values.new_zeros(ctx.shape).index_add_(0, ctx.rows, values)
        return dense, None, None, None


def exchange(values: Tensor, sent: list[int], received: list[int]) -> Tensor:
    """Send consecutive rows to each process, so many to each, and receive so many of each."""
    out = values.new_empty(sum(received), *values.shape[1:])
    with lost():
        dist.all_to_all_single(out, values.contiguous(), received, sent)
    return out


@contextmanager
def lost() -> Iterator[None]:
    """Say in a sentence that another process does not answer.

    Raises:
        LostProcessError: torch's collective failed.
    """
    try:
        yield
    except RuntimeError as error:
        silent = any(word in str(error) for word in ("onnection", "imed out"))
        if isinstance(error, dist.DistError) or silent:
            raise LostProcessError("another process of this run has ended, or hangs") from error
        raise


_worlds: list[World] = []


def join(device: torch.device) -> World | None:
    """Meet the other processes that torchrun has started; None where this is the only one.

    Raises:
        InputError: torchrun's variables are not whole, or the others do not come.
    """
    if _worlds:
        return _worlds[0]
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return None
    if missing := [name for name in VARIABLES if name not in os.environ]:
        raise InputError(
            f"WORLD_SIZE is set, but not {', '.join(missing)}; several processes are started by "
            "torchrun, as in: torchrun --nproc-per-node 2 -m dans train …"
        )
    if device.type != "cpu":
        raise InputError(
            f"train.device: several processes train on processors alone; got {device.type}, which "
            "one process can use"
        )
    try:
        dist.init_process_group("gloo")
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"the processes of this run do not meet: {reason}") from error
    _worlds.append(World(dist.get_rank(), dist.get_world_size()))
    atexit.register(leave)
    return _worlds[0]


def joined() -> bool:
    """Has this process met others?"""
    return bool(_worlds)


def leave() -> None:
    """Take leave of the other processes."""
    if _worlds:
        _worlds.clear()
        dist.destroy_process_group()


def tables_of(model: nn.Module) -> list[EntityTable]:
    """The tables of a model whose rows several processes share."""
    return [m for m in model.modules() if isinstance(m, EntityTable) and m.shard is not None]
