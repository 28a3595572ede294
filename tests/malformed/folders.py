"""Folders of runs with something else in them."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.malformed.case import Case, Content, case

JUDGE = "evaluate.py run"
CONFIG = "run/config.json"
RESUME = "pretrain_rgcn.py --recipe own.toml --out run --resume --set train.steps=4"
TABULATE = "tabulate.py runs"
DRAW = "plot_calibration.py evaluated --out x.png"


def config(name: str, content: Content, *words: str) -> Case:
    return case(name, JUDGE, f"{CONFIG}: ", *words, files={CONFIG: content})


def edit(file: str, change: Callable[[Any], object]) -> Callable[[Path], None]:
    """Change what a JSON file says."""

    def apply(world: Path) -> None:
        content = json.loads((world / file).read_text())
        change(content)
        (world / file).write_text(json.dumps(content))

    return apply


def edited(name: str, change: Callable[[Any], object], *words: str) -> Case:
    return case(name, JUDGE, CONFIG, *words, change=edit(CONFIG, change))


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
    return case(
        name,
        TABULATE,
        f"runs/toy/seed0/{file}",
        *words,
        change=among(lambda run: (run / file).write_bytes(data)),
    )


def report(name: str, change: Callable[[Any], object], *words: str) -> Case:
    return case(
        name,
        TABULATE,
        "runs/toy/seed0/report.json: ",
        *words,
        change=among(lambda run: edit("report.json", change)(run)),
    )


def fitted(name: str, change: Callable[[Any], object], *words: str) -> Case:
    """The calibration that is kept in a run."""
    return case(
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
    case(
        "no such folder", "evaluate.py nowhere", "nowhere/config.json: ", "not the folder of a run"
    ),
    case("a file for a folder", "evaluate.py own.toml", "own.toml/config.json: ", "not the folder"),
    case(
        "a folder of triples",
        "evaluate.py triples",
        "triples/config.json: ",
        "not the folder of a run",
    ),
    case("a name of thousands of letters", f"evaluate.py {'x' * 300}", "File name too long"),
    case(
        "an empty folder",
        "evaluate.py new",
        "new/config.json: ",
        change=lambda world: (world / "new").mkdir(),
    ),
    case("no config", JUDGE, CONFIG, "not the folder of a run", files={CONFIG: None}),
    case(
        "a folder for the config",
        JUDGE,
        CONFIG,
        "directory",
        files={CONFIG: None, f"{CONFIG}/x": ""},
    ),
    config("empty config", b"", "not a JSON file"),
    config("half a config", '{"data": "triples", "enc', "not a JSON file", "line 1"),
    config("a config of TOML", 'data = "triples"\n', "not a JSON file", "line 1"),
    case(
        "a config in UTF-16",
        JUDGE,
        f"{CONFIG}:1: byte 1 of the line, 0xff, is not UTF-8",
        files={CONFIG: '{"data": "triples"}'.encode("utf-16")},
    ),
    config("a config of a list", "[]", "expected an object, got list"),
    config("a config of a number", "5", "expected an object, got int"),
    config("a config of brackets", "[" * 9999, "not a JSON file"),
    config("a config of digits", "9" * 9999, "not a JSON file"),
    config(
        "a key of the config twice", '{"data": "triples", "data": "triples"}', "'data' stands twice"
    ),
    config("a key of two lines", '{"a\\nb\\u001b[31m": 5}', "a\\nb\\x1b[31m: unknown option"),
    config("an empty object", "{}", "data: missing"),
    edited("config without data", drop("data"), "data: missing"),
    case(
        "config of data that are gone",
        JUDGE,
        "'gone'",
        "known: ",
        change=edit(CONFIG, put("gone", "data")),
    ),
    edited(
        "config with an unknown section", put({}, "trainer"), "trainer: unknown option", "train?"
    ),
    edited(
        "config with an unknown option", put(1, "train", "epochs"), "train.epochs: unknown option"
    ),
    edited(
        "config with steps of text", put("2", "train", "steps"), "train.steps: expected a whole"
    ),
    edited(
        "config with a rate NaN", put(float("nan"), "train", "lr"), "train.lr: must be a finite"
    ),
    edited("config with null", put(None, "train", "seed"), "train.seed: expected a whole", "None"),
    edited(
        "config without a sampler's name", drop("sampler", 0, "name"), "sampler.0.name: missing"
    ),
    case(
        "config with an unknown decoder",
        JUDGE,
        "decoder.name: unknown name 'dismult'",
        "known: ",
        change=edit(CONFIG, put("dismult", "decoder", "name")),
    ),
    case(
        "config with an unknown option of a decoder",
        JUDGE,
        "decoder.gamma: unknown option",
        change=edit(CONFIG, put(1.0, "decoder", "gamma")),
    ),
    case(
        "config with another width",
        JUDGE,
        "encoder.entities.weight",
        change=edit(CONFIG, put(4, "encoder", "dim")),
    ),
    case(
        "config with another decoder",
        JUDGE,
        "decoder",
        change=edit(CONFIG, put("tucker", "decoder", "name")),
    ),
    case(
        "triples that changed",
        JUDGE,
        "made for other triples",
        files={"triples/test.tsv": "e2\tr0\te6\n"},
    ),
    case(
        "triples that are gone",
        JUDGE,
        "triples: no file for test",
        files={"triples/test.tsv": None},
    ),
    case(
        "no metrics line is one",
        RESUME,
        "run/metrics.jsonl:1: ",
        "damaged",
        files={"run/metrics.jsonl": "nothing\n"},
    ),
    case(
        "garbage amid the metrics",
        RESUME,
        "run/metrics.jsonl:2: ",
        "damaged",
        change=lambda world: amid(world, b"\x00\xff\n"),
    ),
    case(
        "half a line amid the metrics",
        RESUME,
        "run/metrics.jsonl:2: ",
        "damaged",
        change=lambda world: amid(world, b'{"step": 0, "ev\n'),
    ),
    case(
        "metrics of a list",
        RESUME,
        "run/metrics.jsonl:2: ",
        "damaged",
        change=lambda world: amid(world, b"[0]\n"),
    ),
    case(
        "metrics without a step",
        RESUME,
        "run/metrics.jsonl:2: ",
        "damaged",
        "step",
        change=lambda world: amid(world, b'{"event": "valid"}\n'),
    ),
    case(
        "metrics with a step of text",
        RESUME,
        "run/metrics.jsonl:2: ",
        "damaged",
        change=lambda world: amid(world, b'{"step": "two"}\n'),
    ),
    *(
        case(
            f"metrics of {line!r:.30}",
            RESUME,
            "run/metrics.jsonl:2: ",
            "damaged",
            change=partial(amid, data=f"{line}\n".encode()),
        )
        for line in (
            '{"step": true}',
            f'{{"step": {10**400}}}',
            '{"step": 0, "train": []}',
            '{"step": 0, "step": 0}',
        )
    ),
    case(
        "a folder for the metrics",
        RESUME,
        "run/metrics.jsonl",
        files={"run/metrics.jsonl": None, "run/metrics.jsonl/x": ""},
    ),
    tabled("report of garbage", "report.json", b"\x00\xff", "1"),
    tabled("half a report", "report.json", '{"both": {"mrr": 0.', "not a JSON file", "line 1"),
    tabled("report of a list", "report.json", "[]", "expected an object, got list"),
    tabled("report of nothing", "report.json", "{}", "seed: missing"),
    report("report without a seed", drop("seed"), "seed: missing"),
    report("report with a seed of text", put("zero", "seed"), "seed: expected a whole number"),
    report("report without both sides", drop("both"), "both: missing"),
    report("report of both as a number", put(0.5, "both"), "both: expected an object, got 0.5"),
    report("report without MRR", drop("both", "mrr"), "both.mrr: missing"),
    report(
        "report with MRR of text", put("high", "both", "mrr"), "both.mrr: expected a number", "high"
    ),
    report(
        "report with classes of a list", put([], "classification"), "classification: expected an"
    ),
    tabled("no line of metrics", "metrics.jsonl", b"", "metrics.jsonl"),
    tabled(
        "a last line that is none", "metrics.jsonl", '{"step": 0}\n{"seco\n', "metrics.jsonl:2: "
    ),
    tabled("a last line without seconds", "metrics.jsonl", '{"step": 0}\n', ":1: seconds: missing"),
    tabled("a sampler of garbage", "sampler.json", "{", "sampler.json: not a JSON file"),
    tabled("a sampler of nothing", "sampler.json", "{}", "sampler.json: false_negatives: missing"),
    tabled("a last report of nothing", "report.last.json", "{}", "report.last.json: both: missing"),
    case(
        "calibration of garbage",
        DRAW,
        "evaluated/calibration.json: not a JSON file",
        files={"evaluated/calibration.json": "{"},
    ),
    case(
        "calibration of a list",
        DRAW,
        "evaluated/calibration.json: expected an object",
        files={"evaluated/calibration.json": "[]"},
    ),
    fitted("thresholds of text", put("low", "thresholds"), "thresholds: expected a list", "'low'"),
    fitted(
        "a threshold of text", put(["low", 1.0], "thresholds"), "thresholds.0: expected a number"
    ),
    fitted("too few thresholds", put([1.0], "thresholds"), "thresholds: expected 2", "1"),
    fitted("no thresholds", drop("thresholds"), "thresholds: missing"),
    fitted("Platt of a list", put([1.0], "platt"), "platt: expected an object, got [1.0]"),
    fitted("Platt without a slope", drop("platt", "a"), "platt.a: missing"),
    fitted("Platt with a third number", put(1.0, "platt", "c"), "platt.c: unknown", "known: a, b"),
    fitted(
        "a slope of text", put("steep", "platt", "a"), "platt.a: expected a number, got 'steep'"
    ),
    fitted("a slope NaN", put(float("nan"), "platt", "a"), "platt.a: must be a finite number"),
    fitted("isotonic of text", put("x", "isotonic", "scores"), "isotonic.scores: expected a list"),
    fitted(
        "isotonic of texts",
        put(["x"], "isotonic", "values"),
        "isotonic.values.0: expected a number",
    ),
    fitted(
        "isotonic of nothing",
        put({"scores": [], "values": []}, "isotonic"),
        "isotonic: expected as many",
    ),
    fitted(
        "isotonic with fewer values", put([0.5], "isotonic", "values"), "isotonic: expected as many"
    ),
    fitted("isotonic that falls", lambda c: c["isotonic"]["scores"].reverse(), "isotonic.scores: "),
    fitted("a probability above 1", put(7.0, "isotonic", "values", 0), "isotonic.values"),
]
