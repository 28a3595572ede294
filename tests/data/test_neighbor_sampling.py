"""Drawn messages: which they are, how many, and what they weigh."""

from collections import Counter

import pytest
import torch
from torch import Tensor

from dans.data.message_graph import MessageGraph, Norm
from dans.data.neighbor_sampling import Block, IncomingMessages, Neighborhood
from dans.errors import InputError
from tests.oracles_rgcn import NUM_ENTITIES, NUM_RELATIONS, TOY

NORMS: list[Norm] = ["relation", "node", "code"]

#: The toy graph without its repeat. Entity 7 is isolated, triple 4 is a self-loop.
TRIPLES = TOY.unique(dim=0)

#: (3, 1, 3), and two of the four triples by which entity 1 receives messages of relation 0.
HELD_OUT = torch.tensor([2, 0, 4])


def incoming(norm: Norm = "relation") -> IncomingMessages:
    return IncomingMessages(TRIPLES, NUM_ENTITIES, NUM_RELATIONS, norm)


def sent(ids: Tensor, block: Block, to: Tensor | None = None) -> Counter[tuple[float, ...]]:
    """The messages of a block by entities: source, edge type, target, weight."""
    targets = (ids if to is None else to)[block.targets]
    rows = torch.stack((ids[block.sources], block.etype, targets)).T.tolist()
    weights = block.weight.tolist()
    return Counter((*row, weight) for row, weight in zip(rows, weights, strict=True))


def all_of(norm: Norm, targets: Tensor, without: Tensor | None = None) -> Counter[tuple]:
    """What the message graph says of the messages to some entities."""
    keep = torch.ones(len(TRIPLES), dtype=torch.bool)
    keep[[] if without is None else without] = False
    graph = MessageGraph.of(TRIPLES, NUM_ENTITIES, NUM_RELATIONS, norm).restrict(keep)
    rows = torch.stack((graph.sources, graph.etype, graph.targets)).T.tolist()
    found = zip(rows, graph.weight.tolist(), strict=True)
    return Counter((*row, weight) for row, weight in found if row[2] in targets.tolist())


@pytest.mark.parametrize("fanout", [0, -1, 50])
@pytest.mark.parametrize("norm", NORMS)
def test_all_messages_are_those_of_the_message_graph(norm: Norm, fanout: int) -> None:
    ids = torch.tensor([4, 1, 7, 3])
    around = incoming(norm).sample(ids, [fanout, fanout], exclude=HELD_OUT)
    first, last = around.blocks
    assert around.num_targets == 4
    assert around.entity_ids[:4].tolist() == ids.tolist()
    assert len(around.entity_ids.unique()) == len(around.entity_ids) == first.num_sources
    assert sent(around.entity_ids, last) == all_of(norm, ids, HELD_OUT)
    middle = around.entity_ids[: first.num_targets]
    assert first.num_targets == last.num_sources > 4
    assert sent(around.entity_ids, first) == all_of(norm, middle, HELD_OUT)


def test_an_isolated_entity_receives_nothing() -> None:
    around = incoming().sample(torch.tensor([7]), [3, 3])
    assert around.entity_ids.tolist() == [7]
    assert [len(block) for block in around.blocks] == [0, 0]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_an_entity_receives_the_fanout_or_all_it_has(most: int) -> None:
    messages, ids = incoming(), torch.arange(NUM_ENTITIES)
    degrees = messages.degrees(ids)
    assert degrees.min() == 0
    assert degrees.max() > 3
    drawn = messages.sample(ids, [most]).blocks[0]
    assert len(sent(ids, drawn)) == len(drawn)
    received = torch.bincount(drawn.targets, minlength=NUM_ENTITIES)
    assert torch.equal(received, degrees.clamp(max=most))
    held_out = torch.arange(5)
    left = degrees - torch.bincount(TRIPLES[:5, [0, 2]].flatten(), minlength=NUM_ENTITIES)
    for _ in range(20):
        some = messages.sample(ids, [most], exclude=held_out).blocks[0]
        received = torch.bincount(some.targets, minlength=NUM_ENTITIES)
        assert (received >= left.clamp(max=most)).all()


