"""A study: proposes trials, trains them, and records how they ended.

What a study does next depends only on what is stored: the options of a trial on the seed, its
number and the trials before it, its end on the metrics of its run. So a study that is killed and
continued ends like one that was not.
"""

import json
import logging
import math
import os
import shlex
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from dans.config.reading import convert, flat, read_object
from dans.config.recipes import COMMANDS
from dans.config.schema import RunConfig
from dans.config.selection import Selection
from dans.config.writing import sweep
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError, install_command, shown
from dans.evaluation.classifier import ClassificationReport
from dans.evaluation.evaluator import EvaluationReport
from dans.memory import NoRoomError
from dans.objectives import OBJECTIVES
from dans.runs.build import Objectives, Samplers, probe, sampler_files
from dans.runs.init_from import folder
from dans.runs.train import train, triples_of
from dans.samplers import SAMPLERS
from dans.training.checkpoint import peek
from dans.training.lock import Lock
from dans.training.loggers import check_loggers
from dans.training.run_folder import RunFolder, restricting
from dans.tuning.plan import PRUNERS, SEARCHES, Plan, build_from, distribution
from dans.tuning.spaces import Numbers, parse_space, written
from dans.tuning.trials import Trial, best_of, write_best, write_results

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)


def tune(
    plan: Plan,
    trials: int,
    *,
    where: Path | None = None,
    kg: KnowledgeGraph | None = None,
    loggers: Sequence[str] = (),
    objectives: Objectives = OBJECTIVES,
    samplers: Samplers = SAMPLERS,
) -> str:
    """Run a study, or continue one, until it has ``trials`` trials.

    Args:
        where: the folder; None: that of the plan.
        kg: the triples that the plan names, if they were read already.
        loggers: those of each run, beside those always on.

    Returns:
        The best trial, and the command that trains it, in a sentence.
    """
    if trials < 1:
        raise InputError(f"--trials: expected at least 1, got {trials}")
    where = where or plan.folder
    study = Study(plan, where, kg=kg, loggers=loggers, objectives=objectives, samplers=samplers)
    study.check()
    where.mkdir(parents=True, exist_ok=True)
    with Lock(where), database_errors(where), study:
        found = study.run(trials)
    best = best_of(found, least=study.least)
    if best is None:
        raise InputError(
            f"{where}: none of {trials} trials came to its end; study.json says why of each"
        )
    ended = sum(trial.state == "pruned" for trial in found)
    out = folder(f"{plan.kind}/{where.name}-tuned", study.config.train.seed)
    return (
        f"{where}: {trials} trials, {ended} ended early; the best is {best}; train it with: "
        + shlex.join(["dans", COMMANDS[plan.kind], str(where / "best.toml"), "--out", str(out)])
    )


class Pruning:
    """A callback of training that reports validations to Optuna and stops hopeless trials.

    A kill may fall between a validation and its report, or between its report and the decision. So
    every validation in the run's log is reported once and decided once, in order.
    """

    def __init__(self, trial: "optuna.trial.Trial", run: RunFolder, config: RunConfig) -> None:
        self.trial, self.run, self.steps = trial, run, config.train.steps
        self.selection = Selection(config.train.select)
        self.reported = set(trial.study.get_trials(deepcopy=False)[-1].intermediate_values)
        # The newest may have been reported and not decided.
        self.decided = self.reported - {max(self.reported, default=-1)}

    def __call__(self, step: int, report: EvaluationReport | ClassificationReport) -> None:
        """After a validation and its checkpoint."""
        self.catch_up()

    @cached_property
    def start_counts(self) -> bool:
        """Can the model before the first step be the best?"""
        last = peek(self.run.checkpoints.file("last"), whole=False)
        return not self.steps or bool(last.get("start_counts", True))

    def catch_up(self) -> None:
        """Report and decide every validation of the run that is not yet.

        But for that before the first step where it cannot be the best, as in a graph that grew.
        """
        import optuna

        for line in self.run.metrics.read():
            step = line["step"]
            if line["event"] != "valid" or step in self.decided:
                continue
            if step == 0 and not self.start_counts:
                continue
            if step not in self.reported:
                self.trial.report(self.selection.value(line), step)
                self.reported.add(step)
            self.decided.add(step)
            # At its last step a trial has nothing left to save.
            if step < self.steps and self.trial.should_prune():
                raise optuna.TrialPruned(f"pruned at step {step}")


