"""Where the numbers of a run are written: JSONL, CSV and TensorBoard always, MLflow and W&B too.

``metrics.jsonl`` is the record of a run; it, ``metrics.csv`` and the events of TensorBoard are
exact however often a run is killed and resumed. MLflow and Weights & Biases are chosen by name
(``--logger mlflow``); each needs the library that the extra of its name installs. Where one of
those or TensorBoard fails, a warning says so and training continues without it.
"""

import csv
import io
import json
import logging
import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dans.config.reading import field, flat, flat_numbers, opened, parse_json, read_object
from dans.config.writing import append, naming, opened_to_append, write_atomically
from dans.errors import InputError, install_command
from dans.registry import choose

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

log = logging.getLogger(__name__)

#: The experiment of MLflow and the project of W&B, unless an environment variable names another.
PROJECT = "dans"

#: Parts of a line of ``metrics.jsonl`` that are objects, where they are present.
OBJECTS = ("both", "heads", "tails", "classification", "train", "sampler")


@dataclass(frozen=True)
class Record:
    """The numbers of a run at a step, by path: ``both/mrr``."""

    step: int
    #: what was measured, such as ``valid``
    event: str
    numbers: dict[str, float]

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> "Record":
        """A line of ``metrics.jsonl``; values that are not numbers are left out."""
        rest = {key: value for key, value in line.items() if key not in ("step", "event")}
        return cls(line["step"], str(line.get("event", "")), flat_numbers(rest, dot="/"))

    def named(self) -> dict[str, float]:
        """The numbers with the event in their names: ``valid/both/mrr``."""
        return {f"{self.event}/{name}": value for name, value in self.numbers.items()}


class Logger(ABC):
    """Receives the configuration of a run, and then its numbers at each validation.

    Nothing is opened, and no library imported, before ``start``.
    """

    #: the library it needs beside those of ``dans``; the extra of that name installs it
    needs: ClassVar[str] = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def start(self, config: Mapping[str, Any], past: Sequence[Record]) -> None:
        """Start, or resume; ``past`` is what the run has recorded up to its checkpoint."""

    @abstractmethod
    def log(self, record: Record) -> None:
        """Write the numbers of a step."""

    def close(self, *, finished: bool) -> None:  # noqa: B027, most have nothing to close
        """Write what is buffered; the run is finished, or was stopped before its end."""


class CSV(Logger):
    """``metrics.csv``: a row for each record, a column for each number that any record has.

    Replaced whole at each record, so that a reader always finds a complete table, and written anew
    from ``metrics.jsonl`` when a run resumes. A cell is empty where a record has no such number.
    """

    def start(self, config: Mapping[str, Any], past: Sequence[Record]) -> None:
        """Write the table of the past."""
        self.records = list(past)
        self._write()

    def log(self, record: Record) -> None:
        """Write the table with one more row."""
        self.records.append(record)
        self._write()

    def _write(self) -> None:
        columns = dict.fromkeys(name for record in self.records for name in record.numbers)
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("step", "event", *columns))
        for record in self.records:
            cells = (record.numbers.get(name, "") for name in columns)
            rows.writerow((record.step, record.event, *cells))
        write_atomically(self.folder / "metrics.csv", text.getvalue().encode("utf-8"))


