"""Metrics of ranks in relation to what random scores would give."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

#: The null distribution of a metric's value for each query: mean and variance, (q,) each.
Moments = tuple[Tensor, Tensor]


def adjusted(
    ranks: Tensor, candidates: Tensor, *, ks: Sequence[int] = (1, 3, 10)
) -> dict[str, float]:
    """AMR, AMRI, and the adjusted values and z-scores of MRR and Hits@k.

    Scores in random order make the rank ρ_i of query i uniform on 1, …, c_i, its number of
    candidates. Then, with H(c) = Σ 1/j and H₂(c) = Σ 1/j² over j = 1, …, c,

        E[ρ] = (c + 1) / 2              Var[ρ] = (c² − 1) / 12
        E[1/ρ] = H(c) / c               Var[1/ρ] = H₂(c) / c − (H(c) / c)²
        E[ρ ≤ k] = p = min(k, c) / c    Var[ρ ≤ k] = p (1 − p)

    A metric M is the mean over q queries, taken as independent: E[M] is the mean of these means,
    Var[M] the sum of these variances, divided by q². Of these,

        amr = MR / E[MR]                amri = 1 − (MR − 1) / (E[MR] − 1)
        adjusted_M = (M − E[M]) / (1 − E[M])
        z_M = (M − E[M]) / √Var[M], with the other sign for the mean rank

    Adjusted values are 1 for a perfect model, and 0 expected of random scores; ``amr`` is
    1 / E[MR], near 0, and 1. z-scores tell how many standard deviations a model is better than
    random scores; they grow with √q. A metric that random scores cannot miss, as where no query has
    a competitor, has 0 for both.

    Source: Berrendorf et al. 2020 (arXiv:2002.06914); Hoyt et al. 2022 (arXiv:2203.07544), §3.

    Args:
        ranks: (q,) from 1.
        candidates: (q,) the competitors and the right answer.
        ks: the k of Hits@k.

    Example:
        >>> found = adjusted(torch.tensor([1., 2.5, 4.]), torch.tensor([5, 5, 5]), ks=(1,))
        >>> {name: round(value, 4) for name, value in found.items()}["amri"]
        0.25
        >>> list(found)
        ['amr', 'amri', 'adjusted_mrr', 'adjusted_hits@1', 'z_mean_rank', 'z_mrr', 'z_hits@1']
    """
    if not len(ranks):
        raise ValueError("ranks: expected at least one, got none")
    ranks, c = ranks.double(), candidates.double()
    mean, null = float(ranks.mean()), _moments((c + 1) / 2, (c * c - 1) / 12)
    values = {"mrr": float((1 / ranks).mean())}
    values |= {f"hits@{k}": float((ranks <= k).double().mean()) for k in ks}
    nulls = {"mrr": _moments(*reciprocal_moments(c))}
    for k in ks:
        p = c.clamp(max=k) / c
        nulls[f"hits@{k}"] = _moments(p, p * (1 - p))
    found = {"amr": mean / null[0]}
    found["amri"] = 1 - (mean - 1) / (null[0] - 1) if null[0] > 1 else 0.0
    for name, value in values.items():
        expected = nulls[name][0]
        found[f"adjusted_{name}"] = (value - expected) / (1 - expected) if expected < 1 else 0.0
    found["z_mean_rank"] = (null[0] - mean) / null[1] if null[1] else 0.0
    for name, value in values.items():
        expected, deviation = nulls[name]
        found[f"z_{name}"] = (value - expected) / deviation if deviation else 0.0
    return found


def reciprocal_moments(candidates: Tensor) -> Moments:
    """Mean and variance of 1/ρ, ρ uniform on 1, …, c, for (q,) float64 c.

    By H(c) = ψ(c + 1) + γ and H₂(c) = π²/6 − ψ′(c + 1).

    Example:
        >>> reciprocal_moments(torch.tensor([1.0, 2.0], dtype=torch.float64))[0]
        tensor([1.0000, 0.7500], dtype=torch.float64)
    """
    one = torch.ones((), dtype=torch.float64)
    first = torch.digamma(candidates + 1) - torch.digamma(one)
    second = math.pi**2 / 6 - torch.polygamma(1, candidates + 1)
    mean, alone = first / candidates, candidates <= 1
    # Of one candidate nothing is left to rounding.
    variance = torch.where(alone, 0.0, second / candidates - mean * mean)
    return torch.where(alone, 1.0, mean), variance


def _moments(means: Tensor, variances: Tensor) -> tuple[float, float]:
    """Expectation and standard deviation of the mean over queries."""
    return float(means.mean()), math.sqrt(float(variances.sum())) / len(means)
