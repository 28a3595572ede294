"""Do probabilities hold? Reliability diagrams, and how probabilities are spread.

The pictures need matplotlib (``pip install 'dans[plots]'``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dans.analysis.plots import PALETTE, SHAPES
from dans.errors import InputError
from dans.evaluation.calibration_error import BINS, Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: By the kind of lines; others than those of calibrations, which stand beside.
COLOURS = {"all": PALETTE[6], "true": PALETTE[5], "false": PALETTE[3]}

#: Bins of a histogram of probabilities.
SPREAD = 50
#: Places at which a density is estimated.
PLACES = 501
#: Places estimated at a time.
CHUNK = 32


@dataclass(frozen=True)
class Density:
    """How probabilities are spread over [0, 1]: a histogram, and a smooth estimate.

    Args:
        histogram: density in each of ``SPREAD`` bins of equal width.
        curve: estimated density at ``PLACES`` places from 0 to 1.
        bandwidth: of the estimate.
    """

    histogram: list[float]
    curve: list[float]
    bandwidth: float

    @classmethod
    def of(cls, probabilities: Tensor) -> "Density":
        """Estimate by Gaussian kernels, reflected at 0 and 1, so that no mass leaves [0, 1].

            f(x) = mean_i [K(x − p_i) + K(x + p_i) + K(2 − x − p_i)],  K of width s f^(−1/5)

        The bandwidth is Scott's; at least the distance of two places, so that a spike shows.

        Source: Scott 1992, Multivariate density estimation; Silverman 1986, §2.10.

        Args:
            probabilities: (f,) in [0, 1].

        Raises:
            InputError: there are none.
        """
        p = probabilities.double()
        if not len(p):
            raise InputError("density: expected at least one probability, got none")
        counts = torch.histc(p, SPREAD, 0, 1)
        scott = float(p.std()) * len(p) ** -0.2 if len(p) > 1 else 0.0
        width = max(scott, 1 / (PLACES - 1))
        places = torch.linspace(0, 1, PLACES, dtype=torch.float64)
        parts = []
        for x in places.split(CHUNK):
            column = x.unsqueeze(1)
            kernels = [((column - q) / width).square() for q in (p, -p, 2 - p)]
            parts.append(sum((-kernel / 2).exp().mean(1) for kernel in kernels))
        curve = torch.cat(parts) / (width * (2 * torch.pi) ** 0.5)
        return cls((counts * SPREAD / len(p)).tolist(), curve.tolist(), width)


@dataclass(frozen=True)
class Calibrated:
    """What a picture shows of one run.

    Args:
        reliability: by calibration, ``uncalibrated`` first.
        density: of the uncalibrated probabilities: of ``all`` lines, and of ``true`` and ``false``.
    """

    reliability: dict[str, Reliability]
    density: dict[str, Density]

    @classmethod
    def of(
        cls, probabilities: Mapping[str, Tensor], labels: Tensor, bins: int = BINS
    ) -> "Calibrated":
        """Examine probabilities of labelled triples.

        Args:
            probabilities: (f,) each, by calibration; the first are spread out.
            labels: (f,) bool.
            bins: of the reliability diagrams.

        Raises:
            InputError: fewer than one bin, or one class has no triples.
        """
        plain = next(iter(probabilities.values()))
        groups = {"all": plain, "true": plain[labels], "false": plain[~labels]}
        return cls(
            {name: Reliability.of(p, labels, bins) for name, p in probabilities.items()},
            {name: Density.of(group) for name, group in groups.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """Plain containers, for ``json.dump``."""
        return {
            "reliability": {
                name: {**vars(one), "ece": one.error} for name, one in self.reliability.items()
            },
            "density": {name: vars(one) for name, one in self.density.items()},
        }


def calibration_picture(path: Path, found: Mapping[str, Calibrated]) -> Path:
    """Draw a row for each run: reliability, and the density of all, of true and of false lines.

    Source: Hajimoradlou & Kazemi 2022, Stay Positive, Fig. 1 (the density).

    Args:
        path: the PNG to write.
        found: runs by name.

    Returns:
        The path.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 0.4 + 3.6 * len(found)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subfigures(len(found), 1, squeeze=False)[:, 0]
    for row, (name, one) in zip(rows, found.items(), strict=True):
        row.suptitle(name, x=0.01, ha="left", fontsize=12)
        reliable, together, apart = row.subplots(1, 3)
        draw_reliability(reliable, one.reliability)
        draw_densities(together, {"all": one.density["all"]})
        draw_densities(apart, {key: one.density[key] for key in ("true", "false")})
    figure.savefig(path, dpi=150)
    return path


def draw_reliability(axes: "Axes", found: Mapping[str, Reliability]) -> None:
    """The share of true lines over their probability; what holds lies on the diagonal."""
    from matplotlib.collections import PathCollection

    axes.plot((0, 1), (0, 1), color="#999999", linewidth=0.8, linestyle="--")
    for i, (name, one) in enumerate(found.items()):
        bins = zip(one.probability, one.true, one.counts, strict=True)
        points = [(p, q, n / sum(one.counts)) for p, q, n in bins if p is not None]
        x, y, share = zip(*points, strict=True)
        # An area for the triples: a bin of few says little.
        areas = [12 + 160 * part for part in share]
        label = f"{name} (ECE {one.error:.3f})"
        axes.plot(x, y, color=PALETTE[i], linewidth=1, alpha=0.6)
        axes.scatter(x, y, areas, color=PALETTE[i], marker=SHAPES[i], label=label, zorder=3)
    _bare(axes, "probability", "share that is true")
    axes.set_ylim(-0.02, 1.02)
    legend = axes.legend(frameon=False, fontsize=8, loc="upper left")
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([25])


def draw_densities(axes: "Axes", found: Mapping[str, Density]) -> None:
    """Histograms and curves, by the kind of lines; ``COLOURS`` has one for each kind."""
    for name, one in found.items():
        edges = torch.linspace(0, 1, len(one.histogram) + 1).tolist()
        axes.stairs(one.histogram, edges, fill=True, color=COLOURS[name], alpha=0.3)
        places = torch.linspace(0, 1, len(one.curve)).tolist()
        axes.plot(places, one.curve, color=COLOURS[name], linewidth=1.4, label=f"{name} lines")
    _bare(axes, "σ(φ), uncalibrated", "density")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)


def _bare(axes: "Axes", x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_xlim(-0.01, 1.01)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