class TensorBoard(Logger):
    """Scalars under ``tensorboard`` in the folder of the run.

    Written by this process at once: TensorBoard's own writer is a thread, which reports a full disk
    late and by a traceback.
    """

    def start(self, config: Mapping[str, Any], past: Sequence[Record]) -> None:
        """Open a new file of events, which replaces those after the last past record.

        A kill can have lost that record and no earlier one, so it is written again.
        """
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        now = time.time_ns()
        # TensorBoard reads files in the order of their names.
        name = f"events.out.tfevents.{now // 10**9:010}.{now % 10**9:09}"
        self.path = self.folder / "tensorboard" / name
        with naming(self.path.parent):
            self.path.parent.mkdir(exist_ok=True)
        self._write(Event(file_version="brain.Event:2"))
        purged = past[-1].step if past else 0
        self._write(Event(step=purged, session_log=SessionLog(status=SessionLog.START)))
        for record in past[-1:]:
            self.log(record)

    def log(self, record: Record) -> None:
        """Write a scalar for each number."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        scalars = [
            Summary.Value(tag=name, simple_value=value) for name, value in record.named().items()
        ]
        self._write(Event(step=record.step, summary=Summary(value=scalars)))

    def _write(self, event: "Event") -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        event.wall_time = time.time()
        content = io.BytesIO()
        RecordWriter(content).write(event.SerializeToString())
        with naming(self.path), opened_to_append(self.path) as file:
            file.write(content.getvalue())


class MLflow(Logger):
    """A run of MLflow: options as parameters, numbers as metrics by step.

    It lies where ``MLFLOW_TRACKING_URI`` says, in the experiment ``MLFLOW_EXPERIMENT_NAME`` or
    ``dans``. A run that resumes continues the one whose id is in ``mlflow.json``; steps that are
    trained again are logged again.
    """

    needs = "mlflow"

    def start(self, config: Mapping[str, Any], past: Sequence[Record]) -> None:
        """Continue the run of MLflow if it still exists; else log a new one from its start."""
        import mlflow

        self.mlflow = mlflow
        if known := _read_id(self.folder / "mlflow.json"):
            try:
                # Nested: a program that trains may have a run of its own.
                self.run = mlflow.start_run(run_id=known, nested=True)
            except mlflow.MlflowException as error:
                log.warning("logger: mlflow: %s; starting another run", _sentence(error))
            else:
                return
        project = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = mlflow.get_experiment_by_name(project)
        experiment = found.experiment_id if found else mlflow.create_experiment(project)
        self.run = mlflow.start_run(
            experiment_id=experiment, run_name=str(self.folder), nested=True
        )
        _write_id(self.folder / "mlflow.json", self.run.info.run_id)
        # MLflow takes 100 parameters at a time and, in older releases, 500 characters of each.
        params = [(name, str(value)[:500]) for name, value in flat(config)]
        for i in range(0, len(params), 100):
            mlflow.log_params(dict(params[i : i + 100]))
        for record in past:
            self.log(record)

    def log(self, record: Record) -> None:
        """Log the numbers, ``@`` spelt out: MLflow's names do not have it."""
        numbers = {
            re.sub(r"[^\w\-. :/]", "_", name.replace("@", "_at_"), flags=re.ASCII): value
            for name, value in record.named().items()
        }
        self.mlflow.log_metrics(numbers, step=record.step, run_id=self.run.info.run_id)

    def close(self, *, finished: bool) -> None:
        """End the run as finished or killed."""
        self.mlflow.end_run("FINISHED" if finished else "KILLED")


class WandB(Logger):
    """A run of Weights & Biases.

    Nothing is sent unless ``WANDB_MODE`` is ``online``: the run is written under ``wandb`` in the
    folder of the run (or ``WANDB_DIR``), for ``wandb sync``, in the project ``WANDB_PROJECT`` or
    ``dans``. A run that resumes continues the one whose id is in ``wandb.json``.
    """

    needs = "wandb"

    def start(self, config: Mapping[str, Any], past: Sequence[Record]) -> None:
        """Open the run and log the steps that it does not have."""
        import wandb

        mode = os.environ.get("WANDB_MODE")
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=str(self.folder),
            id=_read_id(self.folder / "wandb.json"),
            resume="allow",
            dir=os.environ.get("WANDB_DIR", str(self.folder)),
            config=dict(config),
            mode=None if mode else "offline",
            settings=wandb.Settings(
                console="off", silent=mode != "online", reinit="create_new", symlink=False
            ),
        )
        _write_id(self.folder / "wandb.json", self.run.id)
        for record in past:
            self.log(record)

    def log(self, record: Record) -> None:
        """Log the numbers; W&B drops steps that are earlier than its last one."""
        if record.step >= self.run.step:
            self.run.log(record.named(), step=record.step)

    def close(self, *, finished: bool) -> None:
        """Wait until all is written or sent."""
        self.run.finish(exit_code=0 if finished else 1)


