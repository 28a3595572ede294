"""How tables start: each distribution as wide as its number says."""

import math

import pytest
import torch
from torch import Tensor

from dans.errors import InputError
from dans.models.initialization import Initial, draw

ROWS, COLUMNS = 300, 100


def drawn(initial: Initial, init: float) -> Tensor:
    torch.manual_seed(0)
    table = torch.full((ROWS, COLUMNS), torch.nan)
    draw(table, initial, init)
    return table


def test_normal_takes_a_standard_deviation() -> None:
    table = drawn("normal", 0.3)
    assert table.std().item() == pytest.approx(0.3, rel=0.02)
    assert table.mean().item() == pytest.approx(0, abs=0.01)
    assert table.abs().max() > 0.9


def test_uniform_takes_half_a_width() -> None:
    table = drawn("uniform", 0.3)
    assert 0.299 < table.abs().max() <= 0.3
    assert table.std().item() == pytest.approx(0.3 / math.sqrt(3), rel=0.02)
    assert table.mean().item() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("initial", ["xavier_normal", "xavier_uniform"])
def test_xavier_takes_a_gain(initial: Initial) -> None:
    for gain in (1.0, 0.5):
        expected = gain * math.sqrt(2 / (ROWS + COLUMNS))
        assert drawn(initial, gain).std().item() == pytest.approx(expected, rel=0.02)
    limit = math.sqrt(6 / (ROWS + COLUMNS))
    assert (drawn(initial, 1.0).abs().max() <= limit) == (initial == "xavier_uniform")


@pytest.mark.parametrize("initial", ["normal", "uniform", "xavier_normal", "xavier_uniform"])
def test_of_nothing_all_is_zero_and_of_less_an_error(initial: Initial) -> None:
    assert not drawn(initial, 0.0).any()
    for wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(InputError, match=f"init: must .*, got {wrong}"):
            drawn(initial, wrong)


def test_an_unknown_distribution_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"initial: known: normal, .*; got 'cauchy'"):
        drawn("cauchy", 1.0)  # type: ignore[arg-type]
