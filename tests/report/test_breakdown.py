"""Parts of the queries, against a loop over them."""

import dataclasses

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.evaluation.evaluator import Evaluator, Ranks
from dans.models.decoders import DistMult
from dans.report.breakdown import by_class, by_degree, by_relation
from dans.report.data_section import classify, degree_class, degree_classes, degrees


@pytest.fixture
def ranks(kg: KnowledgeGraph) -> list[Ranks]:
    """Of two models that know nothing."""
    torch.manual_seed(0)
    evaluator = Evaluator(kg, "test")
    decoder = DistMult(kg.num_relations, 4)
    return [evaluator.ranks(decoder, torch.randn(kg.num_entities, 4)) for _ in range(2)]


def oracle(ranks: Ranks, groups: list[tuple[str, str]]) -> dict[str, list[float | None]]:
    """MRR of both, heads and tails, and Hits@10, by the group of each query."""
    found: dict[str, list[float | None]] = {}
    for name in {name for pair in groups for name in pair}:
        heads = [1 / float(ranks.heads[i]) for i, (one, _) in enumerate(groups) if one == name]
        tails = [1 / float(ranks.tails[i]) for i, (_, one) in enumerate(groups) if one == name]
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
    ways = [
        (by_class, [(classes[r],) * 2 for _, r, _ in triples]),
        (by_relation, [(kg.relations[r],) * 2 for _, r, _ in triples]),
        (by_degree, [(every[places[h]], every[places[t]]) for h, _, t in triples]),
    ]
    for way, groups in ways:
        parts = way(kg, ranks)
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
