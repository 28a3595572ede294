"""Train on triples of your own, or by a recipe.

Triples are trained on as by dans.train in Python, by a recipe of dans/recipes/own: with a sampled
softmax and the control (the uncorrupted entity as a negative), unless a sampler or a loss is named.
A recipe is trained with DANS. A sampler continues from a pre-trained model; where there is none,
that is trained first. A loss setting comes with its own negatives, or none, and without
pre-training. All options of a run stand in its config.json.

A setting changes more than a loss or a sampler, such as relations, filter and training:
sampled-softmax is a setting, sampled_softmax a loss.

  dans train my-triples/ --decoder complex --out my-run
  dans train my-triples/ --sampler dans --steps 200 --pretrain-steps 700 --out my-run
  dans train my-triples.csv --split .9,.05,.05 --columns subject,predicate,object
  dans train my-triples.tsv --loss sampled-softmax
  dans train umls-distmult
  dans train umls-distmult --sampler self-loop --seed 1 --resume
  dans train more-triples/ --init-from my-run --out longer
"""

import logging
import re
import shlex
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dans.cli import parsing as cli
from dans.config.recipes import (
    COMMANDS,
    DEFAULT,
    RECIPES,
    Recipe,
    find_recipe,
    override,
    parse_assignments,
    read_recipe,
    run_name,
)
from dans.config.schema import Component
from dans.errors import InputError, did_you_mean, shown, visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dans.config.schema import RunConfig
    from dans.data.graph import KnowledgeGraph
    from dans.evaluation.classifier import ClassificationReport
    from dans.evaluation.evaluator import EvaluationReport

    Report = EvaluationReport | ClassificationReport | None

log = logging.getLogger(__name__)

#: The options of a recipe that have an option of their own here.
SHORT = {
    "steps": "train.steps",
    "batch": "train.batch",
    "lr": "train.lr",
    "seed": "train.seed",
    "device": "train.device",
}

#: Options that say how triples are read, and those of a model that a recipe says itself.
READING = (
    "split",
    "inverse_leakage",
    "columns",
    "delimiter",
    "header",
    "labelled",
    "literals",
    "blank_nodes",
)
MODEL = ("encoder", "decoder")


def add_options(parser: ArgumentParser) -> None:
    """Add what to train, and how."""
    cli.add_training_options(parser, kind="dans")


def run(args: Namespace) -> None:
    """Train, and print what came out."""
    print(train_and_report(args))


def train_and_report(args: Namespace) -> str:
    """Train by the options of a command; returns its last line of output."""
    from dans.interface.planning import is_loss_setting, is_recipe

    what = chosen(args)
    by_recipe = args.what is None or is_recipe(what)
    if args.kind == "pretrain" and is_loss_setting(args.loss):
        if not by_recipe and str(args.loss).endswith(".toml"):
            raise InputError(f"--loss {args.loss}: a file of a setting, which only recipes take")
        command = f"dans train {what} --loss {args.loss}"
        raise InputError(f"--loss {args.loss}: a setting, no part of pre-training; try: {command}")
    report, where = (train_recipe if by_recipe else train_data)(args)
    said = outcome(where, report.metrics()) if report else "trained, without validation triples"
    return visible(f"{where}: {said}; evaluate it with: dans evaluate {shlex.quote(str(where))}")


def outcome(where: Path, newest: "Mapping[str, Mapping[str, float]]") -> str:
    """The best and the last validation of a run, in words.

    Warns of a run that continued another and is best before its first step. ``newest`` are
    the metrics of its last validation, by section.
    """
    from dans.config.selection import Selection
    from dans.report.formatting import heading
    from dans.training.run_folder import RunFolder

    run = RunFolder(where)
    config, last = run.config(), run.checkpoints.load("last")
    select, done = config.train.select, last["step"]
    value, step = last["best"][select], last["best"]["step"]
    said = f"best valid {heading(config.selection_metric)} {value:.4f} at step {step}"
    if step == done:
        return f"{said}, the last"
    if step == 0 and config.init_from:
        log.warning(
            "%s: no step improved on the model it started from, so this run equals it; more steps, "
            "another learning rate or sampler may help",
            where,
        )
    start = "" if step else ", before the first step"
    return f"{said}{start}; last {Selection(select).value(newest):.4f}"


def chosen(args: Namespace, command: str = "") -> str:
    """What the command line names to be trained; ``command``: if not that of the kind of run."""
    if args.what and args.recipe:
        raise InputError(f"--recipe {args.recipe}: {args.what} is given already; leave one out")
    if what := args.what or args.recipe or args.usual_recipe:
        return str(what)
    example = f"dans {command or COMMANDS[args.kind]} umls-distmult"
    raise InputError(f"expected what to train, as in: {example}; --help says more")


