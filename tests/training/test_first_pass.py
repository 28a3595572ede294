"""What a first pass shows: messages left in each step, parameters without gradient, no negative."""

import logging

import pytest
import torch

from dans.config.recipes import override
from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import DivergedError, InputError
from dans.objectives import OBJECTIVES
from dans.runs.build import build_trainer
from dans.training.batches import FullGraph, QueryBatches
from dans.training.trainer import Trainer

PLAIN = {
    "data": "toy",
    "encoder": {"name": "rgcn", "dim": 6, "bases": 2},
    "decoder": {"name": "distmult"},
    "loss": {"name": "logistic"},
    "sampler": [{"name": "uniform", "k": 3}],
    "train": {"steps": 12, "validate_every": 6, "threads": 1},
}


def trainer(kg: KnowledgeGraph, *changes: str) -> Trainer:
    return build_trainer(RunConfig.parse(override(PLAIN, list(changes))), kg, None, OBJECTIVES)


def ring(size: int) -> KnowledgeGraph:
    """``size`` triples of one relation, with one of them for validation."""
    names = [f"e{i}" for i in range(size // 2 + 3)]
    pairs = [
        (names[i], names[(i * i + 1 + i // len(names)) % len(names)]) for i in range(len(names))
    ]
    pairs += [(b, a) for a, b in pairs]
    train = [(head, "next", tail) for head, tail in dict.fromkeys(pairs)][:size]
    return KnowledgeGraph.of(train, train[:1], train[:1], name="ring")


@pytest.mark.parametrize("size", [10, 100, 1000])
def test_default_batch_leaves_three_quarters_of_the_messages(
    size: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    kg = ring(size)
    small = trainer(kg)
    before = {name: value.clone() for name, value in small.model.named_parameters()}
    small.fit(12)
    shares = small.batch_encoder.statistics() or {"message_share": 1.0}
    assert shares["message_share"] >= 0.75
    assert {
        name for name, value in small.model.named_parameters() if value.equal(before[name])
    } == set()
    assert "got no gradient" not in caplog.text
    said = f"a batch has at most {len(kg.train) // 4} of the {len(kg.train)} training"
    # No warning: a user who named no batch has nothing to mend.
    assert [one.levelname for one in caplog.records if said in one.message] == ["INFO"]


def test_share_of_messages_is_in_the_metrics() -> None:
    seen = []
    small = trainer(ring(100), "graph.hold_out_share=0.5", "train.batch=7")
    small.step()
    seen.append(small.batch_encoder.statistics())
    assert seen == [{"message_share": pytest.approx(1 - 7 / len(small.kg.train))}]
    assert small.batch_encoder.statistics() == {}


def test_parameters_without_a_gradient_are_named(caplog: pytest.LogCaptureFixture) -> None:
    kg = ring(20)
    trainer(kg, "graph.hold_out_share=1.0", "train.batch=1000").fit(2)
    warned = [
        line for line in caplog.messages if line.endswith("got no gradient in the first step")
    ]
    assert {line.split()[0] for line in warned} >= {"encoder.layers.0.matrices"}, warned


def test_batches_of_queries_hold_out_no_more_than_their_share() -> None:
    # One query has eight answers, more than a batch may hold.
    train = [("a", "r", f"b{i}") for i in range(8)] + [(f"c{i}", "s", "d") for i in range(3)]
    kg = KnowledgeGraph.of(train)
    batches = QueryBatches(kg.train, 1000, most=3)
    seen: list[int] = []
    while len(seen) < 2 * len(kg.train):
        rows = batches.next()
        assert 1 <= len(rows) <= 3
        seen += rows.tolist()
    assert sorted(seen) == list(range(2 * len(kg.train)))
    assert len(batches) >= 2 * len(kg.train) / 3


def test_repeated_line_sends_no_message_while_its_twin_is_scored() -> None:
    kg = KnowledgeGraph.of([("a", "r", "b"), ("b", "r", "c"), ("a", "r", "b")])
    source = FullGraph(kg.train, kg.messages("relation"), hold_out=True)
    left = source.messages_for(torch.tensor([0]))
    assert kg.train[left.triple_ids].tolist() == [[1, 0, 2]] * 2


@pytest.mark.parametrize("rate", [1e6, 1e3])
def test_explosion_before_the_first_validation_ends_training(rate: float) -> None:
    with pytest.raises(
        DivergedError, match=r"step \d+: \w+ is (nan|.* more than 1e\+06 times what it was)"
    ):
        trainer(ring(100), f"train.lr={rate:g}", "train.steps=300", "train.validate_every=300").fit(
            300
        )


def test_training_without_one_valid_negative_is_refused() -> None:
    # Every triple of the two entities is known.
    train = [(a, "r", b) for a in "ab" for b in "ab"]
    kg = KnowledgeGraph.of(train)
    for sampler in ("uniform", "bernoulli", "nscaching"):
        plain = {**PLAIN, "sampler": [{"name": sampler, "filter": "mask"}]}
        given = build_trainer(RunConfig.parse(plain), kg, None, OBJECTIVES)
        with pytest.raises(InputError, match=r"sampler: not one negative of the first \d+ steps"):
            given.fit(12)


def test_holding_out_may_be_turned_off_and_its_share_is_refused_then() -> None:
    whole = trainer(ring(100), "graph.hold_out=false")
    whole.step()
    assert whole.batch_encoder.most is None
    with pytest.raises(InputError, match=r"hold_out_share: has no effect without graph.hold_out"):
        trainer(ring(100), "graph.hold_out=false", "graph.hold_out_share=0.5")
