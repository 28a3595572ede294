"""Checkpoints: nested state in one safetensors file, without pickle.

Tensors go into the file as they are; everything around them (numbers, strings, lists, dictionaries)
goes into its header as JSON. Beside that the header has the version of this layout and a digest of
the whole file, so that a bit that flipped is found.
"""

import errno
import json
import logging
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError
from torch import Tensor

from dans.config.reading import opened
from dans.config.writing import write_atomically
from dans.data.tensor_file import TYPES, checked, of_one_file, read_tensors, write_tensors
from dans.errors import InputError

log = logging.getLogger(__name__)

#: Marks, in the JSON header, of a tensor and of a dictionary with keys that are not strings.
TENSOR, ITEMS = "__tensor__", "__items__"

#: Version of the layout; files of the first have neither digest nor version.
VERSION = 2

#: Bytes of a file that are searched for a pickle.
PICKLE_HEAD = 4096

#: Valid pickle instructions in a row that make a file a pickle.
PICKLE_OPCODES = 8


class DamagedError(InputError):
    """A checkpoint is damaged or missing."""


def save_state(path: Path, state: Mapping[str, Any], *, former: Path | None = None) -> None:
    """Write nested dictionaries and lists of tensors and plain values, whole or not at all.

    The content of the file before, if any, goes to ``former``.

    Raises:
        TypeError: something else is in the state.
    """
    write_atomically(path, partial(write_state, state=state), former=former)


def write_state(file: BinaryIO, state: Mapping[str, Any]) -> None:
    """Write nested state into an empty file, tensor by tensor: nothing is copied on a CPU."""
    tensors: dict[str, Tensor] = {}
    skeleton = _strip(state, "", tensors)
    write_tensors(file, tensors, {"state": json.dumps(skeleton), "version": str(VERSION)})


def load_state(path: Path) -> dict[str, Any]:
    """Read what ``save_state`` wrote; tensors come back on the CPU.

    Raises:
        DamagedError: no such file, or it is not whole.
        InputError: it carries a pickle, or is of a later version, or cannot be opened.
    """
    with _refusing(path):
        about, tensors = of_one_file(path, lambda path: (_check(path), read_tensors(path)))
        state = _fill(json.loads(about["state"]), tensors)
        if not isinstance(state, dict):
            raise TypeError(f"expected a dictionary, got {type(state).__name__}")
        return state


def peek(path: Path, *, whole: bool = True) -> Any:
    """Nested state with the names of tensors for the tensors, after checking the digest.

    Without ``whole`` only the header is read, and no digest is checked.
    """
    with _refusing(path):
        return json.loads(_check(path, whole=whole)["state"])


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn errors of reading a file in the block into one sentence."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise DamagedError(f"{path}: no such checkpoint") from None
    except InputError:
        raise
    except OSError as error:
        kind = DamagedError if error.errno == errno.EIO else InputError
        raise kind(f"{path}: not a checkpoint that can be read: {error.strerror}") from None
    except (SafetensorError, LookupError, ValueError, TypeError, RecursionError) as error:
        if carries_pickle(path):
            raise InputError(
                f"{path}: a pickle, which is never loaded; expected safetensors as dans writes them"
            ) from None
        raise DamagedError(f"{path}: not a checkpoint, or a damaged one: {error}") from None


def _check(path: Path, *, whole: bool = True) -> dict[str, str]:
    """Compare a file with its digest, if the whole is read; the metadata of its header."""
    metadata = checked(path, whole=whole)
    if metadata.keys() == {"state"}:
        log.info("%s: of an earlier version, without a digest; taken as it is", path)
        return metadata
    if not {"state", "version", "digest"} <= metadata.keys():
        raise ValueError("its header is none of ours")
    if int(metadata["version"]) < 1:
        raise ValueError(f"its layout is {metadata['version']}, which is none of ours")
    if int(metadata["version"]) > VERSION:
        raise InputError(
            f"{path}: layout {metadata['version']}, of a later version of dans; this one reads "
            f"up to {VERSION}"
        )
    return metadata


def _strip(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Move tensors out of nested state, leaving their names."""
    if isinstance(value, Tensor):
        if value.dtype not in TYPES:
            raise TypeError(f"{path}: a checkpoint cannot hold numbers of {value.dtype}")
        tensors[path] = value
        return {TENSOR: path}
    if isinstance(value, Mapping):
        items = [(key, _strip(item, f"{path}/{key}", tensors)) for key, item in value.items()]
        if all(isinstance(key, str) for key, _ in items):
            return dict(items)
        return {ITEMS: [list(item) for item in items]}
    if isinstance(value, (list, tuple)):
        return [_strip(item, f"{path}/{i}", tensors) for i, item in enumerate(value)]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"{path}: a checkpoint cannot hold a {type(value).__name__}")


def _fill(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Put tensors back where ``_strip`` took them."""
    if isinstance(value, list):
        return [_fill(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {TENSOR}:
        return tensors[value[TENSOR]]
    if value.keys() == {ITEMS}:
        return {key: _fill(item, tensors) for key, item in value[ITEMS]}
    return {key: _fill(item, tensors) for key, item in value.items()}


def carries_pickle(path: Path) -> bool:
    """Is this a pickle, or an archive or array with one inside? Nothing of it is loaded."""
    try:
        with opened(path) as file:
            if not zipfile.is_zipfile(file):
                file.seek(0)
                return _is_pickle(file.read(PICKLE_HEAD))
            with zipfile.ZipFile(file) as archive:
                members = (archive.open(name).read(PICKLE_HEAD) for name in archive.namelist())
                return any(map(_is_pickle, members))
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError):
        return False


def _is_pickle(head: bytes) -> bool:
    if head.startswith(b"\x93NUMPY"):
        return b"|O" in head
    # The length of a safetensors header, in eight bytes before it, may begin as a pickle does.
    if head[4:9] == b"\0\0\0\0{":
        return False
    if len(head) > 1 and head[0] == 0x80 and head[1] <= 5:
        return True
    # The oldest protocols have no mark; they are read as instructions, and not carried out.
    import pickletools

    seen = []
    try:
        for opcode, _, _ in islice(pickletools.genops(head), PICKLE_OPCODES):
            seen.append(opcode.name)
    except ValueError:
        return False
    return len(seen) == PICKLE_OPCODES or (len(seen) > 1 and seen[-1] == "STOP")
