"""Pictures of negatives, samplers and calibration, as PNG files.

Needs matplotlib (the extra ``plots``). Names that come from a user (of runs, samplers,
data sets, relations) go through ``plain``: titles, labels of points and of axes, legends, cells.
"""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dans.analysis.diversity import (
    GENERATED,
    TRUTH,
    Group,
    caption,
    file_part,
    gather,
    measure,
    project,
)
from dans.analysis.fonts import draw_figure
from dans.analysis.sampler_statistics import Inspection
from dans.config.writing import write_atomically
from dans.errors import visible
from dans.evaluation.reliability import Calibrated, Density, Reliability
from dans.runs.train import Trained
from dans.seeding import seed_everything, undisturbed
from dans.training.run_folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours that colour-blind readers can tell apart (Okabe and Ito), in the order of their use;
#: markers change when all are used.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#A6761D", "#56B4E9", "#000000")
SHAPES = "os^DvP"

#: Colour, marker and size of the points of an origin; others take a colour of ``SPARE``.
POINTS = {
    TRUTH: ("#000000", "*", 60),
    "entity pathway": ("#D55E00", "o", 34),
    "relation pathway": ("#0072B2", "^", 34),
    "uniform": ("#999999", "o", 14),
}
SPARE = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")

#: Training triples for whose tail queries negatives are drawn and plotted.
QUERIES = 60
#: The area of a mark grows with the number of equal points, up to so many times.
MOST_TIMES = 12

#: Colours of labelled lines, by label.
LABELS = {"all": PALETTE[6], "true": PALETTE[5], "false": PALETTE[3]}


def new_figure(width: float, height: float, *, fit: bool = True) -> "Figure":
    """An empty figure; one whose axes are placed by hand does not ``fit`` them itself."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained" if fit else None)


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure, whole or not at all."""
    write_atomically(path, draw_figure(figure, path.suffix.removeprefix(".")))


def plain(name: str) -> str:
    r"""A name as matplotlib draws it letter by letter, without mathematics and control characters.

    Example:
        >>> plain("a$b$\x1b[0m")
        'a\\$b\\$\\x1b[0m'
    """
    return visible(name).replace("$", r"\$")


