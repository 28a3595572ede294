"""Tables of embeddings: initial distributions and dropout."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from dans.errors import InputError
from dans.models.embedding_tables import EntityTable, Initial, check_share, draw, drop, sharing

ROWS, COLUMNS = 300, 100

#: A binomial count is further from its mean than so many standard deviations once in a million.
DEVIATIONS = 5

#: Where dropout is tested.
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
on_every_device = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])


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


@on_every_device
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_expectation_stays_and_the_share_is_kept(share: float, device: str) -> None:
    torch.manual_seed(0)
    size, rounded = 1_000_001, round(share * 2**16) / 2**16
    dropped = drop(torch.ones(size, device=device), share).cpu()
    # Of the mean of so many coins, each worth 1 or 0.
    deviation = math.sqrt(rounded * (1 - rounded) / size)
    assert (dropped == 0).double().mean() == pytest.approx(rounded, abs=DEVIATIONS * deviation)
    bound = DEVIATIONS * deviation / (1 - rounded)
    assert dropped.double().mean() == pytest.approx(1, abs=bound + 1e-6)
    assert len(dropped.unique()) == (2 if share else 1)


@on_every_device
def test_coins_of_one_draw_are_independent(device: str) -> None:
    torch.manual_seed(0)
    kept = (drop(torch.ones(400_000, device=device), 0.5) > 0).view(-1, 4).long().cpu()
    quads = kept @ torch.tensor([1, 2, 4, 8])
    counts = torch.bincount(quads, minlength=16).double()
    # χ² with 15 degrees of freedom exceeds 37.7 once in a thousand times.
    assert float(((counts - 6250).square() / 6250).sum()) < 37.7


@on_every_device
def test_gradient_flows_where_numbers_stay(device: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(40, 5, dtype=torch.float64, device=device, requires_grad=True)
    dropped = drop(x, 0.3)
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    assert torch.allclose(gradient * x, dropped)
    assert {0.0} < set(gradient.flatten().tolist())


def test_a_seed_repeats_it_and_the_input_stays() -> None:
    x = torch.randn(7, 3)
    before = x.clone()
    torch.manual_seed(1)
    one = drop(x, 0.4)
    torch.manual_seed(1)
    assert torch.equal(drop(x, 0.4), one)
    assert torch.equal(x, before)
    assert not torch.equal(drop(x, 0.4), one)


@pytest.mark.parametrize("share", [1e-9, 1e-6, 0.999993, 1 - 1e-12])
def test_a_share_near_an_end_drops_some_and_keeps_some(share: float) -> None:
    torch.manual_seed(0)
    # The share is rounded to the multiple of 1/65536 that is nearest, but to neither end.
    kept_share = (1 if share > 0.5 else 2**16 - 1) / 2**16
    kept, draws, size = 0, 20, 2_000_000
    for _ in range(draws):
        dropped = drop(torch.ones(size), share)
        values = dropped[dropped != 0]
        assert values.eq(torch.tensor(1 / kept_share)).all()
        assert 0 < len(values) < size
        kept += len(values)
    numbers = draws * size
    # Near 1, 610 of 40 million are kept, give or take 25: the bound is a fifth of the mean.
    deviation = math.sqrt(numbers * kept_share * (1 - kept_share))
    assert kept == pytest.approx(numbers * kept_share, abs=DEVIATIONS * deviation)


def test_no_share_draws_nothing() -> None:
    torch.manual_seed(0)
    before, x = torch.get_rng_state(), torch.randn(3)
    torch.set_rng_state(before)
    assert drop(x, 0.0) is x
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("wrong", [-0.1, 1.0, float("nan"), float("inf")])
def test_a_share_is_at_least_none_and_less_than_all(wrong: float) -> None:
    with pytest.raises(InputError, match=rf"x: expected a share in \[0, 1\), got {wrong:g}"):
        check_share("x", wrong)
    assert check_share("x", 0.25) == 0.25


def test_rows_are_put_where_their_process_keeps_them() -> None:
    ids, rows = torch.tensor([5, 0, 2, 4]), torch.arange(8.0).view(4, 2)
    whole = torch.zeros(7, 2)
    whole[ids] = rows
    for size in (1, 2, 3):
        for rank in range(size):
            with sharing(SimpleNamespace(rank=rank, size=size)):  # type: ignore[arg-type]
                table = EntityTable(7, 2)
            table.draw("normal", 0.0)
            table.put(ids, rows)
            assert torch.equal(table.weight, whole[rank::size]), (rank, size)
