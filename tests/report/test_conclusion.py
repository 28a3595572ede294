"""The conclusion says which run is best, by how much, and whether significantly."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.evaluation.evaluator import Evaluator, Ranks
from dans.evaluation.sampled_ranking import SampledEvaluator
from dans.report.conclusion import Ranked, conclusion, pairs, random_mrr
from dans.report.paired import gaps


def ranked(kg: KnowledgeGraph, letter: str, table: Tensor) -> Ranked:
    """A run by the (f, 2) ranks of its right answers among eight candidates."""
    triples = torch.arange(3 * len(table)).view(-1, 3)
    ranks = Ranks(triples, table, table, torch.full_like(table, 8))
    return Ranked(letter, f"runs/{letter.lower()}", Evaluator(kg, "test").report(ranks), ranks)


@pytest.fixture
def tables() -> dict[str, Tensor]:
    """Ranks of one hundred triples: good and bad ones, and the good ones with a little noise."""
    torch.manual_seed(0)
    good = torch.randint(1, 4, (100, 2))
    noise = torch.randint(-1, 2, (100, 2)) * (torch.rand(100, 2) < 0.1)
    return {"good": good, "alike": (good + noise).clamp(1, 8), "bad": good + 3}


def test_clear_lead_stands_with_its_size_interval_and_p(
    kg: KnowledgeGraph, tables: dict[str, Tensor]
) -> None:
    bad, good = ranked(kg, "A", tables["bad"]), ranked(kg, "B", tables["good"])
    said, how = conclusion([bad, good], "toy")
    gap = gaps(good.ranks, bad.ranks)[0].test
    assert said.startswith("B (runs/b) is significantly better than A (runs/a): test MRR ")
    assert f"{good.mrr:.4f} against {bad.mrr:.4f}, a difference of {gap.mean:.4f} " in said
    assert said.endswith(f"(95 % interval +{gap.low:.4f} to +{gap.high:.4f}, p < 0.001).")
    assert "100 test triples, other true answers of train, valid, test left out" in how
    assert "another seed may give another order" in how
    good, bad = replace(good, letter="A", name="runs/a"), replace(bad, letter="B", name="runs/b")
    turned = conclusion([good, bad], "toy")[0]
    assert turned.startswith("A (runs/a) is significantly better than B (runs/b): test MRR ")
    assert turned.partition("test MRR")[2] == said.partition("test MRR")[2]


def test_runs_of_different_protocols_are_not_compared(
    kg: KnowledgeGraph, tables: dict[str, Tensor]
) -> None:
    exact, other = ranked(kg, "A", tables["good"]), ranked(kg, "B", tables["bad"])
    report = SampledEvaluator(kg, "test", candidates=3).report(other.ranks)
    sampled = replace(other, report=report)
    refused = "runs/b: ranked among 3 candidates .*; runs/a: all ranked; not comparable"
    with pytest.raises(InputError, match=refused):
        conclusion([exact, sampled], "toy")
    also = replace(exact, report=SampledEvaluator(kg, "test", candidates=3).report(exact.ranks))
    how = conclusion([also, sampled], "toy")[-1]
    assert how.startswith("Test triples: ranked among 3 candidates drawn from all entities")


def test_small_lead_is_not_significant(kg: KnowledgeGraph, tables: dict[str, Tensor]) -> None:
    said = conclusion([ranked(kg, "A", tables["alike"]), ranked(kg, "B", tables["good"])], "toy")[0]
    assert " is not significantly better than " in said


def test_share_that_contradicts_the_mrr_is_named(kg: KnowledgeGraph) -> None:
    # The first answers right more often, and all others farther down.
    sharp = torch.tensor([[1, 1], [12, 12]]).repeat(30, 1)
    broad = torch.tensor([[2, 2], [2, 2]]).repeat(30, 1)
    said = conclusion([ranked(kg, "A", sharp), ranked(kg, "B", broad)], "toy")[0]
    assert "; but A ranks the right answer first in 50.0 % of the queries, B in 0.0 %" in said
    assert ", and B ranks the right answer among the first ten in 100.0 % of the queries" in said


def test_of_several_the_best_is_held_against_the_second_and_p_is_corrected(
    kg: KnowledgeGraph, tables: dict[str, Tensor]
) -> None:
    runs = [ranked(kg, letter, tables[name]) for letter, name in zip("ABC", tables, strict=True)]
    first, *others = reversed(runs)
    found = pairs([first, *others])
    best, second = sorted(others, key=lambda run: -run.mrr)
    assert [(pair.ours, pair.theirs) for pair in found] == [
        (best, second),
        (others[0], first),
        (others[1], first),
    ]
    plain = gaps(best.ranks, second.ranks)[0].test.p
    # The largest of three p values stays as it is.
    assert found[0].mrr.test.p == pytest.approx(plain)
    smallest = min(gaps(run.ranks, first.ranks)[0].test.p for run in others)
    assert min(pair.mrr.test.p for pair in found) == pytest.approx(3 * smallest)
    said = conclusion([first, *others], "toy")
    assert said[0] == f"{best.letter} ({best.name}) has the highest test MRR, {best.mrr:.4f}."
    assert " ".join(said).count(f"({best.name})") == 1
    assert "corrected for 3 comparisons (Holm)" in said[-1]


def test_equal_runs_are_called_equal(kg: KnowledgeGraph, tables: dict[str, Tensor]) -> None:
    runs = [ranked(kg, letter, tables["good"]) for letter in "AB"]
    said = conclusion(runs, "toy")[0]
    assert said == f"B (runs/b) and A (runs/a) have the same test MRR {runs[0].mrr:.4f}."


def test_a_constant_difference_has_no_test(kg: KnowledgeGraph) -> None:
    runs = [ranked(kg, "A", torch.full((9, 2), 2)), ranked(kg, "B", torch.full((9, 2), 1))]
    assert math.isnan(pairs(runs)[0].mrr.test.p)
    said = conclusion(runs, "toy")[0]
    assert said == "B (runs/b) is above A (runs/a), untested: test MRR 1.0000 against 0.5000."


def test_one_run_is_held_against_random_order(kg: KnowledgeGraph) -> None:
    run = ranked(kg, "A", torch.tensor([[1, 2], [1, 11]]))
    said, how = conclusion([run], "toy")
    assert "first in 50.0 % of the 4 test queries of toy" in said
    assert "first ten in 75.0 %" in said
    expected = sum(1 / rank for rank in range(1, 9)) / 8
    assert random_mrr(run.ranks) == pytest.approx(expected, abs=1e-6)
    assert f"random order gives {expected:.4f}" in said
    assert "t-test" not in how


def test_names_with_marks_of_any_kind_stay_as_they_are(kg: KnowledgeGraph) -> None:
    runs = [ranked(kg, "A", torch.full((9, 2), 2)), ranked(kg, "B", torch.full((9, 2), 1))]
    odd = [replace(run, name=r"\1 {B} \g<1>") for run in runs]
    assert r"B (\1 {B} \g<1>) is above A (\1 {B} \g<1>)" in conclusion(odd, "toy")[0]
