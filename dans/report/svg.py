"""Geometry of the charts, and the texts that the page's script shows at the pointer."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from dans.analysis.diversity import GENERATED, TRUTH
from dans.report.curves import Curve, thinned
from dans.report.embedding_plot import EmbeddingPlot, Point
from dans.report.formatting import four, whole

#: Width and height of a chart of lines, and of its margins: left, top, right, bottom.
SIZE = (360, 210)
MARGINS = (48, 10, 12, 34)
#: Width and height of the embedding plot.
PLOT = (640, 430)

#: The least horizontal distance of two marks of a curve; its two ends are always marked.
APART = 12

#: Characters of a name, and rows of the table behind a chart, that are shown at the most.
LONGEST, ROWS = 160, 40

#: Number of styles; ``templates/page.css`` has their colours and ``SHAPES`` their marks.
STYLES = 8
#: The styles of origins, where other samplers take the remaining ones; of runs, and of sides.
ORIGINS = {
    TRUTH: 7,
    "entity pathway": 1,
    "relation pathway": 0,
    "uniform": 6,
    f"entity pathway{GENERATED}": 4,
    f"relation pathway{GENERATED}": 5,
}
RUNS = (2, 3, 4, 5, 0, 1, 6, 7)
SIDES = {"both": 7, "heads": 0, "tails": 1}

#: Marks by style, as SVG paths around (0, 0).
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
class Group:
    """A curve, or the points of one origin in the embedding plot.

    ``marks`` are (x, y) each, ``path`` the ``points`` of a curve's SVG polyline.
    """

    name: str
    style: int
    marks: tuple[tuple[float, float], ...]
    path: str = ""


@dataclass(frozen=True)
class Text:
    """A label and its position."""

    text: str
    x: float
    y: float


@dataclass(frozen=True)
class Drawing:
    """The geometry of a chart, which ``templates/chart.svg.j2`` writes as SVG.

    Args:
        hover: data for the script: ``mode``, distances to the pointer by ``x`` or ``xy``, and
            ``stops``, (x, ys, text, index of the group).
        levels: labels of the horizontal grid lines, at their left ends.
        diagonal: x and y of the two ends of the line y = x.
        switched: whether a reader can hide groups.
    """

    size: tuple[int, int]
    groups: tuple[Group, ...]
    hover: dict[str, Any]
    levels: tuple[Text, ...] = ()
    labels: tuple[Text, ...] = ()
    diagonal: tuple[float, ...] = ()
    switched: bool = False


@dataclass(frozen=True)
class Numbers:
    """The table behind a chart: a row for each x, a column for each curve."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]


