"""Runs to numbers: how well a trained run ranks a split, and tells true from false."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dans.analysis.reliability import expected_error
from dans.data.graph import KnowledgeGraph, Split
from dans.errors import InputError
from dans.evaluation.calibration import CALIBRATIONS, Calibration, Fitted
from dans.evaluation.classification import (
    accuracy,
    auc,
    both_kinds,
    brier,
    classification,
    nll,
    thresholds,
)
from dans.evaluation.classifier import Classifier, logits
from dans.evaluation.evaluator import EvaluationReport, Evaluator, Unseen
from dans.memory import Budget, stated
from dans.registry import choose
from dans.runs.train import Trained, load
from dans.training.run import Run, Which, run_budget

log = logging.getLogger(__name__)


def judge(
    where: Path,
    *,
    split: Split = "test",
    which: Which = "best",
    unseen: Unseen = "rank",
    memory_budget: str | int = "",
) -> EvaluationReport:
    """Evaluate a run on a split and keep the report in its folder.

    ``report.json`` is the best model on the test split; any other choice is in the file's name; see
    ``report_name``. A split whose lines are labelled true and false is classified too, and where
    validation is labelled, what is fitted on it is kept in the folder: see ``kept_or_fitted``.

    Args:
        where: the run's folder.
        split: its triples.
        which: of its checkpoints.
        unseen: what becomes of triples with an entity that training never saw.
        memory_budget: what may be held at a time, as ``train.memory_budget`` has it; empty: as the
            run was trained with. No number depends on it.

    Raises:
        InputError: the run cannot be evaluated, or not even one query fits in the budget.
    """
    stated(memory_budget)
    trained = load(where, which=which)
    if not len(trained.kg.split(split)):
        raise InputError(f"{trained.kg.name}: has no {split} triples")
    budget = budget_of(where, trained, memory_budget)
    evaluator = Evaluator(trained.kg, split, unseen=unseen, budget=budget)
    report = evaluator(trained.model.decoder, trained.entities)
    content: dict[str, Any] = {"model": which, "step": trained.step}
    content["seed"] = trained.config.train.seed
    if has_both(trained.kg, split):
        fitted = None
        if has_both(trained.kg, "valid"):
            try:
                fitted = kept_or_fitted(where, trained, which, budget=budget)
            except InputError as error:
                log.warning("%s: %s; nothing is calibrated", where, error)
                fitted = fit(trained, {}, budget=budget)
            keep(where, which, fitted)
        content["classification"] = classify(trained, split, fitted, budget=budget)
    name = report_name(split=split, which=which, unseen=unseen)
    Run(where).write_json(name, {**report.to_json(), **content})
    return report


def budget_of(where: Path, trained: Trained, memory_budget: str | int = "") -> Budget:
    """What evaluation a run may hold at a time; see ``judge``."""
    asked = memory_budget or trained.config.train.memory_budget
    return run_budget(Run(where), asked, trained.entities.device)


def report_name(*, split: Split = "test", which: Which = "best", unseen: Unseen = "rank") -> str:
    """The file that a report is kept in.

    Example:
        >>> report_name(), report_name(split="valid", which="last")
        ('report.json', 'report.valid.last.json')
    """
    usual = {"split": "test", "which": "best", "unseen": "rank"}
    asked = {"split": split, "which": which, "unseen": unseen}
    names = ["report", *(value for key, value in asked.items() if value != usual[key])]
    return f"{'.'.join(names)}.json"


def classify(
    trained: Trained,
    split: Split,
    fitted: Fitted | None = None,
    *,
    budget: Budget | None = None,
) -> dict[str, Any]:
    """How well a model tells the true lines of a labelled split from the false ones.

    Args:
        trained: the model.
        split: its lines.
        fitted: on validation; of the split ``valid`` itself, its numbers flatter.
        budget: what may be held at a time.

    Returns:
        What ``dans.evaluation.classification.classification`` says of the logits as they are, with
        the accuracy by ``threshold``: by that of each relation, where some are fitted, or 0. By the
        name of each calibration fitted: ``auc``, ``brier``, ``nll`` and ``ece``.

    Raises:
        InputError: the split has no labelled lines of both kinds.
    """
    classifier = Classifier(trained.kg, split, budget=budget)
    scores = classifier.scores(trained.model.decoder, trained.entities)
    labels = classifier.holds
    content: dict[str, Any] = dict(classification(scores, labels))
    content |= {"ece": expected_error(scores.double().sigmoid(), labels), "threshold": "zero"}
    if fitted is None:
        return content
    cuts = torch.tensor(fitted.thresholds, dtype=torch.float64)[classifier.lines[:, 1]]
    content |= {"accuracy": accuracy(scores, labels, cuts), "threshold": "by relation"}
    for name, calibration in fitted.calibrations.items():
        logits = calibration.logits(scores)
        content[name] = {
            "auc": auc(logits, labels),
            "brier": brier(logits, labels),
            "nll": nll(logits, labels),
            "ece": expected_error(calibration.probabilities(scores), labels),
        }
    return content


def classification_table(content: Mapping[str, Any] | None) -> list[str]:
    """The lines to print of what ``classify`` returned: before and after each calibration."""
    if content is None:
        return []
    metrics = ("auc", "nll", "brier", "ece")
    rows = {"as is": content} | {name: content[name] for name in CALIBRATIONS if name in content}
    lines = ["".join([f"{'calibration':<12}", *(f"{metric:>11}" for metric in metrics)])]
    for name, numbers in rows.items():
        lines.append("".join([f"{name:<12}", *(f"{numbers[metric]:>11.4f}" for metric in metrics)]))
    return [*lines, f"accuracy {content['accuracy']:.4f}, threshold {content['threshold']}"]


def calibrate(where: Path, which: Which = "best") -> Fitted:
    """Fit thresholds and calibrations of a run on its validation lines anew, and keep them there.

    ``calibration.json`` is of the best model, ``calibration.last.json`` of the last one.

    Raises:
        InputError: the validation lines are not labelled true and false, the scores of the model
            tell nothing apart, or scikit-learn is missing.
    """
    trained = load(where, which=which)
    return keep(where, which, fit(trained, budget=budget_of(where, trained)))


def calibration_name(which: Which = "best") -> str:
    """The file that a calibration is kept in."""
    return "calibration.json" if which == "best" else f"calibration.{which}.json"


def fit(
    trained: Trained,
    kinds: Mapping[str, type[Calibration]] = CALIBRATIONS,
    *,
    budget: Budget | None = None,
) -> Fitted:
    """Thresholds and calibrations of a model, from its validation lines.

    Args:
        trained: the model.
        kinds: the calibrations to fit, by name; none of them: thresholds alone.
        budget: what may be held at a time.

    Raises:
        InputError: see ``calibrate``.
    """
    if not has_both(trained.kg, "valid"):
        raise InputError(
            f"{trained.kg.name}: calibration needs validation lines that are labelled true and "
            "false; this data set has none"
        )
    classifier = Classifier(trained.kg, "valid", budget=budget)
    scores = classifier.scores(trained.model.decoder, trained.entities)
    labels, relations = classifier.holds, classifier.lines[:, 1]
    cuts = thresholds(scores, labels, relations, trained.kg.num_relations)
    calibrations = {name: kind.fit(scores, labels) for name, kind in kinds.items()}
    return Fitted(trained.step, trained.digest, tuple(cuts.tolist()), calibrations)


def kept_or_fitted(
    where: Path, trained: Trained, which: Which = "best", *, budget: Budget | None = None
) -> Fitted:
    """What a run's folder holds of its calibration; fitted, where there is none of this checkpoint.

    So a run that was calibrated once needs no scikit-learn. One that was trained anew is fitted
    anew, though it be to the same step.

    Args:
        where: the run's folder.
        trained: the model loaded from there.
        which: of its checkpoints.
        budget: what fitting may hold at a time.

    Raises:
        InputError: see ``calibrate``; or the file that is kept cannot be read.
    """
    name = calibration_name(which)
    if (where / name).exists():
        data, own = Run(where).read_json(name), (trained.step, trained.digest)
        if (data.get("step"), data.get("digest")) == own and CALIBRATIONS.keys() <= data.keys():
            try:
                fitted = Fitted.from_json(data, step=trained.step, digest=trained.digest)
            except InputError as error:
                raise InputError(f"{where / name}: {error}") from error
            if len(fitted.thresholds) != trained.kg.num_relations:
                raise InputError(
                    f"{where / name}: thresholds: expected {trained.kg.num_relations}, one for "
                    f"each relation, got {len(fitted.thresholds)}"
                )
            return fitted
    return fit(trained, budget=budget)


def keep(where: Path, which: Which, fitted: Fitted) -> Fitted:
    """Write what was fitted into a run's folder."""
    Run(where).write_json(calibration_name(which), fitted.to_json())
    return fitted


