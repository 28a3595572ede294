"""Training that ends before its end says what is left, whatever ended it."""

import errno
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.memory import NoRoomError
from dans.models.model import Model
from dans.runs.train import configure, load, train
from dans.seeding import OutOfMemory
from dans.training.checkpoint import save_state
from dans.training.loggers import CSV, TensorBoard
from dans.training.run_folder import RunFolder
from tests.suites.toy import RECIPE, lay
from tests.suites.trainers import trainer


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    lay(tmp_path / "triples")
    path = tmp_path / "own.toml"
    path.write_text(RECIPE.format(data=tmp_path / "triples"))
    return path


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("logger", [CSV, TensorBoard])
def test_interrupted_while_loggers_start(
    logger: type, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(logger, "start", raising(KeyboardInterrupt()))
        with pytest.raises(
            KeyboardInterrupt,
            match=r"in step 1; .*run has no checkpoint yet, so .* anew",
        ):
            train(configure(recipe, []), tmp_path / "run")
    train(configure(recipe, []), tmp_path / "run", resume=True)
    assert load(tmp_path / "run", which="last").step == 4


def test_table_that_cannot_be_written_ends_in_a_sentence(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "metrics.csv")
    monkeypatch.setattr(CSV, "start", raising(full))
    with pytest.raises(InputError, match=r"metrics\.csv: No space left .*has no checkpoint yet"):
        train(configure(recipe, []), tmp_path / "run")


def short_of_memory(kind: str) -> BaseException:
    return {
        "device": OutOfMemory("out of memory. Tried to allocate 20.00 GiB"),
        "host": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        "python": MemoryError(),
        "a bit": NoRoomError("memory: expected about 20 GB"),
    }[kind]


@pytest.mark.parametrize("kind", ["device", "host", "python", "a bit"])
def test_step_that_does_not_fit_says_what_is_left_and_what_helps(
    kind: str, kg: KnowledgeGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = trainer(kg, run=RunFolder(tmp_path))
    moving.fit(3)
    monkeypatch.setattr(moving, "step", raising(short_of_memory(kind)))
    left = r"the last good checkpoint is .*last\.safetensors, of step 3"
    with pytest.raises(NoRoomError, match=f"step 4: .*memory.*{left}") as caught:
        moving.fit(6)
    assert ("train.batch" in str(caught.value)) is (kind != "a bit")


def test_other_errors_stay_what_they_are(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = trainer(kg)
    monkeypatch.setattr(moving, "step", raising(RuntimeError("a defect of ours")))
    with pytest.raises(RuntimeError, match=r"^a defect of ours$"):
        moving.fit(6)


def test_vectors_that_do_not_fit_end_in_a_sentence(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(configure(recipe, []), tmp_path / "run")
    monkeypatch.setattr(Model, "embeddings", raising(OutOfMemory("out of memory")))
    with pytest.raises(InputError, match="run: encoding all entities: out of memory; a device"):
        load(tmp_path / "run")


def test_best_checkpoint_beyond_the_last_step_is_not_left_there(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between writing the best one and the last one, and resumed to fewer steps."""
    run = tmp_path / "run"
    train(configure(recipe, ["train.steps=4"]), run)
    state = RunFolder(run).checkpoints.load("last")
    save_state(RunFolder(run).checkpoints.file("best"), {**state, "step": 6})
    with pytest.raises(InputError, match=r"train\.steps: .*run is at step 6 already"):
        train(configure(recipe, ["train.steps=4"]), run, resume=True)
    train(configure(recipe, ["train.steps=6"]), run, resume=True)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"threads": 7}, r"not to the same bits as one never stopped \(threads: 7 then, 1 now\)"),
        ({"torch": "1.0"}, r"\(torch: 1\.0 then, .* now\)"),
        ({"torch": "1.0", "threads": 7}, r"torch: 1\.0 then, .*; threads: 7 then"),
        ({"cores": 99}, ""),
    ],
)
def test_run_that_goes_on_elsewhere_says_that_bits_may_differ(
    change: dict[str, Any],
    sentence: str,
    recipe: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = RunFolder(tmp_path / "run")
    train(configure(recipe, ["train.steps=2"]), run.path)
    assert torch.get_num_threads() == 1
    run.write_json("environment.json", {**run.read_json("environment.json"), **change})
    train(configure(recipe, []), run.path, resume=True)
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == bool(sentence)
    if sentence:
        assert re.search(sentence, warnings[0])
    assert run.read_json("environment.json")["threads"] == 1


def test_runs_without_an_environment_go_on_in_silence(
    recipe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(configure(recipe, ["train.steps=2"]), tmp_path / "run")
    (tmp_path / "run" / "environment.json").unlink()
    train(configure(recipe, []), tmp_path / "run", resume=True)
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]
