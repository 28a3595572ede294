"""Reading of tables of features: every source gives the same, and errors say where."""

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dans.data.entity_features import EntityFeatures
from dans.data.graph import Vocabulary
from dans.errors import InputError
from dans.memory import NoRoomError

NAMES = ("ada", "bob", "cy")
ENTITIES = Vocabulary(NAMES)
NUMBERS = np.array([[1.0, 10.0], [2.0, np.nan], [6.0, 30.0]])


def read(given: Any) -> EntityFeatures:
    return EntityFeatures.of({"t": given}, ENTITIES)


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    packed = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
    path.write_bytes(packed)
    return str(path)


def test_every_source_of_numbers_gives_the_same(tmp_path: Path) -> None:
    text = "who,x,y\ncy,6,30\nada,1,10\n\nbob,2,\n"
    np.save(tmp_path / "a.npy", NUMBERS)
    np.save(tmp_path / "b.npy", NUMBERS[::-1])
    frame = pd.DataFrame(NUMBERS, index=list(NAMES), columns=["x", "y"])
    frame.reset_index(names="who").to_parquet(tmp_path / "a.parquet")
    sources = [
        written(tmp_path, "a.csv", text),
        written(tmp_path, "a.csv.gz", text),
        written(tmp_path, "b.csv", text.replace(",", " ; ")),
        written(tmp_path, "a.tsv", text.replace(",", "\t")),
        {"file": written(tmp_path, "c.csv", text.partition("\n")[2]), "header": False},
        {"file": written(tmp_path, "d.csv", "who,z,y,x\nbob,,NA,2\ncy,1,30,6\nada,1,10,1\n")}
        | {"columns": ["x", "y"]},
        str(tmp_path / "a.npy"),
        {"file": tmp_path / "b.npy", "names": written(tmp_path, "n.txt", "cy\nbob\nada\n")},
        str(tmp_path / "a.parquet"),
        NUMBERS,
        torch.from_numpy(NUMBERS),
        {"values": NUMBERS[::-1], "names": NAMES[::-1]},
        {name: list(row) for name, row in zip(NAMES, NUMBERS, strict=True)},
        frame,
    ]
    first = read(NUMBERS)
    for source in sources:
        found = read(source)
        assert torch.equal(found.values, first.values), source
        assert torch.equal(found.present, first.present), source


def test_tensors_and_arrays_of_an_entity_are_its_numbers() -> None:
    x, y = torch.tensor([1.0, 2.0, 6.0], requires_grad=True), torch.tensor([10.0, 20.0, 30.0])
    table = torch.stack((x, y), 1)
    first = read(table)
    for source in (
        dict(zip(NAMES, table, strict=True)),
        dict(zip(NAMES, table.detach().numpy(), strict=True)),
        dict(zip(NAMES, table.bfloat16(), strict=True)),
        {name: list(row) for name, row in zip(NAMES, table, strict=True)},
        {name: row.to_sparse() for name, row in zip(NAMES, table, strict=True)},
        list(table),
        table.to_sparse(),
        table.bfloat16(),
    ):
        assert torch.equal(read(source).values, first.values), source
    for column in (x, x.detach().numpy()):
        by_name = dict(zip(NAMES, column, strict=True))
        assert torch.equal(read(by_name).values, first.values[:, :1])
    one = {name: np.array(number) for name, number in zip(NAMES, [1, 2, 6], strict=True)}
    assert torch.equal(read(one).values, first.values[:, :1])
    text = {"ada": np.array(["cat", "pet"]), "bob": np.array("man"), "cy": np.array(["pet"])}
    assert read(text).labels == ["t.1=cat", "t.1=man", "t.1=pet"]


def test_a_sparse_tensor_that_is_too_large_when_dense_is_refused_by_its_size() -> None:
    some = torch.tensor([[0, 1], [0, 5]]), torch.ones(2)
    large = torch.sparse_coo_tensor(*some, (10**6, 10**7), check_invariants=True)
    with pytest.raises(InputError, match=r"shape \(1000000, 10000000\), which takes 40000 GB as"):
        read(large)


