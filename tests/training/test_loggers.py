"""What a run logs: every number, under one name, at its step, once."""

import json
import logging
import os
import re
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import Any

import pandas
import pytest

from dans.errors import InputError, install_command
from dans.runs.train import train
from dans.training import loggers
from dans.training.loggers import Logger, Record, check_loggers
from dans.training.run_folder import RunFolder
from tests.processes import run as run_script
from tests.suites.toy import FACTS, RECIPE
from tests.training.test_run_folder import CONFIG

#: MLflow maps its tables in a way that the newest SQLAlchemy calls outdated.
MLFLOW_WARNS = "ignore:The ``noload`` loader strategy is deprecated"


def trained(
    folder: Path, steps: Sequence[int], names: Sequence[str] = (), *, finished: bool = True
) -> RunFolder:
    """A run, or its continuing, that records something at some steps."""
    run = RunFolder(folder)
    folder.mkdir(exist_ok=True)
    run.metrics.start(names, CONFIG.plain())
    for step in steps:
        terms = {"train": {"loss": 1.5}} if step else {}
        both = {"mrr": step / 8, "hits@1": 0.0}
        run.metrics.record(step, "valid", {"both": both, "note": "kept", **terms})
    run.metrics.close(finished=finished)
    return run


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in tags}


def test_numbers_reach_tensorboard(tmp_path: Path) -> None:
    trained(tmp_path, [0, 4])
    found = scalars(tmp_path)
    assert found["valid/both/mrr"] == [(0, 0.0), (4, 0.5)]
    assert found["valid/train/loss"] == [(4, 1.5)]


def test_tensorboard_is_exact_when_a_killed_run_resumes(tmp_path: Path) -> None:
    trained(tmp_path, [0, 2])
    # Killed between metrics.jsonl and the loggers, which have no step 4.
    RunFolder(tmp_path).metrics.record(4, "valid", {"both": {"mrr": 0.5}})
    run = trained(tmp_path, [6])
    run.metrics.rewind(4)
    trained(tmp_path, [8])
    assert scalars(tmp_path)["valid/both/mrr"] == [(0, 0.0), (2, 0.25), (4, 0.5), (8, 1.0)]


def test_full_disk_stops_tensorboard_and_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = trained(tmp_path, [0])
    run.metrics.start((), CONFIG.plain())
    path = run.metrics.loggers["tensorboard"].path  # type: ignore[attr-defined]
    path.unlink()
    # A device of the system that is always full.
    path.symlink_to("/dev/full")
    for step in (4, 8):
        run.metrics.record(step, "valid", {"both": {"mrr": step / 8}})
    run.metrics.close()
    assert [row["step"] for row in table(tmp_path)] == [0, 4, 8]
    assert caplog.messages == [
        f"logger: tensorboard failed, and training continues without it: {path}: No space left on "
        "device"
    ]


def test_folder_of_events_that_cannot_be_made_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "tensorboard").touch()
    assert len(trained(tmp_path, [0, 4]).metrics.read()) == 2
    assert f"continues without it: {tmp_path}/tensorboard: File exists" in caplog.text


def table(folder: Path) -> list[dict[str, Any]]:
    """``metrics.csv`` as pandas reads it, without the empty cells."""
    frame = pandas.read_csv(folder / "metrics.csv")
    return [
        {key: value for key, value in row.items() if not pandas.isna(value)}
        for row in frame.to_dict("records")
    ]


def flat_lines(run: RunFolder) -> list[dict[str, Any]]:
    records = [Record.of(line) for line in run.metrics.read()]
    return [{"step": one.step, "event": one.event, **one.numbers} for one in records]


def test_csv_has_the_numbers_of_the_lines_though_columns_join_later(tmp_path: Path) -> None:
    run = trained(tmp_path, [0, 4, 8])
    assert table(tmp_path) == flat_lines(run)
    assert (tmp_path / "metrics.csv").read_text() == (
        "step,event,both/mrr,both/hits@1,train/loss\n"
        "0,valid,0.0,0.0,\n4,valid,0.5,0.0,1.5\n8,valid,1.0,0.0,1.5\n"
    )


def test_csv_is_written_anew_when_a_run_resumes(tmp_path: Path) -> None:
    run = trained(tmp_path, [0, 2, 4])
    run.metrics.rewind(2)
    # Killed between the two files, and by something that wrote half a line.
    RunFolder(tmp_path).metrics.record(3, "valid", {"new": 1.0})
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("5,val")
    trained(tmp_path, [])
    assert [row["step"] for row in table(tmp_path)] == [0, 2, 3]
    assert table(tmp_path) == flat_lines(run)


