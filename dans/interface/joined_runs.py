"""Several trained runs as one: queried, scored and evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from dans.data.graph import Split
from dans.errors import listed
from dans.evaluation.candidate_sets import Among
from dans.evaluation.evaluator import EvaluationReport, Unseen
from dans.interface.run import Prediction, Run, checked_query, same_checkpoint
from dans.predict import ScoredTriple
from dans.predict.ensemble import Ensemble as Joint
from dans.predict.ensemble import Join, check_members


class Ensemble:
    """Several trained runs on the same triples, whose answers are joined.

    Candidates are ordered by a mean over the runs, as ``dans.predict.ensemble.Ensemble`` says.
    Beside each answer stands the standard deviation, between the runs, of its rank, and of its
    probability where each run has a calibration.

    Args:
        runs: two or more, or their folders.
        join: what is averaged: ``ranks``, ``z-scores``, ``softmax`` or ``probabilities``; None:
            ``probabilities`` where each run has a calibration on labelled lines, ``z-scores``
            elsewhere.

    Raises:
        InputError: fewer than two runs, one of them twice, some opened at their best checkpoint and
            others at their last, a folder without a run, or an unknown join.
    """

    def __init__(self, runs: Sequence[Run | str | Path], *, join: Join | None = None) -> None:
        members = listed("ensemble", runs, "runs")
        opened = [run if isinstance(run, Run) else Run(run) for run in members]
        self.paths = tuple(run.path for run in opened)
        check_members(self.paths, join)
        self._which = same_checkpoint(opened)
        self._join: Join | None = join

    def __repr__(self) -> str:
        return f"Ensemble({', '.join(map(str, self.paths))})"

    @cached_property
    def predictor(self) -> Joint:
        """Predictions for many queries at once; the runs are loaded when it is first used."""
        return Joint.of_runs(self.paths, join=self._join, which=self._which)

    def evaluate(
        self,
        split: Split = "test",
        *,
        unseen: Unseen = "rank",
        most: int = 0,
        seed: int = 0,
        among: Among | None = None,
    ) -> EvaluationReport:
        """Rank the triples of a split, as ``Run.evaluate``; nothing is written.

        Labelled lines are classified by the mean of the runs' calibrated probabilities.
        Without ``among``, candidates are restricted as the recipes of all runs say; where they
        differ, that is an ``InputError``.
        """
        return self.predictor.evaluate(split, unseen=unseen, most=most, seed=seed, among=among)

    def predict(
        self,
        head: str | None = None,
        relation: str | None = None,
        tail: str | None = None,
        *,
        top: int = 10,
        new_only: bool = False,
        among: Among | None = None,
    ) -> Prediction:
        """The best answers to a query, as ``Run.predict``; each is a ``JointAnswer``."""
        query = checked_query(head, relation, tail, among)
        return Prediction.of(self.predictor, query, top=top, new_only=new_only, among=among)

    def score(
        self, triples: Sequence[tuple[str, str, str]], *, among: Among | None = None
    ) -> list[ScoredTriple]:
        """Scores of whole triples by name, with their filtered ranks, as ``JointTriple``."""
        return self.predictor.rank(triples, among=among)