@dataclass(frozen=True)
class Told:
    """What a run says of the lines of a labelled split.

    Args:
        labels: (f,) bool: do they hold?
        probabilities: (f,) float64 each, by calibration, ``uncalibrated`` first.
    """

    labels: Tensor
    probabilities: dict[str, Tensor]


def tell(where: Path, *, split: Split = "test", which: Which = "best") -> Told:
    """The probabilities that a run gives to the lines of a labelled split.

    Raises:
        InputError: the split or validation has no labelled lines of both kinds, or nothing is kept
            in the folder and nothing can be fitted; see ``kept_or_fitted``.
    """
    trained = load(where, which=which)
    budget = budget_of(where, trained)
    classifier = Classifier(trained.kg, split, budget=budget)
    fitted = kept_or_fitted(where, trained, which, budget=budget)
    scores = classifier.scores(trained.model.decoder, trained.entities)
    told = {"uncalibrated": scores.double().sigmoid()}
    told |= {name: c.probabilities(scores) for name, c in fitted.calibrations.items()}
    return Told(classifier.holds, told)


def probabilities(
    where: Path, triples: Tensor, *, method: str = "platt", which: Which = "best"
) -> Tensor:
    """The calibrated probability of each of some triples, by a run.

    Args:
        where: the run's folder.
        triples: (f, 3) ids of head, relation and tail; they need not be known triples.
        method: the calibration, ``platt`` or ``isotonic``.
        which: of its checkpoints.

    Returns:
        (f,) float64, on the CPU.

    Raises:
        InputError: no such method, or an id that the run's data set does not have, or the run has
            no calibration: its data set has no labelled validation lines, or see
            ``kept_or_fitted``.
    """
    choose(CALIBRATIONS, method, where="method")
    if triples.ndim != 2 or triples.shape[1] != 3 or triples.is_floating_point():
        raise ValueError(f"triples: expected whole numbers (f, 3), got {tuple(triples.shape)}")
    trained = load(where, which=which)
    sizes = torch.tensor([trained.kg.num_entities, trained.kg.num_relations])[[0, 1, 0]]
    wrong = ((triples.cpu() < 0) | (triples.cpu() >= sizes)).any(1).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise InputError(
            f"triples: row {row}: {triples[row].tolist()}: {trained.kg.name} has {sizes[0]} "
            f"entities and {sizes[1]} relations, counted from 0"
        )
    budget = budget_of(where, trained)
    calibration = kept_or_fitted(where, trained, which, budget=budget).calibrations[method]
    scores = logits(trained.model.decoder, trained.entities, triples, budget=budget)
    return calibration.probabilities(scores)


def has_both(kg: KnowledgeGraph, split: Split) -> bool:
    """Has a split labelled lines, of which some hold and some do not?"""
    return both_kinds(kg.lines(split)[1])
