"""Scores in, ranks out; ranks in, numbers out."""

from collections.abc import Sequence

import torch
from torch import Tensor


def rank(scores: Tensor, truth: Tensor, known: Tensor | None = None) -> Tensor:
    """Rank each true answer among the competitors that are not themselves true.

    rank = 1 + |{better competitors}| + |{equal competitors}| / 2

    Ties count half, the expected rank under random order (Sun et al. 2020, arXiv:1911.03903).

    Args:
        scores: (b, n) floats, larger is truer.
        truth: (b,) the column of the right answer.
        known: (b, n) bool, other right answers, left out of the race.

    Raises:
        FloatingPointError: a score is NaN. A diverged model has no rank.

    Example:
        >>> scores = torch.tensor([[.9, .5, .5, .1]])
        >>> rank(scores, torch.tensor([1]))
        tensor([2.5000])
        >>> rank(scores, torch.tensor([1]), known=torch.tensor([[True, True, False, False]]))
        tensor([1.5000])
    """
    if scores.isnan().any():
        row, column = scores.isnan().nonzero()[0].tolist()
        raise FloatingPointError(f"scores: NaN in row {row}, column {column}; the model diverged")
    column = truth.unsqueeze(1)
    gold = scores.gather(1, column)
    competitor = torch.ones_like(scores, dtype=torch.bool) if known is None else ~known
    competitor = competitor.scatter(1, column, False)
    better = ((scores > gold) & competitor).sum(1)
    equal = ((scores == gold) & competitor).sum(1)
    return 1 + better + equal / 2


def metrics(
    ranks: Tensor, candidates: Tensor, *, ks: Sequence[int] = (1, 3, 10)
) -> dict[str, float]:
    """Summarise the ranks of single right answers.

    With rank ρ_i among c_i candidates:

        mrr = mean 1/ρ,  hits@k = mean [ρ ≤ k],  ndcg@5 = mean [ρ ≤ 5] / log2(1 + ρ),
        amri = 1 − 2 Σ(ρ − 1) / Σ(c − 1)

    A rank of 1.5 is no hit at 1. ``amri`` is 1 for a perfect model and 0 for a constant or random
    one, whatever the number of candidates (Berrendorf et al. 2020, arXiv:2002.06914); it is 0 where
    no query has a competitor.

    Args:
        ranks: (q,) one per query, from 1.
        candidates: (q,) the competitors of each query, the right answer among them.
        ks: where to cut Hits@k.

    Raises:
        ValueError: there are no ranks.

    Example:
        >>> numbers = metrics(torch.tensor([1., 2.5, 4.]), torch.tensor([5, 5, 5]))
        >>> numbers["mean_rank"], round(numbers["mrr"], 4), numbers["amri"]
        (2.5, 0.55, 0.25)
    """
    if not len(ranks):
        raise ValueError("ranks: expected at least one, got none")
    ranks = ranks.double()
    competitors = float((candidates.double() - 1).sum())
    gain = torch.where(ranks <= 5, 1 / torch.log2(1 + ranks), 0.0)
    numbers = {"mrr": float((1 / ranks).mean()), "mean_rank": float(ranks.mean())}
    numbers |= {f"hits@{k}": float((ranks <= k).double().mean()) for k in ks}
    numbers["ndcg@5"] = float(gain.mean())
    numbers["amri"] = 1 - 2 * float((ranks - 1).sum()) / competitors if competitors else 0.0
    return numbers | {"queries": len(ranks)}
