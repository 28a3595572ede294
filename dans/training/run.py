"""The folder a run lives in."""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch

from dans.config.old_names import renamed_state
from dans.config.reading import field, parse_json, read_object
from dans.config.schema import RunConfig
from dans.errors import InputError
from dans.memory import Budget, show_bytes, stated
from dans.training.checkpoint import DamagedError, load_state, pack, peek, save_state
from dans.training.files import append, sweep, write_atomically
from dans.training.tracker import Record, Tracker
from dans.training.trackers import build_trackers

log = logging.getLogger(__name__)

#: The file in the folder of a run with the sizes that were found to fit in memory.
MEMORY = "memory.json"

#: Schedules that are a function of all steps there will be.
BY_STEPS = ("cosine", "linear")

#: What of ``train`` may be another when a run continues.
FREE = ("steps", "memory_budget")

#: Which of a run's checkpoints: the best on validation, or the newest.
Which = Literal["best", "last"]

#: What the checkpoint of a run has.
PARTS: dict[str, type] = {
    "step": int,
    "best": dict,
    "seconds": float,
    "digest": str,
    "model": dict,
    "objective": dict,
    "optimizers": dict,
    "batches": dict,
    "random": dict,
}


#: What of a line of metrics is an object, where it is there.
OBJECTS = ("both", "heads", "tails", "classification", "train", "sampler")


