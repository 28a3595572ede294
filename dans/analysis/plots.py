"""Pictures. Needs matplotlib (``pip install 'dans[plots]'``)."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dans.analysis.diversity import TRUTH, Group
from dans.analysis.sampler_statistics import Inspection

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours that stay apart for colour-blind eyes (Okabe and Ito), by origin; others take what is
#: left.
COLOURS = {
    TRUTH: "#000000",
    "entity pathway": "#D55E00",
    "relation pathway": "#0072B2",
    "uniform": "#999999",
}
SPARE = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = {TRUTH: "*", "entity pathway": "o", "relation pathway": "^", "uniform": "."}
SIZES = {TRUTH: 150, "uniform": 22}

#: Of samplers, by their place in a comparison; markers change when the colours are used up.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#A6761D", "#56B4E9", "#000000")
SHAPES = "os^DvP"


def diversity_picture(
    path: Path,
    groups: Mapping[str, Group],
    places: Mapping[str, NDArray[np.float64]],
    numbers: Mapping[str, Mapping[str, float | None]],
    *,
    title: str,
) -> None:
    """Draw where true tails and negatives lie, with the numbers beside.

    Args:
        path: the PNG to write.
        groups: points by origin.
        places: their coordinates in the plane, (p, 2) each.
        numbers: what ``measure`` said of them.
        title: above the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.4))
    FigureCanvasAgg(figure)
    picture, table = (
        figure.add_axes((0.02, 0.1, 0.56, 0.83)),
        figure.add_axes((0.6, 0.1, 0.39, 0.83)),
    )
    spare = iter(SPARE * len(groups))
    # The truth continues top of what it is compared with.
    for name in sorted(groups, key=lambda name: (name == TRUTH, name != "uniform")):
        colour = COLOURS.get(name) or next(spare)
        scatter(picture, name, places[name], colour)
    picture.set_title(title, loc="left", fontsize=13)
    picture.set_xticks([])
    picture.set_yticks([])
    picture.legend(
        loc="upper left",
        bbox_to_anchor=(-0.01, 0.0),
        ncols=len(groups),
        frameon=False,
        handletextpad=0.2,
        columnspacing=1.5,
    )
    write_numbers(table, numbers)
    figure.savefig(path, dpi=150)


def scatter(axes: "Axes", name: str, points: NDArray[np.float64], colour: str) -> None:
    """One group's points."""
    axes.scatter(
        points[:, 0],
        points[:, 1],
        s=SIZES.get(name, 34),
        marker=MARKERS.get(name, "s"),
        c=colour,
        alpha=1.0 if name == TRUTH else 0.6,
        edgecolors="white" if name != "uniform" else "none",
        linewidths=0.6,
        label=f"{name} ({len(points)})",
    )


def write_numbers(axes: "Axes", numbers: Mapping[str, Mapping[str, float | None]]) -> None:
    """The measurements as a table a person can compare row by row."""
    from matplotlib.transforms import Bbox

    rows = {
        "distinct points": "distinct",
        "diversity": "diversity",
        "diversity within a query": "diversity_within_query",
        "to nearest true tail": "to_nearest_true_tail",
        "probe AUC vs true tails": f"auc_{TRUTH}",
        "probe AUC vs uniform": "auc_uniform",
    }
    cells = [
        [label, *(_cell(group.get(key)) for group in numbers.values())]
        for label, key in rows.items()
    ]
    axes.axis("off")
    width = 0.6 / len(numbers)
    table = axes.table(
        cells,
        colLabels=["", *(name.replace(" ", "\n") for name in numbers)],
        colWidths=[0.4, *[width] * len(numbers)],
        bbox=Bbox.from_bounds(0.0, 0.3, 1.0, 0.5),
        cellLoc="center",
        edges="horizontal",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    for row in range(1, len(rows) + 1):
        table[row, 0].set_text_props(ha="left")


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def sampler_picture(path: Path, found: Mapping[str, Inspection], *, title: str) -> Path:
    """Draw how false negatives are against how hard, and how their scores lie about the triples'.

    Args:
        path: the PNG to write.
        found: samplers by name, inspected on one model.
        title: above the picture.

    Returns:
        The path.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # The hardest on top in both: one name between the two serves its point and its row.
    found = dict(sorted(found.items(), key=lambda item: -item[1].numbers["harder"]))
    figure = Figure(figsize=(12, max(4.8, 1.6 + 0.42 * len(found))), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    places, margins = figure.subplots(1, 2)
    draw_places(places, found)
    draw_margins(margins, found)
    figure.savefig(path, dpi=150)
    return path


def draw_places(axes: "Axes", found: Mapping[str, Inspection]) -> None:
    """A point for each sampler, and its name at the right, with a line between the two."""
    axes.set_xlabel("negatives that are triples, %")
    axes.set_ylabel("negatives that score above their triple, %")
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(0.06)
    for row, (name, one) in enumerate(found.items()):
        colour = PALETTE[row % len(PALETTE)]
        shape = SHAPES[row // len(PALETTE) % len(SHAPES)]
        point = 100 * one.numbers["false_negatives"]["any"], 100 * one.numbers["harder"]
        axes.plot(*point, shape, color=colour, markersize=8, markeredgecolor="white", zorder=3)
        axes.annotate(
            name,
            xy=point,
            xytext=(1.05, 1 - (row + 0.5) / len(found)),
            textcoords="axes fraction",
            va="center",
            color=colour,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "alpha": 0.4,
                "linewidth": 0.8,
                "relpos": (0, 0.5),
                "shrinkB": 4,
            },
        )


def draw_margins(axes: "Axes", found: Mapping[str, Inspection]) -> None:
    """How far negatives score from their triples: a row for each sampler."""
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
