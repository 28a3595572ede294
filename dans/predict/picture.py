"""The picture of an explanation: its geometry, and its drawing by matplotlib.

Sizes are in pixels, y downwards, as SVG has them. The report draws the same geometry as SVG.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from dans.analysis.plots import plain, save_figure
from dans.config.writing import check_file
from dans.errors import InputError, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dans.predict.explain import Explanation, Names

#: What an arrow stands for: its words in the legend, colour (Okabe and Ito), width and dashes.
ROLES = {
    "explained": ("the explained triple", "#000000", 1.6, (5, 3)),
    "path": ("on a path", "#0072B2", 1.6, ()),
    "carries": ("carries the score", "#D55E00", 3.2, ()),
    "both": ("on a path, and carries the score", "#A0528A", 3.2, (9, 2)),
}
#: The width of a picture, the height of a row, and of a line of text; of a letter, the width.
WIDTH, ROW, LINE, LETTER = 940, 70, 14, 6.4
#: Where the head, two entities between and the tail stand.
COLUMNS = (95, 345, 595, 845)
#: Where on its arrow a label may stand, the first choice first.
PLACES = (0.5, 0.56, 0.44, 0.62, 0.38, 0.68, 0.32, 0.74, 0.26, 0.8, 0.2)
#: Letters of a line, and lines, of a name.
LETTERS, LINES = 22, 2


@dataclass(frozen=True)
class Box:
    """An entity: the lines of its name around (x, y); ``end``: is it the head or the tail?"""

    lines: tuple[str, ...]
    x: float
    y: float
    width: float
    height: float
    end: bool

    def holds(self, x: float, y: float) -> bool:
        """Does a point lie in it?"""
        return abs(x - self.x) <= self.width / 2 and abs(y - self.y) <= self.height / 2


@dataclass(frozen=True)
class Arrow:
    """Triples between two entities: a quadratic curve of three points, and the relations.

    ``at`` is the middle of the label, ``role`` a key of ``ROLES``.
    """

    curve: tuple[tuple[float, float], ...]
    lines: tuple[str, ...]
    at: tuple[float, float]
    role: str


@dataclass(frozen=True)
class Layout:
    """The boxes and arrows of an explanation, and the size of its picture."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    size: tuple[int, int]

    @property
    def labels(self) -> list[Box]:
        """The places of the relations, in the order of the arrows."""
        return [_label(arrow) for arrow in self.arrows]

    @property
    def roles(self) -> list[str]:
        """The roles that occur, for a legend."""
        there = {arrow.role for arrow in self.arrows}
        return [role for role in ROLES if role in there]

    @classmethod
    def of(cls, found: Explanation) -> Layout:
        """Head left, tail right, a row for each path, below them the other carrying triples.

        The most similar triples of a lookup model, and analogies, are left out: they mostly do not
        touch head or tail.
        """
        head, _, tail = found.triple
        carrying = [s.triple for s in found.carried_by] if found.basis == "gradient" else []
        places = dict(_places(head, tail, [path.triples for path in found.paths], carrying))
        rows = int(max(row for _, row in places.values())) + 1
        # Between two rows, so that the explained triple's arrow passes through no box.
        middle = (rows + rows % 2 - 1) / 2
        places[tail] = (3.0, middle)
        places[head] = (0.0, middle)
        boxes = {
            name: _box(name, *place, end=name in (head, tail)) for name, place in places.items()
        }
        on_path = dict.fromkeys(triple for path in found.paths for triple in path.triples)
        roles: dict[Names, str] = {found.triple: "explained"}
        for triple in (*on_path, *carrying):
            of_both = triple in on_path and triple in carrying
            role = "both" if of_both else "path" if triple in on_path else "carries"
            roles.setdefault(triple, role)
        arrows = tuple(_arrows(roles, boxes))
        return cls(tuple(boxes.values()), arrows, (WIDTH, round(max(rows, 2) * ROW + 40)))


def _places(
    head: str, tail: str, paths: Sequence[Sequence[Names]], carrying: Sequence[Names]
) -> Iterator[tuple[str, tuple[float, float]]]:
    """Column and row of each entity; those of head and tail are not final."""
    seen, row = {head, tail}, 0
    yield head, (0.0, 0.0)
    yield tail, (3.0, 0.0)
    for path in paths:
        stops = _stops(path, head)[1:-1]
        new = [(i, name) for i, name in enumerate(stops) if name not in seen]
        for i, name in new:
            seen.add(name)
            yield name, (1.5 if len(stops) == 1 else 1.0 + i, float(row))
        row += bool(new)
    sides = {head: row, tail: row}
    for one, _, other in carrying:
        end, name = (one, other) if one in sides else (other, one)
        if name not in seen:
            seen.add(name)
            yield name, (1.0 if end == head else 2.0, float(sides[end]))
            sides[end] += 1


