"""One way in: a knowledge graph from a name, a folder, a file, or an object in memory."""

from __future__ import annotations

import logging
import os
import sys
from array import array
from codecs import BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dans.config.reading import kind_of, opened
from dans.data import id_files, objects, rdf, saved_graph, triple_tables
from dans.data.cards import DatasetCard, cards, find_card
from dans.data.download import cache_folder, fetch
from dans.data.graph import KnowledgeGraph, Vocabulary
from dans.data.id_cache import IdCache, Ids
from dans.data.name_ids import NameIds
from dans.data.names_audit import Origin
from dans.data.ogb import read_ogb
from dans.data.readers import SPLITS, TABLES, Line, Split, numbered_lines, read, split_files
from dans.data.splitting import InverseLeakage, check_shares, split_triples
from dans.data.tensor_file import reading
from dans.data.triple_tables import Row
from dans.errors import LARGEST, InputError, counted, one_of, shown

log = logging.getLogger(__name__)

NT, PARQUET = ".nt", ".parquet"

#: Suffixes of files that are read, each also with .gz.
SUFFIXES = (*TABLES, ".csv", NT, *rdf.PARSERS, PARQUET)

#: Options of tables, and of the split of triples that have none.
TABLE, SPLITTING = ("columns", "delimiter", "header"), ("split", "seed", "inverse_leakage")

#: Options of data in memory.
IN_MEMORY = ("columns", "entities", "relations")

#: What other files are, by suffix, and what to do with them.
OTHERS = {
    **dict.fromkeys(
        (".xlsx", ".xls", ".ods"),
        "a spreadsheet: save the sheet as CSV, or give pandas.read_excel(path)",
    ),
    ".json": "JSON: give json.load(file), where it is a list of triples or of objects",
    ".jsonl": "lines of JSON: give pandas.read_json(path, lines=True, dtype=False)",
    ".jsonld": "JSON-LD, which may need the web: convert it to N-Triples",
    **dict.fromkeys(
        (".zip", ".tar", ".tgz", ".7z", ".rar"),
        "an archive: unpack it, and name the file or the folder",
    ),
    **dict.fromkeys((".bz2", ".xz", ".zst"), "compressed: unpack it, or pack it by gzip"),
    **dict.fromkeys((".npy", ".npz"), "arrays: give numpy.load(path)"),
    **dict.fromkeys(
        (".pt", ".pth", ".pkl", ".pickle"),
        "a pickle, which is never loaded: give the object itself",
    ),
    **dict.fromkeys((".feather", ".arrow"), "Arrow: give pandas.read_feather(path)"),
    PARQUET: "Parquet packed by gzip: unpack it",
    ".graphml": "GraphML: give networkx.read_graphml(path)",
    ".gml": "GML: give networkx.read_gml(path)",
    **dict.fromkeys(
        (".db", ".sqlite", ".sqlite3"), "a database: give pandas.read_sql(query, connection)"
    ),
    ".bin": "perhaps a DGL graph: give dgl.load_graphs(path)[0][0]",
}

#: What the first bytes of a file say, whatever its name; the mark of UTF-32 begins as UTF-16's.
MAGIC = {
    b"PK\x03\x04": "an archive or a spreadsheet: unpack it, or save the sheet as CSV",
    b"PAR1": "Parquet: give it the suffix .parquet",
    b"\x1f\x8b": "packed by gzip: give it the further suffix .gz",
    b"SQLite": OTHERS[".db"],
    b"BZh": OTHERS[".bz2"],
    **dict.fromkeys((BOM_UTF32_LE, BOM_UTF32_BE), "text in UTF-32: save it in UTF-8"),
    **dict.fromkeys((BOM_UTF16_LE, BOM_UTF16_BE), "text in UTF-16: save it in UTF-8"),
}

#: Files beside splits that nobody expects to be read.
ASIDE = ("README", "LICENSE", "LICENCE", "CITATION", "NOTICE")

#: The lines of each split, or the file that holds them in our format.
Lines = Mapping[Split, Iterable[Line] | Path]


