"""Triple classification: AUC, average precision, Brier score, NLL, accuracy, thresholds.

For labelled triples only: numbers from sampled negatives measure the sampling. All functions take
``scores``, (f,) logits, larger is truer, and ``labels``, (f,) bool, or 0 and 1. They raise
``FloatingPointError`` if a score is NaN, and ``InputError`` if a label is neither 0 nor 1 or there
are none; AUC and average precision also if all labels are equal.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from dans.errors import InputError
from dans.models.auc import share_above


def auc(scores: Tensor, labels: Tensor) -> float:
    """The probability that a true triple scores above a false one, ties counting half.

    Example:
        >>> auc(torch.tensor([30., 25., 50., 40.]), torch.tensor([1, 0, 1, 0]))
        0.75
    """
    scores, labels = checked(scores, labels, both=True)
    return share_above(scores[labels == 1], scores[labels == 0])


def average_precision(scores: Tensor, labels: Tensor) -> float:
    """The mean of precision over recall: Σ_i (R_i − R_{i−1}) P_i over the distinct scores."""
    scores, labels = checked(scores, labels, both=True)
    true, false = (counts.flip(0) for counts in _by_score(scores, labels)[1:])
    precision = true.cumsum(0) / (true + false).cumsum(0)
    return float((true * precision).sum() / true.sum())


def brier(scores: Tensor, labels: Tensor) -> float:
    """The mean squared error of the probabilities: mean (σ(φ) − y)² (Brier 1950).

    Example:
        >>> brier(torch.zeros(2), torch.tensor([True, False]))
        0.25
    """
    scores, labels = checked(scores, labels)
    return float((scores.sigmoid() - labels).square().mean())


def nll(scores: Tensor, labels: Tensor) -> float:
    """The mean negative log-likelihood: mean softplus(−(2y − 1) φ)."""
    scores, labels = checked(scores, labels)
    return float(F.softplus(-(2 * labels - 1) * scores).mean())


def accuracy(scores: Tensor, labels: Tensor, threshold: Tensor | float = 0.0) -> float:
    """The share of triples classified correctly, true being φ ≥ threshold, one or (f,).

    Example:
        >>> accuracy(torch.tensor([2., 1., 0.]), torch.tensor([True, True, False]), 1.5)
        0.6666666666666666
    """
    scores, labels = checked(scores, labels)
    return float(((scores >= threshold) == labels.bool()).double().mean())


def best_threshold(scores: Tensor, labels: Tensor) -> float:
    """The lowest threshold of highest accuracy, midway between two scores, or ±∞.

    Example:
        >>> best_threshold(torch.tensor([3., 1., 2.]), torch.tensor([True, False, True]))
        1.5
    """
    levels, true, false = _by_score(*checked(scores, labels))
    none = true.new_zeros(1)
    # A threshold below level i classifies the false ones below and the true ones above correctly.
    right = torch.cat((none, false.cumsum(0))) - torch.cat((none, true.cumsum(0)))
    middle = (levels[1:] + levels[:-1]) / 2
    middle = torch.where(middle.isfinite(), middle, levels[1:])
    cuts = torch.cat((none - torch.inf, middle, none + torch.inf))
    return float(cuts[right.argmax()])


def thresholds(scores: Tensor, labels: Tensor, relations: Tensor, num_relations: int) -> Tensor:
    """The best threshold of each relation on validation triples, (m,) float64.

    A relation without triples gets the best threshold over all. ``relations``: (f,) ids.

    Source: Socher et al. 2013, Reasoning with neural tensor networks, §4.2.
    """
    best = scores.new_full((num_relations,), best_threshold(scores, labels), dtype=torch.float64)
    for relation in relations.unique().tolist():
        rows = relations == relation
        best[relation] = best_threshold(scores[rows], labels[rows])
    return best


def classification(
    scores: Tensor, labels: Tensor, threshold: Tensor | float = 0.0
) -> dict[str, float]:
    """All metrics of triple classification by name, and the number of triples."""
    return {
        "auc": auc(scores, labels),
        "average_precision": average_precision(scores, labels),
        "brier": brier(scores, labels),
        "nll": nll(scores, labels),
        "accuracy": accuracy(scores, labels, threshold),
        "triples": len(scores),
    }


def both_kinds(labels: Tensor) -> bool:
    """Are some triples true and some false?"""
    return bool(labels.any()) and not bool(labels.all())


def checked(scores: Tensor, labels: Tensor, *, both: bool = False) -> tuple[Tensor, Tensor]:
    """Scores as float64 and labels as int64, without gradient; of ``both`` kinds if needed."""
    if scores.ndim != 1 or scores.shape != labels.shape:
        shapes = f"{tuple(labels.shape)} for {tuple(scores.shape)}"
        raise ValueError(f"labels: expected one per score, got {shapes}")
    if not len(scores):
        raise InputError("labels: expected at least one triple, got none")
    if scores.isnan().any():
        raise FloatingPointError(f"scores: NaN at {int(scores.isnan().nonzero()[0])}")
    wrong = labels[(labels != 0) & (labels != 1)]
    if len(wrong):
        raise InputError(f"labels: expected 0 and 1, or bool, got {wrong[0].item()}")
    if both and not both_kinds(labels):
        kind = int(labels[0])
        raise InputError(f"labels: all are {kind}; true and false triples are both needed")
    return scores.detach().double(), labels.detach().long()


def _by_score(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct scores, rising, and how many true and false triples have each, float64."""
    levels, index = scores.unique(return_inverse=True)
    true = torch.bincount(index, labels.double(), minlength=len(levels))
    return levels, true, torch.bincount(index, minlength=len(levels)) - true
