"""Metrics by part against a loop over queries; classes, degrees, and redundant relations."""

import dataclasses

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.evaluation.evaluator import Evaluator, Ranks
from dans.evaluation.grouped_metrics import (
    DEGREES,
    classify,
    degree_class,
    degree_classes,
    degrees,
)
from dans.models.decoders import DistMult
from dans.report.breakdown import (
    DataSet,
    by_class,
    by_degree,
    by_relation,
    redundant_relations,
)


@pytest.fixture
def ranks(kg: KnowledgeGraph) -> list[Ranks]:
    """Of two random models."""
    torch.manual_seed(0)
    evaluator = Evaluator(kg, "test")
    decoder = DistMult(kg.num_relations, 4)
    return [evaluator.ranks(decoder, torch.randn(kg.num_entities, 4)) for _ in range(2)]


def oracle(ranks: Ranks, groups: list[tuple[str, str]]) -> dict[str, list[float | None]]:
    """MRR of both, heads and tails, and Hits@10, by the group of each query."""
    found: dict[str, list[float | None]] = {}
    for name in {name for pair in groups for name in pair}:
        gains = (1 / ranks.realistic).tolist()
        heads = [gains[i][0] for i, (one, _) in enumerate(groups) if one == name]
        tails = [gains[i][1] for i, (_, one) in enumerate(groups) if one == name]
        every = heads + tails
        near = [gain for gain in every if gain >= 0.1]
        found[name] = [
            sum(part) / len(part) if part else None for part in (every, heads, tails)
        ] + [len(near) / len(every)]
    return found


def test_parts_agree_with_a_loop(kg: KnowledgeGraph, ranks: list[Ranks]) -> None:
    classes = classify(kg.train, kg.num_relations)
    every = degree_classes()
    places = degree_class(degrees(kg.train, kg.num_entities)).tolist()
    triples = kg.test.tolist()
    breakdowns = [
        (by_class, [(classes[r],) * 2 for _, r, _ in triples]),
        (by_relation, [(kg.relations[r],) * 2 for _, r, _ in triples]),
        (by_degree, [(every[places[h]], every[places[t]]) for h, _, t in triples]),
    ]
    for breakdown, groups in breakdowns:
        parts = breakdown(kg, ranks)
        assert sum(part.queries for part in parts) == 2 * len(triples)
        for i, one in enumerate(ranks):
            wanted = oracle(one, groups)
            assert wanted.keys() == {part.name for part in parts}
            for part in parts:
                scores = part.scores[i]
                found = [scores.mrr, scores.heads, scores.tails, scores.hits]
                assert found == pytest.approx(wanted[part.name])


def test_relations_come_by_queries_with_class_and_size(
    kg: KnowledgeGraph, ranks: list[Ranks]
) -> None:
    parts = by_relation(kg, ranks)
    assert [part.queries for part in parts] == sorted(
        (part.queries for part in parts), reverse=True
    )
    owns = next(part for part in parts if part.name == "owns")
    assert owns.about == {"class": "1-1", "training triples": 4}


def test_a_repeated_training_triple_counts_once(kg: KnowledgeGraph, ranks: list[Ranks]) -> None:
    twice = dataclasses.replace(kg, train=kg.train.repeat(2, 1))
    assert by_relation(twice, ranks) == by_relation(kg, ranks)


def test_answer_that_training_never_saw_has_degree_zero(
    kg: KnowledgeGraph, ranks: list[Ranks]
) -> None:
    zero = by_degree(kg, ranks)[0]
    assert (zero.name, zero.queries, zero.scores[0].tails) == ("0", 1, None)


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


def repeating(kg: KnowledgeGraph) -> set[tuple[str, str, bool, int]]:
    """Redundant relations, by sets of pairs."""
    links = {
        name: {(h, t) for h, r, t in kg.train.tolist() if r == i and h != t}
        for i, name in enumerate(kg.relations.names)
    }
    found = set()
    for one, own in links.items():
        for other, others in links.items():
            for inverse in (False, True):
                if one == other and not inverse:
                    continue
                met = own & ({(t, h) for h, t in others} if inverse else others)
                if len(own) >= 5 and len(met) >= 0.8 * len(own):
                    found.add((one, other, inverse, len(met)))
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
        (one.relation, one.other, one.inverse, round(one.share * one.triples))
        for one in redundant_relations(kg)
    }
    assert found == repeating(kg)
    assert {("made", "made_by"), ("near", "near"), ("created", "made")} <= {
        pair[:2] for pair in found
    }


def test_data_set_counts_relations_by_class(kg: KnowledgeGraph) -> None:
    data = DataSet.of(kg)
    assert sum(data.classes.values()) == kg.num_relations
    assert data.audit.splits["test"].triples_unseen == 1
