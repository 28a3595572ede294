"""Reliability diagrams, expected calibration error, and the density of probabilities."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dans.errors import InputError

#: Bins of a reliability diagram, and of a histogram of probabilities.
BINS, HISTOGRAM_BINS = 10, 50
#: Points at which a density is estimated, and how many at a time.
POINTS, CHUNK = 501, 32


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: triples in bins of equal width by their probability.

    ``probability``: the mean in each bin; ``true``: the share of true triples; None if it is empty.
    """

    counts: list[int]
    probability: list[float | None]
    true: list[float | None]

    @classmethod
    def of(cls, probabilities: Tensor, labels: Tensor, bins: int = BINS) -> "Reliability":
        """The diagram of (f,) probabilities of triples with (f,) labels, bool or 0 and 1.

        Example:
            >>> Reliability.of(torch.tensor([0.25, 0.75]), torch.tensor([False, True]), bins=2)
            Reliability(counts=[1, 1], probability=[0.25, 0.75], true=[0.0, 1.0])
        """
        if bins < 1:
            raise InputError(f"bins: expected at least 1, got {bins}")
        p = probabilities.double()
        place = (p * bins).long().clamp(max=bins - 1)
        counts = torch.bincount(place, minlength=bins).tolist()
        sums = torch.bincount(place, p, minlength=bins).tolist()
        true = torch.bincount(place, labels.double(), minlength=bins).tolist()

        def means(totals: list[float]) -> list[float | None]:
            return [s / n if n else None for s, n in zip(totals, counts, strict=True)]

        return cls(counts, means(sums), means(true))

    @property
    def error(self) -> float:
        """The expected calibration error (ECE): Σ_bins share · |mean probability − share true|.

        Source: Naeini et al. 2015, Obtaining well calibrated probabilities using Bayesian binning;
        of the probability of being true, as in Guo et al. 2017.
        """
        gaps = (
            n * abs(p - q)
            for n, p, q in zip(self.counts, self.probability, self.true, strict=True)
            if p is not None and q is not None
        )
        return sum(gaps) / sum(self.counts)


@dataclass(frozen=True)
class Density:
    """The density of probabilities over [0, 1].

    ``histogram``: in each of ``HISTOGRAM_BINS`` bins of equal width. ``curve``: estimated by
    kernels of width ``bandwidth`` at ``POINTS`` points from 0 to 1.
    """

    histogram: list[float]
    curve: list[float]
    bandwidth: float

    @classmethod
    def of(cls, probabilities: Tensor) -> "Density":
        """The density of (f,) probabilities, by Gaussian kernels reflected at 0 and 1.

            f(x) = mean_i [K(x − p_i) + K(x + p_i) + K(2 − x − p_i)
                           + K(x − p_i − 2) + K(x − p_i + 2)],  K of width s f^(−1/5)

        The width is Scott's (1992), or the distance of two points where that is more, so that no
        spike falls between them; reflection: Silverman 1986, §2.10. The second line, of images
        reflected twice, is nothing unless kernels are wide, as those of two or three lines can be.
        """
        p = probabilities.double()
        if not len(p):
            raise InputError("density: expected at least one probability, got none")
        counts = torch.histc(p, HISTOGRAM_BINS, 0, 1)
        scott = float(p.std()) * len(p) ** -0.2 if len(p) > 1 else 0.0
        width = max(scott, 1 / (POINTS - 1))
        images = [p, -p, 2 - p, *([p + 2, p - 2] if width > 0.1 else [])]
        parts = []
        for x in torch.linspace(0, 1, POINTS, dtype=torch.float64).split(CHUNK):
            column = x.unsqueeze(1)
            kernels = [((column - q) / width).square() for q in images]
            parts.append(sum((-kernel / 2).exp().mean(1) for kernel in kernels))
        curve = torch.cat(parts) / (width * (2 * torch.pi) ** 0.5)
        return cls((counts * HISTOGRAM_BINS / len(p)).tolist(), curve.tolist(), width)


@dataclass(frozen=True)
class Calibrated:
    """Reliability of one run's probabilities by calibration, ``uncalibrated`` first.

    ``density``: of the uncalibrated ones, of ``all``, of ``true`` and of ``false`` lines.
    """

    reliability: dict[str, Reliability]
    density: dict[str, Density]

    @classmethod
    def of(
        cls, probabilities: Mapping[str, Tensor], labels: Tensor, bins: int = BINS
    ) -> "Calibrated":
        """Of (f,) probabilities of labelled triples by calibration, the uncalibrated first."""
        plain = next(iter(probabilities.values()))
        groups = {"all": plain, "true": plain[labels], "false": plain[~labels]}
        return cls(
            {name: Reliability.of(p, labels, bins) for name, p in probabilities.items()},
            {name: Density.of(group) for name, group in groups.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """Plain containers, for ``json.dump``."""
        bins = {name: {**vars(one), "ece": one.error} for name, one in self.reliability.items()}
        return {"reliability": bins, "density": {k: vars(one) for k, one in self.density.items()}}
