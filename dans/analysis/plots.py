"""Pictures. Needs matplotlib (``pip install 'dans[plots]'``)."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dans.analysis.diversity import TRUTH, Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours that stay apart for colour-blind eyes (Okabe and Ito), by origin; others take what is
#: left.
COLOURS = {
    TRUTH: "#000000",
    "entity way": "#D55E00",
    "relation way": "#0072B2",
    "uniform": "#999999",
}
SPARE = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = {TRUTH: "*", "entity way": "o", "relation way": "^", "uniform": "."}
SIZES = {TRUTH: 150, "uniform": 22}


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
    # The truth goes on top of what it is compared with.
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
        "spread": "spread",
        "spread within a query": "spread_within_query",
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
