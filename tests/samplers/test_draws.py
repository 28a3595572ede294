"""Draws of whole numbers."""

import torch

from dans.samplers.draws import below, distinct, tossed
from tests.samplers.test_uniform import p_value


def test_numbers_below_a_limit_are_drawn_equally_often() -> None:
    torch.manual_seed(0)
    assert p_value(below(torch.full((50_000,), 7)), torch.ones(7)) > 1e-4


def test_places_are_distinct_and_each_set_is_as_likely() -> None:
    torch.manual_seed(0)
    side = torch.tensor([[True, False, True, True]]).expand(30_000, 4)
    sizes = torch.where(side, 5, 1)
    places = distinct(sizes, side)
    assert places[:, 1].eq(0).all()
    chosen = places[:, [0, 2, 3]].sort(dim=1).values
    assert (chosen.diff(dim=1) > 0).all()
    sets = (chosen * torch.tensor([25, 5, 1])).sum(1).unique(return_counts=True)[1]
    assert len(sets) == 10
    assert p_value(torch.repeat_interleave(torch.arange(10), sets), torch.ones(10)) > 1e-4


def test_places_run_out_with_the_members() -> None:
    side = torch.zeros(50, 5, dtype=torch.bool)
    places = distinct(torch.full((50, 5), 3), side)
    assert places[:, 3:].eq(-1).all()
    assert places[:, :3].sort(dim=1).values.tolist() == [[0, 1, 2]] * 50
    assert distinct(torch.zeros(2, 3, dtype=torch.int64), side[:2, :3]).eq(-1).all()


def test_each_set_of_places_of_one_side_is_as_likely() -> None:
    torch.manual_seed(0)
    picks = distinct(torch.full((60_000, 2), 4), torch.ones(60_000, 2, dtype=torch.bool))
    pairs, counts = picks.sort().values.unique(dim=0, return_counts=True)
    assert pairs.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    assert (counts - 10_000).abs().max() < 400


def test_coins_fall_as_often_as_their_relation_says() -> None:
    torch.manual_seed(0)
    coins = tossed(torch.tensor([0.25, 0.8]), torch.tensor([[0, 1, 2], [3, 0, 4]]), 40_000)
    assert (coins.double().mean(1) - torch.tensor([0.8, 0.25])).abs().max() < 0.01
