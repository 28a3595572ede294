"""Triples of one's own are read in the names of a graph, by file and line."""

from pathlib import Path

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.data.own_triples import OwnTriples
from dans.data.sources import load
from dans.errors import InputError


def test_files_of_all_kinds_give_the_same_ids(kg: KnowledgeGraph, tmp_path: Path) -> None:
    rows = [("ada", "owns", "ada"), ("gus", "near", "tea")]
    plain, table = tmp_path / "own.tsv", tmp_path / "own.csv"
    plain.write_text("".join("\t".join(row) + "\n" for row in rows))
    table.write_text("tail,head,relation\n" + "".join(f"{t},{h},{r}\n" for h, r, t in rows))
    ids = [[kg.entities.index(h), kg.relations.index(r), kg.entities.index(t)] for h, r, t in rows]
    for given in (plain, str(table), rows, (row for row in rows), torch.tensor(ids)):
        own = OwnTriples.of(kg, given)
        assert own.lines.tolist() == ids
        assert own.holds.all()
        assert not own.labelled


def test_an_unknown_name_is_refused_by_its_line_or_dropped_and_counted(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    path = tmp_path / "own.tsv"
    path.write_text("ada\towns\tada\nada\tlikes\ttea\nada\towns\tgus\n")
    with pytest.raises(InputError, match=rf"{path}:2: relation: unknown name 'likes'"):
        OwnTriples.of(kg, path)
    with pytest.raises(InputError, match=r"\[0\]: head: unknown name 'adda'; did you mean 'ada'"):
        OwnTriples.of(kg, [("adda", "owns", "tea")])
    wrong = torch.tensor([[0, 0, 0], [0, kg.num_relations, 0]])
    with pytest.raises(InputError, match=r"triples\[1\]: relation: expected an id of .* got 3"):
        OwnTriples.of(kg, wrong)
    own = OwnTriples.of(kg, path, unknown="drop")
    assert (len(own.lines), own.dropped) == (2, 1)
    assert own.stated()["dropped"] == 1
    with pytest.raises(InputError, match="no line is left"):
        OwnTriples.of(kg, [("x", "owns", "tea")], unknown="drop")
    for given in ([], iter([]), torch.empty(0, 3, dtype=torch.int64)):
        with pytest.raises(InputError, match="triples: no triple in it"):
            OwnTriples.of(kg, given)
        assert OwnTriples.of(kg, given, empty=True).lines.shape == (0, 3)
    path.write_text("")
    with pytest.raises(InputError, match=rf"{path}: the file holds no triple"):
        OwnTriples.of(kg, path, empty=True)


def test_ids_are_not_taken_for_names_that_are_other_numbers() -> None:
    array = torch.tensor([[1, 0, 2], [2, 0, 3], [3, 0, 1]])
    kg = load(array)
    with pytest.raises(
        InputError, match=r"the entity with id 0 has the name '1'; give a list of names"
    ):
        OwnTriples.of(kg, array[:2])
    relations = load(torch.tensor([[0, 1, 1], [1, 2, 2], [2, 1, 0]]))
    with pytest.raises(InputError, match="the relation with id 0 has the name '1'"):
        OwnTriples.of(relations, relations.train)
    named = OwnTriples.of(kg, array.tolist()).lines
    assert [kg.entities[i] for i in named[:, 0].tolist()] == ["1", "2", "3"]
    for names in (["0", "1", "2"], ["08", "09", "10"]):
        same = load(array - torch.tensor([1, 0, 1]), entities=names)
        assert OwnTriples.of(same, same.train).lines.tolist() == same.train.tolist()


def test_a_triple_labelled_true_and_false_is_warned_of(
    kg: KnowledgeGraph, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "own.tsv"
    path.write_text("ada\towns\tada\t1\nada\towns\tgus\t-1\n")
    OwnTriples.of(kg, path)
    assert not caplog.messages
    path.write_text("ada\towns\tada\t1\nada\towns\tada\t-1\n")
    OwnTriples.of(kg, path)
    assert "own.tsv: a triple is labelled true and false, as ('ada', 'owns', 'ada')" in caplog.text


def test_a_graph_with_them_has_the_filter_set_of_all(kg: KnowledgeGraph, tmp_path: Path) -> None:
    path = tmp_path / "own.tsv"
    path.write_text("ada\towns\tada\t1\ngus\towns\ttea\t-1\n")
    own = OwnTriples.of(kg, path)
    graph = own.graph(kg)
    assert graph.test.tolist() == own.lines[:1].tolist()
    lines, labels = graph.lines("test")
    assert (lines.tolist(), labels.tolist()) == (own.lines.tolist(), [True, False])
    known = graph.known()
    everything = torch.cat((kg.train, kg.valid, kg.test, own.lines[:1]))
    assert known.is_known(everything).all()
    assert len(known) == len(everything.unique(dim=0))


def test_a_first_line_of_known_names_is_no_header(tmp_path: Path) -> None:
    kg = KnowledgeGraph.of([("e1", "r0", "e2"), ("e3", "type", "e4")])
    path = tmp_path / "own.tsv"
    for lines, triples in (
        ("e1\tr0\te2\ne3\ttype\te4\n", 2),
        ("e2\ttype\te1\n", 1),
        ("subject\ttype\tobject\ne1\tr0\te2\n", 1),
    ):
        path.write_text(lines)
        assert len(OwnTriples.of(kg, path).lines) == triples