class Run:
    """One run: ``config.json``, metrics as JSONL, CSV and TensorBoard events, checkpoints, reports.

    The newest checkpoint is ``last``, and the one before it ``previous``: a run continues from that
    where the newest is damaged. To be evaluated is another matter: what is asked for is loaded, or
    nothing.

    Args:
        path: the folder; made when something is first written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: who is told of every record, from ``track`` to ``close``
        self.trackers: list[Tracker] = []
        #: the newest whole checkpoint, and its step; None until one is written or gone on from
        self.newest: tuple[Path, int] | None = None

    def __repr__(self) -> str:
        """``Run(path)``."""
        return f"Run({self.path})"

    @property
    def exists(self) -> bool:
        """Has anything been trained here?"""
        return (self.path / "config.json").exists()

    def file(self, which: Which) -> Path:
        """Where a checkpoint lies."""
        return self.path / f"{which}.safetensors"

    @property
    def previous(self) -> Path:
        """Where the checkpoint before the last lies."""
        return self.path / "previous.safetensors"

    def check(self, config: RunConfig, *, resume: bool) -> None:
        """May this be trained here?

        Args:
            config: what is about to be trained.
            resume: continue from the newest checkpoint, where there is one.

        Raises:
            InputError: the folder holds a run and ``resume`` was not asked for, or holds a run of
                another configuration. More ``train.steps`` than before is no other configuration
                where the learning rate does not depend on them. The validation at the end of the
                former counts for ``plateau`` as others do.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: a file; expected the folder of a run, or a new name")
        if self.exists and not resume:
            raise InputError(
                f"{self.path}: already holds a run; --resume continues with it, "
                "--out names another folder"
            )
        if self.exists:
            self.metrics()
            before = self.config()
            if before.train.schedule in BY_STEPS and before.train.steps != config.train.steps:
                raise InputError(
                    f"train.steps: {before.train.steps} then, {config.train.steps} now; "
                    f"the learning rate of {self.path} was scheduled for the former"
                )
            free = {name: getattr(config.train, name) for name in FREE}
            if before.replace(**free) != config:
                raise InputError(
                    f"{self.path}/config.json: this run was made with another configuration "
                    f"({_difference(before.plain(), config.plain())}); --out names another folder"
                )

    def begin(self, config: RunConfig, *, resume: bool) -> None:
        """Take possession of the folder; see ``check``.

        What a killed process had begun to write is removed; nobody else may be training here.
        """
        self.check(config, resume=resume)
        self.path.mkdir(parents=True, exist_ok=True)
        for name in ("*.safetensors", "config.json", "metrics.jsonl", "environment.json"):
            sweep(self.path, f"{name}.*.part", alone=True)
        sweep(self.path)
        self.write_json("config.json", config.plain())

    def config(self) -> RunConfig:
        """What the run was made with.

        Raises:
            InputError: there is no run here, or its ``config.json`` cannot be read.
        """
        return RunConfig.parse(self.read_json("config.json"), where=str(self.path / "config.json"))

    def save(self, state: Mapping[str, Any], *, best: bool) -> None:
        """Write a checkpoint as the newest, and as the best if it is; keep the one before."""
        content = pack(state)
        # The best first: a kill in between must not leave a `last` that takes it for written.
        if best:
            write_atomically(self.file("best"), content)
        write_atomically(self.file("last"), content, former=self.previous)
        self.newest = self.file("last"), state["step"]

    def load(self, which: Which) -> dict[str, Any]:
        """Read a checkpoint, and no other in its place.

        Raises:
            InputError: it is missing or damaged, or another program's.
        """
        path = self.file(which)
        try:
            return _read(path)
        except DamagedError as error:
            other = self.previous if which == "last" else self.file("last")
            if not other.exists():
                raise
            raise DamagedError(
                f"{error}; {other.name} is another model and does not stand in for it, but "
                "--resume may continue from there"
            ) from None

    def resume(self) -> dict[str, Any] | None:
        """The newest whole checkpoint, for a run to continue from; None where none was written.

        A damaged one gives way to the one before, and a sentence says so. No other process may be
        training here.

        Raises:
            InputError: there are some, and none is whole.
        """
        last = self.file("last")
        if not last.exists() and not self.previous.exists():
            return None
        # Refused here, while nothing is written.
        self.metrics()
        try:
            state = _read(last)
            self.newest = last, state["step"]
            return state
        except DamagedError as error:
            try:
                state = _read(self.previous)
            except DamagedError as other:
                raise InputError(
                    f"{error}; {other}; to train anew from step 0, remove both"
                ) from None
            log.warning("%s; continuing from %s, of step %d", error, self.previous, state["step"])
        # Otherwise it would be kept as the one before the next.
        last.unlink(missing_ok=True)
        self.newest = self.previous, state["step"]
        return state

    def mend(self, step: int, state: Mapping[str, Any]) -> bool:
        """Is the best checkpoint whole, or can it be made again from another?

        Args:
            step: that of the best one.
            state: what the run continues from.
        """
        try:
            found = _read(self.file("best"))["step"]
            # One of a later step belongs to steps that are trained again, to the same bits; see
            # ``reached``.
            if found == step or found > state["step"]:
                return True
            what = f"{self.file('best')}: of step {found}, expected {step}"
        except DamagedError as error:
            what = str(error)
        for path in (self.file("last"), self.previous):
            with suppress(DamagedError):
                same = state if state["step"] == step else _read(path)
                if same["step"] == step:
                    save_state(self.file("best"), same)
                    log.warning("%s; made again from another checkpoint of step %d", what, step)
                    return True
        log.warning(
            "%s; no other checkpoint is of step %d, so that the next validation counts as the best",
            what,
            step,
        )
        return False

    def reached(self) -> int:
        """The step of the best checkpoint, which a kill can leave later than the last; 0: none."""
        try:
            return int(_read(self.file("best"))["step"])
        except DamagedError:
            return 0

    def kept(self) -> str:
        """What a run that stops here can continue from, in words."""
        newest = self.newest
        # What lies there says it best: a run can be interrupted right after the last rename. Where
        # it cannot be read, memory has to do.
        for path in (self.file("last"), self.previous):
            with suppress(InputError):
                newest = path, peek(path)["step"]
                break
        if newest is None:
            return f"{self.path} has no checkpoint yet"
        return "the last good checkpoint is {}, of step {}".format(*newest)

    def record(self, step: int, event: str, numbers: Mapping[str, Any]) -> None:
        """Append a line to ``metrics.jsonl``, and tell the trackers."""
        line = {"step": step, "event": event, **numbers}
        # On the disk before the checkpoint that counts on it.
        append(self.path / "metrics.jsonl", (json.dumps(line) + "\n").encode("utf-8"))
        for tracker in self.trackers:
            tracker.record(Record.of(line))

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``; one cut short by a kill is left out.

        Raises:
            InputError: a line is not what ``record`` writes.
        """
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        found = []
        for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
            try:
                found.append(_line(parse_json(line.decode(), "")))
            except ValueError:
                raise InputError(
                    f"{path}:{number}: damaged; expected a JSON object with a step from 0 on, and "
                    f"{', '.join(OBJECTS)} as objects, where there are such; remove the line"
                ) from None
        return found

    def rewind(self, step: int) -> None:
        """Forget metrics after a step: the run continues from there."""
        kept = [json.dumps(line) for line in self.metrics() if line["step"] <= step]
        write_atomically(
            self.path / "metrics.jsonl", "".join(f"{line}\n" for line in kept).encode("utf-8")
        )

    def track(self, names: Sequence[str], config: RunConfig) -> None:
        """Tell trackers of what was recorded so far, and of every record from here on.

        Args:
            names: those beside the ones that every run has; see ``dans.training.trackers``.
            config: what is trained.

        Raises:
            InputError: no such tracker, or its library is missing.
        """
        past = [Record.of(line) for line in self.metrics()]
        for tracker in build_trackers(names, self.path):
            tracker.begin(config.plain(), past)
            # Only now: what never began is never closed.
            self.trackers.append(tracker)

    def close(self, *, finished: bool = False) -> None:
        """Let the trackers write what they have buffered, and go."""
        while self.trackers:
            tracker = self.trackers.pop()
            try:
                tracker.close(finished=finished)
            except OSError as error:
                name = type(tracker).__name__
                log.warning("%s: %s: its last numbers are not written: %s", self.path, name, error)

    def write_json(self, name: str, content: Any) -> Path:
        """Write a JSON file into the folder, whole or not at all."""
        path = self.path / name
        write_atomically(path, (json.dumps(content, indent=2) + "\n").encode("utf-8"))
        return path

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file of the folder.

        Raises:
            InputError: it is missing, or not JSON, or no object.
        """
        path = self.path / name
        try:
            return read_object(path)
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(
                f"{path}: not there, so {self.path} is not the folder of a run"
            ) from None


