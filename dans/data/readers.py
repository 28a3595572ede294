"""Readers of tab-separated and N-Triples files, plain or gzipped, one line at a time.

Errors name the file and the line, counted from 1. Names stay as they are: ``007``, ``NA`` and
``null`` are names, and only a tab separates columns.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

from dans.config.reading import kind_of, lines
from dans.errors import InputError, shown

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")

#: What splits are called, in files and in columns.
SPLIT_NAMES: dict[str, Split] = {
    **{split: split for split in SPLITS},
    **dict.fromkeys(("validation", "val", "dev"), "valid"),
}

#: Suffixes of tables by tabs, and of all files that are read here, each also with .gz.
TABLES = (".tsv", ".txt")
SUFFIXES = (*TABLES, ".nt")

#: head, relation, tail, label
Line = tuple[str, str, str, bool]

_REFUSED = {
    "\0": "a NUL character; is this a text file in UTF-8?",
    "\ufeff": "a byte order mark inside the file; were two files joined?",
    "\r": "a carriage return inside the line; lines end with LF or CRLF",
}
_LABELS = {"1": True, "-1": False}


def read(path: Path, *, labelled: bool = False) -> Iterator[Line]:
    """The triples of one file and their labels, in order.

    ``.tsv`` and ``.txt`` files hold head, relation and tail, separated by tabs; ``.nt`` files hold
    RDF 1.1 N-Triples (https://www.w3.org/TR/n-triples/). A further ``.gz`` means gzip. CRLF and a
    leading byte order mark are accepted.

    The name of an IRI is the IRI without its brackets; that of a blank node its label, which means
    the same node in every file; that of a literal its canonical form with quotes, language and
    datatype, without tabs and line ends.

    Labelled tables have a fourth column: ``1`` for true, ``-1`` for false. A file without any
    triple is refused, as is NUL, a byte order mark or a carriage return inside a line.
    """
    kind = kind_of(path)
    if kind not in SUFFIXES:
        raise InputError(
            f"{path}: unknown kind of file; known: {', '.join(SUFFIXES)}, each also .gz"
        )
    if kind in TABLES:
        triples = _table(path, labelled)
    elif labelled:
        raise InputError(f"{path}: N-Triples carry no labels; labelled triples need .tsv or .txt")
    else:
        triples = _n_triples(path)
    line = None
    for line in triples:
        yield line
    if line is None:
        raise InputError(f"{path}: the file holds no triple; a split needs at least one")


def first_without_line(names: Iterable[str]) -> str | None:
    r"""The first name that a line of tab-separated columns cannot hold as it is, if any.

    Example:
        >>> first_without_line(['"a" b', "a\tb"])
        'a\tb'
    """
    return next((name for name in names if not set(name).isdisjoint(("\t", "\n", *_REFUSED))), None)


def split_file(folder: Path, split: str, kinds: tuple[str, ...] = SUFFIXES) -> Path | None:
    """The one file of a split in a folder, by the suffixes allowed, plain or ``.gz``; or None."""
    names = [f"{split}{kind}{packed}" for kind in kinds for packed in ("", ".gz")]
    found = [folder / name for name in names if (folder / name).exists()]
    for path in found:
        if path.is_dir():
            raise InputError(f"{path}: expected a file, got a folder")
    if len(found) > 1:
        both = " and ".join(path.name for path in found)
        raise InputError(f"{folder}: {both} both claim to be the {split} split; keep one")
    return found[0] if found else None


def split_files(folder: Path, kinds: tuple[str, ...] = SUFFIXES) -> dict[Split, Path]:
    """The files of the splits in a folder; valid and test may be missing.

    Without a file ``valid``, one called ``validation``, ``val`` or ``dev`` is the valid split.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found: dict[Split, Path] = {}
    for name, split in SPLIT_NAMES.items():
        path = None if split in found else split_file(folder, name, kinds)
        if path is not None:
            found[split] = path
    for split in SPLITS:
        other = next(iter(sorted(folder.glob(f"{split}.*"))), None)
        if split not in found and (other or split == "train"):
            seen = _seen(other) if other else "there is none"
            wanted = ", ".join(f"{split}{kind}" for kind in kinds)
            raise InputError(f"{folder}: no file for {split}: {seen}; expected {wanted}, or .gz")
    return {split: found[split] for split in SPLITS if split in found}


def _seen(path: Path) -> str:
    """Why a file of a split's name is not taken."""
    if path.is_symlink() and not path.exists():
        return f"{path.name} is a link to {path.readlink()}, which is not there"
    return f"{path.name} is none that can be read"


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines, without NUL, byte order marks and carriage returns."""
    for number, line in lines(path):
        for character, why in _REFUSED.items():
            if character in line:
                raise InputError(f"{path}:{number}: {why}")
        yield number, line


def _table(path: Path, labelled: bool) -> Iterator[Line]:
    expected = ("head", "relation", "tail", "label") if labelled else ("head", "relation", "tail")
    label = True
    gap = 0
    for number, line in numbered_lines(path):
        # Blank lines at the end are none; one before other lines is refused by its own number.
        if not line:
            gap = gap or number
            continue
        if gap:
            raise InputError(f"{path}:{gap}: a blank line, with lines after it")
        columns = line.split("\t")
        if len(columns) != len(expected):
            found = f"{len(columns)} column{'s' * (len(columns) != 1)}"
            label_hint = ""
            if not labelled and len(columns) == 4 and columns[3].strip() in _LABELS:
                label_hint = (
                    "; if the fourth says true (1) and false (-1), name the labelled splits of the "
                    "folder: by --labelled valid,test of dans train, pretrain, baseline and split, "
                    'or in Python by dans.load(..., labelled=["valid", "test"]); for other '
                    "commands, write a card, which names them itself"
                )
            raise InputError(
                f"{path}:{number}: found {found}, expected {len(expected)}: {', '.join(expected)}"
                f"{label_hint}"
            )
        head, relation, tail = columns[:3]
        if not (head.strip() and relation.strip() and tail.strip()):
            blank = [name for name, text in zip(expected, columns, strict=True) if not text.strip()]
            raise InputError(f"{path}:{number}: the {blank[0]} is empty")
        if labelled:
            if columns[3] not in _LABELS:
                raise InputError(f"{path}:{number}: label {shown(columns[3])}; expected 1 or -1")
            label = _LABELS[columns[3]]
        yield head, relation, tail, label


_UCHAR = r"\\u[0-9A-Fa-f]{4}|\\U[0-9A-Fa-f]{8}"
_NOT_IN_IRI = r"\x00-\x20<>\"{}|^`\\"
_IRI = rf"<[^{_NOT_IN_IRI}]*(?:(?:{_UCHAR})[^{_NOT_IN_IRI}]*)*>"
_LETTER = (
    r"A-Za-z\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u02FF\u0370-\u037D\u037F-\u1FFF\u200C\u200D\u2070-\u218F"
    r"\u2C00-\u2FEF\u3001-\uD7FF\uF900-\uFDCF\uFDF0-\uFFFD\U00010000-\U000EFFFF_:0-9"
)
_INNER = rf"{_LETTER}\-\u00B7\u0300-\u036F\u203F\u2040"
_BLANK = rf"_:[{_LETTER}](?:[{_INNER}.]*[{_INNER}])?"
_STRING = rf'"[^"\\]*(?:(?:\\[tbnrf"\'\\]|{_UCHAR})[^"\\]*)*"'
_LITERAL = rf"{_STRING}(?:\^\^{_IRI}|@[A-Za-z]+(?:-[A-Za-z0-9]+)*)?"
_STATEMENT = re.compile(
    rf"[ \t]*({_IRI}|{_BLANK})[ \t]*({_IRI})[ \t]*({_IRI}|{_BLANK}|{_LITERAL})[ \t]*\."
    r"[ \t]*(?:#.*)?"
)
_IDLE = re.compile(r"[ \t]*(?:#.*)?")
_ESCAPE = re.compile(rf"{_UCHAR}|\\.")
_ABSOLUTE = re.compile(rf"[A-Za-z][A-Za-z0-9+.\-]*:[^{_NOT_IN_IRI}]*")
_CHARACTERS = dict(zip("tbnrf\"'\\", "\t\b\n\r\f\"'\\", strict=True))
_CANONICAL = str.maketrans({value: f"\\{key}" for key, value in _CHARACTERS.items() if key != "'"})
_PLAIN_STRING = "^^<http://www.w3.org/2001/XMLSchema#string>"


def _n_triples(path: Path) -> Iterator[Line]:
    for number, line in numbered_lines(path):
        statement = _STATEMENT.fullmatch(line)
        if statement is None:
            if _IDLE.fullmatch(line):
                continue
            raise InputError(
                f"{path}:{number}: not an N-Triples statement; expected 3 terms and a full stop,"
                f" '<subject> <predicate> <object> .', found {line[:60]!r}"
            )
        try:
            subject, predicate, value = (_name(term) for term in statement.groups())
        except ValueError as error:
            raise InputError(f"{path}:{number}: {error}") from error
        yield subject, predicate, value, True


@lru_cache(maxsize=1 << 16)
def _name(term: str) -> str:
    """The name of a term, the same for every spelling of it."""
    if term[0] == "<":
        name = _unescaped(term[1:-1])
        if not _ABSOLUTE.fullmatch(name):
            raise ValueError(f"{term} is not an absolute IRI such as <http://example.org/ada>")
        return name
    if term[0] == "_":
        return term
    end = term.rindex('"')
    text, suffix = _unescaped(term[1:end]), term[end + 1 :]
    if suffix.startswith("^^"):
        suffix = f"^^<{_name(suffix[2:])}>"
    return literal_name(text, suffix)


def literal_name(text: str, suffix: str = "") -> str:
    """The name of a literal: its canonical form, with ``@language`` or ``^^<datatype>``."""
    if suffix.startswith("@"):
        suffix = suffix.lower()
    return f'"{text.translate(_CANONICAL)}"{"" if suffix == _PLAIN_STRING else suffix}'


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_character, text) if "\\" in text else text


def _character(escape: re.Match[str]) -> str:
    code = escape[0][1:]
    if code[0] not in "uU":
        return _CHARACTERS[code]
    point = int(code[1:], 16)
    if point == 0 or 0xD800 <= point < 0xE000 or point > 0x10FFFF:
        raise ValueError(f"{escape[0]} is not a character that a name may contain")
    return chr(point)
