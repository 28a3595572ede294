"""Cards: what a data set is, where it comes from, and which bytes it is."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dans.config.reading import read_toml
from dans.data.readers import SPLITS, Split
from dans.errors import InputError, did_you_mean, shown

#: What may be done to the bytes of a download before they are the split.
TRANSFORMS = {"crlf-to-lf": lambda data: data.replace(b"\r\n", b"\n")}
#: How a data set may be made from another. Drop-unseen leaves out the lines of valid and test that
#: hold an entity which train lacks.
RULES = ("drop-unseen",)

_TEXT = re.compile(r".*\S.*", re.DOTALL)
_NAME = re.compile(r"[a-z0-9_-]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(r"https?://\S+")
_INSIDE = re.compile(r"(?!(.*/)?\.{0,2}(/|$))[^\0-\x1f\\]+")
_DISTRIBUTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: what a pattern asks for, in words
_SHAPES = {
    _TEXT: "a text",
    _NAME: "a name of a-z, 0-9, _ and -",
    _SHA256: "64 hexadecimal digits in lower case",
    _URL: "an address that starts with https:// or http://",
    _INSIDE: "a path inside it, such as umls/train.txt",
    _DISTRIBUTION: "the name of a distribution, such as pykeen",
}


@dataclass(frozen=True)
class Download:
    """A public address, and what to make of what it answers."""

    url: str
    #: of the bytes at that address
    sha256: str
    #: the member to read, where they are a .tar.gz archive
    member: str | None = None
    #: a key of TRANSFORMS
    transform: str | None = None


@dataclass(frozen=True)
class Installed:
    """A file that an installed distribution carries."""

    distribution: str
    file: str


@dataclass(frozen=True)
class SplitFile:
    """One split: its size, its digest, and where it may come from."""

    lines: int
    #: of the uncompressed .tsv
    sha256: str
    downloads: tuple[Download, ...] = ()
    installed: Installed | None = None


@dataclass(frozen=True)
class Derivation:
    """The data set that this one is made from, and the rule (of RULES) that makes it."""

    parent: str
    rule: str


@dataclass(frozen=True)
class DatasetCard:
    """A data set, read strictly from ``<name>.toml``.

    Example:
        >>> card = DatasetCard.read(card_folder() / "wn18rr.toml")
        >>> card.name, card.entities, card.splits["test"].lines
        ('wn18rr', 40943, 3134)
    """

    name: str
    title: str
    #: who published it, and what was changed against that
    source: str
    paper: str
    #: what is known of its terms
    licence: str
    entities: int
    relations: int
    splits: Mapping[Split, SplitFile]
    #: where it was read from
    path: Path
    #: the splits with a fourth column that says whether a line holds
    labelled: tuple[Split, ...] = ()
    derived: Derivation | None = None

    @classmethod
    def read(cls, path: Path) -> DatasetCard:
        """Read one card.

        Raises:
            InputError: no such file, not TOML, an unknown or missing key, or a value of the wrong
                kind.
        """
        try:
            table = _Table(read_toml(path), path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        texts = ("name", "title", "source", "paper", "licence")
        table.only(*texts, "entities", "relations", "labelled", "derived", *SPLITS)
        name = table.text("name", _NAME)
        if name != path.stem:
            raise table.error(
                "name", f"expected {path.stem!r}, as its file is called, got {shown(name)}"
            )
        derived = table.optional("derived")
        return cls(
            name=name,
            title=table.text("title"),
            source=table.text("source"),
            paper=table.text("paper"),
            licence=table.text("licence"),
            entities=table.count("entities"),
            relations=table.count("relations"),
            splits={split: _split_file(table.table(split)) for split in SPLITS},
            path=path,
            labelled=tuple(split for split in SPLITS if split in table.names("labelled", SPLITS)),
            derived=_derivation(derived) if derived else None,
        )


def card_folder() -> Path:
    """Where the cards lie: inside an installed package, or beside it in a checkout."""
    here = Path(__file__).parent
    installed = here / "cards"
    return installed if installed.is_dir() else here.parents[1] / "datasets"


def cards() -> dict[str, Path]:
    """The names of all cards, and where each one is."""
    return {path.stem: path for path in sorted(card_folder().glob("*.toml"), key=_stem)}


def find_card(where: str | Path) -> DatasetCard | None:
    """The card that a name or a path means, or None where it means a folder.

    Args:
        where: the name of a card, the path of one, or a folder.

    Raises:
        InputError: none of the three; or a card that cannot be read.

    Example:
        >>> find_card("umls").title
        'UMLS semantic network, split of ConvE'
        >>> find_card("ulms")
        Traceback (most recent call last):
        dans.errors.InputError: 'ulms': neither a data set nor a folder; known: countries_s1, ...
    """
    known = cards()
    if isinstance(where, str) and where in known:
        return DatasetCard.read(known[where])
    path = Path(where)
    if path.suffix == ".toml":
        return DatasetCard.read(path)
    try:
        if str(where) and path.is_dir():
            return None
    except OSError as error:
        raise InputError(
            f"{shown(str(where))}: {error.strerror}; known: {', '.join(known)}"
        ) from None
    names = f"{', '.join(known)}{did_you_mean(str(where), known)}"
    raise InputError(f"{shown(str(where))}: neither a data set nor a folder; known: {names}")


def _stem(path: Path) -> str:
    return path.stem


def _split_file(table: _Table) -> SplitFile:
    table.only("lines", "sha256", "installed", "download")
    installed = table.optional("installed")
    return SplitFile(
        lines=table.count("lines"),
        sha256=table.text("sha256", _SHA256),
        downloads=tuple(_download(entry) for entry in table.tables("download")),
        installed=_installed(installed) if installed else None,
    )


def _download(table: _Table) -> Download:
    table.only("url", "sha256", "member", "transform")
    return Download(
        url=table.text("url", _URL),
        sha256=table.text("sha256", _SHA256),
        member=table.text("member", _INSIDE) if "member" in table else None,
        transform=table.name("transform", TRANSFORMS) if "transform" in table else None,
    )


def _installed(table: _Table) -> Installed:
    table.only("distribution", "file")
    return Installed(table.text("distribution", _DISTRIBUTION), table.text("file", _INSIDE))


def _derivation(table: _Table) -> Derivation:
    table.only("from", "rule")
    return Derivation(table.text("from", _NAME), table.name("rule", RULES))


class _Table:
    """A TOML table that knows where it stands, so that its errors can say so."""

    def __init__(self, plain: object, path: Path, where: str = "") -> None:
        self.path, self.where = path, where
        if not isinstance(plain, dict):
            raise InputError(f"{path}: {where}: expected a table, got {shown(plain)}")
        self.plain: dict[str, object] = plain

    def __contains__(self, key: str) -> bool:
        return key in self.plain

    def error(self, key: str, what: str) -> InputError:
        return InputError(f"{self.path}: {self._place(key)}: {what}")

    def only(self, *known: str) -> None:
        for key in self.plain:
            if key not in known:
                raise self.error(key, f"unknown key; known: {', '.join(known)}")

    def text(self, key: str, pattern: re.Pattern[str] = _TEXT) -> str:
        value = self._value(key)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self.error(key, f"expected {_SHAPES[pattern]}, got {shown(value)}")
        return value

    def count(self, key: str) -> int:
        value = self._value(key)
        if type(value) is not int or value < 1:
            raise self.error(key, f"expected a whole number above 0, got {shown(value)}")
        return value

    def name(self, key: str, known: Collection[str]) -> str:
        value = self.text(key)
        if value not in known:
            raise self.error(key, f"unknown name {shown(value)}; known: {', '.join(known)}")
        return value

    def names(self, key: str, known: Collection[str]) -> list[str]:
        values = self._list(key)
        for value in values:
            if value not in known:
                raise self.error(key, f"unknown name {shown(value)}; known: {', '.join(known)}")
        return values

    def table(self, key: str) -> _Table:
        return _Table(self._value(key), self.path, self._place(key))

    def optional(self, key: str) -> _Table | None:
        return self.table(key) if key in self.plain else None

    def tables(self, key: str) -> list[_Table]:
        place = self._place(key)
        return [_Table(x, self.path, f"{place}[{i}]") for i, x in enumerate(self._list(key))]

    def _place(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key

    def _value(self, key: str) -> object:
        if key not in self.plain:
            raise self.error(key, "missing")
        return self.plain[key]

    def _list(self, key: str) -> list[Any]:
        values = self.plain.get(key, [])
        if not isinstance(values, list):
            raise self.error(key, f"expected a list, got {shown(values)}")
        return values
