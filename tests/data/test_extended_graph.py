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


def test_errors_name_the_place(kg: KnowledgeGraph, tmp_path: Path) -> None:
    path = tmp_path / "extra.tsv"
    path.write_text("ivy\towns\ttea\nivy\tlikes\ttea\n")
    with pytest.raises(InputError, match=r"extra\.tsv:2: relation: unknown name 'likes'; known"):
        extended(kg, path)
    with pytest.raises(InputError, match=r"extra\[1\]: expected three names"):
        extended(kg, [EXTRA[0], ("a", "b")], what="extra")
    with pytest.raises(InputError, match="new entities have no ids"):
        extended(kg, torch.tensor([[0, 0, 1]]))
