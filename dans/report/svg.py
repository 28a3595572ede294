"""Charts as SVG, and beside each what a script says of the point under the pointer."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from dans.analysis.diversity import TRUTH
from dans.report.curves import Curve
from dans.report.embedding_plot import Cloud, Point
from dans.report.markup import LONGEST, Html, join, tag
from dans.report.report_tables import four

#: Width and height of a chart of lines, and of its margins: left, top, right, bottom.
SIZE = (360, 210)
MARGINS = (48, 10, 12, 34)
#: Width and height of the cloud.
FIELD = (640, 430)

#: From left to right, the least distance of two marks of a curve; its two ends are always marked.
APART = 12

#: Colours and shapes there are; see ``page.css`` and ``symbols``.
STYLES = 8

#: The styles of origins that stand for themselves; others take those left.
ORIGINS = {TRUTH: 7, "entity pathway": 1, "relation pathway": 0, "uniform": 6}

#: The styles of runs; of curves that are neither a run's nor a way's.
RUNS = (2, 3, 4, 5, 0, 1, 6, 7)
SIDES = {"both": 7, "heads": 0, "tails": 1}

#: Shapes of marks by style, about the origin.
SHAPES = (
    "M0-4.6 4.2 3.2H-4.2Z",
    "M-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0-7.2 0Z",
    "M-3.2-3.2H3.2V3.2H-3.2Z",
    "M0-4.8 4 0 0 4.8-4 0Z",
    "M0 4.6 4.2-3.2H-4.2Z",
    "M-1.3-4h2.6v2.7H4v2.6H1.3V4h-2.6V1.3H-4v-2.6h2.7Z",
    "M-2.4 0a2.4 2.4 0 1 0 4.8 0a2.4 2.4 0 1 0-4.8 0Z",
    "M0-6.2 1.5-2 5.9-1.9 2.4.8 3.6 5 0 2.5-3.6 5-2.4.8-5.9-1.9-1.5-2Z",
)


@dataclass(frozen=True)
class Drawing:
    """A chart.

    Args:
        svg: the element.
        hover: for the script: ``mode``, whether the nearest point counts by ``x`` or ``xy``, and
            ``stops``, (x, ys, what is said there, the place of its group).
        names: of its groups.
        styles: of each group, the number of its colour and shape.
    """

    svg: Html
    hover: dict[str, Any]
    names: tuple[str, ...]
    styles: tuple[int, ...]


def symbols() -> Html:
    """The shapes of all marks, once for the page; not shown themselves."""
    shapes = [
        tag("symbol", {"id": f"mark{i}", "overflow": "visible"}, tag("path", {"d": shape}))
        for i, shape in enumerate(SHAPES)
    ]
    return tag("svg", {"class": "symbols", "width": 0, "height": 0, "aria-hidden": "true"}, *shapes)


def mark(style: int) -> Html:
    """The mark of a style, for a legend."""
    use = tag("use", {"href": f"#mark{style}"})
    box = {"class": f"mark s{style}", "viewBox": "-7 -7 14 14", "aria-hidden": "true"}
    return tag("svg", box, use)


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round numbers from at most ``low`` to at least ``high``, about so many steps.

    Example:
        >>> ticks(0.04, 0.76)
        [0.0, 0.2, 0.4, 0.6, 0.8]
        >>> ticks(3.0, 3.0)
        [2.5, 3.0, 3.5]
    """
    # What floats can hardly tell apart is one value.
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-250):
        reach = max(abs(low), 1.0) / 6
        low, high = low - reach, high + reach
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def styles_of(curves: Sequence[Curve], *, several: bool) -> tuple[int, ...]:
    """The style of each curve: that of its run or of its way, wherever that tells them apart.

    Args:
        curves: of one chart.
        several: are there several runs on the page?
    """
    known = {**ORIGINS, **SIDES}
    by_part = [known.get(curve.part, 2) for curve in curves]
    by_run = [RUNS[curve.run] for curve in curves]
    choices = (by_run, by_part) if several and not curves[0].part else (by_part, by_run)
    for styles in choices:
        if len(set(styles)) == len(styles):
            return tuple(styles)
    return tuple(i % STYLES for i in range(len(curves)))


