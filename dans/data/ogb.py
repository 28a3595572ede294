"""Data sets of the Open Graph Benchmark (Hu et al. 2020, arXiv:2005.00687): ids, names, negatives.

An archive holds a file of arrays for each split (``split/*/train.pt``, pickled by torch) and tables
of names (``mapping/*.csv.gz``). It is read once; what was read is kept in the cache as safetensors.
No pickle runs code: torch's restricted reader takes arrays of numbers, text, lists and
dictionaries, and nothing else.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import logging
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from dans.config.reading import opened
from dans.config.writing import beside, sweep, whole
from dans.data.cards import DatasetCard
from dans.data.download import archive_cache, archive_folder, fetch_archive
from dans.data.graph import KnowledgeGraph
from dans.data.id_cache import Ids
from dans.data.readers import SPLITS, Split
from dans.data.tensor_file import read_tensors, write_tensors
from dans.errors import InputError, shown

log = logging.getLogger(__name__)

#: Version of what is kept in the cache.
VERSION = "1"

#: The splits that come with negatives, and what their arrays are called.
GIVEN: tuple[Split, ...] = ("valid", "test")
SIDES = ("head_neg", "tail_neg")

#: The files that are read.
MEMBER = r"\bsplit/.*\.pt$|\bmapping/.*\.csv\.gz$"

#: What follows the type of the entities that a table names.
TYPED = "_entidx2name.csv.gz"

#: Headers of tables of names: of the column of ids, and of that of names.
IDS, NAMES = (
    ("node idx", "ent idx", "rel idx", "reltype"),
    ("entity id", "ent name", "rel id", "rel name"),
)

#: What makes an array again from its pickle, and its name before numpy 2.
_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]
_FORMER = "numpy.core.multiarray._reconstruct"

#: Of numpy's arrays of whole numbers, all that a pickle of one names.
ALLOWED: list[Any] = [
    np.ndarray,
    np.dtype,
    _RECONSTRUCT,
    (_RECONSTRUCT, _FORMER),
    *(type(np.dtype(f"{sign}int{bits}")) for sign in ("", "u") for bits in (8, 16, 32, 64)),
]


def read_ogb(card: DatasetCard) -> KnowledgeGraph:
    """The graph of a card with an archive of OGB, from the cache or made from the archive.

    The negatives of valid and test are ``given_negatives``, read where they are used.

    Raises:
        InputError: the archive is not on this machine and cannot be downloaded, or is none of OGB.
    """
    kept = archive_cache(card)
    folder = archive_folder(card)
    stamp = _stamp(folder) if folder else ""
    found = _read(kept, card.name, stamp)
    if found is not None:
        return found
    path = folder or fetch_archive(card)
    with _refusing(path, kept), _source(path, kept.parent) as source:
        _convert(source, kept, stamp)
    if folder is None:
        path.unlink(missing_ok=True)
    found = _read(kept, card.name, stamp)
    if found is None:
        raise InputError(f"{kept}: damaged right after it was written; is the disk sound?")
    return found


class GivenNegatives(Mapping[Split, tuple[Tensor, Tensor]]):
    """Negatives in place of head and tail, by split, in files that are mapped into memory."""

    def __init__(self, files: Mapping[Split, Path]) -> None:
        self.files = files
        self._open: dict[Split, tuple[Tensor, Tensor]] = {}

    def __getitem__(self, split: Split) -> tuple[Tensor, Tensor]:
        if split not in self._open:
            path = self.files[split]
            try:
                tensors = read_tensors(path)
                self._open[split] = tensors[SIDES[0]], tensors[SIDES[1]]
            except (OSError, SafetensorError, LookupError) as error:
                raise InputError(f"{path}: cannot be read: {error}; remove its folder") from error
        return self._open[split]

    def __iter__(self) -> Iterator[Split]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


class _Source(NamedTuple):
    """The files of an archive, by their names in it; ``name`` opens errors."""

    name: str
    files: Mapping[str, Path]


@contextmanager
def _source(path: Path, folder: Path) -> Iterator[_Source]:
    """The files of an unpacked archive, or of a zip, unpacked for as long as they are read."""
    if path.is_dir():
        members = {one.relative_to(path).as_posix(): one for one in _members(path)}
        yield _Source(str(path), members)
        return
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a zip archive that can be read: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    with archive, beside(folder / "archive") as part:
        names = [one for one in archive.namelist() if re.search(MEMBER, one)]
        yield _Source(str(path), {one: Path(archive.extract(one, part)) for one in names})


def _members(folder: Path) -> list[Path]:
    """The files of an unpacked archive that are read."""
    return sorted([*folder.glob("split/*/*.pt"), *folder.glob("mapping/*.csv.gz")])


def _stamp(folder: Path) -> str:
    """What changes when a file of a folder does."""
    stats = [(str(path), path.stat()) for path in _members(folder)]
    said = [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


@contextmanager
def _refusing(path: Path, kept: Path) -> Iterator[None]:
    """Turn errors of reading an archive, and of writing what is kept, into one sentence."""
    try:
        yield
    except OSError as error:
        named = error.filename or kept
        why = f"{error.strerror or error}; DANS_CACHE names another folder for what is kept"
        raise InputError(f"{named}: {why}") from error
    except (
        EOFError,
        zlib.error,
        gzip.BadGzipFile,
        zipfile.BadZipFile,
        UnicodeDecodeError,
    ) as error:
        raise InputError(f"{path}: damaged: {error}") from error


def _convert(source: _Source, kept: Path, stamp: str) -> None:
    """Read an archive, and write what it holds into files beside ``kept``, that one last."""
    entities, offsets = _entities(source)
    relations = _names(source, _one(source, "relidx2relname.csv.gz", "reltype2relid.csv.gz"))
    sizes = len(entities), len(relations)
    found: dict[Split, Tensor] = {}
    kept.parent.mkdir(parents=True, exist_ok=True)
    sweep(kept.parent)
    for split in SPLITS:
        name = _one(source, f"{split}.pt", below="split")
        arrays = _arrays(source, name)
        where = f"{source.name}: {name}"
        columns = {key: _ids(arrays, key, where) for key in ("head", "relation", "tail")}
        if len({tuple(ids.shape) for ids in columns.values()}) != 1:
            raise InputError(f"{where}: expected as many heads as relations and as tails")
        shifts = {key: _shifts(arrays, key, offsets, where) for key in ("head", "tail")}
        for key, shift in shifts.items():
            columns[key] = columns[key] + shift
        triples = torch.stack(list(columns.values()), dim=1)
        _check_ids(triples, (sizes[0], sizes[1], sizes[0]), where)
        found[split] = triples
        if split in GIVEN and all(side in arrays for side in SIDES):
            given = {
                side: _negatives(arrays, side, shifts[side.removesuffix("_neg")], sizes[0], where)
                for side in SIDES
            }
            with whole(_beside(kept, split)) as file:
                write_tensors(file, given, {"version": VERSION})
    ids = Ids(tuple(entities), tuple(relations), found)
    ids.write(kept, {"version": VERSION, "stamp": stamp})


def _beside(kept: Path, split: Split) -> Path:
    return kept.with_name(f"ogb-{split}-negatives.safetensors")


def _read(kept: Path, name: str, stamp: str) -> KnowledgeGraph | None:
    """The graph that `_convert` kept; None where it is missing, damaged, or of other files.

    Without a stamp, when no folder holds the archive, what is kept counts whatever it is from.
    """
    try:
        about, ids = Ids.read(kept)
        if about.get("version") != VERSION or (stamp and about.get("stamp") != stamp):
            return None
        files = {split: _beside(kept, split) for split in GIVEN if _beside(kept, split).is_file()}
        return ids.graph(name, given_negatives=GivenNegatives(files))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, SafetensorError, ValueError, LookupError) as error:
        log.warning("%s: cannot be read (%s); made again", kept, error)
        return None


def _one(source: _Source, *ends: str, below: str = "mapping") -> str:
    """The one member with one of some file names, in a folder."""
    found = [
        name for name in source.files if name.rpartition("/")[2] in ends and f"{below}/" in name
    ]
    if len(found) != 1:
        wanted = " or ".join(ends)
        raise InputError(
            f"{source.name}: expected one file {wanted} below {below}, as of OGB, got {len(found)}"
        )
    return found[0]


def _entities(source: _Source) -> tuple[list[str], dict[str, int]]:
    """The names of entities by id, and where the ids of each type begin; without types, nothing.

    Where entities have types, those of one type have the ids of its table, and types follow each
    other by name, as in OGB's ``num_nodes_dict``.
    """
    typed = sorted(name for name in source.files if name.endswith(TYPED) and "mapping/" in name)
    if not typed:
        return _names(source, _one(source, "nodeidx2entityid.csv.gz")), {}
    entities: list[str] = []
    offsets: dict[str, int] = {}
    for name in typed:
        kind = name.rpartition("/")[2].removesuffix(TYPED)
        offsets[kind] = len(entities)
        entities += [f"{kind}:{one}" for one in _names(source, name)]
    return entities, offsets


def _names(source: _Source, name: str) -> list[str]:
    """The names in a table, by id; a repeated one has its id behind."""
    where = f"{source.name}: {name}"
    with opened(source.files[name]) as packed, gzip.GzipFile(fileobj=packed) as file:
        rows = csv.reader(TextIOWrapper(file, encoding="utf-8", newline=""))
        header = [cell.strip() for cell in next(rows, [])]
        at = [[i for i, cell in enumerate(header) if cell in known] for known in (IDS, NAMES)]
        if any(len(places) != 1 for places in at):
            said = ", ".join(map(shown, header))
            raise InputError(f"{where}: expected a column of ids and one of names, got {said}")
        ids, texts = at[0][0], at[1][0]
        found: dict[int, str] = {}
        for row in rows:
            if len(row) <= max(ids, texts) or not row[ids].isdecimal() or int(row[ids]) in found:
                raise InputError(f"{where}:{rows.line_num}: expected an id of its own and a name")
            found[int(row[ids])] = row[texts].strip() or row[ids]
    if not found or max(found) != len(found) - 1:
        raise InputError(f"{where}: expected the ids 0 to {len(found) - 1}")
    listed: list[str] = []
    seen: set[str] = set()
    for i in range(len(found)):
        listed.append(f"{found[i]} ({i})" if found[i] in seen else found[i])
        seen.add(found[i])
    return listed


def _arrays(source: _Source, name: str) -> dict[str, Any]:
    """The arrays of a split, by torch's reader without code of others."""
    with opened(source.files[name]) as file:
        try:
            with torch.serialization.safe_globals(ALLOWED):
                content = torch.load(file, map_location="cpu", weights_only=True)
        except AttributeError:
            raise InputError(f"{source.name}: {name}: needs torch 2.6 or later") from None
        except (UnpicklingError, RuntimeError, ValueError, EOFError, LookupError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{source.name}: {name}: not arrays by torch: {reason}") from None
    if not isinstance(content, dict):
        raise InputError(f"{source.name}: {name}: expected arrays by name")
    return content


def _ids(arrays: Mapping[str, Any], key: str, where: str) -> Tensor:
    """One array of ids, (q,) or (q, c)."""
    value = arrays.get(key)
    try:
        ids = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        ids = torch.empty(0)
    if (
        ids.ndim not in (1, 2)
        or ids.is_floating_point()
        or ids.is_complex()
        or ids.dtype == torch.bool
    ):
        raise InputError(f"{where}: {key}: expected an array of ids")
    return ids.long()


def _shifts(arrays: Mapping[str, Any], key: str, offsets: Mapping[str, int], where: str) -> Tensor:
    """What makes ids of a type those of the graph: a number for each triple, or 0."""
    if not offsets:
        return torch.zeros((), dtype=torch.int64)
    try:
        shifts = torch.tensor([offsets[kind] for kind in arrays.get(f"{key}_type", ())])
    except (KeyError, TypeError):
        shifts = torch.empty(0)
    if len(shifts) != len(arrays[key]):
        known = ", ".join(offsets)
        raise InputError(f"{where}: {key}_type: expected for each triple one of {known}")
    return shifts


def _negatives(
    arrays: Mapping[str, Any], side: str, shifts: Tensor, num_entities: int, where: str
) -> Tensor:
    ids = _ids(arrays, side, where)
    shape = len(arrays["head"]), ids.shape[-1]
    if tuple(ids.shape) != shape:
        raise InputError(f"{where}: {side}: expected ids for each of {shape[0]} triples")
    ids = ids + shifts.unsqueeze(-1) if shifts.ndim else ids
    _check_ids(ids, (num_entities,) * ids.shape[1], f"{where}: {side}")
    return ids


def _check_ids(ids: Tensor, limits: Sequence[int], where: str) -> None:
    """Refuse ids outside of the limits of their columns."""
    if len(ids) and (int(ids.min()) < 0 or bool((ids.amax(0) >= torch.tensor(limits)).any())):
        raise InputError(f"{where}: holds an id that no table names")
