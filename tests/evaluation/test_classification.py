"""Triple classification, against scikit-learn, closed forms and brute force."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dans.errors import InputError
from dans.evaluation.classification import (
    accuracy,
    auc,
    average_precision,
    best_threshold,
    brier,
    classification,
    nll,
    thresholds,
)

SMALL = st.integers(0, 2**32 - 1)


def case(seed: int, size: int = 30) -> tuple[Tensor, Tensor]:
    """Logits on few levels, so that ties abound, many beyond [0, 1]; labels of both kinds."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-40, 60, (size,), generator=generator).float().div(4).round()
    labels = torch.rand(size, generator=generator) < 0.4
    labels[:2] = torch.tensor([True, False])
    return scores, labels


@settings(deadline=None)  # the first call imports torchmetrics
@given(seed=SMALL)
def test_auc_is_the_share_of_pairs_in_order(seed: int) -> None:
    scores, labels = case(seed)
    true, false = scores[labels][:, None], scores[~labels]
    pairs = (true > false).double() + (true == false).double() / 2
    assert auc(scores, labels) == pytest.approx(pairs.mean().item())


@pytest.mark.parametrize("shift", [-1000.0, 0.0, 1000.0])
def test_auc_depends_on_the_order_alone(shift: float) -> None:
    scores, labels = torch.tensor([30.0, 25.0, 50.0, 40.0]), torch.tensor([1, 0, 1, 0])
    assert auc(scores + shift, labels) == 0.75
    assert auc(scores.sigmoid().double() + shift, labels) < 1
    assert auc(-scores, labels) == 0.25


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scikit_learn_agrees(seed: int) -> None:
    peer = pytest.importorskip("sklearn.metrics")
    scores, labels = case(seed)
    scores = scores / 4
    probability = scores.double().sigmoid()
    assert auc(scores, labels) == pytest.approx(peer.roc_auc_score(labels, scores))
    expected = peer.average_precision_score(labels, scores)
    assert average_precision(scores, labels) == pytest.approx(expected)
    assert brier(scores, labels) == pytest.approx(peer.brier_score_loss(labels, probability))
    assert nll(scores, labels) == pytest.approx(peer.log_loss(labels, probability))
    assert accuracy(scores, labels, 0.5) == peer.accuracy_score(labels, scores >= 0.5)


def test_a_model_that_says_nothing_gets_the_closed_forms() -> None:
    _, labels = case(0)
    numbers = classification(torch.zeros(30), labels)
    assert numbers["nll"] == pytest.approx(math.log(2))
    assert numbers["brier"] == 0.25
    assert numbers["auc"] == 0.5
    assert numbers["average_precision"] == pytest.approx(labels.double().mean().item())
    assert numbers["accuracy"] == pytest.approx(labels.double().mean().item())
    assert numbers["triples"] == 30


def test_certainty_is_rewarded_and_punished() -> None:
    labels = torch.tensor([True, False])
    for size in (1e9, math.inf):
        right = torch.tensor([size, -size])
        assert (brier(right, labels), nll(right, labels)) == (0, 0)
        assert brier(-right, labels) == 1
        assert nll(-right, labels) == size


@given(seed=SMALL)
def test_no_threshold_is_better_than_the_best(seed: int) -> None:
    scores, labels = case(seed, 12)
    best = accuracy(scores, labels, best_threshold(scores, labels))
    for cut in (-math.inf, *(scores - 0.1).tolist(), math.inf):
        assert accuracy(scores, labels, cut) <= best


def test_the_threshold_lies_midway() -> None:
    scores, labels = torch.tensor([1.0, 4.0, -3.0]), torch.tensor([True, True, False])
    assert best_threshold(scores, labels) == -1
    assert best_threshold(scores, torch.ones(3)) == -math.inf
    assert best_threshold(scores, torch.zeros(3)) == math.inf
    infinite = torch.tensor([-math.inf, math.inf])
    assert accuracy(infinite, infinite > 0, best_threshold(infinite, infinite > 0)) == 1


def test_each_relation_gets_its_threshold_and_others_the_common_one() -> None:
    scores = torch.tensor([1.0, 3.0, 11.0, 13.0])
    labels, relations = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 2, 2])
    cuts = thresholds(scores, labels, relations, 3)
    assert cuts.tolist() == [2, best_threshold(scores, labels), 12]
    assert accuracy(scores, labels, cuts[relations]) == 1
    assert accuracy(scores, labels, best_threshold(scores, labels)) < 1


def test_integer_and_boolean_labels_are_alike() -> None:
    scores, labels = case(3)
    for other in (labels.long(), labels.float()):
        assert classification(scores, other) == classification(scores, labels)


@pytest.mark.parametrize("metric", [auc, average_precision, brier, nll, accuracy, best_threshold])
def test_what_cannot_be_evaluated_is_refused(metric: object) -> None:
    assert callable(metric)
    with pytest.raises(InputError, match="expected 0 and 1, or bool, got -1"):
        metric(torch.zeros(2), torch.tensor([1, -1]))
    with pytest.raises(FloatingPointError, match="NaN at 1"):
        metric(torch.tensor([0.0, math.nan]), torch.tensor([1, 0]))
    with pytest.raises(InputError, match="got none"):
        metric(torch.empty(0), torch.empty(0))
    with pytest.raises(ValueError, match="one per score"):
        metric(torch.zeros(2), torch.zeros(3))


@pytest.mark.parametrize("metric", [auc, average_precision])
def test_one_class_has_no_order(metric: object) -> None:
    assert callable(metric)
    with pytest.raises(InputError, match="all are 1"):
        metric(torch.zeros(2), torch.ones(2))
