"""CAKE: candidates by concepts."""

from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.data.known_triples import KnownTriples
from dans.errors import InputError
from dans.models.batch import Positives
from dans.registry import build
from dans.samplers import CAKE, SAMPLERS
from tests.samplers.test_entity_types import LINES, classes, occurrences, written
from tests.samplers.test_uniform import p_value

UNIQUE = {"head": {0, 1}, "tail": {0, 2}}


def cake(kg: KnowledgeGraph, **given: object) -> CAKE:
    return build(
        SAMPLERS,
        "cake",
        given={"filter": "none", **given},
        triples=kg.train,
        num_entities=kg.num_entities,
        num_relations=kg.num_relations,
        known=kg.known(("train",)),
        entity_names=kg.entities,
    )


def candidates(
    kg: KnowledgeGraph,
    concepts: Mapping[int, set[Hashable]],
    triple: list[int],
    side: str,
) -> set[int]:
    """The candidates by the rule, counted one by one."""
    relation, true = triple[1], triple[0] if side == "head" else triple[2]
    seen: set[Hashable] = set()
    for head, r, tail in kg.train.tolist():
        if r == relation:
            seen |= concepts[head if side == "head" else tail]
    unique = classes(kg)[relation] in UNIQUE[side]
    wanted = concepts[true] if unique and concepts[true] else seen - concepts[true]
    return {e for e in range(kg.num_entities) if e != true and concepts[e] & wanted}


def triples(kg: KnowledgeGraph) -> list[list[int]]:
    return torch.cat((kg.train, kg.valid, kg.test)).tolist()


def concepts_file(folder: Path) -> str:
    path = folder / "concepts.tsv"
    path.write_text("".join(f"{entity}\t{concept}\n" for entity, concept in LINES))
    return str(path)


@pytest.mark.parametrize("source", ["slots", "file"])
@pytest.mark.parametrize("side", ["head", "tail"])
def test_candidates_are_those_of_the_rule(
    source: str, side: str, tmp_path: Path, kg: KnowledgeGraph
) -> None:
    given = {"concepts": concepts_file(tmp_path)} if source == "file" else {}
    concepts = written(kg) if source == "file" else occurrences(kg)
    sampler = cake(kg, side=side, k=200, **given)
    ids = sampler(Positives.of_ids(torch.tensor(triples(kg)), kg.num_entities)).ids
    for triple, row in zip(triples(kg), ids.tolist(), strict=True):
        members = candidates(kg, concepts, triple, side)
        # All candidates are drawn before one repeats.
        assert set(row[: len(members)]) == members
        assert triple[0 if side == "head" else 2] not in row


@pytest.mark.parametrize("side", ["head", "tail"])
def test_negatives_are_uniform_over_the_candidates(side: str, kg: KnowledgeGraph) -> None:
    torch.manual_seed(0)
    sampler = cake(kg, side=side, k=2)
    for triple in kg.train.tolist():
        members = candidates(kg, occurrences(kg), triple, side)
        if len(members) < 2:
            continue
        batch = Positives.of_ids(torch.tensor([triple]).expand(10_000, 3), kg.num_entities)
        ids = sampler(batch).ids
        expected = torch.zeros(kg.num_entities)
        expected[list(members)] = 1
        assert p_value(ids, expected) > 1e-5


def test_negatives_of_a_triple_and_a_side_differ(kg: KnowledgeGraph) -> None:
    torch.manual_seed(0)
    sampler = cake(kg, k=4)
    for _ in range(20):
        negatives = sampler(Positives.of_ids(kg.train, kg.num_entities))
        sides = negatives.corrupt_head.tolist()
        for triple, row, side in zip(kg.train.tolist(), negatives.ids.tolist(), sides, strict=True):
            for name, which in (("head", True), ("tail", False)):
                mine = [e for e, s in zip(row, side, strict=True) if s is which]
                members = candidates(kg, occurrences(kg), triple, name)
                inside = mine[: len(members)]
                assert len(set(inside)) == len(inside)
                assert set(inside) <= members


def test_where_candidates_run_out_any_other_entity_is_drawn() -> None:
    torch.manual_seed(0)
    triples = torch.tensor([[0, 0, 1], [2, 0, 3]])
    sampler = CAKE(5, triples=triples, num_entities=6, num_relations=1, side="tail", filter="none")
    ids = sampler(Positives.of_ids(triples[:1].expand(2000, 3), 6)).ids
    assert ids[:, 0].eq(3).all()
    assert p_value(ids[:, 1:], torch.tensor([1.0, 0, 1, 1, 1, 1])) > 1e-4


def test_for_a_true_entity_without_concepts_others_that_fit_the_slot_are_drawn(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    pairs = KnowledgeGraph.of([("a", "r", "x"), ("b", "r", "y"), ("c", "r", "z")])
    concepts = tmp_path / "concepts.tsv"
    concepts.write_text("x\tdrink\ny\tdrink\n")
    sampler = cake(pairs, side="tail", k=2, concepts=str(concepts))
    assert sampler.unique.all()
    batch = Positives.of_ids(pairs.train[2:].expand(50, 3), pairs.num_entities)
    fitting = sorted(pairs.entities.index(name) for name in ("x", "y"))
    assert sampler(batch).ids.sort(1).values.tolist() == [fitting] * 50


def test_known_triples_are_replaced_by_any_other_entity() -> None:
    torch.manual_seed(0)
    # The tail of (0, r, 1) is unique by the majority; its only fellow, 3, is a triple as well.
    triples = torch.tensor([[0, 0, 1], [0, 0, 3], [2, 0, 4], [5, 0, 4]])
    sampler = CAKE(
        2,
        triples=triples,
        num_entities=8,
        num_relations=1,
        side="tail",
        known=KnownTriples(triples, 8, 1),
    )
    assert sampler.filter == "resample"
    assert sampler.unique.tolist() == [True, True]
    drawn = sampler(Positives.of_ids(triples[:1].expand(5000, 3), 8))
    assert drawn.valid.all()
    seen = Counter(drawn.ids.flatten().tolist())
    assert set(seen) == {0, 2, 4, 5, 6, 7}
    # Both members are drawn for each triple; 3 is dropped, and an outsider comes in its place.
    assert seen[4] > 5000
    assert max(seen[e] for e in (0, 2, 5, 6, 7)) < 1500


def test_making_candidate_sets_anew_changes_no_draw(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, forgetful = cake(kg, k=3), cake(kg, k=3)
    batches = [Positives.of_ids(part, kg.num_entities) for part in kg.train.repeat(3, 1).split(4)]
    drawn = []
    for sampler, limit in ((stored, 2**28), (forgetful, 40)):
        monkeypatch.setattr("dans.samplers.cake.STORED", limit)
        torch.manual_seed(0)
        drawn.append([sampler(batch).ids for batch in batches])
    assert len(forgetful.sets) < len(stored.sets)
    for a, b in zip(*drawn, strict=True):
        assert torch.equal(a, b)


def test_candidate_sets_stay_out_of_checkpoints(kg: KnowledgeGraph) -> None:
    sampler = cake(kg)
    sampler(Positives.of_ids(kg.train, kg.num_entities))
    assert not sampler.state_dict()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"k": 0}, "k: expected at least 1"),
        ({"concepts": "/nowhere.tsv"}, "nowhere.tsv: cannot be read"),
    ],
)
def test_wrong_options_are_named(
    given: dict[str, object], sentence: str, kg: KnowledgeGraph
) -> None:
    with pytest.raises(InputError, match=sentence):
        cake(kg, **given)
