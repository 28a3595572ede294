"""Search for the options with the best validation metric.

Writes runs/tune/KIND/NAME: a run for each trial, trials.csv, and the best as a recipe, best.toml.
The same command continues a search that was stopped. Test triples are never ranked.

Each --space KEY=VALUES is an option to vary; VALUES are
  1e-4..1e-1:log      numbers on a logarithmic scale
  0.0..0.5            numbers; 0.0..0.5:step=0.1 on a grid
  1..4                whole numbers, if both ends are whole
  distmult,complex    choices

  dans tune umls-distmult --trials 30 --space train.lr=1e-4..1e-1:log
  dans tune umls-distmult --kind dans --space sampler.0.k=1..10
  dans tune my-triples.tsv --space encoder.dim=50..200:step=50
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from dans.cli import parsing as cli
from dans.cli.train_command import check_baseline, chosen, load_named
from dans.config.recipes import COMMANDS, find_recipe
from dans.errors import InputError

if TYPE_CHECKING:
    from dans.config.recipes import Recipe
    from dans.data.graph import KnowledgeGraph


def add_options(parser: ArgumentParser) -> None:
    """Add the recipe or the triples, the space and the search."""
    parser.set_defaults(usual_recipe="")
    add = parser.add_argument
    what = "a recipe, by name or file; a data set, by name; or a folder or a file of triples"
    add("what", nargs="?", metavar="WHAT", help=what)
    add("--recipe", metavar="NAME|FILE", help="a recipe, in place of WHAT")
    kind = "how to train each trial (default: for triples as dans train, by a loss setting; for a "
    kind += "recipe by its own setting, or pretrain)"
    add("--kind", choices=COMMANDS, help=kind)
    trials = "number of trials, those of a search that is continued included (default: 30)"
    add("--trials", type=cli.whole(least=1), default=30, help=trials)
    space = "an option to vary and its values, as above; may be repeated"
    add("--space", action="append", default=[], metavar="KEY=VALUES", help=space)
    search = "how options are chosen: tpe, tpe:startup=20, or random (default: tpe)"
    add("--search", default="tpe", help=search)
    prune = "when bad trials stop: median:warmup=100, percentile:percent=25, none (default: median)"
    add("--prune", default="median", help=prune)
    add("--seed", type=cli.whole(), help="random seed (default: the recipe's, or 0)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="an option in all trials")
    add("--out", type=Path, metavar="DIR", help="folder to write (default: runs/tune/KIND/NAME)")
    cli.add_logger_option(parser)


def run(args: Namespace) -> None:
    """Search, and print the best."""
    from baselines.assembly import OBJECTIVES, SAMPLERS
    from dans.tuning import Plan, tune

    seed = [] if args.seed is None else [f"train.seed={args.seed}"]
    recipe, kind, kg = recipe_of(args)
    sets = (*args.set, *seed)
    plan = Plan(recipe, kind, tuple(args.space), sets, args.search, args.prune)
    # What the objective is may be for the search to choose.
    if kind == "baselines" and not any(text.startswith("objective") for text in args.space):
        check_baseline(recipe, plan.config(), chosen(args))
    given = {"where": args.out, "kg": kg, "loggers": args.loggers}
    print(tune(plan, args.trials, **given, objectives=OBJECTIVES, samplers=SAMPLERS))


def recipe_of(args: Namespace) -> "tuple[Recipe, str, KnowledgeGraph | None]":
    """The recipe to vary, the kind of its runs, and the triples, if they were read for it.

    Triples stand for what a plan makes of them.
    """
    from dans.interface.planning import Choice, is_recipe, named_setting, plan, with_default_loss
    from dans.tuning import DraftRecipe

    what = chosen(args, "tune")
    if args.recipe or is_recipe(what):
        kind = args.kind or named_setting(what)[1] or "pretrain"
        return find_recipe(what, kind), kind, None
    if args.kind == "dans":
        expected = "expected a recipe, whose pre-trained run is there"
        raise InputError(f"--kind dans: {expected}; got the triples {what}")
    if any(text.partition("=")[0].strip() == "data" for text in args.set):
        raise InputError(f"--set data: {what} is given already; leave one out")
    choice = Choice() if args.kind == "pretrain" else with_default_loss(Choice())
    kg = load_named(what)
    (stage,) = plan(choice, kg)
    sections = {**stage.config.plain(), "data": what}
    return DraftRecipe(Path(f"{stage.name}.toml"), sections=sections), stage.kind, kg
