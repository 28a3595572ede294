"""The nearest entity, in bounded memory."""

import pytest
import torch

from dans.models.batch import Negatives, Positives
from dans.samplers.nearest import identify, nearest, nearest_of_drawn


@pytest.mark.parametrize("tile", [(1, 1), (7, 5), (1000, 1000)])
def test_tiles_of_any_size_find_what_all_distances_find(
    tile: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dans.samplers.nearest.TILE", tile)
    torch.manual_seed(0)
    embeddings, entities = torch.randn(50, 5), torch.randn(13, 5)
    order = torch.cdist(embeddings, entities).argsort(1)
    assert torch.equal(nearest(embeddings, entities), order[:, 0])
    assert torch.equal(nearest(embeddings, entities, order[:, :2]), order[:, 2])


@pytest.mark.parametrize("copies", [2, 3])
def test_of_entities_equally_near_in_different_tiles_the_first_is_found(
    copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dans.samplers.nearest.TILE", (4, 5))
    torch.manual_seed(0)
    entities, embeddings = torch.randn(5, 3), torch.randn(9, 3)
    expected = torch.cdist(embeddings, entities).argmin(1)
    assert torch.equal(nearest(embeddings, entities.repeat(copies, 1)), expected)
    # Where the first is excluded, the second of the same distance is left.
    excluded = nearest(embeddings, entities.repeat(copies, 1), expected.unsqueeze(1))
    assert torch.equal(excluded, expected + 5)


def test_among_all_entities_the_search_is_exact() -> None:
    torch.manual_seed(0)
    embeddings, entities = torch.randn(50, 5), torch.randn(13, 5)
    own, exclude = torch.randint(13, (50, 2)), torch.randint(13, (50, 2))
    every = torch.arange(13)
    positives = Positives.from_embeddings(torch.tensor([[0, 0, 1]]), entities)
    found = nearest_of_drawn(embeddings, positives, every, own[:, :0], exclude)
    assert torch.equal(found, nearest(embeddings, entities, exclude))
    found = nearest_of_drawn(embeddings, positives, every, own)
    assert torch.equal(found, nearest(embeddings, entities))


@pytest.mark.parametrize("excluding", [False, True])
def test_the_nearest_of_drawn_candidates_and_own_ones_is_found(excluding: bool) -> None:
    torch.manual_seed(0)
    embeddings, entities = torch.randn(200, 5), torch.randn(31, 5)
    own = torch.randint(31, (200, 0 if excluding else 2))
    exclude = torch.randint(31, (200, 2)) if excluding else None
    drawn = torch.randperm(31)[:7].sort().values
    candidate = torch.zeros(200, 31, dtype=torch.bool)
    candidate[:, drawn] = True
    candidate.scatter_(1, own, True)
    if exclude is not None:
        candidate.scatter_(1, exclude, False)
    distances = torch.cdist(embeddings, entities).masked_fill(~candidate, torch.inf)
    positives = Positives.from_embeddings(torch.tensor([[0, 0, 1]]), entities)
    found = nearest_of_drawn(embeddings, positives, drawn, own, exclude)
    assert torch.equal(found, distances.argmin(1))
    assert (found.unsqueeze(1) == own).any() != excluding


def test_an_entity_is_nearest_to_itself() -> None:
    entities = torch.randn(9, 4) * 100
    assert torch.equal(nearest(entities, entities), torch.arange(9))


def test_no_embeddings_have_no_nearest_entities() -> None:
    assert nearest(torch.zeros(0, 4), torch.zeros(3, 4)).shape == (0,)


def test_a_negative_without_an_id_gets_that_of_the_nearest_entity() -> None:
    torch.manual_seed(0)
    entities = torch.randn(9, 4)
    embeddings = torch.stack((entities[[3, 5]], entities[[4, 6]] + 1e-3), dim=1)
    side = torch.zeros(2, 2, dtype=torch.bool)
    positives = Positives.from_embeddings(torch.tensor([[0, 0, 1]] * 2), entities)
    ids, generated = identify(Negatives(embeddings, side), positives)
    assert ids.tolist() == [[3, 4], [5, 6]]
    assert generated.tolist() == [[False, True]] * 2
    exclude = torch.tensor([[3, 0], [1, 6]])
    ids, generated = identify(Negatives(embeddings, side), positives, exclude=exclude)
    assert ids[:, 0].tolist() == [int(nearest(entities[3:4], entities, exclude[:1, :1])), 5]
    assert ids[0, 1] == 4
    assert ids[1, 1] != 6
    assert generated.tolist() == [[True, True], [False, True]]
    known = Negatives.of(positives, torch.tensor([[7, 8], [0, 1]]), side)
    ids, generated = identify(known, positives, slice(1, 2))
    assert ids.tolist() == [[0, 1]]
    assert not generated.any()


def test_partial_ids_are_used() -> None:
    # So far from the origin, distances in single precision are rounding errors.
    entities = torch.stack((torch.linspace(49.99, 50.01, 40), torch.full((40,), 50.0)), dim=1)
    ids = torch.arange(40).view(20, 2)
    side = torch.zeros(20, 3, dtype=torch.bool)
    embeddings = torch.cat((entities[ids], torch.full((20, 1, 2), 60.0)), dim=1)
    positives = Positives.from_embeddings(torch.tensor([[0, 0, 1]] * 20), entities)
    partial = torch.cat((ids, torch.full((20, 1), -1)), dim=1)
    guessed, _ = identify(Negatives(embeddings, side), positives)
    assert not torch.equal(guessed[:, :2], ids)
    found, generated = identify(Negatives(embeddings, side, partial_ids=partial), positives)
    assert torch.equal(found[:, :2], ids)
    assert generated.tolist() == [[False, False, True]] * 20
    exclude = torch.cat((ids, found[:, 2:]), dim=1)
    found, _ = identify(
        Negatives(embeddings, side, partial_ids=partial), positives, exclude=exclude
    )
    assert torch.equal(found[:, :2], ids)
    assert not found[:, 2].eq(exclude[:, 2]).any()
    assert partial[:, 2].eq(-1).all()
