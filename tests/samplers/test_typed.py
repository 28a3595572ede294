"""Type-constrained negative sampling."""

from pathlib import Path

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.batch import Positives
from dans.registry import build
from dans.samplers import SAMPLERS, Typed
from tests.samplers.test_entity_types import LINES, written
from tests.samplers.test_uniform import p_value

DRAWS = 20_000


def typed(kg: KnowledgeGraph, **given: object) -> Typed:
    return build(
        SAMPLERS,
        "typed",
        given={"k": DRAWS, **given},
        triples=kg.train,
        num_entities=kg.num_entities,
        num_relations=kg.num_relations,
        known=kg.known(("train",)),
        entity_names=kg.entities,
    )


def ranges(kg: KnowledgeGraph) -> dict[tuple[int, str], set[int]]:
    """Who is seen in each slot, triple by triple."""
    found: dict[tuple[int, str], set[int]] = {
        (relation, side): set() for relation in range(kg.num_relations) for side in ("head", "tail")
    }
    for head, relation, tail in kg.train.tolist():
        found[relation, "head"].add(head)
        found[relation, "tail"].add(tail)
    return found


def drawn_evenly(sampler: Typed, triple: list[int], members: set[int], n: int) -> bool:
    """Whether a triple's negatives are uniform over a set, or over all where it is empty."""
    true = triple[0] if sampler.side == "head" else triple[2]
    expected = torch.zeros(n)
    expected[list(members)] = 1
    expected[true] = 0
    if not expected.any():
        expected = torch.ones(n)
        expected[true] = 0
    ids = sampler(Positives.of_ids(torch.tensor([triple]), n)).ids
    if expected.sum() == 1:
        return bool(expected[ids].all())
    return p_value(ids, expected) > 1e-5


@pytest.mark.parametrize("side", ["head", "tail"])
def test_negatives_are_uniform_over_those_seen_in_the_slot(side: str, kg: KnowledgeGraph) -> None:
    torch.manual_seed(0)
    sampler, seen = typed(kg, side=side), ranges(kg)
    for triple in kg.train.tolist():
        assert drawn_evenly(sampler, triple, seen[triple[1], side], kg.num_entities)


def test_a_true_entity_that_was_never_seen_there_costs_no_member(kg: KnowledgeGraph) -> None:
    torch.manual_seed(0)
    gus = [kg.entities.index("gus"), kg.relations.index("knows"), kg.entities.index("bob")]
    seen = ranges(kg)[gus[1], "head"]
    assert gus[0] not in seen
    assert drawn_evenly(typed(kg, side="head"), gus, seen, kg.num_entities)


def test_where_no_other_entity_was_seen_any_other_is_drawn() -> None:
    torch.manual_seed(0)
    triples = torch.tensor([[0, 0, 1], [2, 1, 3], [2, 1, 4]])
    sampler = Typed(DRAWS, triples=triples, num_entities=6, num_relations=3, side="tail")
    assert drawn_evenly(sampler, [0, 0, 1], {1}, 6)
    assert drawn_evenly(sampler, [0, 2, 1], set(), 6)
    assert drawn_evenly(sampler, [2, 1, 3], {3, 4}, 6)


@pytest.mark.parametrize("side", ["head", "tail"])
def test_with_a_file_negatives_share_a_type_with_those_seen(
    side: str, tmp_path: Path, kg: KnowledgeGraph
) -> None:
    torch.manual_seed(0)
    path = tmp_path / "types.tsv"
    path.write_text("".join(f"{entity}\t{kind}\n" for entity, kind in LINES))
    sampler, seen, types = typed(kg, side=side, types=str(path)), ranges(kg), written(kg)
    for triple in kg.train.tolist():
        fitting = set().union(*(types[e] for e in seen[triple[1], side]))
        members = {e for e in range(kg.num_entities) if types[e] & fitting}
        assert drawn_evenly(sampler, triple, members, kg.num_entities)


def test_errors_in_the_file_name_the_option(tmp_path: Path, kg: KnowledgeGraph) -> None:
    path = tmp_path / "types.tsv"
    path.write_text("bop\tperson\n")
    with pytest.raises(InputError, match=r"types.tsv:1: .*did you mean 'bob'"):
        typed(kg, types=str(path))


def test_sets_made_in_parts_are_the_same(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = typed(kg)
    monkeypatch.setattr("dans.samplers.entity_types.ELEMENTS", 9)
    parted = typed(kg)
    slots = 2 * kg.num_relations
    assert len(whole.sets) == len(parted.sets) == slots
    assert torch.equal(whole.sets.bits[:slots], parted.sets.bits[:slots])
    assert torch.equal(whole.sets.counts[:slots], parted.sets.counts[:slots])
