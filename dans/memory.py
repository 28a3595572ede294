"""How much memory work on many rows may hold at a time, and what happens when it was too much.

Torch is imported on use: configurations parse sizes by this module, and need no torch.
"""

import ctypes
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dans.errors import InputError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Of what is free, the share that work may hold by default: one in so many bytes.
SHARE = 4

#: What a size may end in, in lower case.
UNITS = {
    **{"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12},
    **{"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40},
}

#: A control group: where it is mounted, its limit, its use, and what of that can be had back.
GROUPS = {
    "v2": ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "v1": (
        "sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
}

#: What torch's allocator says on a CPU where it gets nothing, by platform.
REFUSALS = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")

#: glibc's names for two of its settings, from malloc.h: how much free memory at the top of the heap
#: is returned, and how many blocks may be mappings of their own rather than parts of the heap.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


class NoRoomError(InputError):
    """Memory did not suffice, and there was nothing left to make smaller."""


def parse_bytes(text: str | int) -> int:
    """A size as a number of bytes.

    Args:
        text: a number, and a unit unless it counts bytes: kB, MB, GB, TB are powers of 1000, KiB,
            MiB, GiB, TiB of 1024.

    Raises:
        InputError: it is no such size, or not a byte.

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
    """The bytes of an option that may be left open, by ``""`` or 0.

    Raises:
        InputError: see ``parse_bytes``.
    """
    return None if text in ("", 0) and not isinstance(text, bool) else parse_bytes(text)


def show_bytes(size: int) -> str:
    """A size a person can read.

    Example:
        >>> show_bytes(200_000_000), show_bytes(58_164), show_bytes(12)
        ('200 MB', '58.2 kB', '12 B')
    """
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}" if size < 999 * unit else f"{size // unit} {name}"
    return f"{size} B"


class Budget:
    """The bytes that work may hold at a time; smaller once that was too much.

    Args:
        limit: bytes; None: a quarter of what is free when first asked.
        place: on which device; None: in main memory.
        found: what was found to fit before, by a budget like this.
        remember: told of each size found after a halving.

    Raises:
        InputError: a limit that is not a byte.

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
        place: "torch.device | None" = None,
        found: int | None = None,
        remember: Callable[[int], None] | None = None,
    ) -> None:
        if limit is not None and limit < 1:
            raise InputError(f"memory_budget: expected at least 1 byte, got {limit}")
        self.limit = limit
        self.place = place
        #: what fits, where an allocation failed
        self.found = found
        self.remember = remember
        self._share: int | None = None

    @property
    def bytes(self) -> int:
        """How many may be held now."""
        allowed = self.limit
        if allowed is None:
            if self._share is None:
                self._share = max(1, free(self.place) // SHARE)
            allowed = self._share
        return allowed if self.found is None else min(allowed, self.found)

    def rows(self, bytes_each: int, *, most: int | None = None, fixed: int = 0) -> int:
        """How many rows may be worked on at a time; one at the least.

        Args:
            bytes_each: what a row holds.
            most: no more than these.
            fixed: what is held however few rows there are.
        """
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
        """Work on consecutive slices of some rows; on fewer at a time once memory did not suffice.

        A slice that did not fit is worked on again in halves, so ``work`` must leave nothing behind
        where it raises, and should give a row the same result in whichever slice it is.

        Args:
            total: how many rows.
            bytes_each: what a row holds.
            work: from rows to whatever is wanted of them.
            most: no more than these at a time.
            fixed: what is held however few rows there are.

        Raises:
            InputError: a row takes more than the limit; or, ``NoRoomError``, than there is.
        """
        if total:
            self._check(fixed + bytes_each)
        first = 0
        while first < total:
            rows = min(self.rows(bytes_each, most=most, fixed=fixed), total - first)
            try:
                result = work(slice(first, first + rows))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if rows == 1:
                    raise self._nothing_fits(fixed + bytes_each) from None
                self.shrink(fixed + rows // 2 * bytes_each)
                continue
            yield result
            del result
            first += rows

    def keeping(
        self, total: int, bytes_each: int, work: Callable[[int], T], *, fixed: int = 0
    ) -> T:
        """Work that keeps some things it would have to make again; fewer where memory is short.

        Args:
            total: how many it could keep.
            bytes_each: what each takes.
            work: given how many to keep. It is begun anew with half as many where it did not fit,
                so it must leave nothing behind where it raises, and give the same however many.
            fixed: what is held where nothing is kept.

        Raises:
            InputError: keeping nothing, working takes more than the limit; or, ``NoRoomError``,
                than there is.

        Example:
            >>> Budget(1000).keeping(9, 100, lambda kept: kept, fixed=300)
            7
        """
        self._check(fixed)
        while True:
            kept = max(0, min(total, (self.bytes - fixed) // max(1, bytes_each)))
            try:
                return work(kept)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if not kept:
                    raise self._nothing_fits(fixed) from None
                self.shrink(fixed + kept // 2 * bytes_each)

    def shrink(self, to: int) -> None:
        """Allow no more than these bytes from here on, and tell whoever remembers."""
        self.found = max(1, to)
        log.warning("out of memory; continuing with %s at a time", show_bytes(self.found))
        if self.remember is not None:
            self.remember(self.found)

    def _check(self, least: int) -> None:
        if self.limit is not None and least > self.limit:
            raise InputError(
                f"memory_budget: expected at least {show_bytes(least)}, which this work takes even "
                f"bit by bit, got {show_bytes(self.limit)}"
            )

    def _nothing_fits(self, least: int) -> NoRoomError:
        return NoRoomError(
            f"memory: expected about {show_bytes(least)}, which this work takes even bit by bit; "
            f"{show_bytes(free(self.place))} are free"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Did an allocation fail, of Python's or torch's, on whichever device?"""
    from dans.seeding import OutOfMemory

    if isinstance(error, (MemoryError, OutOfMemory)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in REFUSALS)


@contextmanager
def needing_room(where: str, hint: str) -> Iterator[None]:
    """Say in a sentence where memory gave out, for work that no budget cuts into pieces.

    Args:
        where: it is done.
        hint: what takes less.

    Raises:
        NoRoomError: that sentence.

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


def free(place: "torch.device | None" = None) -> int:
    """The bytes that can be had now: of a device; of main memory and what its group may use."""
    from dans.seeding import free_on

    if place is not None and (left := free_on(place)) is not None:
        return left
    import psutil

    available = int(psutil.virtual_memory().available)
    left = rest_of_group()
    return available if left is None else min(available, left)


def rest_of_group(root: Path = Path("/")) -> int | None:
    """What the control groups of this process leave it of memory; None: they set no limit.

    A group's files that can be dropped count as free, as the machine's do.

    Args:
        root: of the file system, for tests.
    """
    rests = [
        rest
        for version, own in _groups(root)
        for folder in (own, *own.parents)
        if (rest := _rest(folder, *GROUPS[version][1:])) is not None
    ]
    return min(rests, default=None)


def _groups(root: Path) -> Iterator[tuple[str, Path]]:
    """The folders of this process's memory groups, by version."""
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, kinds, path = line.split(":", 2)
        version = "v2" if number == "0" and not kinds else "v1"
        if version == "v2" or "memory" in kinds.split(","):
            yield version, root / GROUPS[version][0] / path.lstrip("/")


def _rest(folder: Path, limit: str, use: str, droppable: str) -> int | None:
    """What one group leaves; None: nothing is said of it here."""
    try:
        most = (folder / limit).read_text("utf-8").strip()
        used = int((folder / use).read_text("utf-8"))
        stat = (folder / "memory.stat").read_text("utf-8")
    except (OSError, ValueError):
        return None
    # Version 1 says "no limit" by the largest page number there is.
    if not most.isdecimal() or int(most) >= 2**60:
        return None
    files = re.search(rf"^{droppable} ([0-9]+)$", stat, re.MULTILINE)
    return max(0, int(most) - used + (int(files[1]) if files else 0))


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed, up to the peak, instead of returning it.

    A training step allocates and frees the same few blocks of megabytes; by default each comes from
    the kernel anew, page by page. On UMLS that is half of the processor time of a step. Scripts
    call this; a library that is imported leaves its process as it found it.

    Returns:
        Was there a glibc to tell?
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