#: Loggers by name.
LOGGERS: dict[str, type[Logger]]
LOGGERS = {"csv": CSV, "mlflow": MLflow, "tensorboard": TensorBoard, "wandb": WandB}

#: Loggers of every run.
ALWAYS = ("csv", "tensorboard")

#: Loggers that a run has where they are named.
OPTIONAL = tuple(name for name in LOGGERS if name not in ALWAYS)


def check_loggers(names: Sequence[str]) -> None:
    """Refuse names of loggers that cannot be used, without importing their libraries.

    Example:
        >>> check_loggers(["mlfow"])
        Traceback (most recent call last):
        dans.errors.InputError: logger: unknown name 'mlfow'; known: csv, mlflow, tensorboard, ...
    """
    for name in names:
        needs = choose(LOGGERS, name, where="logger").needs
        if needs and find_spec(needs) is None:
            install = install_command(needs)
            raise InputError(f"logger: {name}: its library is missing; install it with: {install}")


class MetricsLog:
    """The numbers of a run: ``metrics.jsonl``, and the loggers that follow it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "metrics.jsonl"
        #: by name, from ``start`` to ``close``
        self.loggers: dict[str, Logger] = {}

    def record(self, step: int, event: str, numbers: Mapping[str, Any]) -> None:
        """Append a line, and pass it on to the loggers."""
        line = {"step": step, "event": event, **numbers}
        # On the disk before the checkpoint that counts on it.
        append(self.path, (json.dumps(line) + "\n").encode("utf-8"))
        for name, logger in list(self.loggers.items()):
            self._attempt(name, logger.log, Record.of(line))

    def read(self) -> list[dict[str, Any]]:
        """The lines; one that a kill cut short is left out, one that is damaged refused."""
        if not self.path.exists():
            return []
        found = []
        with opened(self.path) as file:
            lines = file.read().split(b"\n")[:-1]
        for number, line in enumerate(lines, start=1):
            try:
                content = parse_json(line.decode(), "")
                if not isinstance(content, dict) or field(content, "step", int, "") < 0:
                    raise ValueError
                for part in OBJECTS:
                    field({part: {}, **content}, part, dict, "")
            except ValueError:
                raise InputError(
                    f"{self.path}:{number}: damaged; expected a JSON object with a step from 0 on, "
                    f"and {', '.join(OBJECTS)} as objects, where there are such; remove the line"
                ) from None
            found.append(content)
        return found

    def rewind(self, step: int) -> None:
        """Remove the lines after a step, from whose checkpoint the run resumes."""
        kept = [json.dumps(line) for line in self.read() if line["step"] <= step]
        write_atomically(self.path, "".join(f"{line}\n" for line in kept).encode("utf-8"))

    def start(self, names: Sequence[str], config: Mapping[str, Any]) -> None:
        """Start the loggers of every run, and those named, with the options of the run."""
        check_loggers(names)
        past = [Record.of(line) for line in self.read()]
        for name in dict.fromkeys((*ALWAYS, *names)):
            logger = LOGGERS[name](self.folder)
            if self._attempt(name, logger.start, config, past):
                self.loggers[name] = logger

    def close(self, *, finished: bool = False) -> None:
        """Close the loggers."""
        while self.loggers:
            name, logger = self.loggers.popitem()
            self._attempt(name, logger.close, finished=finished)

    def _attempt(self, name: str, action: Callable[..., None], *given: Any, **more: Any) -> bool:
        """Let a logger act; one that fails and is not needed is removed with a warning."""
        try:
            action(*given, **more)
        except Exception as error:
            # The table is part of the run, and a run that cannot be recorded is not trained.
            if name == "csv":
                raise
            self.loggers.pop(name, None)
            sentence = "logger: %s failed, and training continues without it: %s"
            log.warning(sentence, name, _sentence(error))
            return False
        return True


def _sentence(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _read_id(path: Path) -> str | None:
    """The id of a run at a service; None before it has one."""
    return field(read_object(path), "id", str, f"{path}: ") if path.exists() else None


def _write_id(path: Path, run: str) -> None:
    write_atomically(path, (json.dumps({"id": run}) + "\n").encode("utf-8"))
