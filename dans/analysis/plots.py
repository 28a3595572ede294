"""Pictures of negatives, samplers, calibration and losses, as PNG files.

Needs matplotlib (the extra ``plots``). Names that come from a user (of runs, samplers,
data sets, relations) go through ``plain``: titles, labels of points and of axes, legends, cells.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dans.analysis.diversity import TRUTH, Group
from dans.analysis.sampler_statistics import Inspection
from dans.analysis.theory import epoch_share_saved
from dans.errors import visible
from dans.evaluation.reliability import Calibrated, Density, Reliability
from dans.training.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours that colour-blind readers can tell apart (Okabe and Ito), in the order of their use;
#: markers change when all are used.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#A6761D", "#56B4E9", "#000000")
SHAPES = "os^DvP"

#: Colour, marker and size of the points of an origin; others take a colour of ``SPARE``.
POINTS = {
    TRUTH: ("#000000", "*", 150),
    "entity pathway": ("#D55E00", "o", 34),
    "relation pathway": ("#0072B2", "^", 34),
    "uniform": ("#999999", ".", 22),
}
SPARE = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")

#: Colours of labelled lines, by label.
LABELS = {"all": PALETTE[6], "true": PALETTE[5], "false": PALETTE[3]}


def _figure(width: float, height: float, *, fit: bool = True) -> "Figure":
    """An empty figure; one whose axes are placed by hand does not ``fit`` them itself."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained" if fit else None)


def _save(figure: "Figure", path: Path) -> None:
    """Write a figure, whole or not at all."""
    picture = BytesIO()
    figure.savefig(picture, dpi=150, format=path.suffix.removeprefix("."))
    write_atomically(path, picture.getvalue())


def plain(name: str) -> str:
    r"""A name as matplotlib draws it letter by letter, without mathematics and control characters.

    Example:
        >>> plain("a$b$\x1b[0m")
        'a\\$b\\$\\x1b[0m'
    """
    return visible(name).replace("$", r"\$")


