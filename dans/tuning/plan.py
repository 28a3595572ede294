"""The plan of a study: recipe, search space, search algorithm and pruner."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dans.config.recipes import Recipe, component
from dans.config.schema import RunConfig
from dans.errors import InputError, not_negative
from dans.registry import build
from dans.runs.init_from import RUNS
from dans.runs.train import configure
from dans.tuning.spaces import Numbers, Part, written

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
else:
    # ``dans.registry`` evaluates the annotations.
    BasePruner = BaseSampler = Any


def tpe(seed: int, *, startup: int = 10) -> BaseSampler:
    """Tree-structured Parzen estimators (Bergstra et al. 2011), after ``startup`` random trials."""
    import optuna

    not_negative("startup", startup)
    return optuna.samplers.TPESampler(n_startup_trials=startup, seed=seed)


def random_search(seed: int) -> BaseSampler:
    """Random search."""
    import optuna

    return optuna.samplers.RandomSampler(seed=seed)


def median(steps: int, *, startup: int = 5, warmup: int | None = None) -> BasePruner:
    """Stop a trial whose best metric so far is worse than the median of finished trials there."""
    return percentile(steps, percent=50.0, startup=startup, warmup=warmup)


def percentile(
    steps: int, *, percent: float = 25.0, startup: int = 5, warmup: int | None = None
) -> BasePruner:
    """Stop a trial that is not among the best ``percent`` per cent of finished trials there.

    None is stopped before ``startup`` trials are finished, or in its first ``warmup`` steps; None:
    a quarter of the ``steps`` of training.
    """
    import optuna

    not_negative("startup", startup)
    not_negative("warmup", warmup or 0)
    if not 0 < percent < 100:
        raise InputError(f"percent: expected between 0 and 100, got {percent}")
    first = steps // 4 if warmup is None else warmup
    return optuna.pruners.PercentilePruner(percent, startup, n_warmup_steps=first)


def no_pruner() -> BasePruner:
    """Stop no trial."""
    import optuna

    return optuna.pruners.NopPruner()


#: Search algorithms by name.
SEARCHES: dict[str, Callable[..., BaseSampler]] = {"random": random_search, "tpe": tpe}

#: Pruners by name. Each decides by reported metrics alone; Hyperband also keeps notes, and a kill
#: between a note and the end of a trial would change the study.
PRUNERS: dict[str, Callable[..., BasePruner]] = {
    "median": median,
    "none": no_pruner,
    "percentile": percentile,
}


@dataclass(frozen=True)
class DraftRecipe(Recipe):
    """A recipe as plain data, under the name of a file that is not written."""

    sections: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """A copy of its sections."""
        return deepcopy(dict(self.sections))


@dataclass(frozen=True)
class Plan:
    """A recipe, the options that vary, and the algorithms of the search.

    Args:
        kind: of the runs: ``pretrain``, ``dans`` or ``baselines``.
        space: texts for ``dans.tuning.spaces.parse_space``.
        assignments: ``section.option=value``, for all trials.
        search: a name in ``SEARCHES``, with options as ``tpe:startup=20``.
        prune: a name in ``PRUNERS``, with options as ``median:warmup=100``.
    """

    recipe: Path | Recipe
    kind: str
    space: tuple[str, ...]
    assignments: tuple[str, ...] = ()
    search: str = "tpe"
    prune: str = "median"

    @property
    def folder(self) -> Path:
        """The default folder of the study."""
        return RUNS / "tune" / self.kind / self.recipe.stem

    def config(self, params: dict[str, Any] | None = None) -> RunConfig:
        """The recipe's configuration with a trial's options."""
        chosen = [f"{key}={written(value)}" for key, value in (params or {}).items()]
        return configure(self.recipe, [*self.assignments, *chosen])

    def definition(self) -> dict[str, Any]:
        """What may not change when the study is continued."""
        return {
            "kind": self.kind,
            "config": self.config().plain(),
            "space": {text.partition("=")[0]: text.partition("=")[2] for text in self.space},
            "search": self.search,
            "prune": self.prune,
        }


def build_from(table: dict[str, Callable[..., Any]], where: str, text: str, **known: object) -> Any:
    """A member of a table, from ``name:option=value``."""
    part = component(text)
    return build(table, part.name, where=where, given=part.options, **known)


def distribution(part: Part) -> Any:
    """A part of a space as Optuna's distribution."""
    from optuna import distributions

    if not isinstance(part, Numbers):
        return distributions.CategoricalDistribution(tuple(part.values))
    if part.whole:
        return distributions.IntDistribution(part.low, part.high, log=part.log, step=part.step or 1)
    return distributions.FloatDistribution(part.low, part.high, log=part.log, step=part.step)
