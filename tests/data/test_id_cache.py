from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dans.data import id_cache
from dans.data.graph import KnowledgeGraph
from dans.data.name_ids import NameIds
from dans.data.sources import load
from dans.data.tensor_file import write_tensors
from dans.errors import InputError

LINES = [f"é{i % 5}\tr{i % 2}\te{i * i % 7}\n" for i in range(30)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DANS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DANS_ID_CACHE", raising=False)
    monkeypatch.setattr(id_cache, "LEAST_LINES", 20)
    monkeypatch.setattr(id_cache, "LEAST_BYTES", 100)
    folder = tmp_path / "big"
    folder.mkdir()
    for split, lines in {"train": LINES, "valid": LINES[:3], "test": LINES[3:5]}.items():
        (folder / f"{split}.tsv").write_text("".join(lines), "utf-8")
    return folder


def kept(folder: Path) -> list[Path]:
    return sorted((folder.parent / "cache").rglob("*.*"))


def unreadable(*_: object) -> None:
    raise AssertionError("the files are read again")


def equal(one: KnowledgeGraph, other: KnowledgeGraph) -> bool:
    return (one.digest, one.name) == (other.digest, other.name)


def test_a_second_load_reads_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(folder)
    assert len(kept(folder)) == 1
    monkeypatch.setattr(NameIds, "of_file", unreadable)
    second = load(folder)
    assert equal(first, second)
    # Repeated lines of train too.
    assert torch.equal(first.lines("train")[0], second.lines("train")[0])


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_changed_file_is_read_again(folder: Path, split: str) -> None:
    before = load(folder)
    path = folder / f"{split}.tsv"
    path.write_text(path.read_text("utf-8").replace("r1", "r7"), "utf-8")
    after = load(folder)
    assert not equal(before, after)
    assert "r7" in after.relations
    assert len(kept(folder)) == 2


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def other_ids(path: Path) -> None:
    # Copies: what is loaded may be the file itself.
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    tensors["train"] += 100
    with path.open("wb") as file:
        write_tensors(file, tensors, {"version": id_cache.VERSION, "files": path.stem})


@pytest.mark.parametrize(
    "change",
    [
        damage,
        other_ids,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:200]),
        lambda path: path.write_bytes(b"\x80\x04K\x01."),
        lambda path: save_file({"a": torch.ones(1)}, path),
        lambda path: save_file(load_file(path), path, {"version": "0"}),
    ],
    ids=["bit", "ids", "empty", "cut", "pickle", "foreign", "version"],
)
def test_a_cache_that_is_none_is_ignored(
    folder: Path,
    change: Callable[[Path], object],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = load(folder)
    (path,) = kept(folder)
    change(path)
    assert equal(load(folder), first)
    assert f"{path}: ignored" in caplog.text
    # It was written anew.
    monkeypatch.setattr(NameIds, "of_file", unreadable)
    assert equal(load(folder), first)


def test_it_can_be_turned_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANS_ID_CACHE", "off")
    load(folder)
    assert not kept(folder)
    monkeypatch.setenv("DANS_ID_CACHE", "maybe")
    with pytest.raises(InputError, match="DANS_ID_CACHE: known: on, off; got 'maybe'"):
        load(folder)


def test_small_files_are_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_cache, "LEAST_LINES", 1000)
    load(folder)
    assert not kept(folder)


def test_where_nothing_can_be_written_nothing_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / "file").write_text("")
    monkeypatch.setenv("DANS_CACHE", str(folder.parent / "file"))
    assert len(load(folder).valid) == 3


def test_a_single_file_is_kept_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(folder / "train.tsv", seed=1)
    assert len(kept(folder)) == 1
    monkeypatch.setattr(NameIds, "of_plain_file", unreadable)
    assert equal(load(folder / "train.tsv", seed=1), first)
    (folder / "train.tsv").write_text("a\tb\n", "utf-8")
    with pytest.raises(InputError, match=r"train\.tsv:1: found 2 columns"):
        load(folder / "train.tsv")
