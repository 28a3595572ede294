"""The lock of a folder."""

import logging
import os
from pathlib import Path

from dans.errors import InputError

log = logging.getLogger(__name__)


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
