"""Files and folders that are being written, and what killed processes left of them."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

#: How the name of a file ends that is being written; before it stands the number of the process.
PART = ".part"


def part_of(path: Path) -> Path:
    """Where this process writes a file or a folder before it gets its name."""
    return path.with_name(f"{path.name}.{os.getpid()}{PART}")


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A new file to write in the block, which then has its name; after an error nothing is left."""
    part = part_of(path)
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        # A read-only folder refuses this even where there is nothing to remove.
        with suppress(OSError):
            part.unlink(missing_ok=True)


def sweep(folder: Path, pattern: str = f"*{PART}", *, alone: bool = False) -> None:
    """Remove what killed processes had begun to write.

    If nobody else writes such files (``alone``), those whose process seems to be alive go too:
    numbers of processes are used again.
    """
    for path in folder.glob(pattern):
        number = path.name.removesuffix(PART).rpartition(".")[2]
        if number.isdecimal() and (alone or not _alive(int(number))):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
                continue
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    """Is there a process of this number?"""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