@dataclass(frozen=True)
class Options:
    """What `load` is given beside the data; see there. What is not given is None."""

    split: Sequence[float] | None = None
    seed: int | None = None
    inverse_leakage: InverseLeakage | None = None
    columns: str | Sequence[str | int] | None = None
    delimiter: str | None = None
    header: bool | None = None
    literals: rdf.Choice | None = None
    blank_nodes: rdf.Choice | None = None
    entities: objects.EntityNames | None = None
    relations: Sequence[str] | None = None
    labelled: Sequence[Split] = ()

    def check(self) -> None:
        """Refuse values that no source takes."""
        if self.split is not None:
            check_shares(self.split)
        if self.seed is not None:
            counted("seed", self.seed, least=0, most=LARGEST - 1)
        if self.inverse_leakage is not None:
            one_of("inverse_leakage", self.inverse_leakage, ("allow", "avoid"))
        for name in ("literals", "blank_nodes"):
            if getattr(self, name) is not None:
                one_of(name, getattr(self, name), ("keep", "drop"))
        if isinstance(self.labelled, str) or not isinstance(self.labelled, Iterable):
            raise InputError(f"labelled: expected a list of splits, got {shown(self.labelled)}")
        for split in self.labelled:
            one_of("labelled", split, SPLITS)
        if self.columns is not None and not isinstance(self.columns, str):
            chosen = list(self.columns) if isinstance(self.columns, Iterable) else [self.columns]
            whole = all(type(column) in (str, int) for column in chosen)
            if len(set(chosen)) != 3 or len(chosen) != 3 or not whole:
                raise InputError(
                    "columns: expected the names or the positions of head, relation and tail, such"
                    f' as ("subject", "predicate", "object") or (0, 1, 2); got {shown(chosen)}'
                )
        one = isinstance(self.delimiter, str) and len(self.delimiter) == 1
        if self.delimiter is not None and (not one or self.delimiter in '\r\n"\0'):
            raise InputError(
                f"delimiter: expected one character, no quote or line end, got"
                f" {shown(self.delimiter)}"
            )
        if self.header is not None and not isinstance(self.header, bool):
            raise InputError(f"header: expected True, False or None, got {shown(self.header)}")

    def given(self) -> list[str]:
        """The names of the options that were given, be it with the value that they have without."""
        return [one.name for one in fields(self) if getattr(self, one.name) is not one.default]

    def only(self, what: str, *accepted: str) -> None:
        """Refuse an option that has no effect on a source."""
        for name in self.given():
            if name not in accepted:
                raise InputError(f"{name}: has no effect on {what}")


