"""Learning curves of runs: validation metrics, losses, and diagnosis of the sampler, by step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dans.config.old_names import renamed_metrics
from dans.config.reading import field
from dans.config.selection import RESTRICTED, SAMPLED
from dans.errors import InputError
from dans.runs.init_from import initial_run
from dans.training.loggers import OBJECTS
from dans.training.run_folder import RunFolder

#: Larger values, of a loss that diverged, are not drawn: no axis would hold the others beside them.
HUGE = 1e30

#: Points of a curve at the most.
MOST = 200
#: Points after step 0 that a curve needs to be drawn without it.
ENOUGH = 3

#: Numbers of a sampler's diagnosis, explained; see ``dans.samplers.dans.diagnostics``.
MEANING = {
    "discriminator_auc": "separates entities from generated negatives; 0.5 or less: not at all",
    "auxiliary_accuracy": "share of generated negatives whose pathway is recognised",
    "pathway_cosine": "of the mean generated negatives of both pathways",
    "norm_ratio": "mean norm of generated negatives over that of entities",
    "diversity": "mean distance between generated negatives of one query, over that of entities",
    "above_positive": "share of generated negatives that score above their positive triple",
    "nearest_uncorrupted": "share whose nearest entity is the uncorrupted one",
    "nearest_true": "share whose nearest entity is the true answer",
    "nearest_known": "share whose nearest entity makes a known triple",
}
#: The last word of a diagnosis that concerns one pathway.
PATHWAYS = ("entity", "relation")


@dataclass(frozen=True)
class Curve:
    """Values by step, (step, value) each.

    Steps count those of the run that it continued, if that is known. ``run`` is the position of its
    run in the page, ``part`` the only side or pathway shown.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    run: int = 0
    part: str = ""


@dataclass(frozen=True)
class Chart:
    """Curves on common axes, at least one, each with a point."""

    title: str
    note: str
    curves: tuple[Curve, ...]


def recorded(run: RunFolder) -> list[dict[str, Any]]:
    """The lines of a run's metrics, checked, under today's names.

    Raises:
        InputError: a value is no number; the message names file, line and key.
    """
    lines = [renamed_metrics(line) for line in run.metrics.read()]
    for row, line in enumerate(lines, start=1):
        where = f"{run.path / 'metrics.jsonl'}:{row}: "
        if "seconds" in line:
            line["seconds"] = field(line, "seconds", float, where)
        for part in [part for part in OBJECTS if part in line]:
            line[part] = {key: number(line[part], key, f"{where}{part}.") for key in line[part]}
    return lines


def number(content: Mapping[str, Any], key: str, where: str) -> float:
    """A number read from JSON; unlike in ``dans.config.reading.field``, NaN and infinity pass."""
    value = content.get(key)
    return value if isinstance(value, float) else field(content, key, float, where)


def steps_before(run: RunFolder, *, most: int = 20) -> int | None:
    """The training steps of the weights that a run started with; 0 where it started anew.

    None where a run that it continues, directly or through others, ``most`` at the most, is not
    there any more.
    """
    config = run.config()
    if not config.init_from:
        return 0
    try:
        start = initial_run(run.start(config), config.train.seed)
        before = steps_before(start, most=most - 1) if most else None
    except InputError:
        return None
    return None if before is None else before + start.checkpoints.best_step()


def charts(
    runs: Mapping[str, Sequence[Mapping[str, Any]]], before: Mapping[str, int | None] | None = None
) -> dict[str, list[Chart]]:
    """The charts of what some runs ``recorded``, by group: validation, loss, sampler.

    One run shows heads, tails and both; several runs share the axes, both sides together. A curve
    starts after the ``steps_before`` its run.
    """
    several = len(runs) > 1
    found: dict[str, dict[str, list[Curve]]] = {"validation": {}, "loss": {}, "sampler": {}}
    for place, (run, lines) in enumerate(runs.items()):
        start = (before or {}).get(run) or 0
        for (group, title, part), points in _curves(lines, sides=not several).items():
            label = " · ".join(text for text in (run if several else "", part) if text)
            moved = [(step + start, value) for step, value in points]
            found[group].setdefault(title, []).append(Curve(label, thinned(moved), place, part))
    return {
        group: [Chart(name, MEANING.get(name, ""), tuple(curves)) for name, curves in of.items()]
        for group, of in found.items()
        if of
    }


def _curves(
    lines: Sequence[Mapping[str, Any]], *, sides: bool
) -> dict[tuple[str, str, str], list[tuple[float, float]]]:
    """The points of one run by group, title of the chart, and side or pathway."""
    found: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    step = 0.0

    def add(group: str, title: str, value: float | None, part: str = "") -> None:
        if value is not None and abs(value) < HUGE:
            found.setdefault((group, title, part), []).append((step, value))

    for line in lines:
        step = line["step"]
        for side in ("both", "heads", "tails") if sides else ("both",):
            for metric in ("mrr", "hits@1", "hits@10"):
                # Metrics among some candidates have charts of their own.
                for name in (metric, f"{SAMPLED}{metric}", f"{RESTRICTED}{metric}"):
                    value = line.get(side, {}).get(name)
                    add("validation", name, value, side if sides else "")
        for metric in ("nll", "auc"):
            add("validation", metric, line.get("classification", {}).get(metric))
        for name, value in line.get("train", {}).items():
            add("loss", name, value)
        for name, value in line.get("sampler", {}).items():
            title, _, pathway = name.rpartition("_")
            if pathway in PATHWAYS:
                add("sampler", title, value, f"{pathway} pathway")
            else:
                add("sampler", name, value)
    return found


def thinned(
    points: Sequence[tuple[float, float]], most: int = MOST
) -> tuple[tuple[float, float], ...]:
    """At most so many points, evenly spaced, the first and the last among them.

    Example:
        >>> thinned([(float(i), 0.0) for i in range(9)], 3)
        ((0.0, 0.0), (4.0, 0.0), (8.0, 0.0))
    """
    if len(points) <= most:
        return tuple(points)
    return tuple(points[round(i * (len(points) - 1) / (most - 1))] for i in range(most))


def begun(chart: Chart) -> Chart:
    """A chart without the values at step 0 where these would take more than half of the axis.

    The note then gives them.
    """
    later = [tuple(point for point in curve.points if point[0] > 0) for curve in chart.curves]
    first = [curve.points[0][1] for curve in chart.curves if curve.points[0][0] == 0]
    values = [y for points in later for _, y in points]
    if not first or min(map(len, later)) < ENOUGH:
        return chart
    if max(values) - min(values) > (max(*values, *first) - min(*values, *first)) / 2:
        return chart
    ends = dict.fromkeys(f"{value:.4f}".replace("-", "−") for value in (min(first), max(first)))
    omitted = f"Not drawn: {' to '.join(ends)} at step 0."
    note = f"{chart.note}. {omitted}" if chart.note else omitted
    curves = (replace(curve, points=to) for curve, to in zip(chart.curves, later, strict=True))
    return Chart(chart.title, note, tuple(curves))
