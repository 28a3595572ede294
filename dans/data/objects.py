"""Triples of objects in memory: arrays, data frames, lists, dictionaries, networkx and DGL graphs.

Which library an object is from is seen by the module of its type: none is imported here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dans.data.names_audit import HEADERS
from dans.data.readers import SPLIT_NAMES, SPLITS, Split
from dans.data.triple_tables import (
    EDGES,
    FRAME,
    Row,
    arrow_rows,
    check_encodable,
    listed_rows,
    named_row,
    split_of,
    table_rows,
)
from dans.errors import LARGEST, InputError, shown
from dans.memory import NoRoomError, free, is_out_of_memory, show_bytes

log = logging.getLogger(__name__)

#: Names of entities, or those of each type of node.
EntityNames = Sequence[str] | Mapping[str, Sequence[str]]

#: Floats of torch that NumPy has too.
IN_NUMPY = (torch.float16, torch.float32, torch.float64)

#: Triples of ids, (·, 3), or rows of names.
Triples = Tensor | list[Row]

KNOWN = (
    "a name, a path, triples of names, an (n, 3) array of ids, a dict of arrays or of splits,"
    " a pandas data frame, a networkx or a DGL graph"
)

#: Triples of a graph of PyTorch Geometric.
STACKED = "torch.stack((edge_index[0], edge_type, edge_index[1]), 1)"


def library(data: object) -> str:
    """The library that an object's type, or a type it inherits from, is of."""
    names = [kind.__module__.split(".")[0] for kind in type(data).__mro__]
    known = ("pandas", "pyarrow", "networkx", "dgl", "rdflib", "torch", "numpy")
    return next((name for name in names if name in known), names[0])


def as_array(values: Any, where: str) -> NDArray[Any]:
    """An array of what is one nearly: a tensor, on any device or sparse, or a masked array.

    A masked cell is None, or NaN among floats.
    """
    if isinstance(values, Tensor):
        try:
            values = values.detach()
            if values.layout != torch.strided:
                check_room(values, where)
                values = values.cpu().to_dense()
            lacking = values.is_floating_point() and values.dtype not in IN_NUMPY
            dense: NDArray[Any] = (values.float() if lacking else values).numpy(force=True)
            return dense
        except (TypeError, RuntimeError) as error:
            kind = f"{values.layout} of {values.dtype} on {values.device}".replace("torch.", "")
            if is_out_of_memory(error):
                raise NoRoomError(f"{where}: out of memory for a dense copy of {kind}") from error
            raise InputError(
                f"{where}: expected a dense tensor of whole numbers or floats, got {kind}"
            ) from None
    array = np.asarray(values)
    if array.dtype.kind in "fiubOUT" and np.ma.is_masked(values):
        floats = array.dtype.kind == "f" and array.ndim
        array = array.astype(array.dtype if floats else object)
        array[np.ma.getmaskarray(values)] = np.nan if floats else None
    return array


def check_room(sparse: Tensor, where: str) -> None:
    """Refuse a sparse tensor whose dense form exceeds the free memory."""
    size = sparse.numel() * sparse.element_size()
    # Asking takes a millisecond, which small ones are spared.
    if size > 2**26 and size > (left := free()):
        raise NoRoomError(
            f"{where}: a sparse tensor of shape {tuple(sparse.shape)}, which takes "
            f"{show_bytes(size)} as a dense one; {show_bytes(left)} are free"
        )


def names_of(option: str, names: object) -> list[str]:
    """Names by id, of a list, an array or a column; anything else is refused."""
    listed = names.tolist() if hasattr(names, "tolist") else names
    if isinstance(listed, (str, bytes, Mapping, Set)) or not isinstance(listed, Iterable):
        raise InputError(f"{option}: expected a list of names, got {shown(names)}")
    listed = list(listed)
    for i, name in enumerate(listed):
        known = isinstance(name, (str, Integral)) and not isinstance(name, bool)
        if not known or not str(name).strip():
            raise InputError(f"{option}[{i}]: expected a name, got {shown(name)}")
        check_encodable(str(name), f"{option}[{i}]")
    return [str(name) for name in listed]


def by_split(data: object) -> dict[Split, object] | None:
    """The splits of a dictionary or of a tuple of three, or None for triples without splits."""
    if isinstance(data, Mapping) and "train" in data:
        found: dict[Split, object] = {}
        for key, part in data.items():
            if key not in SPLIT_NAMES or SPLIT_NAMES[key] in found:
                raise InputError(
                    f"data: {shown(key)}: expected one each of train, valid and test, got"
                    f" {', '.join(map(shown, data))}"
                )
            found[SPLIT_NAMES[key]] = part
        # Train first, whose names tell a first triple of the others from a header.
        return {split: found[split] for split in SPLITS if split in found}
    if isinstance(data, tuple) and len(data) == 3 and all(map(_is_table, data)):
        return dict(zip(("train", "valid", "test"), data, strict=True))
    return None


