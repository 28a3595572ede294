"""The nearest entity, in bounded memory."""

import pytest
import torch

from dans.batch import Negatives
from dans.samplers.nearest import identify, nearest


@pytest.mark.parametrize("tile", [(1, 1), (7, 5), (1000, 1000)])
def test_tiles_of_any_size_find_what_all_distances_find(tile: tuple[int, int]) -> None:
    torch.manual_seed(0)
    vectors, entities = torch.randn(50, 5), torch.randn(13, 5)
    expected = torch.cdist(vectors, entities).argmin(1)
    assert torch.equal(nearest(vectors, entities, tile=tile), expected)


@pytest.mark.parametrize("tile", [(1, 1), (7, 5), (1000, 1000)])
def test_excluded_entities_give_way_to_the_next(tile: tuple[int, int]) -> None:
    torch.manual_seed(0)
    vectors, entities = torch.randn(50, 5), torch.randn(13, 5)
    order = torch.cdist(vectors, entities).argsort(1)
    assert torch.equal(nearest(vectors, entities, order[:, :2], tile=tile), order[:, 2])


def test_an_entity_is_nearest_to_itself() -> None:
    entities = torch.randn(9, 4) * 100
    assert torch.equal(nearest(entities, entities), torch.arange(9))


def test_nothing_has_no_nearest() -> None:
    assert nearest(torch.zeros(0, 4), torch.zeros(3, 4)).shape == (0,)


def test_a_rival_without_an_id_is_told_by_its_vector() -> None:
    torch.manual_seed(0)
    entities = torch.randn(9, 4)
    vectors = torch.stack((entities[[3, 5]], entities[[4, 6]] + 1e-3), dim=1)
    side = torch.zeros(2, 2, dtype=torch.bool)
    ids, generated = identify(Negatives(vectors, side), entities)
    assert ids.tolist() == [[3, 4], [5, 6]]
    assert generated.tolist() == [[False, True]] * 2
    known = Negatives.of(entities, torch.tensor([[7, 8], [0, 1]]), side)
    ids, generated = identify(known, entities, slice(1, 2))
    assert ids.tolist() == [[0, 1]]
    assert not generated.any()
