"""One process at a time in the folder of a run."""

import logging
import os
from pathlib import Path
from types import TracebackType

from dans.errors import InputError

log = logging.getLogger(__name__)


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
