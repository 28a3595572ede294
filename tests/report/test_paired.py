"""Differences between runs, on the same queries and over seeds."""

import pytest
import torch
from scipy import stats

from dans.evaluation.evaluator import Ranks
from dans.report.paired import METRICS, gap, gaps, over_seeds


def ranks(rows: list[tuple[int, int]]) -> Ranks:
    """Triples without ties, by the ranks of head and tail."""
    table = torch.tensor(rows)
    triples = torch.arange(3 * len(rows)).view(-1, 3)
    return Ranks(triples, table, table, torch.full_like(table, 50))


def test_difference_is_that_of_the_reports_and_tested_by_triples() -> None:
    ours = ranks([(1, 2), (4, 1), (3, 12), (1, 1)])
    theirs = ranks([(2, 2), (5, 3), (3, 2), (9, 1)])
    found = {one.metric: one for one in gaps(ours, theirs)}
    assert tuple(found) == METRICS
    a, b = (1 / one.realistic for one in (ours, theirs))
    test = stats.ttest_rel(a.mean(1).numpy(), b.mean(1).numpy())
    mrr = found["mrr"]
    assert mrr.test.mean == pytest.approx(float(a.mean() - b.mean()))
    assert mrr.test.p == pytest.approx(float(test.pvalue))
    interval = test.confidence_interval(0.95)
    assert (mrr.test.low, mrr.test.high) == pytest.approx(
        (float(interval.low), float(interval.high))
    )
    assert (mrr.better, mrr.worse, mrr.test.count) == (4, 1, 4)
    assert found["hits@10"].test.mean == pytest.approx(-1 / 8)
    assert found["hits@1"].test.mean == pytest.approx((1 + 1 + 1) / 8)


def test_runs_that_agree_everywhere_have_no_interval() -> None:
    (one, *_) = gaps(ranks([(1, 2), (3, 4)]), ranks([(1, 2), (3, 4)]))
    assert (one.test.mean, one.test.low, one.test.high, one.better) == (0, None, None, 0)
    assert gap("mrr", torch.tensor([[0.5, 0.0]])).test.low is None


def test_other_triples_are_refused() -> None:
    with pytest.raises(ValueError, match="same triples in the same order"):
        gaps(ranks([(1, 2), (3, 4)]), ranks([(1, 2)]))


def test_runs_that_differ_by_seed_alone_are_one_recipe() -> None:
    def config(lr: float, seed: int) -> dict[str, object]:
        return {"data": "umls", "train": {"lr": lr, "seed": seed}}

    configs = {"A": config(0.1, 0), "B": config(0.1, 1), "C": config(0.2, 1), "D": config(0.2, 0)}
    values = (0.5, 0.6, 0.7, 0.9)
    (found,) = over_seeds(configs, [dict.fromkeys(METRICS, value) for value in values])
    assert (found.ours, found.theirs) == (("D", "C"), ("A", "B"))
    assert found.tests["mrr"].mean == pytest.approx((0.9 - 0.5 + 0.7 - 0.6) / 2)
    assert found.tests["mrr"].count == 2
    assert over_seeds({"A": configs["A"], "C": configs["C"]}, [{}, {}]) == []


def test_seeds_that_start_from_a_run_each_are_one_recipe_and_those_shared_are_named() -> None:
    def config(lr: float, seed: int, start: str) -> dict[str, object]:
        return {"train": {"lr": lr, "seed": seed}, "init_from": start}

    configs = {f"A{s}": config(0.1, s, f"before/seed{s}") for s in range(3)}
    configs |= {f"B{s}": config(0.2, s, f"before/seed{s}") for s in range(2)}
    (found,) = over_seeds(configs, [dict.fromkeys(METRICS, 0.1 * i) for i in range(5)])
    assert (found.ours, found.theirs) == (("B0", "B1"), ("A0", "A1"))
    others = {f"C{s}": config(0.1, s, f"other/seed{s}") for s in range(2)}
    (found,) = over_seeds(
        {"A0": configs["A0"], "A1": configs["A1"], **others},
        [dict.fromkeys(METRICS, 0.1 * i) for i in range(4)],
    )
    assert (found.ours, found.theirs) == (("C0", "C1"), ("A0", "A1"))
