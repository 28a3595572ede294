"""Compare runs: metrics side by side, and which is best.

Every run ranks the same triples of one data set. Later runs are compared with the first, and the
best with the second best, by a paired test, which says whether a difference is significant. With
--expected, the metrics are held against those recorded for the recipes.

  dans compare runs/pretrain/umls-distmult/seed0 runs/dans/umls-distmult/seed0
"""

from argparse import ArgumentParser, Namespace

from dans.cli import parsing as cli
from dans.errors import InputError, visible


def add_options(parser: ArgumentParser) -> None:
    """Add the runs, and what they rank."""
    cli.add_run(parser, name="runs", nargs="+", metavar="RUN")
    add = parser.add_argument
    add("--split", choices=("valid", "test"), default="test", help="what to rank (default: test)")
    cli.add_model_option(parser)
    held = "end with status 2 if a run misses what is recorded for its recipe, or none has a record"
    add("--expected", action="store_true", help=held)


def run(args: Namespace) -> None:
    """Rank, print the table and the conclusion, and hold them against the records."""
    from dans.report.comparison import compare, held, recipe_of

    recorded = {}
    for folder in args.runs if args.expected else ():
        kind, name = recipe_of(folder)
        recorded[folder] = its = cli.records(kind, "expected").get(name)
        if its is not None and its["split"] != args.split:
            raise InputError(f"--expected: {folder}: recorded is {its['split']} alone")
    if args.expected and args.model != "best":
        raise InputError("--expected: recorded are the best checkpoints; leave --model out")
    found = compare(args.runs, split=args.split, which=args.model)
    print("\n".join(map(visible, found.lines())))
    if not args.expected:
        return
    holds = {}
    for folder, ranked in found.runs.items():
        holds[folder], sentence = held(ranked, recorded[folder])
        print(visible(sentence))
    if missed := [str(folder) for folder, one in holds.items() if one is False]:
        raise InputError(f"--expected: {', '.join(missed)}: not what is recorded")
    if not any(holds.values()):
        raise InputError("--expected: nothing is recorded that these runs could be held against")
