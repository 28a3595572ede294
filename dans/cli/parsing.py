"""Options that several commands have, and what they ask for."""

import argparse
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from dans.config.reading import read_toml
from dans.config.recipes import (
    DEFAULT,
    NOUNS,
    RECIPES,
    SETTINGS,
    Recipe,
    find_recipe,
    run_name,
)
from dans.config.schema import Component, RunConfig
from dans.errors import DISTRIBUTION, LARGEST, InputError, install_command, shown, visible
from dans.evaluation.classifier import ClassificationReport
from dans.evaluation.evaluator import EvaluationReport
from dans.runs.init_from import folder
from dans.runs.train import configure, train
from dans.training.loggers import ALWAYS, OPTIONAL
from dans.training.run_folder import RunFolder

T = TypeVar("T")

#: What recipes are expected to give and what papers have: a file for each table, KIND-TABLE.toml.
RESULTS = Path(__file__).resolve().parents[2] / "scripts" / "results"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are an ``InputError`` of one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Raise an ``InputError``."""
        sentence = " ".join(message.removeprefix("argument ").split())
        raise InputError(f"{sentence}; --help lists what there is")


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with a docstring as its description; it says how to install an extra here."""
    text = re.sub(
        rf"pip install '{DISTRIBUTION}\[([\w,]+)\]'",
        lambda found: install_command(found[1]),
        description or "",
    )
    return Parser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)


def whole(least: int | None = None) -> Callable[[str], int]:
    """The type of an option that is a whole number of at most 64 bits, and at least ``least``."""
    what = "a whole number" + ("" if least is None else f" of at least {least}")

    def parse(text: str) -> int:
        # Python refuses to read whole numbers of thousands of digits.
        fits = re.fullmatch(r"[+-]?[0-9]{1,100}", text)
        if not fits or (least is not None and int(text) < least):
            raise argparse.ArgumentTypeError(f"expected {what}, got {shown(text)}")
        if abs(int(text)) >= LARGEST:
            message = f"expected a whole number below 2^63, got {shown(text)}"
            raise argparse.ArgumentTypeError(message)
        return int(text)

    return parse


def add_training_options(parser: argparse.ArgumentParser, *, kind: str, recipe: str) -> None:
    """Add the options of every command that trains."""
    parser.add_argument(
        "--recipe",
        default=recipe,
        metavar="NAME|FILE",
        help=f"what to train: a TOML file, or one of dans/recipes/bases (default: {recipe})",
    )
    if folder := SETTINGS.get(kind):
        usual = f"{DEFAULT}; none if it is a file" if kind == "dans" else "that in --recipe"
        parser.add_argument(
            f"--{NOUNS[folder]}",
            dest="setting",
            default="",
            metavar="NAME|FILE",
            help=f"combined with it: a TOML file, or one of dans/recipes/{folder}; "
            f"--recipe NAME-SETTING names both (default: {usual})",
        )
    parser.add_argument("--seed", type=whole(), help="random seed (default: the recipe's, or 0)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one option of the recipe, such as train.steps=500; may be repeated",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=f"folder of the run (default: runs/{kind}/NAME/seedN)",
    )
    device = "the device, by its name in torch (default: the recipe's, or cpu)"
    parser.add_argument("--device", help=device)
    add_logger_option(parser)
    resume = "continue with the run in the folder, if there is one"
    parser.add_argument("--resume", action="store_true", help=resume)


def add_logger_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--logger``, and its old spelling ``--track``."""
    parser.add_argument(
        "--logger",
        "--track",
        dest="loggers",
        action="append",
        default=[],
        metavar="NAME",
        help=f"log the run's metrics to {' or '.join(OPTIONAL)} too; may be repeated "
        f"({' and '.join(ALWAYS)} are always written)",
    )


def add_model_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``: which checkpoint of a trained run."""
    parser.add_argument(
        "--model",
        choices=("best", "last"),
        default="best",
        help="the checkpoint best on validation, or the last one (default: best)",
    )


def add_memory_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--memory-budget``, for commands that rank."""
    parser.add_argument(
        "--memory-budget",
        default="",
        metavar="SIZE",
        help="memory that scores may take, as 200MB (default: as in training, or a quarter of the "
        "free)",
    )


def training(args: argparse.Namespace, *, kind: str) -> tuple[RunConfig, Path]:
    """The configuration and the folder that training options ask for."""
    recipe = find_recipe(args.recipe, kind, getattr(args, "setting", ""))
    chosen = {"train.seed": args.seed, "train.device": args.device}
    assignments = [f"{key}={value}" for key, value in chosen.items() if value is not None]
    begun = args.out or folder(f"{kind}/{recipe.stem}", args.seed or 0)
    resumed = begun if args.resume else None
    config = configure(recipe, [*args.set, *assignments], resumed=resumed)
    if kind == "baselines":
        check_baseline(recipe, config, args.recipe)
    return config, args.out or folder(f"{kind}/{recipe.stem}", config.train.seed)


def check_baseline(recipe: Recipe, config: RunConfig, given: str) -> None:
    """Refuse a base alone as a baseline, since without a loss of its own it is pre-training.

    Where a table of results has the base as a baseline, such as that which Stay Positive is
    compared with, it is one.
    """
    ours = recipe.base.resolve().parent == RECIPES / "bases" and recipe.setting is None
    trains_as_before = config.objective == Component("negative_sampling")
    if ours and trains_as_before and recipe.stem not in records("baselines", "expected"):
        losses = ", ".join(sorted(path.stem for path in (RECIPES / "losses").glob("*.toml")))
        without = "without a loss setting it is pre-training by negative sampling, no baseline"
        raise InputError(
            f"--recipe {given}: {without}; name both, as {given}-sce; known losses: {losses}"
        )


def matching(named: Mapping[str, T], pattern: str) -> dict[str, T]:
    """The items whose name matches the pattern of ``--match``."""
    found = {name: value for name, value in named.items() if fnmatch(name, pattern)}
    if not found:
        known = ", ".join(sorted(named)) or "none"
        raise InputError(f"--match: {shown(pattern)} matches no name; known: {known}")
    return found


def records(kind: str, section: str) -> dict[str, dict[str, Any]]:
    """What the tables of results hold for a kind of run, by the runs' names.

    A table holds ``[expected.BASE]`` and ``[paper.BASE]``, by setting; ``base`` is the base alone.
    A number by itself is the value of the metric that stands at the head of the file, and so are
    tolerance, seeds and commit.
    """
    found = {}
    for path in sorted(RESULTS.glob(f"{kind}-*.toml")):
        plain = read_toml(path)
        head = {key: value for key, value in plain.items() if not isinstance(value, Mapping)}
        for base, settings in plain.get(section, {}).items():
            for setting, its in settings.items():
                numbers = its if isinstance(its, Mapping) else {"value": its}
                name = run_name(base, "" if setting == "base" else setting)
                found[name] = {**head, **numbers}
    return found


def train_and_report(
    args: argparse.Namespace,
    *,
    kind: str,
    train: Callable[..., EvaluationReport | ClassificationReport | None] = train,
) -> str:
    """Train by the options of a command; returns its last line of output."""
    config, where = training(args, kind=kind)
    report = train(config, where, resume=args.resume, loggers=args.loggers)
    said = "trained, without validation triples"
    if report:
        best = RunFolder(where).checkpoints.best_step()
        start = "" if best else ", before the first step"
        said = f"{report.summary()}, best at step {best}{start}"
    return visible(f"{where}: {said}; evaluate it with: python scripts/evaluate.py {where}")