class Study:
    """A search in a folder of its own, which the caller has made and locked.

    ``with`` opens what the folder holds.
    """

    def __init__(
        self,
        plan: Plan,
        where: Path,
        *,
        kg: KnowledgeGraph | None = None,
        loggers: Sequence[str],
        objectives: Objectives,
        samplers: Samplers,
    ) -> None:
        try:
            import optuna
            import tomli_w  # noqa: F401
        except ModuleNotFoundError:
            raise InputError(
                "tuning: Optuna or tomli-w is missing; install it with: " + install_command("tune")
            ) from None
        # Trials are logged here.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # Its handler prints what the study holds as it is.
        optuna.logging.disable_default_handler()
        optuna.logging.enable_propagation()
        check_loggers(loggers)
        self.plan, self.where, self.loggers, self.read = plan, where, loggers, kg
        self.objectives, self.samplers = objectives, samplers
        self.space = parse_space(plan.space)
        self.config = plan.config()
        self.least = Selection(self.config.train.select).least
        self.direction = "minimize" if self.least else "maximize"
        self.pruner = build_from(PRUNERS, "prune", plan.prune, steps=self.config.train.steps)
        build_from(SEARCHES, "search", plan.search, seed=0)
        #: as it comes back from JSON
        self.definition = json.loads(json.dumps(plan.definition()))
        #: notices on data and recipe, which are those of many trials
        self.said: set[str] = set()

    @cached_property
    def kg(self) -> KnowledgeGraph:
        """The triples of all trials, read once: those named, or else those of the first trial."""
        if self.read is not None:
            return self.read
        first = self.run_of(0)
        if self.named:
            return KnowledgeGraph.load(self.config.data)
        kg = triples_of(self.config, first)
        # Each trial has a copy of its own, so that the first one may be deleted.
        return kg.renamed(kg.name) if kg.source == str(first.graph.resolve()) else kg

    @property
    def named(self) -> bool:
        """Is there a file or a folder that the recipe names?

        Runs that start from another one have the triples of that.
        """
        return os.path.exists(self.config.data) and not self.config.init_from

    def run_of(self, number: int) -> RunFolder:
        """The run of a trial."""
        return RunFolder(self.where / f"trial-{number:04d}")

    def check(self) -> None:
        """Refuse a plan that does not fit the folder or the recipe; writes nothing."""
        path = self.where / "study.json"
        if not path.exists():
            self.check_space()
            return
        before = read_object(path).get("plan")
        if not isinstance(before, dict) or not isinstance(before.get("config"), dict):
            raise InputError(f"{path}: damaged: what the study searches is missing")
        # Read as today: an option that is newer than the study has its default.
        config = RunConfig.parse(before["config"], where=str(path))
        called = config.data
        if self.run_of(0).same_triples(config.data, self.config.data):
            config = replace(config, data=self.config.data)
        old, new = dict(flat({**before, "config": config.plain()})), dict(flat(self.definition))
        for key in {**old, **new}:
            if old.get(key) != new.get(key):
                raise InputError(
                    f"{path}: this study searches otherwise ({key}: {old.get(key)!r} then, "
                    f"{new.get(key)!r} now); --out names another folder"
                )
        self.check_triples(path, called)

    def check_triples(self, path: Path, before: str) -> None:
        """Refuse other triples than the study's, which were called ``before``."""
        then = self.digest_before(path)
        if then not in ("", self.kg.digest):
            raise InputError(
                f"{path}: this study is of other triples ({before!r}, digest {then[:12]}… then; "
                f"{self.config.data!r}, {self.kg.digest[:12]}… now); --out names another folder"
            )

    def digest_before(self, path: Path) -> str:
        """The digest of the study's triples; empty where it is not known."""
        content = read_object(path)
        if "digest" in content:
            return convert(content["digest"], str, f"{path}: ", "digest")
        # Earlier studies have it in their checkpoints alone.
        for run in sorted(self.where.glob("trial-*")):
            with suppress(InputError, LookupError):
                return str(peek(RunFolder(run).checkpoints.file("last"), whole=False)["digest"])
        return ""

    def check_space(self) -> None:
        """Refuse a space with an end or a choice that the recipe does not accept.

        Options that are invalid only in combination end their trials, not the study.
        """
        if probe(self.config, self.kg, self.objectives, self.samplers).evaluator is None:
            raise InputError(f"data: {self.kg.name} has no validation triples to choose by")
        for text, (key, part) in zip(self.plan.space, self.space.items(), strict=True):
            for value in part.extremes:
                if reason := self.refusal({key: value}):
                    raise InputError(f"--space {text}: {written(value)} is refused: {reason}")
            whole = isinstance(part, Numbers) and part.whole
            if whole and not self.refusal({key: part.extremes[0] + 0.5}):
                raise InputError(
                    f"--space {text}: {key} takes fractions; write 0.0..1.0 for what lies between "
                    "0 and 1, or 0,1 for either"
                )

    def refusal(self, params: dict[str, Any]) -> str:
        """Why a run with these options is refused; empty where it is not."""
        try:
            probe(self.plan.config(params), self.kg, self.objectives, self.samplers)
        except InputError as error:
            return str(error)
        return ""

    def __enter__(self) -> "Study":
        sweep(self.where, alone=True)
        if not (self.where / "study.json").exists():
            if any(self.where.iterdir()):
                raise InputError(
                    f"{self.where}: holds something else than a study; --out names another folder"
                )
            write_results(self.where, self.definition, self.kg.digest, [], None)
        self.open()
        return self

    def __exit__(self, *error: object) -> None:
        _close(self.storage)

    def open(self) -> None:
        """Open Optuna's study, made under another name first: a kill leaves none half made."""
        import optuna

        path, beside = self.where / "study.db", self.where / "study.db.new"
        if not path.exists():
            for left in self.where.glob(f"{beside.name}*"):
                left.unlink()
            storage = _storage(beside)
            optuna.create_study(
                storage=storage, study_name=self.where.resolve().name, direction=self.direction
            )
            _close(storage)
            beside.replace(path)
        with readable(path):
            self.storage = _storage(path)
            self.load(path)
            self.check_trials(path)

    def load(self, path: Path) -> None:
        """Load Optuna's study."""
        import optuna

        # Its name is that of the folder when it was made.
        names = optuna.get_all_study_names(self.storage)
        if len(names) != 1:
            raise InputError(f"{path}: expected one study of Optuna's, got {len(names)}")
        self.optuna = optuna.load_study(
            study_name=names[0],
            storage=self.storage,
            # Not used: ``propose`` has its own.
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=self.pruner,
        )

    def check_trials(self, path: Path) -> None:
        """Refuse trials that this study cannot have written."""
        if self.optuna.direction.name.lower() != self.direction:
            raise InputError(f"{path}: expected a study to {self.direction}, got another direction")
        space = {key: distribution(part) for key, part in self.space.items()}
        found = self.optuna.get_trials(deepcopy=False)
        for number, frozen in enumerate(found):
            if reason := wrong_with(frozen, space, last=number == len(found) - 1):
                raise InputError(f"{path}: damaged: trial {frozen.number}: {reason}")
            if frozen.number != number:
                raise InputError(f"{path}: damaged: expected trial {number}, got {frozen.number}")

    def run(self, trials: int) -> list[Trial]:
        """Continue until there are ``trials`` trials, and return them."""
        known = len(self.optuna.get_trials(deepcopy=False))
        if known > trials:
            raise InputError(
                f"--trials: expected at least {known}, which {self.where} has already, got {trials}"
            )
        while True:
            found = self.write(trials)
            running = bool(found) and found[-1].state == "running"
            if len(found) == trials and not running:
                return found
            if not running:
                self.propose()
            self.train_newest()

    def propose(self) -> None:
        """Add the next trial with all its options, by a search algorithm seeded by its number."""
        import optuna

        before = self.optuna.get_trials(deepcopy=False)
        seed = zlib.crc32(f"{self.config.train.seed}/{len(before)}".encode())
        proposer = optuna.create_study(
            direction=self.direction,
            sampler=build_from(SEARCHES, "search", self.plan.search, seed=seed),
            pruner=optuna.pruners.NopPruner(),
        )
        proposer.add_trials(before)
        space = {key: distribution(part) for key, part in self.space.items()}
        self.optuna.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING,
                params=proposer.ask(space).params,
                distributions=space,
            )
        )

    def train_newest(self) -> None:
        """Train the newest trial to its end, or continue it, and record how it ended."""
        import optuna

        frozen = self.optuna.get_trials(deepcopy=False)[-1]
        run = self.run_of(frozen.number)
        known, reason = run.exists, ""
        try:
            config = self.plan.config(self.trials()[-1].params)
            trial = optuna.trial.Trial(self.optuna, frozen._trial_id)
            pruning = Pruning(trial, run, config)
            train(
                config,
                run.path,
                kg=self.kg,
                resume=True,
                loggers=self.loggers,
                watch=pruning,
                objectives=self.objectives,
                samplers=self.samplers,
                said=self.said,
            )
            pruning.catch_up()
        except optuna.TrialPruned as end:
            reason = str(end)
        except FloatingPointError as error:
            reason = f"diverged: {error}"
        except NoRoomError as error:
            reason = f"out of memory: {error}"
        except InputError as error:
            if known:
                # Its options were accepted before; something else is wrong.
                raise
            reason = f"refused: {error}"
        except KeyboardInterrupt as stop:
            raise type(stop)(f"in {self.where}; the same command continues") from None
        if reason:
            self.storage.set_trial_user_attr(frozen._trial_id, "reason", reason)
            self.optuna.tell(frozen.number, state=optuna.trial.TrialState.PRUNED)
        else:
            self.optuna.tell(frozen.number, self.trials()[-1].value)
        log.info("%s", self.trials()[-1])

    def trials(self) -> list[Trial]:
        """All trials so far."""
        found = self.optuna.get_trials(deepcopy=False)
        return [Trial.of(frozen, self.space, least=self.least) for frozen in found]

    def write(self, trials: int) -> list[Trial]:
        """Write the files of all trials so far, of ``trials`` wanted, and the best as a recipe."""
        found = self.trials()
        best = best_of(found, least=self.least)
        write_results(self.where, self.definition, self.kg.digest, found, best)
        if best is not None:
            config = replace(self.plan.config(best.params), data=self.data_of(best))
            config = with_whole_paths(config, self.samplers)
            write_best(self.where / "best.toml", best, config, trials=trials)
        return found

    def data_of(self, best: Trial) -> str:
        """The triples by a name or a path that holds in any working folder.

        A recipe does not resolve paths by its own folder.
        """
        if self.kg.source:
            return self.kg.source
        data = self.config.data
        return os.path.abspath(data if self.named else self.run_of(best.number).triples(data))


