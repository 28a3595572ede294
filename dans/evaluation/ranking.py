"""Ranks of right answers among their competitors, and the metrics of ranks."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph

#: Scores compared at a time: the comparisons stay in the cache until they are summed.
COMPARED = 2**19


def rank(scores: Tensor, truth: Tensor, known: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Filtered rank of each right answer, ties counting half.

    rank = 1 + |{competitors with a higher score}| + |{competitors with an equal score}| / 2

    This is the expected rank under random order (Sun et al. 2020, arXiv:1911.03903).

    Args:
        scores: (b, n) floats, larger is truer; NaN is a ``FloatingPointError``.
        truth: (b,) the column of the right answer.
        known: rows and columns of other known answers, (p,) each, which are no competitors.

    Returns:
        (b,) float64.

    Example:
        >>> scores = torch.tensor([[.9, .5, .5, .1]])
        >>> rank(scores, torch.tensor([1]))
        tensor([2.5000], dtype=torch.float64)
        >>> rank(scores, torch.tensor([1]), known=(torch.tensor([0, 0]), torch.tensor([0, 1])))
        tensor([1.5000], dtype=torch.float64)
    """
    if scores.isnan().any():
        row, column = scores.isnan().nonzero()[0].tolist()
        raise FloatingPointError(f"scores: NaN in row {row}, column {column}; the model diverged")
    column = truth.unsqueeze(1)
    gold = scores.gather(1, column).squeeze(1)
    # NaN is neither above, below nor equal to anything, even if the right answer is at −∞.
    scores = scores.scatter(1, column, torch.nan)
    if known is not None:
        scores[known] = torch.nan
    return 1 + count_competitors(scores, gold).double().mean(0)


def refuse_nan(
    scores: Tensor, relations: Tensor, kg: KnowledgeGraph, entity: Callable[[int, int], int]
) -> None:
    """Refuse scores, (b, k), of which one is NaN, by its relation and its entity.

    ``relations`` are (b,) ids, ``entity`` is given a row and a column.

    Raises:
        FloatingPointError: one is.
    """
    # The sum is NaN if a score is, or if +∞ and −∞ are among them: a cheap test, then an exact.
    if not scores.sum().isnan():
        return
    wrong = scores.isnan().nonzero()
    if len(wrong):
        row, column = wrong[0].tolist()
        relation, name = kg.relations[int(relations[row])], kg.entities[entity(row, column)]
        where = f"relation {relation!r}: the score of entity {name!r}"
        raise FloatingPointError(f"{where} is NaN; the model has diverged and has no rank")


def count_competitors(scores: Tensor, gold: Tensor) -> Tensor:
    """How many competitors of each row score above its right answer, and how many at least as high.

    1 + the first is the optimistic rank, 1 + the second the pessimistic, their mean the realistic.

    Returns (2, p) int64. ``scores``, (p, n), are NaN for what is no competitor, the right answer
    included; ``gold``, (p,), are the scores of the right answers.
    """
    by_entity = 0 < scores.stride(0) < scores.stride(1)
    lines, bar = (scores.T, gold) if by_entity else (scores, gold.unsqueeze(1))
    rows, width = lines.shape
    step = max(1, COMPARED // width)
    # Results in the dtype of the scores: comparisons into bool are not vectorised on a CPU.
    result = lines.new_empty(min(step, rows), width)
    exact = torch.promote_types(scores.dtype, torch.float32 if width < 2**24 else torch.float64)
    totals = gold.new_zeros(2, len(gold), dtype=torch.float64)
    for first in range(0, rows, step):
        own = slice(first, first + step)
        part, cut = lines[own], bar if by_entity else bar[own]
        for total, compare in zip(totals, (torch.gt, torch.ge), strict=True):
            wins = compare(part, cut, out=result[: len(part)]).sum(1 - by_entity, dtype=exact)
            (total if by_entity else total[own]).add_(wins)
    return totals.long()


def metrics(
    ranks: Tensor, candidates: Tensor, *, ks: Sequence[int] = (1, 3, 10)
) -> dict[str, float]:
    """MRR, mean rank, Hits@k, NDCG@5 and AMRI of ranks.

    With rank ρ_i among c_i candidates:

        mrr = mean 1/ρ,  hits@k = mean [ρ ≤ k],  ndcg@5 = mean [ρ ≤ 5] / log2(1 + ρ),
        amri = 1 − 2 Σ(ρ − 1) / Σ(c − 1)

    ``ranks``, (q,), from 1; ``candidates``, (q,), the competitors and the right answer. ``amri`` is
    1 for a perfect model and 0 in expectation for a random one (Berrendorf et al. 2020,
    arXiv:2002.06914); it is 0 if no query has a competitor.

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
