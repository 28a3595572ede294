"""Pictures of what theory says of the losses. Needs matplotlib (``pip install 'dans[plots]'``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dans.analysis.theory import saved

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours that stay apart for colour-blind eyes (Okabe and Ito).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def theory_picture(
    path: Path,
    drawn: Mapping[str, Sequence[float]],
    shifts: Mapping[str, Mapping[str, Any]],
    reductions: Mapping[int, float],
) -> Path:
    """Draw the curves, the shifts and, where they were measured, the reductions.

    Args:
        path: the PNG to write.
        drawn: of `curves`.
        shifts: by data set, of `divergences`.
        reductions: (t₁ − t₂)/t₁ by the number of negatives; empty where none were measured.

    Returns:
        The path.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = 2 + bool(reductions)
    figure = Figure(figsize=(5.2 * panels, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels)
    draw_curves(axes[0], drawn)
    draw_shifts(axes[1], shifts)
    if reductions:
        draw_reductions(axes[2], reductions)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(alpha=0.25, linewidth=0.6)
        one.set_axisbelow(True)
    figure.savefig(path, dpi=150)
    return path


def draw_curves(axes: Axes, drawn: Mapping[str, Sequence[float]]) -> None:
    """How each family measures the way from p = ½."""
    for (name, values), colour in zip(list(drawn.items())[1:], COLOURS, strict=False):
        axes.plot(drawn["p"], values, color=colour, linewidth=2, label=name)
    axes.set_title("Bregman divergence from ½", loc="left")
    axes.set_xlabel("p")
    axes.set_ylabel("d(½, p)")
    axes.set_ylim(0, 1)
    axes.legend(frameon=False)


def draw_shifts(axes: Axes, shifts: Mapping[str, Mapping[str, Any]]) -> None:
    """A dot for each relation, as large as it has queries; a bar at the queries' mean."""
    rows = [(name, side) for name in shifts for side in ("tail", "head")]
    for place, (name, side) in enumerate(rows):
        points = [row for row in shifts[name]["relations"] if row["asks"] == side]
        if not points:
            continue
        colour = COLOURS[list(shifts).index(name) % len(COLOURS)]
        sizes = np.array([row["queries"] for row in points])
        # Spread over the row's height, by turns, so that dots do not hide one another.
        heights = place + 0.5 * ((np.arange(len(points)) * 0.618) % 1 - 0.5)
        values = [row["train‖test"] for row in points]
        axes.scatter(values, heights, s=8 + 300 * sizes / sizes.sum(), color=colour, alpha=0.5)
        mean = float(np.average(values, weights=sizes))
        axes.plot([mean, mean], [place - 0.38, place + 0.38], color="#000000", linewidth=2)
    axes.set_yticks(range(len(rows)), [f"{name}, {side}s" for name, side in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_title("D(train ‖ test) of p(y|x), by relation", loc="left")
    axes.set_xlabel("nats (bar: mean over queries)")


def draw_reductions(axes: Axes, reductions: Mapping[int, float]) -> None:
    """What is saved by scoring no negatives, beside what theory promises."""
    most = max(reductions)
    between = np.geomspace(min(1, *reductions), most, 100).tolist()
    axes.plot(between, [saved(n) for n in between], color="#999999", label="n / (1 + n)")
    points = sorted(reductions.items())
    axes.plot(*zip(*points, strict=True), "o", color=COLOURS[0], label="measured")
    axes.set_xscale("log")
    axes.set_xticks([n for n, _ in points], [str(n) for n, _ in points])
    axes.minorticks_off()
    axes.set_ylim(min(0.0, *reductions.values()), 1)
    axes.set_title("Stay Positive: time of an epoch saved", loc="left")
    axes.set_xlabel("negatives of a triple, n")
    axes.set_ylabel("(t₁ − t₂) / t₁")
    axes.legend(frameon=False, loc="lower right")
