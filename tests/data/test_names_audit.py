"""What often means that a file was misread is said, with the line, and never fatal."""

from pathlib import Path

import pytest

import dans
from dans.data.graph import KnowledgeGraph

PLAIN = [("ada", "knows", "bob"), ("bob", "likes", "tea"), ("ada", "likes", "tea")]

#: A line, and what is said of it.
SUSPECT: dict[str, tuple[tuple[str, str, str], str]] = {
    "header": (
        ("Head", "relation", "tail"),
        "train.tsv:1: 'Head', 'relation', 'tail' looks like",
    ),
    "header of edges": (("source", "type", "target"), "looks like a header; remove that line"),
    "case": (("Ada", "knows", "bob"), "train.tsv:1) and 'ada' ("),
    "trailing space": (("ada ", "knows", "bob"), "1 of 4 entities start or end with a space"),
    "inner space": (("ada", "knows", "t e"), ""),
    "decomposed": (("cafe\u0301", "knows", "caf\u00e9"), "2 of 5 entities look like another one"),
    "full width": (("\uff41da", "knows", "bob"), "look like another one"),
    "zero width": (("a\u200bda", "knows", "bob"), "1 of 4 entities have invisible characters"),
    "control": (("ada\x08", "knows", "bob"), "2 of 4 entities look like another one"),
    "variation": (("ada\ufe0f", "knows", "bob"), "2 of 4 entities look like another one"),
    "direction": (("ada", "knows\u200f", "bob"), "1 of 3 relations have invisible characters"),
    "quotes": (('"ada"', "knows", "bob"), "1 of 4 entities stand in quotes"),
    "stray quote": (('"ada', "knows", "bob"), "1 of 4 entities start or end with a stray quote"),
    "half of a cell": (
        ('""ada', "knows", "bob"),
        "1 of 4 entities start or end with a stray quote",
    ),
    "quoted inside": (('"Al" Yankovic', "knows", 'the "Joneses"'), ""),
    "apostrophe": (("'t Hooft", "knows", "the Joneses'"), ""),
    "literal": (('"7"^^<x:int>', "knows", "bob"), "1 of 4 entities are typed or tagged literals"),
    "blank node": (("_:b0", "knows", "bob"), "1 of 4 entities are blank nodes, such as '_:b0'"),
}


@pytest.mark.parametrize("name", SUSPECT)
def test_what_looks_like_a_mistake_is_said(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line, sentence = SUSPECT[name]
    text = "".join("\t".join(triple) + "\n" for triple in [line, *PLAIN])
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.tsv").write_text(text if split == "train" else "ada\tlikes\ttea\n")
    kg = KnowledgeGraph.load(tmp_path)
    found = [text for text in kg.audit().lines() if text.startswith("warning: ")]
    if sentence:
        in_memory = sentence.replace("train.tsv:1", "train, triple 1")
        assert any(in_memory in text for text in found), found
        assert caplog.text.count(sentence) == 1
    else:
        assert "entities" not in caplog.text


def test_names_that_a_table_quotes_have_no_stray_quotes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "own.csv"
    file.write_text('"a ""b"" c",likes,"x, y"\n"""a"" b",likes,"c ""d"""\n"x, y",likes,tea\n')
    kg = KnowledgeGraph.load(file)
    assert kg.entities.names == ('a "b" c', "x, y", '"a" b', 'c "d"', "tea")
    assert "stray" not in caplog.text


@pytest.mark.parametrize("cell", ['5"', '"5"""', '"""5"'])
def test_a_quote_at_one_end_is_a_stray_one_where_quotes_are_not_understood(
    cell: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [(cell, "wide", "shelf"), ("shelf", "of", "house"), ("house", "wide", "shelf")]
    (tmp_path / "folder").mkdir()
    for file in ("own.csv", "folder/train.csv"):
        (tmp_path / file).write_text("".join(",".join(row) + "\n" for row in rows))
    dans.load(tmp_path / "own.csv")
    dans.load(tmp_path / "folder")
    assert "stray" not in caplog.text
    rows.append(('5"', "of", "shelf"))
    (tmp_path / "own.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    dans.load(tmp_path / "own.tsv")
    assert "start or end with a stray quote, such as '5\"'" in caplog.text


def test_columns_in_another_order_are_said() -> None:
    swapped = [("knows", f"e{i}", "likes") for i in range(5)]
    audit = KnowledgeGraph.of(swapped).audit()
    sizes = "5 relations and 2 entities, of train 1 heads and 1 tails: see that the columns"
    assert any(sizes in one for one in audit.warnings)
    last = KnowledgeGraph.of([(f"a{i}", f"b{i}", "knows") for i in range(11)]).audit()
    assert any("11 relations and 12 entities, of train 11 heads and 1" in w for w in last.warnings)
    assert not any("columns" in w for w in KnowledgeGraph.of(PLAIN).audit().warnings)


def test_a_warning_names_the_file_and_a_line_that_can_be_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "# made by hand\n<x:a> <x:r> _:b .\n<x:a> <x:s> <x:c> .\n"
    (tmp_path / "train.nt").write_text(text)
    (tmp_path / "valid.tsv").write_text("head\trelation\ttail\nx:a\tx:r\tx:c\n")
    (tmp_path / "test.tsv").write_text("x:a\tx:r\tx:c\nx:a \tx:s\tx:c\n")
    KnowledgeGraph.load(tmp_path)
    for place in ("train.nt, triple 1)", "valid.tsv:1: 'head'", "test.tsv:2); remove it"):
        assert place in caplog.text


def test_relations_with_one_triple_and_single_relations_are_said() -> None:
    (single,) = KnowledgeGraph.of(PLAIN).audit().warnings
    assert "1 relation has one training triple, such as 'knows' (train, triple 1); " in single
    assert "merge it with another one" in single
    (only,) = KnowledgeGraph.of([("a", "r", "b")]).audit().warnings
    assert only.startswith("the graph has one relation, 'r' (train, triple 1); ")


def test_held_out_triples_that_are_trained_on_are_said() -> None:
    triples = [(f"e{i}", f"r{i % 2}", f"e{i + 1}") for i in range(6)]
    held = [("e9", "r0", "e0"), triples[4], triples[1], triples[4]]
    said = KnowledgeGraph.of(triples, valid=held, test=held[:1]).audit().warnings
    assert [one.split(";")[0] for one in said] == ["in train too: 3 of 4 valid triples"]


def test_linked_triples_are_said_by_direction() -> None:
    train = [(f"a{i}", "parent", f"b{i}") for i in range(10)]
    test = [(f"b{i}", "child", f"a{i}") for i in range(10)]
    lines = KnowledgeGraph.of(train, test=test).audit().lines()
    assert "10 (100.0 %) have a triple of train from tail to head, of any relation" in lines[3]
