"""Figures drawn with a font for each letter: fallbacks for scripts that the usual font lacks."""

import logging
import re
import warnings
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import TYPE_CHECKING

from dans.errors import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

log = logging.getLogger(__name__)

#: How matplotlib warns of a letter without a glyph, and of scripts it may set wrongly.
NO_GLYPH = re.compile(r"Glyph (\d+) .* missing from |Matplotlib currently does not support ")

#: A font of matplotlib that has a box for each letter.
BOXES = "Last Resort"


def draw_figure(figure: "Figure", kind: str) -> bytes:
    """The content of a file of a kind, such as ``png``.

    Letters that the usual font lacks are drawn in fonts of this machine that have them; what none
    has is a box, and one message says so.
    """
    content, missing, others = _drawn(figure, kind)
    if missing:
        with _quiet():
            families = fallbacks(missing)
            for text in _texts(figure):
                text.set_fontfamily([*text.get_fontfamily(), *families])
            content, missing, others = _drawn(figure, kind)
    for one in others:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if missing:
        log.warning(
            "%d of the picture's characters, such as %s, are drawn as boxes: no font that "
            "matplotlib finds has them; the Noto fonts have most scripts",
            *(len(missing), shown(min(missing))),
        )
    return content


def _drawn(figure: "Figure", kind: str) -> tuple[bytes, set[str], list[warnings.WarningMessage]]:
    """The content, the letters that no font had, and what was warned of besides."""
    picture, missing, others = BytesIO(), set(), []
    with warnings.catch_warnings(record=True) as said:
        warnings.filterwarnings("always", NO_GLYPH.pattern)
        figure.savefig(picture, dpi=150, format=kind)
    for one in said:
        if not (found := NO_GLYPH.match(str(one.message))):
            others.append(one)
        elif found[1]:
            missing.add(chr(int(found[1])))
    return picture.getvalue(), missing, others


@contextmanager
def _quiet() -> Iterator[None]:
    """Let matplotlib not log which weights a family lacks."""
    finder = logging.getLogger("matplotlib.font_manager")
    level = finder.level
    finder.setLevel(logging.ERROR)
    try:
        yield
    finally:
        finder.setLevel(level)


def _texts(figure: "Figure") -> Iterator["Text"]:
    from matplotlib.table import Cell
    from matplotlib.text import Text

    for artist in figure.findobj():
        if isinstance(artist, Cell):
            yield artist.get_text()
        elif isinstance(artist, Text):
            yield artist


def fallbacks(letters: Set[str]) -> list[str]:
    """Families of fonts that have the letters: again and again the one with most of those left.

    Of equals, one without serifs.
    """
    from matplotlib.font_manager import fontManager, get_font

    left = set(map(ord, letters))
    names = {font.name for font in fontManager.ttflist if not font.name.startswith(BOXES)}
    has = {}
    for name in sorted(names, key=lambda name: ("Sans" not in name, name)):
        # A file may be gone, or of no kind that can be read.
        with suppress(OSError, RuntimeError, ValueError):
            has[name] = left & get_font(fontManager.findfont(name)).get_charmap().keys()
    found: list[str] = []
    while has and has[best := max(has, key=lambda name: len(has[name] & left))] & left:
        found.append(best)
        left -= has[best]
    return found
