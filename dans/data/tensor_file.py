"""Files of tensors by safetensors, with a digest of the whole file in its header.

They are written one tensor at a time: `safetensors.torch.save` needs a second and a third copy of
all tensors, this needs none.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dans.config.reading import opened
from dans.errors import InputError

T = TypeVar("T")

#: Placeholder of the digest while it is computed.
BLANK = "0" * 64

#: Bytes of a header, the limit of safetensors.
MOST_HEADER = 100_000_000

#: Bytes that are digested and written at once.
PIECE = 2**20

#: What readers raise at content that is not what they expect.
MALFORMED = (SafetensorError, LookupError, ValueError, TypeError, EOFError, RecursionError)

#: What safetensors calls the types of numbers.
TYPES = {
    torch.float64: "F64",
    torch.complex64: "C64",
    torch.int64: "I64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def digest_field(digest: str) -> bytes:
    """The digest as it stands in the header. Inside its strings a quote has a backslash before."""
    return f'"digest":"{digest}"'.encode()


def write_tensors(
    file: BinaryIO, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Write tensors, on any device, and text by name into a new file.

    The text ``digest`` is added: SHA-256 of the file with 64 zeros in its place.

    Example:
        >>> import io
        >>> from safetensors import torch as safetensors
        >>> file = io.BytesIO()
        >>> write_tensors(file, {"w": torch.arange(6).view(2, 3).T}, {"kind": "toy"})
        >>> safetensors.load(file.getvalue())["w"].tolist()
        [[0, 3], [1, 4], [2, 5]]
    """
    # As safetensors sorts them: wide numbers first, so that each begins at a multiple of its size.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {"__metadata__": {**metadata, "digest": BLANK}}
    end = 0
    for name in names:
        tensor = tensors[name]
        if tensor.dtype not in TYPES or tensor.layout != torch.strided:
            raise TypeError(f"{name}: no file can hold a tensor of {tensor.dtype}, {tensor.layout}")
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": TYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MOST_HEADER:
        raise ValueError(f"the header would have more than {MOST_HEADER:,} bytes")
    begin = file.tell()
    size = len(text).to_bytes(8, "little")
    digest = hashlib.sha256(size + text)
    file.write(size + text)
    for name in names:
        plain = tensors[name].detach().cpu().contiguous().flatten()
        content = plain.view(torch.uint8).numpy()
        for place in range(0, len(content), PIECE):
            piece = content[place : place + PIECE].data
            digest.update(piece)
            file.write(piece)
    file.seek(begin + 8 + text.index(digest_field(BLANK)))
    file.write(digest_field(digest.hexdigest()))
    file.seek(0, 2)


def checked(path: Path, *, whole: bool = True) -> dict[str, str]:
    """The text by name in a file that `write_tensors` wrote, after checking its digest.

    Text without a ``digest`` is taken as it is, and so is all text without ``whole``, which reads
    no more than the header.

    Raises:
        ValueError: the file is cut short, not of safetensors, or does not agree with its digest.
    """
    with opened(path) as file:
        size, end = file.read(8), os.fstat(file.fileno()).st_size
        length = int.from_bytes(size, "little")
        if MOST_HEADER < length <= end:
            raise ValueError(f"its header has more than {MOST_HEADER:,} bytes")
        header = file.read(min(length, end))
        if len(size) < 8 or len(header) < length:
            raise ValueError("it is cut short")
        content = json.loads(header)
        metadata = content.get("__metadata__") if isinstance(content, dict) else None
        if not isinstance(metadata, dict):
            raise ValueError("its header is none of ours")
        if "digest" not in metadata or not whole:
            return metadata
        digest = hashlib.sha256(size)
        digest.update(header.replace(digest_field(metadata["digest"]), digest_field(BLANK), 1))
        while chunk := file.read(PIECE):
            digest.update(chunk)
    if digest.hexdigest() != metadata["digest"]:
        raise ValueError("its content does not agree with its digest")
    return metadata


@contextmanager
def reading(path: Path, expected: str) -> Iterator[None]:
    """Turn what goes wrong as a file is read in the block into a sentence: it is not as expected.

    Example:
        >>> with reading(Path("own.npy"), "an array"):
        ...     raise EOFError("No data left in file")
        Traceback (most recent call last):
        dans.errors.InputError: own.npy: not an array: No data left in file
    """
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except MALFORMED as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: not {expected}: {reason}") from None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` of the block into a sentence about the file or folder it writes."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def of_one_file(path: Path, read: Callable[[Path], T]) -> T:
    """What a function reads that opens a file several times, from one content of it.

    Where another process replaces the file meanwhile, it is read again: a header would be taken
    for that of other tensors.
    """
    while True:
        before = _identity(path)
        found = read(path)
        if _identity(path) == before:
            return found


def _identity(path: Path) -> tuple[int, ...]:
    with opened(path) as file:
        it = os.fstat(file.fileno())
    return it.st_dev, it.st_ino, it.st_size, it.st_mtime_ns


def read_checked(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The text by name and the tensors in a file that `write_tensors` wrote, by its digest."""
    return of_one_file(path, lambda path: (checked(path), read_tensors(path)))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in a file by name, on the CPU."""
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
