"""Numbers as text, titles of metrics, and the best of several values."""

import math
from collections.abc import Iterable, Mapping

#: Shown for a missing number.
NOTHING = "–"

#: Titles of the metrics of ranking.
METRICS = {
    "mrr": "MRR",
    "hits@1": "Hits@1",
    "hits@3": "Hits@3",
    "hits@10": "Hits@10",
    "ndcg@5": "NDCG@5",
    "mean_rank": "mean rank",
    "amri": "AMRI",
}


def digits(value: float, number: int) -> str:
    """A value with so many decimals, as in ``−1,234.57``."""
    return f"{value:,.{number}f}".replace("-", "−")


def four(value: float | None) -> str:
    """A value with four decimals."""
    return NOTHING if value is None else f"{value:.4f}".replace("-", "−")


def signed(value: float) -> str:
    """A value with its sign and four decimals."""
    return f"{value:+.4f}".replace("-", "−")


def whole(value: float) -> str:
    """A count, as in ``40,943``."""
    return f"{value:,.0f}"


def p_value(p: float) -> str:
    """A p value; NaN where there is none.

    Example:
        >>> p_value(0.0004), p_value(0.0312), p_value(float("nan"))
        ('< 0.001', '0.031', '–')
    """
    return NOTHING if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def percent(share: float) -> str:
    """A share, as in ``12.5 %``."""
    return f"{100 * share:.1f} %"


def heading(name: str) -> str:
    """The name of a metric or a diagnosis, as it is shown.

    Example:
        >>> heading("hits@10"), heading("discriminator_auc"), heading("l2")
        ('Hits@10', 'discriminator AUC', 'l2')
    """
    written = {"auc": "AUC", "nll": "NLL"}
    return METRICS.get(name) or " ".join(written.get(word, word) for word in name.split("_"))


def column(rows: Iterable[Mapping[str, float]], key: str) -> list[float | None]:
    """A metric of several runs; None where a run lacks it."""
    return [row.get(key) for row in rows]


def best(values: Iterable[float | None], *, lowest: bool = False, digits: int = 4) -> list[bool]:
    """Marks the best of several values, to the digits shown; none where all are equal.

    Example:
        >>> best([0.5, None, 0.7]), best([0.5]), best([1.0, 1.0])
        ([False, False, True], [False], [False, False])
    """
    shown = [None if value is None else float(f"{value:.{digits}f}") for value in values]
    there = [value for value in shown if value is not None]
    top = (min if lowest else max)(there, default=0.0)
    marks = [value == top for value in shown]
    return [False] * len(marks) if sum(marks) == len(there) else marks
