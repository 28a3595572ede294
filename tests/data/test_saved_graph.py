"""A saved graph is read again to the bit, or refused in a sentence."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dans.data.graph import SPLITS, KnowledgeGraph
from dans.errors import InputError
from tests.data.conftest import Shipped

ODD = [
    ("tab\there", "knows", "line\nend"),
    ("line\nend", "\u202eknows", "NA"),
    ('"quoted"', "knows", "a\r\u2028b"),
    ("half \ud800", "knows", "\ufeffé\U0001f600"),
    ("tab\there", "knows", "line\nend"),
]


def graph(*, labelled: bool = False) -> KnowledgeGraph:
    kg = KnowledgeGraph.of(ODD, ODD[1:3], ODD[2:3] * 2, name="odd\tname")
    if not labelled:
        return kg
    lines = kg.train[[0, 1, 2, 1]], torch.tensor([True, False, True, True])
    return replace(kg, labelled={"valid": lines}, valid=lines[0][lines[1]])


@pytest.mark.parametrize("labelled", [False, True])
def test_a_saved_graph_is_loaded_to_the_bit(tmp_path: Path, labelled: bool) -> None:
    kg = graph(labelled=labelled)
    folder = tmp_path / "not yet/there"
    kg.save(folder)
    with pytest.raises(InputError, match="there: is not empty; name a new folder"):
        kg.save(str(folder))
    again = KnowledgeGraph.load(folder)
    assert (again.name, again.digest) == (kg.name, kg.digest)
    assert (again.entities, again.relations) == (kg.entities, kg.relations)
    for split in SPLITS:
        assert torch.equal(again.split(split), kg.split(split))
        pairs = zip(again.lines(split), kg.lines(split), strict=True)
        assert all(torch.equal(*pair) for pair in pairs)
    assert again.labelled.keys() == kg.labelled.keys()
    assert sorted(path.name for path in folder.iterdir()) == ["graph.json", "triples.safetensors"]


def test_given_negatives_are_saved_too(tmp_path: Path) -> None:
    given = torch.tensor([[0, 1], [2, 0]]), torch.tensor([[1, 1], [0, 2]])
    replace(graph(), given_negatives={"test": given}).save(tmp_path / "saved")
    again = KnowledgeGraph.load(tmp_path / "saved")
    assert list(again.given_negatives) == ["test"]
    assert all(map(torch.equal, again.given_negatives["test"], given))


def test_the_source_is_what_loads_the_same_graph_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: Shipped
) -> None:
    kg = graph()
    assert kg.source == ""
    kg.save(tmp_path / "saved")
    monkeypatch.chdir(tmp_path)
    saved = KnowledgeGraph.load("./saved")
    assert saved.source == str((tmp_path / "saved").resolve())
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "train.tsv").write_text("ada\tknows\tbob\t1\n")
    assert KnowledgeGraph.load(plain, labelled=["train"]).source == ""
    (plain / "train.tsv").write_text("ada\tknows\tbob\n")
    assert KnowledgeGraph.load(plain).source == str(plain.resolve())
    assert shipped("umls").source == "umls"
    monkeypatch.chdir("/")
    assert KnowledgeGraph.load(saved.source).digest == kg.digest
    assert replace(saved, test=saved.test[:0]).source == ""


def edit(change: Callable[[dict[str, object]], object]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        content = json.loads((folder / "graph.json").read_text())
        change(content)
        (folder / "graph.json").write_text(json.dumps(content))

    return apply


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (edit(lambda names: names.update(version=2)), "graph.json: version: expected 1, got 2"),
        (edit(lambda names: names.pop("entities")), "graph.json: not a graph as dans saves it: "),
        (edit(lambda names: names["entities"].pop()), "test: holds an id outside of"),  # type: ignore[attr-defined]
        (edit(lambda names: names["entities"].reverse()), "are not of one graph, or are damaged"),  # type: ignore[attr-defined]
        (lambda f: (f / "graph.json").write_text("[1"), "graph.json: not a graph as dans saves it"),
        (
            lambda f: (f / "triples.safetensors").write_bytes(b"\x80\x04."),
            "triples.safetensors: not a graph as dans saves it: ",
        ),
    ],
)
def test_a_damaged_graph_is_refused(
    tmp_path: Path, change: Callable[[Path], object], why: str
) -> None:
    KnowledgeGraph.of([("a", "r", "b")], test=[("b", "r", "c")]).save(tmp_path)
    change(tmp_path)
    with pytest.raises(InputError, match=why):
        KnowledgeGraph.load(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: cannot be written: "):
        graph().save(tmp_path / "file")