def train_recipe(args: Namespace) -> "tuple[Report, Path]":
    """Train by a recipe; returns the last validation and the folder."""
    from baselines import assembly
    from dans.runs.train import train

    args = with_kind(args)
    if args.kind == "dans" and args.what:
        pretrain_first(args)
    elif args.pretrain_steps is not None:
        there = "which needs a pre-trained run that is there already"
        raise InputError(f"--pretrain-steps: no effect on --recipe {chosen(args)}, {there}")
    config, where = configured(args)
    if args.kind != "pretrain":
        train = assembly.train
    tell_if_new(where, args)
    return train(config, where, resume=args.resume, loggers=args.loggers), where


def tell_if_new(where: Path, args: Namespace) -> None:
    """Say that ``--resume`` found no run in the folder, in case another folder was meant."""
    from dans.training.run_folder import RunFolder

    if args.resume and not RunFolder(where).exists:
        log.info("%s: holds no run to resume, so training starts anew", where)


def with_kind(args: Namespace) -> Namespace:
    """The options of a recipe for ``dans train``: a loss setting makes the run a baseline."""
    from dans.interface.planning import (
        PRETRAIN_STEPS,
        SETTING_ALONE,
        check_one_setting,
        check_setting,
        is_loss_setting,
        named_setting,
    )
    from dans.objectives.losses import LOSSES

    what = chosen(args)
    by_loss = is_loss_setting(args.loss)
    if args.kind != "baselines" and args.loss is not None and not by_loss:
        check_setting(args.loss, "baselines", LOSSES, where="--loss")
    check_one_setting(what, args.sampler, args.loss)
    if args.kind != "dans":
        return args
    if not (by_loss or named_setting(what)[1] == "baselines"):
        return args
    if args.sampler is not None:
        raise InputError(f"--sampler: {SETTING_ALONE.format(args.loss)}")
    if args.pretrain_steps is not None:
        raise InputError(f"{PRETRAIN_STEPS}: no effect without a sampler to train with afterwards")
    return Namespace(**{**vars(args), "kind": "baselines"})


def configured(args: Namespace) -> "tuple[RunConfig, Path]":
    """The configuration and the folder of a run by a recipe."""
    from dans.runs.init_from import folder
    from dans.runs.train import configure

    recipe, kind = recipe_of(args), args.kind
    begun = args.out or folder(f"{kind}/{recipe.stem}", args.seed or 0)
    config = configure(recipe, assignments(args), resumed=begun if args.resume else None)
    if kind == "baselines":
        check_baseline(recipe, config, chosen(args))
    return config, args.out or folder(f"{kind}/{recipe.stem}", config.train.seed)


def check_baseline(recipe: Recipe, config: "RunConfig", given: str) -> None:
    """Refuse a base alone as a baseline, since without a loss of its own it is pre-training.

    Where a table of results has the base as a baseline, such as that which Stay Positive is
    compared with, it is one.
    """
    ours = recipe.base.resolve().parent == RECIPES / "bases" and recipe.setting is None
    trains_as_before = config.objective == Component("negative_sampling")
    if ours and trains_as_before and recipe.stem not in cli.records("baselines", "expected"):
        losses = ", ".join(sorted(path.stem for path in (RECIPES / "losses").glob("*.toml")))
        without = "without a loss setting it is pre-training by negative sampling, no baseline"
        raise InputError(f"{given}: {without}; name both, as {given}-sce; known losses: {losses}")


def recipe_of(args: Namespace) -> Recipe:
    """The recipe that the options name, with its setting."""
    what = chosen(args)
    for name in (*READING, *MODEL):
        if getattr(args, name) is not None:
            data = "give a data set instead, as in: dans train umls --decoder complex"
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option}: the recipe {what} says this itself; {data}")
    setting = {"dans": args.sampler, "baselines": args.loss}.get(args.kind)
    return find_recipe(what, args.kind, setting or "")


def assignments(args: Namespace) -> list[str]:
    """``section.option=value`` for each option of a recipe that has been given."""
    short = {key: getattr(args, name) for name, key in SHORT.items()}
    short["encoder.dim"] = args.dim
    short["init_from"] = args.init_from
    given = [f"{key}={value}" for key, value in short.items() if value is not None]
    loss = [] if args.loss is None or args.kind == "baselines" else [f"loss={args.loss}"]
    options = {key: f"--{name}" for name, key in (*SHORT.items(), ("dim", "encoder.dim"))}
    options |= {"init_from": "--init-from", "loss": "--loss", "loss.name": "--loss"}
    for key, _ in parse_assignments(args.set):
        option = options.get(key, "")
        if option and getattr(args, option[2:].replace("-", "_")) is not None:
            raise InputError(f"--set {key}: {option} says this already; leave one out")
    return [*loss, *args.set, *given]


