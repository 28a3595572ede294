"""Folders of OpenKE and of DGL-KE: triples of ids, and maps from ids to names."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dans.data.readers import SPLITS, Line, Split, numbered_lines
from dans.errors import InputError, shown

log = logging.getLogger(__name__)

OPENKE = ("entity2id.txt", "relation2id.txt", "train2id.txt")
DGLKE = ("entities.dict", "relations.dict")


def holds(folder: Path, names: Iterable[str]) -> bool:
    """Are there all files of `OPENKE`, or of `DGLKE`, which RotatE has too?"""
    return all((folder / name).is_file() for name in names)


def read_openke(folder: Path) -> tuple[dict[Split, Path], dict[Split, Iterable[Line]]]:
    """The files of a folder as of OpenKE, and their triples by name.

    The first line of each file is a count. Lines of triples are head, tail, relation: in this
    order.
    """
    entities, relations = (_numbered(folder / name) for name in OPENKE[:2])
    paths = {split: folder / f"{split}2id.txt" for split in SPLITS}
    files = {split: path for split, path in paths.items() if path.is_file()}
    return files, {
        split: _named_lines(_triples(path), entities, relations, path, first=2)
        for split, path in files.items()
    }


def _counted(path: Path) -> Iterator[tuple[int, str]]:
    """The lines after the first, which says how many there are."""
    stated, count = None, 0
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        if stated is None:
            if not line.strip().isdecimal():
                raise InputError(
                    f"{path}:{number}: expected the number of lines, got {shown(line)}"
                )
            stated = int(line)
            continue
        count += 1
        yield number, line
    if stated != count:
        raise InputError(f"{path}:1: says {stated or 0} lines, but there are {count}")


def _numbered(path: Path) -> dict[str, str]:
    """Names by ids, from lines of a name and an id."""
    found: dict[str, str] = {}
    for number, line in _counted(path):
        name, _, key = line.strip().replace(" ", "\t").rpartition("\t")
        name = line.strip()[: len(name)].rstrip()
        if not name or not key.isdecimal() or key in found:
            raise InputError(
                f"{path}:{number}: expected a name and an id of its own, got {shown(line)}"
            )
        found[key] = name
    return found


def _triples(path: Path) -> Iterator[Line]:
    for number, line in _counted(path):
        ids = line.split()
        if len(ids) != 3:
            raise InputError(
                f"{path}:{number}: found {len(ids)} columns, expected 3: head, tail, relation"
            )
        head, tail, relation = ids
        yield head, relation, tail, True


def _map(path: Path) -> dict[str, str]:
    """Names by ids, from lines of an id and a name."""
    found: dict[str, str] = {}
    for number, line in numbered_lines(path):
        key, _, name = line.partition("\t")
        if not name or not key.isdecimal() or key in found:
            wanted = "an id of its own, a tab and a name"
            raise InputError(f"{path}:{number}: expected {wanted}, got {shown(line)}")
        found[key] = name
    return found


def with_maps(
    folder: Path, files: Mapping[Split, Path], lines: Mapping[Split, Iterable[Line]]
) -> dict[Split, Iterable[Line]]:
    """Lines of ids as lines of names, by the maps of DGL-KE; lines of names stay as they are."""
    entities, relations = (_map(folder / name) for name in DGLKE)
    listed = {split: list(part) for split, part in lines.items()}
    known, types = set(entities.values()), set(relations.values())
    if all(h in known and r in types and t in known for h, r, t, _ in listed["train"]):
        return dict(listed)
    return {
        split: _named_lines(part, entities, relations, files[split])
        for split, part in listed.items()
    }


def _named_lines(
    triples: Iterable[Line],
    entities: Mapping[str, str],
    relations: Mapping[str, str],
    path: Path,
    first: int = 1,
) -> Iterator[Line]:
    """Triples of ids as triples of names; the first one stands at a line of the file."""
    for number, (head, relation, tail, label) in enumerate(triples, first):
        try:
            yield entities[head], relations[relation], entities[tail], label
        except KeyError as error:
            raise InputError(
                f"{path}:{number}: no name has the id {shown(error.args[0])}"
            ) from None