def with_whole_paths(config: RunConfig, samplers: Samplers) -> RunConfig:
    """A configuration that finds its files, and the run it starts from, in any working folder.

    The name of a run under ``runs``, which stands for one of each seed, remains.
    """
    parts = [replace(part, options=dict(part.options)) for part in config.sampler]
    for key, file in sampler_files(config, samplers).items():
        number, _, option = key.partition(".")
        parts[int(number)].options[option] = os.path.abspath(file)
    files = {key: os.path.abspath(file) for key, file in restricting(config.evaluation).items()}
    config = replace(config, sampler=tuple(parts), evaluation=replace(config.evaluation, **files))
    if config.init_from:
        # All else is that run's, and must be as there.
        there = RunFolder(Path(config.init_from)).exists
        return replace(config, init_from=os.path.abspath(config.init_from)) if there else config
    if rows := config.encoder.options.get("initial_from"):
        options = {**config.encoder.options, "initial_from": os.path.abspath(rows)}
        config = replace(config, encoder=replace(config.encoder, options=options))
    if config.features is None:
        return config
    tables = {
        name: replace(
            table,
            file=os.path.abspath(table.file),
            names=table.names and os.path.abspath(table.names),
        )
        for name, table in config.features.table.items()
    }
    return replace(config, features=replace(config.features, table=tables))


