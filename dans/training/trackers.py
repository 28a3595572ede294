"""Where a run's numbers go beside its own ``metrics.jsonl``.

``tensorboard`` and ``csv`` follow every run. Those of ``dans.training.services`` are asked for by
name (``--track mlflow``). Those and TensorBoard never cost a run.

All are told what a run has recorded so far when it continues. So what a kill left out is made up
for, and nothing is told twice.
"""

import csv
import io
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dans.errors import InputError
from dans.registry import choose
from dans.training.files import named, write_atomically
from dans.training.services import Dispensable, MLflow, WandB
from dans.training.tracker import Record, Tracker

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event


class TensorBoard(Tracker):
    """Events under ``tensorboard`` in the folder of the run.

    Written here and now: TensorBoard's own writer is a thread, which tells of a full disk late and
    by a traceback.
    """

    def begin(self, config: Mapping[str, Any], past: Sequence[Record]) -> None:
        """Open a file of events; the import takes longer than that of ``dans``.

        A kill can have left out the newest record and no other: it is told again.
        """
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        now, purged = time.time_ns(), past[-1].step if past else 0
        # TensorBoard reads files by their names, so a later one has to come later.
        name = f"events.out.tfevents.{now // 10**9:010}.{now % 10**9:09}"
        self.path = self.folder / "tensorboard" / name
        try:
            self.path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise named(error, self.path.parent) from error
        self.write(Event(file_version="brain.Event:2"))
        self.write(Event(step=purged, session_log=SessionLog(status=SessionLog.START)))
        for record in past[-1:]:
            self.record(record)

    def record(self, record: Record) -> None:
        """A scalar each."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        scalars = [
            Summary.Value(tag=name, simple_value=value) for name, value in record.named().items()
        ]
        self.write(Event(step=record.step, summary=Summary(value=scalars)))

    def write(self, event: "Event") -> None:
        """An event more."""
        from tensorboard.summary.writer.record_writer import RecordWriter

        event.wall_time = time.time()
        content = io.BytesIO()
        RecordWriter(content).write(event.SerializeToString())
        try:
            with self.path.open("ab") as file:
                file.write(content.getvalue())
        except OSError as error:
            raise named(error, self.path) from error

    def close(self, *, finished: bool) -> None:
        """Nothing is left to write."""


class CSV(Tracker):
    """``metrics.csv``: a row for each record, a column for each number there ever was.

    Replaced whole at each record, so that a reader finds a table at any instant, and made anew from
    ``metrics.jsonl`` when a run continues. A cell is empty where a record has no such number, as
    the first one has no terms of training.
    """

    def begin(self, config: Mapping[str, Any], past: Sequence[Record]) -> None:
        """Write what there is."""
        self.records = list(past)
        self.columns = dict.fromkeys(name for record in past for name in record.numbers)
        self.lines = [self.line(record) for record in past]
        self.write()

    def record(self, record: Record) -> None:
        """A row more, and maybe columns."""
        self.records.append(record)
        if record.numbers.keys() <= self.columns.keys():
            self.lines.append(self.line(record))
        else:
            self.columns |= dict.fromkeys(record.numbers)
            self.lines = [self.line(each) for each in self.records]
        self.write()

    def line(self, record: Record) -> str:
        """A record as a row."""
        cells = (record.numbers.get(name, "") for name in self.columns)
        return _row(record.step, record.event, *cells)

    def write(self) -> None:
        """Replace the file."""
        content = _row("step", "event", *self.columns) + "".join(self.lines)
        write_atomically(self.folder / "metrics.csv", content.encode("utf-8"))

    def close(self, *, finished: bool) -> None:
        """Nothing is left to write."""


#: Those that can be chosen, by name.
TRACKERS: dict[str, type[Tracker]] = {
    "csv": CSV,
    "mlflow": MLflow,
    "tensorboard": TensorBoard,
    "wandb": WandB,
}

#: Those that every run has.
ALWAYS = ("csv", "tensorboard")

#: Those that every run needs: their files are what others read.
NEEDED = ("csv",)

#: Those that a run has when asked.
OPTIONAL = tuple(name for name in TRACKERS if name not in ALWAYS)


def check_trackers(names: Sequence[str]) -> None:
    """Can these be told? Imports none of their libraries.

    Raises:
        InputError: no such tracker, or its library is missing.

    Example:
        >>> check_trackers(["mlfow"])
        Traceback (most recent call last):
        dans.errors.InputError: track: unknown name 'mlfow'; known: csv, mlflow, tensorboard, ...
    """
    for name in names:
        needs = choose(TRACKERS, name, where="track").needs
        if needs and find_spec(needs) is None:
            raise InputError(
                f"track: {name}: its library is missing; "
                f"install it with: pip install 'dans[{needs}]'"
            )


def build_trackers(names: Sequence[str], folder: Path) -> list[Tracker]:
    """Those that every run has, and those named beside them.

    Raises:
        InputError: see ``check_trackers``.
    """
    check_trackers(names)
    built: list[Tracker] = []
    for name in dict.fromkeys((*ALWAYS, *names)):
        tracker = TRACKERS[name](folder)
        built.append(tracker if name in NEEDED else Dispensable(name, tracker))
    return built


def _row(*cells: object) -> str:
    """Cells as a line of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
