"""Malformed options and files of reports, studies and exports."""

from collections.abc import Callable
from typing import Any

from tests.malformed.case import Case, case
from tests.malformed.folders import drop, edit

TUNE = "tune.py --recipe own.toml --out new --trials 2"
SPACE = "--space train.lr=1e-3..1e-1"


def space(name: str, given: str, *words: str) -> Case:
    return case(name, f"{TUNE} --space {given}", f"--space {given.strip(chr(39))}: ", *words)


def line(name: str, part: str, *words: str) -> Case:
    """A last line of metrics with something else in it."""
    step = "" if part.startswith('"step"') else '"step": 1, '
    text = f'{{"step": 0}}\n{{{step}{part}}}\n'
    files = {"run/metrics.jsonl": text}
    return case(f"metrics with {name}", "report.py run", "metrics.jsonl:2: ", *words, files=files)


def stored(name: str, change: Callable[[Any], object], *words: str) -> Case:
    """A report that stands in the folder."""
    return case(
        f"stored report with {name}",
        "report.py evaluated --triples 1",
        "evaluated/report.json: ",
        *words,
        change=edit("evaluated/report.json", change),
        warned=1,
    )


CASES = [
    case(
        "report of no kind of file", "report.py run --out page.pdf", "--out: ", ".html", "page.pdf"
    ),
    case("report of no triples", "report.py run --triples 0", "--triples: ", "at least 1"),
    case(
        "report of other data sets",
        "report.py run evaluated",
        "evaluated",
        "same data set",
        warned=3,
    ),
    case("report of a run twice", "report.py run run/", "RUN: expected each folder once"),
    case(
        "report of a damaged run",
        "report.py run",
        "run/best.safetensors: ",
        "damaged",
        files={"run/best.safetensors": b"{}"},
        warned=2,
    ),
    case(
        "report of a run with garbage for metrics",
        "report.py run",
        "run/metrics.jsonl:1: ",
        "damaged",
        files={"run/metrics.jsonl": "what\n"},
    ),
    line("seconds of text", '"seconds": "x"', "seconds: expected a number, got 'x'"),
    line("a huge step", f'"step": 1{"0" * 400}', "damaged", "step"),
    stored("no heads", drop("heads"), "heads: missing"),
    case("no space", TUNE, "--space: missing", "KEY=LOW..HIGH"),
    space("no range", "train.lr", "expected KEY=LOW..HIGH"),
    space("a range backwards", "train.lr=1.0..0.5", "expected a lower and a higher end"),
    space("a logarithm of 0", "train.lr=0.0..1.0:log", "expected ends above 0 for log"),
    space("an unknown scale", "train.lr=0.1..1.0:cubic", "expected log or step=STEP", "cubic"),
    space("a step beside the end", "train.lr=0.0..1.0:step=0.3", "expected a step that leads"),
    space("one choice", "decoder.name=distmult", "expected at least two values"),
    space("another problem", "data=a,b", "data is not searched"),
    space("fractions of a whole number", "encoder.dim=2.0..8.0", "encoder.dim", "whole number"),
    case("an option twice", f"{TUNE} {SPACE} {SPACE}", "train.lr is searched already"),
    case(
        "unknown search",
        f"{TUNE} {SPACE} --search grid",
        "search.name: unknown name 'grid'",
        "known: random, tpe",
    ),
    case("searching in a file", f"tune.py --recipe own.toml {SPACE} --out own.toml", "own.toml"),
    case(
        "export into a folder that is full",
        "export_vectors.py run --out triples",
        "triples: there already",
    ),
    case(
        "export of no kind",
        "export_vectors.py run --out new --format csv",
        "--format: ",
        "'csv'",
        "npy",
    ),
]
