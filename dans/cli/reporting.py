"""Write a report of one run, or of several side by side.

It is one self-contained HTML page, and shows the data set and its audit, metrics for heads and
tails, by relation, relation class and degree, curves, the embedding plot of negatives, mistakes,
the ranking of relations, the least plausible training triples, explanations and options. Several
runs of the same data set are compared with the first. The plot needs the extra:
pip install 'dans-kg[plots]'.

  dans report runs/dans/umls-distmult/seed0
  dans report runs/pretrain/umls-distmult/seed0 runs/dans/umls-distmult/seed0
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from dans.cli import parsing as cli


def add_options(parser: ArgumentParser) -> None:
    """Add the runs, and what of them is shown."""
    cli.add_run(parser, name="runs", nargs="+", metavar="RUN")
    add = parser.add_argument
    split = "triples to rank (default: test, if every run was evaluated on it or valid has none, "
    split += "or else valid)"
    add("--split", choices=("valid", "test"), help=split)
    cli.add_model_option(parser)
    out = "file to write (default: report.html in the run's folder, or here for several runs)"
    add("--out", type=Path, metavar="FILE.html", help=out)
    triples = "number of triples to draw negatives for in the plot (default: 60)"
    add("--triples", type=cli.whole(1), default=60, metavar="N", help=triples)


def run(args: Namespace) -> None:
    """Gather the numbers, and write the page."""
    from dans.config.writing import write_atomically
    from dans.report.gather import gather
    from dans.report.page import destination, render

    where = destination(args.runs, args.out)
    found = gather(args.runs, split=args.split, which=args.model, triples=args.triples)
    write_atomically(where, render(found).encode())
    print(where)
