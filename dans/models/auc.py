"""Area under the ROC curve of two sets of scores."""

import torch
from torch import Tensor


def share_above(true: Tensor, false: Tensor) -> float:
    """The share of pairs in which the first scores above the second, ties counting half.

    This is the area under the ROC curve of (p,) true and (q,) false scores, by the Mann-Whitney U
    statistic: U / (p·q).

    Example:
        >>> share_above(torch.tensor([1., 2.]), torch.tensor([0., 1.]))
        0.875
    """
    ordered = false.sort().values
    below = torch.searchsorted(ordered, true, right=False)
    below_or_equal = torch.searchsorted(ordered, true, right=True)
    return float((below + below_or_equal).double().mean() / (2 * len(false)))
