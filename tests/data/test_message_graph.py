"""The messages of a graph and their weights."""

import pytest
import torch

from dans.data.message_graph import MessageGraph, reverse
from dans.errors import InputError
from tests.oracles_rgcn import NUM_ENTITIES, NUM_RELATIONS, TOY, directed, normaliser

NORMS = ("relation", "node", "code")


def toy(norm="relation"):
    return MessageGraph.of(TOY, NUM_ENTITIES, NUM_RELATIONS, norm)


def edges(graph):
    return list(
        zip(graph.sources.tolist(), graph.etype.tolist(), graph.targets.tolist(), strict=True)
    )


def test_every_triple_sends_one_message_each_way():
    assert sorted(edges(toy())) == sorted(directed(TOY, NUM_RELATIONS))


def test_each_message_comes_from_its_triple():
    graph = toy()
    for (source, etype, target), triple in zip(
        edges(graph), graph.triple_ids.tolist(), strict=True
    ):
        head, relation, tail = TOY[triple].tolist()
        forth = (head, relation, tail)
        back = (tail, relation + NUM_RELATIONS, head)
        assert (source, etype, target) in (forth, back)


def test_messages_are_sorted_by_type_then_target():
    graph = toy()
    key = (graph.etype * NUM_ENTITIES + graph.targets).tolist()
    assert key == sorted(key)
    assert (graph.etype[: len(TOY)] < NUM_RELATIONS).all()
    assert (graph.etype[len(TOY) :] >= NUM_RELATIONS).all()


@pytest.mark.parametrize(
    ("norm", "expected"),
    [
        # by r, 1 receives two messages and 2 one; by the inverse, 0 receives two and 2 one
        ("relation", [1 / 2, 1 / 2, 1, 1 / 2, 1 / 2, 1]),
        # every i receives two messages
        ("node", [1 / 2, 1 / 2, 1 / 2, 1 / 2, 1 / 2, 1 / 2]),
        # and by r, 0 sends twice and 2 once; by the inverse, 1 sends twice and 2 once
        ("code", [1 / 4, 1 / 2, 1 / 4, 1 / 4, 1 / 2, 1 / 4]),
    ],
)
def test_normalisers_on_three_nodes_by_hand(norm, expected):
    graph = MessageGraph.of(torch.tensor([[0, 0, 1], [2, 0, 1], [0, 0, 2]]), 3, 1, norm)
    assert edges(graph) == [(0, 0, 1), (2, 0, 1), (0, 0, 2), (1, 1, 0), (2, 1, 0), (1, 1, 2)]
    assert graph.weight.tolist() == expected


@pytest.mark.parametrize("norm", NORMS)
def test_normalisers_follow_their_definitions(norm):
    graph = toy(norm)
    expected = [normaliser(edges(graph), edge, norm) for edge in edges(graph)]
    torch.testing.assert_close(graph.weight, torch.tensor(expected))


@pytest.mark.parametrize("norm", NORMS)
def test_the_only_message_of_an_entity_has_weight_one(norm):
    assert MessageGraph.of(torch.tensor([[0, 1, 2]]), 3, 2, norm).weight.tolist() == [1, 1]


@pytest.mark.parametrize("norm", NORMS)
def test_restricting_is_building_from_the_kept_triples(norm):
    keep = torch.tensor([i % 3 != 1 for i in range(len(TOY))])
    restricted = toy(norm).restrict(keep)
    built = MessageGraph.of(TOY[keep], NUM_ENTITIES, NUM_RELATIONS, norm)
    for name in ("sources", "targets", "etype", "weight"):
        assert torch.equal(getattr(restricted, name), getattr(built, name)), name
    kept = keep.nonzero().squeeze(1)[built.triple_ids.long()]
    assert torch.equal(restricted.triple_ids.long(), kept)


@pytest.mark.parametrize("norm", NORMS)
def test_a_triple_takes_forty_bytes(norm):
    graph = toy(norm)
    parts = (graph.sources, graph.targets, graph.etype, graph.triple_ids, graph.weight)
    assert sum(part.nbytes for part in parts) == 40 * len(TOY)
    assert all(part.untyped_storage().nbytes() == part.nbytes for part in parts)


def test_ids_beyond_32_bits_stay_whole():
    far = TOY + torch.tensor([2**31, 0, 2**31])
    graph = MessageGraph.of(far, 2**31 + NUM_ENTITIES, NUM_RELATIONS)
    assert set(graph.sources.tolist()) == set(far[:, [0, 2]].flatten().tolist())


def test_restricting_twice_is_restricting_by_both():
    keep = torch.arange(len(TOY)) % 2 == 0
    also = torch.arange(len(TOY)) > 3
    twice = toy("code").restrict(keep).restrict(also)
    once = toy("code").restrict(keep & also)
    assert torch.equal(twice.triple_ids, once.triple_ids)
    assert torch.equal(twice.weight, once.weight)


@pytest.mark.parametrize("norm", NORMS)
def test_restricting_to_nothing_leaves_nothing(norm):
    assert len(toy(norm).restrict(torch.zeros(len(TOY), dtype=torch.bool))) == 0


def test_a_restriction_has_an_empty_cache():
    graph = toy()
    graph.cache["something"] = 1
    assert graph.restrict(torch.ones(len(TOY), dtype=torch.bool)).cache == {}


def test_the_opposite_of_a_message_runs_the_other_way():
    graph = toy()
    opposite = reverse(graph.triple_ids)
    assert torch.equal(graph.sources[opposite], graph.targets)
    assert torch.equal(graph.targets[opposite], graph.sources)
    assert torch.equal((graph.etype[opposite] - graph.etype).abs(), torch.full((22,), 4))
    assert torch.equal(opposite[opposite], torch.arange(22))


def test_staying_on_the_device_copies_nothing():
    graph = toy()
    assert graph.to("cpu") is graph


def test_all_tensors_go_to_the_device():
    moved = toy().to("meta")
    for name in ("sources", "targets", "etype", "triple_ids", "weight"):
        assert getattr(moved, name).device.type == "meta", name
    assert moved.norm == "relation"


def test_an_unknown_normaliser_is_refused_by_name():
    with pytest.raises(InputError, match=r"norm: known: relation, node, code; got 'degree'"):
        toy("degree")
