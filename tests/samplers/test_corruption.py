"""What all samplers of entities share."""

import pytest
import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.errors import InputError
from dans.models.batch import Positives
from dans.samplers.corruption import EntitySampler, any_other, kept, replaced

FACTS = torch.tensor([[0, 0, 1], [2, 0, 3]])
POSITIVES = Positives.of_ids(FACTS, 5)
ROWS = torch.tensor([[0], [1]])
SIDE = torch.tensor([[True, False, True], [False, True, False]])


class Counted(EntitySampler):
    """Always the entity of that number, then the next one at each later draw."""

    def __init__(self, k: int, first: int, **given: object) -> None:
        super().__init__(k, **given)  # type: ignore[arg-type]
        self.next = first

    def draw(self, positives: Positives, rows: Tensor, replaces_head: Tensor) -> Tensor:
        self.next += 1
        shape = torch.broadcast_shapes(rows.shape, replaces_head.shape)
        return torch.full(shape, self.next - 1)


def test_replaced_and_kept_are_the_two_ends() -> None:
    assert replaced(POSITIVES, ROWS, SIDE).tolist() == [[0, 1, 0], [3, 2, 3]]
    assert kept(POSITIVES, ROWS, SIDE).tolist() == [[1, 0, 1], [2, 3, 2]]
    flat = torch.tensor([1, 0])
    assert replaced(POSITIVES, flat, torch.tensor([True, False])).tolist() == [2, 1]


def test_any_other_is_any_but_the_one() -> None:
    torch.manual_seed(0)
    drawn = any_other(torch.full((500,), 2), 4)
    assert drawn.unique().tolist() == [0, 1, 3]
    with pytest.raises(InputError, match="only 1"):
        any_other(torch.tensor([0]), 1)


def test_only_what_is_known_is_drawn_again() -> None:
    known = KnownTriples(torch.tensor([[0, 0, 4], [0, 0, 0], [0, 0, 1]]), 5, 1)
    sampler = Counted(2, first=0, side="tail", filter="resample", known=known)
    negatives = sampler(POSITIVES)
    assert negatives.ids is not None
    assert negatives.ids.tolist() == [[2, 2], [0, 0]]
    assert negatives.valid is not None
    assert negatives.valid.all()


def test_without_a_filter_nothing_is_looked_up() -> None:
    negatives = Counted(2, first=1)(POSITIVES)
    assert negatives.valid is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"side": "left"}, "side: known: coin, head, tail"),
        ({"filter": "drop"}, "filter: known: none, mask, resample"),
        ({"filter": "mask"}, "filter: mask needs the known triples"),
        ({"rounds": 0}, "rounds: must be at least 1"),
    ],
)
def test_options_are_checked(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Counted(1, 0, **given)
