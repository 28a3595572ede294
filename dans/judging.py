"""Runs to numbers: how well a trained run ranks a split, and tells true from false."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dans.analysis.calibration import expected_error
from dans.assembly import Trained, load
from dans.calibration import CALIBRATIONS, Fitted
from dans.classification import accuracy, auc, brier, classification, nll, thresholds
from dans.classifier import Classifier
from dans.data.graph import KnowledgeGraph, Split
from dans.errors import InputError
from dans.evaluation import Evaluator, Report, Unseen
from dans.training.run import Run, Which

log = logging.getLogger(__name__)


def judge(
    where: Path, *, split: Split = "test", which: Which = "best", unseen: Unseen = "rank"
) -> Report:
    """Evaluate a run on a split and keep the report in its folder.

    ``report.json`` is the best model on the test split; any other choice is in the file's name; see
    ``report_name``. A split whose lines are labelled true and false is classified too, and where
    validation is labelled, what is fitted on it is kept in the folder: see ``calibrate``.
    """
    trained = load(where, which=which)
    if not len(trained.kg.split(split)):
        raise InputError(f"{trained.kg.name}: has no {split} facts")
    report = Evaluator(trained.kg, split, unseen=unseen)(trained.model.decoder, trained.entities)
    content: dict[str, Any] = {"model": which, "step": trained.step}
    content["seed"] = trained.config.train.seed
    if has_both(trained.kg, split):
        fitted = None
        if has_both(trained.kg, "valid"):
            try:
                fitted = keep(where, which, fit(trained))
            except InputError as error:
                log.warning("%s: %s; nothing is calibrated", where, error)
        content["classification"] = classify(trained, split, fitted)
    name = report_name(split=split, which=which, unseen=unseen)
    Run(where).write_json(name, {**report.to_json(), **content})
    return report


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


def classify(trained: Trained, split: Split, fitted: Fitted | None = None) -> dict[str, Any]:
    """How well a model tells the true lines of a labelled split from the false ones.

    Args:
        trained: the model.
        split: its lines.
        fitted: on validation; of the split ``valid`` itself, its numbers flatter.

    Returns:
        What ``dans.classification.classification`` says of the logits as they are, with the
        accuracy by ``threshold``: by that of each relation, where some are fitted, or 0. By the
        name of each calibration fitted: ``auc``, ``brier``, ``nll`` and ``ece``.

    Raises:
        InputError: the split has no labelled lines of both kinds.
    """
    classifier = Classifier(trained.kg, split)
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


def verdict_table(content: Mapping[str, Any] | None) -> list[str]:
    """The lines to print of what ``classify`` returned: before and after each calibration."""
    if content is None:
        return []
    metrics = ("auc", "nll", "brier", "ece")
    rows = {"as is": content} | {name: content[name] for name in CALIBRATIONS if name in content}
    lines = ["".join([f"{'lines':<12}", *(f"{metric:>11}" for metric in metrics)])]
    for name, numbers in rows.items():
        lines.append("".join([f"{name:<12}", *(f"{numbers[metric]:>11.4f}" for metric in metrics)]))
    return [*lines, f"accuracy {content['accuracy']:.4f}, threshold {content['threshold']}"]


def calibrate(where: Path, which: Which = "best") -> Fitted:
    """Fit thresholds and calibrations of a run on its validation lines, and keep them there.

    ``calibration.json`` is of the best model, ``calibration.last.json`` of the last one.

    Raises:
        InputError: the validation lines are not labelled true and false, or the scores of the model
            tell nothing apart.
    """
    return keep(where, which, fit(load(where, which=which)))


def calibration_name(which: Which = "best") -> str:
    """The file that a calibration is kept in."""
    return "calibration.json" if which == "best" else f"calibration.{which}.json"


def fit(trained: Trained) -> Fitted:
    """Thresholds and calibrations of a model, from its validation lines.

    Raises:
        InputError: see ``calibrate``.
    """
    if not has_both(trained.kg, "valid"):
        raise InputError(
            f"{trained.kg.name}: calibration needs validation lines that are labelled true and "
            "false; this data set has none"
        )
    classifier = Classifier(trained.kg, "valid")
    scores = classifier.scores(trained.model.decoder, trained.entities)
    labels, relations = classifier.holds, classifier.lines[:, 1]
    cuts = thresholds(scores, labels, relations, trained.kg.num_relations)
    calibrations = {name: kind.fit(scores, labels) for name, kind in CALIBRATIONS.items()}
    return Fitted(trained.step, trained.kg.digest, tuple(cuts.tolist()), calibrations)


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
        InputError: the split or validation has no labelled lines of both kinds.
    """
    trained = load(where, which=which)
    classifier = Classifier(trained.kg, split)
    fitted = fit(trained)
    scores = classifier.scores(trained.model.decoder, trained.entities)
    probabilities = {"uncalibrated": scores.double().sigmoid()}
    probabilities |= {name: c.probabilities(scores) for name, c in fitted.calibrations.items()}
    return Told(classifier.holds, probabilities)


def has_both(kg: KnowledgeGraph, split: Split) -> bool:
    """Has a split labelled lines, of which some hold and some do not?"""
    labels = kg.lines(split)[1]
    return bool(labels.any()) and not bool(labels.all())
