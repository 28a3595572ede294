"""Plain data from text: TOML and JSON, where every refusal is one sentence that names the place."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from dans.errors import InputError, finite, shown

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


def parse_toml(text: str, where: object) -> dict[str, Any]:
    """TOML as plain data.

    Args:
        text: the TOML.
        where: what opens the error.

    Raises:
        InputError: it is not TOML; the message names the line.

    Example:
        >>> parse_toml("k = ]", "own.toml")
        Traceback (most recent call last):
        dans.errors.InputError: own.toml: not a TOML file: Invalid value (at line 1, column 5)
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise InputError(f"{where}: not a TOML file: nested too deeply") from None
    except ValueError as error:
        # Not only TOMLDecodeError: Python refuses whole numbers of thousands of digits itself.
        raise InputError(f"{where}: not a TOML file: {_sentence(error)}") from None


def parse_json(text: str, where: object) -> Any:
    """JSON as plain data.

    Args:
        text: the JSON.
        where: what opens the error.

    Raises:
        InputError: it is not JSON; the message names the line.

    Example:
        >>> parse_json('{"k": 5', "config.json")
        Traceback (most recent call last):
        dans.errors.InputError: config.json: not a JSON file: Expecting ',' delimiter...
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise InputError(f"{where}: not a JSON file: nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{where}: not a JSON file: {_sentence(error)}") from None


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


def _checked(value: Any, kind: type[T], where: str) -> T:
    if kind is float and type(value) is int and abs(value) < 2**63:
        value = float(value)
    if type(value) is not kind:
        raise InputError(f"{where}: expected {KINDS[kind]}, got {shown(value)}")
    if isinstance(value, float):
        finite(where, value)
    return value


def _sentence(error: Exception) -> str:
    return str(error).split(";")[0].splitlines()[0]
