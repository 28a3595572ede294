"""Long work says how far it is where no terminal shows it; short work says nothing."""

import logging
import re
import threading
from pathlib import Path

import pytest
import torch

from dans.data import progress
from dans.data.graph import KnowledgeGraph
from dans.data.progress import Pulse, heartbeat
from dans.evaluation.evaluator import Evaluator
from dans.models.decoders import DistMult
from dans.runs.train import configure, train
from tests.suites.toy import RECIPE, lay
from tests.suites.trainers import trainer


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A line is due whenever one is asked for."""
    monkeypatch.setattr(progress, "EVERY", 0.0)
    caplog.set_level(logging.INFO)


def test_lines_are_apart_and_none_is_due_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 31.0, 60.0, 62.0, 100.0])
    pulse = Pulse(clock=times.__next__)
    assert [pulse.due() for _ in range(3)] == [True, False, True]
    monkeypatch.setattr(progress, "on_terminal", lambda: True)
    assert not pulse.due()


@pytest.mark.usefixtures("always")
def test_training_says_its_step_and_its_best_validation(
    kg: KnowledgeGraph, caplog: pytest.LogCaptureFixture
) -> None:
    made = trainer(kg)
    made.fit(3)
    lines = [one for one in caplog.messages if re.match(r"step \d of ", one)]
    assert [line.partition(",")[0] for line in lines] == [f"step {i} of 3" for i in (1, 2, 3)]
    assert lines[0].startswith("step 1 of 3, best validation MRR 0.")
    assert lines[-1].endswith("left")


@pytest.mark.usefixtures("always")
def test_ranking_says_how_many_queries_are_done(
    kg: KnowledgeGraph, caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    decoder = DistMult(kg.num_relations, 4)
    Evaluator(kg, "test")(decoder, torch.randn(kg.num_entities, 4))
    heads, tails = caplog.messages
    assert heads.startswith("ranked 4 of 4 different head queries of test, about ")
    assert tails.startswith("ranked 4 of 4 different tail queries of test, about ")


def test_work_in_one_piece_says_that_it_still_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "EVERY", 0.001)
    said = threading.Event()

    class Signal(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.set()

    handler = Signal()
    logging.getLogger("dans").addHandler(handler)
    try:
        with heartbeat("vectors: writing"):
            assert said.wait(60)
    finally:
        logging.getLogger("dans").removeHandler(handler)
    assert caplog.messages[0].startswith("vectors: writing: still running after ")
    caplog.clear()
    monkeypatch.setattr(progress, "EVERY", 60.0)
    with heartbeat("vectors: writing"):
        pass
    assert not caplog.messages


def test_resumed_run_says_where_it_continues_and_a_finished_one_that_nothing_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lay(tmp_path / "triples")
    recipe, where = tmp_path / "own.toml", tmp_path / "run"
    recipe.write_text(RECIPE.format(data=tmp_path / "triples"))
    caplog.set_level(logging.INFO)

    def resume(*options: str) -> list[str]:
        caplog.clear()
        train(configure(recipe, list(options)), where, resume=True)
        return [one for one in caplog.messages if one.startswith(f"{where}: ")]

    assert resume() == []
    assert resume() == [f"{where}: already finished at step 4; nothing to do"]
    assert resume("train.steps=6") == [f"{where}: continues from step 4 of 6"]
    assert resume("train.steps=6") == [f"{where}: already finished at step 6; nothing to do"]


def test_run_that_stopped_improving_says_so(kg: KnowledgeGraph) -> None:
    made = trainer(kg, "train.patience=2", "train.validate_every=1")
    made.fit(50)
    assert made.done < 50, "the toy graph stops improving"
    expected = f"already finished at step {made.done}, after 2 validations without a better one"
    assert made.resumption(50) == f"{expected}; nothing to do"