def pretrain_first(args: Namespace) -> None:
    """Pre-train the model of a recipe in its default folder, if that has not been done.

    An option of the sampler that is refused is refused before.
    """
    from baselines.assembly import train
    from dans.config.old_names import renamed_options
    from dans.config.schema import RunConfig
    from dans.interface.planning import Stage
    from dans.interface.training import check_stage
    from dans.runs.init_from import folder
    from dans.runs.train import configure, inherit
    from dans.training.run_folder import RunFolder
    from dans.training.state_checks import FREE, difference

    recipe = recipe_of(args)
    given = assignments(args)
    plain = renamed_options(override(read_recipe(recipe), given))
    before = f"pretrain/{recipe.base.stem}"
    if plain.get("init_from") != before or recipe.base.parent != RECIPES / "bases":
        if args.pretrain_steps is not None:
            start = plain.get("init_from") or "no pre-trained run"
            raise InputError(f"--pretrain-steps: no effect on a run that starts from {start}")
        return
    steps = [] if args.pretrain_steps is None else [f"train.steps={args.pretrain_steps}"]
    both = [text for text in given if re.match(rf"({'|'.join(RunConfig.INHERITED)})\b", text)]
    for key in {"train.seed", "train.device"} & dict(parse_assignments(given)).keys():
        both.append(f"{key}={plain['train'][key.split('.')[1]]}")
    config = configure(Recipe(recipe.base), [*both, *steps])
    run = RunFolder(folder(before, config.train.seed))
    begun = args.out or folder(f"dans/{recipe.stem}", config.train.seed)
    if args.resume and RunFolder(begun).exists:
        return
    there = run.checkpoints.file("best").exists()
    if there and args.pretrain_steps is None and not (args.resume and run.config() == config):
        free = tuple(option for option in FREE if option != "train.steps")
        if differs := difference(run.config().plain(), config.plain(), free=free):
            log.warning(
                "%s: the pre-trained model that this run continues is not the recipe's: %s; "
                "remove that folder to pre-train by the recipe",
                run.path,
                differs,
            )
        return
    if not run.exists:
        check_stage(Stage("dans", recipe.stem, inherit(plain, config, where=str(recipe))), None)
        log.info("%s: pre-training first", run.path)
    train(config, run.path, resume=True, loggers=args.loggers)


def train_data(args: Namespace) -> "tuple[Report, Path]":
    """Train on a data set, or on triples of one's own; returns the last validation and the folder.

    The pre-trained run lies in the run's folder if that is given, or else in its default place.
    """
    from dans.interface.planning import Choice, plan, settings, with_default_loss
    from dans.interface.training import carry_out
    from dans.runs.init_from import folder, initial_run
    from dans.training.run_folder import RunFolder

    choice = Choice(
        encoder=args.encoder,
        decoder=args.decoder,
        sampler=args.sampler,
        loss=args.loss,
        steps=args.steps,
        pretrain_steps=args.pretrain_steps,
        dim=args.dim,
        batch=args.batch,
        lr=args.lr,
        seed=args.seed,
        device=args.device,
        options=dict(parse_assignments(args.set)),
    )
    start = None if args.init_from is None else initial_run(args.init_from, args.seed or 0).path
    if args.kind == "dans" and not args.usual_recipe:
        choice = with_default_loss(choice, start)
    elif args.kind == "dans" and choice.kind == "pretrain" and start is None:
        # The script of 0.1 trains with DANS, as its name says.
        choice = replace(choice, sampler=DEFAULT)
    if args.kind == "baselines" and choice.kind == "pretrain":
        losses = ", ".join(settings("baselines"))
        raise InputError(f"--loss: expected one of {losses}; got {shown(args.loss or '')}")
    kg = load(args)
    *first, last = plan(choice, kg, start=start)
    kind, name = last.kind, last.name
    if args.kind == "dans" and kind == "pretrain":
        # Not where a sampler would look for the model to continue from.
        kind, name = "baselines", run_name(name, args.loss or "")
    where = args.out or folder(f"{kind}/{name}", last.config.train.seed)
    if not first:
        tell_if_new(where, args)
        return carry_out([last], kg, where, resume=args.resume, loggers=args.loggers), where
    default = folder(f"pretrain/{first[0].name}", first[0].config.train.seed)
    pretrained = RunFolder(where).pretrained if args.out else default
    run = RunFolder(pretrained)
    if not run.exists:
        tell_if_new(where, args)
    stages = [*first, last]
    if args.pretrain_steps is None and run.exists and run.config() != first[0].config:
        # Pre-trained by options of its own, as by `dans pretrain`.
        try:
            stages = plan(choice, kg, start=pretrained)
        except InputError as error:
            other = "--out names another folder, with a pre-trained model of its own"
            raise InputError(f"{pretrained}: holds another model ({error}); {other}") from None
    given = {"pretrained": pretrained, "resume": args.resume, "loggers": args.loggers}
    return carry_out(stages, kg, where, **given), where


def load(args: Namespace) -> "KnowledgeGraph":
    """The triples that the options name."""
    reading = {name: getattr(args, name) for name in READING}
    return load_named(chosen(args), **{k: v for k, v in reading.items() if v is not None})


def load_named(what: str, **reading: Any) -> "KnowledgeGraph":
    """The triples of a name that is no recipe's; one that is close to a recipe's is suggested."""
    from dans.data.sources import load as load_data
    from dans.interface.planning import bases

    try:
        return load_data(what, **reading)
    except InputError as error:
        hint = "" if Path(what).exists() else did_you_mean(what, bases())
        raise InputError(f"{error}{hint}") from None
