"""Reliability and expected calibration error, against torchmetrics."""

import pytest
import torch
from torch import Tensor

from dans.errors import InputError
from dans.evaluation.calibration_error import Reliability, expected_error


def case(seed: int, size: int = 500) -> tuple[Tensor, Tensor]:
    """Probabilities of all sizes, and labels that they say too much of."""
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(size, generator=generator, dtype=torch.float64)
    return p, torch.rand(size, generator=generator) < 0.25 + p / 2


@pytest.mark.parametrize("bins", [10, 15])
@pytest.mark.parametrize("seed", range(3))
def test_expected_error_is_that_of_torchmetrics(seed: int, bins: int) -> None:
    from torchmetrics.functional.classification import binary_calibration_error

    p, labels = case(seed)
    expected = binary_calibration_error(p, labels.long(), n_bins=bins)
    assert expected_error(p, labels, bins) == pytest.approx(float(expected), abs=1e-6)


def test_reliability_counts_every_triple_once() -> None:
    p = torch.tensor([0.0, 0.05, 0.45, 0.95, 1.0])
    found = Reliability.of(p, torch.tensor([False, True, True, True, True]))
    assert found.counts == [2, 0, 0, 0, 1, 0, 0, 0, 0, 2]
    assert found.true == [0.5, None, None, None, 1.0, None, None, None, None, 1.0]
    assert found.probability[0] == pytest.approx(0.025)
    assert found.error == pytest.approx((2 * 0.475 + 0.55 + 2 * 0.025) / 5)
    with pytest.raises(InputError, match="bins: expected at least 1, got 0"):
        Reliability.of(p, torch.ones(5), bins=0)


def test_probabilities_that_hold_have_no_error() -> None:
    p = torch.tensor([0.25] * 4 + [0.75] * 4)
    labels = torch.tensor([True, False, False, False, True, True, True, False])
    assert expected_error(p, labels) == 0
    assert expected_error(1 - p, labels) == 0.5
