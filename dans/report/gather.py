"""Everything a report shows of trained runs, as dataclasses."""

import logging
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dans.config.reading import field
from dans.config.selection import RESTRICTED
from dans.data.graph import KnowledgeGraph, Split
from dans.errors import InputError, shown
from dans.evaluation.calibration import DRAWN, Fitted
from dans.evaluation.classifier import Classifier
from dans.evaluation.evaluator import EvaluationReport, Evaluator, Ranks
from dans.evaluation.relation_ranking import RelationReport
from dans.evaluation.reliability import Reliability
from dans.memory import Budget
from dans.predict import Predictor
from dans.report.breakdown import DataSet, Part, by_class, by_degree, by_relation
from dans.report.conclusion import Ranked, conclusion
from dans.report.curves import Chart, charts, number, recorded, steps_before
from dans.report.embedding_plot import EmbeddingPlot, embedding_plot, measured
from dans.report.explanations import Explained, explanations
from dans.report.formatting import four
from dans.report.mistakes import Missing, Wrong, missing, worst
from dans.report.paired import Gap, OverSeeds, gaps, over_seeds
from dans.report.plausibility import Checked, least_plausible, relations
from dans.runs.evaluate_run import (
    budget_of,
    classify,
    fitted_of,
    has_both,
    is_evaluated,
    report_by_recipe,
    report_name,
)
from dans.runs.train import Trained, restore
from dans.seeding import undisturbed
from dans.training.checkpoint_store import Which
from dans.training.run_folder import RunFolder

log = logging.getLogger(__name__)

#: Letters that stand for the names of runs; a report compares no more runs than there are letters.
LETTERS = "ABCDEFGH"

#: Tolerated difference between the metrics of a run's saved report and those of this report.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Page:
    """Everything a report shows: what was ranked, the runs, metrics by group, and charts.

    ``unevaluated`` are the letters of the runs without a saved report of test, where there are test
    triples, ``conclusion`` its sentences, ``pairs`` the differences of every later run to the
    first, and ``seeds`` those of recipes over seeds.
    """

    split: Split
    which: Which
    unevaluated: tuple[str, ...]
    data: DataSet
    runs: tuple["RunSummary", ...]
    classes: tuple[Part, ...]
    degrees: tuple[Part, ...]
    relations: tuple[Part, ...]
    conclusion: tuple[str, ...]
    pairs: dict[str, list[Gap]]
    seeds: list[OverSeeds]
    charts: dict[str, list[Chart]]


@dataclass(frozen=True)
class RunSummary:
    """What a report shows of one run by itself.

    Args:
        letter: A for the first run.
        name: the shortest end of its path that no other run of the page has.
        before: the training steps of the weights it started with, by ``steps_before``.
        agrees: whether the saved report has the same metrics.
        agreement: the same in a sentence, and how the report by the recipe was ranked if otherwise.
        seconds: of training, up to the last validation.
        parameters: how many are trainable.
        environment: versions, machine and command that trained it; empty where not recorded.
        embedding_plot: of its negatives; or a sentence that says why there is none.
        searched: how many queries were searched for missing triples.
        drawn: whether probabilities were fitted on drawn negatives.
        relations: the ranking of relations; or a sentence that says why there is none.
        checked: the least plausible training triples; or a sentence that says why there are none.
        explained: some triples; or a sentence that says why there are none.
        classification: by ``runs.evaluate_run.classify``; empty without labelled lines.
        reliability: by calibration; empty without one, or without labelled lines.
    """

    letter: str
    name: str
    step: int
    before: int | None
    report: EvaluationReport
    agrees: bool
    agreement: str
    seconds: float
    parameters: int
    config: dict[str, Any]
    environment: dict[str, Any]
    embedding_plot: EmbeddingPlot | str
    worst: list[Wrong]
    missing: list[Missing]
    searched: int
    drawn: bool
    relations: RelationReport | str
    checked: Checked | str
    explained: list[Explained] | str
    classification: Mapping[str, Any]
    reliability: dict[str, Reliability]


