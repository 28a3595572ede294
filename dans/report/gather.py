"""Runs to all that a report says of them, as plain data."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dans.analysis.reliability import Reliability
from dans.config.reading import field
from dans.data.graph import Split
from dans.errors import InputError, shown
from dans.evaluation.calibration import Fitted
from dans.evaluation.classifier import Classifier
from dans.evaluation.evaluator import EvaluationReport, Evaluator, Ranks
from dans.memory import Budget
from dans.predict import Predictor
from dans.report.breakdown import DataSet, Part, by_class, by_degree, by_relation
from dans.report.curves import Chart, charts, number, recorded
from dans.report.embedding_plot import Drawn, EmbeddingPlot, draw, embedding_plot, measured
from dans.report.mistakes import Missing, Wrong, missing, worst
from dans.report.paired import Gap, OverSeeds, gaps, over_seeds
from dans.runs.evaluate import budget_of, classify, fit, has_both, kept_or_fitted, report_name
from dans.runs.train import Trained, load
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
        split: whose triples were ranked.
        which: the checkpoints that ranked them, best or last.
        unjudged: letters of the runs whose folders keep no report of test.
        data: of the data set.
        runs: one or several, of the same triples.
        classes: the queries by class of relation.
        degrees: by training triples of the answer.
        relations: by relation.
        pairs: differences of every later run to the first, by its letter.
        seeds: differences of recipes over several seeds.
        charts: curves of training, by group.
    """

    split: Split
    which: Which
    unjudged: tuple[str, ...]
    data: DataSet
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
        embedding_plot: where its negatives lie; or why that is not known, in a sentence.
        worst: its worst answers.
        missing: triples of no split that score high.
        asked: queries looked through for those.
        classification: what ``runs.evaluate.classify`` says; empty where lines carry no labels.
        reliability: of its probabilities, by calibration; empty without one, or without labels.
    """

    letter: str
    name: str
    step: int
    report: EvaluationReport
    kept: str
    agrees: bool
    seconds: float
    parameters: int
    config: dict[str, Any]
    environment: dict[str, Any]
    embedding_plot: EmbeddingPlot | str
    worst: list[Wrong]
    missing: list[Missing]
    asked: int
    classification: Mapping[str, Any]
    reliability: dict[str, Reliability]


def gather(
    folders: Sequence[Path],
    *,
    split: Split | None = None,
    which: Which = "best",
    triples: int = 60,
) -> Page:
    """Load runs, rank a split by each, and look at what came out.

    Args:
        folders: of the runs, each once; the others are compared with the first.
        split: whose triples are ranked; None: test, if every run was evaluated on it,
            or else valid.
        which: of their checkpoints.
        triples: of one relation, for which negatives are drawn for the embedding plot.

    Raises:
        InputError: a folder is no run, two runs are of different triples, or an option is out of
            range.
    """
    _check(folders, triples)
    lines = [recorded(Run(folder)) for folder in folders]
    unjudged = [i for i, f in enumerate(folders) if not (f / report_name(which=which)).exists()]
    if unjudged and split is None:
        which_ones = ", ".join(str(folders[i]) for i in unjudged)
        log.warning("%s: not evaluated on test yet; every run is ranked on valid", which_ones)
    split = split or ("valid" if unjudged else "test")
    found, drawn = [], []
    for folder, trained in _loaded(folders, which):
        about, ranks = of_run(folder, trained, split=split, which=which)
        drawn.append(draw(trained, triples=triples))
        found.append((replace(about, embedding_plot=_picture(trained, drawn[-1], triples)), ranks))
    names, every = short_names(folders), [ranks for _, ranks in found]
    runs = tuple(
        replace(run, letter=letter, name=name, seconds=of[-1].get("seconds", 0.0) if of else 0.0)
        for letter, name, of, (run, _) in zip(LETTERS, names, lines, found, strict=False)
    )
    kg = trained.kg
    return Page(
        split=split,
        which=which,
        unjudged=tuple(LETTERS[i] for i in unjudged),
        data=DataSet.of(kg),
        runs=_with_numbers(runs, drawn),
        classes=tuple(by_class(kg, every)),
        degrees=tuple(by_degree(kg, every)),
        relations=tuple(by_relation(kg, every)),
        pairs={run.letter: gaps(of, every[0]) for run, of in zip(runs[1:], every[1:], strict=True)},
        seeds=over_seeds({r.letter: r.config for r in runs}, [r.report.both for r in runs]),
        charts=charts({run.letter: of for run, of in zip(runs, lines, strict=True)}),
    )


def _check(folders: Sequence[Path], triples: int) -> None:
    """Can these be shown together? Refused before the first is loaded."""
    if not 1 <= len(folders) <= len(LETTERS):
        raise InputError(f"RUN: expected 1 to {len(LETTERS)} folders of runs, got {len(folders)}")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise InputError("RUN: expected each folder once, got one of them twice")
    if triples < 1:
        raise InputError(f"--triples: expected at least 1, got {triples}")
    for folder in folders:
        Run(folder).config()


def _loaded(folders: Sequence[Path], which: Which) -> Iterator[tuple[Path, Trained]]:
    """Run after run, all of the same triples."""
    digest = ""
    for folder in folders:
        log.info("reading %s", folder)
        trained = load(folder, which=which)
        if digest not in ("", trained.kg.digest):
            raise InputError(
                f"{folder}: trained on other triples than {folders[0]}; expected runs of the same "
                "data set, or a report for each"
            )
        digest = trained.kg.digest
        yield folder, trained


def _picture(trained: Trained, drawn: Drawn | str, triples: int) -> EmbeddingPlot | str:
    return drawn if isinstance(drawn, str) else embedding_plot(trained, drawn, triples=triples)


def _with_numbers(runs: Sequence[OfRun], drawn: Sequence[Drawn | str]) -> tuple[OfRun, ...]:
    """Runs whose embedding plots have their numbers, all from as many points."""
    groups = {
        run.letter: of
        for run, of in zip(runs, drawn, strict=True)
        if isinstance(run.embedding_plot, EmbeddingPlot) and not isinstance(of, str)
    }
    numbers = dict(zip(groups, measured(list(groups.values())), strict=True))
    return tuple(
        replace(run, embedding_plot=replace(run.embedding_plot, numbers=numbers[run.letter]))
        if isinstance(run.embedding_plot, EmbeddingPlot)
        else run
        for run in runs
    )


def of_run(folder: Path, trained: Trained, *, split: Split, which: Which) -> tuple[OfRun, Ranks]:
    """What is said of one run by itself, and its ranks."""
    kg, decoder, entities = trained.kg, trained.model.decoder, trained.entities
    budget = budget_of(folder, trained)
    evaluator = Evaluator(kg, split, budget=budget)
    ranks = evaluator.ranks(decoder, entities)
    report = evaluator.report(ranks)
    agrees, kept = compared(folder, report, split=split, which=which)
    fitted = fitted_of(folder, trained, which, budget)
    platt = fitted.calibrations.get("platt") if fitted else None
    predictor = Predictor(kg, decoder, entities, calibration=platt, budget=budget)
    guesses, asked = missing(predictor, ranks.triples)
    labelled = has_both(kg, split)
    about = OfRun(
        letter=LETTERS[0],
        name=short_names([folder])[0],
        step=trained.step,
        report=report,
        kept=kept,
        agrees=agrees,
        seconds=0.0,
        parameters=sum(p.numel() for p in trained.model.parameters()),
        config=trained.config.plain(),
        environment=environment(folder),
        embedding_plot="",
        worst=worst(predictor, ranks),
        missing=guesses,
        asked=asked,
        classification=classify(trained, split, fitted, budget=budget) if labelled else {},
        reliability=reliability(trained, split, fitted, budget) if labelled and fitted else {},
    )
    return about, ranks


def compared(
    folder: Path, report: EvaluationReport, *, split: Split, which: Which
) -> tuple[bool, str]:
    """Do the ranks found now give the report that the folder keeps? Yes or no, and a sentence."""
    name = report_name(split=split, which=which)
    if not (folder / name).exists():
        return True, f"Ranked for this page; the folder keeps no {name}."
    before, now, where = Run(folder).read_json(name), report.to_json(), f"{folder / name}: "
    for side in ("both", "heads", "tails"):
        numbers = field(before, side, dict, where)
        for metric, value in getattr(report, side).items():
            if metric not in numbers:
                return False, f"{name} has no {metric} of {side}; ranks found now give {value}."
            kept = number(numbers, metric, f"{where}{side}.")
            # So written that NaN is no agreement.
            if not abs(kept - value) <= TOLERANCE * max(1.0, abs(value)):
                return False, f"{name} has {metric} of {side} {kept}, ranks found now {value}."
    if before.get("protocol") != now["protocol"]:
        return False, f"{name} was made by another protocol: {shown(before.get('protocol'))}."
    return True, f"Ranked anew for this page, and equal to {name}."


def environment(folder: Path) -> dict[str, Any]:
    """What a run was made with; empty where that was not written down."""
    name = "environment.json"
    return Run(folder).read_json(name) if (folder / name).exists() else {}


def fitted_of(folder: Path, trained: Trained, which: Which, budget: Budget) -> Fitted | None:
    """Thresholds and calibrations of a run, kept or fitted now; None where nothing is labelled.

    Where calibrations cannot be had, thresholds alone, and a warning says why.
    """
    if not has_both(trained.kg, "valid"):
        return None
    try:
        return kept_or_fitted(folder, trained, which, budget=budget)
    except InputError as error:
        log.warning("%s: %s; nothing is calibrated", folder, error)
        return fit(trained, {}, budget=budget)


def reliability(
    trained: Trained, split: Split, fitted: Fitted, budget: Budget
) -> dict[str, Reliability]:
    """How often lines of a probability hold, as they are and by each calibration."""
    if not fitted.calibrations:
        return {}
    classifier = Classifier(trained.kg, split, budget=budget)
    scores = classifier.scores(trained.model.decoder, trained.entities)
    told = {"uncalibrated": scores.double().sigmoid()}
    told |= {name: one.probabilities(scores) for name, one in fitted.calibrations.items()}
    return {name: Reliability.of(p, classifier.holds) for name, p in told.items()}


def short_names(folders: Sequence[Path]) -> list[str]:
    """Names that tell runs apart, and nothing of the machine: the ends of their paths.

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
