"""Training, evaluating and inspecting the runs of recipes, those that are finished left out."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from baselines.assembly import train
from dans.analysis.inspection import inspect_run
from dans.config.papers import Cell
from dans.config.recipes import COMMANDS, find_recipe, override, read_recipe
from dans.config.schema import RunConfig
from dans.runs.evaluate_run import evaluate, report_name
from dans.runs.init_from import folder
from dans.runs.train import configure
from dans.training.checkpoint import DamagedError, peek
from dans.training.checkpoint_store import Which
from dans.training.lock import Lock, LockedError
from dans.training.run_folder import RunFolder


@dataclass(frozen=True)
class Job:
    """A run to be made: kind, recipe and seed, with assignments over the recipe."""

    kind: str
    name: str
    seed: int
    assignments: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Kind and name, such as ``dans/umls-distmult-uniform``."""
        return f"{self.kind}/{self.name}"

    @property
    def where(self) -> Path:
        """The folder of the run."""
        return folder(self.place, self.seed)

    def config(self) -> RunConfig:
        """Its configuration, if the run that it starts from is there."""
        changes = [*self.assignments, f"train.seed={self.seed}"]
        return configure(find_recipe(self.name, self.kind), changes, resumed=self.where)

    def is_evaluated(self) -> bool:
        """Is it trained as its recipe says, to the end, and evaluated as it is?"""
        run = RunFolder(self.where)
        if not all(self._measured(report_name(which=which), which) for which in get_args(Which)):
            return False
        last = run.checkpoints.file("last")
        try:
            over = not last.exists() or run.is_over(peek(last, whole=False))
        except DamagedError:
            # Resuming mends it.
            return False
        return over and run.config() == self.config()

    def is_finished(self) -> bool:
        """Is it evaluated, with statistics of its sampler where it has one?"""
        if not self.is_evaluated():
            return False
        return not self.config().sampler or self._measured("sampler.json", "last")

    def _measured(self, name: str, which: Which) -> bool:
        """Is a file there, of the checkpoint that is there now?"""
        run = RunFolder(self.where)
        return (self.where / name).exists() and run.is_of(run.read_json(name), which)

    def starts_from(self) -> "Job | None":
        """The run that it starts from, if a recipe makes that."""
        recipe = read_recipe(find_recipe(self.name, self.kind))
        start = str(override(recipe, self.assignments).get("init_from", ""))
        kind, _, name = start.partition("/")
        return Job(kind, name, self.seed, self.assignments) if kind in COMMANDS else None

    def run(self, *, loggers: Sequence[str] = ()) -> None:
        """Train or resume it, evaluate and inspect it, as far as that is not done.

        A process that is at it, or at the run that it starts from, is waited for. What that leaves
        undone of this run is done here; a start that is not finished is refused.
        """
        if start := self.starts_from():
            with Lock(start.where).wait():
                pass
        while True:
            # Both may have found no folder, and made it.
            with suppress(LockedError), Lock(self.where).wait() as lock:
                self._finish(lock, loggers)
                return

    def _finish(self, lock: Lock, loggers: Sequence[str]) -> None:
        config, evaluated = self.config(), self.is_evaluated()
        if not evaluated:
            train(config, self.where, resume=True, loggers=loggers, lock=lock)
            evaluate(self.where)
            evaluate(self.where, which="last")
        if config.sampler and not (evaluated and self._measured("sampler.json", "last")):
            inspect_run(self.where)


def jobs(cells: Iterable[Cell], seeds: int, assignments: Sequence[str] = ()) -> list[Job]:
    """The runs of cells, each after the run that it starts from; all of a seed before the next."""
    first = (Job(cell.kind, cell.name, 0, tuple(assignments)) for cell in cells)
    # What a run starts from does not depend on the seed, and recipes are read once.
    every = dict.fromkeys(job for one in first for job in _chain(one))
    return [replace(job, seed=seed) for seed in range(seeds) for job in every]


def _chain(job: Job) -> Iterator[Job]:
    """What a run starts from, what that starts from, and so on; the run itself last."""
    if start := job.starts_from():
        yield from _chain(start)
    yield job
