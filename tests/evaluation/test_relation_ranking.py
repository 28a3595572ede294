"""Relations are ranked as by hand, and the baselines count what they say."""

import math

import pytest
import torch

from dans.data.graph import SPLITS, KnowledgeGraph
from dans.evaluation.ranking import metrics
from dans.evaluation.relation_ranking import EndCounts, RelationPosterior, rank_relations
from dans.memory import Budget
from dans.models.decoders import DECODERS
from dans.registry import build


@pytest.mark.parametrize("name", ["distmult", "rotate", "transe"])
def test_relations_are_ranked_as_by_hand(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = {tuple(row) for row in torch.randint(6, (90, 3), generator=generator).tolist()}
    named = [(f"e{h}", f"r{r}", f"e{t}") for h, r, t in sorted(rows)]
    kg = KnowledgeGraph.of(named[::2], named[1::4], named[3::4])
    torch.manual_seed(0)
    decoder = build(DECODERS, name, num_relations=kg.num_relations, dim=4).double()
    entities = torch.randn(kg.num_entities, 4, dtype=torch.float64)
    known = {tuple(row) for split in SPLITS for row in kg.split(split).tolist()}
    counts = torch.bincount(kg.train[:, 1], minlength=kg.num_relations)
    train = kg.train.tolist()

    def posterior(h: int, x: int, t: int) -> float:
        r = torch.tensor([x])
        tails = decoder.score_query(decoder.tail_queries(entities[[h]], r), entities)
        heads = decoder.score_query(decoder.head_queries(r, entities[[t]]), entities)
        with_head = sum(triple[:2] == [h, x] for triple in train) + 0.03
        with_tail = sum(triple[1:] == [x, t] for triple in train) + 0.03
        return float(tails.softmax(0)[t] * heads.softmax(0)[h]) * with_head * with_tail

    expected: dict[str, list[float]] = {"model": [], "scores": [], "frequency": []}
    candidates = []
    for h, r, t in kg.test.tolist():
        others = [x for x in range(kg.num_relations) if (h, x, t) not in known]
        candidates.append(1 + len(others))
        with torch.no_grad():
            own = [
                decoder.score_query(
                    decoder.tail_queries(entities[[h]], torch.tensor([x])), entities[[t]]
                ).item()
                for x in range(kg.num_relations)
            ]
            by_rule = [posterior(h, x, t) for x in range(kg.num_relations)]
        for key, scores in (
            ("model", by_rule),
            ("scores", own),
            ("frequency", counts.tolist()),
        ):
            above = sum(scores[x] > scores[r] for x in others)
            equal = sum(scores[x] == scores[r] for x in others)
            expected[key].append(1 + above + equal / 2)
    assert len(set(candidates)) > 1, "something is filtered"

    report = rank_relations(kg, "test", decoder, entities)
    for key, ranks in expected.items():
        by_hand = metrics(torch.tensor(ranks), torch.tensor(candidates))
        got = getattr(report, key)
        assert {k.removeprefix("relation_"): v for k, v in got.items()} == pytest.approx(by_hand)
    assert report.protocol["relations"] == kg.num_relations
    # A budget for a few pairs at a time changes nothing.
    assert rank_relations(kg, "test", decoder, entities, budget=Budget(20_000)) == report
    plain = rank_relations(kg, "test", decoder, entities, order="scores")
    assert plain.model == plain.scores == report.scores != report.model
    assert [line.split()[0] for line in plain.table()[2:]] == ["model", "frequency", "ends"]
    rows = [line.split() for line in str(report).splitlines()[2:]]
    numbers = {name: getattr(report, name) for name in ("model", "scores", "frequency", "ends")}
    assert {row[0]: float(row[1]) for row in rows} == pytest.approx(
        {name: values["relation_mrr"] for name, values in numbers.items()}, abs=5e-5
    )


@pytest.mark.parametrize("name", ["complex", "rotate"])
def test_posterior_is_one_distribution_that_no_shift_of_scores_moves(
    kg: KnowledgeGraph, name: str
) -> None:
    torch.manual_seed(0)
    given = {"num_relations": kg.num_relations, "dim": 4, "reciprocal": True}
    decoder = build(DECODERS, name, **given)
    torch.nn.init.normal_(decoder.relation.weight)
    entities = torch.randn(kg.num_entities, 4)
    heads, tails = kg.train[:6, 0], kg.train[:6, 2]
    found = RelationPosterior(kg, decoder, entities)
    logs = found(heads, tails)
    assert torch.allclose(logs.exp().sum(1), torch.ones(6).double())
    # Few relations at a time, pairs in another order: the same numbers to the last bits.
    few = RelationPosterior(kg, decoder, entities)
    few.rows = 1
    assert torch.allclose(few(heads.flip(0), tails.flip(0)), logs.flip(0), atol=1e-5)
    decoder.shift = 7.0
    assert torch.allclose(found(heads, tails), logs, atol=1e-4)


def test_counts_of_ends_are_naive_bayes(kg: KnowledgeGraph) -> None:
    counts = EndCounts(kg)
    heads = torch.tensor([kg.entities.index("ada"), kg.entities.index("gus")])
    tails = torch.tensor([kg.entities.index("tea"), kg.entities.index("tea")])
    train, n = kg.train.tolist(), kg.num_entities
    for row, scores in enumerate(counts(heads, tails).tolist()):
        for r, score in enumerate(scores):
            own = [triple for triple in train if triple[1] == r]
            with_head = sum(triple[0] == int(heads[row]) for triple in own)
            with_tail = sum(triple[2] == int(tails[row]) for triple in own)
            odds = (with_head + 1) * (with_tail + 1) / (len(own) + n) ** 2
            assert score == pytest.approx(math.log(len(own) * odds))


def test_a_relation_without_training_triples_comes_last() -> None:
    kg = KnowledgeGraph.of([("a", "r", "b"), ("b", "r", "c")], test=[("a", "s", "c")])
    decoder = build(DECODERS, "distmult", num_relations=2, dim=2)
    report = rank_relations(kg, "test", decoder, torch.ones(3, 2))
    assert report.ends["relation_mean_rank"] == report.frequency["relation_mean_rank"] == 2