def tidy(axes: "Axes", x: str, y: str) -> None:
    """Axis labels, a light grid, and no frame."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


@undisturbed()
def plot_diversity(trained: Trained, where: Path, relation: str | None = None) -> list[Path]:
    """Measure and draw the negatives of a trained run for one relation; the files.

    Args:
        where: the folder of the run. The files have the relation in their names.
        relation: by default the one with most training triples.

    Raises:
        InputError: there is no such relation, or it has no training triples.
    """
    kg, config = trained.kg, trained.config
    named = None if relation is None else kg.relations.index(relation, where="--relation")
    row = int(kg.train[:, 1].mode().values) if named is None else named
    name = kg.relations[row]
    seed_everything(config.train.seed)
    groups = gather(kg, trained.model, trained.sampler, trained.entities, row, queries=QUERIES)
    numbers = measure(groups)
    of = int((kg.train[:, 1] == row).sum())
    kept = f"step {trained.step:,} of a run with seed {config.train.seed}"
    triples = min(of, QUERIES)
    said = caption(groups, relation=name, triples=triples, of=of, kept=kept)
    part = file_part(name, row)
    json, png = (where / file for file in (f"diversity-{part}.json", f"tsne-{part}.png"))
    about = {"relation": name, "triples": triples, "of": of, "step": trained.step, "caption": said}
    RunFolder(where).write_json(json.name, {**about, "groups": numbers})
    title = f"{kg.name}, relation {name}: true tails and negatives ({config.decoder.name})"
    diversity_picture(png, groups, project(groups), numbers, title=title, caption=said)
    return [png, json]


def diversity_picture(
    path: Path,
    groups: Mapping[str, Group],
    places: Mapping[str, NDArray[np.float64]],
    numbers: Mapping[str, Mapping[str, float | None]],
    *,
    title: str,
    caption: str,
) -> None:
    """The embedding plot of true tails and negatives, above their numbers and a caption.

    Offered negatives have one panel, and those as generated, if there are any, another, both in one
    projection. ``places`` and ``numbers`` are by ``project`` and ``measure`` of
    ``dans.analysis.diversity``.
    """
    generated = [name for name in groups if name.endswith(GENERATED)]
    offered = [name for name in groups if name not in generated]
    panels = [("What is offered to the model", offered)]
    if generated:
        panels.append(("What is generated, before nearest entities are taken", [TRUTH, *generated]))
    figure = new_figure(6.0 * len(panels) + 0.6 if generated else 9, 9.6, fit=False)
    figure.text(0.02, 0.985, plain(title), fontsize=13, va="top")
    whole = np.concatenate(list(places.values()))
    low, high = whole.min(0), whole.max(0)
    margin = 0.05 * np.maximum(high - low, 1e-9)
    wide = 0.96 / len(panels)
    for i, (heading, names) in enumerate(panels):
        axes = figure.add_axes((0.02 + i * wide, 0.43, wide - 0.01, 0.49))
        axes.set_title(heading, loc="left", fontsize=11)
        axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
        axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
        draw_points(axes, {name: places[name] for name in names})
    _draw_numbers(figure.add_axes((0.02, 0.13, 0.96, 0.22)), numbers)
    lines = "\n".join(map(plain, textwrap.wrap(caption, 175 if generated else 125)))
    figure.text(0.02, 0.11, lines, fontsize=8.5, va="top", color="#444444", linespacing=1.35)
    save_figure(figure, path)


def draw_points(axes: "Axes", places: Mapping[str, NDArray[np.float64]]) -> None:
    """Points in the plane by origin; equal ones are one mark, its area by their number."""
    from matplotlib.collections import PathCollection

    spare = iter(SPARE * len(places))
    # The true tails are drawn last, on top.
    for name in sorted(places, key=lambda name: (name == TRUTH, name != "uniform")):
        origin = name.removesuffix(GENERATED)
        colour, marker, size = POINTS.get(origin) or (next(spare), "s", 34)
        points, counts = np.unique(places[name], axis=0, return_counts=True)
        x, y = points.T
        axes.scatter(
            x,
            y,
            s=size * np.minimum(counts, MOST_TIMES),
            marker=marker,
            c=colour,
            alpha=1.0 if name == TRUTH else 0.6,
            edgecolors="white" if origin != "uniform" else "none",
            linewidths=0.6,
            label=f"{plain(name)} ({len(places[name])})",
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#cccccc")
    legend = axes.legend(
        loc="upper left",
        bbox_to_anchor=(-0.01, 0.0),
        ncols=2,
        frameon=False,
        handletextpad=0.2,
        columnspacing=1.5,
        fontsize=9,
    )
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([40])


def _draw_numbers(axes: "Axes", numbers: Mapping[str, Mapping[str, float | None]]) -> None:
    """A table with a column for each origin."""
    from matplotlib.transforms import Bbox

    rows = {
        "share of distinct points": "distinct",
        "diversity: mean distance of two points": "diversity",
        "diversity within a query": "diversity_within_query",
        "mean distance to the nearest true tail": "to_nearest_true_tail",
        "told from true tails (AUC; 0.5 or less: not at all)": f"auc_{TRUTH}",
        "told from uniform negatives likewise": "auc_uniform",
    }

    cells = []
    for label, key in rows.items():
        # True tails are of no query.
        within = key in ("diversity_within_query", "to_nearest_true_tail")
        values = [
            None if within and name == TRUTH else group.get(key) for name, group in numbers.items()
        ]
        cells.append([label, *("–" if value is None else f"{value:.2f}" for value in values)])
    axes.axis("off")
    table = axes.table(
        cells,
        colLabels=["", *(plain(name).replace(", ", "\n") for name in numbers)],
        colWidths=[0.34, *[0.66 / len(numbers)] * len(numbers)],
        bbox=Bbox.from_bounds(0.0, 0.0, 1.0, 1.0),
        cellLoc="center",
        edges="horizontal",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    for row in range(1, len(rows) + 1):
        table[row, 0].set_text_props(ha="left")
    for column in range(len(numbers) + 1):
        # Some names have two lines.
        table[0, column].set_height(1.6 * table[1, column].get_height())


def sampler_picture(path: Path, found: Mapping[str, Inspection], *, title: str) -> Path:
    """Samplers by false negatives and hardness, and the scores of their negatives; the path."""
    # Sorted by hardness in both panels, so that a name between them serves its point and its row.
    found = dict(sorted(found.items(), key=lambda item: -item[1].numbers["harder"]))
    figure = new_figure(12, max(4.8, 1.6 + 0.42 * len(found)))
    figure.suptitle(plain(title), x=0.01, ha="left", fontsize=13)
    hardness, margins = figure.subplots(1, 2)
    draw_hardness(hardness, found)
    draw_margins(margins, found)
    save_figure(figure, path)
    return path


def draw_hardness(axes: "Axes", found: Mapping[str, Inspection]) -> None:
    """A point for each sampler, joined by a line to its name at the right."""
    tidy(axes, "negatives that are triples, %", "negatives that score above their triple, %")
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
    figure = new_figure(13, 0.4 + 3.6 * len(found))
    rows = figure.subfigures(len(found), 1, squeeze=False)[:, 0]
    for row, (name, one) in zip(rows, found.items(), strict=True):
        row.suptitle(plain(name), x=0.01, ha="left", fontsize=12)
        diagram, together, apart = row.subplots(1, 3)
        draw_reliability(diagram, one.reliability)
        draw_densities(together, {"all": one.density["all"]})
        draw_densities(apart, {key: one.density[key] for key in ("true", "false")})
    save_figure(figure, path)
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
    tidy(axes, "probability", "share that is true")
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
    tidy(axes, "σ(φ), uncalibrated", "density")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
