"""Every kind of input is loaded, or refused in a sentence that says how to convert it."""

import gzip
import json
import logging
import os
import sqlite3
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pandas
import pytest
import torch

from dans.data import sources
from dans.data.graph import SPLITS, KnowledgeGraph, Split
from dans.data.objects import names_of
from dans.data.sources import load
from dans.errors import InputError
from tests.data.conftest import Shipped

Names = tuple[str, str, str]

#: Ten triples; no entity and no relation occurs once.
TRIPLES = [
    *[(f"e{i}", "knows", f"e{(i + 1) % 5}") for i in range(5)],
    *[(f"e{i}", "likes", f"e{(i + 2) % 5}") for i in range(5)],
]
IDS = torch.tensor([[int(h[1]), int(r == "likes"), int(t[1])] for h, r, t in TRIPLES])
FRAME = pandas.DataFrame(TRIPLES, columns=["head", "relation", "tail"])


def named(kg: KnowledgeGraph, split: Split) -> list[Names]:
    return [
        (kg.entities[h], kg.relations[r], kg.entities[t]) for h, r, t in kg.split(split).tolist()
    ]


def all_named(kg: KnowledgeGraph) -> set[Names]:
    return {triple for split in SPLITS for triple in named(kg, split)}


def masked(triples: np.ndarray) -> np.ma.MaskedArray:
    """An array whose cell at the tail of triple 3 is masked."""
    mask = np.zeros(triples.shape, dtype=bool)
    mask[3, 2] = True
    return np.ma.array(triples, mask=mask)


def text(separator: str = "\t", triples: list[Names] = TRIPLES, before: str = "") -> str:
    return before + "".join(f"{separator.join(triple)}\n" for triple in triples)


def quoted(triples: list[Names] = TRIPLES) -> str:
    return "".join(",".join(f'"{name}"' for name in triple) + "\n" for triple in triples)


def wrote(name: str, content: str | bytes) -> Callable[[Path], Path]:
    """A file, and the folders around it."""

    def write(folder: Path) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def folder(**files: str) -> Callable[[Path], Path]:
    """A folder of files; two underscores stand for the dot of a suffix."""

    def write(root: Path) -> Path:
        for name, content in files.items():
            wrote(f"mine/{name.replace('__', '.')}", content)(root)
        return root / "mine"

    return write


def given(make: Callable[[], object]) -> Callable[[Path], object]:
    return lambda _: make()


def terms(triples: list[Names] = TRIPLES) -> str:
    return "".join(f":{h} :{r} :{t} .\n" for h, r, t in triples)


def parquet(root: Path) -> Path:
    FRAME.to_parquet(root / "mine.parquet")
    return root / "mine.parquet"


def spreadsheet(root: Path) -> Path:
    with zipfile.ZipFile(root / "mine.xlsx", "w") as file:
        file.writestr("sheet", "")
    return root / "mine.xlsx"


def database(root: Path) -> Path:
    connection = sqlite3.connect(root / "mine.db")
    connection.execute("create table triples (head, relation, tail)")
    connection.close()
    return root / "mine.db"


def heterograph(*types: str) -> object:
    from dans.data._dgl import dgl

    first, last = types
    ids = {name: IDS[IDS[:, 1] == i] for i, name in enumerate(("knows", "likes"))}
    edges = {(first, name, last): (rows[:, 0], rows[:, 2]) for name, rows in ids.items()}
    return dgl.heterograph(edges, {first: 5, last: 5})


def homogeneous(**data: torch.Tensor) -> object:
    from dans.data._dgl import dgl

    graph = dgl.graph((IDS[:, 0], IDS[:, 2]))
    graph.edata.update(data)
    return graph


def multigraph(**attribute: str) -> object:
    graph = networkx.MultiDiGraph()
    for head, relation, tail in TRIPLES:
        if attribute:
            graph.add_edge(head, tail, **{attribute["relation"]: relation})
        else:
            graph.add_edge(head, tail, key=relation)
    return graph


OPENKE = {
    "entity2id__txt": "5\n" + "".join(f"e{i}\t{i}\n" for i in range(5)),
    "relation2id__txt": "2\nknows\t0\nlikes\t1\n",
    "train2id__txt": "8\n" + "".join(f"{h} {t} {r}\n" for h, r, t in IDS.tolist()[:8]),
    "valid2id__txt": "1\n{} {} {}\n".format(*IDS[8, [0, 2, 1]].tolist()),
    "test2id__txt": "1\n{} {} {}\n".format(*IDS[9, [0, 2, 1]].tolist()),
}
DGLKE = {
    "entities__dict": "".join(f"{i}\te{i}\n" for i in range(5)),
    "relations__dict": "0\tknows\n1\tlikes\n",
}
THREE = {"train": TRIPLES[:8], "valid": TRIPLES[8:9], "test": TRIPLES[9:]}
COLUMNS = {"head": IDS[:, 0].numpy(), "relation": IDS[:, 1].numpy(), "tail": IDS[:, 2].numpy()}
NAMED = {"entities": [f"e{i}" for i in range(5)], "relations": ["knows", "likes"]}

