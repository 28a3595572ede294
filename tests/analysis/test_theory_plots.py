"""Pictures: they are drawn from the numbers, all of them."""

from pathlib import Path

import pytest

from dans.analysis import theory
from dans.analysis import theory_plots as pictures
from dans.data.graph import KnowledgeGraph

pytest.importorskip("matplotlib")


@pytest.mark.parametrize(("saved", "panels"), [({}, 2), ({1: 0.4, 10: 0.85}, 3)])
def test_reductions_get_a_panel_where_they_were_measured(
    kg: KnowledgeGraph,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    saved: dict[int, float],
    panels: int,
) -> None:
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    write = Figure.savefig

    def keep(figure: Figure, path: Path, **options: object) -> None:
        drawn.append(figure)
        write(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    shifts = {"toy": theory.divergences(kg)}
    path = pictures.theory_picture(tmp_path / "theory.png", theory.curves(), shifts, saved)
    assert path.stat().st_size > 10_000
    (figure,) = drawn
    assert len(figure.axes) == panels
    assert {line.get_label() for line in figure.axes[0].lines} == {"NS", "SCE"}
    dots = sum(len(points.get_offsets()) for points in figure.axes[1].collections)
    assert dots == len(shifts["toy"]["relations"])
    if saved:
        assert list(figure.axes[2].lines[-1].get_ydata()) == list(saved.values())
