"""The nearest entity, in bounded memory."""

import pytest
import torch

from dans.samplers.nearest import nearest


@pytest.mark.parametrize("elements", [1, 30, 10_000])
def test_chunks_of_any_size_find_what_all_distances_find(elements: int) -> None:
    torch.manual_seed(0)
    vectors, entities = torch.randn(50, 5), torch.randn(13, 5)
    expected = torch.cdist(vectors, entities).argmin(1)
    assert torch.equal(nearest(vectors, entities, elements=elements), expected)


@pytest.mark.parametrize("elements", [1, 30, 10_000])
def test_excluded_entities_give_way_to_the_next(elements: int) -> None:
    torch.manual_seed(0)
    vectors, entities = torch.randn(50, 5), torch.randn(13, 5)
    order = torch.cdist(vectors, entities).argsort(1)
    assert torch.equal(nearest(vectors, entities, order[:, :2], elements=elements), order[:, 2])


def test_an_entity_is_nearest_to_itself() -> None:
    entities = torch.randn(9, 4) * 100
    assert torch.equal(nearest(entities, entities), torch.arange(9))


def test_nothing_has_no_nearest() -> None:
    assert nearest(torch.zeros(0, 4), torch.zeros(3, 4)).shape == (0,)
