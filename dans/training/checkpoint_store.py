"""The checkpoints of a run: the best, the newest, and the one before."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args

from dans.config.old_names import renamed_state
from dans.config.selection import Selection
from dans.config.writing import link_atomically
from dans.errors import InputError, one_of
from dans.training.checkpoint import DamagedError, load_state, peek, save_state
from dans.training.distributed import World
from dans.training.shards import Place, put, sweep_rows, take
from dans.training.state_checks import other_run

log = logging.getLogger(__name__)

#: Which checkpoint of a run: the best on validation, or the newest.
Which = Literal["best", "last"]

#: What the checkpoint of a run consists of.
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


class CheckpointStore:
    """The checkpoints in the folder of a run: ``best``, ``last``, and ``previous`` before it.

    Where the newest is the best, both names are of one file. A run resumes from ``previous`` where
    ``last`` is damaged. Where a checkpoint is loaded by name, no other stands in for it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: of a run of several processes, each of which reads its own rows
        self.world: World | None = None
        self.previous = folder / "previous.safetensors"
        #: the newest whole checkpoint and its step, once one was written or resumed from
        self.newest: tuple[Path, int] | None = None

    def file(self, which: Which) -> Path:
        """The file of a checkpoint."""
        return self.folder / f"{which}.safetensors"

    @property
    def exist(self) -> bool:
        """Is there any checkpoint?"""
        return any(x.exists() for x in (self.file("last"), self.previous, self.file("best")))

    def save_shared(
        self, state: Mapping[str, Any], where: list[Place], world: World, n: int, *, best: bool
    ) -> None:
        """`save`, by several processes: each writes its rows, at the places given, of n."""
        marked = put(self.folder, state, where, world, n)
        if world.leads:
            self.save(marked, best=best)
        world.wait()
        self.newest = self.file("last"), state["step"]

    def save(self, state: Mapping[str, Any], *, best: bool) -> None:
        """Write a checkpoint as the newest, and as the best if it is; keep the one before."""
        # The best first: a kill in between must not leave a `last` that takes it for written.
        if best:
            save_state(self.file("best"), state)
            link_atomically(self.file("last"), self.file("best"), former=self.previous)
        else:
            save_state(self.file("last"), state, former=self.previous)
        self.newest = self.file("last"), state["step"]
        if any(self.folder.glob("rows-*")):
            sweep_rows(self.folder, [self.file("best"), self.file("last"), self.previous])

    def load(self, which: Which) -> dict[str, Any]:
        """Read a checkpoint; ``InputError`` if it is missing, damaged or of something else."""
        one_of("which", which, get_args(Which))
        path = self.file(which)
        try:
            state = self.read(path)
            if which == "best" and (better := _better_step(state)) is not None:
                raise DamagedError(
                    f"{path}: of step {state['step']}, while the best was of step {better}"
                )
            return state
        except DamagedError as error:
            other = self.previous if which == "last" else self.file("last")
            if not other.exists():
                raise
            raise DamagedError(
                f"{error}; {other.name} is another model and does not stand in for it, but "
                "training with --resume may continue from there"
            ) from None

    def resume(self) -> dict[str, Any] | None:
        """Read the newest whole checkpoint; None where none was ever written.

        A damaged ``last`` is removed, with a warning, in favour of ``previous``; ``InputError`` if
        neither is whole. No other process may be training in the folder.
        """
        last = self.file("last")
        if not last.exists() and not self.previous.exists():
            return None
        try:
            state = self.read(last)
            self.newest = last, state["step"]
            return state
        except DamagedError as error:
            try:
                state = self.read(self.previous)
            except DamagedError as other:
                raise InputError(
                    f"{error}; {other}; to train anew from step 0, remove both"
                ) from None
            log.warning("%s; continuing from %s, of step %d", error, self.previous, state["step"])
        # Otherwise the next save would keep it as ``previous``.
        last.unlink(missing_ok=True)
        self.newest = self.previous, state["step"]
        return state

    def mend_best(self, step: int, state: Mapping[str, Any]) -> bool:
        """Restore a missing or damaged best checkpoint from another one of its step, if any.

        ``step`` is that of the best checkpoint, ``state`` what the run resumes from. Returns
        whether there is a best checkpoint now.
        """
        try:
            kept = self.read(self.file("best"))
            found = kept["step"]
            if other := other_run(kept, state):
                raise DamagedError(f"{self.file('best')}: of another run: {other}")
            # A kill before ``last`` was written leaves a later best; its steps are trained again,
            # to the same bits.
            if found == step or found > state["step"]:
                return True
            reason = f"{self.file('best')}: of step {found}, expected {step}"
        except DamagedError as error:
            reason = str(error)
        # Of several processes none has the whole state.
        for path in (self.file("last"), self.previous) if self.world is None else ():
            with suppress(DamagedError):
                same = state if state["step"] == step else self.read(path)
                if same["step"] == step:
                    save_state(self.file("best"), same)
                    log.warning("%s; made again from another checkpoint of step %d", reason, step)
                    return True
        now = "so that the next validation counts as the best"
        log.warning("%s; no other checkpoint is of step %d, %s", reason, step, now)
        return False

    def best_step(self) -> int:
        """The step of the best checkpoint, which a kill can leave later than the last; or 0."""
        try:
            return int(self.read(self.file("best"))["step"])
        except DamagedError:
            return 0

    def read(self, path: Path) -> dict[str, Any]:
        """The state in a file, with the rows of all processes, or of this one of several."""
        return take(self.folder, _read(path), self.world)

    def describe_newest(self) -> str:
        """The checkpoint to resume from, if training stopped now, in words."""
        newest = self.newest
        # The files first: training can be interrupted right after the last rename.
        for path in (self.file("last"), self.previous):
            with suppress(InputError):
                newest = path, peek(path)["step"]
                break
        if newest is None:
            return f"{self.folder} has no checkpoint yet, so training starts anew"
        if not newest[0].is_file():
            return f"{newest[0]} is no file, so training starts anew"
        return "the last good checkpoint is {}, of step {}".format(*newest)


def _better_step(state: Mapping[str, Any]) -> int | None:
    """The step of the best model, where a state names it and is of another step."""
    best, step = state["best"], state["best"]["step"]
    # Without validation the newest is the best, and no metric of it is known.
    names = [name for name in best if name != "step"]
    validated = any(best[name] != Selection(name).worst for name in names)
    return int(step) if validated and step < state["step"] else None


def _read(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = renamed_state(load_state(path))
    for key, kind in PARTS.items():
        if not isinstance(state.get(key), kind) or isinstance(state[key], bool):
            raise InputError(
                f"{path}: not the checkpoint of a run: it has no {key}, or one that is none"
            )
    if type(state["best"].get("step")) is not int:
        raise InputError(f"{path}: not the checkpoint of a run: best: it has no step")
    return state