def _is_table(part: object) -> bool:
    if isinstance(part, (list, tuple)):
        return all(
            isinstance(row, (Sequence, Mapping)) and not isinstance(row, str) for row in part
        )
    return isinstance(part, Mapping) or library(part) in ("pandas", "pyarrow", "torch", "numpy")


def triples_of(
    data: Any,
    where: str,
    *,
    columns: str | Sequence[str | int] | None = None,
    entities: EntityNames | None = None,
) -> tuple[Triples, dict[str, Sequence[str]]]:
    """The triples of an object; of ids, also the names that come with it."""
    kind = library(data)
    if kind == "networkx":
        return list(_of_networkx(data, where, columns)), {}
    if kind == "dgl":
        return _of_dgl(data, where, columns, entities)
    if isinstance(columns, str):
        raise InputError("columns: one name is for graphs; expected three, of head, relation, tail")
    if kind in ("torch", "numpy") and hasattr(data, "ndim"):
        return _of_array(data, where), {}
    if kind == "pandas" and hasattr(data, "columns"):
        names = list(data.columns)
        listed = [data.iloc[:, i].tolist() for i in range(len(names))]
        return list(table_rows(names, listed, where, wanted=columns, hints=FRAME)), {}
    if kind == "pyarrow" and hasattr(data, "to_pylist"):
        return list(arrow_rows(data, where, columns)), {}
    if isinstance(data, Mapping):
        return _of_columns(data, where, columns), {}
    if isinstance(data, (str, bytes)) or not isinstance(data, Sequence):
        name = f"{type(data).__module__}.{type(data).__qualname__}"
        raise InputError(f"{where}: expected {KNOWN}; got {name}{_remedy(data)}")
    if data and all(isinstance(row, Mapping) for row in data):
        return list(_of_dictionaries(data, where, columns)), {}
    if columns is not None:
        raise InputError("columns: triples in a list have no other columns to choose from")
    return list(listed_rows(data, where)), {}


def _remedy(data: object) -> str:
    """What to do with an object that is not read, where it is one that is converted easily."""
    if library(data) == "torch_geometric":
        return f"; give {STACKED}"
    if library(data) == "pykeen":
        own = "{'train': x.training.triples, 'valid': x.validation.triples, ...}"
        return "; give its triples" if hasattr(type(data), "triples") else f"; give {own}"
    if hasattr(data, "to_pandas"):
        return "; call its to_pandas()"
    return "; make it a list" if isinstance(data, (Iterator, Set)) else ""


def _of_dictionaries(
    rows: Sequence[Mapping[Any, Any]], where: str, columns: Sequence[str | int] | None
) -> Iterator[Row]:
    """A list of dictionaries with the same keys."""
    names = list(rows[0])
    for i, row in enumerate(rows):
        if list(row) != names and set(row) != set(names):
            keys = ", ".join(map(shown, names))
            raise InputError(f"{where}[{i}]: expected the keys {keys}, got {shown(list(row))}")
    listed = [[row[name] for row in rows] for name in names]
    return table_rows(names, listed, where, wanted=columns)


def _of_array(data: Any, where: str) -> Triples:
    if data.ndim != 2 or data.shape[1] != 3:
        hint = "; transpose it" if data.ndim == 2 and data.shape[0] == 3 else ""
        raise InputError(
            f"{where}: expected an array of shape (n, 3), head, relation and tail in columns, got"
            f" {tuple(data.shape)}{hint}"
        )
    array = as_array(data, where)
    ids = _ids(array, where)
    if ids is not None:
        return ids
    if array.dtype.kind not in "OUT":
        kind = str(data.dtype).removeprefix("torch.")
        raise InputError(f"{where}: expected whole numbers or text, got {kind}; convert it first")
    return list(listed_rows(array.tolist(), where))


def _ids(values: Any, where: str) -> Tensor | None:
    """Whole numbers as int64, or None for anything else; those of more than 63 bits are refused."""
    array = as_array(values, where)
    if array.dtype.kind not in "iu":
        return None
    if array.dtype.kind == "u" and array.size and int(array.max()) >= LARGEST:
        raise InputError(
            f"{where}: expected ids below 2**63, got {array.max()}; as text they are names"
        )
    return torch.from_numpy(array.astype(np.int64))


