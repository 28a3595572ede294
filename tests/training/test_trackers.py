"""What a run tells others: every number, under one name, at its step, once."""

import json
import logging
import os
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import Any

import pandas
import pytest

from dans.errors import InputError
from dans.runs.train import train
from dans.training import services, trackers
from dans.training.run import Run
from dans.training.tracker import Record, Tracker
from dans.training.trackers import check_trackers
from tests.processes import run as run_script
from tests.suites.toy import FACTS, RECIPE
from tests.training.test_run import CONFIG

#: MLflow maps its tables in a way that the newest SQLAlchemy calls outdated.
MLFLOW_WARNS = "ignore:The ``noload`` loader strategy is deprecated"


def trained(
    folder: Path, steps: Sequence[int], names: Sequence[str] = (), *, finished: bool = True
) -> Run:
    """A run, or its continuing, that records something at some steps."""
    run = Run(folder)
    folder.mkdir(exist_ok=True)
    run.track(names, CONFIG)
    for step in steps:
        terms = {"train": {"loss": 1.5}} if step else {}
        both = {"mrr": step / 8, "hits@1": 0.0}
        run.record(step, "valid", {"both": both, "note": "kept", **terms})
    run.close(finished=finished)
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


def test_tensorboard_forgets_what_a_run_forgot_and_learns_what_a_kill_kept_from_it(
    tmp_path: Path,
) -> None:
    trained(tmp_path, [0, 2])
    # Killed between metrics.jsonl and the trackers: they never heard of step 4.
    Run(tmp_path).record(4, "valid", {"both": {"mrr": 0.5}})
    run = trained(tmp_path, [6])
    run.rewind(4)
    trained(tmp_path, [8])
    assert scalars(tmp_path)["valid/both/mrr"] == [(0, 0.0), (2, 0.25), (4, 0.5), (8, 1.0)]


def test_full_disk_costs_the_picture_and_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = trained(tmp_path, [0])
    run.track((), CONFIG)
    (path,) = [one.tracker.path for one in run.trackers if isinstance(one, services.Dispensable)]
    path.unlink()
    # A device of the system that is always full.
    path.symlink_to("/dev/full")
    for step in (4, 8):
        run.record(step, "valid", {"both": {"mrr": step / 8}})
    run.close()
    assert [row["step"] for row in table(tmp_path)] == [0, 4, 8]
    assert caplog.messages == [
        f"track: tensorboard failed, and training continues without it: {path}: No space left on "
        "device"
    ]


def test_folder_of_events_that_cannot_be_made_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "tensorboard").touch()
    assert len(trained(tmp_path, [0, 4]).metrics()) == 2
    assert f"continues without it: {tmp_path}/tensorboard: File exists" in caplog.text


def table(folder: Path) -> list[dict[str, Any]]:
    """``metrics.csv`` as pandas reads it, without the empty cells."""
    frame = pandas.read_csv(folder / "metrics.csv")
    return [
        {key: value for key, value in row.items() if not pandas.isna(value)}
        for row in frame.to_dict("records")
    ]


def flat_lines(run: Run) -> list[dict[str, Any]]:
    records = [Record.of(line) for line in run.metrics()]
    return [{"step": one.step, "event": one.event, **one.numbers} for one in records]


def test_csv_says_what_the_lines_say_though_numbers_join_later(tmp_path: Path) -> None:
    run = trained(tmp_path, [0, 4, 8])
    assert table(tmp_path) == flat_lines(run)
    assert (tmp_path / "metrics.csv").read_text() == (
        "step,event,both/mrr,both/hits@1,train/loss\n"
        "0,valid,0.0,0.0,\n4,valid,0.5,0.0,1.5\n8,valid,1.0,0.0,1.5\n"
    )


def test_csv_is_made_anew_when_a_run_goes_on(tmp_path: Path) -> None:
    run = trained(tmp_path, [0, 2, 4])
    run.rewind(2)
    # Killed between the two files, and by something that wrote half a line.
    Run(tmp_path).record(3, "valid", {"new": 1.0})
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
    run.track((), CONFIG)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        run.record(4, "valid", {"more": 1.0})
    assert (tmp_path / "metrics.csv").read_bytes() == before
    run.trackers.clear()


def test_figures_no_float_are_kept_out_and_odd_floats_in(tmp_path: Path) -> None:
    run = trained(tmp_path, [])
    run.track((), CONFIG)
    run.record(1, "valid", {"a": float("inf"), "b": 0.1, "c": [1, 2], "d,e": 3, "f": None})
    run.close()
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


def told(client: Any, folder: Path, name: str = "valid/both/mrr") -> list[tuple[int, float]]:
    run = json.loads((folder / "mlflow.json").read_text())["id"]
    return [(one.step, one.value) for one in client.get_metric_history(run, name)]


def test_mlflow_is_told_options_and_numbers(tmp_path: Path, mlflow_files: Any) -> None:
    folder = tmp_path / "run"
    trained(folder, [0, 4], ["mlflow"])
    (run,) = mlflow_files.search_runs([mlflow_files.get_experiment_by_name("dans").experiment_id])
    assert run.data.params["sampler.0.name"] == "uniform"
    assert run.data.params["train.steps"] == "5"
    assert run.info.run_name == str(folder)
    assert run.info.status == "FINISHED"
    assert told(mlflow_files, folder) == [(0, 0.0), (4, 0.5)]
    assert told(mlflow_files, folder, "valid/train/loss") == [(4, 1.5)]
    assert told(mlflow_files, folder, "valid/both/hits_at_1") == [(0, 0.0), (4, 0.0)]


