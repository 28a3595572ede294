"""Hyperparameter search for the options of a recipe with the best validation metric.

Needs Optuna (the extra ``tune``). A study is a folder: ``study.db`` holds the trials in
Optuna's format, every trial is the folder of a run, ``study.json`` and ``trials.csv`` list them,
and ``best.toml`` is the best as a recipe. Test triples are never ranked.

The same command continues a study that was killed, from the trial that was running, to the same
end as without the kill.
"""

from dans.tuning.plan import DraftRecipe, Plan
from dans.tuning.study import Study, tune

__all__ = ["DraftRecipe", "Plan", "Study", "tune"]