def test_a_reader_of_csv_never_finds_half_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tmp_path, [0, 2])
    before = (tmp_path / "metrics.csv").read_bytes()
    run.metrics.start((), CONFIG.plain())

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        run.metrics.record(4, "valid", {"more": 1.0})
    assert (tmp_path / "metrics.csv").read_bytes() == before
    run.metrics.loggers.clear()


def test_values_that_are_not_numbers_are_left_out(tmp_path: Path) -> None:
    run = trained(tmp_path, [])
    run.metrics.start((), CONFIG.plain())
    run.metrics.record(1, "valid", {"a": float("inf"), "b": 0.1, "c": [1, 2], "d,e": 3, "f": None})
    run.metrics.close()
    assert table(tmp_path) == [
        {"step": 1, "event": "valid", "a": float("inf"), "b": 0.1, "d,e": 3.0}
    ]


@pytest.fixture
def mlflow_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """MLflow's client on a store of plain files, which is quick to make."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    return MlflowClient()


def logged(client: Any, folder: Path, name: str = "valid/both/mrr") -> list[tuple[int, float]]:
    run = json.loads((folder / "mlflow.json").read_text())["id"]
    return [(one.step, one.value) for one in client.get_metric_history(run, name)]


def test_mlflow_gets_options_and_numbers(tmp_path: Path, mlflow_files: Any) -> None:
    folder = tmp_path / "run"
    trained(folder, [0, 4], ["mlflow"])
    (run,) = mlflow_files.search_runs([mlflow_files.get_experiment_by_name("dans").experiment_id])
    assert run.data.params["sampler.0.name"] == "uniform"
    assert run.data.params["train.steps"] == "5"
    assert run.info.run_name == str(folder)
    assert run.info.status == "FINISHED"
    assert logged(mlflow_files, folder) == [(0, 0.0), (4, 0.5)]
    assert logged(mlflow_files, folder, "valid/train/loss") == [(4, 1.5)]
    assert logged(mlflow_files, folder, "valid/both/hits_at_1") == [(0, 0.0), (4, 0.0)]


def test_resumed_run_continues_in_mlflow(tmp_path: Path, mlflow_files: Any) -> None:
    folder = tmp_path / "run"
    trained(folder, [0, 2], ["mlflow"], finished=False)
    identity = json.loads((folder / "mlflow.json").read_text())["id"]
    assert mlflow_files.get_run(identity).info.status == "KILLED"
    trained(folder, [4], ["mlflow"])
    assert logged(mlflow_files, folder) == [(0, 0.0), (2, 0.25), (4, 0.5)]
    assert mlflow_files.get_run(identity).info.status == "FINISHED"


def test_run_that_mlflow_has_lost_is_logged_anew(
    tmp_path: Path, mlflow_files: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    trained(folder, [0, 2], ["mlflow"])
    before = json.loads((folder / "mlflow.json").read_text())["id"]
    mlflow_files.delete_run(before)
    trained(folder, [4], ["mlflow"])
    assert "starting another run" in caplog.text
    assert json.loads((folder / "mlflow.json").read_text())["id"] != before
    assert [step for step, _ in logged(mlflow_files, folder)] == [0, 2, 4]


@pytest.mark.slow
@pytest.mark.filterwarnings(MLFLOW_WARNS)
def test_mlflow_keeps_its_default_store_where_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    from mlflow import MlflowClient

    trained(tmp_path / "run", [0, 4], ["mlflow"], finished=False)
    trained(tmp_path / "run", [6], ["mlflow"])
    assert (tmp_path / "mlflow.db").exists()
    assert logged(MlflowClient(), tmp_path / "run") == [(0, 0.0), (4, 0.5), (6, 0.75)]


def test_server_that_is_gone_does_not_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = trained(tmp_path, [0, 4], ["mlflow"])
    assert [line["step"] for line in run.metrics.read()] == [0, 4]
    (record,) = [one for one in caplog.records if one.name == loggers.__name__]
    assert record.levelno == logging.WARNING
    assert record.message.startswith("logger: mlflow failed, and training continues without it: ")
    assert "\n" not in record.message


@pytest.mark.parametrize("moment", ["start", "log", "close"])
def test_logger_that_fails_is_dropped(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    class Failing(Logger):
        def start(self, config: Mapping[str, Any], past: Sequence[Record]) -> None:
            self.call("start")

        def log(self, record: Record) -> None:
            self.call("log")

        def close(self, *, finished: bool) -> None:
            self.call("close")

        def call(self, name: str) -> None:
            calls.append(name)
            if name == moment:
                raise RuntimeError("the line\nis dead")

    monkeypatch.setitem(loggers.LOGGERS, "failing", Failing)
    run = trained(tmp_path, [0, 4], ["failing"])
    assert len(run.metrics.read()) == 2
    assert calls == ["start", "log", "log", "close"][: len(calls)]
    assert calls[-1] == moment
    assert calls.count(moment) == 1
    assert caplog.messages == [
        "logger: failing failed, and training continues without it: the line is dead"
    ]


def wandb_records(path: Path) -> Iterator[Any]:
    """The records of a ``.wandb`` file: LevelDB's log, blocks of 32 KB, a protobuf each."""
    from wandb.proto.wandb_internal_pb2 import Record as Written

    content, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack("<xxxxHB", content[place : place + 7])
        if place + 7 + length > len(content):  # still being written
            return
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # all of a record, or its last part
            record = Written()
            record.ParseFromString(whole)
            whole = b""
            yield record


