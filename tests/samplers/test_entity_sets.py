"""Sets of entities, and draws from them."""

import pytest
import torch
from torch.overrides import TorchFunctionMode

from dans.samplers.entity_sets import EntitySets, below, distinct, ones
from tests.samplers.test_uniform import p_value


@pytest.fixture
def members() -> torch.Tensor:
    """Sets of 130 entities: an empty one, single ones at the edges of words, and fuller ones."""
    torch.manual_seed(0)
    members = torch.zeros(10, 130, dtype=torch.bool)
    for row, entity in enumerate((0, 63, 64, 127, 128, 129), start=1):
        members[row, entity] = True
    members[7] = torch.rand(130) < 0.1
    members[8] = torch.rand(130) < 0.9
    members[9] = True
    return members


@pytest.fixture
def sets(members: torch.Tensor) -> EntitySets:
    sets = EntitySets(130)
    numbers = torch.cat([sets.append(part) for part in members.split(3)])
    assert numbers.tolist() == list(range(10))
    return sets


def test_members_come_out_as_they_went_in(sets: EntitySets, members: torch.Tensor) -> None:
    for number, row in enumerate(members):
        size = int(row.sum())
        assert int(sets.size(torch.tensor(number))) == size
        found = sets.member(torch.full((size,), number), torch.arange(size))
        assert found.tolist() == row.nonzero().flatten().tolist()
        before, inside = sets.position(torch.full((130,), number), torch.arange(130))
        assert torch.equal(inside, row)
        assert torch.equal(before, row.long().cumsum(0) - row.long())


def test_sets_removed_leave_nothing_behind(sets: EntitySets, members: torch.Tensor) -> None:
    sets.filled = 0
    assert len(sets) == 0
    assert sets.append(members[7:8]).tolist() == [0]
    assert int(sets.size(torch.tensor(0))) == int(members[7].sum())


@pytest.mark.parametrize("number", [0, 6, 7, 8, 9])
@pytest.mark.parametrize("true", [0, 65, 129])
def test_each_other_member_is_drawn_equally_often_or_anyone_else_where_there_is_none(
    sets: EntitySets, members: torch.Tensor, number: int, true: int
) -> None:
    torch.manual_seed(0)
    drawn = sets.draw(torch.full((50_000,), number), torch.full((50_000,), true))
    expected = members[number].float()
    expected[true] = 0
    if not expected.any():
        expected = torch.ones(130)
        expected[true] = 0
    if expected.sum() == 1:
        assert expected[drawn].all()
    else:
        assert p_value(drawn, expected) > 1e-4


def test_a_set_takes_the_bytes_it_says(members: torch.Tensor) -> None:
    sets = EntitySets(130)
    sets.append(members)
    held = sum(part.numel() * part.element_size() for part in (sets.bits, sets.counts))
    assert held == len(sets) * sets.bytes_each


def test_bits_of_every_word_are_counted() -> None:
    torch.manual_seed(0)
    words = torch.empty(500, dtype=torch.int64).random_(-(2**63), None)
    expected = [(value % 2**64).bit_count() for value in words.tolist()]
    assert ones(words).tolist() == expected


class Widest(TorchFunctionMode):
    """Bytes of the largest tensor that is made."""

    found = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        for value in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(value, torch.Tensor):
                self.found = max(self.found, value.numel() * value.element_size())
        return made


def test_no_draw_holds_more_than_a_number_for_each_negative_in_one_tensor(sets: EntitySets) -> None:
    numbers, true = torch.randint(10, (300, 20)), torch.randint(130, (300, 20))
    with Widest() as widest:
        sets.draw(numbers, true)
    assert 0 < widest.found <= 8 * numbers.numel()


def test_other_counts_off_the_members_without_the_true_entity(
    sets: EntitySets, members: torch.Tensor
) -> None:
    numbers, true = torch.randint(10, (300, 20)), torch.randint(130, (300, 20))
    positions = torch.randint(2**30, (300, 20)) % sets.num_others(numbers, true).clamp(min=1)
    left = members[numbers].scatter(-1, true.unsqueeze(-1), False)
    some = left.any(-1)
    expected = left.long().cumsum(-1).eq(positions.unsqueeze(-1) + 1).long().argmax(-1)
    assert torch.equal(sets.other(numbers, true, positions)[some], expected[some])


def test_numbers_below_a_limit_are_drawn_equally_often() -> None:
    torch.manual_seed(0)
    assert p_value(below(torch.full((50_000,), 7)), torch.ones(7)) > 1e-4


def test_positions_are_distinct_and_each_set_is_as_likely() -> None:
    torch.manual_seed(0)
    side = torch.tensor([[True, False, True, True]]).expand(30_000, 4)
    sizes = torch.where(side, 5, 1)
    positions = distinct(sizes, side)
    assert positions[:, 1].eq(0).all()
    chosen = positions[:, [0, 2, 3]].sort(dim=1).values
    assert (chosen.diff(dim=1) > 0).all()
    sets = (chosen * torch.tensor([25, 5, 1])).sum(1).unique(return_counts=True)[1]
    assert len(sets) == 10
    assert p_value(torch.repeat_interleave(torch.arange(10), sets), torch.ones(10)) > 1e-4


def test_positions_run_out_with_the_members() -> None:
    side = torch.zeros(50, 5, dtype=torch.bool)
    positions = distinct(torch.full((50, 5), 3), side)
    assert positions[:, 3:].eq(-1).all()
    assert positions[:, :3].sort(dim=1).values.tolist() == [[0, 1, 2]] * 50
    assert distinct(torch.zeros(2, 3, dtype=torch.int64), side[:2, :3]).eq(-1).all()
