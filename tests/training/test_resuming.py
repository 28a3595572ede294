"""A run that was stopped ends as one never stopped, to the bit; or is refused."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.runs.build import build_trainer
from dans.samplers import SAMPLERS
from dans.training.run_folder import RunFolder
from dans.training.trainer import Trainer
from tests.suites.samplers import listing
from tests.suites.states import states_equal
from tests.suites.trainers import PLAIN, pooled, trainer, without_clock
from tests.training.test_schedules import PLATEAU


def halfway(make: Callable[[RunFolder | None], Trainer], folder: Path) -> Trainer:
    """A trainer resumed at step 3 of one that was stopped, under another random state."""
    first = make(RunFolder(folder))
    first.fit(3)
    torch.manual_seed(12345)
    second = make(None)
    second.restore(RunFolder(folder).checkpoints.load("last"))
    assert states_equal(without_clock(second.state()), without_clock(first.state()))
    return second


def assert_ends_like_one_never_stopped(
    second: Trainer, make: Callable[[RunFolder | None], Trainer]
) -> None:
    second.fit(6)
    whole = make(None)
    whole.fit(6)
    assert states_equal(without_clock(second.state()), without_clock(whole.state()))


@pytest.mark.parametrize("preset", ["paper", "published", "dans"])
@pytest.mark.parametrize("decoder", ["distmult", "complex", "rotate"])
def test_resumed_run_equals_one_never_stopped(
    kg: KnowledgeGraph, tmp_path: Path, preset: str, decoder: str
) -> None:
    def make(run: RunFolder | None) -> Trainer:
        named = f"decoder.name={decoder}"
        if preset == "published":
            return trainer(kg, named, run=run, published=True)
        return trainer(kg, named, f"sampler.0.preset={preset}", run=run)

    assert_ends_like_one_never_stopped(halfway(make, tmp_path), make)


@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_layers_with_a_skip_and_a_learning_rate_of_their_own_resume(
    kg: KnowledgeGraph, tmp_path: Path, optimizer: str
) -> None:
    def make(run: RunFolder | None) -> Trainer:
        changes = ("encoder.skip=true", "train.layer_lr=0.1", f"train.optimizer={optimizer}")
        return trainer(kg, "sampler.0.preset=paper", *changes, run=run)

    assert_ends_like_one_never_stopped(halfway(make, tmp_path), make)


#: Options small enough for the toy graph, and chosen so that what changes at some step does so.
SMALL: dict[str, dict[str, object]] = {
    "dans": {"k": 2},
    "igan": {"pretrain": 4},
    "kbgan": {"candidates": 3, "pretrain": 4},
    "nscaching": {"size": 3, "fresh": 3, "lazy": 1},
}


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_resumed_run_equals_one_never_stopped_with_every_sampler(
    name: str, kg: KnowledgeGraph, tmp_path: Path
) -> None:
    own = {"file": listing(kg, tmp_path)} if name == "listed" else {}
    plain = {**PLAIN, "sampler": [{"name": name, "k": 3, **own, **SMALL.get(name, {})}]}

    def made() -> Trainer:
        return build_trainer(RunConfig.parse(plain), kg, None)

    whole = made()
    whole.fit(6)
    first = made()
    start = deepcopy(first.state())
    first.fit(3)
    middle = deepcopy(first.state())
    second = made()
    torch.manual_seed(12345)
    second.restore(middle)
    assert states_equal(second.state(), middle)
    second.fit(6)

    assert states_equal(without_clock(second.state()), without_clock(whole.state()))
    # What a sampler keeps is in the checkpoint: it changed, and came back.
    changed = not states_equal(middle["objective"], start["objective"])
    assert changed == SAMPLERS[name].adaptive


def test_a_run_that_goes_on_from_its_start_is_not_evaluated_there_again(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    trainer(kg, run=RunFolder(tmp_path)).fit(0)
    second = trainer(kg, run=RunFolder(tmp_path))
    second.restore(RunFolder(tmp_path).checkpoints.load("last"))
    second.fit(6)
    assert [line["step"] for line in RunFolder(tmp_path).metrics.read()] == [0, 3, 6]


def test_checkpoint_of_another_configuration_is_refused_in_a_sentence(kg: KnowledgeGraph) -> None:
    state = trainer(kg, "encoder.dim=8").state()
    with pytest.raises(
        InputError, match=r"checkpoint: model: encoder.entities.weight is "
    ) as caught:
        trainer(kg).restore(state)
    assert "\n" not in str(caught.value)


def test_checkpoint_of_other_triples_is_refused(kg: KnowledgeGraph) -> None:
    other = KnowledgeGraph.of(train=[("a", "r", "b")] * 3, name="other")
    state = trainer(kg).state()
    with pytest.raises(InputError, match="made for other triples"):
        trainer(other).restore(state)


@pytest.mark.parametrize("batch_by", ["triples", "queries"])
@pytest.mark.parametrize("optimizer", ["adam", "adagrad", "lazy_adam"])
def test_resumed_run_equals_one_never_stopped_with_every_optimizer(
    optimizer: str, batch_by: str, kg: KnowledgeGraph, tmp_path: Path
) -> None:
    changes = [f"train.optimizer={optimizer}", f"train.batch_by={batch_by}"]

    def make(run: RunFolder | None) -> Trainer:
        return pooled(kg, *changes, run=run)

    assert_ends_like_one_never_stopped(halfway(make, tmp_path), make)


def test_plateau_is_kept_by_checkpoints(kg: KnowledgeGraph, tmp_path: Path) -> None:
    # Triples against entities of any kind, known answers too: nothing is gained by that.
    def make(run: RunFolder | None) -> Trainer:
        return pooled(kg, *PLATEAU, "train.validate_every=1", run=run)

    second = halfway(make, tmp_path)
    assert second.plateau.state() == {"factor": 0.5, "waited": 1}
    assert_ends_like_one_never_stopped(second, make)


def test_checkpoints_from_before_there_was_a_plateau_are_read(kg: KnowledgeGraph) -> None:
    old = trainer(kg).state()
    del old["plateau"]
    later = trainer(kg)
    later.plateau.restore({"factor": 0.5, "waited": 3})
    later.restore(old)
    assert later.plateau.state() == {"factor": 1, "waited": 0}
