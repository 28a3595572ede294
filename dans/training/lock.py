"""The lock of a folder."""

import logging
import os
from contextlib import suppress
from pathlib import Path

from dans.errors import InputError

log = logging.getLogger(__name__)


class LockedError(InputError):
    """Another process has the folder, or had it meanwhile."""


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
        """Take the folder, if it exists; is it taken?

        Raises:
            LockedError: another process has it.
        """
        if self._handle is not None or not self.folder.is_dir():
            return self._handle is not None
        self._handle = os.open(self.folder, os.O_RDONLY)
        try:
            import fcntl

            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.__exit__()
            raise LockedError(
                f"{self.folder}: another process trains here{holder(self.folder)}; wait until it "
                "ends, or name another folder with --out"
            ) from None
        except (ImportError, OSError) as error:
            sentence = "cannot be locked here (%s); see that no other process trains there"
            log.warning(f"%s: {sentence}", self.folder, error)
        return True

    def wait(self) -> "Lock":
        """``take`` once whoever has the folder lets go; a line says who that is."""
        while True:
            try:
                self.take()
                return self
            except LockedError:
                import fcntl

                sentence = "%s: another process is at this run%s; waiting until it ends"
                log.info(sentence, self.folder, holder(self.folder))
                # Taken anew by its name: the folder may have been removed meanwhile.
                with suppress(FileNotFoundError):
                    handle = os.open(self.folder, os.O_RDONLY)
                    try:
                        fcntl.flock(handle, fcntl.LOCK_EX)
                    finally:
                        os.close(handle)

    def __enter__(self) -> "Lock":
        self.take()
        return self

    def __exit__(self, *error: object) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def holder(folder: Path) -> str:
    """Which process has a folder, as `` (process 12)``; empty where the system does not say."""
    with suppress(OSError):
        of = folder.stat()
        place = f"{os.major(of.st_dev):02x}:{os.minor(of.st_dev):02x}:{of.st_ino}"
        for line in Path("/proc/locks").read_text().splitlines():
            # A line of one who waits has an arrow before the kind.
            match line.split():
                case [_, "FLOCK", _, _, number, at, *_] if at == place and number.isdecimal():
                    return f" (process {number})"
    return ""