@undisturbed()
def gather(
    folders: Sequence[Path], *, split: Split | None = None, which: Which = "best", triples: int = 60
) -> Page:
    """Load runs, rank a split by each, and collect what a report shows.

    Args:
        folders: of the runs, each once; later ones are compared with the first.
        split: whose triples are ranked; None: by `usual_split`.
        which: best or last checkpoints.
        triples: of one relation, for which negatives are drawn for the embedding plot.

    Raises:
        InputError: a folder is no run, two runs were trained on different data, or an option is
            out of range.
    """
    check_folders(folders)
    if triples < 1:
        raise InputError(f"--triples: expected at least 1, got {triples}")
    lines = [recorded(RunFolder(folder)) for folder in folders]
    missing_report = [i for i, f in enumerate(folders) if not is_evaluated(f, which)]
    runs, every = [], []
    names = short_names(folders)
    ranked_split: Split = split or "test"
    for i, (folder, trained) in enumerate(loaded(folders, which, split)):
        if split is None and not i:
            # All runs have the same triples.
            ranked_split = usual_split(trained.kg, [folders[i] for i in missing_report])
        run, ranks = summarise(
            folder, trained, LETTERS[i], names[i], split=ranked_split, which=which
        )
        seconds = lines[i][-1].get("seconds", 0.0) if lines[i] else 0.0
        plot = embedding_plot(trained, triples=triples)
        runs.append(replace(run, seconds=seconds, embedding_plot=plot))
        every.append(ranks)
    plots = [run.embedding_plot for run in runs if not isinstance(run.embedding_plot, str)]
    numbered = iter(measured(plots))
    runs = [
        run if isinstance(run.embedding_plot, str) else replace(run, embedding_plot=next(numbered))
        for run in runs
    ]
    kg = trained.kg
    ranked = [
        Ranked(run.letter, run.name, run.report, of) for run, of in zip(runs, every, strict=True)
    ]
    return Page(
        split=ranked_split,
        which=which,
        unevaluated=tuple(LETTERS[i] for i in missing_report if len(kg.test)),
        data=DataSet.of(kg),
        runs=tuple(runs),
        classes=tuple(by_class(kg, every)),
        degrees=tuple(by_degree(kg, every)),
        relations=tuple(by_relation(kg, every)),
        conclusion=conclusion(ranked, kg.name),
        pairs={run.letter: gaps(of, every[0]) for run, of in zip(runs[1:], every[1:], strict=True)},
        seeds=over_seeds({r.letter: r.config for r in runs}, [r.report.both for r in runs]),
        charts=charts(
            {run.letter: of for run, of in zip(runs, lines, strict=True)},
            {run.letter: run.before for run in runs},
        ),
    )


def check_folders(folders: Sequence[Path]) -> None:
    """Refuse folders that cannot be shown together, before the first is loaded."""
    if not 1 <= len(folders) <= len(LETTERS):
        raise InputError(f"RUN: expected 1 to {len(LETTERS)} folders of runs, got {len(folders)}")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise InputError("RUN: expected each folder once, got one of them twice")
    for folder in folders:
        RunFolder(folder).config()


def usual_split(kg: KnowledgeGraph, unevaluated: Sequence[Path]) -> Split:
    """Test if every run was evaluated on it, else valid; the other one where that has no triples.

    A warning says why it is not test of runs that were evaluated.

    Args:
        unevaluated: the folders of the runs that were not evaluated on test.
    """
    if not len(kg.test):
        log.warning("%s: has no test triples; every run is ranked on valid", kg.name)
        return "valid"
    if not unevaluated:
        return "test"
    if not len(kg.valid):
        log.warning("%s: has no valid triples; every run is ranked on test", kg.name)
        return "test"
    log.warning(
        "%s: not evaluated on test yet; every run is ranked on valid (--split test: on test)",
        ", ".join(map(str, unevaluated)),
    )
    return "valid"


def loaded(
    folders: Sequence[Path], which: Which, split: Split | None
) -> Iterator[tuple[Path, Trained]]:
    """Load run after run, all of the same data set, which has triples in the split.

    Without a split, triples of valid or of test do.
    """
    digest = ""
    for folder in folders:
        log.info("reading %s", folder)
        trained = restore(folder, which=which)
        if digest not in ("", trained.kg.digest):
            raise InputError(
                f"{folder}: trained on other triples than {folders[0]}; expected runs of the same "
                "data set, or a report for each"
            )
        digest = trained.kg.digest
        held_out: tuple[Split, ...] = ("valid", "test")
        there = [one for one in held_out if len(trained.kg.split(one))]
        if not (len(trained.kg.split(split)) if split else there):
            others = f"dans evaluate {shlex.quote(str(folder))} --triples FILE ranks others"
            if there:
                others = f"--split {there[0]} ranks those of {there[0]}"
            raise InputError(
                f"{folder}: trained on a graph without {split or 'valid and test'} triples, which "
                f"are ranked; {others}"
            )
        yield folder, trained


