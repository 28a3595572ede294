"""Train with DANS, or with another sampler of negatives.

A pre-trained run is trained further. DANS trains generators of negatives together with the model.
Where the pre-trained run is missing, the error message names the command that makes it.

  dans train umls-distmult
  dans train umls-distmult --sampler self-loop --seed 1 --resume
"""

import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from dans.cli import parsing as cli
from dans.config.recipes import COMMANDS, RECIPES, find_recipe
from dans.errors import InputError, visible

if TYPE_CHECKING:
    from dans.config.schema import RunConfig


def add_options(parser: ArgumentParser) -> None:
    """Add what to train, and how."""
    cli.add_training_options(parser, kind="dans")


def run(args: Namespace) -> None:
    """Train, and print what came out."""
    print(train_and_report(args))


def chosen_recipe(args: Namespace) -> str:
    """What the command line names to be trained."""
    if args.what and args.recipe:
        raise InputError(f"--recipe {args.recipe}: {args.what} is given already; leave one out")
    if what := args.what or args.recipe or args.usual_recipe:
        return str(what)
    command = f"dans {COMMANDS[args.kind]}"
    raise InputError(f"expected what to train, as in: {command} umls-distmult; --help says more")


def configured(args: Namespace) -> "tuple[RunConfig, Path]":
    """The configuration and the folder that training options ask for."""
    from dans.config.schema import Component
    from dans.runs.init_from import folder
    from dans.runs.train import configure

    what, kind = chosen_recipe(args), args.kind
    recipe = find_recipe(what, kind, getattr(args, "setting", ""))
    chosen = {"train.seed": args.seed, "train.device": args.device}
    assignments = [f"{key}={value}" for key, value in chosen.items() if value is not None]
    made = args.out or folder(f"{kind}/{recipe.stem}", args.seed or 0)
    config = configure(recipe, [*args.set, *assignments], made=made if args.resume else None)
    if kind == "baselines" and config.objective == Component("negative_sampling"):
        ours = recipe.base.resolve().parent == RECIPES / "bases" and recipe.setting is None
        # A base alone is a baseline where a table says so: the one that Stay Positive is held to.
        if ours and recipe.stem not in cli.records(kind, "expected"):
            losses = ", ".join(sorted(path.stem for path in (RECIPES / "losses").glob("*.toml")))
            without = "without --loss it is pre-training by negative sampling, no baseline"
            raise InputError(f"{what}: {without}; known losses: {losses}")
    return config, args.out or folder(f"{kind}/{recipe.stem}", config.train.seed)


def train_and_report(args: Namespace) -> str:
    """Train by the options of a command; returns its last line of output."""
    from baselines.assembly import train
    from dans.training.run_folder import RunFolder

    config, where = configured(args)
    report = train(config, where, resume=args.resume, loggers=args.loggers)
    said = "trained, without validation triples"
    if report:
        best = RunFolder(where).checkpoints.best_step()
        start = "" if best else ", before the first step"
        said = f"{report.summary()}, best at step {best}{start}"
    return visible(f"{where}: {said}; evaluate it with: dans evaluate {shlex.quote(str(where))}")
