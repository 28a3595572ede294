"""Reading of text, TOML and JSON, and conversion of plain data to types, with clear errors.

TOML and JSON have the same rules: whole numbers have at most 64 bits, and no key occurs twice.
``convert`` checks plain data against a type by msgspec, with messages of one sentence.
"""

import errno
import gzip
import json
import math
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from gzip import GzipFile
from pathlib import Path
from types import UnionType
from typing import (
    Annotated,
    Any,
    BinaryIO,
    Literal,
    NoReturn,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
)

import msgspec
from msgspec.structs import FieldInfo, fields

from dans.errors import LARGEST, InputError, did_you_mean, finite, one_of, shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

#: Types of plain data in messages.
WORDS: dict[object, str] = {
    **{bool: "true or false", int: "a whole number", float: "a number", str: "a string"},
    **{list: "a list", tuple: "a list", dict: "an object", Path: "a path"},
}

#: Bytes of a file of settings or of results, and of a line; depth of sections within each other.
MOST_TEXT, MOST_LINE, MOST_DEPTH = 2**28, 2**24, 100

#: Bytes of a recipe or a card.
MOST_TOML = 2**22

#: Limits of msgspec in messages.
LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def opened(path: Path) -> BinaryIO:
    """A regular file, open for reading; a missing file is an ``OSError``.

    Reading a pipe, a terminal or a device could wait for ever or never end: they are refused.
    """
    try:
        # A named pipe without a writer would keep a plain `open` waiting.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError:
        raise InputError(f"{str(path)!r}: no file can have such a name") from None
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        # What sockets say, and devices without hardware.
        raise InputError(f"{path}: a socket or device; expected a regular file") from None
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    kinds = {"pipe": stat.S_ISFIFO, "device": stat.S_ISCHR, "disk": stat.S_ISBLK}
    kind = next((name for name, test in kinds.items() if test(mode)), "socket")
    raise InputError(f"{path}: a {kind}; expected a regular file: write its content into one")


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO | GzipFile]:
    """`opened`, until the block ends; what is called ``.gz`` is unpacked."""
    with opened(path) as plain, GzipFile(fileobj=plain) as unzipped:
        yield unzipped if path.suffix == ".gz" else plain


def kind_of(path: Path) -> str:
    """The suffix of a file without ``.gz``."""
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix


