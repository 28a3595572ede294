"""Compare runs: metrics side by side, and which is best.

Every run ranks the same triples of one data set. Later runs are compared with the first by a paired
test, which says whether a difference is significant. With --expected, the metrics are held
against those recorded for the recipes.

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
    held = "end with status 2 if a run misses what its recipe is recorded to give"
    add("--expected", action="store_true", help=held)


def run(args: Namespace) -> None:
    """Rank, print the table and the conclusion, and hold them against the records."""
    from dans.report.comparison import compare, held, recipe_of

    found = compare(args.runs, split=args.split, which=args.model)
    print("\n".join(map(visible, found.lines())))
    if not args.expected:
        return
    missed = []
    for folder, ranked in found.runs.items():
        kind, name = recipe_of(folder)
        expected = cli.records(kind, "expected").get(name)
        if expected is None:
            continue
        if expected["split"] != args.split:
            raise InputError(f"--expected: {folder}: recorded is {expected['split']} alone")
        holds, sentence = held(ranked, expected)
        print(visible(sentence))
        missed += [] if holds else [str(folder)]
    if missed:
        raise InputError(f"--expected: {', '.join(missed)}: not what is recorded")