@dataclass(frozen=True)
class Figure:
    """A chart of the page with its id, title, note and table."""

    key: str
    title: str
    drawing: Drawing
    note: str = ""
    numbers: Numbers | None = None


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Equally spaced round numbers that enclose an interval, in about ``wanted`` steps.

    Example:
        >>> ticks(0.04, 0.76)
        [0.0, 0.2, 0.4, 0.6, 0.8]
        >>> ticks(3.0, 3.0)
        [2.5, 3.0, 3.5]
    """
    # An interval within rounding errors gets ticks around its value.
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-250):
        reach = max(abs(low), 1.0) / 6
        low, high = low - reach, high + reach
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def styles_of(curves: Sequence[Curve], *, several: bool) -> tuple[int, ...]:
    """The style of each curve of a chart, by run or by side or pathway, whichever is distinct.

    Of a page with several runs, a curve of a whole run takes the style of its run.
    """
    known = {**ORIGINS, **SIDES}
    by_part = [known.get(curve.part, 2) for curve in curves]
    by_run = [RUNS[curve.run] for curve in curves]
    choices = (by_run, by_part) if several and not curves[0].part else (by_part, by_run)
    for styles in choices:
        if len(set(styles)) == len(styles):
            return tuple(styles)
    return tuple(i % STYLES for i in range(len(curves)))


def curve_chart(
    key: str,
    title: str,
    curves: Sequence[Curve],
    *,
    across: str,
    drawn: Sequence[Curve] = (),
    note: str = "",
    names: Sequence[str] = (),
    styles: Sequence[int] = (),
    diagonal: bool = False,
) -> Figure:
    """A line chart with the table behind it; of the curves, or of those ``drawn`` instead."""
    drawing = lines(drawn or curves, across=across, names=names, styles=styles, diagonal=diagonal)
    return Figure(key, title, drawing, note, numbers(title, curves, across, names))


def lines(
    curves: Sequence[Curve],
    *,
    across: str,
    names: Sequence[str] = (),
    styles: Sequence[int] = (),
    diagonal: bool = False,
) -> Drawing:
    """A line chart.

    Args:
        curves: at least one, each with a point.
        across: title of the horizontal axis.
        names: labels of x = 0, 1, …, where x is no number.
        styles: of the curves; by default in turn.
        diagonal: draw y = x, and both axes from 0 to 1.
    """
    frame = Frame.about(curves, names, diagonal=diagonal)
    low = frame.levels[0]
    levels = [Text(shown, *frame.at(frame.start, y)) for y, shown in frame.labelled()]
    labels = [
        Text(names[int(x)] if names else _short(x), frame.at(x, low)[0], SIZE[1] - MARGINS[3] + 16)
        for x in frame.places
        if frame.start <= x <= frame.end + 1e-9
    ]
    labels.append(Text(across, MARGINS[0] + frame.width / 2, SIZE[1] - 4))
    styles = tuple(styles) or tuple(i % STYLES for i in range(len(curves)))
    groups = [
        _curve(curve.name, style, [frame.at(x, y) for x, y in curve.points])
        for style, curve in zip(styles, curves, strict=True)
    ]
    hover = {"mode": "x", "stops": _stops(curves, frame, across, names)}
    ends = (*frame.at(0, 0), *frame.at(1, 1)) if diagonal else ()
    return Drawing(SIZE, tuple(groups), hover, tuple(levels), tuple(labels), ends)


def numbers(title: str, curves: Sequence[Curve], across: str, names: Sequence[str] = ()) -> Numbers:
    """The table behind a line chart, of at most ``ROWS`` evenly spaced x."""
    places = sorted({x for curve in curves for x, _ in curve.points})
    kept = [x for x, _ in thinned([(x, 0.0) for x in places], ROWS)]
    values = [dict(curve.points) for curve in curves]
    rows = []
    for x in kept:
        label = names[int(x)] if names else whole(x) if x == int(x) else f"{x:.3f}"
        rows.append((label, tuple(of.get(x) for of in values)))
    cut = f": {len(kept)} of {len(places)} points" if len(kept) < len(places) else ""
    columns = across, *(curve.name or title for curve in curves)
    return Numbers(f"{title}{cut}", columns, tuple(rows))


@dataclass(frozen=True)
class Frame:
    """The axes of a line chart: ticks of both, and the values at the left and right ends."""

    places: Sequence[float]
    levels: Sequence[float]
    start: float
    end: float

    width: ClassVar[float] = SIZE[0] - MARGINS[0] - MARGINS[2]
    height: ClassVar[float] = SIZE[1] - MARGINS[1] - MARGINS[3]

    @classmethod
    def about(cls, curves: Sequence[Curve], names: Sequence[str], *, diagonal: bool) -> "Frame":
        """Axes that enclose the curves; arguments as in ``lines``."""
        if diagonal:
            levels = [0.0, 0.25, 0.5, 0.75, 1.0]
            return cls(levels, levels, 0.0, 1.0)
        ys = [y for curve in curves for _, y in curve.points]
        levels = ticks(min(ys), max(ys))
        if names:
            # Some distance to the axis.
            return cls([float(i) for i in range(len(names))], levels, -0.4, len(names) - 0.6)
        xs = [x for curve in curves for x, _ in curve.points]
        # Curves that all start late, because their runs continued others, need no empty half.
        low, end = min(xs), max(xs)
        start = low if low > (end - low) / 2 else 0.0
        return cls(ticks(start, end), levels, start, end if end > start else start + 1)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The position of a value in the drawing."""
        across = MARGINS[0] + self.width * (x - self.start) / (self.end - self.start)
        up = (y - self.levels[0]) / (self.levels[-1] - self.levels[0])
        return round(across, 1), round(MARGINS[1] + self.height * (1 - up), 1)

    def labelled(self) -> Iterator[tuple[float, str]]:
        """Each level and its text, all with the same number of digits."""
        step = self.levels[1] - self.levels[0]
        plain = step >= 1e-4 and max(map(abs, self.levels)) < 1e7
        digits = max(len(f"{y:.10g}".partition(".")[2]) for y in self.levels)
        for y in self.levels:
            yield y, (f"{y:,.{digits}f}" if plain else f"{y:.4g}").replace("-", "−")