#: What is loaded as the ten triples, 8, 1 and 1 in train, valid and test: input, options.
LOADED: dict[str, tuple[Callable[[Path], object], dict[str, Any]]] = {
    "TSV": (wrote("mine.tsv", text()), {}),
    "TSV, gzip, header": (wrote("m.tsv.gz", gzip.compress(text(before="h\tr\tt\n").encode())), {}),
    "text, spaces": (wrote("mine.txt", text(" ")), {}),
    "CSV": (wrote("mine.csv", text(",")), {}),
    "CSV, quoted, header": (wrote("mine.csv", "head,relation,tail\n" + quoted()), {}),
    "CSV, semicolons, byte order mark, CRLF": (
        wrote("mine.csv", "\ufeff" + text(";").replace("\n", "\r\n")),
        {},
    ),
    "CSV, semicolons, commas in names": (
        wrote("m.csv", text(";", [(f"{h},{h}", r, t) for h, r, t in TRIPLES])),
        {},
    ),
    "CSV, header in another order": (
        wrote("m.csv", text(",", [(t, h, r) for h, r, t in TRIPLES], "object,subject,predicate\n")),
        {},
    ),
    "CSV, columns by name": (
        wrote("m.csv", "".join(f"7,{t},{r},{h}\n" for t, r, h in [("b", "p", "a"), *[
            (t, r, h) for h, r, t in TRIPLES]])),
        {"columns": ("a", "p", "b")},
    ),
    "CSV, columns by position": (
        wrote("m.csv", "".join(f"7,{t},{r},{h}\n" for h, r, t in TRIPLES)),
        {"columns": (3, 2, 1)},
    ),
    "CSV, header, columns by position": (
        wrote("m.csv", "head,x,relation,y,tail\n" + "".join(
            f"{h},7,{r},8,{t}\n" for h, r, t in TRIPLES)),
        {"columns": (0, 2, 4)},
    ),
    "CSV, two roles of the header in place": (
        wrote("m.csv", text(",", before="head,how,tail\n")),
        {},
    ),
    "CSV, unknown header, said": (
        wrote("m.csv", text(",", before="drug,acts,disease\n")),
        {"header": True},
    ),
    "another suffix, delimiter": (wrote("mine.data", text("^")), {"delimiter": "^"}),
    "CSV with a column split": (
        wrote("m.csv", text(",", [
            (*triple, split) for split, part in THREE.items() for triple in part  # type: ignore[misc]
        ], "head,relation,tail,split\n")),
        {},
    ),
    "Parquet": (parquet, {}),
    "folder of TSV": (folder(**{f"{s}__tsv": text("\t", t) for s, t in THREE.items()}), {}),
    "folder of CSV, validation": (
        folder(
            train__csv="subject,predicate,object\n" + text(",", TRIPLES[:8]),
            validation__csv=text(",", TRIPLES[8:9]),
            test__csv=quoted(TRIPLES[9:]),
        ),
        {},
    ),
    "folder with header=True": (
        folder(**{f"{s}__tsv": text("\t", t, "a\tb\tc\n") for s, t in THREE.items()}),
        {"header": True},
    ),
    "OpenKE": (folder(**OPENKE), {}),
    "DGL-KE, names": (
        folder(**DGLKE, **{f"{s}__txt": text("\t", t) for s, t in THREE.items()}),
        {},
    ),
    "DGL-KE, ids": (
        folder(
            **DGLKE,
            train__tsv="".join("{}\t{}\t{}\n".format(*row) for row in IDS.tolist()[:8]),
            valid__tsv="{}\t{}\t{}\n".format(*IDS[8].tolist()),
            test__tsv="{}\t{}\t{}\n".format(*IDS[9].tolist()),
        ),
        {},
    ),
    "list of tuples": (given(lambda: list(TRIPLES)), {}),
    "list of dictionaries": (
        given(lambda: [{"o": t, "s": h, "p": r, "weight": 1} for h, r, t in TRIPLES]),
        {},
    ),
    "dictionary of splits": (given(lambda: {"train": THREE["train"], "dev": THREE["valid"],
                                            "test": THREE["test"]}), {}),
    "dictionary of files": (
        lambda root: {
            split: str(wrote(f"{split}.data", text("|", part))(root))
            for split, part in THREE.items()
        },
        {"delimiter": "|"},
    ),
    "list of arrays": (given(lambda: list(np.array(TRIPLES))), {}),
    "tuple of three": (given(lambda: tuple(THREE.values())), {}),
    "NumPy, text": (given(lambda: np.array(TRIPLES)), {}),
    "NumPy, ids": (given(lambda: IDS.numpy().astype(np.uint32)), NAMED),
    "NumPy, ids, no cell masked": (given(lambda: np.ma.array(IDS.numpy())), NAMED),
    "torch, ids, sparse": (given(lambda: IDS.to_sparse()), NAMED),
    "columns, sparse": (
        given(lambda: {name: IDS[:, i].to_sparse() for i, name in enumerate(COLUMNS)}),
        NAMED,
    ),
    "torch, ids, three": (given(lambda: (IDS[:8].int(), IDS[8:9].int(), IDS[9:].int())), NAMED),
    "OGB": (
        given(lambda: {
            split: {**{key: column[part] for key, column in COLUMNS.items()}, "head_neg": IDS}
            for split, part in
            {"train": slice(8), "valid": slice(8, 9), "test": slice(9, 10)}.items()
        }),
        NAMED,
    ),
    "columns, a number beside them": (given(lambda: {**COLUMNS, "num_nodes": 5}), NAMED),
    "data frame": (given(lambda: FRAME), {}),
    "data frame, columns by name": (
        given(lambda: FRAME.rename(columns={"head": "x", "tail": "y"})[["y", "relation", "x"]]),
        {"columns": ("x", "relation", "y")},
    ),
    "pyarrow": (given(lambda: pytest.importorskip("pyarrow").Table.from_pandas(FRAME)), {}),
    "networkx, keys": (given(multigraph), {}),
    "networkx, attribute": (given(lambda: multigraph(relation="predicate")), {}),
    "networkx, attribute by name": (
        given(lambda: multigraph(relation="how")),
        {"columns": "how"},
    ),
    "DGL heterograph": (
        given(lambda: heterograph("person", "person")),
        {"entities": NAMED["entities"]},
    ),
    "DGL with etype": (given(lambda: homogeneous(etype=IDS[:, 1])), NAMED),
    "names in arrays and columns": (
        given(lambda: IDS),
        {"entities": np.array(NAMED["entities"]), "relations": pandas.Series(NAMED["relations"])},
    ),
    "TSV of four columns, commas in names": (
        wrote("m.tsv", "".join(f"{h}\t{r}\t{t}\t1, 2, 3\n" for h, r, t in TRIPLES)),
        {"columns": (0, 1, 2)},
    ),
    "CSV, spaces around commas": (
        wrote("m.csv", text(" , ", [(f" {h}", r, f"{t} ") for h, r, t in TRIPLES])),
        {},
    ),
    "DGL, etype by name": (
        given(lambda: homogeneous(how=IDS[:, 1])),
        {"columns": "how", **NAMED},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", LOADED)
def test_every_kind_of_input_gives_the_same_triples(kind: str, tmp_path: Path) -> None:
    make, options = LOADED[kind]
    kg = load(make(tmp_path), **options)
    if kind == "CSV, semicolons, commas in names":
        assert ("e0,e0", "knows", "e1") in all_named(kg)
    else:
        assert all_named(kg) == set(TRIPLES)
    assert [len(kg.split(split)) for split in SPLITS] == [8, 1, 1]
    assert bool(kg.seen.all())
    if any(
        kind.startswith(word) for word in ("folder", "OpenKE", "DGL-KE", "dict", "tuple", "OGB")
    ):
        assert [named(kg, split) for split in SPLITS] == list(THREE.values())


PREFIX = "@prefix : <http://x/> .\n"
RDF_TRIPLES = {tuple(f"http://x/{name}" for name in triple) for triple in TRIPLES}
RDF: dict[str, tuple[str, str]] = {
    "N-Triples": (
        "mine.nt",
        "".join(f"<http://x/{h}> <http://x/{r}> <http://x/{t}> .\n" for h, r, t in TRIPLES),
    ),
    "Turtle": ("mine.ttl", PREFIX + terms()),
    "N-Quads": (
        "mine.nq",
        "".join(
            f"<http://x/{h}> <http://x/{r}> <http://x/{t}> <http://x/g> .\n" for h, r, t in TRIPLES
        ),
    ),
    "TriG": ("mine.trig", f"{PREFIX}:g {{ {terms()} }}\n"),
    "RDF/XML": (
        "mine.rdf",
        '<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://x/">'
        + "".join(
            f'<r:Description r:about="http://x/{h}"><{r} r:resource="http://x/{t}"/>'
            "</r:Description>"
            for h, r, t in TRIPLES
        )
        + "</r:RDF>",
    ),
}


@pytest.mark.parametrize("kind", RDF)
def test_every_syntax_of_rdf_gives_the_same_triples(kind: str, tmp_path: Path) -> None:
    if kind != "N-Triples":
        pytest.importorskip("rdflib")
    name, content = RDF[kind]
    kg = load(wrote(name, content)(tmp_path))
    assert all_named(kg) == RDF_TRIPLES
    packed = load(wrote(f"packed/{name}.gz", gzip.compress(content.encode()))(tmp_path))
    assert (packed.name, packed.digest) == ("mine", kg.digest)


#: What is refused, and the words of the sentence.
REFUSED: dict[str, tuple[Callable[[Path], object], dict[str, Any], str]] = {
    "nothing there": (
        lambda root: root / "none.csv",
        {},
        "none.csv': no such file or folder$",
    ),
    "spreadsheet": (
        spreadsheet,
        {},
        r"\.xlsx, is a spreadsheet: save the sheet as CSV, or give pan",
    ),
    "spreadsheet called CSV": (
        lambda root: spreadsheet(root).rename(root / "mine.csv"),
        {},
        "mine.csv: cannot be read as .csv; it is an archive or a spreadsheet: unpack it, or save",
    ),
    **{
        code: (
            wrote("mine.csv", f"\ufeff{text(',')}".encode(code)),
            {},
            f"mine.csv: cannot be read as .csv; it is text in {code[:6]}: save it in UTF-8",
        )
        for code in ("UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE")
    },
    "Latin-1": (wrote("mine.csv", "é,r,b\n".encode("latin-1")), {}, "is not UTF-8; save the file"),
    "Parquet, packed": (wrote("mine.parquet.gz", b""), {}, "is Parquet packed by gzip: unpack it"),
    "archive": (wrote("mine.zip", b"PK\x03\x04"), {}, "is an archive: unpack it"),
    "JSON": (wrote("mine.json", json.dumps(TRIPLES)), {}, r"is JSON: give json.load\(file\)"),
    "lines of JSON": (wrote("mine.jsonl", "{}"), {}, r"read_json\(path, lines=True, dtype=False\)"),
    "JSON-LD": (wrote("mine.jsonld", "{}"), {}, "is JSON-LD, .*: convert it to N-Triples"),
    "pickle": (wrote("mine.pkl", b"\x80\x04."), {}, "is a pickle, which is never loaded: give the"),
    "NumPy file": (wrote("mine.npy", b"\x93NUMPY"), {}, r"is arrays: give numpy.load\(path\)"),
    "database": (database, {}, "is a database: give pandas.read_sql"),
    "GraphML": (wrote("mine.graphml", "<graphml/>"), {}, "give networkx.read_graphml"),
    "unknown suffix": (
        wrote("mine.data", text()),
        {},
        "suffix .csv; read are",
    ),
    "no suffix": (wrote("mine", text()), {}, "its kind, without a suffix, is unknown"),
    "empty": (wrote("mine.csv", ""), {}, "mine.csv: the file holds no triple"),
    "four columns": (
        wrote("mine.csv", "a,b,c,d\n"),
        {},
        r"mine.csv:1: found 4 columns \('a', 'b', 'c', 'd'\), expected 3: .* --columns of .*=",
    ),
    "one column": (
        wrote("mine.csv", "a b\n"),
        {},
        "found 1 column .*: .* tabs, or name .* with --delimiter of .*delimiter= of dans.load",
    ),
    "uneven": (wrote("mine.csv", "a,b,c\na,b\n"), {}, "mine.csv:2: found 2 columns, expected 3 as"),
    "open quote": (
        wrote("mine.csv", 'a,b,c\n"a,b,c\n'),
        {},
        "mine.csv: not CSV after line 1: unexp",
    ),
    "empty name": (wrote("mine.csv", "a,b,c\na,,c\n"), {}, "mine.csv:2: the relation is empty"),
    "no such column": (
        wrote("mine.csv", "head,how,tail\na,b,c\n"),
        {"columns": ("head", "hwo", "tail")},
        "columns: 'hwo': no such column in .*mine.csv:1; known: 'head', 'how', 'tail'; did",
    ),
    "no such position": (
        wrote("mine.csv", "a,b,c\n"),
        {"columns": (0, 1, 3)},
        "columns: 3: .*mine.csv:1 has columns 0 to 2",
    ),
    "a split of another name": (
        wrote("mine.csv", "head,relation,tail,split\na,b,c,holdout\n"),
        {},
        "mine.csv:2: split: known: train, valid, test, .*; got 'holdout'; drop that column, or",
    ),
    "not Parquet": (wrote("mine.parquet", text()), {}, "mine.parquet: not a Parquet file"),
    "bad Turtle": (
        wrote("mine.ttl", ":a :b"),
        {},
        "mine.ttl: not turtle that rdflib can read: at l",
    ),
    "folder with one file": (
        folder(triples__csv=text(",")),
        {},
        "no file for train: there is none; expected train.tsv, .*name it: .*triples.csv",
    ),
    "folder with a spreadsheet": (
        folder(train__tsv=text(), valid__xlsx=""),
        {},
        "no file for valid: valid.xlsx is none that can be read; expected valid.tsv, valid.txt",
    ),
    "two files of a split": (
        folder(train__tsv=text(), train__csv=text(",")),
        {},
        "train.tsv and train.csv both claim to be the train split; keep one",
    ),
    "OpenKE, wrong count": (
        folder(**{**OPENKE, "test2id__txt": "2\n0 1 0\n"}),
        {},
        "test2id.txt:1: says 2 lines, but there are 1",
    ),
    "OpenKE, no such id": (
        folder(**{**OPENKE, "test2id__txt": "1\n0 9 0\n"}),
        {},
        "test2id.txt:2: no name has the id '9'",
    ),
    "DGL-KE, no such id": (
        folder(**DGLKE, train__txt=text("\t", [("0", "1", "e3")])),
        {},
        "train.txt:1: no name has the id 'e3'",
    ),
    **{
        f"masked {kind}": (given(lambda make=make: {"train": make()}), {}, r"\['train'\]" + place)
        for kind, make, place in [
            ("ids", lambda: masked(IDS.numpy()), r"\[3\]: a missing value; leave such rows out"),
            ("names", lambda: masked(np.array(TRIPLES)), r"\[3\]: a missing value; leave such"),
            ("rows", lambda: list(masked(IDS.numpy())), r"\[3\]: a missing value; leave such"),
            (
                "cells",
                lambda: [("a", "r", "b"), ("b", "r", np.ma.masked)],
                r"\[1\]: a missing value; leave such",
            ),
            (
                "columns",
                lambda: dict(zip(FRAME.columns, masked(IDS.numpy()).T, strict=True)),
                r"\[3\]: a missing value; leave such",
            ),
            (
                "typed columns",
                lambda: {
                    **dict(zip(FRAME.columns, masked(IDS.numpy()).T, strict=True)),
                    **{"head_type": ["a"] * 10, "tail_type": ["b"] * 10},
                },
                r"\[3\]: a missing value; leave such",
            ),
        ]
    },
    "typed column, missing id": (
        given(
            lambda: {
                **{**COLUMNS, "head": pandas.Series([*range(9), None], dtype="Int64")},
                **{"head_type": ["a"] * 10, "tail_type": ["b"] * 10},
            }
        ),
        {},
        r"\[9\]: a missing value; leave such",
    ),
    "typed column, floats": (
        given(
            lambda: {
                **{**COLUMNS, "head": [*range(9), 1.0]},
                **{"head_type": ["a"] * 10, "tail_type": ["b"] * 10},
            }
        ),
        {},
        r"\[9\]: expected text or a whole number, got 1.0",
    ),
    "typed column, missing type": (
        given(
            lambda: {**COLUMNS, "head_type": ["a"] * 9 + [float("nan")], "tail_type": ["b"] * 10}
        ),
        {},
        r"\[9\]: a missing value; leave such",
    ),
    "floats": (given(lambda: IDS.float()), {}, r"expected whole numbers or text, got float32"),
    "(3, n)": (given(lambda: IDS.T), {}, r"of shape \(n, 3\), .*got \(3, 10\); transpose it"),
    "whole floats": (
        given(lambda: [("a", 1.0, "b")]),
        {},
        r"data\[0\]: expected text or a whole number, got 1.0; convert it first, as by int",
    ),
    "whole floats, frame": (
        given(lambda: FRAME.assign(tail=1.0)),
        {},
        r"data\[0\]: expected text or a whole number, got 1.0; convert it first, as by astype",
    ),
    "header=True, two roles in other places": (
        wrote("mine.csv", "source,target,weight\na,b,1\n"),
        {"header": True},
        "the header 'source', 'target', 'weight' does not say .*; name three so, .*dans.load.$",
    ),
    "missing value, list": (
        given(lambda: [("a", None, "b")]),
        {},
        r"data\[0\]: a missing value; leave such rows out first$",
    ),
    "missing value, networkx": (
        given(lambda: networkx.DiGraph([("a", "b", {"type": None})])),
        {},
        "data, edge 0: a missing value; remove such edges first$",
    ),
    "two columns, frame": (
        given(lambda: FRAME[["head", "tail"]]),
        {},
        "found 2 columns .*, expected 3: head, relation, tail; a triple needs all three$",
    ),
    "a dictionary with a number beside columns": (
        given(lambda: {**COLUMNS, "num_nodes": 5, "tail": 1}),
        {},
        r"data\['tail'\]: expected a column of names, got 1",
    ),
    "columns that are none": (
        given(lambda: {"head": 1, "relation": 2, "tail": 3}),
        {},
        r"data\['head'\]: expected a column of names, got 1",
    ),
    "columns of two dimensions": (
        given(lambda: {**COLUMNS, "head": IDS}),
        {},
        r"data\['head'\]: expected one dimension, got \(10, 3\)",
    ),
    "types of another length": (
        given(lambda: {**COLUMNS, "head_type": ["a"], "tail_type": ["a"] * 10}),
        {},
        "data: expected head and head_type of one length",
    ),
    "a type that is no column": (
        given(lambda: {**COLUMNS, "head_type": 3, "tail_type": 3}),
        {},
        r"data\['head_type'\]: expected a column of names, got 3",
    ),
    "DGL, data of two dimensions": (
        given(lambda: homogeneous(etype=IDS[:, 1:2])),
        {},
        "no edge data 'etype' of whole numbers, one for each edge",
    ),
    "DGL, names of several types in a list": (
        given(lambda: heterograph("a", "b")),
        {"entities": ["x"] * 10},
        "entities: expected a dictionary of names by type of node: 'a', 'b'",
    ),
    "DGL, names of an unknown type": (
        given(lambda: heterograph("a", "b")),
        {"entities": {"c": ["x"]}},
        "entities: 'c': the types of nodes are 'a', 'b'",
    ),
    "networkx, some keys": (
        given(lambda: networkx.MultiDiGraph([("a", "b", "r"), ("b", "c", 0)])),
        {},
        "but the edge from 'b' to 'c' has the key 0; name an attribute",
    ),
    "graphs with other types": (
        given(lambda: {"train": heterograph("a", "b"), "test": heterograph("a", "c")}),
        {},
        r"data\['test'\]: expected the same types of nodes and edges as in train",
    ),
    "negative ids": (given(lambda: IDS - 1), {}, "expected ids of at least 0, got -1"),
    "large ids of NumPy": (
        given(lambda: IDS.numpy().astype(np.uint64) + np.uint64(2**63)),
        {},
        r"data: expected ids below 2\*\*63, got 92233720368547758\d\d; as text they are names",
    ),
    "too few names": (given(lambda: IDS), {"entities": ["a"]}, "1 names, but there is the id 4"),
    "missing value": (
        given(lambda: FRAME.replace("e3", float("nan"))),
        {},
        r"data\[2\]: a missing value; leave such rows out first, as by dropna\(\)",
    ),
    "data frame of four": (
        given(lambda: FRAME.assign(more=1).rename(columns={"head": "a"})),
        {},
        r"found 4 columns \('a', 'relation', 'tail', 'more'\), expected 3: .* \(columns=",
    ),
    "pairs": (given(lambda: [("a", "b")]), {}, r"data\[0\]: expected three names, head, rel"),
    "ids and names": (
        given(lambda: {"train": IDS, "test": TRIPLES}),
        {},
        "expected ids in each split, or names in each; got both",
    ),
    "unknown split": (
        given(lambda: {"train": IDS, "eval": IDS}),
        {},
        "'eval': expected one each of train, valid and test",
    ),
    "a set": (
        given(lambda: set(TRIPLES)),
        {},
        "expected a name, a path, .*; got builtins.set; make",
    ),
    "a generator": (given(lambda: iter(TRIPLES)), {}, "got builtins.list_iterator; make it a list"),
    "edge_index": (
        given(lambda: {"edge_index": IDS.T[:2], "edge_type": IDS[:, 1]}),
        {},
        "of PyG give torch.stack",
    ),
    "undirected": (
        given(lambda: networkx.Graph([("a", "b")])),
        {},
        r"undirected networkx graph; give .*networkx.MultiDiGraph\(graph\)",
    ),
    "two roles of three": (
        wrote("mine.csv", "source,target,weight\na,b,1.0\n"),
        {},
        r"mine.csv:1: the header 'source', 'target', 'weight' does not say .* \(columns=.*=False",
    ),
    "two roles of three and a weight": (
        wrote("mine.csv", "source,weight,target\na,1,b\n"),
        {},
        r"'weight', 'target' does not say .* \(columns=.*=False",
    ),
    "two roles of three, frame": (
        given(lambda: pandas.DataFrame({"source": ["a"], "target": ["b"], "weight": [1]})),
        {},
        r"data: the header 'source', .* by header or position, with .*\(columns= of dans.load\)$",
    ),
    "a column split, all valid": (
        wrote("mine.csv", "head,relation,tail,split\na,b,c,valid\n"),
        {},
        "mine.csv: holds no triple to train on: the split of none is train",
    ),
    "a column split in a folder": (
        folder(train__csv="head,relation,tail,split\na,b,c,train\nc,b,a,test\n"),
        {},
        "train.csv: read as train, but a triple in it has the split test; give all",
    ),
    "a column split in a dictionary of files": (
        lambda root: {"train": wrote("t.csv", "head,relation,tail,split\nc,b,a,dev\n")(root)},
        {},
        r"data\['train'\]: read as train, but a triple in it has the split valid",
    ),
    "networkx, split of another name": (
        given(lambda: networkx.DiGraph([("a", "b", {"type": "r", "split": 1})])),
        {},
        "edge 0: split: known: train, .*; got 1; remove the attribute",
    ),
    "DGL, split of another number": (
        given(lambda: homogeneous(etype=IDS[:, 1], split=IDS[:, 1] + 2)),
        {},
        "edge data split: expected 0, 1 and 2",
    ),
    "networkx without relations": (
        given(lambda: networkx.DiGraph([("a", "b", {"weight": 1})])),
        {},
        "relations as keys .* that columns= names; attributes of the edges: 'weight'",
    ),
    "networkx, some without": (
        given(lambda: networkx.DiGraph([("a", "b", {"type": "r"}), ("b", "c")])),
        {},
        "the edge from 'b' to 'c' has no attribute 'type'",
    ),
    "DGL without types": (given(homogeneous), {}, r"expected a heterograph, or .*edata\['etype'\]"),
    "DGL, no such data": (
        given(homogeneous),
        {"columns": "how"},
        "no edge data 'how' of whole numbers",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_refused_with_how_to_convert(kind: str, tmp_path: Path) -> None:
    make, options, sentence = REFUSED[kind]
    with pytest.raises(InputError, match=sentence):
        load(make(tmp_path), **options)


@pytest.mark.parametrize(
    ("make", "options", "why"),
    [
        (folder(train__tsv=text()), {"split": (0.5, 0.25, 0.25)}, "split: has no effect on .*mine"),
        (folder(train__tsv=text()), {"split": (0.8, 0.1, 0.1)}, "split: has no effect on .*mine"),
        (folder(train__tsv=text()), {"seed": 0}, "seed: has no effect on .*mine"),
        (given(lambda: "umls"), {"seed": 3}, "seed: has no effect on a data set with a card"),
        (given(lambda: "umls"), {"inverse_leakage": "allow"}, "inverse_leakage: has no effect"),
        (given(lambda: {"train": TRIPLES}), {"seed": 0}, "seed: has no effect on data in memory"),
        (folder(train__tsv=text()), {"literals": "keep"}, "literals: has no effect on .*mine"),
        (folder(train__tsv=text()), {"literals": "drop"}, "literals: has no effect on .*mine"),
        (wrote("mine.nt", ""), {"columns": (0, 1, 2)}, "columns: has no effect on .*mine.nt"),
        (folder(train__nt=""), {"delimiter": "|"}, "delimiter: has no effect on .*mine"),
        (wrote("mine.tsv", text()), {"blank_nodes": "drop"}, "blank_nodes: has no effect"),
        (wrote("mine.tsv", text()), {"labelled": ["train"]}, "labelled: only for a folder"),
        (
            given(lambda: "umls"),
            {"header": True},
            "header: has no effect on a data set with a card",
        ),
        (given(lambda: TRIPLES), {"entities": ["a"]}, "entities: has no effect on triples of na"),
        (given(lambda: TRIPLES), {"delimiter": ","}, "delimiter: has no effect on data in memory"),
        (
            given(lambda: KnowledgeGraph.of(TRIPLES)),
            {"header": False},
            "header: has no effect on a",
        ),
        (given(lambda: TRIPLES), {"split": (80, 10, 10)}, r"sum to 1, such as \(.8, .1, .1\); got"),
        (given(lambda: TRIPLES), {"split": 0.8}, r"split: expected shares such as \(.8, .1, .1\)"),
        (given(lambda: TRIPLES), {"inverse_leakage": "no"}, "inverse_leakage: known: allow, avoid"),
        (
            given(lambda: "umls"),
            {"columns": (0, 1)},
            "columns: expected the names or the positions",
        ),
        (given(lambda: "umls"), {"delimiter": "::"}, "delimiter: expected one character.* '::'"),
        (given(lambda: "umls"), {"delimiter": 3}, "delimiter: expected one character, .* got 3"),
        (given(lambda: "umls"), {"columns": 3}, "columns: expected the names or the positions"),
        (given(lambda: "umls"), {"header": "yes"}, "header: expected True, False or None, got 'y"),
        (given(lambda: "umls"), {"labelled": 1}, "labelled: expected a list of splits, got 1"),
        (given(lambda: "umls"), {"labelled": "test"}, "labelled: expected a list of splits, got"),
        (given(lambda: "umls"), {"name": 1}, "name: expected text, got 1"),
        *[
            (
                given(lambda: TRIPLES),
                {"seed": seed},
                r"seed: expected (a whole number|at \w+ \d+), got",
            )
            for seed in ("x", 1.5, -1, 2**70, True)
        ],
        (given(lambda: f"umls{os.sep}"), {}, "'umls.': no such file or folder$"),
        (given(lambda: IDS), {"entities": "abcde"}, "entities: expected a list of names, got 'abc"),
        (given(lambda: IDS), {"relations": 7}, "relations: expected a list of names, got 7"),
        (
            given(lambda: IDS),
            {"entities": pandas.Series(["a", float("nan")])},
            r"entities\[1\]: expected a name, got nan",
        ),
        (
            given(lambda: IDS),
            {"relations": np.array(["a", None])},
            r"relations\[1\]: expected a name, got None",
        ),
    ],
)
def test_an_option_without_effect_or_sense_is_refused(
    make: Callable[[Path], object], options: dict[str, Any], why: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=why):
        load(make(tmp_path), **options)


@pytest.mark.parametrize("name", ["UMLS", "Umls", "u-mls"])
def test_a_data_set_is_known_in_any_spelling(name: str, shipped: Shipped) -> None:
    kg = load(name)
    assert (kg.name, kg.source, kg.digest) == ("umls", "umls", shipped("umls").digest)
    assert KnowledgeGraph.load(name).digest == kg.digest


def test_what_was_taken_for_granted_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = wrote("mine.csv", "object;subject;predicate\n" + text(";", [*TRIPLES, TRIPLES[0]]))
    load(path(tmp_path))
    for words in (
        "mine.csv: columns separated by ';'; line 1 is a header, head, relation and tail are the",
        "columns 'subject', 'predicate', 'object'",
        "mine.csv: 1 lines repeat an earlier one and are left out",
        "mine.csv: split with seed 0: 8 train, 1 valid, 1 test triples",
    ):
        assert words in caplog.text


def test_files_beside_the_splits_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make = folder(train__tsv=text(), types__tsv="", dev__csv=text(","), val__csv=text(","))
    wrote("mine/README", "")(tmp_path)
    load(make(tmp_path))
    assert "not read: dev.csv, types.tsv; a split is called train, valid or test" in caplog.text


def test_a_warning_of_a_table_names_its_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = text(
        ",", [*TRIPLES, ('"e1 "', "knows", "e2")], 'head,relation,tail\n"line\nend",knows,e1\n'
    )
    load(wrote("mine.csv", odd)(tmp_path))
    assert "start or end with a space, such as 'e1 ' (" in caplog.text
    assert "mine.csv:14)" in caplog.text
    caplog.clear()
    load([*TRIPLES, ("E1", "knows", "e2")])
    assert "'e1' (data, triple 1) and 'E1' (data, triple 11)" in caplog.text


@pytest.mark.parametrize(
    ("lines", "first"),
    [
        ("e1 r0 e2\ne2 r1 e3\ne3 r0 e1", ("e1", "r0", "e2")),
        ("e1 r0 e2\ne4 r1 e3\ne3 r0 e5", ("e1", "r0", "e2")),
        ("e2 type e1\ne1 type e3", ("e2", "type", "e1")),
        ("e1 rel e2\ne2 r1 e3\ne3 r0 e1", ("e2", "r1", "e3")),
        ("subject type object\na type b\nb is c", ("a", "type", "b")),
        ("source how target\na is b\nb is c", ("a", "is", "b")),
        ("to by from\nb is a\nc is b", None),
        ("to by from\nb by a\nc is b", ("to", "by", "from")),
    ],
)
@pytest.mark.parametrize("end", [".tsv", ".csv"])
def test_a_first_line_whose_names_occur_again_is_a_triple(
    lines: str,
    first: tuple[str, str, str] | None,
    end: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / f"mine{end}"
    path.write_text(lines.replace(" ", "\t" if end == ".tsv" else ","))
    if first is None:
        with pytest.raises(InputError, match="does not say which columns are head"):
            load(path)
        return
    kg = load(path, split=(1, 0, 0))
    h, r, t = kg.train[0].tolist()
    assert (kg.entities[h], kg.relations[r], kg.entities[t]) == first
    assert len(kg.train) == lines.count("\n") + (lines.startswith(" ".join(first)))
    assert "looks like a header" not in caplog.text


def test_a_short_split_is_compared_with_the_names_of_train(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train, valid = tmp_path / "train.csv", tmp_path / "valid.csv"
    train.write_text("e1,r0,e2\ne2,r0,e3\ne3,r0,e1\n")
    valid.write_text("e1,r0,e2\ne3,r0,e3\n")
    for where in (tmp_path, {"valid": valid, "train": train}):
        assert [len(load(where).split(one)) for one in ("train", "valid")] == [3, 2]
    assert "looks like a header" not in caplog.text
    valid.write_text("head,relation,tail\ne1,r0,e2\n")
    assert [len(load(tmp_path).split(one)) for one in ("train", "valid")] == [3, 1]
    train.write_text("head,relation,tail\ne1,r0,e2\ne2,r0,e3\n")
    assert [len(load(tmp_path).split(one)) for one in ("train", "valid")] == [2, 1]


def test_words_of_a_header_that_are_read_as_a_triple_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "dans")
    path = tmp_path / "mine.csv"
    path.write_text("source,how,target\nlight,at,source\nheat,at,light\n")
    assert load(path, split=(1, 0, 0)).num_entities == 4
    assert f"{path}:1: has words of a header and names that occur again" in caplog.text


def test_a_first_line_of_which_nothing_occurs_again_may_be_a_header(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = "mine.csv:1 may be a header: --header of dans train and split (header=True"
    load(wrote("mine.csv", text(",", before="who,does,whom\n"))(tmp_path))
    assert words in caplog.text
    caplog.clear()
    load(wrote("mine.csv", text(",", before="e1,does,whom\n"))(tmp_path))
    assert "1 relation has one training triple" in caplog.text
    assert words not in caplog.text
    caplog.clear()
    load([("who", "does", "whom"), *TRIPLES])
    assert "1 relation has one training triple" in caplog.text
    assert "header" not in caplog.text


@pytest.mark.parametrize("name", ["mine.tsv", "mine.txt.gz"])
@pytest.mark.parametrize(
    "content",
    [
        text(),
        text().removesuffix("\n"),
        "\ufeff" + text().replace("\n", "\r\n") + "\n\n",
        text(before="a\tb\tc\n") + " e9 \t\"knows\t'x\n",
        text(before="head\trelation\ttail\n"),
        text(before="\n") + "\n" + text(),
        text(separator=","),
    ],
    ids=["plain", "no last line end", "BOM", "odd names", "header", "blank lines", "commas"],
)
def test_a_file_read_in_blocks_gives_the_graph_of_its_rows(
    name: str,
    content: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = content.encode()
    path = wrote(name, gzip.compress(data) if name.endswith("gz") else data)(tmp_path)
    found = []
    for read in (sources._of_plain_file, lambda *_: None):
        monkeypatch.setattr(sources, "_of_plain_file", read)
        caplog.clear()
        with caplog.at_level(logging.INFO, "dans"):
            kg = load(path, split=(0.6, 0.2, 0.2), seed=3)
        found.append((kg.digest, kg.name, caplog.text))
    assert found[0] == found[1]


@pytest.mark.parametrize("line", ["a\tb", "a\t\tc", "a\tb\tc\td", "a\tb\t \t", "a\t \tc"])
def test_a_bad_line_of_a_file_is_refused_as_before(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = wrote("mine.tsv", text() + line + "\n")(tmp_path)
    found = []
    for read in (sources._of_plain_file, lambda *_: None):
        monkeypatch.setattr(sources, "_of_plain_file", read)
        with pytest.raises(InputError, match=r"mine\.tsv:11: ") as caught:
            load(path)
        found.append(str(caught.value))
    assert found[0] == found[1]


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = wrote("mine.csv", text(","))(tmp_path)
    assert load("~/mine.csv").digest == load(path).digest == load(Path("~/mine.csv")).digest
    assert load({"train": "~/mine.csv"}).num_entities == 5
    with pytest.raises(InputError, match=r"no such file or folder; did you mean '.*/mine.csv'"):
        load("~/mime.csv")


@pytest.mark.parametrize("name", ["mine.nt", "mine.ttl"])
def test_literals_and_blank_nodes_are_counted_and_dropped_by_option(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if name.endswith("ttl"):
        pytest.importorskip("rdflib")
    more = '<x:a> <x:p> "007"^^<x:int> .\n<x:a> <x:p> "7\\n"@EN .\n<x:a> <x:p> _:b .\n'
    path = wrote(name, "".join(f"<x:{h}> <x:{r}> <x:{t}> .\n" for h, r, t in TRIPLES) + more)
    kg = load(path(tmp_path))
    blank = "_:b" if name.endswith("nt") else "_:mine-0"
    assert {'"007"^^<x:int>', '"7\\n"@en', blank} < set(kg.entities.names)
    assert (
        "2 triples have literals, such as '\"007\"^^<x:int>': kept; literals='drop'" in caplog.text
    )
    assert "1 triple has blank nodes: kept" in caplog.text
    caplog.clear()
    kg = load(path(tmp_path), literals="drop", blank_nodes="drop")
    assert len(all_named(kg)) == 10
    assert "2 triples have literals, such as '\"007\"^^<x:int>': dropped" in caplog.text


def test_rdflib_graphs_are_read_and_their_literals_are_not_changed() -> None:
    rdflib = pytest.importorskip("rdflib")
    graph = rdflib.Graph().parse(data=PREFIX + terms(), format="turtle")
    assert all_named(load(graph)) == RDF_TRIPLES
    quads = rdflib.Dataset()
    for i, triple in enumerate(graph):
        quads.graph(rdflib.URIRef(f"http://x/g{i % 2}")).add(triple)
    assert load(quads).digest == load(graph).digest
    assert rdflib.NORMALIZE_LITERALS


def test_ids_of_rdf_are_those_of_the_order_in_the_file(tmp_path: Path) -> None:
    pytest.importorskip("rdflib")
    lines = "".join(f"<e{i}> <r{i % 3}> <f{i * 7 % 11}>, [] .\n" for i in range(30))
    kg = load(wrote("mine.ttl", lines)(tmp_path), split=(1, 0, 0))
    assert kg.entities.names[:5] == (
        "file:///e0",
        "file:///f0",
        "_:mine-0",
        "file:///e1",
        "file:///f7",
    )


def test_blank_nodes_of_two_files_are_not_one(tmp_path: Path) -> None:
    pytest.importorskip("rdflib")
    make = folder(train__ttl="<x:a> <x:p> [] .", test__ttl="<x:a> <x:p> [] .")
    kg = load(make(tmp_path))
    assert kg.entities.names == ("x:a", "_:train-0", "_:test-0")
    assert load(make(tmp_path)).digest == kg.digest


def test_nodes_of_several_types_are_named_by_type() -> None:
    kg = load(heterograph("person", "thing"))
    assert set(kg.entities.names) == {
        f"{kind}:{i}" for kind in ("person", "thing") for i in range(5)
    }
    assert ("person:0", "knows", "thing:1") in all_named(kg)
    names = {"person": [f"p{i}" for i in range(5)], "thing": [f"t{i}" for i in range(5)]}
    assert ("p0", "knows", "t1") in all_named(load(heterograph("person", "thing"), entities=names))
    ogb = {**COLUMNS, "head_type": ["person"] * 10, "tail_type": ["thing"] * 10}
    assert ("person:0", "0", "thing:1") in all_named(load(ogb))


def test_ids_without_names_keep_their_order_and_are_their_own_names() -> None:
    kg = load(torch.tensor([[9, 5, 3], [3, 2, 9], [9, 2, 7], [7, 5, 3]]), split=(1, 0, 0))
    assert kg.entities.names == ("3", "7", "9")
    assert kg.relations.names == ("2", "5")
    assert named(kg, "train") == [
        ("9", "5", "3"),
        ("3", "2", "9"),
        ("9", "2", "7"),
        ("7", "5", "3"),
    ]


def test_a_graph_goes_out_and_comes_back(shipped: Shipped) -> None:
    for kg in (KnowledgeGraph.of(*THREE.values()), shipped("nations")):
        wanted = [sorted(named(kg, split)) for split in SPLITS]
        forms: tuple[tuple[Callable[..., Any], dict[str, Any]], ...] = (
            (kg.to_pandas, {}),
            (kg.to_networkx, {}),
            (kg.to_dgl, {"entities": kg.entities.names}),
        )
        for form, options in forms:
            parts = {split: form(split) for split in SPLITS}
            for graph in (form(), parts):
                again = load(graph, **options)
                assert [sorted(named(again, split)) for split in SPLITS] == wanted
            with pytest.raises(InputError, match="split: has no effect on data, whose"):
                load(form(), split=(1, 0, 0), **options)
            with pytest.raises(InputError, match="holds no triple to train on"):
                load(form("valid"), **options)
            with pytest.raises(InputError, match=r"read as train, but .* split"):
                load({"train": form()}, **options)
        assert kg.to_networkx().number_of_nodes() == kg.num_entities
        whole = kg.to_dgl()
        assert whole.num_edges() == sum(len(part) for part in wanted)
        counts = [0, 0, 0]
        for etype in whole.canonical_etypes:
            for i in whole.edges[etype].data["split"].tolist():
                counts[i] += 1
        assert counts == [len(part) for part in wanted]


def test_a_seed_may_be_of_numpy() -> None:
    assert load(TRIPLES, seed=int(np.int64(3))).digest == load(TRIPLES, seed=np.int64(3)).digest  # type: ignore[arg-type]


def test_names_and_sources_are_those_of_the_input(tmp_path: Path) -> None:
    path = wrote("mine.csv", text(","))(tmp_path)
    assert (load(path).name, load(path).source) == ("mine", "")
    assert load(str(path), name="other").name == "other"
    where = folder(train__csv=text(","))(tmp_path)
    kg = load(where)
    assert (kg.name, kg.source) == ("mine", str(where.resolve()))
    assert load(kg) is kg
    assert load(kg, name="other").source == ""
    assert kg.name == "mine"
    assert load(where, delimiter=",").source == ""
    assert load(TRIPLES, name="mine").name == "mine"


def test_a_recipe_may_name_a_file(tmp_path: Path) -> None:
    path = wrote("mine.csv", text(","))(tmp_path)
    assert KnowledgeGraph.load(str(path)).digest == load(path).digest


def test_libraries_are_imported_for_their_own_objects_only(tmp_path: Path) -> None:
    import subprocess

    path = wrote("mine.csv", text(","))(tmp_path)
    code = (
        "import sys; from dans.data.sources import load; import torch;"
        f"load({str(path)!r}); load([('a','r','b')]); load(torch.tensor([[0, 0, 1]]));"
        "print(sorted({'pandas','networkx','dgl','rdflib','pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=os.environ
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("name", "module"), [("mine.ttl", "rdflib"), ("mine.parquet", "pyarrow")])
def test_a_missing_library_is_named(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"{name}: .*needs {module}: pip install {module}, or"):
        load(wrote(name, "")(tmp_path))


def test_only_in_quotes_are_spaces_around_a_cell_of_the_name(tmp_path: Path) -> None:
    """Other cells lose theirs, even where another cell of the row has the same text in quotes."""
    rows = [('"a "', "a "), (' "b\n "', "b "), ('"c, ""d"" "', '"c "'), ('" "" "', "e")]
    path = tmp_path / "spaces.csv"
    path.write_text("".join(f"{head},r,{tail}\n" for head, tail in rows))
    found = [(head, tail) for head, _, tail in named(load(path, split=(1, 0, 0)), "train")]
    assert found == [("a ", "a"), ("b\n ", "b"), ('c, "d" ', "c "), (' " ', "e")]


def test_half_of_a_surrogate_pair_is_no_name() -> None:
    with pytest.raises(InputError, match=r"\\ud800 is not a character that a name may contain"):
        KnowledgeGraph.load([("a", "r", "b\ud800")])
    with pytest.raises(InputError, match=r"entities\[1\]: .*ud800 is not a character"):
        names_of("entities", ["a", "b\ud800"])
