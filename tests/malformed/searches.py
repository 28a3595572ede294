"""Reports, searches and exports that cannot be."""

from collections.abc import Callable
from typing import Any

from tests.malformed.case import Case, case
from tests.malformed.folders import drop, edit, put

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


def kept(name: str, change: Callable[[Any], object], *words: str) -> Case:
    """A report that is kept in the folder."""
    return case(
        f"kept report with {name}",
        "report.py evaluated --triples 1",
        "evaluated/report.json: ",
        *words,
        change=edit("evaluated/report.json", change),
        warned=1,
    )


CASES = [
    case(
        "no run to report", "report.py nowhere", "nowhere/config.json: ", "not the folder of a run"
    ),
    case("no runs", "report.py", "RUN", "required", "--help"),
    case(
        "report of the training triples",
        "report.py run --split train",
        "--split: ",
        "valid",
        "test",
    ),
    case(
        "report of no kind of file", "report.py run --out page.pdf", "--out: ", ".html", "page.pdf"
    ),
    case("report into no folder", "report.py run --out gone/page.html", "gone"),
    case("report of no triples", "report.py run --triples 0", "--triples: ", "at least 1"),
    case(
        "report of triples by text",
        "report.py run --triples many",
        "--triples: expected a whole number",
    ),
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
    line("a list for both sides", '"both": []', "damaged", "both"),
    line("null for both sides", '"both": null', "damaged", "both"),
    line("a list for the terms", '"train": [1]', "damaged", "train"),
    line("a list for classes", '"classification": [1]', "damaged", "classification"),
    line("seconds of text", '"seconds": "x"', "seconds: expected a number, got 'x'"),
    line("no seconds", '"seconds": null', "seconds: expected a number, got None"),
    line("a loss of text", '"train": {"loss": "x"}', "train.loss: expected a number, got 'x'"),
    line("an MRR of a list", '"both": {"mrr": [1]}', "both.mrr: expected a number, got [1]"),
    line("a huge loss", f'"train": {{"loss": 1{"0" * 400}}}', "damaged"),
    line("a huge step", f'"step": 1{"0" * 400}', "damaged", "step"),
    kept("a list for both sides", put([], "both"), "both: expected an object, got []"),
    kept("no heads", drop("heads"), "heads: missing"),
    kept("an MRR of text", put("x", "both", "mrr"), "both.mrr: expected a number, got 'x'"),
    case("no space", TUNE, "--space: missing", "KEY=LOW..HIGH"),
    space("no range", "train.lr", "expected KEY=LOW..HIGH"),
    space("a range without an end", "train.lr=1..", "expected a number", "''"),
    space("a range backwards", "train.lr=1.0..0.5", "expected a lower and a higher end"),
    space("a range of text", "train.lr=low..high", "expected a number", "'low'"),
    space("a range to infinity", "train.lr=1..inf", "expected a finite number", "'inf'"),
    space("a logarithm of 0", "train.lr=0.0..1.0:log", "expected ends above 0 for log"),
    space("an unknown way", "train.lr=0.1..1.0:cubic", "expected log or step=STEP", "cubic"),
    space("a step of 0", "train.lr=0.0..1.0:step=0", "expected a step above 0"),
    space("a step beside the end", "train.lr=0.0..1.0:step=0.3", "expected a step that leads"),
    space("one choice", "decoder.name=distmult", "expected at least two values"),
    space("a choice twice", "decoder.name=distmult,distmult", "each of them once"),
    space("a choice that is refused", "decoder.name=distmult,dismult", "decoder.name", "dismult"),
    space("a list without an end", "'train.betas=[0.9,0.8'", "expected TOML values"),
    space("another problem", "data=a,b", "data is not searched"),
    space("an unknown option", "train.rate=0.1..1.0", "train.rate: unknown option", "known: "),
    space("fractions of a whole number", "encoder.dim=2.0..8.0", "encoder.dim", "whole number"),
    case("an option twice", f"{TUNE} {SPACE} {SPACE}", "train.lr is searched already"),
    case(
        "no trials", f"{TUNE} {SPACE} --trials 0", "--trials: expected a whole number of at least 1"
    ),
    case(
        "unknown search",
        f"{TUNE} {SPACE} --search grid",
        "search.name: unknown name 'grid'",
        "known: random, tpe",
    ),
    case(
        "unknown option of a search",
        f"{TUNE} {SPACE} --search tpe:warm=3",
        "search.warm: unknown option of tpe",
        "known: startup",
    ),
    case(
        "unknown pruning",
        f"{TUNE} {SPACE} --prune early",
        "prune.name: unknown name 'early'",
        "known: median, none",
    ),
    case("unknown kind", f"{TUNE} {SPACE} --kind negatives", "--kind: ", "'negatives'", "pretrain"),
    case(
        "no such recipe to vary", f"tune.py --recipe gone.toml {SPACE}", "gone.toml: no such recipe"
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
    case(
        "export of no run", "export_vectors.py nowhere --out new", "nowhere/config.json: not there"
    ),
    case("export to nowhere", "export_vectors.py run", "--out", "required", "--help"),
]
