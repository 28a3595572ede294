"""The learning rate, by steps and by validations."""

import pytest

from dans.config.recipes import override
from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.runs.build import build_trainer
from dans.training.trainer import factor
from tests.suites.trainers import PLAIN, trainer


def test_learning_rate_follows_its_schedule(kg: KnowledgeGraph) -> None:
    moving = trainer(kg, "train.schedule=linear", "train.lr=0.5")
    moving.fit(3)
    assert moving.optimizers["model"].param_groups[0]["lr"] == pytest.approx(0.5 * (1 - 2 / 6))
    assert factor("constant", 5, 6) == 1


PLATEAU = ("train.schedule=plateau", "train.decay=0.5", "train.decay_patience=1")


def test_plateau_slows_down_after_too_many_validations_without_a_gain(kg: KnowledgeGraph) -> None:
    slowing = trainer(kg, *PLATEAU, "train.lr=0.25")
    factors = []
    for better in (True, False, False, False, True, False, False, False, False, True):
        slowing.plateau.update(better=better)
        factors.append(slowing.plateau.factor)
    # One without a gain is borne; the second slows down, and the count begins anew; so does a gain.
    assert factors == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    slowing.step()
    assert slowing.optimizer.param_groups[0]["lr"] == 0.25 * 0.125
    for optimizer in slowing.phase_optimizers.optimizers.values():
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.001 * 0.125)


def test_plateau_counts_the_validations_of_a_run(kg: KnowledgeGraph) -> None:
    # Nothing moves, so that no validation after the first is a gain.
    still = trainer(kg, *PLATEAU, "train.lr=0.0", "train.validate_every=1")
    still.fit(5)
    assert still.plateau.state() == {"factor": 0.25, "waited": 1}


def test_other_schedules_know_no_plateau(kg: KnowledgeGraph) -> None:
    still = trainer(kg, "train.lr=0.0", "train.validate_every=1")
    still.fit(6)
    assert still.plateau.state() == {"factor": 1, "waited": 0}


def test_plateau_needs_validation_triples(kg: KnowledgeGraph) -> None:
    blind = KnowledgeGraph.of(train=[("a", "r", "b"), ("b", "r", "c")], name="blind")
    plain = {**PLAIN, "sampler": ["uniform"]}
    with pytest.raises(InputError, match=r"train.schedule: plateau needs validation triples"):
        build_trainer(RunConfig.parse(override(plain, list(PLATEAU))), blind, None)
    build_trainer(RunConfig.parse(plain), blind, None)
