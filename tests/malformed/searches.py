"""Malformed options and files of reports, studies and exports."""

from collections.abc import Callable
from typing import Any

from tests.malformed.case import Case
from tests.malformed.folders import drop, edit

TUNE = "tune.py --recipe own.toml --out new --trials 2"
SPACE = "--space train.lr=1e-3..1e-1"


def space(name: str, given: str, *words: str) -> Case:
    return Case(name, f"{TUNE} --space {given}", f"--space {given.strip(chr(39))}: ", *words)


def line(name: str, part: str, *words: str) -> Case:
    """A last line of metrics with something else in it."""
    step = "" if part.startswith('"step"') else '"step": 1, '
    text = f'{{"step": 0}}\n{{{step}{part}}}\n'
    files = {"run/metrics.jsonl": text}
    return Case(f"metrics with {name}", "report.py run", "metrics.jsonl:2: ", *words, files=files)


def stored(name: str, change: Callable[[Any], object], *words: str) -> Case:
    """A report that stands in the folder."""
    return Case(
        f"stored report with {name}",
        "report.py evaluated --triples 1",
        "evaluated/report.json: ",
        *words,
        change=edit("evaluated/report.json", change),
        warned=1,
    )


CASES = [
    Case(
        "report of no kind of file", "report.py run --out page.pdf", "--out: ", ".html", "page.pdf"
    ),
    Case("report of no triples", "report.py run --triples 0", "--triples: ", "at least 1"),
    Case(
        "report of other data sets",
        "report.py run evaluated",
        "evaluated",
        "same data set",
        warned=3,
    ),
    Case("report of a run twice", "report.py run run/", "RUN: expected each folder once"),
    Case(
        "report of a damaged run",
        "report.py run",
        "run/best.safetensors: ",
        "damaged",
        files={"run/best.safetensors": b"{}"},
        warned=1,
    ),
    Case(
        "report of a run with garbage for metrics",
        "report.py run",
        "run/metrics.jsonl:1: ",
        "damaged",
        files={"run/metrics.jsonl": "what\n"},
    ),
    line("seconds of text", '"seconds": "x"', "seconds: expected a number, got 'x'"),
    line("a huge step", f'"step": 1{"0" * 400}', "damaged", "step"),
    stored("no heads", drop("heads"), "heads: missing"),
    Case("no space", TUNE, "--space: missing", "KEY=LOW..HIGH"),
    space("no range", "train.lr", "expected KEY=LOW..HIGH"),
    space("fractions of a whole number", "encoder.dim=2.0..8.0", "encoder.dim", "whole number"),
    Case("an option twice", f"{TUNE} {SPACE} {SPACE}", "train.lr is searched already"),
    Case(
        "unknown search",
        f"{TUNE} {SPACE} --search grid",
        "search.name: unknown name 'grid'",
        "known: random, tpe",
    ),
    Case("searching in a file", f"tune.py --recipe own.toml {SPACE} --out own.toml", "own.toml"),
    Case(
        "export into a folder that is full",
        "export_vectors.py run --out triples",
        "triples: there already",
    ),
    Case(
        "export of no kind",
        "export_vectors.py run --out new --format csv",
        "--format: ",
        "'csv'",
        "npy",
    ),
]
