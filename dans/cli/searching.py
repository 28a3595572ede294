"""Search for the options with the best validation metric.

Writes runs/tune/KIND/NAME: a run for each trial, trials.csv, and the best as a recipe, best.toml.
The same command continues a search that was stopped. Test triples are never ranked.

Each --space KEY=VALUES is an option to vary; VALUES are
  1e-4..1e-1:log      numbers on a logarithmic scale
  0.0..0.5            numbers; 0.0..0.5:step=0.1 on a grid
  1..4                whole numbers, if both ends are whole
  distmult,complex    choices

  dans tune --recipe umls-distmult --trials 30 --space train.lr=1e-4..1e-1:log
  dans tune --recipe umls-distmult --kind dans --space sampler.0.k=1..10
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from dans.cli import parsing as cli
from dans.cli.train_command import check_baseline
from dans.config.recipes import COMMANDS, find_recipe


def add_options(parser: ArgumentParser) -> None:
    """Add the recipe, the space and the search."""
    add = parser.add_argument
    add("--recipe", required=True, metavar="NAME|FILE", help="the recipe to vary")
    kind = "how to train each trial (default: pretrain)"
    add("--kind", choices=COMMANDS, default="pretrain", help=kind)
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
    recipe = find_recipe(args.recipe, args.kind)
    sets = (*args.set, *seed)
    plan = Plan(recipe, args.kind, tuple(args.space), sets, args.search, args.prune)
    # What the objective is may be for the search to choose.
    if args.kind == "baselines" and not any(text.startswith("objective") for text in args.space):
        check_baseline(recipe, plan.config(), args.recipe)
    given = {"where": args.out, "loggers": args.loggers}
    print(tune(plan, args.trials, **given, objectives=OBJECTIVES, samplers=SAMPLERS))
