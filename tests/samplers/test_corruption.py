"""Sides, entities and filters of corrupted triples."""

import pytest
import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.errors import InputError
from dans.models.batch import Positives
from dans.samplers.corruption import (
    EntitySampler,
    any_other,
    relation_sides,
    replaced,
    sides,
    uncorrupted,
)

TRIPLES = torch.tensor([[0, 0, 1], [2, 0, 3]])
POSITIVES = Positives.of_ids(TRIPLES, 5)
ROWS = torch.tensor([[0], [1]])
SIDE = torch.tensor([[True, False, True], [False, True, False]])
CPU = torch.device("cpu")


class Counted(EntitySampler):
    """Always the entity of that number, then the next one at each later draw."""

    def __init__(self, k: int, first: int, **given: object) -> None:
        super().__init__(k, **given)  # type: ignore[arg-type]
        self.next = first

    def draw(self, positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
        self.next += 1
        shape = torch.broadcast_shapes(rows.shape, corrupt_head.shape)
        return torch.full(shape, self.next - 1)


def test_replaced_and_uncorrupted_are_the_two_ends() -> None:
    assert replaced(POSITIVES, ROWS, SIDE).tolist() == [[0, 1, 0], [3, 2, 3]]
    assert uncorrupted(POSITIVES, ROWS, SIDE).tolist() == [[1, 0, 1], [2, 3, 2]]
    flat = torch.tensor([1, 0])
    assert replaced(POSITIVES, flat, torch.tensor([True, False])).tolist() == [2, 1]


def test_any_other_is_any_but_the_one() -> None:
    torch.manual_seed(0)
    drawn = any_other(torch.full((500,), 2), 4)
    assert drawn.unique().tolist() == [0, 1, 3]
    with pytest.raises(InputError, match="only 1"):
        any_other(torch.tensor([0]), 1)


def test_coins_are_fair_and_each_negative_has_its_own() -> None:
    torch.manual_seed(0)
    drawn = sides("coin", 3000, 33, CPU)
    assert drawn.shape == (3000, 33)
    assert abs(float(drawn.double().mean()) - 0.5) < 0.01
    # Neighbours agree half of the time, at every distance within the word they are cut from.
    flat = drawn.flatten()
    for step in range(1, 17):
        assert abs(float((flat[step:] == flat[:-step]).double().mean()) - 0.5) < 0.01


@pytest.mark.parametrize(("side", "head"), [("head", True), ("tail", False)])
def test_a_fixed_side_draws_nothing(side: str, head: bool) -> None:
    before = torch.get_rng_state()
    assert sides(side, 3, 2, CPU).eq(head).all()
    assert Counted(4, first=0, side=side)(POSITIVES).corrupt_head.eq(head).all()
    assert torch.equal(torch.get_rng_state(), before)


def test_heads_are_replaced_as_often_as_their_relation_says() -> None:
    torch.manual_seed(0)
    triples = torch.tensor([[0, 1, 2], [3, 0, 4]])
    drawn = relation_sides(torch.tensor([0.25, 0.8]), triples, 40_000)
    assert (drawn.double().mean(1) - torch.tensor([0.8, 0.25])).abs().max() < 0.01


def test_only_what_is_known_is_drawn_again() -> None:
    known = KnownTriples(torch.tensor([[0, 0, 4], [0, 0, 0], [0, 0, 1]]), 5, 1)
    sampler = Counted(2, first=0, side="tail", filter="resample", known=known)
    negatives = sampler(POSITIVES)
    assert negatives.ids.tolist() == [[2, 2], [0, 0]]
    assert negatives.valid.all()


@pytest.mark.parametrize("rounds", [1, 3])
def test_what_stays_known_is_drawn_again_as_often_as_it_says(rounds: int) -> None:
    known = KnownTriples(torch.tensor([[0, 0, tail] for tail in range(5)]), 5, 1)
    sampler = Counted(1, first=0, side="tail", filter="resample", known=known, rounds=rounds)
    negatives = sampler(Positives.of_ids(TRIPLES[:1], 5))
    assert sampler.next == 1 + rounds
    assert negatives.ids.tolist() == [[rounds]]
    assert negatives.valid.tolist() == [[False]]


def test_drawing_again_leaves_what_it_is_given() -> None:
    known = KnownTriples(TRIPLES, 5, 1)
    sampler = Counted(3, first=4, filter="resample", known=known)
    ids, valid = torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.bool)
    again, clean = sampler.redraw(POSITIVES, ids, SIDE, valid)
    assert again.eq(4).all()
    assert clean.all()
    assert not ids.any()
    assert not valid.any()


def test_without_a_filter_nothing_is_looked_up() -> None:
    known = KnownTriples(TRIPLES, 5, 1)
    assert Counted(2, first=1, known=known)(POSITIVES).valid is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"k": -2}, "k: expected at least 1, got -2"),
        ({"rounds": 0}, "rounds: expected at least 1"),
        ({"side": "both"}, "side: known: coin, head, tail; got 'both'"),
        ({"filter": "drop"}, "filter: known: none, mask, resample"),
        ({"filter": "mask"}, "filter: mask needs the known triples"),
        ({"filter": "resample"}, "filter: resample needs the known triples"),
    ],
)
def test_wrong_options_are_named(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Counted(**{"k": 1, "first": 0, **given})
