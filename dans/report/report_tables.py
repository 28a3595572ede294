"""Tables of a report: numbers aligned, the protocol in the caption."""

from collections.abc import Sequence
from dataclasses import dataclass

from dans.report.markup import Html, join, tag

#: What stands where there is no number.
NOTHING = "–"


@dataclass(frozen=True)
class Cell:
    """What stands in a cell.

    Args:
        shown: text or markup.
        number: is it one, to be aligned at the right?
        strong: does it stand out?
    """

    shown: object
    number: bool = True
    strong: bool = False


def words(shown: object) -> Cell:
    """A cell that is no number."""
    return Cell(shown, number=False)


def four(value: float | None) -> str:
    """Four digits behind the point.

    Example:
        >>> four(0.75331), four(None), four(-0.02)
        ('0.7533', '–', '−0.0200')
    """
    return NOTHING if value is None else f"{value:.4f}".replace("-", "−")


def signed(value: float | None) -> str:
    """The same, with its sign.

    Example:
        >>> signed(0.01891), signed(-0.5)
        ('+0.0189', '−0.5000')
    """
    return NOTHING if value is None else f"{value:+.4f}".replace("-", "−")


def whole(value: float) -> str:
    """A count.

    Example:
        >>> whole(40943)
        '40,943'
    """
    return f"{value:,.0f}"


def chance(p: float | None) -> str:
    """A p value.

    Example:
        >>> chance(0.0004), chance(0.0312), chance(None)
        ('< 0.001', '0.031', '–')
    """
    return NOTHING if p is None or p != p else "< 0.001" if p < 0.001 else f"{p:.3f}"


def share(part: float, of: float) -> str:
    """A share in percent.

    Example:
        >>> share(1, 8), share(0, 0)
        ('12.5 %', '–')
    """
    return f"{100 * part / of:.1f} %" if of else NOTHING


def best(values: Sequence[float | None], *, lowest: bool = False, digits: int = 4) -> list[bool]:
    """Which of several runs' values are the best, to the digits shown; none where all are equal.

    Example:
        >>> best([0.5, None, 0.7]), best([0.5]), best([1.0, 1.0])
        ([False, False, True], [False], [False, False])
        >>> best([2.811, 2.814, 3.0], lowest=True, digits=2)
        [True, True, False]
    """
    shown = [None if value is None else f"{value:.{digits}f}" for value in values]
    there = [float(value) for value in shown if value is not None]
    top = (min(there) if lowest else max(there)) if there else 0.0
    marks = [value is not None and float(value) == top for value in shown]
    return [False] * len(values) if sum(marks) == len(there) else marks


def table(
    caption: object,
    head: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    groups: Sequence[tuple[str, int]] = (),
    sortable: bool = False,
    classes: str = "",
) -> Html:
    """A table; the first cell of a row names it.

    Args:
        caption: what is counted, and by which protocol; empty where that stands above.
        head: names of the columns.
        rows: of as many cells.
        groups: names above the columns, each with how many it spans.
        sortable: may a reader sort it by its columns?
        classes: for the looks.
    """
    numbers = [cell.number for cell in rows[0]] if rows else [False] * len(head)
    top = []
    if groups:
        spans = [
            tag("th", {"colspan": n, "scope": "colgroup"} if name else {"colspan": n}, name)
            for name, n in groups
        ]
        top.append(tag("tr", {"class": "groups"}, *spans))
    cells = [
        tag("th", {"scope": "col", "class": "n" if number else None}, name)
        for name, number in zip(head, numbers, strict=True)
    ]
    top.append(tag("tr", None, *cells))
    # Where a row becomes a card, on a narrow screen, its cells say what they are.
    labels = head if "roomy" in classes else [None] * len(head)
    body = [
        tag(
            "tr", None, *(_cell(*given) for given in zip(row, labels, range(len(row)), strict=True))
        )
        for row in rows
    ]
    kind = " ".join(part for part in (classes, "sortable" if sortable else "") if part)
    whole_table = tag(
        "table",
        {"class": kind or None},
        tag("caption", None, tag("span", None, caption)) if caption else None,
        tag("thead", None, *top),
        tag("tbody", None, *body),
    )
    return tag("div", {"class": "scroll"}, whole_table)


def _cell(cell: Cell, label: str | None, place: int) -> Html:
    if not place:
        return tag("th", {"scope": "row"}, cell.shown)
    kind = " ".join(name for name, on in (("n", cell.number), ("best", cell.strong)) if on)
    return tag("td", {"class": kind or None, "data-label": label}, cell.shown)


def paragraph(*parts: object, classes: str = "") -> Html:
    """Some text."""
    return tag("p", {"class": classes or None}, join(parts))


def items(lines: Sequence[object], classes: str = "") -> Html:
    """A list."""
    return tag("ul", {"class": classes or None}, *(tag("li", None, line) for line in lines))