def lines(
    curves: Sequence[Curve],
    *,
    across: str,
    names: Sequence[str] = (),
    styles: Sequence[int] = (),
    diagonal: bool = False,
) -> Drawing:
    """Curves over a common axis.

    Args:
        curves: at least one, each with a point.
        across: what the axis from left to right counts.
        names: of the places 0, 1, … on it, where these are not numbers.
        styles: of the curves; none: in turn.
        diagonal: draw y = x, and both axes from 0 to 1.
    """
    frame = Frame.about(curves, names, diagonal=diagonal)
    low = frame.levels[0]
    parts = [_level(shown, frame.at(frame.start, y)[1]) for y, shown in frame.labelled()]
    for x in frame.places:
        if frame.start <= x <= frame.end + 1e-9:
            place = {"x": frame.at(x, low)[0], "y": SIZE[1] - MARGINS[3] + 14, "class": "tick mid"}
            parts.append(tag("text", place, names[int(x)] if names else _short(x)))
    middle = {"x": MARGINS[0] + frame.width / 2, "y": SIZE[1] - 4, "class": "tick mid"}
    parts.append(tag("text", middle, across))
    if diagonal:
        (x1, y1), (x2, y2) = frame.at(0, 0), frame.at(1, 1)
        parts.append(tag("line", {"class": "ideal", "x1": x1, "y1": y1, "x2": x2, "y2": y2}))
    styles = tuple(styles) or tuple(i % STYLES for i in range(len(curves)))
    for style, curve in zip(styles, curves, strict=True):
        parts.append(_curve(style, [frame.at(x, y) for x, y in curve.points]))
    stops = _stops(curves, frame, across, names)
    svg = tag("svg", {"viewBox": f"0 0 {SIZE[0]} {SIZE[1]}", "class": "chart"}, *parts)
    return Drawing(svg, {"mode": "x", "stops": stops}, tuple(c.name for c in curves), styles)


