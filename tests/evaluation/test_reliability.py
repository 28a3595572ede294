"""Reliability and density, against torchmetrics and scipy; and the picture of both."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.image import imread
from scipy.stats import gaussian_kde
from torch import Tensor

from dans.analysis.plots import (
    LABELS,
    PALETTE,
    calibration_picture,
    draw_densities,
    draw_reliability,
)
from dans.errors import InputError
from dans.evaluation.reliability import HISTOGRAM_BINS, POINTS, Calibrated, Density


def case(seed: int, size: int = 500) -> tuple[Tensor, Tensor]:
    """Probabilities of all sizes, and labels that they say too much of."""
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(size, generator=generator, dtype=torch.float64)
    return p, torch.rand(size, generator=generator) < 0.25 + p / 2


@settings(deadline=None)
@given(seed=st.integers(0, 1000), size=st.integers(1, 60), power=st.sampled_from([0.1, 1.0, 9.0]))
@example(seed=320, size=2, power=9.0)  # one at each end: the widest kernels
def test_density_loses_no_mass_at_the_ends(seed: int, size: int, power: float) -> None:
    p = case(seed, size)[0] ** power
    found = Density.of(p)
    mass = torch.trapezoid(torch.tensor(found.curve), dx=1 / (POINTS - 1))
    assert mass.item() == pytest.approx(1, abs=2e-3)
    assert sum(found.histogram) / HISTOGRAM_BINS == pytest.approx(1)


def test_density_is_that_of_scipy_and_its_mirror_images() -> None:
    p = case(0)[0] ** 3
    peer = gaussian_kde(p.numpy(), bw_method="scott")
    x = np.linspace(0, 1, POINTS)
    expected = peer(x) + peer(-x) + peer(2 - x)
    found = Density.of(p)
    np.testing.assert_allclose(found.curve, expected, rtol=1e-9)
    counts, _ = np.histogram(p.numpy(), HISTOGRAM_BINS, (0, 1), density=True)
    np.testing.assert_allclose(found.histogram, counts)


def test_one_value_alone_is_a_spike() -> None:
    found = Density.of(torch.zeros(9))
    assert found.histogram == [HISTOGRAM_BINS] + [0] * (HISTOGRAM_BINS - 1)
    assert found.curve[0] == max(found.curve) > 100
    assert np.isfinite(found.curve).all()
    with pytest.raises(InputError, match="expected at least one probability"):
        Density.of(torch.zeros(0))


def examined(seed: int = 0) -> Calibrated:
    p, labels = case(seed)
    return Calibrated.of({"uncalibrated": p, "platt": 0.25 + p / 2, "isotonic": p.sqrt()}, labels)


def test_true_and_false_lines_are_spread_apart() -> None:
    p, labels = case(0)
    found = examined()
    assert found.density["true"] == Density.of(p[labels])
    assert found.density["false"] == Density.of(p[~labels])
    assert found.density["all"] == Density.of(p)
    assert found.reliability["platt"].error < found.reliability["uncalibrated"].error


def test_numbers_of_a_picture_are_plain() -> None:
    plain = json.loads(json.dumps(examined().to_json(), allow_nan=False))
    assert set(plain["reliability"]) == {"uncalibrated", "platt", "isotonic"}
    assert plain["reliability"]["platt"]["ece"] == examined().reliability["platt"].error
    assert len(plain["density"]["true"]["histogram"]) == HISTOGRAM_BINS


@pytest.mark.slow
def test_picture_has_a_row_of_three_for_each_run(tmp_path: Path) -> None:
    path = tmp_path / "two.png"
    assert calibration_picture(path, {"a": examined(), "b": examined(1)}) == path
    picture = torch.from_numpy(imread(path).copy())[..., :3]
    columns = picture.shape[1] // 3
    for row in picture.tensor_split(2):
        shown = {0: PALETTE[:3], 2: (LABELS["true"], LABELS["false"])}
        for column, colours in shown.items():
            for colour in colours:
                wanted = torch.tensor([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
                near = (row - wanted).abs().amax(-1) < 0.02
                places = [part.sum() > 50 for part in near.split(columns, 1)]
                assert places == [column == place for place in range(3)], colour


def test_what_is_drawn_is_what_was_measured() -> None:
    figure = Figure()
    reliable, density = figure.subplots(1, 2)
    found = examined()
    draw_reliability(reliable, found.reliability)
    drawn = {str(points.get_label()).split()[0]: points for points in reliable.collections}
    assert set(drawn) == set(found.reliability)
    for name, points in drawn.items():
        one = found.reliability[name]
        measured = [
            pair for pair in zip(one.probability, one.true, strict=True) if None not in pair
        ]
        np.testing.assert_allclose(points.get_offsets(), measured)
        assert points.get_sizes().argmax() == np.argmax([n for n in one.counts if n])
    draw_densities(density, {key: found.density[key] for key in ("true", "false")})
    for line, key in zip(density.lines, ("true", "false"), strict=True):
        np.testing.assert_allclose(line.get_ydata(), found.density[key].curve)
        assert line.get_label() == f"{key} lines"
