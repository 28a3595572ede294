"""Tables of embeddings: their initial distribution, their rows, dropout, constants."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dans.errors import InputError, not_negative, one_of

#: Initial distributions of a table.
Initial = Literal["normal", "uniform", "xavier_normal", "xavier_uniform"]


#: Numbers of a table that are drawn at a time, so that a process can leave out what is not its own.
DRAWN = 2**24

#: What puts other rows in place of some of the learned ones, (u, d).
Hide = Callable[[Tensor], Tensor]


class Shard(Protocol):
    """One of several processes that share the rows of a table: row e is kept by process e mod W."""

    #: of this process, from 0
    rank: int
    #: W, the number of processes
    size: int

    def fetch(self, weight: Tensor, ids: Tensor, *, sparse: bool) -> Tensor:
        """Rows of the table from whichever process keeps them; all processes call it together."""

    def whole(self, weight: Tensor, num_rows: int) -> Tensor:
        """All rows, without gradient; all processes call it together."""


#: The process that tables built now are a part of; None: the only one.
_SHARD: ContextVar[Shard | None] = ContextVar("shard", default=None)


@contextmanager
def sharing(shard: Shard | None) -> Iterator[None]:
    """Tables of entities built in the block keep the rows of one process alone."""
    token = _SHARD.set(shard)
    try:
        yield
    finally:
        _SHARD.reset(token)


class EntityTable(nn.Module):
    """A row of numbers for every entity; of several processes each keeps a part of the rows.

    Built within `sharing`, it holds the rows rank, rank + W, rank + 2W, …, and `rows` fetches the
    others. Weights of the whole table can be loaded into it.
    """

    def __init__(self, num_entities: int, dim: int) -> None:
        super().__init__()
        self.num_entities = num_entities
        self.shard = _SHARD.get()
        self.weight = nn.Parameter(torch.empty(len(self.own), dim))
        if num_entities * dim <= DRAWN:
            # As many random numbers as `nn.Embedding` draws, so that what comes after them is what
            # it was in runs on record.
            torch.empty(num_entities, dim).normal_()

    @property
    def own(self) -> range:
        """The entities whose rows are here."""
        if self.shard is None:
            return range(self.num_entities)
        return range(self.shard.rank, self.num_entities, self.shard.size)

    @torch.no_grad()
    def draw(self, initial: Initial, init: float) -> None:
        """Fill it with random numbers: the same, however many processes share it."""
        n, d = self.num_entities, self.weight.shape[1]
        if self.shard is None and self.weight.numel() <= DRAWN:
            draw(self.weight, initial, init)
            return
        at, rows = 0, max(1, DRAWN // max(1, d))
        for first in range(0, n, rows):
            part = self.weight.new_empty(min(rows, n - first), d)
            draw(part, initial, init, num_rows=n)
            if self.shard is not None:
                part = part[(self.shard.rank - first) % self.shard.size :: self.shard.size]
            self.weight[at : at + len(part)] = part
            at += len(part)

    @torch.no_grad()
    def put(self, ids: Tensor, rows: Tensor) -> None:
        """Set the rows of (u,) distinct entities, (u, d), of which this process keeps its own."""
        if self.shard is not None:
            here = ids % self.shard.size == self.shard.rank
            ids, rows = ids[here] // self.shard.size, rows[here]
        self.weight[ids.to(self.weight.device)] = rows.to(self.weight)

    def rows(self, ids: Tensor, *, sparse: bool = False, hide: Hide | None = None) -> Tensor:
        """The rows of distinct entities, (u, d), with gradients into them."""
        if self.shard is None:
            rows = F.embedding(ids, self.weight, sparse=sparse)
        else:
            rows = self.shard.fetch(self.weight, ids, sparse=sparse)
        return rows if hide is None else hide(rows)

    def whole(self, hide: Hide | None = None) -> Tensor:
        """All rows, (n, d); of several processes without gradient."""
        if self.shard is None:
            rows: Tensor = self.weight
        else:
            rows = self.shard.whole(self.weight, self.num_entities)
        return rows if hide is None else hide(rows)

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *rest: object, **more: object
    ) -> None:
        given = state_dict.get(f"{prefix}weight")
        if self.shard is not None and given is not None and len(given) == self.num_entities:
            state_dict[f"{prefix}weight"] = given[self.shard.rank :: self.shard.size]
        super()._load_from_state_dict(state_dict, prefix, *rest, **more)


def draw(weight: Tensor, initial: Initial, init: float, *, num_rows: int | None = None) -> None:
    """Fill a table, or ``num_rows`` rows of which this is a part, with random numbers in place.

    Args:
        init: its standard deviation (``normal``), half its width (``uniform``), or the gain
            (``xavier_*``; Glorot & Bengio 2010).
    """
    not_negative("init", init)
    one_of("initial", initial, get_args(Initial))
    if initial in ("normal", "uniform"):
        scale = init
    else:
        rows, columns = weight.shape
        scale = init * math.sqrt(2 / float(columns + (rows if num_rows is None else num_rows)))
    if initial.endswith("normal"):
        nn.init.normal_(weight, std=scale)
        return
    bound = scale if initial == "uniform" else math.sqrt(3) * scale
    nn.init.uniform_(weight, -bound, bound)


def check_share(name: str, value: float) -> float:
    """The value of an option that must lie in [0, 1)."""
    if not 0 <= value < 1:
        raise InputError(f"{name}: expected a share in [0, 1), got {value:g}")
    return value


def drop(x: Tensor, share: float, training: bool = True) -> Tensor:
    """Dropout in training: zero a share of the numbers and scale up the others, keeping the mean.

    Each number has 16 random bits, four numbers one int64. The share is rounded to a multiple of
    1/65536, but never to 0 or 1; the scale uses the rounded share.
    """
    if not (share and training):
        return x
    cut = min(max(round(share * 2**16), 1), 2**16 - 1)
    quads = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
    bits = quads.random_(-(2**63), None).view(torch.int16)[: x.numel()]
    mask = (bits >= cut - 2**15).to(x.dtype).mul_(2**16 / (2**16 - cut))
    return x * mask.view(x.shape)


def constants(module: nn.Module, **tensors: Tensor) -> None:
    """Give a module tensors by name that follow it to a device and are left out of checkpoints."""
    for name, tensor in tensors.items():
        module.register_buffer(name, tensor, persistent=False)
