"""Tables of triples: CSV and TSV files, Parquet, data frames, lists of rows."""

from __future__ import annotations

import csv
import logging
import re
from array import array
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from numbers import Integral
from pathlib import Path
from typing import Any

from dans.data.names_audit import COLUMNS, DELIMITER, HEADERS, header_words, is_named_again
from dans.data.readers import SPLIT_NAMES, Split, numbered_lines
from dans.errors import InputError, did_you_mean, shown

log = logging.getLogger(__name__)

ROLES = ("head", "relation", "tail")

#: What separates columns, the likeliest first; and from how many lines it is guessed.
DELIMITERS, SAMPLE = ("\t", ",", ";", "|", " "), 20

#: Names of entities and of relations that are known already; and none.
Known = tuple[Container[str], Container[str]]
NOTHING: Known = ((), ())

#: Rows that the first one is compared with, to tell a triple from a header.
COMPARED = 1000

#: What to do about a missing value, and how to convert another: of a list, of edges, of a frame.
LIST = "leave such rows out first", "as by int() or str()"
EDGES = "remove such edges first", LIST[1]
FRAME = "leave such rows out first, as by dropna()", "as by astype(int) or astype(str)"

#: Spaces before a cell, and such a cell in quotes.
_SPACES = re.compile(" *")
_QUOTED = re.compile(' *"(?:[^"]|"")*"')

#: head, relation, tail, and the split that a column of the table names
Row = tuple[str, str, str, Split | None]


#: Names of columns that are none of a triple's.
NO_ROLES = {"weight", "weights", "score", "value", "count", "id", "label", "probability"}


@dataclass(frozen=True)
class Columns:
    """Which columns of a table hold head, relation and tail, and whether its first row is a header.

    A header is found by words such as ``head``, ``subject``, ``source``; then columns are chosen
    by it, in any order, and a column ``split`` says which split a row belongs to.
    """

    places: tuple[int, int, int]
    header: bool
    split: int | None = None

    @classmethod
    def choose(
        cls,
        first: Sequence[str],
        where: object,
        *,
        columns: Sequence[str | int] | None = None,
        header: bool | None = None,
        text: bool = True,
    ) -> Columns:
        """The columns of a table by its first row, or by names or positions that were given.

        Without ``text`` the first row is the names of the columns of a table in memory.
        """
        plain = [name.strip().casefold() for name in first]
        found = [
            [i for i, name in enumerate(plain) if name in words] if header is not False else []
            for words in HEADERS
        ]
        named = all(len(places) == 1 for places in found)
        likely = sum(map(bool, found)) >= 2
        listed = ", ".join(map(shown, first[:20]))
        if columns is not None:
            by_name = any(isinstance(column, str) for column in columns)
            if by_name and header is False:
                instead = "with --no-header (in Python header=False) give positions"
                raise InputError(f"columns: names need a header; {instead}")
            places = tuple(_place(column, first, where) for column in columns)
            return cls(places, (by_name or likely) if header is None else header)  # type: ignore[arg-type]
        if named:
            places = tuple(places[0] for places in found)
            split = plain.index("split") if plain.count("split") == 1 else None
            return cls(places, True, split)  # type: ignore[arg-type]
        if len(first) != 3:
            hint = f"keep three, or choose three, by header or position, with {COLUMNS}"
            if len(first) < 3 and text:
                hint = f"separate them by tabs, or name the character with {DELIMITER}"
            elif len(first) < 3:
                hint = "a triple needs all three"
            raise InputError(
                f"{where}: found {len(first)} column{'s' * (len(first) != 1)} ({listed}), "
                f"expected 3: {', '.join(ROLES)}; {hint}"
            )
        astray = any(places and i not in places for i, places in enumerate(found))
        astray = astray or (likely and not NO_ROLES.isdisjoint(plain))
        # Two roles in another order, such as of source, target, weight, do not tell what the third
        # column is.
        if astray and (header or (header is None and (likely or not text))):
            otherwise = ", or --no-header (header=False) where this is a triple"
            hint = otherwise if text and header is None else ""
            raise InputError(
                f"{where}: the header {listed} does not say which columns are {', '.join(ROLES)}; "
                f"name three so, or choose three, by header or position, with {COLUMNS}{hint}"
            )
        return cls((0, 1, 2), likely if header is None else header)


def _place(column: str | int, first: Sequence[str], where: object) -> int:
    if isinstance(column, str):
        if (count := list(first).count(column)) != 1:
            known = f"{', '.join(map(shown, first[:20]))}{did_you_mean(column, first)}"
            why = "no such column" if not count else "several columns of this name"
            raise InputError(f"columns: {shown(column)}: {why} in {where}; known: {known}")
        return list(first).index(column)
    if not 0 <= column < len(first):
        raise InputError(f"columns: {column}: {where} has columns 0 to {len(first) - 1}")
    return column


