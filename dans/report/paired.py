"""Paired differences between runs: on the same queries, and over seeds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dans.analysis.tables import Difference, paired_test
from dans.evaluation.evaluator import Ranks
from dans.training.run_folder import RunFolder

#: The metrics compared, by their names in a report.
METRICS = ("mrr", "hits@1", "hits@3", "hits@10")


@dataclass(frozen=True)
class Gap:
    """The difference of a metric between two runs, ours minus theirs, tested by triple.

    ``better`` counts the queries on which ours has the better value, ``worse`` the opposite.
    """

    metric: str
    test: Difference
    better: int
    worse: int


def gaps(ours: Ranks, theirs: Ranks) -> list[Gap]:
    """Differences of every metric between two runs.

    Interval and test count the mean of a triple's two queries as one observation, because these
    are not independent.

    Raises:
        ValueError: the runs ranked other triples.
    """
    if not torch.equal(ours.triples, theirs.triples):
        raise ValueError("ranks: expected those of the same triples in the same order")
    return [gap(metric, _gain(ours, metric) - _gain(theirs, metric)) for metric in METRICS]


def gap(metric: str, differences: Tensor) -> Gap:
    """The mean and test of (f, 2) differences, of both queries of each triple."""
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    return Gap(metric, paired_test(differences.double().mean(1).tolist()), better, worse)


def _gain(ranks: Ranks, metric: str) -> Tensor:
    """The contribution of each query to a metric, (f, 2)."""
    if metric == "mrr":
        return 1 / ranks.realistic
    return (ranks.realistic <= int(metric.removeprefix("hits@"))).double()


@dataclass(frozen=True)
class OverSeeds:
    """Differences between two recipes, ours minus theirs, paired by seed; names of their runs."""

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    tests: dict[str, Difference]


def over_seeds(
    configs: Mapping[str, Mapping[str, Any]], metrics: Sequence[Mapping[str, float]]
) -> list[OverSeeds]:
    """Differences of each later recipe to the first run's, where they share at least two seeds.

    ``configs``, by run, and ``metrics`` have one order; runs that differ only by seed have one
    recipe.
    """
    recipes: dict[str, dict[int, tuple[str, Mapping[str, float]]]] = {}
    for (name, config), numbers in zip(configs.items(), metrics, strict=True):
        seed = config["train"]["seed"]
        options = {**config, "train": {**config["train"], "seed": None}}
        options["init_from"] = _start(Path(config.get("init_from", "")), seed)
        recipe = recipes.setdefault(json.dumps(options, sort_keys=True), {})
        recipe.setdefault(seed, (name, numbers))
    first, *others = recipes.values()
    found = []
    for other in others:
        shared = sorted(first.keys() & other.keys())
        if len(shared) < 2:
            continue
        ours, theirs = (tuple(one[s][0] for s in shared) for one in (other, first))
        tests = {
            metric: paired_test([other[s][1][metric] - first[s][1][metric] for s in shared])
            for metric in METRICS
        }
        found.append(OverSeeds(ours, theirs, tests))
    return found


def _start(start: Path, seed: int) -> str:
    """The run that a seed starts from, without the seed, or ``pretrain`` for one inside."""
    if start.name == RunFolder.PRETRAINED:
        return start.name
    return str(start.parent if start.name == f"seed{seed}" else start)
