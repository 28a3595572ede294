"""List the triples that a run finds least plausible.

Without a file, those of its training triples; a file holds triples to check, three names a line,
separated by tabs. Plausibility is the geometric mean of the shares of head and tail, by a softmax
of the scores of all entities, other known answers left out. Training triples send no messages while
they are checked. Output is tab-separated, with very long names cut, or JSON; the least plausible
triple is the first, and the probability is empty unless the run is calibrated (dans evaluate
--calibrate, where no line is labelled).

  dans check runs/dans/umls-distmult/seed0 --top 50
  dans check runs/dans/umls-distmult/seed0 triples.tsv
"""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from dans.cli import parsing as cli


def add_options(parser: ArgumentParser) -> None:
    """Add the run, the triples and how many to list."""
    cli.add_run(parser)
    add = parser.add_argument
    add("triples", nargs="?", type=Path, metavar="TRIPLES", help="a file (default: train's)")
    add("--top", type=cli.whole(1), default=20, metavar="N", help="triples listed (default: 20)")
    add("--json", action="store_true", help="print JSON, a list of triples with filtered ranks")
    cli.add_model_option(parser)
    cli.add_memory_option(parser)


def run(args: Namespace) -> None:
    """Check, and print the table."""
    from dans.predict import Predictor
    from dans.predict.checking import check, encoder_of, table
    from dans.runs.train import load

    trained = load(args.run, which=args.model)
    predictor = Predictor.of(trained, args.run, which=args.model, memory_budget=args.memory_budget)
    found = check(predictor, args.triples, top=args.top, encode=encoder_of(trained))
    print(json.dumps([one.to_json() for one in found], indent=2) if args.json else table(found))
