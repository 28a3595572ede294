"""Train and evaluate the runs with an expected result.

Each is trained with several seeds. Statistics of their samplers are written too. Runs that are
finished are skipped, so that the same command continues where it was stopped; several can share the
work, each with its own pattern.

  dans reproduce pretrain --match 'umls-*' --seeds 5
  dans reproduce dans --match 'umls-distmult*' --seeds 5
  dans tabulate runs/dans --expected
"""

from argparse import ArgumentParser, Namespace

from dans.cli import parsing as cli
from dans.config.recipes import COMMANDS, find_recipe


def add_options(parser: ArgumentParser) -> None:
    """Add which runs, and how many of each."""
    add = parser.add_argument
    add("kind", choices=sorted(COMMANDS), help="how the runs are trained")
    add("--match", default="*", help="pattern of recipes' names (default: all)")
    add("--seeds", type=cli.whole(1), default=5, help="number of seeds, from 0 (default: 5)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="an option in all runs")
    cli.add_logger_option(parser)


def run(args: Namespace) -> None:
    """Train, evaluate and inspect one run after the other."""
    from baselines.assembly import train
    from dans.analysis.inspection import inspect_run
    from dans.runs.evaluate_run import evaluate
    from dans.runs.init_from import folder
    from dans.runs.train import configure
    from dans.training.run_folder import RunFolder

    for name in cli.matching(cli.records(args.kind, "expected"), args.match):
        recipe = find_recipe(name, args.kind)
        for seed in range(args.seeds):
            where = folder(f"{args.kind}/{name}", seed)
            config = configure(recipe, [*args.set, f"train.seed={seed}"])
            evaluated = (where / "report.last.json").exists() and RunFolder(
                where
            ).config() == config
            if not evaluated:
                train(config, where, resume=True, loggers=args.loggers)
                evaluate(where)
                evaluate(where, which="last")
            if config.sampler and not (evaluated and (where / "sampler.json").exists()):
                inspect_run(where)
            print(where, flush=True)