def load(
    data: object,
    *,
    split: Sequence[float] | None = None,
    seed: int | None = None,
    inverse_leakage: InverseLeakage | None = None,
    columns: str | Sequence[str | int] | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    literals: rdf.Choice | None = None,
    blank_nodes: rdf.Choice | None = None,
    entities: objects.EntityNames | None = None,
    relations: Sequence[str] | None = None,
    labelled: Sequence[Split] = (),
    name: str = "",
) -> KnowledgeGraph:
    """A knowledge graph from a name, a folder, a file, or an object in memory.

    What has no splits is split, by a seed, such that each entity and relation is in train; what was
    taken for granted is logged. An option without an effect is refused.

    Args:
        data: one of
            the name of a data set, in any common spelling, or the path of its card;
            a folder: with a file for each split (train, valid, test), of OpenKE or DGL-KE, or one
            that `KnowledgeGraph.save` wrote;
            a file: ``.tsv``, ``.txt``, ``.csv``, ``.nt``, ``.ttl`` and other RDF, ``.parquet``;
            a list of triples of names, or of dictionaries; a pandas data frame; an integer array
            (n, 3); a dictionary of columns, as OGB's; a networkx or a DGL graph;
            a dictionary of these, also of paths, or a tuple of three, as train, valid and test.
        split: shares of train, valid and test; by default 0.8, 0.1 and 0.1.
        seed: of the split; by default 0.
        inverse_leakage: ``"avoid"`` keeps the triples between two entities in one split; by default
            ``"allow"``.
        columns: head, relation and tail of a table, by name or position; of a graph, the name of
            the edge attribute that holds the relation.
        delimiter: of columns; by default the one that fits the first lines.
        header: whether a table has one; by default, whether the first line looks like it. A split
            that is ``.tsv`` or ``.txt`` has none, unless an option for tables is given.
        literals: of RDF, whether to ``"keep"``, as by default, or ``"drop"`` triples with one.
        blank_nodes: of RDF, likewise.
        entities: names by id, for arrays and DGL graphs; for several types of nodes, by type.
        relations: names by id, for arrays.
        labelled: the splits of a folder whose lines have a fourth column, 1 or -1.
        name: of the graph; by default that of the data set, file or folder.

    Raises:
        InputError: the data cannot be read; the sentence says what was found, and how to convert.

    Example:
        >>> load([("ada", "knows", "bob"), ("bob", "likes", "tea"), ("ada", "likes", "tea")])
        KnowledgeGraph(entities=3, relations=2, train=2, valid=0, test=1)
    """
    if isinstance(entities, Mapping):
        entities = {
            kind: objects.names_of(f"entities[{kind!r}]", own) for kind, own in entities.items()
        }
    elif entities is not None:
        entities = objects.names_of("entities", entities)
    if relations is not None:
        relations = objects.names_of("relations", relations)
    if not isinstance(name, str):
        raise InputError(f"name: expected text, got {shown(name)}")
    options = Options(
        split, seed, inverse_leakage, columns, delimiter, header, literals, blank_nodes,
        entities, relations, labelled,
    )  # fmt: skip
    options.check()
    if isinstance(data, KnowledgeGraph):
        options.only("a graph that is loaded already")
        kg = data
    elif isinstance(data, (str, os.PathLike)):
        where = data if isinstance(data, str) else Path(data)
        if str(where).startswith("~") and not os.path.lexists(where):
            where = _expanded(where)
        kg = _of_path(where, options)
    else:
        kg = _of_object(data, options)
    if name and name != kg.name:
        kg = kg.renamed(name)
    return kg


def _expanded(where: str | os.PathLike[str]) -> Path:
    """A path, with the home folder instead of a leading ``~``."""
    return Path(os.path.expanduser(where))


def _of_path(where: str | Path, options: Options) -> KnowledgeGraph:
    card = find_card(where)
    if card is not None:
        if options.labelled:
            raise InputError(f"labelled: only for a folder; the card of {card.name} says it itself")
        options.only("a data set with a card")
        known = cards().get(card.name)
        kg = _of_card(card)
        return kg.renamed(kg.name, card.name if known == card.path else str(card.path.resolve()))
    path = Path(where)
    if not path.is_dir():
        return _of_file(path, options)
    if saved_graph.is_saved(path):
        options.only("a saved graph")
        kg = saved_graph.read(path)
    else:
        kg = _of_folder(path, options)
    return kg.renamed(kg.name, "" if options.given() else str(path.resolve()))


def _of_card(card: DatasetCard) -> KnowledgeGraph:
    if card.archive:
        return _counted(read_ogb(card), card)
    files = fetch(card)
    lines: Lines = {
        split: read(path, labelled=True) if split in card.labelled else path
        for split, path in files.items()
    }
    return _counted(_of_lines(lines, files, card.labelled, card.name), card)


def _counted(kg: KnowledgeGraph, card: DatasetCard) -> KnowledgeGraph:
    """A graph that has as many names and lines as its card says."""
    counts = {
        "entities": (card.entities, kg.num_entities),
        "relations": (card.relations, kg.num_relations),
    }
    for split, file in card.splits.items():
        counts[f"{split}.lines"] = file.lines, len(kg.lines(split)[0])
    for key, (stated, found) in counts.items():
        if stated != found:
            raise InputError(f"{card.path}: {key} = {stated}, but its files hold {found}")
    return kg


def _of_lines(
    lines: Lines, files: Mapping[Split, Path], labelled: Sequence[Split], name: str
) -> KnowledgeGraph:
    tables = {split: part for split, part in lines.items() if isinstance(part, Path)}
    kg = _by_cache(
        tables if len(tables) == len(lines) else {},
        name,
        lambda: KnowledgeGraph.of_lines(lines, labelled=labelled, name=name),
    )
    if kg is None or not len(kg.train):
        raise InputError(f"{files['train']}: expected at least one line labelled 1, got none")
    return kg


