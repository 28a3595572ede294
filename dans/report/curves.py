"""What a run wrote down as it trained, as curves: metrics, terms of the loss, its sampler."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dans.config.reading import field
from dans.training.loggers import OBJECTS
from dans.training.run_folder import RunFolder

#: Numbers beyond this are not drawn: an exploded loss, of which no axis would fit on a page.
HUGE = 1e30

#: Points of a curve at the most.
MOST = 200
#: Points after step 0 that make a curve without it.
ENOUGH = 3

#: What a diagnosis of a sampler says, in words; see ``dans.samplers.dans.diagnostics``.
MEANING = {
    "discriminator_auc": "how well the discriminator tells generated from real; 0.5: not at all",
    "auxiliary_accuracy": "how often the discriminator knows the pathway of a generated negative",
    "pathway_cosine": "cosine between the mean generated negatives of the two pathways",
    "norm_ratio": "length of generated negatives over that of entities",
    "spread": "distance of two generated negatives of one query, over that of entities",
    "above_positive": "share of generated negatives that score above their positive triple",
    "nearest_uncorrupted": "share whose nearest entity is the uncorrupted one",
    "nearest_true": "share whose nearest entity is the corrupted one",
    "nearest_known": "share whose nearest entity makes a known triple",
}
#: Endings of a diagnosis that name a pathway.
WAYS = ("entity", "relation")


@dataclass(frozen=True)
class Curve:
    """Values by step.

    Args:
        name: which of the curves of a chart.
        points: (step, value), by step.
        run: the place of its run among those of the page.
        part: of what it tells one: a side, or a pathway.
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


def recorded(run: RunFolder) -> list[dict[str, Any]]:
    """The lines of a run's metrics, of which every part that is shown is what it should be.

    Raises:
        InputError: one is not; the message names file, line and key.
    """
    lines = run.metrics.read()
    for row, line in enumerate(lines, start=1):
        where = f"{run.path / 'metrics.jsonl'}:{row}: "
        if "seconds" in line:
            line["seconds"] = field(line, "seconds", float, where)
        for part in [part for part in OBJECTS if part in line]:
            line[part] = {key: number(line[part], key, f"{where}{part}.") for key in line[part]}
    return lines


def number(content: Mapping[str, Any], key: str, where: str) -> float:
    """A number of plain data; unlike in ``dans.config.reading.field``, NaN and infinities are some.

    Example:
        >>> number({"mrr": float("nan")}, "mrr", "report.json: ")
        nan
    """
    value = content.get(key)
    return value if isinstance(value, float) else field(content, key, float, where)


def charts(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[Chart]]:
    """The charts of some runs, by the name of a group: validation, loss, sampler.

    Args:
        runs: what they ``recorded``, by name; they are drawn over each other.
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

    def add(title: str, curve: str, step: float, value: float | None) -> None:
        if value is not None and abs(value) < HUGE:
            wanted.setdefault((title, curve), []).append((step, value))

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


def begun(chart: Chart) -> Chart:
    """A chart whose axis need not reach to values from before training, and a note of them.

    Where the values at step 0 alone take more than half of it, they are left to the note.

    Example:
        >>> early = Chart("mrr", "", (Curve("", ((0, 0.01), (9, 0.6), (18, 0.7), (27, 0.72))),))
        >>> begun(early).curves[0].points[0], begun(early).note
        ((9, 0.6), 'Not drawn: 0.0100 at step 0.')
    """
    later = [tuple(point for point in curve.points if point[0] > 0) for curve in chart.curves]
    first = [curve.points[0][1] for curve in chart.curves if curve.points[0][0] == 0]
    values = [y for points in later for _, y in points]
    if not first or min(map(len, later)) < ENOUGH:
        return chart
    if max(values) - min(values) > (max(*values, *first) - min(*values, *first)) / 2:
        return chart
    ends = dict.fromkeys(f"{value:.4f}".replace("-", "−") for value in (min(first), max(first)))
    note = f"{chart.note} Not drawn: {' to '.join(ends)} at step 0.".strip()
    curves = (replace(curve, points=to) for curve, to in zip(chart.curves, later, strict=True))
    return Chart(chart.title, note, tuple(curves))
