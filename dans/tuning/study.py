"""A study at work: proposes trials, trains them, and writes down how they ended.

Everything that decides is a function of what is kept: a trial's options, of the seed, its number
and the trials before it; a trial's end, of what its run reported. So a study that is killed ends as
if it had not been.
"""

import json
import logging
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dans.config.reading import read_object
from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.memory import NoRoomError
from dans.runs.build import Objectives, Samplers, build_trainer
from dans.runs.train import train
from dans.training.files import sweep
from dans.training.run import Run
from dans.training.tracker import options
from dans.training.trackers import check_trackers
from dans.tuning.follow import Follower
from dans.tuning.plan import PRUNERS, SEARCHES, Plan, built, distribution
from dans.tuning.spaces import Numbers, parse_space, written
from dans.tuning.trials import Trial, best_of, write_best, write_results

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)


def check_optuna() -> None:
    """Is it there?

    Raises:
        InputError: it is not; the message says what brings it.
    """
    try:
        import optuna
        import tomli_w  # noqa: F401  (the best trial is written by it)
    except ModuleNotFoundError:
        raise InputError(
            "tuning: Optuna or tomli-w is missing; install it with: pip install 'dans[tune]'"
        ) from None
    # It tells of every trial itself, and so do we.
    optuna.logging.set_verbosity(optuna.logging.WARNING)