def _stops(path: Sequence[Names], start: str) -> list[str]:
    stops = [start]
    for head, _, tail in path:
        stops.append(tail if stops[-1] == head else head)
    return stops


def _wrapped(name: str) -> tuple[str, ...]:
    """A name in a few lines; what is too long loses its middle."""
    text, most = visible(name), LETTERS * LINES - 4
    if len(text) > most:
        text = f"{text[: most - 9]}…{text[-8:]}"
    return tuple(_lines(text))


def _relation(name: str) -> tuple[str, ...]:
    """A relation in at most two lines; of a long path, as Freebase has them, the last parts."""
    text = visible(name)
    if len(lines := _lines(text)) <= LINES:
        return tuple(lines)
    for part in range(1, text.count("/")):
        lines = _lines("…/" + text.split("/", part + 1)[-1])
        if len(lines) <= LINES:
            return tuple(lines)
    return _wrapped(name)


def _lines(text: str) -> list[str]:
    """Lines of at most ``LETTERS``, broken behind blanks and marks between words."""
    lines: list[str] = []
    line = ""
    for word in re.findall(r"[^\s_/.-]*[\s_/.-]?", text):
        if line and len(line) + len(word) > LETTERS:
            lines, line = [*lines, line], ""
        line += word
    wrapped = [textwrap.wrap(one, LETTERS) or [one] for one in (*lines, line)]
    return [part for parts in wrapped for part in parts]


def _box(name: str, column: float, row: float, *, end: bool) -> Box:
    left = int(min(column, 2))
    x = COLUMNS[left] + (COLUMNS[left + 1] - COLUMNS[left]) * (column - left)
    lines = _wrapped(name)
    # The names of head and tail are bold.
    letter = LETTER * (1.2 if end else 1)
    width, height = max(map(len, lines)) * letter + 14, len(lines) * LINE + 8
    return Box(lines, x, ROW * (row + 0.5) + 20, width, height, end)


def _arrows(roles: dict[Names, str], boxes: dict[str, Box]) -> Iterator[Arrow]:
    """An arrow for the triples of each two entities with one direction and role."""
    taken = list(boxes.values())
    pairs: dict[tuple[str, str], dict[tuple[str, str, str], list[str]]] = {}
    for (head, relation, tail), role in roles.items():
        groups = pairs.setdefault((min(head, tail), max(head, tail)), {})
        groups.setdefault((head, tail, role), []).append(relation)
    for groups in pairs.values():
        for i, ((head, tail, role), relations) in enumerate(groups.items()):
            kept = relations[:2] if len(relations) > 3 else relations
            more = len(relations) - len(kept)
            lines = [line for one in kept for line in _relation(one)]
            lines += [f"and {more} more"] * bool(more)
            shift = i - (len(groups) - 1) / 2
            choices = [
                _arrow(boxes[head], boxes[tail], lines, role, shift, place, aside)
                for aside in (0, -LINE, LINE)
                for place in PLACES
            ]
            best = min(
                choices, key=lambda one: sum(_overlap(_label(one), other) for other in taken)
            )
            taken.append(_label(best))
            yield best


def _label(arrow: Arrow) -> Box:
    width, height = max(map(len, arrow.lines)) * LETTER, len(arrow.lines) * LINE
    return Box(arrow.lines, *arrow.at, width, height, end=False)


def _overlap(one: Box, two: Box) -> float:
    """The area that two boxes share."""
    wide = (one.width + two.width) / 2 - abs(one.x - two.x)
    high = (one.height + two.height) / 2 - abs(one.y - two.y)
    return max(wide, 0) * max(high, 0)