def _tidy(axes: "Axes", x: str, y: str) -> None:
    """Axis labels, a light grid, and no frame."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def diversity_picture(
    path: Path,
    groups: Mapping[str, Group],
    places: Mapping[str, NDArray[np.float64]],
    numbers: Mapping[str, Mapping[str, float | None]],
    *,
    title: str,
) -> None:
    """The embedding plot of true tails and negatives, beside their numbers.

    ``places`` and ``numbers`` are by ``project`` and ``measure`` of ``dans.analysis.diversity``.
    """
    figure = _figure(11, 6.4, fit=False)
    plot = figure.add_axes((0.02, 0.1, 0.56, 0.83))
    spare = iter(SPARE * len(groups))
    # The true tails are drawn last, on top.
    for name in sorted(groups, key=lambda name: (name == TRUTH, name != "uniform")):
        x, y = places[name].T
        colour, marker, size = POINTS.get(name) or (next(spare), "s", 34)
        plot.scatter(
            x,
            y,
            s=size,
            marker=marker,
            c=colour,
            alpha=1.0 if name == TRUTH else 0.6,
            edgecolors="white" if name != "uniform" else "none",
            linewidths=0.6,
            label=f"{plain(name)} ({len(x)})",
        )
    plot.set_title(plain(title), loc="left", fontsize=13)
    plot.set_xticks([])
    plot.set_yticks([])
    plot.legend(
        loc="upper left",
        bbox_to_anchor=(-0.01, 0.0),
        ncols=len(groups),
        frameon=False,
        handletextpad=0.2,
        columnspacing=1.5,
    )
    _draw_numbers(figure.add_axes((0.6, 0.1, 0.39, 0.83)), numbers)
    _save(figure, path)


def _draw_numbers(axes: "Axes", numbers: Mapping[str, Mapping[str, float | None]]) -> None:
    """A table with a column for each origin."""
    from matplotlib.transforms import Bbox

    rows = {
        "distinct points": "distinct",
        "diversity": "diversity",
        "diversity within a query": "diversity_within_query",
        "to nearest true tail": "to_nearest_true_tail",
        "probe AUC vs true tails": f"auc_{TRUTH}",
        "probe AUC vs uniform": "auc_uniform",
    }

    cells = []
    for label, key in rows.items():
        values = [group.get(key) for group in numbers.values()]
        cells.append([label, *("–" if value is None else f"{value:.2f}" for value in values)])
    axes.axis("off")
    table = axes.table(
        cells,
        colLabels=["", *(plain(name).replace(" ", "\n") for name in numbers)],
        colWidths=[0.4, *[0.6 / len(numbers)] * len(numbers)],
        bbox=Bbox.from_bounds(0.0, 0.3, 1.0, 0.5),
        cellLoc="center",
        edges="horizontal",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    for row in range(1, len(rows) + 1):
        table[row, 0].set_text_props(ha="left")


def sampler_picture(path: Path, found: Mapping[str, Inspection], *, title: str) -> Path:
    """Samplers by false negatives and hardness, and the scores of their negatives; the path."""
    # Sorted by hardness in both panels, so that a name between them serves its point and its row.
    found = dict(sorted(found.items(), key=lambda item: -item[1].numbers["harder"]))
    figure = _figure(12, max(4.8, 1.6 + 0.42 * len(found)))
    figure.suptitle(plain(title), x=0.01, ha="left", fontsize=13)
    hardness, margins = figure.subplots(1, 2)
    draw_hardness(hardness, found)
    draw_margins(margins, found)
    _save(figure, path)
    return path


def draw_hardness(axes: "Axes", found: Mapping[str, Inspection]) -> None:
    """A point for each sampler, joined by a line to its name at the right."""
    _tidy(axes, "negatives that are triples, %", "negatives that score above their triple, %")
    axes.margins(0.06)
    for row, (name, one) in enumerate(found.items()):
        colour = PALETTE[row % len(PALETTE)]
        shape = SHAPES[row // len(PALETTE) % len(SHAPES)]
        point = 100 * one.numbers["false_negatives"]["any"], 100 * one.numbers["harder"]
        axes.plot(*point, shape, color=colour, markersize=8, markeredgecolor="white", zorder=3)
        beside = (1.05, 1 - (row + 0.5) / len(found))
        line = {"arrowstyle": "-", "color": colour, "alpha": 0.4, "linewidth": 0.8}
        line |= {"relpos": (0, 0.5), "shrinkB": 4}
        axes.annotate(
            plain(name), point, beside, "data", "axes fraction", line, va="center", color=colour
        )


def draw_margins(axes: "Axes", found: Mapping[str, Inspection]) -> None:
    """A row for each sampler: the distribution of score differences to the triples."""
    whole = np.concatenate([one.margins.double().numpy() for one in found.values()])
    if len(whole):
        axes.set_xlim(*np.quantile(whole, (0.002, 0.998)) + np.array((-1e-6, 1e-6)))
    edges = np.linspace(*axes.get_xlim(), 81)
    middles = (edges[:-1] + edges[1:]) / 2
    for row, one in enumerate(found.values()):
        counts, _ = np.histogram(one.margins.double().numpy(), edges)
        shape = 0.42 * counts / max(counts.max(), 1)
        colour = PALETTE[row % len(PALETTE)]
        axes.fill_between(middles, row + shape, row - shape, color=colour, alpha=0.7, linewidth=0)
        if len(one.margins):
            axes.plot(one.margins.median(), row, "|", color="#000000", markersize=10)
    axes.axvline(0, color="#000000", linewidth=0.8, linestyle="--")
    axes.set_yticks([])
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("score of the negative − score of its triple (bar: median)")


def calibration_picture(path: Path, found: Mapping[str, Calibrated]) -> Path:
    """A row for each run: reliability diagram, and densities of probabilities; the path.

    The densities are those of all, of true and of false lines.

    Source: Hajimoradlou & Kazemi 2022, Stay Positive, Fig. 1 (the density).
    """
    figure = _figure(13, 0.4 + 3.6 * len(found))
    rows = figure.subfigures(len(found), 1, squeeze=False)[:, 0]
    for row, (name, one) in zip(rows, found.items(), strict=True):
        row.suptitle(plain(name), x=0.01, ha="left", fontsize=12)
        diagram, together, apart = row.subplots(1, 3)
        draw_reliability(diagram, one.reliability)
        draw_densities(together, {"all": one.density["all"]})
        draw_densities(apart, {key: one.density[key] for key in ("true", "false")})
    _save(figure, path)
    return path


def draw_reliability(axes: "Axes", found: Mapping[str, Reliability]) -> None:
    """The share of true lines by probability; a calibrated model lies on the diagonal."""
    from matplotlib.collections import PathCollection

    axes.plot((0, 1), (0, 1), color="#999999", linewidth=0.8, linestyle="--")
    for i, (name, one) in enumerate(found.items()):
        bins = zip(one.probability, one.true, one.counts, strict=True)
        points = [(p, q, n / sum(one.counts)) for p, q, n in bins if p is not None]
        x, y, share = zip(*points, strict=True)
        # Larger for more lines: bins of few lines are noisy.
        areas = [12 + 160 * part for part in share]
        label = f"{plain(name)} (ECE {one.error:.3f})"
        axes.plot(x, y, color=PALETTE[i], linewidth=1, alpha=0.6)
        axes.scatter(x, y, areas, color=PALETTE[i], marker=SHAPES[i], label=label, zorder=3)
    _tidy(axes, "probability", "share that is true")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.02, 1.02)
    for handle in axes.legend(frameon=False, fontsize=8, loc="upper left").legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([25])


def draw_densities(axes: "Axes", found: Mapping[str, Density]) -> None:
    """Histograms and kernel density estimates, by a label of ``LABELS``."""
    for name, one in found.items():
        edges = np.linspace(0, 1, len(one.histogram) + 1)
        axes.stairs(one.histogram, edges, fill=True, color=LABELS[name], alpha=0.3)
        x = np.linspace(0, 1, len(one.curve))
        axes.plot(x, one.curve, color=LABELS[name], linewidth=1.4, label=f"{name} lines")
    _tidy(axes, "σ(φ), uncalibrated", "density")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)


def theory_picture(
    path: Path,
    curves: Mapping[str, Sequence[float]],
    shifts: Mapping[str, Mapping[str, Any]],
    reductions: Mapping[int, float],
) -> Path:
    """Bregman curves, divergence of test from train, and measured time savings; the path.

    ``curves`` and ``shifts``, by data set, are of ``dans.analysis.theory``; ``reductions`` has
    (t₁ − t₂)/t₁ by the number of negatives, and no panel where empty.
    """
    panels = 2 + bool(reductions)
    figure = _figure(5.2 * panels, 4.4)
    axes = figure.subplots(1, panels)
    draw_curves(axes[0], curves)
    draw_shifts(axes[1], shifts)
    if reductions:
        draw_reductions(axes[2], reductions)
    _save(figure, path)
    return path


def draw_curves(axes: "Axes", curves: Mapping[str, Sequence[float]]) -> None:
    """Bregman divergence from p = ½, of each family of losses."""
    for (name, values), colour in zip(list(curves.items())[1:], PALETTE, strict=False):
        axes.plot(curves["p"], values, color=colour, linewidth=2, label=plain(name))
    axes.set_title("Bregman divergence from ½", loc="left")
    _tidy(axes, "p", "d(½, p)")
    axes.set_ylim(0, 1)
    axes.legend(frameon=False)


def draw_shifts(axes: "Axes", shifts: Mapping[str, Mapping[str, Any]]) -> None:
    """A point for each relation, its area by its queries, and a bar at the mean over queries."""
    rows = [(name, side) for name in shifts for side in ("tail", "head")]
    for place, (name, side) in enumerate(rows):
        points = [row for row in shifts[name]["relations"] if row["side"] == side]
        if not points:
            continue
        colour = PALETTE[list(shifts).index(name) % 4]
        sizes = np.array([row["queries"] for row in points])
        # The golden ratio spaces the points over the height of the row, so that few overlap.
        heights = place + 0.5 * ((np.arange(len(points)) * 0.618) % 1 - 0.5)
        values = [row["train‖test"] for row in points]
        axes.scatter(values, heights, s=8 + 300 * sizes / sizes.sum(), color=colour, alpha=0.5)
        mean = float(np.average(values, weights=sizes))
        axes.plot([mean, mean], [place - 0.38, place + 0.38], color="#000000", linewidth=2)
    axes.set_title("D(train ‖ test) of p(y|x), by relation", loc="left")
    _tidy(axes, "nats (bar: mean over queries)", "")
    axes.set_yticks(range(len(rows)), [f"{plain(name)}, {side}s" for name, side in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=0)


def draw_reductions(axes: "Axes", reductions: Mapping[int, float]) -> None:
    """The measured share of an epoch saved by drawing no negatives, and n / (1 + n)."""
    x = np.geomspace(min(1, *reductions), max(reductions), 100).tolist()
    axes.plot(x, [epoch_share_saved(n) for n in x], color="#999999", label="n / (1 + n)")
    points = sorted(reductions.items())
    axes.plot(*zip(*points, strict=True), "o", color=PALETTE[0], label="measured")
    axes.set_title("Stay Positive: time of an epoch saved", loc="left")
    _tidy(axes, "negatives of a triple, n", "(t₁ − t₂) / t₁")
    axes.set_xscale("log")
    axes.set_xticks([n for n, _ in points], [str(n) for n, _ in points])
    axes.minorticks_off()
    axes.set_ylim(min(0.0, *reductions.values()), 1)
    axes.legend(frameon=False, loc="lower right")