def test_run_that_goes_on_goes_on_in_mlflow_and_nothing_is_told_twice(
    tmp_path: Path, mlflow_files: Any
) -> None:
    folder = tmp_path / "run"
    run = trained(folder, [0, 2, 4], ["mlflow"], finished=False)
    identity = (folder / "mlflow.json").read_text()
    assert mlflow_files.get_run(json.loads(identity)["id"]).info.status == "KILLED"
    run.rewind(2)
    Run(folder).record(3, "valid", {"both": {"mrr": 0.375}})
    trained(folder, [4, 6], ["mlflow"])
    assert (folder / "mlflow.json").read_text() == identity
    assert sorted(told(mlflow_files, folder)) == [(step, step / 8) for step in (0, 2, 3, 4, 6)]
    assert mlflow_files.get_run(json.loads(identity)["id"]).info.status == "FINISHED"


def test_run_that_a_kill_left_without_its_id_is_found_in_mlflow(
    tmp_path: Path, mlflow_files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(services, "_keep_id", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(folder, [], ["mlflow"])
    trained(folder, [0, 2], ["mlflow"])
    (folder / "mlflow.json").unlink()
    # One that is told something, or is another folder's, has no entity id orphan.
    trained(folder, [4], ["mlflow"])
    trained(tmp_path / "other", [0], ["mlflow"])
    experiment = mlflow_files.get_experiment_by_name("dans").experiment_id
    assert len(mlflow_files.search_runs([experiment])) == 3


def test_run_that_mlflow_has_lost_is_told_it_whole(tmp_path: Path, mlflow_files: Any) -> None:
    folder = tmp_path / "run"
    trained(folder, [0, 2], ["mlflow"])
    before = json.loads((folder / "mlflow.json").read_text())["id"]
    mlflow_files.delete_run(before)
    trained(folder, [4], ["mlflow"])
    assert json.loads((folder / "mlflow.json").read_text())["id"] != before
    assert [step for step, _ in told(mlflow_files, folder)] == [0, 2, 4]


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
    assert told(MlflowClient(), tmp_path / "run") == [(0, 0.0), (4, 0.5), (6, 0.75)]


def test_server_that_is_gone_costs_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = trained(tmp_path, [0, 4], ["mlflow"])
    assert [line["step"] for line in run.metrics()] == [0, 4]
    (record,) = [one for one in caplog.records if one.name == services.__name__]
    assert record.levelno == logging.WARNING
    assert record.message.startswith("track: mlflow failed, and training continues without it: ")
    assert "\n" not in record.message


@pytest.mark.parametrize("moment", ["begin", "record", "close"])
def test_tracker_that_fails_is_told_no_more(
    moment: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[str] = []

    class Failing(Tracker):
        def begin(self, config: Mapping[str, Any], past: Sequence[Record]) -> None:
            self.call("begin")

        def record(self, record: Record) -> None:
            self.call("record")

        def close(self, *, finished: bool) -> None:
            self.call("close")

        def call(self, name: str) -> None:
            calls.append(name)
            if name == moment:
                raise RuntimeError("the line\nis dead")

    monkeypatch.setitem(trackers.TRACKERS, "failing", Failing)
    run = trained(tmp_path, [0, 4], ["failing"])
    assert len(run.metrics()) == 2
    assert calls == ["begin", "record", "record", "close"][: len(calls)]
    assert calls[-1] == moment
    assert calls.count(moment) == 1
    assert caplog.messages == [
        "track: failing failed, and training continues without it: the line is dead"
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


@pytest.mark.parametrize("name", trackers.OPTIONAL)
def test_missing_library_is_named_with_what_brings_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=rf"track: {name}: .* pip install 'dans\[{name}\]'"):
        check_trackers([name])
    check_trackers(["csv", "tensorboard"])


def test_every_extra_that_is_named_is_there() -> None:
    for name in trackers.OPTIONAL:
        needs = trackers.TRACKERS[name].needs
        assert needs, f"{name} is optional: what does it need?"
        assert util.find_spec(needs) is not None, "the tests need it"


def test_tracker_that_is_none_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"track: unknown name 'mlfow'; known: csv, mlflow, "):
        train(CONFIG, tmp_path / "run", track=["mlfow"])
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_training_that_goes_on_is_one_run_of_mlflow(tmp_path: Path, mlflow_files: Any) -> None:
    (tmp_path / "triples").mkdir()
    for split, triples in FACTS.items():
        (tmp_path / "triples" / f"{split}.tsv").write_text("\n".join(triples) + "\n")
    (tmp_path / "own.toml").write_text(RECIPE.format(data=tmp_path / "triples"))
    options = ["pretrain_rgcn.py", "--recipe", "own.toml", "--out", "run", "--track", "mlflow"]
    for more in ([], ["--resume", "--set", "train.steps=8"]):
        done = run_script(*options, *more, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    assert [step for step, _ in told(mlflow_files, tmp_path / "run")] == [0, 2, 4, 6, 8]
    assert table(tmp_path / "run") == flat_lines(Run(tmp_path / "run"))
    experiment = mlflow_files.get_experiment_by_name("dans").experiment_id
    assert len(mlflow_files.search_runs([experiment])) == 1