def _check_column(column: Any, where: str) -> None:
    """Refuse what is no sequence, or has another number of dimensions than one."""
    if isinstance(column, (str, bytes, Mapping, Set)) or not hasattr(column, "__len__"):
        raise InputError(f"{where}: expected a column of names, got {shown(column)}")
    if getattr(column, "ndim", 1) != 1:
        raise InputError(f"{where}: expected one dimension, got {tuple(column.shape)}")


def _typed(kind: object, local: object) -> object:
    """The name of a local id, ``kind:local``; or what of the two is no part of a name."""
    for part in (kind, local):
        if not isinstance(part, (str, Integral)) or isinstance(part, bool):
            return part
    return f"{kind}:{local}"


def _of_columns(
    data: Mapping[Any, Any], where: str, columns: Sequence[str | int] | None
) -> Triples:
    """A dictionary of columns, as OGB's: local ids with ``head_type`` are named by their type."""
    if "edge_index" in data:
        raise InputError(f"{where}: expected head, relation and tail; of PyG give {STACKED}")
    left_out = [key for key in data if str(key).endswith("_neg")]
    if left_out:
        log.info("%s: %s: not read; ranking is against all entities", where, ", ".join(left_out))
    names = [key for key in data if key not in (*left_out, "head_type", "tail_type")]
    data = {
        key: as_array(column, f"{where}[{key!r}]")
        if isinstance(column, (Tensor, np.ndarray))
        else column
        for key, column in data.items()
        if key not in left_out
    }
    values = {key: data[key] for key in names}
    if {"head", "tail", "head_type", "tail_type"} <= data.keys():
        for key in ("head", "head_type", "tail", "tail_type"):
            _check_column(data[key], f"{where}[{key!r}]")
        for key in ("head", "tail"):
            kinds, ids = list(data[f"{key}_type"]), list(data[key])
            if len(ids) != len(kinds):
                raise InputError(f"{where}: expected {key} and {key}_type of one length")
            values[key] = [_typed(kind, i) for kind, i in zip(kinds, ids, strict=True)]
    if columns is None and {"head", "relation", "tail"} <= values.keys():
        names = ["head", "relation", "tail"]
    for key in names:
        _check_column(values[key], f"{where}[{key!r}]")
    sizes = {str(key): len(values[key]) for key in names}
    if len(set(sizes.values())) > 1:
        raise InputError(f"{where}: expected columns of one length, got {shown(sizes)}")
    if names == ["head", "relation", "tail"]:
        ids = [_ids(values[key], f"{where}[{key!r}]") for key in names]
        if all(column is not None and column.ndim == 1 for column in ids):
            return torch.stack([column for column in ids if column is not None], dim=1)
    listed = [
        values[key].tolist() if hasattr(values[key], "tolist") else values[key] for key in names
    ]
    return list(table_rows(names, listed, where, wanted=columns))


def _of_networkx(data: Any, where: str, attribute: object) -> Iterator[Row]:
    """The edges of a directed graph; the relation is an attribute, or the key of a multigraph."""
    if not data.is_directed():
        raise InputError(
            f"{where}: an undirected networkx graph; give a MultiDiGraph, as by"
            " networkx.MultiDiGraph(graph), which has each edge in both directions"
        )
    multi = data.is_multigraph()
    edges = (
        list(data.edges(keys=True, data=True))
        if multi
        else [(head, tail, 0, values) for head, tail, values in data.edges(data=True)]
    )
    others = [edge for edge in edges if not (multi and isinstance(edge[2], str))]
    if attribute is None and 0 < len(others) < len(edges):
        head, tail, key, _ = others[0]
        raise InputError(
            f"{where}: relations are the keys of some edges, but the edge from {shown(head)} to"
            f" {shown(tail)} has the key {shown(key)}; name an attribute with columns=, or give"
            " each edge its relation as key"
        )
    if attribute is None and others:
        known = sorted({name for *_, values in edges for name in values}, key=str)
        found = [name for name in known if str(name).casefold() in HEADERS[1]]
        if len(found) != 1:
            names = ", ".join(map(shown, known[:20])) or "none"
            raise InputError(
                f"{where}: expected relations as keys of the edges, or in an attribute that"
                f" columns= names; attributes of the edges: {names}"
            )
        attribute = found[0]
    having = sum("split" in values for *_, values in edges)
    splits = 0 < having == len(edges) and attribute != "split"
    if 0 < having < len(edges):
        log.warning("%s: split is not read: only %d of %d edges have it", where, having, len(edges))
    for i, (head, tail, key, values) in enumerate(edges):
        if attribute is not None and attribute not in values:
            edge = f"the edge from {shown(head)} to {shown(tail)}"
            raise InputError(f"{where}: {edge} has no attribute {shown(attribute)}")
        row = head, key if attribute is None else values[attribute], tail
        split = None
        if splits:
            remedy = "remove the attribute split from all edges to have them split"
            split = split_of(values["split"], f"{where}, edge {i}", remedy)
        yield named_row(row, split, f"{where}, edge {i}", EDGES)


