"""Concepts, and classes of relations."""

from collections import defaultdict
from pathlib import Path

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.samplers import entity_types as types
from dans.samplers.entity_types import (
    Concepts,
    cardinalities,
    concepts_of,
    pseudo_types,
    read_concepts,
    stretches,
)

#: Concepts in the toy graph; gus has none.
LINES = [
    ("ada", "person"),
    ("ada", "pilot"),
    ("bob", "person"),
    ("cy", "pilot"),
    ("tea", "drink"),
    ("pot", "thing"),
    ("cup", "thing"),
    ("map", "paper"),
]


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "concepts.tsv"
    file.write_text("".join(f"{entity}\t{concept}\n" for entity, concept in LINES))
    return str(file)


def written(kg: KnowledgeGraph) -> dict[int, set[str]]:
    """Each entity's concepts, as the file has them."""
    found: dict[int, set[str]] = {entity: set() for entity in range(kg.num_entities)}
    for entity, concept in LINES:
        found[kg.entities.index(entity)].add(concept)
    return found


def occurrences(kg: KnowledgeGraph) -> dict[int, set[tuple[int, int]]]:
    """Each entity's pseudo-types, counted triple by triple."""
    found: dict[int, set[tuple[int, int]]] = {entity: set() for entity in range(kg.num_entities)}
    for head, relation, tail in kg.train.tolist():
        found[head].add((relation, 0))
        found[tail].add((relation, 1))
    return found


def test_a_pseudo_type_is_a_slot_that_a_training_triple_fills(kg: KnowledgeGraph) -> None:
    table = pseudo_types(kg.train, kg.num_entities, kg.num_relations)
    rows = table.rows(torch.arange(kg.num_entities))
    for entity, slots in occurrences(kg).items():
        assert rows[entity].nonzero().flatten().tolist() == sorted(2 * r + s for r, s in slots)


def test_concepts_of_a_file_are_those_written(path: str, kg: KnowledgeGraph) -> None:
    table = read_concepts(path, kg.entities)
    order = list(dict.fromkeys(concept for _, concept in LINES))
    rows = table.rows(torch.arange(kg.num_entities))
    for entity, concepts in written(kg).items():
        assert {order[c] for c in rows[entity].nonzero().flatten().tolist()} == concepts


def test_the_same_concepts_have_the_same_number(kg: KnowledgeGraph) -> None:
    table = pseudo_types(kg.train, kg.num_entities, kg.num_relations)
    slots = occurrences(kg)
    for a in range(kg.num_entities):
        for b in range(kg.num_entities):
            assert bool(table.sets[a] == table.sets[b]) is (slots[a] == slots[b])
    assert torch.equal(table.sets[table.examples], torch.arange(len(table.examples)))


def test_having_finds_who_has_any_of_the_concepts() -> None:
    torch.manual_seed(0)
    dense = torch.rand(70, 9) < 0.2
    allowed = torch.rand(30, 9) < 0.2
    table = Concepts(dense.nonzero(), 70, 9)
    expected = (allowed.unsqueeze(1) & dense).any(-1)
    assert torch.equal(table.having(allowed), expected)
    assert torch.equal(table.rows(torch.arange(70)), dense)


def test_what_a_slot_was_seen_with_is_the_union_of_its_entities(
    path: str, kg: KnowledgeGraph
) -> None:
    table = read_concepts(path, kg.entities)
    seen = table.seen(kg.train, kg.num_relations)
    rows = table.rows(torch.arange(kg.num_entities))
    expected = torch.zeros_like(seen)
    for head, relation, tail in kg.train.tolist():
        expected[2 * relation] |= rows[head]
        expected[2 * relation + 1] |= rows[tail]
    assert torch.equal(seen, expected)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ada\tperson\nbob person\n", ":2: found 1 column, expected 2: entity, type"),
        ("ada\tperson\tpilot\n", ":1: found 3 columns, expected 2"),
        ("ada\t\n", ":1: empty type; expected entity, type"),
        ("\tperson\n", ":1: empty entity; expected entity, type"),
        ("ada\tperson\nbop\tperson\n", ":2: expected an entity of the graph: .*mean 'bob'"),
        ("", "holds no line; expected entity, tab, type"),
        ("\n", "holds no line; expected entity, tab, type"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(
    text: str, sentence: str, tmp_path: Path, kg: KnowledgeGraph
) -> None:
    path = tmp_path / "wrong.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence) as error:
        read_concepts(str(path), kg.entities)
    assert str(error.value).startswith(str(path))


def test_line_ends_empty_lines_and_byte_order_marks_of_other_systems_are_read(
    tmp_path: Path, kg: KnowledgeGraph
) -> None:
    path = tmp_path / "other.tsv"
    path.write_bytes("\ufeffada\tperson\r\n\r\nbob\tperson\r\n\r\n".encode())
    table = read_concepts(str(path), kg.entities)
    assert table.num_concepts == 1
    assert table.having(torch.tensor([[True]])).sum() == 2


def test_a_file_needs_the_names_of_entities(path: str, kg: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match="entity_names: needed"):
        concepts_of(path, None, kg.train, kg.num_entities, kg.num_relations)


def classes(kg: KnowledgeGraph) -> list[int]:
    """Wang et al.'s classes, counted the slow way."""
    tails, heads = defaultdict(set), defaultdict(set)
    for head, relation, tail in kg.train.tolist():
        tails[relation, head].add(tail)
        heads[relation, tail].add(head)
    found = []
    for relation in range(kg.num_relations):
        of_head = [len(found) for (r, _), found in tails.items() if r == relation]
        of_tail = [len(found) for (r, _), found in heads.items() if r == relation]
        tph, hpt = sum(of_head) / len(of_head), sum(of_tail) / len(of_tail)
        found.append((tph >= 1.5) + 2 * (hpt >= 1.5))
    return found


def test_classes_of_relations_are_those_counted_by_hand(kg: KnowledgeGraph) -> None:
    assert cardinalities(kg.train, kg.num_relations).tolist() == classes(kg)


def test_each_class_differs_from_the_others() -> None:
    triples = torch.tensor(
        [[0, 0, 1], [0, 1, 1], [0, 1, 2], [0, 2, 2], [1, 2, 2]]
        + [[h, 3, t] for h in (0, 1) for t in (2, 3)]
    )
    for times in (1, 5):
        assert cardinalities(triples.repeat(times, 1), 5).tolist() == [0, 1, 2, 3, 0]


def test_stretches_cover_all_rows_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(types, "ELEMENTS", 10)
    found = [i for part in stretches(11, 3) for i in range(11)[part]]
    assert found == list(range(11))
    assert len(list(stretches(11, 3))) == 4
    assert len(list(stretches(3, 100))) == 3