def _line(content: Any) -> dict[str, Any]:
    """A line of ``metrics.jsonl``, if it is one.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(content, dict) or field(content, "step", int, "") < 0:
        raise ValueError
    for part in OBJECTS:
        field({part: {}, **content}, part, dict, "")
    return content


def _read(path: Path) -> dict[str, Any]:
    """The checkpoint of a run.

    Raises:
        InputError: it is missing or damaged, or something else.
    """
    state: dict[str, Any] = renamed_state(load_state(path))
    for key, kind in PARTS.items():
        if not isinstance(state.get(key), kind):
            raise InputError(
                f"{path}: not the checkpoint of a run: it has no {key}, or one that is none"
            )
    if not isinstance(state["best"].get("step"), int):
        raise InputError(f"{path}: not the checkpoint of a run: best: it has no step")
    return state


def _difference(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> str:
    """The first option in which two configurations differ, in words."""
    for key in [*before, *(key for key in now if key not in before)]:
        old, new = before.get(key), now.get(key)
        if old == new or f"{path}{key}" in [f"train.{name}" for name in FREE]:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            return _difference(old, new, f"{path}{key}.")
        return f"{path}{key}: {old!r} then, {new!r} now"
    return "no option differs"


def run_budget(run: Run, text: str | int, place: torch.device) -> Budget:
    """The budget of a run, with what its folder remembers of it, and remembers from here on.

    What was found after an allocation failed holds for the same limit on the same kind of device;
    deleting ``memory.json`` forgets it.

    Args:
        run: its folder.
        text: as ``train.memory_budget`` has it.
        place: where the work is done.

    Raises:
        InputError: the text is no size.
    """
    limit = stated(text)
    own = {"limit": limit, "device": place.type}

    def remember(size: int) -> None:
        try:
            others = [entry for entry in _memory_entries(run) if not own.items() <= entry.items()]
            run.write_json(MEMORY, {"entries": [*others, {**own, "found": size}]})
        except OSError as error:
            log.warning("%s: not remembered: %s", run.path / MEMORY, error.strerror or error)

    return Budget(limit, device=place, found=_found_size(run, own), remember=remember)


def _found_size(run: Run, own: dict[str, int | str | None]) -> int | None:
    for entry in _memory_entries(run):
        found = entry.get("found")
        if own.items() <= entry.items() and type(found) is int and found > 0:
            log.info("%s: continuing with %s at a time", run.path / MEMORY, show_bytes(found))
            return found
    return None


def _memory_entries(run: Run) -> list[dict[str, Any]]:
    """What is remembered, by limit and device; nothing, where the file cannot be used."""
    if not (run.path / MEMORY).exists():
        return []
    try:
        content = run.read_json(MEMORY)
    except InputError as error:
        log.warning("%s; it is taken as not there", error)
        return []
    # The first files were one entry.
    entries = content.get("entries", [content])
    entries = entries if isinstance(entries, list) else []
    return [entry for entry in entries if isinstance(entry, dict)]