def splits_of_dgl(data: Any, where: str) -> Tensor | None:
    """The number of the split of each edge of a DGL graph, or None where not all edges have one.

    It is the edge data ``split``, as `KnowledgeGraph.to_dgl` writes it: 0, 1 and 2 for train, valid
    and test.
    """
    if library(data) != "dgl":
        return None
    types = [etype for etype in data.canonical_etypes if data.num_edges(etype)]
    having = ["split" in data.edges[etype].data for etype in types]
    if not any(having) or not all(having):
        if any(having):
            log.warning("%s: split is not read: not all types of edges have it", where)
        return None
    parts = [_ids(data.edges[etype].data["split"], where) for etype in types]
    numbers = torch.cat([part for part in parts if part is not None and part.ndim == 1])
    if len(numbers) != data.num_edges() or not set(numbers.unique().tolist()) <= {0, 1, 2}:
        raise InputError(
            f"{where}: edge data split: expected 0, 1 and 2 for train, valid and test; remove it"
            " to have the edges split"
        )
    return numbers


def _of_dgl(
    graph: Any, where: str, attribute: object, entities: EntityNames | None
) -> tuple[Tensor, dict[str, Sequence[str]]]:
    """The edges of a heterograph, or of a graph whose edges have a type as data."""
    names = _names_of_nodes(graph, entities)
    types = graph.canonical_etypes
    if len(types) == 1:
        found = [name for name in ("etype", "_TYPE", "rel_type") if name in graph.edata]
        key = attribute if attribute is not None else next(iter(found), None)
        if key is not None:
            ids = _ids(graph.edata[key], where) if key in graph.edata else None
            if ids is None or ids.ndim != 1:
                raise InputError(
                    f"{where}: columns: no edge data {shown(key)} of whole numbers, one for each"
                    " edge"
                )
            heads, tails = (ends.cpu().long() for ends in graph.edges(order="eid"))
            return torch.stack((heads, ids, tails), 1), {"entities": names}
    elif attribute is not None:
        raise InputError("columns: a heterograph's relations are its types of edges")
    if len(types) == 1 and types[0] == ("_N", "_E", "_N"):
        raise InputError(
            f"{where}: a DGL graph without types of edges; expected a heterograph, or ids of"
            " relations in graph.edata['etype']"
        )
    counts = [0, *(graph.num_nodes(kind) for kind in graph.ntypes)]
    first = dict(zip(graph.ntypes, np.cumsum(counts).tolist(), strict=False))
    plain = [etype for _, etype, _ in types]
    parts = []
    for i, etype in enumerate(types):
        heads, tails = (ends.cpu().long() for ends in graph.edges(etype=etype, order="eid"))
        ids = torch.full_like(heads, i)
        parts.append(torch.stack((heads + first[etype[0]], ids, tails + first[etype[2]]), 1))
    relations = [":".join(etype) if plain.count(etype[1]) > 1 else etype[1] for etype in types]
    return torch.cat(parts), {"entities": names, "relations": relations}


def _names_of_nodes(graph: Any, entities: EntityNames | None) -> list[str]:
    """The names of nodes, one type after the other; by default numbers, of several by type."""
    kinds = graph.ntypes
    known = ", ".join(map(shown, kinds))
    if not isinstance(entities, Mapping):
        if len(kinds) == 1:
            return list(map(str, range(graph.num_nodes())) if entities is None else entities)
        if entities is not None:
            raise InputError(f"entities: expected a dictionary of names by type of node: {known}")
        entities = {}
    for kind in entities:
        if kind not in kinds:
            raise InputError(f"entities: {shown(kind)}: the types of nodes are {known}")
    names: list[str] = []
    for kind in kinds:
        size, own = graph.num_nodes(kind), entities.get(kind)
        if own is not None and len(own) != size:
            raise InputError(f"entities: {kind}: expected {size} names, got {len(own)}")
        names += [f"{kind}:{i}" for i in range(size)] if own is None else own
    return names
