"""Scores of several models as one: of every query, a mean over members of what makes them alike."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from dans.evaluation.evaluator import BlockScores, Check, Side

#: From (q, n) scores of one member, a row for each query, to float64 numbers that can be averaged.
Standard: TypeAlias = Callable[[Tensor], Tensor]


def ranks_of_all(scores: Tensor) -> Tensor:
    """The rank of every candidate in its row, ties counting half, (q, n) float64.

    rank = 1 + |{others with a higher score}| + |{others with an equal score}| / 2

    It is that of ``dans.evaluation.ranking.rank``, for every candidate as the right answer.

    Example:
        >>> ranks_of_all(torch.tensor([[.1, .5, .5, .9]]))
        tensor([[4.0000, 2.5000, 2.5000, 1.0000]], dtype=torch.float64)
    """
    lower = scores.neg().contiguous()
    ordered = lower.sort(dim=1).values
    above = torch.searchsorted(ordered, lower)
    return torch.searchsorted(ordered, lower, right=True).add_(above).add_(1).double().div_(2)


def negative_ranks(scores: Tensor) -> Tensor:
    """Minus the rank of every candidate, (q, n): their mean is minus the mean rank."""
    return ranks_of_all(scores).neg_()


def z_scores(scores: Tensor) -> Tensor:
    """(s - mean) / standard deviation of each row, (q, n); 0 where a row is constant.

    Example:
        >>> z_scores(torch.tensor([[1., 3.], [2., 2.]]))
        tensor([[-1.,  1.],
                [ 0.,  0.]], dtype=torch.float64)
    """
    x = scores.double()
    x = x - x.mean(1, keepdim=True)
    deviation = x.square().mean(1, keepdim=True).sqrt()
    return torch.where(deviation > 0, x / deviation, 0.0)


def softmax(scores: Tensor) -> Tensor:
    """exp(s) / Σ exp(s) over the candidates of each row, (q, n)."""
    return scores.double().softmax(1)


#: What is averaged over members, by name. ``probabilities`` need a calibration of each member.
STANDARDS: dict[str, Standard] = {
    "ranks": negative_ranks,
    "z-scores": z_scores,
    "softmax": softmax,
}


def joint(scores: Iterable[Tensor], standards: Sequence[Standard]) -> Tensor:
    """The mean over members of their standardised (q, n) scores, float64; one exists at a time."""
    total = torch.zeros((), dtype=torch.float64)
    for one, standard in zip(scores, standards, strict=True):
        total = total.to(one.device) + standard(one)
    return total / len(standards)


class JointScores:
    """Scores by several models: the mean of their standardised scores, query by query.

    Args:
        members: of the same entities and relations, with the same ids.
        standards: of each member, what is averaged.
        columns: (c,) rising ids, the entities whose means are kept; None: all. Scores are
            standardised over all entities all the same.
    """

    def __init__(
        self,
        members: Sequence[BlockScores],
        standards: Sequence[Standard],
        columns: Tensor | None = None,
    ) -> None:
        self.members, self.standards, self.columns = members, standards, columns
        self.device, self.num_entities = members[0].device, members[0].num_entities
        self.element_size = 8
        # The sum, and of one member scores, their order and their ranks.
        self.bytes_each = 7 * self.num_entities * self.element_size
        if columns is not None:
            self.num_entities = len(columns)

    def among(self, columns: Tensor) -> "JointScores":
        """The means of some entities, (c,) rising ids, which anchors then are positions among."""
        return JointScores(self.members, self.standards, columns.to(self.device))

    def bytes_held(self, rows: int) -> int:
        """The bytes that the member holds that holds most."""
        return max(member.bytes_held(rows) for member in self.members)

    def __call__(
        self,
        side: Side,
        anchors: Tensor,
        relations: Tensor,
        part: slice,
        rows: int,
        check: Check,
    ) -> Tensor:
        """The mean."""
        columns = self.columns
        if columns is not None:
            anchors, check = columns[anchors], _among(columns, check)
        each = (one(side, anchors, relations, part, rows, check) for one in self.members)
        means = joint(each, self.standards)
        return means if columns is None else means.index_select(1, columns)


def _among(columns: Tensor, check: Check) -> Check:
    """A check of the scores of all entities, which takes those of (c,) rising ids alone."""

    def own(scores: Tensor, left: int) -> None:
        ends = torch.tensor([left, left + scores.shape[1]], device=columns.device)
        first, last = torch.searchsorted(columns, ends).tolist()
        check(scores[:, columns[first:last] - left], first)

    return own