def _by_cache(
    files: Mapping[Split, Path], name: str, read: Callable[[], KnowledgeGraph | None]
) -> KnowledgeGraph | None:
    """The graph of files whose ids are kept; else what ``read`` gives, whose ids are kept then."""
    cache = IdCache(cache_folder() / "ids", files)
    if ids := cache.load():
        try:
            return ids.graph(name)
        except InputError as error:
            log.warning("%s: ignored: %s", cache.path, error)
    kg = read()
    if kg is not None:
        found = {split: kg.lines(split)[0] for split in SPLITS}
        cache.keep(Ids(kg.entities.names, kg.relations.names, found))
    return kg


def _of_folder(folder: Path, options: Options) -> KnowledgeGraph:
    """The splits of a folder: a file each, in any of our formats, or as of OpenKE or DGL-KE."""
    origins: dict[Split, Origin] = {}
    lines: Lines
    maps: Sequence[str] = ()
    if id_files.holds(folder, id_files.OPENKE):
        options.only(f"{folder}, a folder of OpenKE")
        (files, lines), maps = id_files.read_openke(folder), id_files.OPENKE
    else:
        files = _split_files(folder)
        _check_for_splits(options, folder, files)
        lines, origins = _lines_of_splits(files, options)
        if id_files.holds(folder, id_files.DGLKE):
            rows = {s: read(part) if isinstance(part, Path) else part for s, part in lines.items()}
            lines, maps = id_files.with_maps(folder, files, rows), id_files.DGLKE
    kg = _of_lines(lines, files, options.labelled, folder.resolve().name)
    _warn(kg, folder, origins)
    read_files = {*maps, *(path.name for path in files.values())}
    beside = [
        path.name
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in read_files and path.suffix != ".md"
        if not path.name.startswith((".", *ASIDE))
    ]
    if beside:
        log.warning(
            "%s: not read: %s; a split is called train, valid or test", folder, ", ".join(beside)
        )
    return kg


def _check_for_splits(options: Options, folder: Path, files: Mapping[Split, Path]) -> None:
    """Refuse options without effect on a folder's splits, by the formats of their files."""
    kinds, in_rdf = set(map(_kind, files.values())), {NT, *rdf.PARSERS}
    of_rdf = ("literals", "blank_nodes") if kinds & in_rdf else ()
    of_tables = TABLE if kinds - in_rdf else ()
    options.only(f"{folder}, which has splits", *of_tables, *of_rdf, "labelled")
    for split in options.labelled:
        if split not in files:
            raise InputError(f"labelled: {split}: there is no such file")


def _lines_of_splits(
    files: Mapping[Split, Path], options: Options
) -> tuple[Lines, dict[Split, Origin]]:
    """The lines of each split of a folder, and where they are from."""
    lines: dict[Split, Iterable[Line] | Path] = {}
    origins: dict[Split, Origin] = {}
    known = triple_tables.NOTHING
    table = not set(options.given()).isdisjoint(TABLE)
    for split, path in files.items():
        labelled = split in options.labelled
        if labelled or (_kind(path) in TABLES and not table):
            origins[split] = Origin(str(path), range(1, sys.maxsize))
            lines[split] = read(path, labelled=True) if labelled else path
        else:
            numbers = array("q")
            origins[split] = Origin(str(path), numbers, _has_quotes(path, options))
            named = _rows(path, options, numbers, known)
            if split == "train":
                sample = list(islice(named, triple_tables.COMPARED))
                named, known = chain(sample, named), triple_tables.names_of(sample)
            lines[split] = _lines(named, path, split)
    return lines, origins


def _split_files(folder: Path) -> dict[Split, Path]:
    try:
        return split_files(folder, SUFFIXES)
    except InputError as error:
        files = [path for path in sorted(folder.iterdir()) if _kind(path) in SUFFIXES]
        if len(files) == 1 and "no file for train" in str(error):
            raise InputError(f"{error}; to split one file, name it: {files[0]}") from None
        raise


