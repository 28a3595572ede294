"""Reliability of probabilities: binned, and as the expected calibration error."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dans.errors import InputError

#: Bins of a reliability diagram, and of the expected calibration error.
BINS = 10


@dataclass(frozen=True)
class Reliability:
    """Reliability diagram: mean probability and share of true triples, in bins of equal width.

    Args:
        counts: triples in each bin.
        probability: their mean probability; None in an empty bin.
        true: the share that is true, likewise.
    """

    counts: list[int]
    probability: list[float | None]
    true: list[float | None]

    @classmethod
    def of(cls, probabilities: Tensor, labels: Tensor, bins: int = BINS) -> "Reliability":
        """Sort triples into bins.

        Args:
            probabilities: (f,) in [0, 1].
            labels: (f,) bool, or 0 and 1.
            bins: how many.

        Raises:
            InputError: fewer than one bin.

        Example:
            >>> Reliability.of(torch.tensor([0.25, 0.75]), torch.tensor([False, True]), bins=2)
            Reliability(counts=[1, 1], probability=[0.25, 0.75], true=[0.0, 1.0])
        """
        if bins < 1:
            raise InputError(f"bins: expected at least 1, got {bins}")
        p = probabilities.double()
        bin_of = (p * bins).long().clamp(max=bins - 1)
        counts = torch.bincount(bin_of, minlength=bins).tolist()
        sums = torch.bincount(bin_of, p, minlength=bins).tolist()
        true = torch.bincount(bin_of, labels.double(), minlength=bins).tolist()

        def means(totals: list[float]) -> list[float | None]:
            return [s / n if n else None for s, n in zip(totals, counts, strict=True)]

        return cls(counts, means(sums), means(true))

    @property
    def error(self) -> float:
        """The expected calibration error: Σ_bins share · |mean probability − share true|."""
        gaps = (
            n * abs(p - q)
            for n, p, q in zip(self.counts, self.probability, self.true, strict=True)
            if p is not None and q is not None
        )
        return sum(gaps) / sum(self.counts)


def expected_error(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """The expected calibration error (ECE), by bins of equal width.

    Source: Naeini et al. 2015, Obtaining well calibrated probabilities using Bayesian binning; of
    the probability of being true, as in Guo et al. 2017.

    Args:
        probabilities: (f,) in [0, 1].
        labels: (f,) bool, or 0 and 1.
        bins: how many.
    """
    return Reliability.of(probabilities, labels, bins).error