def _curve(name: str, style: int, points: Sequence[tuple[float, float]]) -> Group:
    marked = [points[0]]
    for place in points[1:-1]:
        if min(place[0] - marked[-1][0], points[-1][0] - place[0]) >= APART:
            marked.append(place)
    marked += points[-1:] if len(points) > 1 else []
    return Group(name, style, tuple(marked), " ".join(f"{x:g},{y:g}" for x, y in points))


def _stops(curves: Sequence[Curve], frame: Frame, across: str, names: Sequence[str]) -> list[Any]:
    """For each x, the text with the values of all curves that have a point there."""
    found = []
    for x in sorted({x for curve in curves for x, _ in curve.points}):
        here = [(curve.name, y) for curve in curves for place, y in curve.points if place == x]
        head = f"{across} {names[int(x)] if names else _short(x)}"
        values = [f"{name} {four(y)}".strip() for name, y in here]
        ys = [frame.at(x, y)[1] for _, y in here]
        found.append([frame.at(x, here[0][1])[0], ys, "\n".join([head, *values])])
    return found


def _short(value: float) -> str:
    plain = value == int(value) and abs(value) < 1e7
    return (f"{value:,.0f}" if plain else f"{value:.4g}").replace("-", "−")


def scatter(plot: EmbeddingPlot) -> Drawing:
    """The points of an embedding plot.

    Marks of one entity lie upon each other, so the text at the pointer names all its origins.
    """
    points = [point for group in plot.points.values() for point in group]
    xs, ys = [point.x for point in points], [point.y for point in points]
    wide, high = max(max(xs) - min(xs), 1e-9), max(max(ys) - min(ys), 1e-9)

    def at(point: Point) -> tuple[float, float]:
        x = 12 + (PLOT[0] - 24) * (point.x - min(xs)) / wide
        y = 12 + (PLOT[1] - 24) * (max(ys) - point.y) / high
        return round(x, 1), round(y, 1)

    here: dict[tuple[float, float, str], dict[str, list[str]]] = {}
    for name, group in plot.points.items():
        for point in group:
            origins = here.setdefault((*at(point), point.name), {})
            origins.setdefault(name, []).append(point.query)
    spare, stops, groups = iter([2, 3, 5, 4] * len(plot.points)), [], []
    for i, (name, group) in enumerate(plot.points.items()):
        marks = tuple(map(at, group))
        groups.append(Group(name, ORIGINS[name] if name in ORIGINS else next(spare), marks))
        stops += [
            [x, [y], hover_text(p, here[x, y, p.name]), i]
            for (x, y), p in zip(marks, group, strict=True)
        ]
    return Drawing(PLOT, tuple(groups), {"mode": "xy", "stops": stops}, switched=True)


def hover_text(point: Point, origins: Mapping[str, Sequence[str]]) -> str:
    """The entity of a point, the origins that have it, and its query where there is only one.

    ``origins`` has the query of each point of the entity, by origin.
    """
    name = point.name[:LONGEST]
    lines = [f"nearest to {name}" if point.generated else name]
    lines += [
        origin if len(queries) == 1 else f"{origin}, {len(queries)} times"
        for origin, queries in origins.items()
    ]
    queries = {query for of in origins.values() for query in of if query}
    if len(queries) == 1:
        lines.append(f"for {queries.pop()[: 2 * LONGEST]}")
    return "\n".join(lines)
