"""Plain data from text: TOML and JSON, where every refusal is one sentence that names the place.

Both are read by the same rules: a whole number has 64 bits, as TOML says, and a key stands once.
"""

import gzip
import json
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dans.errors import LARGEST, InputError, finite, shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

INFINITIES = (float("inf"), float("-inf"))

#: What a part of plain data may be, in words.
KINDS = {
    int: "a whole number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


def read_text(path: Path) -> str:
    """A text file in UTF-8.

    Raises:
        InputError: other bytes; the message names file, line and byte.
        OSError: no such file, or it cannot be read.
    """
    try:
        data = path.read_bytes()
    except ValueError:
        raise InputError(f"{str(path)!r}: no file can have such a name") from None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = error.start - data.rfind(b"\n", 0, error.start)
        raise InputError(
            f"{path}:{line}: byte {byte} of the line, 0x{data[error.start]:02x}, is not UTF-8"
        ) from None


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
        raise InputError(
            f"{path}:{number}: byte {error.start + 1} of the line, "
            f"0x{error.object[error.start]:02x}, is not UTF-8"
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path}:{number + 1}: the gzip stream is truncated or corrupt: {error}"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


class TooLargeError(InputError):
    """A whole number of more than 64 bits."""


def parse_toml(text: str, where: object) -> dict[str, Any]:
    """TOML as plain data.

    Args:
        text: the TOML.
        where: what opens the error.

    Raises:
        InputError: it is not TOML; the message names the line. ``TooLargeError``: a whole number
            has more than 64 bits.

    Example:
        >>> parse_toml("k = ]", "own.toml")
        Traceback (most recent call last):
        dans.errors.InputError: own.toml: not a TOML file: Invalid value (at line 1, column 5)
    """
    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise InputError(f"{where}: not a TOML file: nested too deeply") from None
    except ValueError as error:
        # Not only TOMLDecodeError: Python refuses whole numbers of thousands of digits itself.
        raise InputError(f"{where}: not a TOML file: {_sentence(error)}") from None
    _check_sizes(content, where)
    return content


def parse_json(text: str, where: object, *, kind: str = "file") -> Any:
    """JSON as plain data.

    Args:
        text: the JSON.
        where: what opens the error.
        kind: what it should have been, in a word.

    Raises:
        InputError: it is not JSON; the message names the line. Or an object has a key twice.
            ``TooLargeError``: a whole number has more than 64 bits.

    Example:
        >>> parse_json('{"k": 5', "config.json")
        Traceback (most recent call last):
        dans.errors.InputError: config.json: not a JSON file: Expecting ',' delimiter...
        >>> parse_json('{"k": 5, "k": 6}', "config.json")
        Traceback (most recent call last):
        dans.errors.InputError: config.json: 'k' stands twice in one object
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in content if keys.count(key) > 1)
            raise InputError(f"{where}: {shown(twice)} stands twice in one object")
        return content

    try:
        content = json.loads(text, object_pairs_hook=once)
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"{where}: not a JSON {kind}: nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{where}: not a JSON {kind}: {_sentence(error)}") from None
    _check_sizes(content, where)
    return content


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as plain data; see ``read_text`` and ``parse_toml``."""
    return parse_toml(read_text(path), path)


def read_json(path: Path) -> Any:
    """A JSON file as plain data; see ``read_text`` and ``parse_json``."""
    return parse_json(read_text(path), path)


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object; see ``read_json``.

    Raises:
        InputError: it holds something else.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object, got {type(content).__name__}")
    return content


def field(content: Mapping[str, Any], key: str, kind: type[T], where: str) -> T:
    """A part of plain data.

    Args:
        content: the whole.
        key: of the part.
        kind: what it is; whole numbers are floats too, NaN and infinities are none.
        where: what opens the error, just before the key.

    Raises:
        InputError: it is missing, or of another kind.

    Example:
        >>> field({"seed": 5}, "seed", int, "report.json: ")
        5
        >>> field({"both": 5}, "both", dict, "report.json: ")
        Traceback (most recent call last):
        dans.errors.InputError: report.json: both: expected an object, got 5
    """
    if key not in content:
        raise InputError(f"{where}{key}: missing")
    return _checked(content[key], kind, f"{where}{key}")


def numbers(content: Mapping[str, Any], key: str, where: str) -> tuple[float, ...]:
    """A part of plain data that is a list of numbers, infinities among them; see ``field``.

    Example:
        >>> numbers({"values": [0, 0.5]}, "values", "isotonic.")
        (0.0, 0.5)
    """
    return tuple(
        value if value in INFINITIES else _checked(value, float, f"{where}{key}.{i}")
        for i, value in enumerate(field(content, key, list, where))
    )


def _check_sizes(content: Any, where: object) -> None:
    """Refuse whole numbers of more than 64 bits; Python itself limits decimal ones alone."""
    rest = [("", content)]
    while rest:
        path, value = rest.pop()
        if isinstance(value, (dict, list)):
            inner: Sequence[tuple[object, Any]]
            inner = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
            rest += [(f"{path}.{key}" if path else str(key), part) for key, part in inner]
        elif isinstance(value, int) and not -LARGEST <= value < LARGEST:
            place = f"{where}: {path}" if path else where
            raise TooLargeError(f"{place}: expected a whole number below 2^63, got {shown(value)}")


def _checked(value: Any, kind: type[T], where: str) -> T:
    if kind is float and type(value) is int and abs(value) < LARGEST:
        value = float(value)
    if type(value) is not kind:
        raise InputError(f"{where}: expected {KINDS[kind]}, got {shown(value)}")
    if isinstance(value, float):
        finite(where, value)
    return value


def _sentence(error: Exception) -> str:
    return str(error).split(";")[0].splitlines()[0]