def read_table(
    path: Path,
    *,
    columns: Sequence[str | int] | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    numbers: array[int],
    known: Known = NOTHING,
) -> Iterator[Row]:
    """The rows of a text table; the number of each line goes into ``numbers``.

    A first row is no header if names of it are ``known``, or occur again in the next rows.

    Quotes are understood as in CSV (RFC 4180), except where tabs separate the columns: there they
    are part of names. Spaces around another delimiter are none of the name's, but in quotes.
    """
    chosen, separator = None, delimiter or sniff(path)
    for number, row in csv_rows(path, separator):
        where = f"{path}:{number}"
        if chosen is None:
            if header is None and _starts_with_triple(path, separator, columns, known):
                header = False
                if len(row) == 3 and header_words(row) >= 2:
                    log.info(
                        "%s:%d: has words of a header and names that occur again; read as a triple",
                        *(path, number),
                    )
            chosen = Columns.choose(row, where, columns=columns, header=header)
            width = len(row)
            _say(path, number, separator, row, chosen)
            if chosen.header:
                continue
        if len(row) != width:
            found = f"{len(row)} column{'s' * (len(row) != 1)}"
            raise InputError(f"{where}: found {found}, expected {width} as in its first line")
        numbers.append(number)
        split = None if chosen.split is None else split_of(row[chosen.split], where)
        yield named_row([row[i] for i in chosen.places], split, where)


def names_of(rows: Iterable[Row]) -> Known:
    """The names of entities and of relations in rows."""
    entities, relations = set(), set()
    for head, relation, tail, _ in rows:
        entities |= {head, tail}
        relations.add(relation)
    return entities, relations


def _starts_with_triple(
    path: Path, separator: str, columns: Sequence[str | int] | None, known: Known
) -> bool:
    """Whether names of the first row occur in the next ones or are known, so it is no header."""
    sample = [row for _, row in islice(csv_rows(path, separator), COMPARED)]
    places = [i for i in (range(3) if columns is None else columns) if isinstance(i, int)]
    widths = {len(row) for row in sample}
    if len(places) < 3 or (columns is None and widths != {3}):
        return False
    if not 0 <= min(places) <= max(places) < min(widths):
        return False
    (head, relation, tail), *others = ([row[i] for i in places] for row in sample)
    entities = {name for row in others for name in (row[0], row[2])}
    again = any(name in entities or name in known[0] for name in (head, tail))
    relations = {row[1] for row in others}
    return is_named_again(relation, again, relation in relations or relation in known[1])


