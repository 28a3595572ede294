"""Rows of cells as the aligned lines of a table."""

import unicodedata
from collections.abc import Collection, Iterable, Sequence


def aligned(rows: Iterable[Sequence[object]], *, left: Collection[int] = (0,)) -> list[str]:
    """Equally long rows as lines, the cells of some columns to the ``left``, others to the right.

    Floats have four digits behind the point, and None is –.

    Example:
        >>> aligned([["", "mrr", "queries"], ["heads", 0.5, 12], ["tails", None, 0]])
        ['          mrr  queries', 'heads  0.5000       12', 'tails       –        0']
    """
    shown = [[_shown(cell) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(*shown, strict=True)]
    lines = []
    for row in shown:
        spaces = (" " * (most - width(cell)) for most, cell in zip(widths, row, strict=True))
        cells = (
            cell + space if i in left else space + cell
            for i, (cell, space) in enumerate(zip(row, spaces, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    return lines


def _shown(cell: object) -> str:
    return "–" if cell is None else f"{cell:.4f}" if isinstance(cell, float) else str(cell)


def width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)
