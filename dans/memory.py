"""Memory budgets: how much work on many rows may hold at a time, and what happens where it fails.

Torch and psutil are imported on use: configurations parse sizes by this module, and need neither.
"""

import ctypes
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dans.errors import InputError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

T = TypeVar("T")

#: By default work may hold 1/SHARE of the free memory.
SHARE = 4

#: Units of sizes in lower case.
UNITS = {
    **{"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12},
    **{"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40},
}

#: Of each version of control groups: the mount point, the files of limit and usage, and the line of
#: memory.stat with the file cache that the kernel can drop.
GROUPS = {
    "v2": ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "v1": (
        "sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
}

#: How torch reports a failed allocation on a CPU, by platform.
REFUSALS = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")

#: Settings of glibc from malloc.h: how much free memory at the top of the heap is returned, and how
#: many blocks may be mappings of their own.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


class NoRoomError(InputError):
    """The error of work whose smallest piece does not fit in memory."""


def parse_bytes(text: str | int) -> int:
    """A size as a number of bytes: kB, MB, GB, TB are powers of 1000, KiB, MiB, GiB, TiB of 1024.

    Example:
        >>> parse_bytes("200MB"), parse_bytes("1.5 GiB"), parse_bytes(4096)
        (200000000, 1610612736, 4096)
    """
    found = re.fullmatch(r"\s*([0-9]{1,18})(\.[0-9]{1,9})?\s*([a-z]*)\s*", str(text).lower())
    if found is None or found[3] not in UNITS or isinstance(text, bool):
        raise InputError(f"memory_budget: expected a size such as 200MB or 1GiB, got {text!r}")
    unit = UNITS[found[3]]
    size = int(found[1]) * unit
    if found[2]:
        size += int(found[2][1:]) * unit // 10 ** (len(found[2]) - 1)
    if not 0 < size < 2**63:
        raise InputError(f"memory_budget: expected from 1 byte to 2^63, got {text!r}")
    return size


def stated(text: str | int) -> int | None:
    """The bytes of an option, or None where it is left open by ``""`` or 0."""
    return None if text in ("", 0) and not isinstance(text, bool) else parse_bytes(text)


def show_bytes(size: int) -> str:
    """A size for messages, in a unit of thousands.

    Example:
        >>> show_bytes(200_000_000), show_bytes(58_164), show_bytes(12)
        ('200 MB', '58.2 kB', '12 B')
    """
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}" if size < 999 * unit else f"{size // unit} {name}"
    return f"{size} B"


class Budget:
    """The bytes that work may hold at a time, halved where an allocation fails.

    Args:
        limit: bytes; None: a quarter of what is free at the first use.
        device: whose memory; None: main memory.
        found: what fitted in an earlier budget, whose ``remember`` was given it.
        remember: is given each size found after a failed allocation.
        option: the option that states the limit, which opens errors.

    Example:
        >>> budget = Budget(1000)
        >>> budget.rows(300), budget.rows(300, most=2), budget.rows(5000)
        (3, 2, 1)
        >>> list(budget.chunks(7, 300, lambda part: (part.start, part.stop)))
        [(0, 3), (3, 6), (6, 7)]
    """

    def __init__(
        self,
        limit: int | None = None,
        *,
        device: "torch.device | None" = None,
        found: int | None = None,
        remember: Callable[[int], None] | None = None,
        option: str = "memory_budget",
    ) -> None:
        if limit is not None and limit < 1:
            raise InputError(f"{option}: expected at least 1 byte, got {limit}")
        self.limit = limit
        self.device = device
        self.found = found
        self.remember = remember
        self.option = option

    @cached_property
    def _allowed(self) -> int:
        return max(1, free(self.device) // SHARE) if self.limit is None else self.limit

    @property
    def bytes(self) -> int:
        """The bytes that may be held now."""
        return self._allowed if self.found is None else min(self._allowed, self.found)

    def rows(self, bytes_each: int, *, most: int | None = None, fixed: int = 0) -> int:
        """How many rows fit beside ``fixed`` bytes: at least one, at most ``most``."""
        rows = max(1, (self.bytes - fixed) // max(1, bytes_each))
        return rows if most is None else min(rows, max(1, most))

    def chunks(
        self,
        total: int,
        bytes_each: int,
        work: Callable[[slice], T],
        *,
        most: int | None = None,
        fixed: int = 0,
    ) -> Iterator[T]:
        """The results of work on consecutive slices of ``total`` rows, at most ``most`` in each.

        Each row holds ``bytes_each``, beside ``fixed`` bytes. The work is called again with half of
        a slice that did not fit, so it must be without effect where it raises, and its result for a
        row must not depend on the slice.
        """
        if total:
            self.check(fixed + bytes_each)
        first = 0
        while first < total:
            rows = min(self.rows(bytes_each, most=most, fixed=fixed), total - first)
            try:
                result = work(slice(first, first + rows))
            except (RuntimeError, MemoryError) as error:
                self.halve(error, rows > 1, fixed + rows // 2 * bytes_each, fixed + bytes_each)
                continue
            yield result
            del result
            first += rows

    def shrink(self, to: int) -> None:
        """Allow no more than these bytes from here on."""
        self.found = max(1, to)
        log.warning("out of memory; continuing with %s at a time", show_bytes(self.found))
        if self.remember is not None:
            self.remember(self.found)

    def check(self, least: int) -> None:
        """Refuse work whose smallest piece takes more than a stated limit."""
        if self.limit is not None and least > self.limit:
            raise InputError(
                f"{self.option}: expected at least {show_bytes(least)}, which this work takes even "
                f"bit by bit, got {show_bytes(self.limit)}"
            )

    def halve(self, error: Exception, more: bool, to: int, least: int) -> None:
        """Shrink after a failed allocation, where less than what was attempted is any use."""
        if not is_out_of_memory(error):
            raise error
        if not more:
            raise NoRoomError(
                f"memory: expected about {show_bytes(least)}, which this work takes even bit by "
                f"bit; {show_bytes(free(self.device))} are free"
            ) from None
        self.shrink(to)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, of Python's or torch's, on any device."""
    from dans.seeding import OutOfMemory

    if isinstance(error, (MemoryError, OutOfMemory)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in REFUSALS)


@contextmanager
def needing_room(where: str, hint: str) -> Iterator[None]:
    """Turn a failed allocation into a sentence, for work that no budget cuts into pieces.

    Example:
        >>> with needing_room("umls", "a smaller encoder.dim takes less"):
        ...     raise MemoryError
        Traceback (most recent call last):
        dans.memory.NoRoomError: umls: out of memory; a smaller encoder.dim takes less
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise NoRoomError(f"{where}: out of memory; {hint}") from error


def free(device: "torch.device | None" = None) -> int:
    """The free bytes of a device, or of main memory within the limits of the control groups."""
    from dans.seeding import free_on

    if device is not None and (left := free_on(device)) is not None:
        return left
    import psutil

    available = int(psutil.virtual_memory().available)
    left = rest_of_group()
    return available if left is None else min(available, left)


def room_for(option: str, numbers: int) -> None:
    """Refuse an option by which tables of so many 32-bit numbers exceed the free memory."""
    # Asking takes a millisecond, which small tables are spared.
    if numbers > 2**24 and 4 * numbers > (left := free()):
        raise NoRoomError(
            f"{option}: its tables take {show_bytes(4 * numbers)}, and {show_bytes(left)} are free"
        )


def rest_of_group(root: Path = Path("/")) -> int | None:
    """The bytes that this process's control groups still allow, or None where they set no limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return None
    rests = []
    for line in lines:
        number, kinds, path = line.split(":", 2)
        version = "v2" if number == "0" and not kinds else "v1"
        if version == "v2" or "memory" in kinds.split(","):
            mount, *names = GROUPS[version]
            own = root / mount / path.lstrip("/")
            rests += [_rest(folder, *names) for folder in (own, *own.parents)]
    return min((rest for rest in rests if rest is not None), default=None)


def _rest(folder: Path, limit: str, usage: str, droppable: str) -> int | None:
    """The bytes that one group still allows, or None where it sets no limit."""
    try:
        most = (folder / limit).read_text("utf-8").strip()
        used = int((folder / usage).read_text("utf-8"))
        stat = (folder / "memory.stat").read_text("utf-8")
    except (OSError, ValueError):
        return None
    # Version 1 writes "no limit" as the largest page number.
    if not most.isdecimal() or int(most) >= 2**60:
        return None
    files = re.search(rf"^{droppable} ([0-9]+)$", stat, re.MULTILINE)
    return max(0, int(most) - used + (int(files[1]) if files else 0))


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory instead of returning it to the kernel.

    A training step allocates and frees the same few blocks of megabytes; by default each comes from
    the kernel anew, page by page: on UMLS half of the processor time of a step. Commands call this;
    importing the library changes nothing in the process. False where glibc did not accept it.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
