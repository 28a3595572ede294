"""The folder of a run: its configuration, metrics, checkpoints and reports."""

import json
import logging
import os
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from msgspec import structs

from dans.config.reading import field, read_object
from dans.config.schema import ALL, DOMAIN_RANGE, TYPE, EvaluationConfig, RunConfig, TrainConfig
from dans.config.writing import remove, sweep, write_atomically
from dans.data.cards import cards
from dans.errors import InputError
from dans.memory import Budget, show_bytes, stated
from dans.training.checkpoint import peek
from dans.training.checkpoint_store import CheckpointStore, Which
from dans.training.loggers import MetricsLog
from dans.training.state_checks import difference

log = logging.getLogger(__name__)

#: The file in the folder of a run with the sizes that were found to fit in memory.
MEMORY = "memory.json"

#: The file in the folder of a run with its option ``data``, a folder of triples, and the whole path
#: of that.
PLACE = "place.json"

#: The folders in that of a run with copies of the files that restrict candidates, and of those that
#: samplers read.
AMONG, SAMPLER_FILES = "among", "samplers"

#: Schedules that are a function of the number of all steps.
BY_STEPS = ("cosine", "linear")

#: Options of ``train`` that may change when a run resumes.
FREE = ("steps", "memory_budget")
RESUMING = tuple(f"train.{name}" for name in FREE)


