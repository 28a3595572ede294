"""Is one run better than another? Differences on the same queries, and over seeds."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from dans.analysis.tables import Difference, Results, compare
from dans.evaluation.evaluator import Ranks

#: The metrics compared, by their names in a report.
METRICS = ("mrr", "hits@1", "hits@3", "hits@10")


@dataclass(frozen=True)
class Gap:
    """One run minus another, on the same queries.

    Args:
        metric: what is compared.
        mean: of the differences; above 0, the first is better.
        low: where the 95 % interval of the mean begins; None where all differences are equal, or
            there is but one triple.
        high: where it ends.
        p: of a two-sided paired t-test; None likewise.
        triples: how many.
        better: queries on which the first has the better value.
        worse: queries on which the second has.
    """

    metric: str
    mean: float
    low: float | None
    high: float | None
    p: float | None
    triples: int
    better: int
    worse: int


def gaps(ours: Ranks, theirs: Ranks) -> list[Gap]:
    """Differences of every metric of two runs.

    Interval and test take a triple for one observation, the mean of its two queries: these are
    about the same triple, and not independent.

    Raises:
        ValueError: the runs ranked other triples.
    """
    if not torch.equal(ours.triples, theirs.triples):
        raise ValueError("ranks: expected those of the same triples in the same order")
    return [gap(metric, _gain(ours, metric) - _gain(theirs, metric)) for metric in METRICS]


def gap(metric: str, differences: Tensor) -> Gap:
    """Sum differences up, (f, 2) of both queries of each triple.

    Example:
        >>> one = gap("mrr", torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.1, 0.1]]))
        >>> round(one.mean, 3), round(one.low, 3), one.better, one.worse
        (0.2, -0.457, 4, 0)
    """
    of_triples = differences.double().mean(1)
    f, mean = len(of_triples), float(of_triples.mean())
    error = float(of_triples.std()) / math.sqrt(f) if f > 1 else 0.0
    counts = f, int((differences > 0).sum()), int((differences < 0).sum())
    if not error:
        return Gap(metric, mean, None, None, None, *counts)
    reach = float(stats.t.ppf(0.975, f - 1)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, f - 1))
    return Gap(metric, mean, mean - reach, mean + reach, p, *counts)


def _gain(ranks: Ranks, metric: str) -> Tensor:
    """What each query adds to a metric, (f, 2)."""
    if metric == "mrr":
        return 1 / ranks.realistic
    return (ranks.realistic <= int(metric.removeprefix("hits@"))).double()


@dataclass(frozen=True)
class OverSeeds:
    """One recipe minus another, paired by seed.

    Args:
        ours: names of the runs of the first.
        theirs: and of the second.
        gaps: by metric.
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    gaps: dict[str, Difference]


def over_seeds(
    configs: Mapping[str, Mapping[str, Any]], metrics: Sequence[Mapping[str, float]]
) -> list[OverSeeds]:
    """Differences of recipes that several of the runs were made by, to the first run's.

    Args:
        configs: of the runs, by name; what differs by seed alone is one recipe.
        metrics: of the runs, in the same order.

    Returns:
        One for each recipe that shares at least two seeds with the first; none without.
    """
    recipes: dict[str, dict[int, tuple[str, Mapping[str, float]]]] = {}
    for (name, config), numbers in zip(configs.items(), metrics, strict=True):
        options = {**config, "train": {**config["train"], "seed": None}}
        recipe = recipes.setdefault(json.dumps(options, sort_keys=True), {})
        recipe.setdefault(config["train"]["seed"], (name, numbers))
    first, *others = recipes.values()
    found = []
    for other in others:
        if len(first.keys() & other.keys()) < 2:
            continue
        ours, theirs = (
            Results({seed: numbers for seed, (_, numbers) in one.items()}, {}, {})
            for one in (other, first)
        )
        names = [tuple(name for name, _ in one.values()) for one in (other, first)]
        means = {metric: compare(ours, theirs, metric) for metric in METRICS}
        found.append(OverSeeds(names[0], names[1], means))
    return found
