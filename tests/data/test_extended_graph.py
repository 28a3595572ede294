"""A graph with further triples: old ids stay, new entities come last, repeats are ignored."""

from pathlib import Path

import pytest
import torch

from dans.data.extended_graph import extended
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError

EXTRA = [("ivy", "owns", "tea"), ("tea", "near", "jar"), ("ada", "knows", "bob")]


def test_new_entities_come_last_and_triples_of_train_are_ignored(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    path = tmp_path / "extra.tsv"
    path.write_text("".join("\t".join(row) + "\n" for row in EXTRA))
    for given in (EXTRA, [*EXTRA, EXTRA[0]], path):
        more = extended(kg, given)
        n = kg.num_entities
        assert more.entities.names == (*kg.entities.names, "ivy", "jar")
        assert torch.equal(more.train[: len(kg.train)], kg.train)
        tea, near = kg.entities.index("tea"), kg.relations.index("near")
        assert more.train[len(kg.train) :].tolist() == [
            [n, kg.relations.index("owns"), tea],
            [tea, near, n + 1],
        ]
        assert torch.equal(more.test, kg.test)
    assert extended(kg, []).digest == kg.digest


def test_new_entities_have_features_and_need_no_triple(kg: KnowledgeGraph) -> None:
    own = kg.with_features({"age": {"ada": 1.0, "bob": 3.0}, "is": {"tea": "thing"}})
    given = {"age": {"zoe": 2.0, "jar": None}, "is": {"ivy": "thing"}}
    more = extended(own, EXTRA, features=given)
    assert more.entities.names == (*kg.entities.names, "ivy", "jar", "zoe")
    assert more.features is not None
    assert own.features is not None
    assert torch.equal(more.features.values[:-3], own.features.values)
    # age, its gap, thing, the gap of is
    assert more.features.values[-3:].tolist() == [[0, 1, 1, 0], [0, 1, 0, 1], [0, 0, 0, 1]]
    assert more.features.present[-3:].tolist() == [[False, True], [False, False], [True, False]]
    alone = extended(own, [], features={"age": {"zoe": 2.0}})
    assert (alone.num_entities, len(alone.train)) == (kg.num_entities + 1, len(kg.train))
    missing = extended(own, EXTRA).features
    assert missing is not None
    assert missing.values[-2:].tolist() == [[0, 1, 0, 1]] * 2
    assert extended(own, [], features={}) is own


def test_features_that_are_not_of_new_entities_are_refused(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    own = kg.with_features({"age": {"ada": 1.0, "bob": 3.0}})
    path = tmp_path / "ages.csv"
    path.write_text("who,1\nzoe,2\nada,2\n")
    for graph, given, sentence in (
        (own, {"age": path}, r"ages\.csv:3: 'ada': is an entity of the graph, whose features stay"),
        (own, {"age": {" ": 2}}, r"features: age\[0\]: ' ': expected the name of an entity"),
        (own, {"age": [2.0]}, "features: age: has rows without names; expected names, as a"),
        (own, {"ages": {"zoe": 1}}, "features: ages: unknown; known: age; did you mean age"),
        (kg, {"age": {"zoe": 1}}, "features: the graph has none; leave them out"),
    ):
        with pytest.raises(InputError, match=sentence):
            extended(graph, [], features=given)


def test_errors_name_the_place(kg: KnowledgeGraph, tmp_path: Path) -> None:
    path = tmp_path / "extra.tsv"
    path.write_text("ivy\towns\ttea\nivy\tlikes\ttea\n")
    with pytest.raises(InputError, match=r"extra\.tsv:2: relation: unknown name 'likes'; known"):
        extended(kg, path)
    with pytest.raises(InputError, match=r"extra\[1\]: expected three names"):
        extended(kg, [EXTRA[0], ("a", "b")], what="extra")
    with pytest.raises(InputError, match="new entities have no ids"):
        extended(kg, torch.tensor([[0, 0, 1]]))


def test_new_relations_come_last_where_they_are_allowed(kg: KnowledgeGraph) -> None:
    more = extended(kg, [("ivy", "likes", "tea"), ("ada", "owns", "ivy")], new_relations=True)
    assert more.relations.names == (*kg.relations.names, "likes")
    n, m = kg.num_entities, kg.num_relations
    assert more.train[-2:].tolist() == [[n, m, kg.entities.index("tea")], [0, 1, n]]


def test_a_train_with_labels_has_the_new_triples_among_its_lines() -> None:
    lines = {"train": [("a", "r", "b", True), ("a", "r", "c", False)]}
    more = extended(KnowledgeGraph.of_lines(lines, labelled=["train"]), [("c", "r", "a")])
    triples, labels = more.lines("train")
    assert (triples.tolist(), labels.tolist()) == ([[0, 0, 1], [0, 0, 2], [2, 0, 0]], [1, 0, 1])
