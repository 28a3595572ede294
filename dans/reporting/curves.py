"""What a run wrote down as it trained, as curves: metrics, terms of the loss, its sampler."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Points of a curve at the most.
MOST = 200

#: What a diagnosis of a sampler says, in words; see ``dans.samplers.diagnostics``.
MEANING = {
    "critic_auc": "how well the critic tells fakes from entities; 0.5: not at all",
    "auxiliary_accuracy": "how often the critic knows the way of a fake",
    "way_cosine": "cosine between the mean fakes of the two ways",
    "norm_ratio": "length of fakes over that of entities",
    "spread": "distance of two fakes of one query, over that of entities",
    "above_positive": "share of fakes that score above their fact",
    "nearest_kept": "share whose nearest entity is the one that stays",
    "nearest_true": "share whose nearest entity is the one replaced",
    "nearest_known": "share whose nearest entity makes a known fact",
}
#: Endings of a diagnosis that name a way.
WAYS = ("entity", "relation")


@dataclass(frozen=True)
class Curve:
    """Values by step.

    Args:
        name: which of the curves of a chart.
        points: (step, value), by step.
        run: the place of its run among those of the page.
        part: of what it tells one: a side, or a way.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    run: int = 0
    part: str = ""


@dataclass(frozen=True)
class Chart:
    """Curves that share their axes.

    Args:
        title: what is drawn.
        note: what it means.
        curves: at least one, each with a point.
    """

    title: str
    note: str
    curves: tuple[Curve, ...]


def charts(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[Chart]]:
    """The charts of some runs, by the name of a group: validation, loss, sampler.

    Args:
        runs: the lines of their ``metrics.jsonl``, by name; they are drawn over each other.
    """
    several = len(runs) > 1
    found: dict[str, dict[str, list[Curve]]] = {"validation": {}, "loss": {}, "sampler": {}}
    for place, (run, lines) in enumerate(runs.items()):
        for title, curve, points in _curves(lines, apart=not several):
            group, _, name = title.partition("/")
            label = " · ".join(part for part in (run if several else "", curve) if part)
            found[group].setdefault(name, []).append(Curve(label, points, place, curve))
    return {
        group: [Chart(name, MEANING.get(name, ""), tuple(curves)) for name, curves in of.items()]
        for group, of in found.items()
        if of
    }


def _curves(
    lines: Sequence[Mapping[str, Any]], *, apart: bool
) -> list[tuple[str, str, tuple[tuple[float, float], ...]]]:
    """Title of the chart, name of the curve and its points, of one run."""
    wanted: dict[tuple[str, str], list[tuple[float, float]]] = {}

    def add(title: str, curve: str, step: float, value: Any) -> None:
        if isinstance(value, (int, float)) and math.isfinite(value):
            wanted.setdefault((title, curve), []).append((step, float(value)))

    for line in lines:
        step = line["step"]
        for side in ("both", "heads", "tails") if apart else ("both",):
            for metric in ("mrr", "hits@1", "hits@10"):
                value = line.get(side, {}).get(metric)
                add(f"validation/{metric}", side if apart else "", step, value)
        for metric in ("nll", "auc"):
            add(f"validation/{metric}", "", step, line.get("classification", {}).get(metric))
        for name, value in line.get("train", {}).items():
            add(f"loss/{name}", "", step, value)
        for name, value in line.get("sampler", {}).items():
            what, _, way = name.rpartition("_")
            told = what if way in WAYS else name
            add(f"sampler/{told}", f"{way} way" if way in WAYS else "", step, value)
    return [(title, curve, thinned(points)) for (title, curve), points in wanted.items()]


def thinned(
    points: Sequence[tuple[float, float]], most: int = MOST
) -> tuple[tuple[float, float], ...]:
    """At most so many points, evenly spread, the first and the last among them.

    Example:
        >>> thinned([(float(i), 0.0) for i in range(9)], 3)
        ((0.0, 0.0), (4.0, 0.0), (8.0, 0.0))
    """
    if len(points) <= most:
        return tuple(points)
    return tuple(points[round(i * (len(points) - 1) / (most - 1))] for i in range(most))