class Study:
    """A search in a folder of its own, which the caller has made and keeps others out of.

    ``with`` opens what the folder holds.

    Args:
        plan: what is searched.
        where: the folder.
        track: who is told of each run's numbers; see ``dans.training.trackers``.
        objectives: those that can be chosen, by name.
        samplers: likewise.

    Raises:
        InputError: the plan cannot be used.
    """

    def __init__(
        self,
        plan: Plan,
        where: Path,
        *,
        track: Sequence[str],
        objectives: Objectives,
        samplers: Samplers,
    ) -> None:
        check_optuna()
        check_trackers(track)
        self.plan, self.where, self.track = plan, where, track
        self.objectives, self.samplers = objectives, samplers
        self.space = parse_space(plan.space)
        self.config = plan.config()
        self.least = self.config.train.select == "nll"
        self.direction = "minimize" if self.least else "maximize"
        self.pruner = built(PRUNERS, "prune", plan.prune, steps=self.config.train.steps)
        built(SEARCHES, "search", plan.search, seed=0)
        #: as it comes back from JSON
        self.definition = json.loads(json.dumps(plan.definition()))

    def check(self) -> None:
        """Can this be searched here? Writes nothing.

        Raises:
            InputError: the folder holds another study, or the space is wrong.
        """
        path = self.where / "study.json"
        if not path.exists():
            self.check_space()
            return
        before = read_object(path).get("plan")
        if not isinstance(before, dict) or not isinstance(before.get("config"), dict):
            raise InputError(f"{path}: damaged: what the study searches is missing")
        # As it is read today: an option that came since has its default.
        config = RunConfig.parse(before["config"], where=str(path)).plain()
        old, new = dict(options({**before, "config": config})), dict(options(self.definition))
        for key in [*old, *(key for key in new if key not in old)]:
            if old.get(key) != new.get(key):
                raise InputError(
                    f"{path}: this study searches otherwise ({key}: {old.get(key)!r} then, "
                    f"{new.get(key)!r} now); --out names another folder"
                )

    def check_space(self) -> None:
        """Refuse a space of which some end or choice is refused beside the recipe as it stands.

        What is refused only beside other choices of the space ends trials, not the study.

        Raises:
            InputError: the message names the option and the value.
        """
        kg = KnowledgeGraph.load(self.config.data)
        if build_trainer(self.config, kg, None, self.objectives, self.samplers).evaluator is None:
            raise InputError(f"data: {kg.name} has no validation triples to choose by")
        for text, (key, part) in zip(self.plan.space, self.space.items(), strict=True):
            for value in part.tried:
                if reason := self.refusal({key: value}, kg):
                    raise InputError(f"--space {text}: {written(value)} is refused: {reason}")
            whole = isinstance(part, Numbers) and part.whole
            if whole and not self.refusal({key: part.tried[0] + 0.5}, kg):
                raise InputError(
                    f"--space {text}: {key} takes fractions; write 0.0..1.0 for what lies between "
                    "0 and 1, or 0,1 for either"
                )

    def refusal(self, params: dict[str, Any], kg: KnowledgeGraph) -> str:
        """Why a run with these options cannot be; empty where it can."""
        try:
            build_trainer(self.plan.config(params), kg, None, self.objectives, self.samplers)
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
            write_results(self.where, self.definition, [], None)
        self.open()
        return self

    def __exit__(self, *error: object) -> None:
        _let_go(self.storage)

    def open(self) -> None:
        """Open Optuna's study; made beside its place, so that a kill leaves none half made.

        Raises:
            InputError: it is damaged, or another program's.
        """
        import optuna

        path, beside = self.where / "study.db", self.where / "study.db.new"
        if not path.exists():
            for left in self.where.glob(f"{beside.name}*"):
                left.unlink()
            storage = _storage(beside)
            optuna.create_study(
                storage=storage, study_name=str(self.where), direction=self.direction
            )
            _let_go(storage)
            beside.replace(path)
        self.storage = _storage(path)
        # By whatever name: the folder may have been moved.
        names = optuna.get_all_study_names(self.storage)
        if len(names) != 1:
            raise InputError(f"{path}: expected one study of Optuna's, got {len(names)}")
        self.optuna = optuna.load_study(
            study_name=names[0],
            storage=self.storage,
            # Never asked; see ``propose``.
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=self.pruner,
        )

    def run(self, trials: int) -> list[Trial]:
        """Go on until there are so many trials; all of them, as they ended.

        Raises:
            InputError: there are more already.
        """
        found = self.optuna.get_trials(deepcopy=False)
        if len(found) > trials:
            raise InputError(
                f"--trials: expected at least {len(found)}, which {self.where} has already, "
                f"got {trials}"
            )
        while True:
            told = self.tell(trials)
            if len(told) == trials and told[-1].state != "running":
                return told
            if not told or told[-1].state != "running":
                self.propose()
            self.go_on()

    def propose(self) -> None:
        """Write down the next trial: its options all at once, or not at all."""
        import optuna

        before = self.optuna.get_trials(deepcopy=False)
        seed = zlib.crc32(f"{self.config.train.seed}/{len(before)}".encode())
        mirror = optuna.create_study(
            direction=self.direction,
            sampler=built(SEARCHES, "search", self.plan.search, seed=seed),
            pruner=optuna.pruners.NopPruner(),
        )
        mirror.add_trials(before)
        space = {key: distribution(part) for key, part in self.space.items()}
        self.optuna.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING,
                params=mirror.ask(space).params,
                distributions=space,
            )
        )

    def go_on(self) -> None:
        """Train the newest trial to its end, from wherever it stands; write down how it ended."""
        import optuna

        frozen = self.optuna.get_trials(deepcopy=False)[-1]
        params = self.trial(frozen).params
        run = Run(self.where / f"trial-{frozen.number:04d}")
        follower = Follower(optuna.trial.Trial(self.optuna, frozen._trial_id), run)
        known, reason = run.exists, ""
        try:
            config = self.plan.config(params)
            follower.begin(config, frozen.intermediate_values)
            train(
                config,
                run.path,
                resume=True,
                track=self.track,
                watch=follower,
                objectives=self.objectives,
                samplers=self.samplers,
            )
            follower.catch_up()
        except optuna.TrialPruned as end:
            reason = str(end)
        except FloatingPointError as error:
            reason = f"diverged: {error}"
        except NoRoomError as error:
            reason = f"out of memory: {error}"
        except InputError as error:
            if known:
                # Its options were good enough to begin with; something else is wrong.
                raise
            reason = f"refused: {error}"
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"in {self.where}; the same command continues") from None
        self.end(frozen.number, frozen._trial_id, reason)

    def end(self, number: int, known_as: int, reason: str) -> None:
        """Tell Optuna how a trial ended: with its best figure, or early for a reason."""
        import optuna

        if reason:
            self.storage.set_trial_user_attr(known_as, "reason", reason)
            self.optuna.tell(number, state=optuna.trial.TrialState.PRUNED)
        else:
            frozen = self.optuna.get_trials(deepcopy=False)[number]
            self.optuna.tell(number, self.trial(frozen).value)
        log.info("%s", self.trial(self.optuna.get_trials(deepcopy=False)[number]))

    def trial(self, frozen: "optuna.trial.FrozenTrial") -> Trial:
        """One of Optuna's trials in plain words."""
        return Trial.of(frozen, self.space, least=self.least)

    def tell(self, wanted: int) -> list[Trial]:
        """Write down all trials so far, and the best as a recipe."""
        trials = [self.trial(frozen) for frozen in self.optuna.get_trials(deepcopy=False)]
        best = best_of(trials, least=self.least)
        write_results(self.where, self.definition, trials, best)
        if best is not None:
            config = self.plan.config(best.params)
            write_best(self.where / "best.toml", best, config, trials=wanted)
        return trials


@contextmanager
def database_errors(where: Path) -> Iterator[None]:
    """Say in a sentence what is wrong with the database of a study: damaged, full, read-only.

    Raises:
        InputError: that sentence.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__ or error
        reason = str(cause).splitlines()[0]
        raise InputError(f"{where / 'study.db'}: {reason}; what was written is kept") from None


def _storage(path: Path) -> "optuna.storages.RDBStorage":
    """A file as Optuna stores studies; by a connection, for the file may have any name."""
    import optuna

    return optuna.storages.RDBStorage(
        "sqlite://", engine_kwargs={"creator": lambda: sqlite3.connect(path)}
    )


def _let_go(storage: "optuna.storages.RDBStorage") -> None:
    """Close the files of a storage."""
    storage.remove_session()
    storage.engine.dispose()