def csv_rows(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row of a text table that is not empty, and the number of its last line."""
    number = 1
    raw: list[str] = []
    rows = csv.reader(_kept(path, raw), strict=True, **_dialect(separator))
    try:
        for row in rows:
            number = rows.line_num
            if separator != "\t":
                row = _stripped(row, "".join(raw), separator)
            raw.clear()
            if row:
                yield number, row
    except csv.Error as error:
        raise InputError(f"{path}: not CSV after line {number}: {error}") from None


def _kept(path: Path, raw: list[str]) -> Iterator[str]:
    """The lines of a file, which are also appended to ``raw``."""
    for _, line in numbered_lines(path):
        raw.append(f"{line}\n")
        yield raw[-1]


def _dialect(separator: str) -> dict[str, Any]:
    quoting = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    return {"delimiter": separator, "quoting": quoting, "skipinitialspace": separator != "\t"}


def _stripped(cells: list[str], raw: str, separator: str) -> list[str]:
    """The cells of a row, without spaces around those that stand in no quotes in its text."""
    if all(cell == cell.strip() for cell in cells):
        return cells
    found, start = [], 0
    for cell in cells:
        quoted = _QUOTED.match(raw, start)
        found.append(cell if quoted else cell.strip())
        if quoted:
            end = quoted.end()
        else:
            # As csv does, which skips leading spaces even where they are the delimiter.
            spaces = _SPACES.match(raw, start)
            end = raw.find(separator, spaces.end() if spaces else start)
        start = end + len(separator)
    return found


def sniff(path: Path) -> str:
    """The delimiter that gives the first lines of a file as many columns each, best 3.

    Tabs are the first choice, as they seldom stand in names, whatever the number of columns.
    Spaces are the last choice: they stand in names too.
    """
    sample = [f"{line}\n" for _, line in islice(numbered_lines(path), SAMPLE)]
    fits = []
    for place, separator in enumerate(DELIMITERS):
        rows = [row for row in csv.reader(sample, **_dialect(separator)) if row]
        # The last one may end inside of quotes.
        widths = {len(row) for row in rows[: SAMPLE - 1]}
        if len(widths) == 1 and min(widths) >= 3:
            rank = separator != "\t", separator == " ", min(widths) > 3, place
            fits.append((rank, separator))
    return min(fits)[-1] if fits else "," if ".csv" in path.suffixes else "\t"


def _say(path: Path, line: int, separator: str, first: Sequence[str], chosen: Columns) -> None:
    """Log what was taken for granted about a table."""
    names = ", ".join(shown(first[i]) for i in chosen.places)
    said = [f"columns separated by {separator!r}"] if separator != "\t" else []
    if chosen.header:
        said += [f"line {line} is a header, head, relation and tail are the columns {names}"]
        said += ["split names the split of a line"] if chosen.split is not None else []
    if said:
        log.info("%s: %s", path, "; ".join(said))


def split_of(
    name: object,
    where: object,
    remedy: str = f"drop that column, or choose three others with {COLUMNS}",
) -> Split:
    """The split that a row names; ``remedy`` says how to do without."""
    if not isinstance(name, str) or name not in SPLIT_NAMES:
        known = ", ".join(SPLIT_NAMES)
        raise InputError(f"{where}: split: known: {known}; got {shown(name)}; {remedy}")
    return SPLIT_NAMES[name]


def named_row(
    values: Sequence[object],
    split: Split | None,
    where: object,
    hints: tuple[str, str] = LIST,
) -> Row:
    """Head, relation and tail as text; whole numbers become their digits.

    ``hints`` say what to do about a missing value, and how to make text of another one.
    """
    names = [value if isinstance(value, str) else _number(value, where, *hints) for value in values]
    for name, role in zip(names, ROLES, strict=True):
        if not name.strip():
            raise InputError(f"{where}: the {role} is empty")
        check_encodable(name, where)
    head, relation, tail = names
    return head, relation, tail, split


def check_encodable(name: str, where: object) -> None:
    """Refuse a name with half of a surrogate pair, which no file can hold."""
    if name.isascii():
        return
    try:
        name.encode()
    except UnicodeEncodeError as error:
        half = f"{ascii(name[error.start])[1:-1]} is not a character that a name may contain"
        raise InputError(f"{where}: {shown(name)}: {half}") from None


def _number(value: object, where: object, gap: str, convert: str) -> str:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return str(int(value))
    gaps = ("NoneType", "NAType", "NaTType", "MaskedConstant")
    if type(value).__name__ in gaps or (isinstance(value, float) and value != value):
        raise InputError(f"{where}: a missing value; {gap}")
    raise InputError(
        f"{where}: expected text or a whole number, got {shown(value)}; convert it first, {convert}"
    )


def table_rows(
    names: Sequence[object],
    columns: Sequence[Sequence[object]],
    where: str,
    *,
    wanted: Sequence[str | int] | None = None,
    hints: tuple[str, str] = LIST,
) -> Iterator[Row]:
    """The rows of a table in memory, of which each column has a name."""
    texts = [str(name) for name in names]
    chosen = Columns.choose(texts, where, columns=wanted, text=False)
    picked = [columns[i] for i in chosen.places]
    splits = columns[chosen.split] if chosen.split is not None else ()
    for i, row in enumerate(zip(*picked, strict=True)):
        at = f"{where}[{i}]"
        yield named_row(row, split_of(splits[i], at) if splits else None, at, hints)


def listed_rows(rows: Iterable[object], where: str) -> Iterator[Row]:
    """The rows of a list of triples of names."""
    for i, row in enumerate(rows):
        row = row.tolist() if hasattr(row, "tolist") else row
        if not isinstance(row, Sequence) or isinstance(row, str) or len(row) != 3:
            raise InputError(
                f"{where}[{i}]: expected three names, head, relation, tail, got {shown(row)}"
            )
        yield named_row(row, None, f"{where}[{i}]")


def parquet_table(path: Path) -> Any:
    """The table of pyarrow in a Parquet file."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            f"{path}: Parquet needs pyarrow: pip install pyarrow, or save it as CSV"
        ) from None
    try:
        return parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a Parquet file that can be read: {reason}") from None


def arrow_rows(table: Any, where: str, wanted: Sequence[str | int] | None) -> Iterator[Row]:
    """The rows of a pyarrow table."""
    values = [column.to_pylist() for column in table.columns]
    return table_rows(table.column_names, values, where, wanted=wanted)
