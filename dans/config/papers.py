"""Tables of the papers: which runs of ours are their cells, and what the papers print.

A table is a file of ``dans/results/papers``. Its rows are settings and its groups hold bases; a
cell is a base with a setting. A row for which the paper prints nothing is ours: a control.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from dans.config.reading import convert, read_toml
from dans.config.recipes import run_name
from dans.config.schema import Section
from dans.errors import InputError, did_you_mean, shown

#: A file for each table.
PAPERS = Path(__file__).resolve().parents[1] / "results" / "papers"

#: A base alone, among the settings of a cell.
BASE = "base"


class Row(Section, frozen=True):
    """A row of a table, for every base."""

    title: str
    #: the setting; a base alone without one
    setting: str = BASE
    #: how its runs are trained; that of the table where it is empty
    kind: str = ""
    #: the setting whose published values stand beside it too; its own where it is empty
    published: str = ""


class _Group(Section, frozen=True):
    title: str
    #: by base and setting, what the paper prints
    cells: dict[str, dict[str, dict[str, Any]]]
    metrics: tuple[str, ...] = ()
    reference: str = ""


class _File(Section, frozen=True):
    title: str
    source: str
    kind: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    #: titles, by the last part of a base's name
    decoders: dict[str, str]
    group: tuple[_Group, ...]
    #: seeds that the paper has, and that ``dans reproduce`` trains where it is not told
    seeds: int
    reference: str = ""


@dataclass(frozen=True)
class Cell:
    """A run of ours, and what the paper prints in its place."""

    row: Row
    kind: str
    base: str
    decoder: str
    #: value and standard deviation over seeds, 0 where there is none, by metric
    published: Mapping[str, tuple[float, float]]
    #: metrics whose printed value cannot be right
    doubtful: tuple[str, ...] = ()
    note: str = ""
    #: is it a cell of the paper's?
    theirs: bool = True

    @property
    def name(self) -> str:
        """The name of its runs."""
        return run_name(self.base, "" if self.row.setting == BASE else self.row.setting)

    @property
    def place(self) -> str:
        """Kind and name, such as ``dans/umls-distmult-uniform``."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True)
class Group:
    """Cells that stand together, with one set of metrics, the first of them the headline's."""

    title: str
    metrics: tuple[str, ...]
    #: the setting that differences are taken from; empty: none
    reference: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper."""

    name: str
    title: str
    source: str
    seeds: int
    groups: tuple[Group, ...]

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """The cells by place, in the order of the table."""
        every = chain.from_iterable(group.cells for group in self.groups)
        return {cell.place: cell for cell in every}


def names() -> list[str]:
    """The tables there are."""
    return sorted(path.stem for path in PAPERS.glob("*.toml"))


def read(name: str) -> PaperTable:
    """A table by its name, such as ``dans-2``.

    Raises:
        InputError: there is no such table, or its file is wrong.
    """
    path = PAPERS / f"{name}.toml"
    if name not in names():
        hint = did_you_mean(name, names())
        raise InputError(f"{shown(name)}: no such table; known: {', '.join(names())}{hint}")
    file = convert(read_toml(path), _File, f"{path}: ")
    printed = {setting for one in file.group for by in one.cells.values() for setting in by}
    unknown = printed - {row.setting for row in file.rows}
    if unknown:
        raise InputError(f"{path}: {', '.join(sorted(unknown))}: no row has such a setting")
    groups = []
    for one in file.group:
        cells = [
            _cell(file, row, base, by, ours=(row.published or row.setting) not in printed)
            for base, by in one.cells.items()
            for row in file.rows
            if (row.published or row.setting) in by or row.setting not in printed
        ]
        reference = one.reference or file.reference
        groups.append(Group(one.title, one.metrics or file.metrics, reference, tuple(cells)))
    return PaperTable(name, file.title, file.source, file.seeds, tuple(groups))


def _cell(file: _File, row: Row, base: str, by: Mapping[str, Any], *, ours: bool) -> Cell:
    printed = dict(by.get(row.published or row.setting, {}))
    doubtful, note = tuple(printed.pop("doubtful", ())), printed.pop("note", "")
    values = {
        metric: (value[0], value[1]) if isinstance(value, list) else (value, 0.0)
        for metric, value in printed.items()
    }
    decoder = file.decoders[base.rpartition("-")[2]]
    theirs = not (ours or row.published)
    return Cell(row, row.kind or file.kind, base, decoder, values, doubtful, note, theirs)


def published(kind: str) -> dict[str, dict[str, float]]:
    """What papers print for a kind of runs, by run and metric, without what cannot be right."""
    found: dict[str, dict[str, float]] = {}
    for name in names():
        for cell in read(name).cells.values():
            if cell.kind == kind and cell.published:
                its = {
                    metric: value
                    for metric, (value, _) in cell.published.items()
                    if metric not in cell.doubtful
                }
                found[cell.name] = {**found.get(cell.name, {}), **its}
    return found