@dataclass(frozen=True)
class Frame:
    """Where values lie in a chart of lines.

    Args:
        places: marked from left to right.
        levels: marked from the bottom up; the first and the last are its ends.
        start: the value at the left.
        end: the value at the right.
    """

    places: Sequence[float]
    levels: Sequence[float]
    start: float
    end: float

    width: ClassVar[float] = SIZE[0] - MARGINS[0] - MARGINS[2]
    height: ClassVar[float] = SIZE[1] - MARGINS[1] - MARGINS[3]

    @classmethod
    def about(cls, curves: Sequence[Curve], names: Sequence[str], *, diagonal: bool) -> "Frame":
        """One that holds some curves; see ``lines``."""
        if diagonal:
            levels = [0.0, 0.25, 0.5, 0.75, 1.0]
            return cls(levels, levels, 0.0, 1.0)
        ys = [y for curve in curves for _, y in curve.points]
        levels = ticks(min(ys), max(ys))
        if names:
            # A little distance to the axis.
            return cls([float(i) for i in range(len(names))], levels, -0.4, len(names) - 0.6)
        end = max(x for curve in curves for x, _ in curve.points)
        places = ticks(0, end)
        return cls(places, levels, places[0], end if end > places[0] else places[0] + 1)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A point of the picture."""
        across = MARGINS[0] + self.width * (x - self.start) / (self.end - self.start)
        up = (y - self.levels[0]) / (self.levels[-1] - self.levels[0])
        return round(across, 1), round(MARGINS[1] + self.height * (1 - up), 1)

    def labelled(self) -> Iterator[tuple[float, str]]:
        """Every level, and how it is written: all with as many digits."""
        step = self.levels[1] - self.levels[0]
        plain = step >= 1e-4 and max(map(abs, self.levels)) < 1e7
        digits = max(len(f"{y:.10g}".partition(".")[2]) for y in self.levels)
        for y in self.levels:
            yield y, (f"{y:,.{digits}f}" if plain else f"{y:.4g}").replace("-", "−")


def _level(shown: str, y: float) -> Html:
    left = MARGINS[0]
    line = {"class": "level", "x1": left, "x2": left + Frame.width, "y1": y, "y2": y}
    label = {"x": left - 6, "y": y + 3.5, "class": "tick end"}
    return join([tag("line", line), tag("text", label, shown)])


def _curve(style: int, points: Sequence[tuple[float, float]]) -> Html:
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    marked = [points[0]]
    for place in points[1:-1]:
        if min(place[0] - marked[-1][0], points[-1][0] - place[0]) >= APART:
            marked.append(place)
    marked += points[-1:] if len(points) > 1 else []
    marks = [tag("use", {"href": f"#mark{style}", "x": x, "y": y}) for x, y in marked]
    return tag("g", {"class": f"curve s{style}"}, tag("polyline", {"points": path}), *marks)


def _stops(curves: Sequence[Curve], frame: Frame, across: str, names: Sequence[str]) -> list[Any]:
    """What is said at each place of the axis, of all curves that have a point there."""
    found = []
    for x in sorted({x for curve in curves for x, _ in curve.points}):
        here = [(curve.name, y) for curve in curves for place, y in curve.points if place == x]
        head = f"{across} {names[int(x)] if names else _short(x)}"
        said = [f"{name} {four(y)}".strip() for name, y in here]
        ys = [frame.at(x, y)[1] for _, y in here]
        found.append([frame.at(x, here[0][1])[0], ys, "\n".join([head, *said])])
    return found


def _short(value: float) -> str:
    whole = value == int(value) and abs(value) < 1e7
    return (f"{value:,.0f}" if whole else f"{value:.4g}").replace("-", "−")


def field(cloud: Cloud) -> Drawing:
    """The points of a cloud, the true tails on top."""
    points = [point for group in cloud.points.values() for point in group]
    xs, ys = [point.x for point in points], [point.y for point in points]
    wide, high = max(max(xs) - min(xs), 1e-9), max(max(ys) - min(ys), 1e-9)

    def at(point: Point) -> tuple[float, float]:
        x = 12 + (FIELD[0] - 24) * (point.x - min(xs)) / wide
        y = 12 + (FIELD[1] - 24) * (max(ys) - point.y) / high
        return round(x, 1), round(y, 1)

    styles, spare = [], iter([2, 3, 4, 5] * len(cloud.points))
    for name in cloud.points:
        styles.append(ORIGINS[name] if name in ORIGINS else next(spare))
    stops, groups = [], []
    for i, (name, group) in enumerate(cloud.points.items()):
        marks = []
        for point in group:
            x, y = at(point)
            marks.append(tag("use", {"href": f"#mark{styles[i]}", "x": x, "y": y}))
            stops.append([x, [y], said(name, point), i])
        groups.append(tag("g", {"class": f"cloud s{styles[i]}", "data-group": i}, *marks))
    drawn = [*groups[1:], groups[0]]
    svg = tag("svg", {"viewBox": f"0 0 {FIELD[0]} {FIELD[1]}", "class": "chart field"}, *drawn)
    return Drawing(svg, {"mode": "xy", "stops": stops}, tuple(cloud.points), tuple(styles))


def said(origin: str, point: Point) -> str:
    """What the picture says of a point: the entity, its way, and what it answers."""
    name = point.name[:LONGEST]
    lines = [f"nearest to {name}" if point.generated else name, origin]
    if point.query:
        lines.append(f"for {point.query[: 2 * LONGEST]}")
    return "\n".join(lines)
