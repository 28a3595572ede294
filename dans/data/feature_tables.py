"""Tables of features as they are given: files, arrays, data frames, mappings by entity name."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dans.config.reading import convert, kind_of, opened
from dans.config.schema import FeatureKind, FeatureTable
from dans.data.objects import as_array, names_of
from dans.data.readers import numbered_lines
from dans.data.tensor_file import reading
from dans.data.triple_tables import csv_rows, parquet_table
from dans.errors import LARGE, InputError, did_you_mean, nearest, shown

if TYPE_CHECKING:
    from dans.data.graph import Vocabulary

#: Text that stands for a missing number, in lower case.
MISSING = ("", "nan", "na", "n/a", "null", "none")

#: What several categories of an entity are given as.
MANY = (list, tuple, set, frozenset)


@dataclass(frozen=True, eq=False)
class Cells:
    """A table as it was given: a row for each entity that it names.

    Args:
        where: it is from; opens every error.
        columns: their names; numbers from 1 where they have none.
        cells: (r, c) numbers, or objects.
        names: of the entities of the rows; None: all entities in their order.
        lines: of a file that the rows are from.
        key: what the header of a file calls the column of names.
    """

    where: str
    columns: tuple[str, ...]
    cells: NDArray[Any]
    names: Sequence[str] | None = None
    lines: Sequence[int] = ()
    key: str = ""

    def place(self, row: int) -> str:
        """Where a row is, and which entity it is of."""
        at = f":{self.lines[row]}" if self.lines else f"[{row}]"
        return f"{self.where}{at}{f': {shown(self.names[row])}' if self.names else ''}"

    def numbers(self) -> NDArray[np.float64]:
        """(r, c) numbers; NaN where one is missing."""
        if self.cells.dtype.kind in "fiub":
            values = self.cells.astype(np.float64)
        else:
            values = np.empty(self.cells.shape)
            for i, row in enumerate(self.cells):
                for j, cell in enumerate(row):
                    values[i, j] = self._number(cell, i, j)
        for i, j in np.argwhere(np.abs(values) > LARGE)[:1]:
            raise self._refused(i, j, f"must be between ±{LARGE:g}")
        return values

    def _number(self, cell: object, row: int, column: int) -> float:
        if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
            return math.nan
        if isinstance(cell, str):
            if cell.strip().casefold() in MISSING:
                return math.nan
            try:
                if "_" not in cell:
                    return float(cell)
            except ValueError:
                pass
        elif isinstance(cell, (Real, np.number, np.bool_)):
            return float(cell)
        hint = '; text is kind = "categories"' if isinstance(cell, str) else ""
        raise self._refused(row, column, "expected a number", hint)

    def _refused(self, row: int, column: int, expected: str, hint: str = "") -> InputError:
        found = self.cells[row, column]
        found = shown(found.item() if isinstance(found, np.generic) else found)
        cell = f"column {self.columns[column]}: {expected}, got {found}{hint}"
        return InputError(f"{self.place(row)}: {cell}")

    def categories(self) -> Iterator[tuple[int, int, str]]:
        """The row, the column and the name of every category."""
        for i, row in enumerate(self.cells.tolist()):
            for j, cell in enumerate(row):
                for one in cell if isinstance(cell, MANY) else (cell,):
                    empty = one is None or one != one or type(one).__name__ == "NAType"
                    if empty or (isinstance(one, str) and not one.strip()):
                        continue
                    # A column of whole numbers with a gap is one of floats in pandas.
                    whole = isinstance(one, float) and one.is_integer()
                    yield i, j, str(int(one)) if whole else str(one)

    def ids(self, entities: Vocabulary, *, once: bool) -> NDArray[np.int64]:
        """The entity of every row; −1 where there is none of its name. ``once``: none twice."""
        if self.names is None:
            if len(self.cells) != len(entities):
                raise InputError(
                    f"{self.where}: {len(self.cells)} rows without names; expected a row for each "
                    f"of the {len(entities)} entities, in their order, or names"
                )
            return np.arange(len(entities))
        if self.key in entities:
            raise InputError(
                f"{self.where}: its first line is of the entity {shown(self.key)}; expected the "
                "names of the columns; header = false says that there are none"
            )
        if not len(self.names):
            raise InputError(f"{self.where}: holds no row")
        ids = np.array([entities.index(x) if x in entities else -1 for x in self.names], np.int64)
        if not bool((ids >= 0).any()):
            raise no_entity(self.where, self.names[0], entities)
        if once:
            rows: dict[int, int] = {}
            for row, entity in enumerate(ids.tolist()):
                if entity >= 0 and rows.setdefault(entity, row) != row:
                    first = self.place(rows[entity])
                    raise InputError(f"{self.place(row)}: has a row already, {first}")
        return ids


def no_entity(where: object, first: str, entities: Vocabulary) -> InputError:
    """The error of a table in which no name is that of an entity."""
    such = shown((nearest(first, entities.names, 1) or entities.names)[0])
    return InputError(
        f"{where}: names no entity; its first name is {shown(first)}, expected names such as {such}"
    )


def is_plain(columns: Sequence[str]) -> bool:
    """Have the columns no names of their own?"""
    return tuple(columns) == _counted(len(columns))


def _counted(width: int) -> tuple[str, ...]:
    return tuple(str(i) for i in range(1, width + 1))


def read_cells(
    name: str, given: Any, kind: FeatureKind | None = None
) -> tuple[Cells, FeatureTable]:
    """A table from what a user gave, and its options; ``kind``: where it says none."""
    place = f"features.table.{name}"
    names: Any = None
    if isinstance(given, FeatureTable):
        table, values, names = given, given.file, given.names or None
    else:
        options: dict[str, Any] = {"values": given}
        if isinstance(given, Mapping) and {"file", "values"} & given.keys():
            options = dict(given)
        values = options.pop("values", None)
        values = options.pop("file", None) if values is None else values
        names = options.pop("names", None)
        of_file = isinstance(values, (str, os.PathLike))
        said = {"kind": kind} if kind else {}
        options = {**said, **options, "file": str(values) if of_file else "-"}
        table = convert(options, FeatureTable, "", place)
    if isinstance(values, (str, os.PathLike)):
        cells = chosen(_of_file(Path(values), table), table.columns, place)
    else:
        cells = chosen(_of_object(values, f"features: {name}"), table.columns, place)
        if "kind" not in options and _holds_text(cells, place):
            table = msgspec.structs.replace(table, kind="categories")
    if names is not None:
        if cells.names is not None:
            raise InputError(f"{place}.names: {cells.where} names its rows itself; leave it out")
        if isinstance(names, (str, os.PathLike)):
            names = [line for _, line in numbered_lines(Path(names))]
        if len(names) != len(cells.cells):
            rows = f"{len(cells.cells)} rows in {cells.where}"
            raise InputError(f"{place}.names: {len(names)} names for {rows}; expected one for each")
        cells = replace(cells, names=names_of(f"{place}.names", names))
    return cells, table


def chosen(cells: Cells, columns: Sequence[str], place: str) -> Cells:
    """Some columns of a table, by name."""
    if not columns:
        if not cells.columns:
            raise InputError(f"{cells.where}: has no column beside that of names")
        return cells
    for column in columns:
        if cells.columns.count(column) != 1:
            known = f"{', '.join(map(shown, cells.columns[:20]))}"
            hint = did_you_mean(column, cells.columns)
            raise InputError(
                f"{place}.columns: {shown(column)}: not one column of {cells.where}; "
                f"known: {known}{hint}"
            )
    picked = cells.cells[:, [cells.columns.index(column) for column in columns]]
    return replace(cells, columns=tuple(columns), cells=picked)


def _holds_text(cells: Cells, place: str) -> bool:
    """Is a table in memory one of text rather than numbers?"""
    if cells.cells.dtype.kind in "fiub":
        return False
    kinds = []
    for column, name in zip(cells.cells.T, cells.columns, strict=True):
        lists = any(isinstance(x, MANY) for x in column)
        text = [x for x in column if _is_text(x)]
        numbers = any(isinstance(x, (Real, np.number)) and x == x for x in column)
        if text and numbers and not lists:
            both = f"column {shown(name)} holds numbers and text, as {shown(text[0])}"
            raise InputError(f'{place}: {both}; kind = "categories" takes both')
        # Beside numbers, text such as "na" is a number that is missing.
        kinds.append(lists or (not numbers and any(isinstance(x, str) for x in column)))
    if any(kinds) and not all(kinds):
        with_text, without = (shown(cells.columns[kinds.index(kind)]) for kind in (True, False))
        both = f"column {with_text} holds text and column {without} none"
        raise InputError(f"{place}: {both}; give two tables, each with its columns and kind")
    return any(kinds)


def _is_text(cell: object) -> bool:
    return isinstance(cell, str) and cell.strip().casefold() not in MISSING


def _of_object(values: Any, where: str) -> Cells:
    """A table from an array, a tensor, a data frame, or a mapping by entity names."""
    names: list[str] | None = None
    columns: tuple[str, ...] = ()
    if hasattr(values, "to_frame") and not hasattr(values, "columns"):
        values = values.to_frame()
    if hasattr(values, "columns") and hasattr(values, "index"):
        names, columns = [str(x) for x in values.index], tuple(str(x) for x in values.columns)
        values = values.to_numpy()
    elif isinstance(values, Mapping):
        names = [str(name) for name in values]
        rows = [_plain(x, f"{where}: {shown(str(name))}") for name, x in values.items()]
        if any(isinstance(x, MANY) and any(isinstance(y, str) for y in x) for x in rows):
            # Each holds the categories of an entity.
            rows = [[row] for row in rows]
        rows = [list(x) if isinstance(x, MANY) else [x] for x in rows]
        width = max(map(len, rows), default=0)
        rows = [row * width if row == [None] else row for row in rows]
        for name, row in zip(names, rows, strict=True):
            if len(row) != len(rows[0]):
                count = f"{len(row)} values, and {shown(names[0])} has {len(rows[0])}"
                raise InputError(f"{where}: {shown(name)}: has {count}; expected as many")
        return _rows(where, _counted(width), names, rows)
    elif isinstance(values, (list, tuple)):
        values = [_plain(x, f"{where}[{i}]") for i, x in enumerate(values)]
    return _of_array(values, where, columns, names)


def _plain(given: Any, where: str, *, most: int = 1) -> Any:
    """What an entity is given, without arrays and tensors: they become numbers and lists."""
    if isinstance(given, (list, tuple)) and most:
        return [_plain(one, where, most=0) for one in given]
    if not isinstance(given, (np.ndarray, Tensor)):
        return given
    if given.ndim > most:
        wanted = "a number or a row of them, (f,)" if most else "a number"
        raise InputError(f"{where}: expected {wanted}, got shape {tuple(given.shape)}")
    return as_array(given, where).tolist()


def _of_array(
    values: Any, where: str, columns: tuple[str, ...] = (), names: list[str] | None = None
) -> Cells:
    try:
        cells = as_array(values, where)
    except InputError:
        raise
    except (ValueError, TypeError):
        raise InputError(f"{where}: expected an array (n, f), got {shown(values)}") from None
    cells = cells[:, None] if cells.ndim == 1 else cells
    if cells.ndim != 2 or cells.dtype.kind not in "fiubOUT":
        found = f"shape {cells.shape} of {cells.dtype}"
        raise InputError(f"{where}: expected rows of numbers or text, (n, f), got {found}")
    return Cells(where, columns or _counted(cells.shape[1]), cells, names)


def _of_file(path: Path, table: FeatureTable) -> Cells:
    """A table from a file, by its suffix."""
    kind = kind_of(path)
    if path.suffix == ".npy":
        with reading(path, "an array of numbers or text"), opened(path) as file:
            return _of_array(np.load(file), str(path))
    if path.suffix == ".parquet":
        found = parquet_table(path)
        first, *others = [column.to_pylist() for column in found.columns]
        return _rows(str(path), found.column_names[1:], first, list(zip(*others, strict=True)))
    if kind not in (".csv", ".tsv", ".txt"):
        known = ".csv, .tsv, .txt, each also .gz; .npy, .parquet"
        raise InputError(f"{path}: unknown kind of file for features; known: {known}")
    return _of_text(path, table, "\t" if kind != ".csv" else "")


def _of_text(path: Path, table: FeatureTable, separator: str) -> Cells:
    """A text table, whose first column has the names of entities.

    Quotes and spaces are as in `dans.data.triple_tables.read_table`.
    """
    opening = next((line for _, line in numbered_lines(path)), "")
    columns: Sequence[str] | None = None
    key = ""
    names, rows, lines = [], [], []
    for number, (name, *cells) in csv_rows(path, separator or max(",;|\t", key=opening.count)):
        if not any(map(str.strip, (name, *cells))):
            continue
        if columns is None:
            columns = cells if table.header else _counted(len(cells))
            if table.header:
                key = name
                continue
        if len(cells) != len(columns):
            found = f"{1 + len(cells)} column{'s' * bool(cells)}"
            expected = f"{1 + len(columns)} as in its first line"
            raise InputError(f"{path}:{number}: {shown(name)}: found {found}, expected {expected}")
        names.append(name)
        rows.append(cells)
        lines.append(number)
    return replace(_rows(str(path), columns or (), names, rows), lines=lines, key=key)


def _rows(
    where: str, columns: Sequence[str], names: Sequence[object], rows: Sequence[Sequence[object]]
) -> Cells:
    cells = np.empty((len(names), len(columns)), dtype=object)
    for i, row in enumerate(rows):
        # One by one: a list may be a cell.
        for j, cell in enumerate(row):
            cells[i, j] = cell
    return Cells(where, tuple(columns), cells, [str(name) for name in names])
