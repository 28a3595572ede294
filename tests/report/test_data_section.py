"""Classes of relations, degrees, and relations that repeat each other."""

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.report.data_section import (
    DEGREES,
    Traps,
    classify,
    copies,
    degree_class,
    degree_classes,
    degrees,
)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(0, 1), (2, 3)], "1-1"),
        ([(0, 1), (0, 2), (3, 4)], "1-N"),
        ([(1, 0), (2, 0), (4, 3)], "N-1"),
        ([(0, 2), (0, 3), (1, 2), (1, 3)], "N-N"),
        ([(0, 1), (0, 2), (3, 4), (5, 6)], "1-1"),
        ([(0, 1), (0, 1), (0, 1)], "1-1"),
    ],
    ids=["one", "tails", "heads", "both", "fewer than 1.5", "repeats"],
)
def test_relation_has_many_from_one_and_a_half_on(
    pairs: list[tuple[int, int]], expected: str
) -> None:
    triples = torch.tensor([[head, 1, tail] for head, tail in pairs])
    assert classify(triples, 3) == ["not in train", expected, "not in train"]


def test_degree_counts_distinct_training_triples(kg: KnowledgeGraph) -> None:
    counts = dict(zip(kg.entities.names, degrees(kg.train, kg.num_entities).tolist(), strict=True))
    assert counts["ada"] == 4 + 2 + 1
    assert counts["gus"] == 0


def test_every_degree_is_in_the_class_whose_name_holds_it() -> None:
    names = degree_classes()
    assert len(names) == len(DEGREES)
    for degree, name in [(0, "0"), (1, "1"), (3, "2–4"), (9, "5–9"), (999, "500–999")]:
        assert names[int(degree_class(torch.tensor(degree)))] == name
    assert names[int(degree_class(torch.tensor(1000)))] == "1000 or more"


def oracle(kg: KnowledgeGraph) -> set[tuple[str, str, bool, int]]:
    """Relations that another one repeats, by sets of pairs."""
    links = {
        name: {(h, t) for h, r, t in kg.train.tolist() if r == i and h != t}
        for i, name in enumerate(kg.relations.names)
    }
    found = set()
    for one, own in links.items():
        for other, others in links.items():
            for exchanged in (False, True):
                if one == other and not exchanged:
                    continue
                met = own & ({(t, h) for h, t in others} if exchanged else others)
                if len(own) >= 5 and len(met) >= 0.8 * len(own):
                    found.add((one, other, exchanged, len(met)))
    return found


def test_inverse_symmetric_and_repeated_relations_are_found() -> None:
    pairs = [(f"e{i}", f"e{(3 * i + 1) % 11}") for i in range(11)]
    triples = [(h, "made", t) for h, t in pairs]
    triples += [(t, "made_by", h) for h, t in pairs[:10]]
    triples += [(h, "created", t) for h, t in pairs[:9]]
    triples += [(a, "near", b) for h, t in pairs[:4] for a, b in ((h, t), (t, h)) if a != b]
    triples += [("e0", "rare", "e1"), ("e5", "loop", "e5")]
    kg = KnowledgeGraph.of([*triples, triples[0]])
    found = {
        (one.relation, one.other, one.exchanged, round(one.share * one.triples))
        for one in copies(kg)
    }
    assert found == oracle(kg)
    assert {("made", "made_by"), ("near", "near"), ("created", "made")} <= {
        pair[:2] for pair in found
    }


def test_traps_count_relations_by_class(kg: KnowledgeGraph) -> None:
    traps = Traps.of(kg)
    assert sum(traps.classes.values()) == kg.num_relations
    assert traps.audit.splits["test"].triples_unseen == 1
