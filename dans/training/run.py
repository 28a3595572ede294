"""The folder a run lives in."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from dans.config import RunConfig
from dans.errors import InputError
from dans.registry import choose
from dans.training.checkpoint import load_state, save_state, write_atomically
from dans.training.tracking import ALWAYS, TRACKERS, Tracker, flat

log = logging.getLogger(__name__)

#: Schedules that are a function of all steps there will be.
BY_STEPS = ("cosine", "linear")

#: Which of a run's two checkpoints: the best on validation, or the newest.
Which = Literal["best", "last"]


class Run:
    """One run: ``config.json``, ``metrics.jsonl``, two checkpoints, reports, TensorBoard events.

    Args:
        path: the folder; made when something is first written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: who is told of every record, from ``track`` to ``close``
        self.trackers: list[Tracker] = []

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

    def check(self, config: RunConfig, *, resume: bool) -> None:
        """May this be trained here?

        Args:
            config: what is about to be trained.
            resume: go on from the newest checkpoint, where there is one.

        Raises:
            InputError: the folder holds a run and ``resume`` was not asked for, or holds a run of
                another configuration. More ``train.steps`` than before is no other configuration
                where the learning rate does not hang on them. The validation at the end of the
                former counts for ``plateau`` as others do.
        """
        if self.exists and not resume:
            raise InputError(
                f"{self.path}: already holds a run; --resume goes on with it, "
                "--out names another folder"
            )
        if self.exists:
            before = self.config()
            if before.train.schedule in BY_STEPS and before.train.steps != config.train.steps:
                raise InputError(
                    f"train.steps: {before.train.steps} then, {config.train.steps} now; "
                    f"the learning rate of {self.path} was scheduled for the former"
                )
            if before.replace(steps=config.train.steps) != config:
                raise InputError(
                    f"{self.path}/config.json: this run was made with another configuration "
                    f"({_difference(before.plain(), config.plain())}); --out names another folder"
                )

    def begin(self, config: RunConfig, *, resume: bool) -> None:
        """Take possession of the folder; see ``check``."""
        self.check(config, resume=resume)
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_json("config.json", config.plain())

    def config(self) -> RunConfig:
        """What the run was made with.

        Raises:
            InputError: there is no run here, or its ``config.json`` cannot be read.
        """
        return RunConfig.parse(self.read_json("config.json"), where=str(self.path / "config.json"))

    def save(self, which: Which, state: Mapping[str, Any]) -> None:
        """Write a checkpoint."""
        save_state(self.file(which), state)

    def load(self, which: Which) -> dict[str, Any]:
        """Read a checkpoint.

        Raises:
            InputError: it is missing or damaged.
        """
        return load_state(self.file(which))

    def record(self, step: int, event: str, numbers: Mapping[str, Any]) -> None:
        """Append a line to ``metrics.jsonl``, and tell the trackers."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "event": event, **numbers}) + "\n")
        for tracker in self.trackers:
            tracker.record(step, dict(flat(numbers, event)))

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``; one cut short by a kill is left out."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        lines = path.read_text("utf-8").split("\n")
        return [json.loads(line) for line in lines[:-1] if line]

    def rewind(self, step: int) -> None:
        """Forget metrics after a step: the run goes on from there."""
        kept = [json.dumps(line) for line in self.metrics() if line["step"] <= step]
        write_atomically(
            self.path / "metrics.jsonl", "".join(f"{line}\n" for line in kept).encode("utf-8")
        )

    def track(self, names: Sequence[str], config: RunConfig, step: int) -> None:
        """Tell trackers of every record from here on, those in ``ALWAYS`` among them.

        Args:
            names: further ones, as ``TRACKERS`` has them.
            config: what is trained.
            step: where it goes on from, −1 for a run that begins.

        Raises:
            InputError: no such tracker.
        """
        chosen = dict.fromkeys((*ALWAYS, *names))
        kinds = [choose(TRACKERS, name, where="track") for name in chosen]
        self.trackers = [kind(self.path) for kind in kinds]
        for tracker in self.trackers:
            tracker.begin(config.plain(), step)

    def close(self) -> None:
        """Let the trackers write what they have buffered, and go."""
        while self.trackers:
            self.trackers.pop().close()

    def write_json(self, name: str, content: Any) -> Path:
        """Write a JSON file into the folder, whole or not at all."""
        path = self.path / name
        write_atomically(path, (json.dumps(content, indent=2) + "\n").encode("utf-8"))
        return path

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file of the folder.

        Raises:
            InputError: it is missing or not JSON.
        """
        path = self.path / name
        try:
            content = json.loads(path.read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(
                f"{path}: not there, so {self.path} is not the folder of a run"
            ) from None
        except ValueError as error:
            raise InputError(f"{path}: not a JSON file: {error}") from None
        if not isinstance(content, dict):
            raise InputError(f"{path}: expected an object, got {type(content).__name__}")
        return content


def _difference(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> str:
    """The first option in which two configurations differ, in words."""
    for key in [*before, *(key for key in now if key not in before)]:
        old, new = before.get(key), now.get(key)
        if old == new or f"{path}{key}" == "train.steps":
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            return _difference(old, new, f"{path}{key}.")
        return f"{path}{key}: {old!r} then, {new!r} now"
    return "no option differs"
