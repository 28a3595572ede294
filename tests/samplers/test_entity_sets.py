"""Sets of entities, and draws from them."""

import pytest
import torch
from torch.overrides import TorchFunctionMode

from dans.samplers.entity_sets import Pools, ones
from tests.samplers.test_uniform import p_value


@pytest.fixture
def sets() -> torch.Tensor:
    """Sets of 130 entities: an empty one, single ones at the edges of words, and fuller ones."""
    torch.manual_seed(0)
    members = torch.zeros(10, 130, dtype=torch.bool)
    for row, entity in enumerate((0, 63, 64, 127, 128, 129), start=1):
        members[row, entity] = True
    members[7] = torch.rand(130) < 0.1
    members[8] = torch.rand(130) < 0.9
    members[9] = True
    return members


def test_members_come_out_as_they_went_in(sets: torch.Tensor) -> None:
    pools = Pools(130)
    numbers = torch.cat([pools.append(part) for part in sets.split(3)])
    assert numbers.tolist() == list(range(10))
    for number, row in zip(numbers, sets, strict=True):
        size = int(row.sum())
        assert int(pools.size(number)) == size
        places = torch.arange(size)
        found = pools.member(number.expand(size), places)
        assert found.tolist() == row.nonzero().flatten().tolist()
        before, inside = pools.place(number.expand(130), torch.arange(130))
        assert torch.equal(inside, row)
        assert torch.equal(before, row.long().cumsum(0) - row.long())


def test_pools_forgotten_leave_nothing_behind(sets: torch.Tensor) -> None:
    pools = Pools(130)
    pools.append(sets)
    pools.clear()
    assert len(pools) == 0
    assert pools.append(sets[7:8]).tolist() == [0]
    assert int(pools.size(torch.tensor(0))) == int(sets[7].sum())


@pytest.mark.parametrize("true", [0, 65, 129])
def test_each_other_member_is_drawn_equally_often(sets: torch.Tensor, true: int) -> None:
    pools = Pools(130)
    pools.append(sets)
    torch.manual_seed(0)
    for number in (7, 8, 9):
        drawn = pools.draw(torch.full((50_000,), number), torch.full((50_000,), true))
        expected = sets[number].float()
        expected[true] = 0
        assert p_value(drawn, expected) > 1e-4


def test_a_pool_of_nobody_else_gives_anyone_else(sets: torch.Tensor) -> None:
    pools = Pools(130)
    pools.append(sets)
    torch.manual_seed(0)
    for number, true in ((0, 5), (6, 129)):
        drawn = pools.draw(torch.full((50_000,), number), torch.full((50_000,), true))
        expected = torch.ones(130)
        expected[true] = 0
        assert p_value(drawn, expected) > 1e-4


def test_a_pool_takes_what_it_says(sets: torch.Tensor) -> None:
    pools = Pools(130)
    pools.append(sets)
    held = pools.bits.numel() + 4 * pools.counts.numel()
    assert held == len(pools) * pools.bytes_each


def test_bits_of_every_byte_are_counted() -> None:
    every = torch.arange(256)
    expected = [value.bit_count() for value in every.tolist()]
    assert ones(every.to(torch.uint8)).tolist() == expected


class Widest(TorchFunctionMode):
    """Bytes of the largest tensor that is made."""

    found = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        for value in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(value, torch.Tensor):
                self.found = max(self.found, value.numel() * value.element_size())
        return made


def test_no_draw_takes_more_than_a_number_at_a_time(sets: torch.Tensor) -> None:
    pools = Pools(130)
    pools.append(sets)
    numbers, true = torch.randint(10, (300, 20)), torch.randint(130, (300, 20))
    with Widest() as widest:
        pools.draw(numbers, true)
    assert 0 < widest.found <= 8 * numbers.numel()


def test_parts_of_a_draw_are_one_whole(sets: torch.Tensor) -> None:
    pools = Pools(130)
    pools.append(sets)
    numbers, true = torch.randint(10, (300, 20)), torch.randint(130, (300, 20))
    places = torch.randint(2**30, (300, 20)) % pools.others(numbers, true).clamp(min=1)
    whole = pools.other(numbers, true, places)
    parts = [
        pools.other(*part)
        for part in zip(numbers.split(7), true.split(7), places.split(7), strict=True)
    ]
    assert torch.equal(torch.cat(parts), whole)
    left_out = sets[numbers].scatter(-1, true.unsqueeze(-1), False)
    some = left_out.any(-1)
    found = left_out.long().cumsum(-1).eq(places.unsqueeze(-1) + 1).long().argmax(-1)
    assert torch.equal(whole[some], found[some])
