"""Folders of runs with something else in them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.malformed.case import Case, Content

EVALUATE = "evaluate.py run"
CONFIG = "run/config.json"
RESUME = "pretrain_rgcn.py --recipe own.toml --out run --resume --set train.steps=4"
TABULATE = "tabulate.py runs"
DRAW = "plot_calibration.py evaluated --out x.png"


def config(name: str, content: Content, *words: str) -> Case:
    return Case(name, EVALUATE, f"{CONFIG}: ", *words, files={CONFIG: content})


def edit(file: str, change: Callable[[Any], object]) -> Callable[[Path], None]:
    """Change what a JSON file says."""

    def apply(world: Path) -> None:
        content = json.loads((world / file).read_text())
        change(content)
        (world / file).write_text(json.dumps(content))

    return apply


def edited(name: str, change: Callable[[Any], object], *words: str) -> Case:
    return Case(name, EVALUATE, CONFIG, *words, change=edit(CONFIG, change))


def put(value: object, *keys: Any) -> Callable[[Any], None]:
    def apply(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return apply


def drop(*keys: Any) -> Callable[[Any], None]:
    def apply(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]

    return apply


def among(change: Callable[[Path], object]) -> Callable[[Path], None]:
    """The evaluated run, as one of a recipe's; then changed."""

    def apply(world: Path) -> None:
        (world / "runs/toy").mkdir(parents=True)
        (world / "evaluated").rename(world / "runs/toy/seed0")
        change(world / "runs/toy/seed0")

    return apply


def tabled(name: str, file: str, content: str | bytes, *words: str) -> Case:
    data = content.encode() if isinstance(content, str) else content
    return Case(
        name,
        TABULATE,
        f"runs/toy/seed0/{file}",
        *words,
        change=among(lambda run: (run / file).write_bytes(data)),
    )


def fitted(name: str, change: Callable[[Any], object], *words: str) -> Case:
    """The calibration in a run's folder."""
    return Case(
        name,
        DRAW,
        "evaluated/calibration.json: ",
        *words,
        change=edit("evaluated/calibration.json", change),
    )


def amid(world: Path, data: bytes) -> None:
    path = world / "run/metrics.jsonl"
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(first + b"\n" + data + rest)


CASES = [
    Case(
        "no such folder", "evaluate.py nowhere", "nowhere/config.json: ", "not the folder of a run"
    ),
    Case("a name of thousands of letters", f"evaluate.py {'x' * 300}", "File name too long"),
    Case(
        "a folder for the config",
        EVALUATE,
        CONFIG,
        "directory",
        files={CONFIG: None, f"{CONFIG}/x": ""},
    ),
    config("half a config", '{"data": "triples", "enc', "not a JSON file", "line 1"),
    Case(
        "a config in UTF-16",
        EVALUATE,
        f"{CONFIG}:1: byte 1 of the line, 0xff, is not UTF-8",
        files={CONFIG: '{"data": "triples"}'.encode("utf-16")},
    ),
    config("a config of a list", "[]", "expected an object, got list"),
    config(
        "a key of the config twice", '{"data": "triples", "data": "triples"}', "'data' stands twice"
    ),
    edited("config without data", drop("data"), "data: missing"),
    Case(
        "config of data that are gone",
        EVALUATE,
        "'gone'",
        "known: ",
        change=edit(CONFIG, put("gone", "data")),
    ),
    edited(
        "config with an unknown option", put(1, "train", "epochs"), "train.epochs: unknown option"
    ),
    Case(
        "config with an unknown decoder",
        EVALUATE,
        "made by another configuration than config.json",
        "decoder.name: 'distmult' then, 'dismult' now",
        change=edit(CONFIG, put("dismult", "decoder", "name")),
    ),
    Case(
        "config with another width",
        EVALUATE,
        "encoder.dim: 8 then, 4 now",
        change=edit(CONFIG, put(4, "encoder", "dim")),
    ),
    Case(
        "triples that changed",
        EVALUATE,
        "made for other triples",
        files={"triples/test.tsv": "e2\tr0\te6\n"},
    ),
    Case(
        "triples that are gone",
        EVALUATE,
        "triples: no file for train",
        files={"triples/train.tsv": None},
    ),
    Case(
        "garbage amid the metrics",
        RESUME,
        "run/metrics.jsonl:2: ",
        "damaged",
        change=lambda world: amid(world, b"\x00\xff\n"),
    ),
    Case(
        "metrics without a step",
        RESUME,
        "run/metrics.jsonl:2: ",
        "damaged",
        "step",
        change=lambda world: amid(world, b'{"event": "valid"}\n'),
    ),
    Case(
        "a folder for the metrics",
        RESUME,
        "run/metrics.jsonl",
        files={"run/metrics.jsonl": None, "run/metrics.jsonl/x": ""},
    ),
    tabled("half a report", "report.json", '{"both": {"mrr": 0.', "not a JSON file", "line 1"),
    tabled("report of nothing", "report.json", "{}", "seed: missing"),
    tabled(
        "a last line that is none", "metrics.jsonl", '{"step": 0}\n{"seco\n', "metrics.jsonl:2: "
    ),
    tabled("a last line without seconds", "metrics.jsonl", '{"step": 0}\n', ":1: seconds: missing"),
    tabled("a sampler of nothing", "sampler.json", "{}", "sampler.json: false_negatives: missing"),
    tabled("a last report of nothing", "report.last.json", "{}", "report.last.json: both: missing"),
    Case(
        "calibration of garbage",
        DRAW,
        "evaluated/calibration.json: not a JSON file",
        files={"evaluated/calibration.json": "{"},
    ),
    fitted("too few thresholds", put([1.0], "thresholds"), "thresholds: expected 2", "1"),
    fitted("Platt with a third number", put(1.0, "platt", "c"), "platt.c: unknown", "known: a, b"),
    fitted("isotonic that falls", lambda c: c["isotonic"]["scores"].reverse(), "isotonic.scores: "),
    fitted("a probability above 1", put(7.0, "isotonic", "values", 0), "isotonic.values"),
]
