"""Figures of a page: a chart, its title, its legend, and its numbers as a table."""

from collections.abc import Sequence
from typing import Any

from dans.report.curves import Curve, thinned
from dans.report.markup import Html, tag
from dans.report.report_tables import Cell, four, table, whole, words
from dans.report.svg import Drawing, mark

#: Rows of the table behind a chart at the most.
ROWS = 40


class Figures:
    """The figures of one page, numbered as they are made."""

    def __init__(self) -> None:
        #: by figure, what the script says of the point under the pointer
        self.hover: dict[str, dict[str, Any]] = {}

    def add(
        self,
        drawing: Drawing,
        title: str,
        note: object = None,
        *,
        counts: Sequence[int] = (),
        behind: Html | None = None,
        classes: str = "",
    ) -> Html:
        """A figure.

        Args:
            drawing: the chart.
            title: what it shows.
            note: what that means.
            counts: points of each group; given, a reader can switch groups on and off.
            behind: its numbers.
            classes: for the looks.
        """
        key = f"figure{len(self.hover) + 1}"
        self.hover[key] = drawing.hover
        label = f"{title}. Arrow keys go from point to point."
        canvas = {"class": "canvas", "tabindex": 0, "role": "group", "aria-label": label}
        said = tag("figcaption", None, tag("strong", None, title), " ", note)
        parts = [said, tag("div", canvas, drawing.svg)]
        if counts or any(drawing.names):
            parts.append(legend(drawing, counts))
        if behind is not None:
            summary = tag("summary", None, "Numbers")
            parts.append(tag("details", {"class": "numbers"}, summary, behind))
        return tag("figure", {"id": key, "class": f"plot {classes}".strip()}, *parts)


def legend(drawing: Drawing, counts: Sequence[int]) -> Html:
    """Which colour and shape is which."""
    entries = []
    for i, (name, style) in enumerate(zip(drawing.names, drawing.styles, strict=True)):
        if not counts:
            entries.append(tag("li", None, mark(style), " ", name))
            continue
        switch = {"type": "button", "aria-pressed": "true", "data-group": i}
        count = tag("span", {"class": "count"}, f" {counts[i]:,}")
        entries.append(tag("li", None, tag("button", switch, mark(style), " ", name, count)))
    return tag("ul", {"class": "legend"}, *entries)


def behind(title: str, curves: Sequence[Curve], across: str, names: Sequence[str] = ()) -> Html:
    """The numbers of a chart of lines."""
    places = sorted({x for curve in curves for x, _ in curve.points})
    kept = [x for x, _ in thinned([(x, 0.0) for x in places], ROWS)]
    values = [dict(curve.points) for curve in curves]
    rows = [
        [words(names[int(x)] if names else whole(x) if x == int(x) else f"{x:.3f}")]
        + [Cell(four(of.get(x))) for of in values]
        for x in kept
    ]
    shown = f"{title}: {len(kept)} of {len(places)} points" if len(kept) < len(places) else title
    return table(shown, [across, *(curve.name or title for curve in curves)], rows)
