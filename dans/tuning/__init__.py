"""Search for the options of a recipe that give the best validation figure.

Needs Optuna (``pip install 'dans[tune]'``). A study is a folder: ``study.db`` has its trials, in
Optuna's own format; every trial is the folder of a run; ``study.json`` and ``trials.csv`` tell of
them, and ``best.toml`` is the best as a recipe. Test triples are never ranked.

A study that is killed continues by the same command, with the trial that was at work, and ends as
if it had not been.
"""

from collections.abc import Sequence
from pathlib import Path

from dans.errors import InputError
from dans.objectives.base import OBJECTIVES
from dans.runs.build import Objectives, Samplers
from dans.runs.init_from import DOORS, folder
from dans.samplers import SAMPLERS
from dans.training.files import Lock
from dans.tuning.plan import Plan
from dans.tuning.study import Study, database_errors
from dans.tuning.trials import best_of


def tune(
    plan: Plan,
    trials: int,
    *,
    where: Path | None = None,
    track: Sequence[str] = (),
    objectives: Objectives = OBJECTIVES,
    samplers: Samplers = SAMPLERS,
) -> str:
    """Search, or continue with a search, until there are so many trials.

    Args:
        plan: what is searched, and how.
        trials: how many there shall be in all.
        where: the folder; None: that of the plan.
        track: who is told of each run's numbers; see ``dans.training.trackers``.
        objectives: those that can be chosen, by name.
        samplers: likewise.

    Returns:
        What was found, and how to train it, in a sentence.

    Raises:
        InputError: the plan or the folder cannot be used, or no trial came to its end.
    """
    if trials < 1:
        raise InputError(f"--trials: expected at least 1, got {trials}")
    where = where or plan.folder
    study = Study(plan, where, track=track, objectives=objectives, samplers=samplers)
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
        f"python scripts/{DOORS[plan.kind]} --recipe {where / 'best.toml'} --out {out}"
    )
