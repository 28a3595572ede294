"""Adjusted metrics against all ranks that random scores can give, one by one."""

from itertools import product

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.evaluation.adjusted import adjusted
from dans.evaluation.evaluator import Evaluator
from dans.evaluation.ranking import metrics
from dans.models.decoders import DistMult

CANDIDATES = torch.tensor([2, 5, 1, 4])
KS = (1, 3)


def test_expectation_and_deviation_are_those_of_all_ranks_equally_often() -> None:
    every = [
        torch.tensor(ranks, dtype=torch.float64)
        for ranks in product(*(range(1, c + 1) for c in CANDIDATES.tolist()))
    ]
    values = [metrics(ranks, CANDIDATES, ks=KS) for ranks in every]
    ours = torch.tensor([1.0, 3.5, 1.0, 2.0], dtype=torch.float64)
    found, of = adjusted(ours, CANDIDATES, ks=KS), metrics(ours, CANDIDATES, ks=KS)
    for name, sign in (("mean_rank", -1), ("mrr", 1), ("hits@1", 1), ("hits@3", 1)):
        all_values = torch.tensor([one[name] for one in values], dtype=torch.float64)
        mean, deviation = all_values.mean().item(), all_values.std(correction=0).item()
        assert found[f"z_{name}"] == pytest.approx(sign * (of[name] - mean) / deviation), name
        if sign > 0:
            assert found[f"adjusted_{name}"] == pytest.approx((of[name] - mean) / (1 - mean)), name
        else:
            assert found["amr"] == pytest.approx(of[name] / mean)
            assert found["amri"] == pytest.approx(1 - (of[name] - 1) / (mean - 1))
    assert found["amri"] == pytest.approx(of["amri"])


def test_a_perfect_model_has_one_and_a_query_without_competitors_none() -> None:
    perfect = adjusted(torch.ones(4), CANDIDATES, ks=KS)
    assert all(value == 1 for name, value in perfect.items() if name.startswith("adjusted"))
    assert perfect["amri"] == 1
    alone = adjusted(torch.ones(2), torch.tensor([1, 1]))
    assert alone.pop("amr") == 1
    assert set(alone.values()) == {0.0}


def test_many_candidates_lose_no_digits() -> None:
    n = 3_000_000
    every = torch.arange(1, n + 1, dtype=torch.float64)
    mean = (1 / every).mean().item()
    deviation = (1 / every).std(correction=0).item()
    found = adjusted(torch.tensor([2.0]), torch.tensor([n]))
    assert found["z_mrr"] == pytest.approx((0.5 - mean) / deviation, rel=1e-9)


def test_competitors_are_those_of_the_ranking(kg: KnowledgeGraph) -> None:
    """Not all entities: other known answers are none."""
    torch.manual_seed(0)
    evaluator = Evaluator(kg, "test")
    decoder, entities = DistMult(kg.num_relations, 4), torch.randn(kg.num_entities, 4)
    report, known = evaluator(decoder, entities), kg.known()
    candidates = [
        [
            kg.num_entities - len(known.heads(relation, tail)[0]) + 1,
            kg.num_entities - len(known.tails(head, relation)[0]) + 1,
        ]
        for head, relation, tail in (triple.split(1) for triple in kg.test)
    ]
    assert len({one for row in candidates for one in row}) > 1
    realistic = evaluator.ranks(decoder, entities).realistic
    for side, column in (("heads", 0), ("tails", 1)):
        own = torch.tensor(candidates)[:, column]
        assert report.adjusted[side] == adjusted(realistic[:, column], own)
    assert report.to_json()["adjusted"] == report.adjusted
    lines = report.adjusted_table()
    assert lines[0].split() == ["adjusted", "both", "heads", "tails"]
    assert [line.split()[0] for line in lines[1:]] == list(report.adjusted["both"])