def test_a_tensor_that_finds_no_memory_is_no_wrong_kind_of_tensor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: torch.Tensor) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 bytes.")

    monkeypatch.setattr(torch.Tensor, "to_dense", refuse)
    with pytest.raises(NoRoomError, match=r"t: out of memory for a dense copy of sparse_coo of"):
        read(torch.eye(3).to_sparse())


def test_a_tensor_of_64_bits_is_not_rounded() -> None:
    numbers = 1.6e9 + np.array([0.0, 10.0, 20.0])
    found = read(torch.from_numpy(numbers))
    assert torch.equal(found.values, read(numbers).values)
    assert found.values[:, 0].tolist() == pytest.approx([-(1.5**0.5), 0, 1.5**0.5])
    by_name = dict(zip(NAMES, torch.from_numpy(numbers), strict=True))
    assert torch.equal(read(by_name).values, found.values)


def test_a_masked_cell_is_missing() -> None:
    mask = [False, False, True]
    for numbers in (np.array([1.0, 2.0, 1000.0]), np.array([1, 2, 1000])):
        masked = np.ma.array(numbers, mask=mask)
        first = read(np.array([1.0, 2.0, np.nan]))
        assert first.labels == ["t.1", "t missing"]
        for source in (masked, list(masked), dict(zip(NAMES, masked, strict=True))):
            assert torch.equal(read(source).values, first.values), source
    text = np.ma.array(["cat", "man", "pet"], mask=mask)
    for source in (text, dict(zip(NAMES, text, strict=True))):
        assert read(source).labels == ["t.1=cat", "t.1=man", "t missing"]
    ids = np.ma.array([7, 8, 9], mask=mask)
    assert read({"values": ids, "kind": "categories"}).labels == ["t.1=7", "t.1=8", "t missing"]
    rows = dict(zip(NAMES, np.ma.array(NUMBERS, mask=np.isnan(NUMBERS)), strict=True))
    assert torch.equal(read(rows).values, read(NUMBERS).values)


def test_every_source_of_categories_gives_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array(["cat", "man", "cat"]))
    sources: list[Any] = [
        {"file": written(tmp_path, "a.csv", 'who,is\nada,cat\nbob,"man"\ncy,cat\ncy,cat\n')},
        {"file": str(tmp_path / "a.npy")},
        {"values": {"ada": {"cat"}, "bob": ["man"], "cy": "cat"}},
        {"values": pd.Series(["cat", "man", "cat"], index=list(NAMES))},
        {"values": ["cat", "man", "cat"]},
    ]
    for source in sources:
        found = read({**source, "kind": "categories"})
        assert found.values.tolist() == [[1, 0], [0, 1], [1, 0]], source
    for source in sources[2:]:
        assert read(source["values"]).blocks[0].kind == "categories"