class RunFolder:
    """A run's ``config.json``, metrics, checkpoints, and reports; made at the first write."""

    #: the name of a run inside of another, which starts from it
    PRETRAINED = "pretrain"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = CheckpointStore(path)
        self.metrics = MetricsLog(path)

    def __repr__(self) -> str:
        """``RunFolder(path)``."""
        return f"RunFolder({self.path})"

    @property
    def graph(self) -> Path:
        """The folder of the run's copy of its triples, where they have no place of their own."""
        return self.path / "graph"

    def triples(self, data: str) -> str:
        """Where its triples are: in its copy, where they were as it trained, or as named.

        A folder is found by its path from another working folder, and by its name where both it
        and the run were moved.
        """
        if self.graph.exists():
            return str(self.graph)
        if not (self.path / PLACE).exists():
            return data
        kept, where = self.read_json(PLACE), f"{self.path / PLACE}: "
        named, was = (field(kept, key, str, where) for key in ("data", "triples"))
        return was if named == data and os.path.exists(was) else data

    def same_triples(self, was: str, now: str) -> bool:
        """Does ``now`` name the triples that ``was`` named as the run trained?

        A folder has many paths, and what was moved is now elsewhere by the same name. The name of
        a card is no path.
        """
        if {was, now} & cards().keys():
            return was == now
        before = self.triples(was)
        moved = os.path.isabs(was) and not os.path.exists(before) and os.path.exists(now)
        if moved and Path(was).name == Path(now).name:
            return True
        return os.path.realpath(now) in map(os.path.realpath, (was, before))

    @property
    def features(self) -> Path:
        """The run's copy of the features of its entities, if it has any."""
        return self.path / "features.safetensors"

    @property
    def pretrained(self) -> Path:
        """The folder inside of the run that it is initialised from, where one call trains both."""
        return self.path / self.PRETRAINED

    def start(self, config: RunConfig) -> str:
        """The run that it is initialised from; one called ``pretrain`` is that inside."""
        inside = Path(config.init_from).name == self.pretrained.name
        return str(self.pretrained) if inside and self.pretrained.exists() else config.init_from

    def restricted(self, chosen: EvaluationConfig) -> EvaluationConfig:
        """The section ``[evaluation]`` with the run's copies of the files that it names."""
        return structs.replace(chosen, **self.copied(AMONG, restricting(chosen)))

    def copied(self, place: str, files: Mapping[str, str]) -> dict[str, str]:
        """The run's copies of files, by the options that name these.

        Runs of before have no copies; their files are those of the recipe.
        """
        copies = {name: self._copy(place, name, file) for name, file in files.items()}
        return {name: str(copy) for name, copy in copies.items() if copy.exists()}

    def copy(self, place: str, files: Mapping[str, str]) -> None:
        """Copy files, or folders of files, into a folder of the run's, but for those there."""
        for name, file in files.items():
            source, copy = Path(file), self._copy(place, name, file)
            if copy.exists():
                continue
            copy.parent.mkdir(exist_ok=True)
            if source.is_dir():
                beside = copy.with_name(f"{copy.name}.part")
                shutil.rmtree(beside, ignore_errors=True)
                # Of a folder, its tables alone are read.
                shutil.copytree(source, beside, ignore=but_tables)
                beside.replace(copy)
            else:
                with source.open("rb") as content:
                    write_atomically(copy, partial(shutil.copyfileobj, content))

    def _copy(self, place: str, name: str, file: str) -> Path:
        # The end of the name says whether it is packed.
        return self.path / place / f"{name}{Path(file).suffix}"

    @property
    def exists(self) -> bool:
        """Does it hold a run?"""
        return (self.path / "config.json").exists()

    def check(self, config: RunConfig, *, resume: bool) -> None:
        """Refuse to train in a folder of another run, or of this one unless it resumes.

        A run may resume to other ``train.steps`` than before, unless its learning rate depends on
        their number.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: a file; expected the folder of a run, or a new name")
        if self.exists and not resume:
            raise InputError(
                f"{self.path}: already holds a run; --resume (in Python resume=True) continues "
                "with it, --out (out=) names another folder"
            )
        if self.exists:
            self.metrics.read()
            before = self.config()
            if self.same_triples(before.data, config.data):
                before = structs.replace(before, data=config.data)
            if before.init_from and config.init_from:
                was, now = (
                    Path(os.path.abspath(x)) for x in (self.start(before), config.init_from)
                )
                # A folder has many paths, and what was moved is now elsewhere by the same name.
                if was == now or (not was.exists() and was.parts[-2:] == now.parts[-2:]):
                    before = structs.replace(before, init_from=config.init_from)
            free = {name: getattr(config.train, name) for name in FREE}
            if before.replace(**free) != config:
                found = difference(before.plain(), config.plain(), free=RESUMING)
                raise InputError(
                    f"{self.path}/config.json: this run was made with another configuration "
                    f"({found}); --out (in Python out=) names another folder"
                )
            bound = self.bound_steps(before.train)
            if bound and before.train.steps != config.train.steps:
                raise InputError(
                    f"train.steps: {before.train.steps} then, {config.train.steps} now; "
                    f"the learning rate of {self.path} {bound}; continue by "
                    f"--init-from {shlex.quote(str(self.path))} --out NEW (in Python init_from=, "
                    "out=)"
                )

    def bound_steps(self, train: TrainConfig) -> str:
        """How its learning rate depends on its number of steps; empty where it does not."""
        if train.schedule in BY_STEPS:
            return "was scheduled for the former"
        uneven = train.schedule == "plateau" and train.steps % train.validate_every
        if uneven and self.step("last") == train.steps:
            return (
                "decays by validations (plateau), and the last step had one of its own; expected a "
                f"multiple of train.validate_every, {train.validate_every}, for the former"
            )
        return ""

    def tell_if_lost(self) -> None:
        """Warn that a run that trained has no checkpoints left, so that it resumes by none."""
        reached = max((line["step"] for line in self.metrics.read()), default=0)
        if reached:
            log.warning(
                "%s: its metrics reach step %s, and its checkpoints are gone, so training starts "
                "anew",
                self.path,
                f"{reached:,}",
            )

    def begin(self, config: RunConfig, *, resume: bool) -> None:
        """Check and make the folder, remove what a killed process left, write the configuration.

        No other process may be training in the folder.
        """
        self.check(config, resume=resume)
        self.path.mkdir(parents=True, exist_ok=True)
        for name in ("*.safetensors", "config.json", "metrics.jsonl", "environment.json"):
            sweep(self.path, f"{name}.*.part", alone=True)
        sweep(self.path)
        if self.exists and os.path.realpath(config.data) == os.path.realpath(self.graph):
            # Its own copy of its triples is no other name for them.
            config = structs.replace(config, data=self.config().data)
        self.write_json("config.json", config.plain())

    @contextmanager
    def undone_unless_saved(self, made: Iterable[Path] = ()) -> Iterator[None]:
        """Remove what the block wrote of a new run, if it fails before the first checkpoint.

        So the corrected command, or the same one, finds no run in its way. Folders that were
        ``made`` for it, the innermost first, go too where they are empty.
        """
        there, existed = set(self.path.iterdir()), self.exists
        try:
            yield
        except BaseException:
            # Someone may have removed it.
            if self.path.is_dir() and not (existed or self.checkpoints.exist):
                for path in set(self.path.iterdir()) - there:
                    # Not the run that another process has begun inside of it meanwhile.
                    if not any(path.rglob("config.json")):
                        remove(path)
                with suppress(OSError):
                    for path in made:
                        path.rmdir()
            raise

    def is_over(self, last: Mapping[str, Any]) -> bool:
        """Is training over with this last checkpoint, by its steps or its patience?"""
        train = self.config().train
        return is_over(train, last["step"], last["best"]["step"], train.steps)

    def is_of(self, measured: Mapping[str, Any], which: Which) -> bool:
        """Was this measured of the checkpoint that is there now, by its step?

        True where no step was written down, or the checkpoint was removed or cannot be read.
        """
        there = self.step(which)
        return there is None or bool(measured.get("step", there) == there)

    def step(self, which: Which) -> int | None:
        """The step of a checkpoint; None where it was removed or cannot be read."""
        try:
            return int(peek(self.checkpoints.file(which), whole=False)["step"])
        except InputError:
            return None

    def config(self) -> RunConfig:
        """The configuration of the run."""
        return RunConfig.parse(self.read_json("config.json"), where=str(self.path / "config.json"))

    def write_json(self, name: str, content: Any) -> Path:
        """Write a JSON file into the folder, whole or not at all."""
        path = self.path / name
        write_atomically(path, (json.dumps(content, indent=2) + "\n").encode("utf-8"))
        return path

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file of the folder; ``InputError`` if it is missing or no JSON object."""
        path = self.path / name
        try:
            return read_object(path)
        except (FileNotFoundError, NotADirectoryError):
            sentence = f"{path}: not there, so {self.path} is not the folder of a run"
            raise InputError(sentence) from None

    def memory_budget(
        self, text: str | int, device: torch.device, *, option: str = "memory_budget"
    ) -> Budget:
        """The memory budget of the run, at most what ``memory.json`` has found to fit.

        A size found after an allocation failed holds for the same limit, written as
        ``train.memory_budget``, on the same kind of device; deleting the file forgets it.
        ``option`` is the one that the text is from.
        """
        limit = stated(text)
        own = {"limit": limit, "device": device.type}

        def remember(size: int) -> None:
            try:
                others = [one for one in self._found_sizes() if not own.items() <= one.items()]
                self.write_json(MEMORY, {"entries": [*others, {**own, "found": size}]})
            except OSError as error:
                log.warning("%s: not written: %s", self.path / MEMORY, error.strerror or error)

        sizes = (one.get("found") for one in self._found_sizes() if own.items() <= one.items())
        found = next((size for size in sizes if type(size) is int and size > 0), None)
        if found:
            log.info("%s: continuing with %s at a time", self.path / MEMORY, show_bytes(found))
        return Budget(limit, device=device, found=found, remember=remember, option=option)

    def _found_sizes(self) -> list[dict[str, Any]]:
        """The entries of ``memory.json``; none where the file cannot be used."""
        if not (self.path / MEMORY).exists():
            return []
        try:
            content = self.read_json(MEMORY)
        except InputError as error:
            log.warning("%s; it is ignored", error)
            return []
        # The first files were one entry.
        entries = content.get("entries", [content])
        entries = entries if isinstance(entries, list) else []
        return [one for one in entries if isinstance(one, dict)]


def but_tables(folder: str, names: list[str]) -> list[str]:
    """Those of the names in a folder that are of no table."""
    return [name for name in names if not name.endswith((".tsv", ".tsv.gz"))]


def restricting(chosen: EvaluationConfig) -> dict[str, str]:
    """The files that restrict candidates, by option."""
    given = {name: getattr(chosen, name) for name in ("among", "entity_types", "relation_types")}
    if given["among"] in (ALL, DOMAIN_RANGE) or given["among"].startswith(TYPE):
        del given["among"]
    return {name: file for name, file in given.items() if file}


def is_over(train: TrainConfig, step: int, best_step: int, steps: int) -> bool:
    """Are all steps done, or has validation stopped improving for ``patience`` validations?"""
    waited = (step - best_step) // train.validate_every
    return step >= steps or 0 < train.patience <= waited
