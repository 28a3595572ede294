"""Numbers as text, titles of metrics, and the best of several values."""

import math
from collections.abc import Iterable, Mapping

from dans.config.selection import RESTRICTED, SAMPLED, SIDES

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


#: Titles of charts, without a word that needs a paper at hand.
FULL = {
    "mrr": "Mean reciprocal rank (MRR); 1 is perfect",
    "hits@1": "Share of queries with the right answer first (Hits@1)",
    "hits@10": "Share of queries with the right answer among the first ten (Hits@10)",
    "nll": "Negative log-likelihood of the labels (NLL); less is better",
    "auc": "Area under the ROC curve of the labels (AUC); 1 is perfect",
    "loss": "Loss of triples and negatives",
    "l2": "Penalty on large weights (L2)",
    "entity_pathway": "Loss of the entity pathway's generator",
    "relation_pathway": "Loss of the relation pathway's generator",
    "discriminator": "Loss of the discriminator",
    "discriminator_auc": "Discriminator's area under the ROC curve (AUC)",
    "auxiliary_accuracy": "Accuracy of telling the pathways apart",
    "pathway_cosine": "Cosine similarity of the pathways",
    "norm_ratio": "Length of generated embeddings",
    "diversity": "Diversity of generated embeddings",
    "above_positive": "Generated negatives harder than their triple",
    "nearest_uncorrupted": "Copies of the uncorrupted entity",
    "nearest_true": "Copies of the true answer",
    "nearest_known": "Copies of known answers",
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
        >>> heading("sampled_mrr"), heading("restricted_mrr")
        ('sampled MRR', 'restricted MRR')
    """
    side, dot, metric = name.rpartition(".")
    if dot and side in SIDES:
        return f"{heading(metric)} of {side}"
    if name.startswith(SAMPLED):
        return f"sampled {heading(name.removeprefix(SAMPLED))}"
    if name.startswith(RESTRICTED):
        return f"restricted {heading(name.removeprefix(RESTRICTED))}"
    written = {"auc": "AUC", "nll": "NLL"}
    return METRICS.get(name) or " ".join(written.get(word, word) for word in name.split("_"))


def full(name: str) -> str:
    """The title of a chart of a metric, a term of the loss, or a diagnosis.

    Example:
        >>> full("hits@1"), full("log_likelihood")
        ('Share of queries with the right answer first (Hits@1)', 'Log likelihood')
    """
    if name.startswith(SAMPLED):
        return f"{full(name.removeprefix(SAMPLED))}, among some candidates"
    if name.startswith(RESTRICTED):
        return f"{full(name.removeprefix(RESTRICTED))}, among those of a restriction"
    plain = heading(name)
    return FULL.get(name) or plain[:1].upper() + plain[1:]


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
