"""Batches cover every fact; held-out facts carry no message."""

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.models import ENCODERS
from dans.models.decoders import DistMult
from dans.models.model import Model
from dans.training.sources import Batches, WholeGraph


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


def test_held_out_facts_carry_no_message(kg: KnowledgeGraph) -> None:
    source = WholeGraph(kg.train, kg.messages("relation"), hold_out=True)
    rows = torch.tensor([0, 3])
    facts = source.messages_for(rows).facts
    assert not set(facts.tolist()) & {0, 3}
    assert len(facts) == 2 * (len(kg.train) - 2)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_fresh_share_carries_messages(kg: KnowledgeGraph, share: float) -> None:
    source = WholeGraph(kg.train, kg.messages("relation"), sample=share, hold_out=False)
    drawn = [set(source.messages_for(torch.arange(1)).facts.tolist()) for _ in range(8)]
    assert {len(facts) for facts in drawn} == {round(share * len(kg.train))}
    assert len({frozenset(facts) for facts in drawn}) > 1


def test_whole_graph_is_used_as_it_is(kg: KnowledgeGraph) -> None:
    messages = kg.messages("relation")
    source = WholeGraph(kg.train, messages, sample=1.0, hold_out=False)
    assert source.messages_for(torch.arange(3)) is messages


def test_positives_are_the_rows_asked_for(kg: KnowledgeGraph) -> None:
    encoder = ENCODERS["rgcn"](kg.num_entities, kg.num_relations, 4)
    model = Model(encoder, DistMult(kg.num_relations, 4))
    rows = torch.tensor([2, 0])
    source = WholeGraph(kg.train, kg.messages("relation"))
    positives = source.positives(model, rows)
    assert torch.equal(positives.triples, kg.train[rows])
    assert positives.entities.requires_grad
    assert not source.entities(model).requires_grad
