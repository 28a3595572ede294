"""The sections of a report, from the headline down to what a run was made with."""

from collections.abc import Iterator
from dataclasses import dataclass

from dans.report import background as behind
from dans.report import results
from dans.report.figures import Figures
from dans.report.gather import Page
from dans.report.markup import Html, join, named, tag
from dans.report.report_tables import Cell, best, four, table, words
from dans.report.results import protocol


@dataclass(frozen=True)
class Section:
    """One of them.

    Args:
        key: its place in the page.
        title: of it.
        body: what it says; None where there is nothing to be said.
    """

    key: str
    title: str
    body: Html | None


def every(page: Page, figures: Figures) -> Iterator[Section]:
    """All sections in order."""
    yield Section("results", "Results", results.metrics(page))
    yield Section("differences", "Differences", results.differences(page))
    yield Section("classification", "True or false", results.classification(page))
    yield Section("data", "Data set", behind.data_set(page))
    yield Section("classes", "By class of relation", results.classes(page))
    yield Section("degrees", "By degree", results.degrees(page, figures))
    yield Section("relations", "By relation", results.relations(page))
    yield Section("training", "Training", behind.training(page, figures))
    yield Section("diversity", "Negatives", behind.diversity(page, figures))
    yield Section("mistakes", "Mistakes", behind.mistakes(page))
    yield Section("calibration", "Calibration", behind.calibration(page, figures))
    yield Section("configuration", "Configuration", behind.configuration(page))


def title(page: Page) -> str:
    """Of the page, as plain text."""
    runs = " and ".join(run.name for run in page.runs)
    return f"{page.traps.audit.name}: {runs}"


def header(page: Page) -> Html:
    """The data set, the runs, and the numbers one looks for first."""
    kicker = tag("p", {"class": "kicker"}, "Link prediction report")
    heading = tag("h1", None, named(page.traps.audit.name))
    if len(page.runs) > 1:
        return join([kicker, heading, runs(page)])
    run = page.runs[0]
    shown = ("mrr", "hits@1", "hits@3", "hits@10")
    figures = [
        tag(
            "div",
            None,
            tag("dt", None, results.COLUMNS[key]),
            tag("dd", None, four(run.report.both[key])),
        )
        for key in shown
    ]
    about = tag("p", {"class": "run"}, named(run.name), " · ", made(page, 0))
    rule = tag("p", {"class": "protocol"}, protocol(page))
    return join([kicker, heading, about, tag("dl", {"class": "figures"}, *figures), rule])


def made(page: Page, i: int) -> str:
    """Decoder, encoder and what a run was trained against, in a few words."""
    config = page.runs[i].config
    against = [part["name"] for part in config.get("sampler", [])] or [config["objective"]["name"]]
    return f"{config['decoder']['name']} on {config['encoder']['name']}, {' + '.join(against)}"


def runs(page: Page) -> Html:
    """A row for each run."""
    shown = ("mrr", "hits@1", "hits@10")
    marks = {key: best([run.report.both[key] for run in page.runs]) for key in shown}
    rows = [
        [
            words(tag("span", {"class": "letter"}, run.letter)),
            words(named(run.name)),
            words(made(page, i)),
            *(Cell(four(run.report.both[key]), strong=marks[key][i]) for key in shown),
        ]
        for i, run in enumerate(page.runs)
    ]
    head = ["", "run", "model and negatives", *(results.COLUMNS[key] for key in shown)]
    return table(protocol(page), head, rows, classes="runs")