def _of_file(path: Path, options: Options) -> KnowledgeGraph:
    """The triples of one file, split by a column of it or by us."""
    accepted: tuple[str, ...] = TABLE
    if _kind(path) in (NT, *rdf.PARSERS):
        accepted = ("literals", "blank_nodes")
    elif _kind(path) == PARQUET:
        accepted = ("columns",)
    if "labelled" in options.given():
        raise InputError("labelled: only for a folder with a file for each split")
    options.only(str(path), *accepted, *SPLITTING)
    numbers = array("q")
    name = path.name.removesuffix(".gz").removesuffix(_kind(path))
    rows = _rows(path, options, numbers)
    first = next(rows)
    table = not set(options.given()).isdisjoint(TABLE)
    # Of a table whose first line is a triple, in three columns and by tabs.
    if _kind(path) in TABLES and not table and first[3] is None and list(numbers) == [1]:
        kg = _of_plain_file(path, name)
        if kg is not None:
            _warn(kg, path, {"train": Origin(str(path), range(1, sys.maxsize))})
            return _split(kg, str(path), options)
    quotes = _has_quotes(path, options)
    return _of_rows(chain([first], rows), str(path), name, options, numbers, quotes=quotes)


def _of_plain_file(path: Path, name: str) -> KnowledgeGraph | None:
    """The triples of a file without anything unusual, all in train; None for any other one."""

    def read_plain() -> KnowledgeGraph | None:
        names = NameIds()
        train = names.of_plain_file(path)
        if train is None:
            return None
        parts: dict[Split, Tensor] = {"train": train, "valid": train[:0], "test": train[:0]}
        return Ids(tuple(names.entities), tuple(names.relations), parts).graph(name)

    return _by_cache({"train": path}, name, read_plain)


def _has_quotes(path: Path, options: Options) -> bool:
    """Are quotes around the cells of a file understood? Those of a table without tabs are."""
    if _kind(path) in (NT, *rdf.PARSERS, PARQUET):
        return False
    return (options.delimiter or triple_tables.sniff(path)) != "\t"


def _of_rows(
    rows: Iterator[Row],
    where: str,
    name: str,
    options: Options,
    numbers: Sequence[int] = (),
    *,
    quotes: bool = False,
) -> KnowledgeGraph:
    """The graph of rows of names, split by what they say or by us."""
    first = next(rows, None)
    if first is None:
        raise InputError(f"{where}: holds no triple")
    rows = chain([first], rows)
    if first[3] is None:
        kg = KnowledgeGraph.of_lines({"train": _lines(rows, where, "train")}, name=name)
        _warn(kg, where, {"train": Origin(where, numbers, quotes)})
        return _split(kg, where, options)
    options.only(f"{where}, whose triples have a split already", *TABLE)
    parts: dict[Split, list[Line]] = {split: [] for split in SPLITS}
    places: dict[Split, array[int]] = {split: array("q") for split in SPLITS}
    for head, relation, tail, split in rows:
        if split is not None:
            parts[split].append((head, relation, tail, True))
            places[split].extend(numbers[-1:])
    if not parts["train"]:
        raise InputError(f"{where}: holds no triple to train on: the split of none is train")
    kg = KnowledgeGraph.of_lines(parts, name=name)
    _warn(kg, where, {split: Origin(where, found, quotes) for split, found in places.items()})
    return kg


def _rows(
    path: Path,
    options: Options,
    numbers: array[int],
    known: triple_tables.Known = triple_tables.NOTHING,
) -> Iterator[Row]:
    """The rows of a file by its suffix; one that cannot be read is refused by what it is."""
    kind = _kind(path)
    with reading(path, "an array of ids"), opened(path) as file:
        start = file.read(8)
    packed = path.suffix == ".gz"
    found = next((what for magic, what in MAGIC.items() if start.startswith(magic)), None)
    if found and not packed and kind not in OTHERS:
        raise InputError(f"{path}: cannot be read as {kind or 'text'}; it is {found}")
    if isinstance(options.columns, str):
        raise InputError("columns: one name is for graphs; expected three, of head, relation, tail")
    rows: Iterator[Row]
    if kind == PARQUET and not packed:
        table = triple_tables.parquet_table(path)
        rows = triple_tables.arrow_rows(table, str(path), options.columns)
    elif kind in (NT, *rdf.PARSERS):
        rows = _of_terms(read(path) if kind == NT else rdf.read_rdf(path), path, options)
    elif kind in (*TABLES, ".csv") or (options.delimiter and kind not in OTHERS):
        rows = triple_tables.read_table(
            path,
            columns=options.columns,
            delimiter=options.delimiter,
            header=options.header,
            numbers=numbers,
            known=known,
        )
    else:
        what = OTHERS.get(kind, "unknown: give a table the suffix .csv")
        raise InputError(
            f"{path}: its kind, {kind or 'without a suffix'}, is {what}; read are"
            f" {', '.join(SUFFIXES)}, each but the last also .gz"
        )
    first = next(rows, None)
    if first is None:
        raise InputError(f"{path}: the file holds no triple; a split needs at least one")
    yield from chain([first], rows)


