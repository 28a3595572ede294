"""Scores and labels in, numbers out: is a triple true, and how sure is the model?

Only for triples that are labelled true or false: most data sets have no false ones, and a number
computed from made-up negatives measures how they were made up.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from dans.errors import InputError
from dans.models.auc import share_above


def auc(scores: Tensor, labels: Tensor) -> float:
    """The probability that a true triple scores above a false one, ties counting half.

    Args:
        scores: (f,) logits, larger is truer.
        labels: (f,) bool, or 0 and 1.

    Raises:
        FloatingPointError: a score is NaN.
        InputError: a label is neither 0 nor 1, or one class has no triples.

    Example:
        >>> auc(torch.tensor([30., 25., 50., 40.]), torch.tensor([1, 0, 1, 0]))
        0.75
    """
    scores, labels = checked(scores, labels)
    _refuse_one_class(labels)
    return share_above(scores[labels == 1], scores[labels == 0])


def average_precision(scores: Tensor, labels: Tensor) -> float:
    """The mean of precision over recall: Σ_i (R_i − R_{i−1}) P_i over the distinct scores.

    Args:
        scores: (f,) logits.
        labels: (f,) bool, or 0 and 1.

    Raises:
        FloatingPointError: a score is NaN.
        InputError: a label is neither 0 nor 1, or one class has no triples.
    """
    from torchmetrics.functional.classification import binary_average_precision

    scores, labels = checked(scores, labels)
    _refuse_one_class(labels)
    # torchmetrics takes a sigmoid of what lies outside [0, 1], where large logits become ties.
    return float(binary_average_precision(_spread(scores), labels))


def brier(scores: Tensor, labels: Tensor) -> float:
    """The mean squared error of the probabilities: mean (σ(φ) − y)².

    Source: Brier 1950, Verification of forecasts expressed in terms of probability.

    Args:
        scores: (f,) logits φ.
        labels: (f,) y, bool, or 0 and 1.

    Raises:
        FloatingPointError: a score is NaN.
        InputError: a label is neither 0 nor 1.

    Example:
        >>> brier(torch.zeros(2), torch.tensor([True, False]))
        0.25
    """
    from torchmetrics.functional.regression import mean_squared_error

    scores, labels = checked(scores, labels)
    return float(mean_squared_error(scores.sigmoid(), labels.double()))


def nll(scores: Tensor, labels: Tensor) -> float:
    """The mean negative log-likelihood: mean softplus(−(2y − 1) φ).

    Args:
        scores: (f,) logits φ.
        labels: (f,) y, bool, or 0 and 1.

    Raises:
        FloatingPointError: a score is NaN.
        InputError: a label is neither 0 nor 1.

    Example:
        >>> round(nll(torch.zeros(2), torch.tensor([True, False])), 4)
        0.6931
    """
    scores, labels = checked(scores, labels)
    return float(F.softplus(-(2 * labels - 1) * scores).mean())


def accuracy(scores: Tensor, labels: Tensor, threshold: Tensor | float = 0.0) -> float:
    """The share of triples on the right side of a threshold: true if φ ≥ threshold.

    Args:
        scores: (f,) logits.
        labels: (f,) bool, or 0 and 1.
        threshold: one for all, or (f,) one for each, as ``thresholds`` picks them by relation.

    Raises:
        FloatingPointError: a score is NaN.
        InputError: a label is neither 0 nor 1.

    Example:
        >>> accuracy(torch.tensor([2., 1., 0.]), torch.tensor([True, True, False]), 1.5)
        0.6666666666666666
    """
    scores, labels = checked(scores, labels)
    return float(((scores >= threshold) == labels.bool()).double().mean())


def best_threshold(scores: Tensor, labels: Tensor) -> float:
    """A threshold of highest accuracy, midway between the scores it parts; picked on validation.

    Of several equally good ones the lowest is taken. It is −∞ or +∞ where one verdict serves all.

    Args:
        scores: (f,) logits.
        labels: (f,) bool, or 0 and 1.

    Raises:
        FloatingPointError: a score is NaN.
        InputError: a label is neither 0 nor 1, or there are none.

    Example:
        >>> best_threshold(torch.tensor([3., 1., 2.]), torch.tensor([True, False, True]))
        1.5
    """
    scores, labels = checked(scores, labels)
    levels, place = scores.unique(return_inverse=True)
    true = torch.bincount(place, labels.double(), minlength=len(levels))
    false = torch.bincount(place, 1 - labels.double(), minlength=len(levels))
    none = true.new_zeros(1)
    # Cutting below level i, the false before it and the true from it on are right.
    right = torch.cat((none, false.cumsum(0))) - torch.cat((none, true.cumsum(0)))
    middle = (levels[1:] + levels[:-1]) / 2
    middle = torch.where(middle.isfinite(), middle, levels[1:])
    cuts = torch.cat((none - torch.inf, middle, none + torch.inf))
    return float(cuts[right.argmax()])


def thresholds(scores: Tensor, labels: Tensor, relations: Tensor, num_relations: int) -> Tensor:
    """The best threshold of each relation, as triple classification wants it.

    Source: Socher et al. 2013, Reasoning with neural tensor networks, §4.2.

    Args:
        scores: (f,) logits of validation triples.
        labels: (f,) bool, or 0 and 1.
        relations: (f,) ids.
        num_relations: m.

    Returns:
        (m,) float64; a relation without a triple gets the best threshold over all.

    Raises:
        FloatingPointError: a score is NaN.
        InputError: a label is neither 0 nor 1, or there are none.
    """
    best = scores.new_full((num_relations,), best_threshold(scores, labels), dtype=torch.float64)
    for relation in relations.unique().tolist():
        rows = relations == relation
        best[relation] = best_threshold(scores[rows], labels[rows])
    return best


def classification(
    scores: Tensor, labels: Tensor, threshold: Tensor | float = 0.0
) -> dict[str, float]:
    """All of the above by name: auc, average_precision, brier, nll, accuracy, triples.

    Args:
        scores: (f,) logits.
        labels: (f,) bool, or 0 and 1.
        threshold: for the accuracy.

    Raises:
        FloatingPointError: a score is NaN.
        InputError: a label is neither 0 nor 1, or one class has no triples.
    """
    return {
        "auc": auc(scores, labels),
        "average_precision": average_precision(scores, labels),
        "brier": brier(scores, labels),
        "nll": nll(scores, labels),
        "accuracy": accuracy(scores, labels, threshold),
        "triples": len(scores),
    }


def both_kinds(labels: Tensor) -> bool:
    """Do some triples hold, and some not?

    Example:
        >>> both_kinds(torch.tensor([True, False])), both_kinds(torch.tensor([1, 1]))
        (True, False)
    """
    return bool(labels.any()) and not bool(labels.all())


def checked(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Scores as float64, labels as int64; both detached.

    Args:
        scores: (f,) logits.
        labels: (f,) bool, or 0 and 1.

    Raises:
        FloatingPointError: a score is NaN.
        InputError: a label is neither 0 nor 1, or there are none.
        ValueError: there are not as many labels as scores.
    """
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(
            f"labels: expected one per score, got {tuple(labels.shape)} for {tuple(scores.shape)}"
        )
    if not len(scores):
        raise InputError("labels: expected at least one triple, got none")
    if scores.isnan().any():
        raise FloatingPointError(f"scores: NaN at {int(scores.isnan().nonzero()[0])}")
    wrong = labels[(labels != 0) & (labels != 1)]
    if len(wrong):
        raise InputError(f"labels: expected 0 and 1, or bool, got {wrong[0].item()}")
    return scores.detach().double(), labels.detach().long()


def _refuse_one_class(labels: Tensor) -> None:
    if not both_kinds(labels):
        raise InputError(
            f"labels: all are {int(labels[0])}; true and false triples are both needed"
        )


def _spread(scores: Tensor) -> Tensor:
    """The order of the scores, ties kept, as float64 within (0, 1)."""
    levels, place = scores.unique(return_inverse=True)
    return torch.div(place.double() + 0.5, len(levels))
