"""Train and evaluate the runs that have an expected result in scripts/results, over several seeds.

Statistics of their samplers are written too. Runs that are finished are skipped, so that the same
command continues where it was stopped; several can share the work, each with its own pattern.

  python scripts/reproduce.py pretrain --match 'umls-*' --seeds 5
  python scripts/reproduce.py dans --match 'umls-distmult*' --seeds 5
  python scripts/tabulate.py runs/dans
"""

from dans.cli.command import run_main


def main() -> None:
    """Parse, then train, evaluate and inspect one run after the other."""
    from baselines.assembly import train
    from dans.analysis.inspection import inspect_run
    from dans.cli import parsing as cli
    from dans.config.recipes import find_recipe
    from dans.runs.evaluate_run import evaluate
    from dans.runs.init_from import SCRIPTS, folder
    from dans.training.run_folder import RunFolder

    parser = cli.parser(__doc__)
    parser.add_argument("kind", choices=sorted(SCRIPTS), help="how the runs are trained")
    parser.add_argument("--match", default="*", help="pattern of recipes' names (default: all)")
    parser.add_argument(
        "--seeds", type=cli.whole(1), default=5, help="number of seeds, from 0 (default: 5)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="an option in all runs"
    )
    cli.add_logger_option(parser)
    args = parser.parse_args()
    for name in cli.matching(cli.records(args.kind, "expected"), args.match):
        recipe = find_recipe(name, args.kind)
        for seed in range(args.seeds):
            where = folder(f"{args.kind}/{name}", seed)
            config = cli.configure(recipe, [*args.set, f"train.seed={seed}"])
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


if __name__ == "__main__":
    run_main(main)