def summarise(
    folder: Path, trained: Trained, letter: str, name: str, *, split: Split, which: Which
) -> tuple[RunSummary, Ranks]:
    """What a report shows of one run, without time and embedding plot, and its ranks."""
    kg, decoder, entities = trained.kg, trained.model.decoder, trained.entities
    budget = budget_of(folder, trained)
    evaluator = Evaluator(kg, split, budget=budget)
    ranks = evaluator.ranks(decoder, entities)
    report = evaluator.report(ranks)
    agrees, agreement = compared(folder, report, split=split, which=which)
    agreement += by_recipe(folder, trained, split=split, which=which)
    fitted = fitted_of(folder, trained, which, budget)
    platt = fitted.calibrations.get("platt") if fitted else None
    predictor = Predictor(kg, decoder, entities, calibration=platt, budget=budget)
    candidates, searched = missing(predictor, ranks.triples)
    wrong = worst(predictor, ranks)
    labelled = has_both(kg, split)
    at = "environment.json"
    summary = RunSummary(
        letter=letter,
        name=name,
        step=trained.step,
        before=steps_before(RunFolder(folder)),
        report=report,
        agrees=agrees,
        agreement=agreement,
        seconds=0.0,
        parameters=sum(p.numel() for p in trained.model.parameters()),
        config=trained.config.plain(),
        environment=RunFolder(folder).read_json(at) if (folder / at).exists() else {},
        embedding_plot="",
        worst=wrong,
        missing=candidates,
        searched=searched,
        drawn=fitted is not None and fitted.negatives == DRAWN,
        relations=relations(trained, split, budget=budget),
        checked=least_plausible(trained, predictor),
        explained=explanations(trained, ranks, wrong, budget=budget),
        classification=classify(trained, split, fitted, budget=budget) if labelled else {},
        reliability=reliability(trained, split, fitted, budget) if labelled and fitted else {},
    )
    return summary, ranks


def compared(
    folder: Path, report: EvaluationReport, *, split: Split, which: Which
) -> tuple[bool, str]:
    """Whether a new report agrees with the one saved in the folder, and a sentence about it."""
    name = report_name(split=split, which=which)
    if not (folder / name).exists():
        return True, f"Ranked for this page; the folder keeps no {name}."
    before, now, where = RunFolder(folder).read_json(name), report.to_json(), f"{folder / name}: "
    for side in ("both", "heads", "tails"):
        numbers = field(before, side, dict, where)
        for metric, value in getattr(report, side).items():
            if metric not in numbers:
                return False, f"{name} has no {metric} of {side}; ranks found now give {value}."
            kept = number(numbers, metric, f"{where}{side}.")
            # A NaN never agrees.
            if not abs(kept - value) <= TOLERANCE * max(1.0, abs(value)):
                return False, f"{name} has {metric} of {side} {kept}, ranks found now {value}."
    if before.get("protocol") != now["protocol"]:
        return False, f"{name} was made by another protocol: {shown(before.get('protocol'))}."
    return True, f"Ranked anew for this page, and equal to {name}."


def by_recipe(folder: Path, trained: Trained, *, split: Split, which: Which) -> str:
    """How the report that a recipe's restriction made was ranked, and its MRR; empty without one.

    The sentence follows another.
    """
    found = report_by_recipe(folder, trained.config, trained.kg, split=split, which=which)
    if found is None:
        return ""
    name, sets = found
    where = f"{folder / name}: "
    both = field(RunFolder(folder).read_json(name), "both", dict, where)
    mrr = four(number(both, f"{RESTRICTED}mrr", f"{where}both."))
    return (
        f" This page ranks among all entities; {name}, as the recipe says, among {sets.about}: "
        f"its restricted MRR, {mrr}, is not comparable."
    )


def reliability(
    trained: Trained, split: Split, fitted: Fitted, budget: Budget
) -> dict[str, Reliability]:
    """Reliability diagrams of the uncalibrated and the calibrated probabilities."""
    if not fitted.calibrations:
        return {}
    classifier = Classifier(trained.kg, split, budget=budget)
    found = fitted.probabilities(classifier.scores(trained.model.decoder, trained.entities))
    return {name: Reliability.of(p, classifier.holds) for name, p in found.items()}


def short_names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that differ, so that a page shows no path of the machine.

    Example:
        >>> short_names([Path("runs/dans/umls/seed0")])
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
