"""Ranking among the candidates of a restriction, against ranks counted one by one."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.evaluation.candidate_sets import CandidateSets, Restriction
from dans.evaluation.evaluator import Evaluator
from dans.evaluation.restricted_ranking import RestrictedEvaluator
from dans.memory import Budget
from dans.models.decoders import DECODERS, Decoder
from dans.registry import build

AMONG: list[Any] = ["domain-range", ["ada", "bob", "pot"], ["gus"]]


def model(kg: KnowledgeGraph, name: str = "complex") -> tuple[Decoder, Tensor]:
    torch.manual_seed(1)
    decoder = build(DECODERS, name, num_relations=kg.num_relations, dim=6)
    entities = torch.randn(kg.num_entities, 6, dtype=torch.float64)
    entities[4] = entities[3]  # a tie
    return decoder.double(), entities


@torch.no_grad()
def by_hand(
    kg: KnowledgeGraph, sets: CandidateSets, decoder: Decoder, entities: Tensor
) -> list[list[tuple[int, int, int]]]:
    """Optimistic and pessimistic ranks and candidates of all sides, one entity at a time."""
    known = {tuple(row) for split in ("train", "valid", "test") for row in kg.split(split).tolist()}  # type: ignore[arg-type]
    decoder.eval()
    found = []
    for triple in kg.test.tolist():
        sides = []
        for side in (0, 1):
            h, r, t = (torch.tensor([x]) for x in triple)
            query = (
                decoder.tail_queries(entities[h], r)
                if side
                else decoder.head_queries(r, entities[t])
            )
            scores = decoder.score_query(query, entities).flatten()
            gold = triple[2 * side]
            others = []
            for e in range(kg.num_entities):
                other = tuple(e if i == 2 * side else x for i, x in enumerate(triple))
                slot = torch.tensor([2 * triple[1] + side])
                if other not in known and sets.holds(slot, torch.tensor([e])):
                    others.append(e)
            above = sum(bool(scores[e] > scores[gold]) for e in others)
            equal = sum(bool(scores[e] == scores[gold]) for e in others)
            sides.append((1 + above, 1 + above + equal, 1 + len(others)))
        found.append(sides)
    return found


@pytest.mark.parametrize("name", ["complex", "rotate", "transe"])
@pytest.mark.parametrize("among", AMONG, ids=str)
def test_ranks_are_those_counted_by_hand(kg: KnowledgeGraph, name: str, among: Any) -> None:
    decoder, entities = model(kg, name)
    sets = Restriction(among).sets(kg)
    evaluator = RestrictedEvaluator(kg, "test", sets)
    ranks = evaluator.ranks(decoder, entities)
    got = torch.stack((ranks.optimistic, ranks.pessimistic, ranks.candidates), -1)
    assert torch.equal(got, torch.tensor(by_hand(kg, sets, decoder, entities)))
    # A budget changes nothing.
    small = RestrictedEvaluator(kg, "test", sets, budget=Budget(30_000))
    assert torch.equal(small.ranks(decoder, entities).optimistic, ranks.optimistic)


def test_all_entities_as_candidates_give_the_exact_ranks(kg: KnowledgeGraph) -> None:
    decoder, entities = model(kg)
    everyone = Restriction(kg.entities.names).sets(kg)
    evaluator, exact = RestrictedEvaluator(kg, "test", everyone), Evaluator(kg, "test")
    restricted, plain = evaluator(decoder, entities), exact(decoder, entities)
    assert {k.removeprefix("restricted_"): v for k, v in restricted.both.items()} == plain.both
    assert restricted.protocol["candidates"]["outside"] == {"heads": 0, "tails": 0}


def test_few_candidates_are_scored_alone(kg: KnowledgeGraph) -> None:
    evaluator = RestrictedEvaluator(kg, "test", Restriction(["cup"]).sets(kg), most=1)
    assert evaluator.columns is not None
    assert len(evaluator.columns) <= 3
    decoder, entities = model(kg)
    left = torch.ones(kg.num_entities, dtype=torch.bool)
    left[evaluator.columns] = False
    entities[left] = torch.nan
    assert evaluator(decoder, entities).both["queries"] == 2
    entities[kg.entities.index("cup")] = torch.nan
    with pytest.raises(FloatingPointError, match="entity 'cup' is NaN"):
        evaluator(decoder, entities)


def test_a_report_says_what_is_restricted(kg: KnowledgeGraph) -> None:
    report = RestrictedEvaluator(kg, "test", CandidateSets.seen(kg))(*model(kg))
    # (ada, owns, bob), (gus, knows, bob) and (map, knows, bob) have an end that is not seen there.
    assert report.protocol["candidates"]["outside"] == {"heads": 2, "tails": 1}
    assert report.protocol["candidates"]["among"] == "domain-range"
    assert report.prefix == "restricted_"
    assert report.selection_metric == report.both["restricted_mrr"]
    assert "3 of 10 right answers are not there" in report.table()[0]
    assert "mrr" not in report.both
