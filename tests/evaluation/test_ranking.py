"""Ranks and metrics, against closed forms and torchmetrics."""

import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dans.evaluation.ranking import metrics, rank

SMALL = st.integers(0, 2**32 - 1)


def random_case(seed: int, levels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scores on few levels, so that ties abound; truths; other known answers."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(levels, (6, 9), generator=generator).double()
    truth = torch.randint(9, (6,), generator=generator)
    return scores, truth, torch.rand(6, 9, generator=generator) < 0.3


def pairs(known: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of a filter."""
    rows, columns = known.nonzero(as_tuple=True)
    return rows, columns


@given(seed=SMALL, levels=st.integers(1, 12))
def test_rank_is_the_mean_over_all_orders_of_the_ties(seed: int, levels: int) -> None:
    scores, truth, known = random_case(seed, levels)
    for row, gold in enumerate(truth.tolist()):
        competitors = [j for j in range(9) if j != gold and not known[row, j]]
        better = sum(bool(scores[row, j] > scores[row, gold]) for j in competitors)
        equal = sum(bool(scores[row, j] == scores[row, gold]) for j in competitors)
        orders = [1 + better + before for before in range(equal + 1)]
        assert rank(scores, truth, pairs(known))[row] == sum(orders) / len(orders)


@given(seed=SMALL)
def test_order_of_the_columns_changes_nothing(seed: int) -> None:
    scores, truth, known = random_case(seed, 4)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(seed))
    moved = rank(scores[:, order], order.argsort()[truth], pairs(known[:, order]))
    assert torch.equal(moved, rank(scores, truth, pairs(known)))


def test_the_right_answer_stays_in_the_race_though_it_is_known() -> None:
    scores = torch.tensor([[3.0, 2.0, 1.0]])
    truth = torch.tensor([2])
    known = torch.tensor([[True, False, True]])
    assert rank(scores, truth, pairs(known)).tolist() == [2.0]
    assert scores.tolist() == [[3.0, 2.0, 1.0]]


@pytest.mark.parametrize("gold", [-math.inf, math.inf, -1e9, 1e9])
def test_extreme_scores_have_ranks(gold: float) -> None:
    scores = torch.tensor([[gold, -math.inf, 0.0, math.inf, gold]])
    expected = {-math.inf: 4.0, -1e9: 3.5, 1e9: 2.5, math.inf: 2.0}
    assert rank(scores, torch.tensor([0])).tolist() == [expected[gold]]
    known = torch.tensor([[False, True, False, True, True]])
    alone = 1.0 if gold > 0 else 2.0
    assert rank(scores, torch.tensor([0]), pairs(known)).tolist() == [alone]


@pytest.mark.parametrize("known", [None, torch.tensor([[False, True, False]])])
def test_nan_has_no_rank(known: Tensor | None) -> None:
    filtered = None if known is None else pairs(known)
    with pytest.raises(FloatingPointError, match="row 0, column 1"):
        rank(torch.tensor([[1.0, math.nan, 0.0]]), torch.tensor([0]), filtered)


@pytest.mark.parametrize("n", [2, 30, 135])
def test_a_constant_model_gets_the_closed_forms(n: int) -> None:
    ranks = rank(torch.zeros(4, n), torch.arange(4) % n)
    numbers = metrics(ranks, torch.full((4,), n))
    assert numbers["mrr"] == pytest.approx(2 / (n + 1))
    assert numbers["mean_rank"] == (n + 1) / 2
    assert numbers["amri"] == pytest.approx(0)


def test_amri_of_perfect_and_worst() -> None:
    candidates = torch.tensor([4, 9])
    assert metrics(torch.tensor([1.0, 1.0]), candidates)["amri"] == 1
    assert metrics(torch.tensor([4.0, 9.0]), candidates)["amri"] == -1
    assert metrics(torch.tensor([1.0]), torch.tensor([1]))["amri"] == 0


def test_a_rank_of_one_and_a_half_is_no_hit_at_one() -> None:
    numbers = metrics(torch.tensor([1.5, 5.0, 5.5]), torch.tensor([9, 9, 9]), ks=(1, 2))
    assert (numbers["hits@1"], numbers["hits@2"]) == (0, pytest.approx(1 / 3))
    gains = 1 / math.log2(2.5) + 1 / math.log2(6)
    assert numbers["ndcg@5"] == pytest.approx(gains / 3)


def test_no_queries_have_no_mean() -> None:
    with pytest.raises(ValueError, match="got none"):
        metrics(torch.empty(0), torch.empty(0))


def test_torchmetrics_agrees_where_there_are_no_ties() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchmetrics import retrieval
    generator = torch.Generator().manual_seed(0)
    q, n = 30, 40
    scores = torch.rand(q, n, generator=generator).argsort(1).float() - 100
    truth = torch.randint(n, (q,), generator=generator)
    known = torch.rand(q, n, generator=generator) < 0.2
    numbers = metrics(rank(scores, truth, pairs(known)), torch.full((q,), n), ks=(1, 3, 10))

    # torchmetrics drops relevant items whose score is not positive, hence the shift.
    column = truth[:, None]
    keep = (~known).scatter(1, column, True)
    target = torch.zeros_like(known).scatter(1, column, True)[keep]
    indexes = torch.arange(q)[:, None].expand(q, n)[keep]
    preds = (scores - scores.amin(1, keepdim=True) + 1)[keep]
    theirs = {
        "mrr": retrieval.RetrievalMRR(),
        "ndcg@5": retrieval.RetrievalNormalizedDCG(top_k=5),
        "hits@1": retrieval.RetrievalHitRate(top_k=1),
        "hits@3": retrieval.RetrievalHitRate(top_k=3),
        "hits@10": retrieval.RetrievalHitRate(top_k=10),
    }
    for name, metric in theirs.items():
        assert float(metric(preds, target, indexes=indexes)) == pytest.approx(numbers[name]), name
