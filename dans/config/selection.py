"""The metric by which checkpoints are chosen: name, direction, and place in a validation."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dans.errors import InputError, shown

#: What the names of metrics among drawn or given entities start with, and of those among the
#: candidates of a restriction.
SAMPLED, RESTRICTED = "sampled_", "restricted_"

#: Metrics of ranking, over both sides or one, and of labelled lines.
RANKING = ("mrr", "mean_rank", "hits@1", "hits@3", "hits@10", "ndcg@5", "amri")
LABELLED = ("nll", "auc", "average_precision", "brier", "accuracy")
SIDES = ("heads", "tails")

#: Metrics of which less is better.
SMALLER = ("mean_rank", "nll", "brier")


@dataclass(frozen=True)
class Selection:
    """A selection metric, such as ``mrr``, ``tails.hits@10``, ``mean_rank`` or ``auc``.

    Args:
        name: as in ``train.select``: a metric of ranking, over one side after ``heads.`` or
            ``tails.``; or of labelled lines.

    Raises:
        InputError: there is no such metric; the sentence has those that there are.

    Example:
        >>> Selection("tails.hits@10").section, Selection("mean_rank").is_better(2.0, 3.0)
        ('tails', True)
    """

    name: str

    def __post_init__(self) -> None:
        side, dot, metric = self.name.rpartition(".")
        ranked = metric in RANKING and (side in SIDES or not dot)
        if not ranked and self.name not in LABELLED:
            accepted = f"{', '.join(RANKING)}, each also after heads. or tails., or with labels "
            message = f"select: known: {accepted}{', '.join(LABELLED)}; got {shown(self.name)}"
            raise InputError(message)

    @property
    def metric(self) -> str:
        """The metric without its side."""
        return self.name.rpartition(".")[2]

    @property
    def labelled(self) -> bool:
        """Is it a metric of labelled lines?"""
        return self.metric in LABELLED

    @property
    def section(self) -> str:
        """Where a validation has it: ``both``, ``heads``, ``tails`` or ``classification``."""
        return self.name.rpartition(".")[0] or ("classification" if self.labelled else "both")

    @property
    def least(self) -> bool:
        """Is less better?"""
        return self.metric in SMALLER

    @property
    def worst(self) -> float:
        """A value that any first validation is better than."""
        if self.name == "mrr":
            # As it always was in checkpoints; an MRR is above 0.
            return 0.0
        return math.inf if self.least else -math.inf

    def is_better(self, value: float, best: float) -> bool:
        """Is a value better than the best so far?"""
        return value < best if self.least else value > best

    def value(self, sections: Mapping[str, Any]) -> float:
        """Its value in the metrics of a validation, by section, also among some candidates."""
        numbers = sections[self.section]
        names = (f"{prefix}{self.metric}" for prefix in ("", SAMPLED, RESTRICTED))
        found: float = numbers[next(name for name in names if name in numbers)]
        return found