def _of_terms(lines: Iterable[Line], where: object, options: Options) -> Iterator[Row]:
    """Triples of RDF, without those that have a literal or a blank node that is not wanted."""
    for head, relation, tail, _ in rdf.choose_terms(
        lines,
        where,
        literals=options.literals or "keep",
        blank_nodes=options.blank_nodes or "keep",
    ):
        yield head, relation, tail, None


def file_lines(
    path: Path, numbers: array[int], known: triple_tables.Known
) -> tuple[bool, Iterator[Line]]:
    """Whether the lines of a file have labels, and the lines, which are of one split.

    A table has labels if its first line has four columns, by tabs, of which the last is 1 or -1.
    While lines are read, the number of each in a text file goes into ``numbers``. ``known`` are
    names of the graph, by which a first triple is told from a header.
    """
    if _kind(path) in TABLES and path.is_file():
        _, first = next(numbered_lines(path), (0, ""))
        if len(columns := first.split("\t")) == 4 and columns[3] in ("1", "-1"):
            return True, _numbered(read(path, labelled=True), numbers)
    return False, _lines(_rows(path, Options(), numbers, known), path, "test")


def _numbered(lines: Iterator[Line], numbers: array[int]) -> Iterator[Line]:
    """Lines of which none is blank."""
    for number, line in enumerate(lines, start=1):
        numbers.append(number)
        yield line


def _kind(path: Path) -> str:
    return kind_of(path).lower()


def _lines(rows: Iterable[Row], where: object, split: Split) -> Iterator[Line]:
    """The lines of one split; a row that says it is of another one is refused."""
    for head, relation, tail, said in rows:
        if said not in (None, split):
            raise InputError(
                f"{where}: read as {split}, but a triple in it has the split {said}; give all in"
                " one table, or leave that column out"
            )
        yield head, relation, tail, True


def _of_object(data: Any, options: Options) -> KnowledgeGraph:
    """The triples of an object in memory, whose splits are given, or are made by us."""
    if objects.library(data) == "rdflib" and hasattr(data, "triples"):
        options.only("a graph of rdflib", "literals", "blank_nodes", *SPLITTING)
        lines = rdf.term_lines(rdf.triples_of_graph(data), "graph")
        return _of_rows(_of_terms(lines, "data", options), "data", "unnamed", options)
    splits = objects.by_split(data)
    accepted = [*IN_MEMORY, *(SPLITTING if splits is None else ())]
    if any(isinstance(part, (str, os.PathLike)) for part in (splits or {}).values()):
        accepted += (*TABLE, "literals", "blank_nodes")
    options.only("data in memory", *accepted)
    whole: dict[Split, object] = {"train": data}
    found: dict[Split, objects.Triples] = {}
    given = splits is not None
    names: dict[str, Sequence[str]] = {}
    known = triple_tables.NOTHING
    for split, part in (whole if splits is None else splits).items():
        where = "data" if splits is None else f"data[{split!r}]"
        triples: objects.Triples
        own: dict[str, Sequence[str]] = {}
        if isinstance(part, (str, os.PathLike)):
            triples = list(_rows(_expanded(part), options, array("q"), known))
            if split == "train":
                known = triple_tables.names_of(triples[: triple_tables.COMPARED])
        else:
            triples, own = objects.triples_of(
                part, where, columns=options.columns, entities=options.entities
            )
        if found and own != names:
            raise InputError(f"{where}: expected the same types of nodes and edges as in train")
        names = own
        parts = {split: triples}
        numbers = objects.splits_of_dgl(part, where)
        if numbers is not None and isinstance(triples, Tensor):
            parts = {name: triples[numbers == i] for i, name in enumerate(SPLITS)}
            if splits is not None and len(parts[split]) < len(triples):
                raise InputError(f"{where}: read as {split}, but has edges of another split")
            given = True
            options.only(f"{where}, whose edges have a split already", *IN_MEMORY)
        found.update({name: rows for name, rows in parts.items() if len(rows)})
    if "train" not in found:
        raise InputError("data: holds no triple to train on")
    return _of_parts(found, names, options, given=given)


