"""Names that stand for ids, and files of them that a user wrote."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from dans.errors import InputError


class Names(Protocol):
    """Names and their ids, as a graph has them for its entities and its relations."""

    def index(self, name: str) -> int:
        """The id of a name; refuses an unknown one with near spellings."""

    def __getitem__(self, i: int, /) -> str:
        """The name of an id."""

    def __len__(self) -> int:
        """How many names."""


def lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Lines of a file in UTF-8, plain or ``.gz``, numbered from 1, one at a time.

    Their ends are left out, those of other systems as well, and so is a leading byte order mark.

    Raises:
        InputError: the file cannot be read, or is damaged; the message names file and line.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "names.tsv")
        >>> _ = path.write_bytes(b"ada\tpilot\r\nbob\n")
        >>> list(lines(path))
        [(1, 'ada\tpilot'), (2, 'bob')]
    """
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                line = raw.decode().removesuffix("\n").removesuffix("\r")
                yield number, line.removeprefix("\ufeff") if number == 1 else line
    except UnicodeDecodeError as error:
        raise InputError(f"{path}:{number}: not UTF-8: {error.reason}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}:{number + 1}: truncated or corrupt gzip: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
