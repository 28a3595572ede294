"""Sides, and negatives that are known triples."""

import pytest
import torch

from dans.data.known_triples import KnownTriples
from dans.errors import InputError
from dans.samplers.filters import not_known, positive, requires_known, sides

CPU = torch.device("cpu")


def test_each_negative_has_its_own_coin() -> None:
    torch.manual_seed(0)
    tossed = sides("coin", 40, 30, CPU)
    assert tossed.shape == (40, 30)
    assert tossed.any(0).all()
    assert tossed.any(1).all()
    assert not tossed.all(0).any()
    assert not tossed.all(1).any()


@pytest.mark.parametrize(("side", "head"), [("head", True), ("tail", False)])
def test_a_fixed_side_tosses_no_coin(side: str, head: bool) -> None:
    before = torch.get_rng_state()
    assert sides(side, 3, 2, CPU).eq(head).all()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_corrupted_triple_is_looked_up_on_the_side_it_was_corrupted() -> None:
    known = KnownTriples(torch.tensor([[0, 0, 1], [2, 0, 1], [0, 0, 3]]), 4, 1)
    triples, ids = torch.tensor([[0, 0, 1]]), torch.tensor([[2, 3, 3, 2]])
    side = torch.tensor([[True, True, False, False]])
    assert not_known(known, triples, ids, side).tolist() == [[False, True, False, True]]


def test_options_are_refused_in_the_users_words() -> None:
    with pytest.raises(InputError, match="k: must be at least 1, got -2"):
        positive("k", -2)
    with pytest.raises(InputError, match="filter: resample needs the known triples"):
        requires_known("resample", None)


def test_what_is_right_passes() -> None:
    positive("k", 1)
    requires_known("none", None)
    requires_known("mask", KnownTriples(torch.tensor([[0, 0, 1]]), 2, 1))


def test_coins_are_fair_and_none_is_tossed_twice() -> None:
    torch.manual_seed(0)
    tossed = sides("coin", 3000, 33, CPU)
    assert abs(float(tossed.double().mean()) - 0.5) < 0.01
    # Neighbours agree half of the time, at every distance within the word they are cut from.
    flat = tossed.flatten()
    for step in range(1, 17):
        assert abs(float((flat[step:] == flat[:-step]).double().mean()) - 0.5) < 0.01
