"""The command ``dans``: finds the module of a command, parses its options and runs it.

Nothing heavy is imported before the options are parsed, so that help is quick.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import dans
from dans.cli.command import run_main
from dans.cli.parsing import check_runs, parser
from dans.errors import InputError, did_you_mean, shown

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

#: The modules of the commands, in the order of work. The help of a command is its docstring.
COMMANDS = {
    "fetch": "fetching",
    "split": "splitting_command",
    "pretrain": "pretraining",
    "train": "train_command",
    "baseline": "baseline_training",
    "evaluate": "evaluating",
    "predict": "predicting",
    "explain": "explaining",
    "check": "checking_command",
    "serve": "serving",
    "report": "reporting",
    "compare": "comparing",
    "export": "exporting",
    "inspect": "inspecting",
    "tune": "searching",
    "reproduce": "reproducing",
    "tabulate": "tabulating",
    "plot-diversity": "diversity_plot",
    "plot-calibration": "calibration_plot",
}

#: The commands that daily use does without.
RESEARCH = (
    "baseline",
    "inspect",
    "tune",
    "reproduce",
    "tabulate",
    "plot-diversity",
    "plot-calibration",
)

#: Daily use in four lines, those of the README.
EXAMPLE = (
    "dans train my-triples.tsv --out my-run",
    "dans evaluate my-run",
    "dans predict my-run --head ada --relation knows --top 10",
    "dans report my-run",
)


class Command(Protocol):
    """What the module of a command has."""

    __doc__: str | None

    def add_options(self, parser: "ArgumentParser") -> None:
        """Add the options of the command."""

    def run(self, args: "Namespace") -> None:
        """Do what the options say, and print what came out."""


def main() -> None:
    """Run the command line of ``dans``; ends the process with a status that is not 0 on errors."""
    run_main(lambda: dispatch(sys.argv[1:]))


def run_script(name: str, *, recipe: str = "") -> None:
    """Run a command as a script of its own.

    Args:
        recipe: what a command that trains takes where it is given none.
    """
    prog = f"python scripts/{Path(sys.argv[0]).name}"
    run_main(lambda: run_command(name, sys.argv[1:], prog=prog, recipe=recipe))


def dispatch(arguments: Sequence[str]) -> None:
    """Run the command that the first argument names; without one, print what there is."""
    match arguments:
        case [] | ["-h" | "--help", *_]:
            print(overview())
        case ["--version", *_]:
            print(f"dans {dans.__version__}")
        case [name, *rest] if name in COMMANDS:
            run_command(name, rest)
        case [name, *_]:
            what = "option" if name.startswith("-") else "command"
            hint = did_you_mean(name, [*COMMANDS, "--help", "--version"])
            raise InputError(f"{shown(name)}: no such {what}{hint or '; dans --help lists them'}")


def run_command(name: str, arguments: Sequence[str], *, prog: str = "", recipe: str = "") -> None:
    """Parse the options of a command and run it.

    Args:
        prog: what the usage says; ``dans NAME`` where it is empty.
        recipe: what a command that trains takes where it is given none.
    """
    command = load(name)
    options = parser(command.__doc__, prog=prog or f"dans {name}")
    command.add_options(options)
    if recipe:
        options.set_defaults(usual_recipe=recipe)
    args = options.parse_args(arguments)
    check_runs(args)
    command.run(args)


def load(name: str) -> Command:
    """The module of a command."""
    return cast(Command, import_module(f"dans.cli.{COMMANDS[name]}"))


def overview() -> str:
    """The commands, one line each, and an example of daily use."""
    parts = ["usage: dans COMMAND ...", _first(dans.__doc__)]
    daily = [name for name in COMMANDS if name not in RESEARCH]
    for title, names in (("daily use", daily), ("research", RESEARCH)):
        lines = [f"  {name:<18}{_first(load(name).__doc__)}" for name in names]
        parts.append("\n".join([f"{title}:", *lines]))
    parts.append("\n".join(["example:", *(f"  {line}" for line in EXAMPLE)]))
    return "\n\n".join([*parts, "dans COMMAND --help: its options; dans --version: the version"])


def _first(docstring: str | None) -> str:
    """The first line of a docstring, without its full stop."""
    return (docstring or "").partition("\n")[0].rstrip(".")