def read_text(path: Path, *, most: int = MOST_TEXT) -> str:
    """The content of a text file in UTF-8 of at most so many bytes; else as ``opened``."""
    with opened(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise InputError(f"{path}: larger than {most >> 20} MiB; expected a file of settings")
    numbered = enumerate(data.split(b"\n"), start=1)
    return "\n".join(decoded(line, path, number) for number, line in numbered)


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines of a file in UTF-8, plain or ``.gz``, one at a time.

    Line ends (LF or CRLF) and a leading byte order mark are left out.
    """
    number = 0
    try:
        with unpacked(path) as file:
            for number, raw in enumerate(iter(partial(file.readline, MOST_LINE + 1), b""), 1):
                if len(raw) > MOST_LINE:
                    limit = f"{MOST_LINE >> 20} MiB"
                    raise InputError(f"{path}:{number}: a line of more than {limit}; is this text?")
                line = decoded(raw, path, number).removesuffix("\n").removesuffix("\r")
                yield number, line.removeprefix("\ufeff") if number == 1 else line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path}:{number + 1}: the gzip stream is truncated or corrupt: {error}"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def decoded(line: bytes, path: object, number: int) -> str:
    """A line of bytes in UTF-8 as text; other bytes are refused by file, line and byte."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        byte = f"byte {error.start + 1} of the line, 0x{line[error.start]:02x}"
        raise InputError(f"{path}:{number}: {byte}, is not UTF-8; save the file as UTF-8") from None


class TooLargeError(InputError):
    """A whole number of more than 64 bits."""


def parse_toml(text: str, where: object) -> dict[str, Any]:
    """Plain data from TOML; ``where`` opens every error."""
    return cast(dict[str, Any], _parsed(tomllib.loads, text, where, "TOML file"))


def parse_json(text: str, where: object, *, kind: str = "file") -> Any:
    """Plain data from JSON; an error says that it is "not a JSON ``kind``"."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in content if keys.count(key) > 1)
            raise InputError(f"{where}: {shown(twice)} stands twice in one object")
        return content

    loads = partial(json.loads, object_pairs_hook=once)
    return _parsed(loads, text, where, f"JSON {kind}")


def _parsed(parse: Callable[[str], Any], text: str, where: object, kind: str) -> Any:
    try:
        content = parse(text)
        check_depth(content, where)
        check_sizes(content, f"{where}: ")
        return content
    except InputError:
        raise
    except RecursionError:
        raise InputError(f"{where}: not a {kind}: nested too deeply") from None
    except ValueError as error:
        # Of the parser, or of Python about whole numbers of thousands of digits.
        sentence = str(error).split(";")[0].splitlines()[0]
        raise InputError(f"{where}: not a {kind}: {sentence}") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Plain data from a TOML file."""
    return parse_toml(read_text(path, most=MOST_TOML), path)


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; anything else is an ``InputError``."""
    content = parse_json(read_text(path), path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object, got {type(content).__name__}")
    return content


def field(content: Mapping[str, Any], key: str, kind: type[T], where: str) -> T:
    """A value of plain data by its key, converted to a type.

    Example:
        >>> field({"both": 5}, "both", dict, "report.json: ")
        Traceback (most recent call last):
        dans.errors.InputError: report.json: both: expected an object, got 5
    """
    if key not in content:
        raise InputError(f"{where}{key}: missing")
    return convert(content[key], kind, where, key)


def flat(content: Any, path: str = "", *, dot: str = ".") -> Iterator[tuple[str, Any]]:
    """The values of nested plain data by their full names; of lists of sections by number.

    Example:
        >>> dict(flat({"data": "umls", "sampler": [{"name": "uniform", "k": 5}]}))
        {'data': 'umls', 'sampler.0.name': 'uniform', 'sampler.0.k': 5}
    """
    inner: Iterable[tuple[Any, Any]]
    if isinstance(content, Mapping):
        inner = content.items()
    elif isinstance(content, (list, tuple)) and any(isinstance(one, Mapping) for one in content):
        inner = enumerate(content)
    else:
        yield path, content
        return
    for key, value in inner:
        yield from flat(value, f"{path}{dot}{key}" if path else str(key), dot=dot)


def flat_numbers(content: Mapping[str, Any], *, dot: str = ".") -> dict[str, float]:
    """The numbers of nested plain data by their full names; all else is left out.

    Example:
        >>> flat_numbers({"auc": 1, "platt": {"nll": 0.6, "of": "valid"}})
        {'auc': 1.0, 'platt.nll': 0.6}
    """
    values = flat(content, dot=dot)
    return {name: float(value) for name, value in values if isinstance(value, (int, float))}


def check_depth(content: Any, where: object) -> None:
    """Refuse sections and lists within each other beyond ``MOST_DEPTH``."""
    level = [content] if isinstance(content, (Mapping, list, tuple)) else []
    for _ in range(MOST_DEPTH):
        parts = (one.values() if isinstance(one, Mapping) else one for one in level)
        level = [one for part in parts for one in part if isinstance(one, (Mapping, list, tuple))]
        if not level:
            return
    raise InputError(f"{where}: nested more than {MOST_DEPTH} deep")


def check_sizes(content: Any, where: str = "", path: str = "") -> None:
    """Refuse whole numbers of more than 64 bits by a ``TooLargeError`` that names their path.

    Text with half of a surrogate pair, which no file in UTF-8 can hold, is refused too.
    """
    rest = [(path, content)]
    while rest:
        path, value = rest.pop()
        if isinstance(value, (Mapping, list, tuple)):
            for key in value if isinstance(value, Mapping) else ():
                if any(map(_is_surrogate, str(key))):
                    raise InputError(f"{where}{shown(key)} holds half of a surrogate pair")
            inner = value.items() if isinstance(value, Mapping) else enumerate(value)
            rest += [(f"{path}.{key}" if path else str(key), part) for key, part in inner]
        elif isinstance(value, int) and not -LARGEST <= value < LARGEST:
            place = f"{where}{path}: " if path else where
            raise TooLargeError(f"{place}expected a whole number below 2^63, got {shown(value)}")
        elif isinstance(value, str) and not value.isascii() and any(map(_is_surrogate, value)):
            raise InputError(f"{where}{path}: {shown(value)} holds half of a surrogate pair")


def _is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


def to_python(value: Any) -> Any:
    """Plain data whose numbers of NumPy and torch are Python's, and whose paths are text.

    Example:
        >>> to_python({"encoder": {"initial_from": Path("rows.npz")}})
        {'encoder': {'initial_from': 'rows.npz'}}
    """
    if isinstance(value, Mapping):
        return {key: to_python(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(to_python(part) for part in value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if getattr(value, "ndim", None) == 0 else value


def convert(value: Any, kind: type[T], where: str = "", path: str = "") -> T:
    """Convert plain data to a type: a msgspec Struct, a builtin, a path, or a list or so of these.

    Whole numbers are accepted as floats; a float by itself must be finite, and those of a tuple no
    NaN. An error starts with ``where`` and the path of the value, such as ``train.lr``.

    Example:
        >>> convert({"betas": [1, "x"]}, dict[str, list[float]], "own.toml: ", "train")
        Traceback (most recent call last):
        dans.errors.InputError: own.toml: train.betas.1: expected a number, got 'x'
    """
    check_sizes(value, where, path)
    try:
        converted = msgspec.convert(value, kind, dec_hook=_path)
    except msgspec.ValidationError as error:
        inner = [part for part in get_args(kind) if part is not type(None)]
        optional = get_origin(kind) in (Union, UnionType) and len(inner) == 1
        _refuse(error, value, inner[0] if optional else kind, where, path)
    if isinstance(converted, float):
        finite(f"{where}{path}", converted)
    for i, part in enumerate(converted) if isinstance(converted, tuple) else ():
        if isinstance(part, float) and math.isnan(part):
            finite(f"{where}{path}.{i}", part)
    return converted


def _path(kind: type, value: Any) -> Any:
    """For msgspec, which takes ``NotImplementedError`` for a type that it cannot make."""
    if kind is not Path:
        raise NotImplementedError
    return Path(value)


def _refuse(error: Exception, value: Any, kind: Any, where: str, path: str) -> NoReturn:
    """Raise what msgspec refused as one sentence; its own has no value and one limit of two."""
    place, dot = f"{where}{path}", f"{path}." if path else ""
    of, types = get_origin(kind) or kind, get_args(kind)
    known: dict[str, FieldInfo] = {}
    parts: dict[Any, Any] = {}
    if isinstance(value, Mapping) and isinstance(of, type) and issubclass(of, msgspec.Struct):
        known = {field.encode_name: field for field in fields(of)}
        for key in value:
            if key not in known:
                # Without the file, which stands in front of where.
                section = f"{where}{dot}".rpartition(": ")[2]
                near = did_you_mean(str(key), known, section.__add__)
                names = f"{', '.join(known)}{near}"
                raise InputError(f"{where}{dot}{key}: unknown option; known: {names}") from None
        parts = {key: known[key].type for key in value}
    elif isinstance(value, Mapping) and of is dict and types:
        parts = dict.fromkeys(value, types[1])
    elif isinstance(value, (list, tuple)) and of in (list, tuple) and types:
        fixed = len(types) == len(value) and Ellipsis not in types
        parts = dict(enumerate(types if fixed else types[:1] * len(value)))
    for key, part in parts.items():
        convert(value[key], part, where, f"{dot}{key}")
    if isinstance(error.__cause__, InputError):
        raise InputError(f"{where}{dot}{error.__cause__}") from None
    for key, option in known.items():
        if option.required and key not in value:
            raise InputError(f"{where}{dot}{key}: missing") from None
    if of is Literal:
        one_of(place, value, types)
    if isinstance(value, float) and float in (of, *types):
        finite(place, value)
    raise InputError(f"{place}: expected {_words(kind, value)}, got {shown(value)}") from None


def _words(kind: Any, value: object) -> str:
    """What a type accepts: the limits of a number, a description, or the kind of value."""
    of, types = get_origin(kind) or kind, get_args(kind)
    if of in (Union, UnionType):
        return " or ".join(_words(part, value) for part in types if part is not type(None))
    if of is Literal:
        return " or ".join(map(repr, types))
    if of is tuple and isinstance(value, (list, tuple)):
        return f"{len(types)} values"
    if of is Annotated:
        of, meta = types
        if meta.description:
            return str(meta.description)
        if type(value) in (of, int):
            limits = {word: getattr(meta, name) for name, word in LIMITS.items()}
            some = (pair for pair in limits.items() if pair[1] is not None)
            return " and ".join(f"{word} {limit:g}" for word, limit in some)
    return WORDS.get(of, "a section")
