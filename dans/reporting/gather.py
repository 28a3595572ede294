"""Runs to all that a report says of them, as plain data."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dans.analysis.calibration import Reliability
from dans.assembly import Trained, load
from dans.calibration import Calibration
from dans.classifier import Classifier
from dans.data.graph import Split
from dans.errors import InputError
from dans.evaluation import Evaluator, Ranks, Report
from dans.judging import budget_of, calibration_name, has_both, kept_or_fitted, report_name
from dans.memory import Budget
from dans.reporting.breakdown import Part, by_class, by_degree, by_relation
from dans.reporting.cloud import Cloud, cloud
from dans.reporting.curves import Chart, charts
from dans.reporting.dataset import Traps
from dans.reporting.paired import Gap, OverSeeds, gaps, over_seeds
from dans.reporting.wrong import Missing, Wrong, missing, worst
from dans.training.run import Run, Which

log = logging.getLogger(__name__)

#: Short for the names of runs; more than there are letters, nobody reads side by side.
LETTERS = "ABCDEFGH"

#: What may differ between a report kept in a folder and the ranks found now.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Page:
    """All that a report says.

    Args:
        split: whose facts were ranked.
        which: the checkpoints that ranked them, best or last.
        traps: of the data set.
        runs: one or several, of the same facts.
        classes: the queries by class of relation.
        degrees: by training facts of the answer.
        relations: by relation.
        pairs: differences of every later run to the first, by its letter.
        seeds: differences of recipes over several seeds.
        charts: curves of training, by group.
    """

    split: Split
    which: Which
    traps: Traps
    runs: tuple["OfRun", ...]
    classes: tuple[Part, ...]
    degrees: tuple[Part, ...]
    relations: tuple[Part, ...]
    pairs: dict[str, list[Gap]]
    seeds: list[OverSeeds]
    charts: dict[str, list[Chart]]


@dataclass(frozen=True)
class OfRun:
    """What is said of one run.

    Args:
        letter: short for its name, A for the first.
        name: its own among those of the page.
        step: of the checkpoint.
        report: its metrics and their protocol.
        kept: whether the folder's own report says the same, in a sentence.
        agrees: does it?
        seconds: of training, up to its last validation.
        parameters: numbers that the model learnt.
        config: its options.
        environment: what it was made with.
        cloud: where its negatives lie; or why that is not known, in a sentence.
        worst: its worst answers.
        missing: unknown facts that it believes.
        asked: questions looked through for those.
        reliability: of its probabilities, by calibration; empty where lines carry no labels.
    """

    letter: str
    name: str
    step: int
    report: Report
    kept: str
    agrees: bool
    seconds: float
    parameters: int
    config: dict[str, Any]
    environment: dict[str, Any]
    cloud: Cloud | str
    worst: list[Wrong]
    missing: list[Missing]
    asked: int
    reliability: dict[str, Reliability]


def gather(
    folders: Sequence[Path],
    *,
    split: Split | None = None,
    which: Which = "best",
    facts: int = 60,
) -> Page:
    """Load runs, rank a split by each, and look at what came out.

    Args:
        folders: of the runs, each once; the others are compared with the first.
        split: whose facts are ranked; None: test, if every run was judged on it, or else valid.
        which: of their checkpoints.
        facts: of one relation, for which negatives are drawn for the t-SNE picture.

    Raises:
        InputError: a folder is no run, two runs are of different facts, or an option is out of
            range.
    """
    if not 1 <= len(folders) <= len(LETTERS):
        raise InputError(f"RUN: expected 1 to {len(LETTERS)} folders of runs, got {len(folders)}")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise InputError("RUN: expected each folder once, got one of them twice")
    if facts < 1:
        raise InputError(f"--facts: expected at least 1, got {facts}")
    for folder in folders:
        Run(folder).config()
    judged = all((folder / report_name(which=which)).exists() for folder in folders)
    split = split or ("test" if judged else "valid")
    found: list[tuple[OfRun, Ranks]] = []
    digest = ""
    for letter, folder, name in zip(LETTERS, folders, short_names(folders), strict=False):
        log.info("reading %s", folder)
        trained = load(folder, which=which)
        if digest not in ("", trained.kg.digest):
            raise InputError(
                f"{folder}: trained on other facts than {folders[0]}; expected runs of the same "
                "data set, or a report for each"
            )
        digest = trained.kg.digest
        about, ranks = of_run(folder, trained, split=split, which=which, facts=facts)
        found.append((replace(about, letter=letter, name=name), ranks))
    runs, every = tuple(run for run, _ in found), [ranks for _, ranks in found]
    kg = trained.kg
    return Page(
        split=split,
        which=which,
        traps=Traps.of(kg),
        runs=runs,
        classes=tuple(by_class(kg, every)),
        degrees=tuple(by_degree(kg, every)),
        relations=tuple(by_relation(kg, every)),
        pairs={run.letter: gaps(ranks, every[0]) for run, ranks in found[1:]},
        seeds=over_seeds({r.letter: r.config for r in runs}, [r.report.both for r in runs]),
        charts=charts(
            {run.letter: Run(path).metrics() for run, path in zip(runs, folders, strict=True)}
        ),
    )


def of_run(
    folder: Path, trained: Trained, *, split: Split, which: Which, facts: int
) -> tuple[OfRun, Ranks]:
    """What is said of one run, and its ranks; letter and name are those of a page of one."""
    budget = budget_of(folder, trained)
    evaluator = Evaluator(trained.kg, split, budget=budget)
    ranks = evaluator.ranks(trained.model.decoder, trained.entities)
    report = evaluator.report(ranks)
    agrees, kept = compared(folder, report, split=split, which=which)
    calibrations = calibrations_of(folder, trained, which, budget)
    guesses, asked = missing(trained, ranks.facts, calibrations.get("platt"), budget=budget)
    lines = Run(folder).metrics()
    about = OfRun(
        letter=LETTERS[0],
        name=short_names([folder])[0],
        step=trained.step,
        report=report,
        kept=kept,
        agrees=agrees,
        seconds=lines[-1].get("seconds", 0.0) if lines else 0.0,
        parameters=sum(p.numel() for p in trained.model.parameters()),
        config=trained.config.plain(),
        environment=environment(folder),
        cloud=cloud(trained, facts=facts),
        worst=worst(trained, ranks),
        missing=guesses,
        asked=asked,
        reliability=reliability(trained, split, calibrations, budget),
    )
    return about, ranks


def compared(folder: Path, report: Report, *, split: Split, which: Which) -> tuple[bool, str]:
    """Do the ranks found now give the report that the folder keeps? Yes or no, and a sentence."""
    name = report_name(split=split, which=which)
    if not (folder / name).exists():
        return True, f"Ranked for this page; the folder keeps no {name}."
    before, now = Run(folder).read_json(name), report.to_json()
    for side in ("both", "heads", "tails"):
        for metric, value in getattr(report, side).items():
            kept = before.get(side, {}).get(metric)
            if kept is None or abs(kept - value) > TOLERANCE * max(1.0, abs(value)):
                return False, f"{name} has {metric} of {side} {kept}, ranks found now {value}."
    if before.get("protocol") != now["protocol"]:
        return False, f"{name} was made by another protocol: {before.get('protocol')}."
    return True, f"Ranked anew for this page, and equal to {name}."


def environment(folder: Path) -> dict[str, Any]:
    """What a run was made with; empty where that was not written down."""
    name = "environment.json"
    return Run(folder).read_json(name) if (folder / name).exists() else {}


def calibrations_of(
    folder: Path, trained: Trained, which: Which, budget: Budget
) -> Mapping[str, Calibration]:
    """The calibrations that a run keeps in its folder; empty where it has none."""
    if not (folder / calibration_name(which)).exists() or not has_both(trained.kg, "valid"):
        return {}
    try:
        return kept_or_fitted(folder, trained, which, budget=budget).calibrations
    except InputError as error:
        log.warning("%s: %s; left out", folder, error)
        return {}


def reliability(
    trained: Trained, split: Split, calibrations: Mapping[str, Calibration], budget: Budget
) -> dict[str, Reliability]:
    """How often lines of a probability hold, as they are and by each calibration."""
    if not calibrations or not has_both(trained.kg, split):
        return {}
    classifier = Classifier(trained.kg, split, budget=budget)
    scores = classifier.scores(trained.model.decoder, trained.entities)
    told = {"uncalibrated": scores.double().sigmoid()}
    told |= {name: one.probabilities(scores) for name, one in calibrations.items()}
    return {name: Reliability.of(p, classifier.holds) for name, p in told.items()}


def short_names(folders: Sequence[Path]) -> list[str]:
    """Names that tell runs apart, and nothing of the machine: the ends of their paths.

    Example:
        >>> short_names([Path("/home/ada/runs/dans/umls/seed0")])
        ['dans/umls/seed0']
        >>> short_names([Path("a/b/one"), Path("a/c/one")])
        ['b/one', 'c/one']
    """
    paths = [folder.resolve().parts[1:] or ("run",) for folder in folders]
    longest = max(map(len, paths))
    usual = 3 if all(path[-1].startswith("seed") for path in paths) else 1
    for length in range(min(usual, longest), longest + 1):
        names = ["/".join(path[-length:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return ["/".join(path) for path in paths]
