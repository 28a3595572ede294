"""SANS: neighbourhoods, and draws from them."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.data.known_triples import KnownTriples
from dans.errors import InputError
from dans.models.batch import Positives
from dans.samplers import sans as module
from dans.samplers.sans import SANS
from dans.training.checkpoint import load_state, save_state
from tests.samplers.test_uniform import p_value
from tests.suites.samplers import triples_as_embeddings

DRAWS = 50_000


def path(n: int) -> KnowledgeGraph:
    """Entity i next to entity i + 1, and to no other further on."""
    names = [str(i) for i in range(n)]
    return KnowledgeGraph.of([(a, "next", b) for a, b in pairwise(names)])


def star(leaves: int) -> KnowledgeGraph:
    """Entity 0 next to all others."""
    return KnowledgeGraph.of([("hub", "has", f"leaf {i}") for i in range(leaves)])


def untidy() -> KnowledgeGraph:
    """A loop, a repeated triple, a triple both ways, its own component, an isolated entity."""
    train = [("a", "r", "a"), ("a", "r", "b"), ("a", "r", "b"), ("b", "s", "a"), ("b", "r", "c")]
    train += [("c", "r", "d"), ("x", "r", "y"), ("d", "s", "e"), ("e", "s", "f")]
    return KnowledgeGraph.of(train, test=[("alone", "r", "a")])


def make(kg: KnowledgeGraph, *, seed: int = 0, **given: Any) -> SANS:
    torch.manual_seed(seed)
    options = {"filter": "none", "side": "tail", **given}
    return SANS(triples=kg.train, num_entities=kg.num_entities, walks=kg.walks, **options)


def around(sampler: SANS, entity: int) -> Tensor:
    """The neighbourhood of an entity."""
    start, end = sampler.offsets[entity : entity + 2].tolist()
    return sampler.pairs[start:end] - entity * sampler.num_entities


def neighbourhoods(sampler: SANS) -> list[list[int]]:
    return [around(sampler, e).tolist() for e in range(sampler.num_entities)]


def ball(kg: KnowledgeGraph, centre: int, hops: int) -> list[int]:
    """All within so many hops, by breadth-first search."""
    near: dict[int, set[int]] = {e: set() for e in range(kg.num_entities)}
    for head, _, tail in kg.train.tolist():
        near[head].add(tail)
        near[tail].add(head)
    found = reached = {centre}
    for _ in range(hops):
        reached = {other for e in reached for other in near[e]}
        found = found | reached
    return sorted(found)


def adjacency(kg: KnowledgeGraph) -> Tensor:
    a = torch.zeros(kg.num_entities, kg.num_entities, dtype=torch.int64)
    a[kg.train[:, 0], kg.train[:, 2]] = 1
    return a | a.T


def rows(matrix: Tensor) -> list[list[int]]:
    return [row.nonzero().squeeze(1).tolist() for row in matrix]


def tails(sampler: SANS, triple: tuple[int, int, int]) -> Tensor:
    return sampler(Positives.of_ids(torch.tensor([triple]), sampler.num_entities)).ids


@pytest.mark.parametrize("length", [1, 2, 3, 4])
@pytest.mark.parametrize("graph", [untidy, lambda: path(9), lambda: star(4)])
def test_hops_are_the_entries_of_the_matrix(
    length: int, graph: Callable[[], KnowledgeGraph]
) -> None:
    kg = graph()
    a = adjacency(kg)
    entries = torch.linalg.matrix_power(a, length - 1) @ (a + torch.eye(len(a), dtype=torch.int64))
    assert neighbourhoods(make(kg, neighbourhood="hops", length=length)) == rows(entries)


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_walks_end_within_so_many_hops_and_after_that_many_steps(length: int) -> None:
    for kg in (untidy(), path(9), star(4)):
        found = neighbourhoods(make(kg, length=length))
        for e, near in enumerate(found):
            assert set(near) <= set(ball(kg, e, length))
        assert found == rows(torch.linalg.matrix_power(adjacency(kg), length))


def test_more_walks_find_more() -> None:
    sizes = [len(around(make(star(200), walks_per_entity=w), 1)) for w in (10, 100)]
    assert sizes[0] <= 10 < sizes[1] <= 100


@pytest.mark.parametrize("neighbourhood", ["hops", "walks"])
def test_small_parts_find_the_same(neighbourhood: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kg, given = untidy(), {} if neighbourhood == "hops" else {"walks_per_entity": 300}
    whole = neighbourhoods(make(kg, neighbourhood=neighbourhood, **given))
    monkeypatch.setattr(module, "PART", 8)
    assert neighbourhoods(make(kg, neighbourhood=neighbourhood, **given)) == whole


def test_walks_are_drawn_in_bounded_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    kg, held = path(100), []

    def walks(starts: Tensor, length: int) -> Tensor:
        drawn = kg.walks(starts, length)
        held.append(drawn.numel())
        return drawn

    monkeypatch.setattr(module, "PART", 2000)
    SANS(triples=kg.train, num_entities=100, walks=walks, walks_per_entity=50, filter="none")
    assert len(held) > 2
    assert max(held) <= 2000


@pytest.mark.parametrize("true", [3, 5, 9])
def test_every_neighbour_is_drawn_equally_often_and_the_true_entity_never(true: int) -> None:
    sampler = make(path(12), k=DRAWS, neighbourhood="hops", length=3)
    expected = torch.zeros(12)
    expected[ball(path(12), 4, 3)] = 1
    expected[true] = 0
    assert p_value(tails(sampler, (4, 0, true)), expected) > 1e-4


def test_heads_come_from_around_the_tail_and_tails_from_around_the_head() -> None:
    sampler = make(path(30), k=400, side="coin", length=2)
    triples = torch.tensor([[5, 0, 20], [21, 0, 6]])
    negatives = sampler(Positives.of_ids(triples, 30))
    for ids, side, (head, _, tail) in zip(
        negatives.ids, negatives.corrupt_head, triples.tolist(), strict=True
    ):
        assert ids[side].unique().tolist() == [tail - 2, tail, tail + 2]
        assert ids[~side].unique().tolist() == [head - 2, head, head + 2]


def test_the_number_of_visits_does_not_count() -> None:
    train = [("a", f"r{i}", "b") for i in range(20)] + [("a", "r", "c")]
    kg = KnowledgeGraph.of(train)
    ids = tails(make(kg, k=DRAWS, length=1), (0, 0, 0))
    assert p_value(ids, torch.tensor([0.0, 1, 1])) > 1e-4


def test_the_uncorrupted_entity_can_be_left_out() -> None:
    for given in ({"neighbourhood": "hops"}, {}):
        with_it = neighbourhoods(make(path(6), **given))
        without = neighbourhoods(make(path(6), exclude_uncorrupted=True, **given))
        assert without == [[o for o in near if o != e] for e, near in enumerate(with_it)]
        assert without != with_it


@pytest.mark.parametrize("neighbourhood", ["hops", "walks"])
def test_without_neighbours_but_the_true_entity_any_other_is_drawn(neighbourhood: str) -> None:
    kg = untidy()
    alone = kg.entities.index("alone")
    only = make(star(5), k=DRAWS, length=1, walks_per_entity=5)
    assert around(only, 3).tolist() == [0]
    for sampler, head in ((make(kg, k=DRAWS, neighbourhood=neighbourhood), alone), (only, 3)):
        assert around(sampler, head).tolist() in ([], [0])
        expected = torch.ones(sampler.num_entities)
        expected[0] = 0
        assert p_value(tails(sampler, (head, 0, 0)), expected) > 1e-4


def test_a_graph_without_triples_is_uniform() -> None:
    kg = KnowledgeGraph.of([], test=[("a", "r", "b"), ("c", "r", "d")])
    for given in ({"neighbourhood": "hops"}, {}):
        ids = tails(make(kg, k=200, **given), (0, 0, 1))
        assert ids.unique().tolist() == [0, 2, 3]


def test_known_neighbours_are_drawn_again() -> None:
    kg = path(12)
    known = KnownTriples(torch.tensor([[4, 0, 5], [4, 0, 6]]), 12, 1)
    given = {"neighbourhood": "hops", "length": 2, "filter": "resample", "known": known}
    ids = tails(make(kg, k=DRAWS, **given), (4, 0, 5))
    assert p_value(ids, torch.tensor([0.0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0])) > 1e-4


def test_a_neighbourhood_of_known_triples_is_left_for_all_entities() -> None:
    kg = path(8)
    known = KnownTriples(torch.tensor([[0, 0, e] for e in (0, 1, 2)]), 8, 1)
    sampler = make(kg, k=DRAWS, length=2, filter="resample", known=known)
    assert around(sampler, 0).tolist() == [0, 2]
    negatives = sampler(Positives.of_ids(torch.tensor([[0, 0, 1]]), 8))
    assert negatives.valid.all()
    assert p_value(negatives.ids, torch.tensor([0.0, 0, 0, 1, 1, 1, 1, 1])) > 1e-4


def test_where_every_entity_is_known_negatives_are_masked() -> None:
    known = KnownTriples(torch.tensor([[0, 0, e] for e in range(4)]), 4, 1)
    sampler = make(path(4), k=9, filter="resample", known=known)
    valid = sampler(Positives.of_ids(torch.tensor([[0, 0, 1]]), 4)).valid
    assert not valid.any()


@pytest.mark.parametrize("neighbourhood", ["hops", "walks"])
def test_a_random_choice_of_no_more_neighbours_than_the_limit_is_made(neighbourhood: str) -> None:
    kg, chosen = star(30), set()
    for seed in range(40):
        sampler = make(kg, seed=seed, neighbourhood=neighbourhood, length=1, limit=7)
        assert len(around(sampler, 0)) == 7
        assert len(sampler.pairs) <= 31 * 7
        assert set(around(sampler, 0).tolist()) <= set(ball(kg, 0, 1))
        assert all(len(around(sampler, e)) in (1, 2) for e in range(1, 31))
        chosen |= set(around(sampler, 0).tolist())
    assert chosen >= set(range(1, 31))


def test_state_brings_back_neighbourhoods_of_another_size(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    triples, _, _ = triples_as_embeddings(kg)
    given = {"walks_per_entity": 4, "side": "coin", "filter": "resample", "known": kg.known()}
    sampler, other = make(kg, seed=3, **given), make(kg, seed=4, **given)
    assert len(sampler.pairs) != len(other.pairs)
    save_state(tmp_path / "state", {"sampler": sampler.state_dict()})
    other.load_state_dict(load_state(tmp_path / "state")["sampler"])
    assert neighbourhoods(sampler) == neighbourhoods(other)
    drawn = []
    for which in (sampler, other):
        torch.manual_seed(3)
        drawn.append(which(triples).ids)
    assert torch.equal(*drawn)


@pytest.mark.parametrize("other", [lambda: path(4), lambda: path(2), lambda: star(8)])
def test_state_of_another_graph_is_refused(other: Callable[[], KnowledgeGraph]) -> None:
    sampler = make(path(3), neighbourhood="hops")
    before = neighbourhoods(sampler)
    with pytest.raises(InputError, match="neighbourhoods are not of 3 entities"):
        sampler.load_state_dict(make(other(), neighbourhood="hops").state_dict())
    with pytest.raises(InputError, match="made with another graph"):
        sampler.set_extra_state(torch.tensor([3, 1, 9]))
    with pytest.raises(InputError, match="made with another graph"):
        sampler.set_extra_state(torch.tensor([], dtype=torch.int64))
    assert neighbourhoods(sampler) == before


def test_building_takes_the_same_from_the_generator_whatever_is_drawn() -> None:
    after, states = [], []
    for given in (
        {"neighbourhood": "hops"},
        {"neighbourhood": "hops", "limit": 2},
        {"walks_per_entity": 7, "limit": 1},
    ):
        make(path(20), seed=5, **given)
        states.append(torch.get_rng_state())
        after.append(torch.rand(()))
    torch.manual_seed(5)
    assert not torch.equal(states[0], torch.get_rng_state())
    assert len({float(number) for number in after}) == 1


def test_a_seed_decides_the_neighbourhoods() -> None:
    once, again, other = (
        make(star(50), seed=seed, walks_per_entity=20).pairs for seed in (1, 1, 2)
    )
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"neighbourhood": "ball"}, "neighbourhood: known: hops, walks; got 'ball'"),
        ({"length": 0}, "length: expected at least 1"),
        ({"walks_per_entity": 0}, "walks_per_entity: expected at least 1"),
        ({"limit": 0}, "limit: expected at least 1"),
        (
            {"neighbourhood": "hops", "walks_per_entity": 1000},
            "walks_per_entity: neighbourhood = hops walks nowhere; leave it out",
        ),
    ],
)
def test_wrong_options_are_named(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(path(3), **given)


def test_triples_of_other_entities_are_refused() -> None:
    with pytest.raises(InputError, match="of 3 entities, not 5"):
        make(path(3))(Positives.of_ids(torch.tensor([[0, 0, 1]]), 5))
