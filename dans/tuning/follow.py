"""A trial's run, watched: what is reported of it, and when it is ended."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dans.config.schema import RunConfig
from dans.evaluation.classifier import ClassificationReport
from dans.evaluation.evaluator import EvaluationReport
from dans.training.run_folder import RunFolder

if TYPE_CHECKING:
    import optuna

#: Where a record of validation has the figure that chooses, by ``train.select``.
FIGURES = {"mrr": ("both", "mrr"), "nll": ("classification", "nll")}


class Follower:
    """Reports the validations of a trial's run, and ends it where the pruner says so.

    A kill may have come between a validation and its report, or its report and the decision. So
    what a run has recorded is looked at, not only what it tells now; and every step is decided by
    itself, on what was reported up to there.

    Args:
        trial: Optuna's.
        run: the trial's run.
    """

    def __init__(self, trial: "optuna.trial.Trial", run: RunFolder) -> None:
        self.trial, self.run = trial, run

    def begin(self, config: RunConfig, reported: Iterable[int]) -> None:
        """The run begins, or continues.

        Args:
            config: the run's.
            reported: steps of which Optuna knows already.
        """
        self.steps = config.train.steps
        self.selection_metric = FIGURES[config.train.select]
        self.reported = set(reported)
        # The newest may have been reported and not decided.
        self.decided = self.reported - {max(self.reported, default=-1)}

    def __call__(self, step: int, report: EvaluationReport | ClassificationReport) -> None:
        """A validation, its checkpoint written."""
        self.catch_up()

    def catch_up(self) -> None:
        """Report and decide what has not been.

        Raises:
            optuna.TrialPruned: the trial is to end here.
        """
        import optuna

        section, name = self.selection_metric
        for line in self.run.metrics.read():
            step = line["step"]
            if line["event"] != "valid" or step in self.decided:
                continue
            if step not in self.reported:
                self.trial.report(line[section][name], step)
                self.reported.add(step)
            self.decided.add(step)
            # At its last step a trial has nothing left to save.
            if step < self.steps and self.trial.should_prune():
                raise optuna.TrialPruned(f"pruned at step {step}")
