"""Batches cover every triple or query; held-out triples carry no message; rows are as asked for."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.data.message_graph import MessageGraph
from dans.errors import InputError
from dans.models import ENCODERS
from dans.models.batch import Proposal
from dans.models.decoders import DistMult
from dans.models.encoders import Encoder, Lookup
from dans.models.model import Model
from dans.registry import build
from dans.training.batches import Batches, FullGraph, QueryBatches


def test_every_row_comes_once_in_a_pass() -> None:
    batches = Batches(10, 4)
    rows = [batches.next() for _ in range(3)]
    assert [len(part) for part in rows] == [4, 4, 2]
    assert torch.cat(rows).sort().values.tolist() == list(range(10))


def test_passes_differ() -> None:
    batches = Batches(50, 50)
    assert batches.next().tolist() != batches.next().tolist()


def test_batch_larger_than_the_graph_takes_all_of_it() -> None:
    assert len(Batches(5, 30_000).next()) == 5


def test_batches_go_on_where_they_stopped() -> None:
    batches, other = Batches(10, 4), Batches(10, 4)
    batches.next()
    other.restore(batches.state())
    assert torch.equal(batches.next(), other.next())


def test_held_out_triples_carry_no_message(kg: KnowledgeGraph) -> None:
    source = FullGraph(kg.train, kg.messages("relation"), hold_out=True)
    rows = torch.tensor([0, 3])
    triples = source.messages_for(rows).triple_ids
    assert not set(triples.tolist()) & {0, 3}
    assert len(triples) == 2 * (len(kg.train) - 2)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_fresh_share_carries_messages(kg: KnowledgeGraph, share: float) -> None:
    source = FullGraph(kg.train, kg.messages("relation"), sample=share, hold_out=False)
    drawn = [set(source.messages_for(torch.arange(1)).triple_ids.tolist()) for _ in range(8)]
    assert {len(triples) for triples in drawn} == {round(share * len(kg.train))}
    assert len({frozenset(triples) for triples in drawn}) > 1


def test_whole_graph_is_used_as_it_is(kg: KnowledgeGraph) -> None:
    messages = kg.messages("relation")
    source = FullGraph(kg.train, messages, sample=1.0, hold_out=False)
    assert source.messages_for(torch.arange(3)) is messages


def test_positives_are_the_rows_asked_for(kg: KnowledgeGraph) -> None:
    encoder = ENCODERS["rgcn"](kg.num_entities, kg.num_relations, 4)
    model = Model(encoder, DistMult(kg.num_relations, 4))
    rows = torch.tensor([2, 0])
    source = FullGraph(kg.train, kg.messages("relation"))
    positives = source.positives(model, rows)
    assert torch.equal(positives.triples, kg.train[rows])
    assert positives.entities.requires_grad
    assert not source.entities(model).requires_grad


def answered(kg: KnowledgeGraph, rows: Tensor) -> list[tuple[tuple[int, ...], int]]:
    """The query that each row asks, (?, r, t) marked by its first number, and its answer."""
    f = len(kg.train)
    triples = [(row >= f, *kg.train[row % f].tolist()) for row in rows.tolist()]
    return [((1, r, t), h) if head else ((0, h, r), t) for head, h, r, t in triples]


def test_a_pass_asks_every_query_once_with_all_its_triples(kg: KnowledgeGraph) -> None:
    batches = QueryBatches(kg.train, 4)
    passes = [batches.next() for _ in range(len(batches))]
    assert torch.cat(passes).sort().values.tolist() == list(range(2 * len(kg.train)))
    queried = [{query for query, _ in answered(kg, rows)} for rows in passes]
    triples = kg.train.tolist()
    queries = {(0, h, r) for h, r, _ in triples} | {(1, r, t) for _, r, t in triples}
    # Every batch has as many as it takes, and no query is in two of them.
    assert [len(batch) for batch in queried] == [4] * (len(queries) // 4) + [len(queries) % 4]
    assert set().union(*queried) == queries
    assert sum(map(len, queried)) == len(queries) == batches.rows


def test_triples_of_one_query_lie_side_by_side(kg: KnowledgeGraph) -> None:
    batches = QueryBatches(kg.train, 5)
    for _ in range(len(batches)):
        queried = [query for query, _ in answered(kg, batches.next())]
        changes = 1 + sum(a != b for a, b in pairwise(queried))
        assert changes == len(set(queried))


def test_passes_ask_in_another_order(kg: KnowledgeGraph) -> None:
    batches = QueryBatches(kg.train, 1000)
    one, two = batches.next(), batches.next()
    assert len(one) == len(two) == 2 * len(kg.train)
    assert one.tolist() != two.tolist()


def test_queries_go_on_where_they_stopped(kg: KnowledgeGraph) -> None:
    batches, other = QueryBatches(kg.train, 4), QueryBatches(kg.train, 4)
    batches.next()
    other.restore(batches.state())
    for _ in range(len(batches) - 1):
        assert torch.equal(batches.next(), other.next())


def test_rows_beyond_the_triples_are_the_same_triples(kg: KnowledgeGraph) -> None:
    source = FullGraph(kg.train, kg.messages("relation"))
    f = len(kg.train)
    assert torch.equal(source.triples(torch.tensor([3, f + 3, 2 * f - 1])), kg.train[[3, 3, f - 1]])


def test_held_out_queries_carry_no_message(kg: KnowledgeGraph) -> None:
    source = FullGraph(kg.train, kg.messages("relation"), hold_out=True)
    triples = source.messages_for(torch.tensor([0, len(kg.train) + 3])).triple_ids
    assert not set(triples.tolist()) & {0, 3}
    assert len(triples) == 2 * (len(kg.train) - 2)


def model_of(name: str, kg: KnowledgeGraph) -> Model:
    encoder = build(
        ENCODERS,
        name,
        where="encoder",
        given={"dim": 4, "dropout": 0.0},
        num_entities=kg.num_entities,
        num_relations=kg.num_relations,
    )
    return Model(encoder, DistMult(kg.num_relations, 4, bound=2.0))


ROWS, WANTED = torch.tensor([2, 0, 9]), torch.tensor([5, 1, 5, 0])
PROPOSAL = Proposal(shared=WANTED)


@pytest.mark.parametrize("name", sorted(ENCODERS))
@pytest.mark.parametrize("sparse", [False, True])
def test_wanted_rows_are_the_right_vectors(name: str, sparse: bool, kg: KnowledgeGraph) -> None:
    model = model_of(name, kg)
    source = FullGraph(kg.train, kg.messages("relation"), hold_out=False, sparse=sparse)
    some, whole = source.positives(model, ROWS, PROPOSAL), source.positives(model, ROWS)
    ends = kg.train[ROWS][:, [0, 2]]
    assert some.entity_ids is not None
    assert whole.entity_ids is None
    assert len(some.entities) == len(set(ends.flatten().tolist()) | set(WANTED.tolist()))
    torch.testing.assert_close(some.embed(WANTED), whole.entities[WANTED])
    torch.testing.assert_close(some.embed(ends), whole.entities[ends])
    assert torch.equal(some.triples, whole.triples)
    for part in ("h", "r", "t", "tail_query", "head_query"):
        torch.testing.assert_close(getattr(some, part), getattr(whole, part))


@pytest.mark.parametrize("name", sorted(ENCODERS))
@pytest.mark.parametrize("sparse", [False, True])
def test_a_loss_over_wanted_rows_is_that_over_all_entities(
    name: str, sparse: bool, kg: KnowledgeGraph
) -> None:
    model = model_of(name, kg)
    source = FullGraph(kg.train, kg.messages("relation"), hold_out=False, sparse=sparse)

    def loss_and_gradients(proposal: Proposal | None) -> tuple[Tensor, list[Tensor | None]]:
        positives = source.positives(model, ROWS, proposal)
        negatives = model.decoder.score_all(positives.tail_query, positives.embed(WANTED))
        loss = (negatives - positives.scores()).exp().sum()
        model.zero_grad()
        loss.backward()
        return loss, [p.grad for p in model.parameters()]

    (one, some), (other, whole) = loss_and_gradients(PROPOSAL), loss_and_gradients(None)
    torch.testing.assert_close(one, other)
    for a, b in zip(some, whole, strict=True):
        assert a is not None
        assert b is not None
        torch.testing.assert_close(a.to_dense() if a.is_sparse else a, b, rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_rows_wanted_and_no_others(kg: KnowledgeGraph) -> None:
    model = model_of("lookup", kg)
    assert isinstance(model.encoder, Lookup)
    source = FullGraph(kg.train, kg.messages("relation"), sparse=True)
    source.positives(model, ROWS, PROPOSAL).entities.sum().backward()
    grad = model.encoder.entities.weight.grad
    assert grad is not None
    assert grad.is_sparse
    reached = set(kg.train[ROWS][:, [0, 2]].flatten().tolist()) | set(WANTED.tolist())
    assert len(reached) < kg.num_entities
    assert grad._indices()[0].tolist() == sorted(reached)


def test_gradients_are_dense_unless_told(kg: KnowledgeGraph) -> None:
    model = model_of("lookup", kg)
    assert isinstance(model.encoder, Lookup)
    FullGraph(kg.train, kg.messages("relation")).positives(
        model, ROWS, PROPOSAL
    ).entities.sum().backward()
    grad = model.encoder.entities.weight.grad
    assert grad is not None
    assert not grad.is_sparse


def test_nothing_wanted_leaves_the_triples_alone(kg: KnowledgeGraph) -> None:
    source = FullGraph(kg.train, kg.messages("relation"))
    positives = source.positives(model_of("lookup", kg), ROWS, Proposal())
    assert len(positives.entities) == len(kg.train[ROWS][:, [0, 2]].unique())


@pytest.mark.parametrize("proposal", [None, PROPOSAL])
def test_an_encoder_without_messages_costs_no_message_graph(
    proposal: Proposal | None, kg: KnowledgeGraph
) -> None:
    messages = kg.messages("relation")
    source = FullGraph(kg.train, messages, sample=0.5, hold_out=True)
    assert source.messages_for(ROWS, uses_graph=False) is messages
    used: list[MessageGraph] = []

    def note(encoder: Encoder, given: tuple[MessageGraph, ...]) -> None:
        used.append(given[0])

    lookup, rgcn = model_of("lookup", kg), model_of("rgcn", kg)
    rgcn.encoder.register_forward_pre_hook(note)
    before = torch.get_rng_state()
    source.positives(lookup, ROWS, proposal)
    assert torch.equal(torch.get_rng_state(), before)
    source.positives(rgcn, ROWS, proposal)
    assert len(used) == 1
    assert not set(used[0].triple_ids.tolist()) & set(ROWS.tolist())
    assert 0 < len(used[0].triple_ids) <= len(kg.train)


def batches_by(kind: str, rows: int = 60) -> Batches:
    triples = torch.randint(4, (rows, 3), generator=torch.Generator().manual_seed(0))
    if kind == "queries":
        return QueryBatches(triples, 3, most=8)
    return Batches(rows, 7)


@pytest.mark.parametrize("kind", ["triples", "queries"])
@pytest.mark.parametrize("steps", [0, 1, 5, 9])
def test_a_pass_resumes_from_what_it_was_drawn_from(kind: str, steps: int) -> None:
    torch.manual_seed(1)
    one, other = batches_by(kind), batches_by(kind)
    for _ in range(steps):
        one.next()
    kept, random = one.state(), torch.get_rng_state()
    expected = [one.next() for _ in range(12)]
    torch.manual_seed(2)
    other.restore(kept)
    torch.set_rng_state(random)
    assert all(torch.equal(batch, other.next()) for batch in expected)


def test_a_pass_that_was_kept_as_an_order_goes_on() -> None:
    batches = Batches(6, 2)
    batches.restore({"order": torch.tensor([5, 0, 3])})
    assert [batches.next().tolist() for _ in range(2)] == [[5, 0], [3]]
    batches.restore({"order": torch.tensor([5, 0, 3])})
    batches.next()
    assert batches.state()["order"].tolist() == [3]


def test_the_state_of_a_pass_does_not_grow_with_its_rows() -> None:
    def size(rows: int) -> int:
        batches = Batches(rows, 10)
        batches.next()
        parts = batches.state().values()
        return sum(part.nbytes for part in parts if isinstance(part, torch.Tensor))

    assert size(10_000) == size(100)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rows": 7}, "batches.rows: 7 there, and 6 here"),
        ({"position": 9}, "batches.position: expected 0 to 6, got 9"),
        ({"position": True}, "batches.position: expected 0 to 6, got True"),
        (
            {"drawn_from": torch.zeros(3, dtype=torch.uint8)},
            "batches.drawn_from: expected a random",
        ),
    ],
)
def test_a_place_that_is_none_is_refused(change: dict[str, object], sentence: str) -> None:
    batches = Batches(6, 2)
    batches.next()
    with pytest.raises(InputError, match=sentence):
        Batches(6, 2).restore({**batches.state(), **change})