def test_excluded_triples_are_never_drawn_in_either_direction() -> None:
    messages, ids = incoming("node"), torch.arange(NUM_ENTITIES)
    ends: set[tuple[float, ...]] = set()
    for _ in range(50):
        around = messages.sample(ids, [2], exclude=HELD_OUT)
        ends |= {message[:3] for message in sent(around.entity_ids, around.blocks[0])}
    assert ends == {message[:3] for message in all_of("node", ids, HELD_OUT)}


@pytest.mark.parametrize("norm", NORMS)
def test_a_drawn_message_weighs_its_share_of_all(norm: Norm) -> None:
    ids = torch.arange(NUM_ENTITIES)
    around = incoming(norm).sample(ids, [2], exclude=HELD_OUT)
    true = {message[:3]: message[3] for message in all_of(norm, ids, HELD_OUT)}
    degrees = Counter(message[2] for message in true)
    drawn = sent(around.entity_ids, around.blocks[0])
    numbers = Counter(message[2] for message in drawn)
    assert any(degrees[entity] > number for entity, number in numbers.items())
    for source, etype, target, weight in drawn:
        scale = degrees[target] / numbers[target]
        assert weight == pytest.approx(true[source, etype, target] * scale, rel=1e-6)


def test_many_relations_and_entities_make_no_key_too_large() -> None:
    n, m = 50_000, 60_000
    triples = torch.tensor([[0, m - 1, n - 1], [1, m - 1, n - 1], [2, m - 1, n - 1]])
    messages, ids = IncomingMessages(triples, n, m), torch.arange(n)
    block = messages.sample(ids, [0], exclude=torch.tensor([1])).blocks[0]
    assert block.weight[block.targets == n - 1].tolist() == [0.5, 0.5]


def test_a_seed_gives_the_draws() -> None:
    def draw(seed: int) -> Neighborhood:
        torch.manual_seed(seed)
        return messages.sample(torch.arange(NUM_ENTITIES), [1, 1])

    messages = incoming()
    (one, same), others = (draw(3), draw(3)), [draw(seed) for seed in range(5)]
    assert torch.equal(one.blocks[0].sources, same.blocks[0].sources)
    assert torch.equal(one.blocks[1].etype, same.blocks[1].etype)
    assert any(
        sent(one.entity_ids, one.blocks[0]) != sent(o.entity_ids, o.blocks[0]) for o in others
    )


def test_draws_do_not_depend_on_earlier_ones() -> None:
    used, fresh = incoming(), incoming()
    used.sample(torch.tensor([2, 5]), [2, 2])
    with pytest.raises(IndexError):
        used.sample(torch.tensor([0, NUM_ENTITIES]), [2, 2])
    found = []
    for messages in (used, fresh):
        torch.manual_seed(0)
        found.append(messages.sample(torch.tensor([6, 0]), [2, 1]))
    assert torch.equal(found[0].entity_ids, found[1].entity_ids)
    assert torch.equal(found[0].blocks[0].sources, found[1].blocks[0].sources)


@pytest.mark.parametrize("fanout", [[], [3, -2]])
def test_a_fanout_that_is_no_number_of_neighbors_is_refused(fanout: list[int]) -> None:
    with pytest.raises(InputError, match=r"^fanout: expected a number from -1 for each layer"):
        incoming().sample(torch.tensor([0]), fanout)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_pieces_hold_every_message_once(size: int) -> None:
    messages, names = incoming("code"), torch.arange(NUM_ENTITIES)
    found: Counter[tuple[float, ...]] = Counter()
    for start in range(0, len(messages), size):
        first, block = messages.piece(slice(start, start + size))
        found += sent(names, block, names[first:])
    assert found == all_of("code", names)