def test_an_entity_may_have_several_categories(tmp_path: Path) -> None:
    file = written(tmp_path, "a.tsv", "ada\tcat\nada\tpet\nbob\tpet\neve\tman\n")
    found = read({"file": file, "kind": "categories", "header": False})
    assert found.labels == ["t.1=cat", "t.1=pet", "t missing"]
    assert found.values.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        ("who,x\nada,tall\n", {}, "a.csv:2: 'ada': column x: expected a number, got 'tall'; text"),
        ("who,x\nada,1e30\n", {}, "a.csv:2: 'ada': column x: must be between ±1e+15, got '1e30'"),
        ("who,x\nada,1\nbob,2,3\n", {}, "a.csv:3: 'bob': found 3 columns, expected 2"),
        ("who,x\nada,1\nada,2\n", {}, "a.csv:3: 'ada': has a row already, a.csv:2: 'ada'"),
        ("who,x\nadda,1\n", {}, "a.csv: names no entity; its first name is 'adda', expected"),
        ("ada,1\nbob,2\n", {}, "a.csv: its first line is of the entity 'ada'; expected"),
        ("who,x\nada,\n", {}, "a.csv: column x: has no value for any entity of a training"),
        ("who,x\n", {}, "a.csv: holds no row"),
        ("who\nada\n", {}, "a.csv: has no column beside that of names"),
        ("who,x\nada,1\n", {"columns": ["z"]}, "columns: 'z': not one column of a.csv; known: 'x'"),
        ("who,x,y\nada,1,\n", {"kind": "embeddings"}, "a.csv:2: 'ada': an embedding lacks some"),
        ("who,x\nada,1\n", {"scale": "unit"}, "scale: unit is not for numbers; known: standard"),
        ("who,x\nada,1\n", {"kind": "numbres"}, "features.table.t.kind: known: numbers, "),
        ("who,x\nada,1\n", {"names": "n.txt"}, "features.table.t.names: a.csv names its rows"),
        ("who,x\nada,1\n", {"colour": 1}, "features.table.t.colour: unknown option; known: file"),
        ('who,x\n"ada,1\n', {}, "a.csv: not CSV after line"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, options: Any, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=re.escape(sentence)):
        read({"file": written(Path(), "a.csv", text), **options})


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (NUMBERS[:2], "features: t: 2 rows without names; expected a row for each of the 3"),
        ({"values": NUMBERS, "names": NAMES[:2]}, "features.table.t.names: 2 names for 3 rows"),
        ({"ada": [1], "bob": [1, 2]}, "features: t: 'bob': has 2 values, and 'ada' has 1"),
        (
            {"ada": torch.ones(1, 2)},
            "features: t: 'ada': expected a number or a row of them, (f,),",
        ),
        ({"ada": [np.ones(2)]}, "features: t: 'ada': expected a number, got shape (2,)"),
        (
            torch.ones(3, 1, device="meta"),
            "features: t: expected a dense tensor of whole numbers or floats, got strided of ",
        ),
        (
            {"ada": torch.ones(1, device="meta")},
            "t: 'ada': expected a dense tensor of whole numbers",
        ),
        ({"values": NUMBERS, "names": np.ma.array(NAMES, mask=[0, 1, 0])}, "names[1]: expected a"),
        ({"ada": object()}, "features: t[0]: 'ada': column 1: expected a number"),
        (np.zeros((2, 2, 2)), "features: t: expected rows of numbers or text, (n, f), got shape"),
        (pd.DataFrame({"x": ["a"], "y": [1]}, ["ada"]), "column 'x' holds text and column 'y'"),
        ({"ada": 1, "bob": "red"}, "column '1' holds numbers and text, as 'red'; kind = "),
        ("ages.json", "ages.json: unknown kind of file for features; known: .csv"),
        ("gone.npy", "gone.npy: cannot be read: No such file"),
        ({"values": {"ada": float("inf")}}, "must be between ±1e+15, got inf"),
        (np.array([[0.0], [np.inf], [0.0]]), "must be between ±1e+15, got inf"),
    ],
)
def test_what_is_wrong_with_an_object_is_said(given: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        read(given)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (pd.DataFrame({"x": ["a", "b"], "y": ["", ""]}, NAMES[:2]), "categories"),
        ({"ada": ["a", "na"], "bob": ["b", ""]}, "categories"),
        (pd.DataFrame({"x": [[1, 2], 3]}, NAMES[:2]), "categories"),
        ({"ada": "na", "bob": 1.5}, "numbers"),
        ({"ada": "NA", "bob": "na"}, "categories"),
    ],
)
def test_a_table_in_memory_is_of_text_unless_it_has_numbers(given: Any, kind: str) -> None:
    assert read(given).blocks[0].kind == kind


def test_an_array_with_objects_is_no_array(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}, 1, 2], dtype=object))
    with pytest.raises(InputError, match=r"a.npy: not an array of numbers or text"):
        read(tmp_path / "a.npy")