def _arrow(
    one: Box, two: Box, lines: list[str], role: str, shift: float, place: float, aside: int
) -> Arrow:
    if one is two:
        top = one.y - one.height / 2
        rise = 34 + 26 * (shift + 1)
        curve = (one.x - 14, top), (one.x, top - rise), (one.x + 14, top)
        return Arrow(curve, tuple(lines), (one.x, top - rise / 2), role)
    # The same side for both directions of a pair: bent away from the straight line.
    across, down = two.x - one.x, two.y - one.y
    if (one.x, one.y) > (two.x, two.y):
        across, down = -across, -down
    length = max((across**2 + down**2) ** 0.5, 1.0)
    bend = 76 * shift
    x, y = (one.x + two.x) / 2 - down / length * bend, (one.y + two.y) / 2 + across / length * bend

    def point(t: float) -> tuple[float, float]:
        a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
        return a * one.x + b * x + c * two.x, a * one.y + b * y + c * two.y

    places = [i / 100 for i in range(101)]
    first = next((t for t in places if not one.holds(*point(t))), 0.0)
    last = next((t for t in reversed(places) if not two.holds(*point(t))), 1.0)
    middle = first + (last - first) * place
    at = point(middle)[0], point(middle)[1] + aside
    ends = point(first), point(last)
    # The control point of the part between the boxes, by de Casteljau.
    cut = (
        (1 - first) * (1 - last) * one.x
        + (first + last - 2 * first * last) * x
        + first * last * two.x,
        (1 - first) * (1 - last) * one.y
        + (first + last - 2 * first * last) * y
        + first * last * two.y,
    )
    return Arrow((ends[0], cut, ends[1]), tuple(lines), at, role)


def draw(found: Explanation, where: str | FilePath | Axes) -> None:
    """Draw an explanation into axes, or into a ``.png``, ``.svg`` or ``.pdf`` file.

    Raises:
        InputError: the name of the file ends otherwise, or its folder is not there.
    """
    layout = Layout.of(found)
    if not isinstance(where, (str, FilePath)):
        _draw(layout, where)
        return
    path = checked(FilePath(where), "where")
    from matplotlib.figure import Figure

    width, height = layout.size
    figure: Figure = Figure(figsize=(width / 100, height / 100 + 0.35))
    _draw(layout, figure.add_axes((0, 0, 1, 1)))
    save_figure(figure, path)


def checked(path: FilePath, option: str) -> FilePath:
    """The path of a picture that an option names, refused where no picture can be written."""
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"{option}: {path}: expected a name that ends in .png, .svg or .pdf")
    check_file(option, path)
    return path


def _draw(layout: Layout, axes: Axes) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
    from matplotlib.path import Path

    width, height = layout.size
    axes.set(xlim=(0, width), ylim=(height + 35, 0), aspect="equal")
    axes.axis("off")
    for arrow in layout.arrows:
        _, colour, thick, dashes = ROLES[arrow.role]
        axes.add_patch(
            FancyArrowPatch(
                path=Path(arrow.curve, [Path.MOVETO, Path.CURVE3, Path.CURVE3]),
                arrowstyle="-|>",
                mutation_scale=11 + thick,
                color=colour,
                linewidth=thick * 0.72,
                linestyle=(0, dashes) if dashes else "-",
                shrinkA=0,
                shrinkB=0,
                zorder=1,
            )
        )
        x, y = arrow.at
        axes.text(
            x,
            y,
            "\n".join(map(plain, arrow.lines)),
            ha="center",
            va="center",
            fontsize=6.8,
            color=colour,
            zorder=3,
            bbox={"boxstyle": "square,pad=0.1", "color": "white", "alpha": 0.85},
        )
    for box in layout.boxes:
        corner = box.x - box.width / 2, box.y - box.height / 2
        edge, face = ("#000000", "#FFF3C4") if box.end else ("#767C86", "#F5F6F8")
        shape = FancyBboxPatch(
            corner,
            box.width,
            box.height,
            boxstyle="round,pad=0,rounding_size=5",
            edgecolor=edge,
            facecolor=face,
            linewidth=1.2 if box.end else 0.8,
            zorder=2,
        )
        axes.add_patch(shape)
        text = "\n".join(map(plain, box.lines))
        weight = "bold" if box.end else "normal"
        axes.text(
            box.x, box.y, text, ha="center", va="center", fontsize=7.4, weight=weight, zorder=4
        )
    handles = [
        Line2D([], [], color=colour, linewidth=thick, linestyle=(0, dashes) if dashes else "-")
        for _, colour, thick, dashes in (ROLES[role] for role in layout.roles)
    ]
    names = [ROLES[role][0] for role in layout.roles]
    axes.legend(
        handles, names, loc="lower center", ncols=4, frameon=False, fontsize=7.5, handlelength=3.5
    )