@pytest.mark.slow
def test_wandb_writes_offline_and_keeps_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    trained(tmp_path, [0, 4], ["wandb"], finished=False)
    trained(tmp_path, [6], ["wandb"])
    identity = json.loads((tmp_path / "wandb.json").read_text())["id"]
    files = sorted(tmp_path.glob(f"wandb/offline-run-*/run-{identity}.wandb"), key=os.path.getmtime)
    # Its own process writes them; on a busy machine it may end after ours has told it to.
    for _ in range(300):
        records = list(wandb_records(files[-1]))
        if any(one.HasField("exit") for one in records):
            break
        time.sleep(0.1)
    (run,) = [one.run for one in records if one.HasField("run")]
    assert (run.run_id, run.project) == (identity, "dans")
    config = {one.key: json.loads(one.value_json) for one in run.config.update}
    assert config["train"]["steps"] == 5
    assert config["sampler"] == [{"name": "uniform"}]
    rows = [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in row.item}
        for row in (one.history for one in records if one.HasField("history"))
    ]
    assert [row["_step"] for row in rows] == [0, 4, 6]
    assert [row["valid/both/mrr"] for row in rows] == [0.0, 0.5, 0.75]
    assert [row["valid/both/hits@1"] for row in rows] == [0.0, 0.0, 0.0]
    assert "valid/train/loss" not in rows[0]


def test_wandb_may_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    trained(tmp_path, [0, 4], ["wandb"])
    assert not (tmp_path / "wandb").exists()


@pytest.mark.parametrize("name", loggers.OPTIONAL)
def test_missing_library_is_named_with_what_brings_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=f"logger: {name}: .* " + re.escape(install_command(name))):
        check_loggers([name])
    check_loggers(["csv", "tensorboard"])


def test_every_extra_that_is_named_is_there() -> None:
    for name in loggers.OPTIONAL:
        needs = loggers.LOGGERS[name].needs
        assert needs, f"{name} is optional: what does it need?"
        assert util.find_spec(needs) is not None, "the tests need it"


def test_unknown_logger_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"logger: unknown name 'mlfow'; known: csv, mlflow, "):
        train(CONFIG, tmp_path / "run", loggers=["mlfow"])
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_training_that_resumes_is_one_run_of_mlflow(tmp_path: Path, mlflow_files: Any) -> None:
    (tmp_path / "triples").mkdir()
    for split, triples in FACTS.items():
        (tmp_path / "triples" / f"{split}.tsv").write_text("\n".join(triples) + "\n")
    (tmp_path / "own.toml").write_text(RECIPE.format(data=tmp_path / "triples"))
    options = ["pretrain_rgcn.py", "--recipe", "own.toml", "--out", "run", "--track", "mlflow"]
    resumed = ["--resume", "--set", "train.steps=8"]
    for more, said in (([], ""), (resumed, "run: continues from step 4 of 8\n")):
        done = run_script(*options, *more, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, said)
    assert [step for step, _ in logged(mlflow_files, tmp_path / "run")] == [0, 2, 4, 6, 8]
    assert table(tmp_path / "run") == flat_lines(RunFolder(tmp_path / "run"))
    experiment = mlflow_files.get_experiment_by_name("dans").experiment_id
    assert len(mlflow_files.search_runs([experiment])) == 1
