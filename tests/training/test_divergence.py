"""Never past a NaN, nor a loss that has exploded."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.batch import Positives
from dans.models.decoders import Decoder
from dans.training.callbacks import DivergenceGuard
from dans.training.run_folder import RunFolder
from dans.training.trainer import Trainer
from tests.suites.states import states_equal
from tests.suites.trainers import trainer


def test_infinite_loss_stops_before_it_spoils_a_parameter(kg: KnowledgeGraph) -> None:
    moving = trainer(kg)
    before = {k: v.clone() for k, v in moving.model.state_dict().items()}
    bad = torch.tensor(float("nan"), requires_grad=True)
    moving.objective.forward = lambda decoder, positives: {"loss": bad}  # type: ignore[method-assign]
    with pytest.raises(FloatingPointError, match="step 1: loss is nan"):
        moving.step()
    assert states_equal(moving.model.state_dict(), before)


@pytest.mark.parametrize(("wrong", "found"), [(torch.ones(2), r"\(2,\)"), (0.5, "0.5")])
def test_a_term_that_is_no_scalar_is_named(wrong: object, found: str, kg: KnowledgeGraph) -> None:
    moving = trainer(kg)
    moving.objective.forward = lambda decoder, positives: {"own": wrong}  # type: ignore
    with pytest.raises(InputError, match=f"own: expected a scalar to minimise; got {found}$"):
        moving.step()


def test_gradient_that_is_no_number_stops_before_it_spoils_a_parameter(kg: KnowledgeGraph) -> None:
    moving = trainer(kg)
    before = {k: v.clone() for k, v in moving.model.state_dict().items()}
    weight = moving.model.decoder.relation.weight

    def bad(decoder: Decoder, positives: Positives) -> dict[str, Tensor]:
        # The root of 0 is 0, and its slope is infinite.
        return {"loss": (weight * 0).sum().abs().sqrt()}

    moving.objective.forward = bad  # type: ignore[method-assign]
    with pytest.raises(FloatingPointError, match=r"step 1: the gradient is (nan|inf)"):
        moving.step()
    assert states_equal(moving.model.state_dict(), before)


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_gradient_of_a_phase_that_is_no_number_stops_likewise(
    clip: float, kg: KnowledgeGraph
) -> None:
    moving = trainer(kg, f"train.clip={clip}")
    first = moving.phase_optimizers.phases[0]
    weight = first.parameters[0]
    bad = replace(first, loss=lambda positives: (weight * 0).sum().abs().sqrt())
    moving.phase_optimizers.phases = (bad, *moving.phase_optimizers.phases[1:])
    before = {k: v.clone() for k, v in moving.objective.state_dict().items()}
    with pytest.raises(FloatingPointError, match="step 1: the gradient of entity_pathway is"):
        moving.step()
    assert states_equal(moving.objective.state_dict(), before)


def exploding(moving: Trainer, at: int, value: float) -> None:
    """Let the loss be of another size at a step; its gradient stays as it is."""
    forward = moving.objective.forward

    def scaled(decoder: Decoder, positives: Positives) -> dict[str, Tensor]:
        terms = forward(decoder, positives)
        return {**terms, "loss": terms["loss"] + value} if moving.done + 1 == at else terms

    moving.objective.forward = scaled  # type: ignore[method-assign]


def test_loss_that_explodes_stops_with_what_is_left(kg: KnowledgeGraph, tmp_path: Path) -> None:
    moving = trainer(kg, "train.validate_every=2", run=RunFolder(tmp_path))
    exploding(moving, 5, 1e9)
    left = rf"{tmp_path}/last.safetensors, of step 4; a lower learning rate may help"
    with pytest.raises(FloatingPointError, match=rf"step 5: loss is 1e\+09, more than .*{left}"):
        moving.fit(6)
    assert moving.done == 4
    # The run that continues from there knows what is too much.
    again = trainer(kg, "train.validate_every=2")
    again.restore(RunFolder(tmp_path).checkpoints.load("last"))
    exploding(again, 5, 1e9)
    with pytest.raises(FloatingPointError, match=r"step 5: loss is 1e\+09"):
        again.fit(6)


@pytest.mark.parametrize(("at", "value"), [(1, 1e9), (5, 1e5)])
def test_loss_that_is_only_large_goes_on(at: int, value: float, kg: KnowledgeGraph) -> None:
    moving = trainer(kg, "train.validate_every=2")
    exploding(moving, at, value)
    moving.fit(6)
    assert moving.done == 6


@pytest.mark.parametrize(("first", "most"), [(1e-9, 1e6), (-1.0, 1e6), (50.0, 5e7)])
def test_a_term_explodes_beyond_a_million_times_its_first_value_or_one(
    first: float, most: float
) -> None:
    guard = DivergenceGuard()
    for value in (first, 0.9 * most, -0.9 * most):
        guard.check(1, {"loss": torch.tensor(value)})
    for value in (1.1 * most, -1.1 * most):
        with pytest.raises(FloatingPointError, match=r"more than 1e\+06 times what it was first"):
            guard.check(2, {"loss": torch.tensor(value)})


def test_weights_that_are_no_numbers_reach_no_checkpoint(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    for part in ("model", "sampler"):
        (tmp_path / part).mkdir()
        moving = trainer(kg, run=RunFolder(tmp_path / part))
        moving.fit(3)
        owner = moving.model if part == "model" else moving.objective
        name, parameter = list(owner.named_parameters())[-1]
        with torch.no_grad():
            parameter.view(-1)[0] = float("nan")
        with pytest.raises(FloatingPointError, match=f"step 3: {name} of the {part} has weights"):
            moving.validate()
        last = RunFolder(tmp_path / part).checkpoints.load("last")
        where = last["model"] if part == "model" else last["objective"]
        assert all(weights.isfinite().all() for weights in where.values())