def wrong_with(frozen: "optuna.trial.FrozenTrial", space: Mapping[str, Any], *, last: bool) -> str:
    """What a study cannot have written into a trial, in some words; empty where all is well."""
    state, metrics = frozen.state.name.lower(), frozen.intermediate_values
    if state not in ("complete", "pruned", *["running"] * last):
        return f"expected complete or pruned, got {state}"
    if frozen.datetime_start is None or (state != "running" and frozen.datetime_complete is None):
        return "its dates are missing"
    if frozen.params.keys() != space.keys():
        names = ", ".join(sorted(frozen.params.keys() ^ space.keys()))
        return f"its options are not those searched, as to {shown(names)}"
    for key, part in space.items():
        if frozen.distributions[key] != part:
            return f"{key}: was searched otherwise"
        if not part._contains(part.to_internal_repr(frozen.params[key])):
            return f"{key}: {shown(frozen.params[key])} is not among what is searched"
    for step, value in metrics.items():
        if not (isinstance(step, int) and isinstance(value, float) and math.isfinite(value)):
            return f"step {shown(step)}: expected a metric, got {shown(value)}"
    if state == "complete" and not metrics:
        return "complete, without any validation"
    for value in frozen.values or [None] * (state == "complete"):
        if not (isinstance(value, float) and math.isfinite(value)):
            return f"expected a metric, got {shown(value)}"
    if not isinstance(frozen.user_attrs.get("reason", ""), str):
        return "the reason of its end is no text"
    return ""


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn whatever Optuna raises as it reads a damaged study into an ``InputError``."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (InputError, OSError, MemoryError, SQLAlchemyError, StorageInternalError):
        raise
    except Exception as error:
        # Optuna promises nothing of content that it did not write: its readers assert, look up,
        # parse and convert.
        sentence = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(
            f"{path}: damaged, or made by another release of Optuna: {sentence}; "
            "--out names another folder"
        ) from error


@contextmanager
def database_errors(where: Path) -> Iterator[None]:
    """Turn errors of a study's database (damaged, full, read-only) into ``InputError``."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__ or error
        reason = str(cause).splitlines()[0]
        raise InputError(f"{where / 'study.db'}: {reason}; what was written is kept") from None


def _storage(path: Path) -> "optuna.storages.RDBStorage":
    # By connection, as a URL cannot hold every file name.
    import optuna

    return optuna.storages.RDBStorage(
        "sqlite://", engine_kwargs={"creator": lambda: sqlite3.connect(path)}
    )


def _close(storage: "optuna.storages.RDBStorage") -> None:
    storage.remove_session()
    storage.engine.dispose()