def _of_parts(
    parts: Mapping[Split, objects.Triples],
    names: Mapping[str, Sequence[str]],
    options: Options,
    *,
    given: bool,
) -> KnowledgeGraph:
    """The graph of splits in memory, of ids or of names; where none was given, they are made."""
    ids = {split: part for split, part in parts.items() if isinstance(part, Tensor)}
    rows = {split: part for split, part in parts.items() if not isinstance(part, Tensor)}
    if ids and rows:
        raise InputError("data: expected ids in each split, or names in each; got both")
    if ids:
        entities = names.get("entities", options.entities)
        relations = names.get("relations") if options.relations is None else options.relations
        kg = _of_ids(ids, entities, relations)
    else:
        options.only("triples of names", *(set(options.given()) - {"entities", "relations"}))
        if not given:
            return _of_rows(iter(rows["train"]), "data", "unnamed", options)
        kg = KnowledgeGraph.of_lines(
            {split: _lines(part, f"data[{split!r}]", split) for split, part in rows.items()}
        )
    _warn(kg, "data", {})
    return kg if given else _split(kg, "data", options)


def _of_ids(
    parts: Mapping[Split, Tensor],
    entities: objects.EntityNames | None,
    relations: Sequence[str] | None,
) -> KnowledgeGraph:
    """A graph of the ids that occur; without names an id is its own name."""
    triples = torch.cat([parts[split] for split in SPLITS if split in parts])
    if bool((triples < 0).any()):
        raise InputError(f"data: expected ids of at least 0, got {int(triples.min())}")
    vocabularies, columns = [], list(triples.unbind(1))
    for kind, names, places in (("entities", entities, [0, 2]), ("relations", relations, [1])):
        used, ids = triples[:, places].unique(return_inverse=True)
        for place, column in zip(places, ids.unbind(1), strict=True):
            columns[place] = column
        if names is None:
            names = tuple(map(str, used.tolist()))
        elif isinstance(names, (Mapping, str)):
            raise InputError(f"{kind}: expected a list of names, got {shown(names)}")
        elif int(used[-1]) >= len(names):
            raise InputError(f"{kind}: {len(names)} names, but there is the id {int(used[-1])}")
        else:
            if len(used) < len(names):
                left_out = len(names) - len(used)
                sentence = "data: %d of %d %s are in no triple and left out; ids count the others"
                log.info(sentence, left_out, len(names), kind)
            names = tuple(str(names[i]) for i in used.tolist())
        vocabularies.append(Vocabulary(names))
    sizes = [len(parts.get(split, ())) for split in SPLITS]
    train, valid, test = torch.stack(columns, dim=1).split(sizes)
    return KnowledgeGraph("unnamed", vocabularies[0], vocabularies[1], train, valid, test)


def _split(kg: KnowledgeGraph, where: str, options: Options) -> KnowledgeGraph:
    """A graph whose triples are all in train, split."""
    repeats = len(kg.lines("train")[0]) - len(kg.train)
    if repeats:
        log.info("%s: %d lines repeat an earlier one and are left out", where, repeats)
    parts = split_triples(
        kg.train,
        (kg.num_entities, kg.num_relations),
        (0.8, 0.1, 0.1) if options.split is None else options.split,
        seed=int(options.seed or 0),
        inverse_leakage=options.inverse_leakage or "allow",
        where=where,
    )
    train, valid, test = parts.values()
    return KnowledgeGraph(kg.name, kg.entities, kg.relations, train, valid, test)


def _warn(kg: KnowledgeGraph, where: object, origins: Mapping[Split, Origin]) -> None:
    for warning in kg.warnings(origins):
        log.warning("%s: %s", where, warning)
