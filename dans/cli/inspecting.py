"""Measure the negatives of samplers: hardness, diversity, time.

False negatives are counted, too. With a run: its own samplers as trained, and those named by
--sampler, which are first trained with its model for a few passes. With a data set: samplers that
need no model. Writes samplers.json and, for a run, samplers.png; the picture needs the extra:
pip install 'dans-kg[plots]'.

The columns: false %, negatives that are triples, of any split and of each; masked %, negatives that
a filter gives no weight; harder %, negatives that score above their triple; score gap, the mean of
their scores less that of the triple; diversity, the mean distance of two negatives of a query over
that of two entities; distinct, the share of different entities among the negatives of a query;
coverage, the share of all entities that is drawn; draws/s, negatives drawn in a second.

  dans inspect runs/dans/umls-distmult/seed0 --sampler self_loop
  dans inspect --dataset umls --sampler uniform --sampler popularity:exponent=1
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from dans.cli import parsing as cli


def add_options(parser: ArgumentParser) -> None:
    """Add the run or the data set, and the samplers."""
    cli.add_run(parser, nargs="?")
    add = parser.add_argument
    dataset = "a data set, in place of a run, for samplers that need no model"
    add("--dataset", metavar="NAME", help=dataset)
    more = "a sampler to measure, NAME or NAME:OPTION=VALUE,OPTION=VALUE; may be repeated"
    add("--sampler", action="append", default=[], help=more)
    triples = "number of training triples to draw negatives for (default: 1000)"
    add("--triples", type=cli.whole(1), default=1000, help=triples)
    add("--model", choices=("best", "last"), help="checkpoint of the run (default: last)")
    warm_up = "passes over the training triples to train an added sampler for (default: 3)"
    add("--warm-up", type=cli.whole(0), metavar="PASSES", help=warm_up)
    add("--out", type=Path, metavar="DIR", help="folder to write to (default: RUN_DIR)")


def run(args: Namespace) -> None:
    """Compare the samplers, print, draw."""
    from baselines.assembly import SAMPLERS
    from dans.analysis.inspection import compare_samplers, compare_without_model
    from dans.analysis.plots import sampler_picture
    from dans.analysis.sampler_statistics import table
    from dans.errors import InputError
    from dans.training.run_folder import RunFolder

    if (args.run is None) == (args.dataset is None):
        raise InputError("expected the folder of a run, or --dataset NAME, and not both")
    if args.run is not None and not RunFolder(args.run).exists:
        dataset = f"triples are given by --dataset {args.run}"
        raise InputError(f"{args.run} is not the folder of a run; {dataset}")
    of_run = {k: v for k, v in (("which", args.model), ("passes", args.warm_up)) if v is not None}
    if args.run is None and of_run:
        raise InputError("--model, --warm-up: no effect with --dataset, where there is no model")
    if args.run is None:
        found = compare_without_model(args.dataset, args.sampler, triples=args.triples)
    else:
        found = compare_samplers(
            args.run, args.sampler, triples=args.triples, samplers=SAMPLERS, **of_run
        )
    print(*table(found), sep="\n")
    if out := args.out or args.run:
        out.mkdir(parents=True, exist_ok=True)
        print(RunFolder(out).write_json("samplers.json", {k: v.numbers for k, v in found.items()}))
        if args.run and (missing := cli.missing_packages("matplotlib")):
            print(f"There is no picture: it needs {missing}.")
        elif args.run:
            print(sampler_picture(out / "samplers.png", found, title=f"{args.run}"))
