"""Letters that the usual font lacks are drawn in one that has them, or a message says so."""

import logging
import warnings

import matplotlib
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.table import Cell

from dans.analysis.fonts import draw_figure, fallbacks


def figure() -> Figure:
    """One with a letter in a text and another in a cell."""
    made = Figure(figsize=(2, 2))
    made.text(0.1, 0.9, "Gr\u00f6\u00dfe")
    axes = made.subplots()
    axes.axis("off")
    axes.table([["\u03b1"]])
    return made


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_font_of_the_machine_draws_what_the_usual_one_lacks(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    # A font that comes with matplotlib and has few letters.
    usual = {"font.family": "cmr10", "axes.formatter.use_mathtext": True}
    with matplotlib.rc_context(usual):
        made = figure()
        draw_figure(made, kind)
    (cell,) = made.findobj(Cell)
    assert not caplog.records
    expected = ["cmr10", *fallbacks({"\u00f6", "\u00df", "\u03b1"})]
    assert len(expected) > 1
    assert all(text.get_fontfamily() == expected for text in (made.texts[0], cell.get_text()))


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_letters_that_no_font_has_are_one_message(
    kind: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [font for font in fontManager.ttflist if font.name in ("DejaVu Sans", "cmr10")]
    monkeypatch.setattr(fontManager, "ttflist", few)
    made = Figure(figsize=(2, 2))
    made.text(0.1, 0.9, "\u4e2d\u6587 \u0915")
    assert draw_figure(made, kind)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "3 of the picture's characters, such as '\u0915', are drawn as" in record.message


def test_other_warnings_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: warnings.warn("other", stacklevel=1))
    with pytest.warns(UserWarning, match="^other$"):
        draw_figure(Figure(), "png")


def test_other_warnings_are_given_once_where_it_is_drawn_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = Figure.savefig

    def savefig(*given: object, **options: object) -> None:
        warnings.warn("other", stacklevel=1)
        drawn(*given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", savefig)
    usual = {"font.family": "cmr10", "axes.formatter.use_mathtext": True}
    with matplotlib.rc_context(usual), pytest.warns(UserWarning, match="^other$") as said:
        draw_figure(figure(), "png")
    assert len(said) == 1
