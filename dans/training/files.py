"""Atomic and durable writing of files, and the lock of a folder.

A file is whole or not there: it is written beside its target, flushed, and renamed.
"""

import errno
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from dans.config.temporary import PART, sweep
from dans.errors import InputError

log = logging.getLogger(__name__)


#: What goes into a file: bytes, or a function that writes them.
Content = bytes | Callable[[BinaryIO], object]


def write_atomically(path: Path, content: Content, *, former: Path | None = None) -> None:
    """Replace a file by new content so that no reader ever sees half of it.

    The content before, if any, goes to ``former``. Then ``path`` exists at any instant, except
    where the file system has no hard links: a kill between two renames leaves ``former`` alone.

    Raises:
        OSError: the disk is full, say; the target is as it was, and the error names it.
    """
    with _beside(path, former) as beside, beside.open("wb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            content(file)
        file.flush()
        os.fsync(file.fileno())


def link_atomically(path: Path, other: Path, *, former: Path | None = None) -> None:
    """Replace a file by a second name of another one, or by a copy where there are no hard links.

    The content before goes to ``former``, as by `write_atomically`.
    """
    with _beside(path, former) as beside:
        # Never written into: one left here may be a second name of a file that is kept.
        beside.unlink(missing_ok=True)
        try:
            os.link(other, beside)
        except OSError:
            shutil.copyfile(other, beside)
            sync(beside)


@contextmanager
def _beside(path: Path, former: Path | None) -> Iterator[Path]:
    """The name of a file to write in the block, which then takes the place of its target.

    An error in the block leaves the target as it was, and is one of it.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}{PART}")
    try:
        sweep(path.parent, f"{path.name}.*{PART}")
        yield beside
        _replace(path, beside, former)
    except OSError as error:
        raise named(error, path) from error
    finally:
        # A read-only folder refuses this even where there is nothing to remove.
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _replace(path: Path, beside: Path, former: Path | None) -> None:
    """Rename a new file to its target, whose content goes to ``former``, if any."""
    if former is not None and path.exists():
        _keep(path, former)
    beside.replace(path)
    sync(path.parent)


def _keep(path: Path, former: Path) -> None:
    """Give a file's content a second name, in place of what that name had."""
    link = former.with_name(f"{former.name}.{os.getpid()}{PART}")
    try:
        link.unlink(missing_ok=True)
        os.link(path, link)
    except OSError:
        path.replace(former)
        return
    try:
        link.replace(former)
    finally:
        # Where both names had the content already, the system renames nothing.
        with suppress(OSError):
            link.unlink(missing_ok=True)


def opened_to_append(path: Path) -> BinaryIO:
    """A file, open for writing at its end; a pipe is refused at once."""
    # A named pipe without a reader would keep a plain `open` waiting.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags, 0o666)
    if not stat.S_ISFIFO(os.fstat(handle).st_mode):
        return os.fdopen(handle, "ab")
    os.close(handle)
    raise OSError(errno.EINVAL, "a pipe, not a regular file", str(path))


def append(path: Path, content: bytes) -> None:
    """Write to the end of a file, as far as the disk; an ``OSError`` names the file."""
    try:
        with opened_to_append(path) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise named(error, path) from error


def named(error: OSError, path: Path) -> OSError:
    """The same error, with the name of the file it is about."""
    return OSError(error.errno, error.strerror or str(error), str(path))


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Lock:
    """Keeps other processes from training in a folder, until the block ends.

    The lock is the system's, on the folder itself: nothing is left behind, and a process that is
    killed lets go. Reading a run needs no lock. Where the system has none, a sentence says so.
    The folder need not exist yet: ``take`` locks it later.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._handle: int | None = None

    def take(self) -> bool:
        """Take the folder, if it exists and no other process has it; is it taken?"""
        if self._handle is not None or not self.folder.is_dir():
            return self._handle is not None
        self._handle = os.open(self.folder, os.O_RDONLY)
        try:
            import fcntl

            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{self.folder}: another process trains here; wait until it ends, or name another "
                "folder with --out"
            ) from None
        except (ImportError, OSError) as error:
            sentence = "cannot be locked here (%s); see that no other process trains there"
            log.warning(f"%s: {sentence}", self.folder, error)
        return True

    def __enter__(self) -> "Lock":
        try:
            self.take()
        except InputError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
