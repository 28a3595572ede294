"""Atomic and durable writing of files, and the lock of a folder.

A file is whole or not there: it is written beside its target, flushed, and renamed.
"""

import logging
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from dans.errors import InputError

log = logging.getLogger(__name__)

#: How the name of a file ends that is being written; before it stands the number of the process.
PART = ".part"


def write_atomically(path: Path, content: bytes, *, former: Path | None = None) -> None:
    """Replace a file by new content so that no reader ever sees half of it.

    Args:
        path: the target; its folder exists.
        content: what it is to hold.
        former: where the content before goes, where there is any. There is a ``path`` at any
            instant, but where the file system knows no hard links: a kill between the two renames
            leaves the whole ``former`` alone there.

    Raises:
        OSError: the disk is full, say; the target is as it was, and the error names it.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}{PART}")
    try:
        sweep(path.parent, f"{path.name}.*{PART}")
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if former is not None and path.exists():
            _keep(path, former)
        beside.replace(path)
        sync(path.parent)
    except OSError as error:
        raise named(error, path) from error
    finally:
        # A read-only folder refuses this even where there is nothing to remove.
        with suppress(OSError):
            beside.unlink(missing_ok=True)


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


def append(path: Path, content: bytes) -> None:
    """Write to the end of a file, as far as the disk.

    Raises:
        OSError: that cannot be done; it names the file, which may hold a part of the content.
    """
    try:
        with path.open("ab") as file:
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


def sweep(folder: Path, pattern: str = f"*{PART}", *, alone: bool = False) -> None:
    """Remove what killed processes had begun to write.

    Args:
        folder: where.
        pattern: which names.
        alone: nobody else writes them, so those go too whose process seems to be alive; the
            numbers of processes are used again.
    """
    for path in folder.glob(pattern):
        number = path.name.removesuffix(PART).rpartition(".")[2]
        if number.isdecimal() and (alone or not _alive(int(number))):
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    """Is there a process of this number?"""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


class Lock:
    """Keeps other processes from training in a folder, until the block ends.

    The lock is the system's, on the folder itself: nothing is left behind, and a process that is
    killed lets go. Reading a run needs no lock. Where the system has none, a sentence says so.

    Args:
        folder: need not be there yet; see ``take``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._handle: int | None = None

    def take(self) -> bool:
        """Take the folder, if it is there; is it taken?

        Raises:
            InputError: another process has it.
        """
        if self._handle is None and self.folder.is_dir():
            self._handle = os.open(self.folder, os.O_RDONLY)
            self._flock(self._handle)
        return self._handle is not None

    def _flock(self, handle: int) -> None:
        try:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{self.folder}: another process trains here; wait until it ends, or name another "
                "folder with --out"
            ) from None
        except (ImportError, OSError) as error:
            log.warning(
                "%s: cannot be locked here (%s); see that no other process trains there",
                self.folder,
                error,
            )

    def __enter__(self) -> "Lock":
        try:
            self.take()
        except InputError:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
