"""Calibrates a trained run where no lines are labelled, on drawn negatives."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from dans.data.graph import Split
from dans.errors import LARGEST, InputError, counted
from dans.evaluation.calibration import DRAWN
from dans.evaluation.drawn_negatives import with_drawn
from dans.memory import stated
from dans.runs.evaluate_run import budget_of, calibration_name, classify, fit, has_both
from dans.runs.train import restore
from dans.seeding import undisturbed
from dans.training.checkpoint_store import Which
from dans.training.run_folder import RunFolder


@undisturbed()
def calibrate(
    where: Path,
    *,
    split: Split = "test",
    which: Which = "best",
    seed: int = 0,
    memory_budget: str | int = "",
) -> dict[str, Any]:
    """Fit probabilities to the validation triples and as many drawn negatives, and save them.

    A probability is then the share of true triples among such pairs, half of which are true; among
    all triples that no split holds, far fewer are. The file is that of a calibration on labelled
    lines, with ``DRAWN`` as its ``negatives``, and predictions of the run use it likewise.

    Args:
        where: the run's folder.
        split: on whose triples, and as many drawn negatives, the probabilities are measured.
        seed: of the negatives.
        memory_budget: as ``train.memory_budget``, whose value is the default.

    Returns:
        What is written: ``negatives``, ``seed``, ``split`` and how many ``positives`` it has, and
        under ``classification`` the metrics of ``dans.runs.evaluate_run.classify``, whose
        ``triples`` count the negatives too.

    Raises:
        InputError: the run's validation lines are labelled; or the model's scores tell triples and
            negatives not apart.
    """
    stated(memory_budget)
    counted("seed", seed, least=0, most=LARGEST - 1)
    seed = int(seed)
    trained = restore(where, which=which)
    kg = trained.kg
    if has_both(kg, "valid"):
        raise InputError(
            f"calibrate: {kg.name} has labelled validation lines, on which a run is calibrated "
            "anyway; leave it out"
        )
    for needed in ("valid", split):
        if not len(kg.split(needed)):
            raise InputError(f"{kg.name}: has no {needed} triples")
    budget = budget_of(where, trained, memory_budget)
    drawn = replace(trained, kg=with_drawn(kg, dict.fromkeys(("valid", split)), seed))
    fitted = replace(fit(drawn, budget=budget), digest=trained.digest, negatives=DRAWN)
    measured = classify(drawn, split, fitted, budget=budget)
    content = {
        **fitted.to_json(),
        **{"seed": seed, "split": split, "positives": len(kg.split(split))},
        "classification": measured,
    }
    RunFolder(where).write_json(calibration_name(which), content)
    return content
