"""Tabulate evaluated runs: means over seeds, differences.

A cell is the mean ± standard deviation over seeds, of the checkpoint best on validation. A seed is
best at step 0 if no step improved on the model it started from. A dash means that nothing was
evaluated; under "MRR, last step", dans evaluate RUN --model last does it, unless the last step is
the best one, whose numbers are the same. s: seconds of training. False
negatives are triples of a split, harder ones score above their triple. Differences are paired by
seed. With --expected, ± is the tolerance; what is outside is missed.

  dans tabulate runs/dans --expected
  dans tabulate runs/dans --match 'umls-distmult*' --reference umls-distmult-uniform
  dans tabulate runs/dans --json umls-dans.json
  dans tabulate umls-dans.json --match 'umls-distmult*'
  dans tabulate runs/dans --write page.md --mark results-umls
  dans tabulate runs/dans --across umls-distmult,umls-rotate --reference uniform
  dans tabulate runs/baselines --match 'wn11-*' --metrics nll,brier,platt.nll

In a checkout, from the records in scripts/results:

  dans tabulate runs/dans --json scripts/results/dans.json --commit HASH --pages
  dans tabulate --pages
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from dans.cli import parsing as cli
from dans.config import papers
from dans.errors import InputError


def add_options(parser: ArgumentParser) -> None:
    """Add the runs, the kind of table and where it is written."""
    add = parser.add_argument
    runs = "a folder of RECIPE/seedN/report.json, or a file written by --json"
    add("runs", nargs="?", type=Path, help=runs)
    add("--match", default="*", help="only recipes of this pattern (default: all)")
    add("--reference", help="the recipe to take differences from")
    add("--across", metavar="A,B", help="a row for each sampler: columns A-*, B-*")
    add("--metrics", metavar="A,B", help="columns; papers' numbers in brackets")
    numbers = "write the numbers here too, over those of before that have no more seeds"
    add("--json", type=Path, metavar="FILE", help=numbers)
    add("--commit", help="of the code that trained the runs, for --json")
    add("--write", type=Path, metavar="FILE", help="put the table into this file")
    add("--mark", default="results", help="between these marks (default: results)")
    add("--expected", action="store_true", help="compare with the expected results")
    pages = "write every table of docs/tables.toml and the expected results from the records"
    add("--pages", action="store_true", help=pages)


def run(args: Namespace) -> None:
    """Collect the numbers, print the table, write files."""
    from dataclasses import replace

    from dans.analysis import tables

    check_pages(args)
    if args.runs is None:
        write_pages()
        return
    kind = args.runs.stem.split("-")[0]
    check(args, kind)
    results = cli.matching(tables.collect(args.runs), args.match)
    if args.across:
        row = args.reference or "uniform"
        table = tables.across(results, args.across.split(","), reference=row, unnamed=kind)
    elif args.metrics:
        theirs = papers.published(kind)
        table = tables.beside(results, args.metrics.split(","), theirs)
    else:
        expected = cli.records(kind, "expected") if args.expected else None
        table = tables.markdown(results, reference=args.reference, expected=expected)
    if args.write:
        tables.put_between(args.write, args.mark, table)
    if args.json:
        if args.commit:
            results = {name: replace(one, commit=args.commit) for name, one in results.items()}
        for name in tables.merge(args.json, results):
            print(f"{name}: the record has more seeds and stays")
    if args.pages:
        write_pages()
    print(table)


def write_pages() -> None:
    """Write the tables of the pages from the records, by the script that lies with the pages."""
    import runpy

    checkout = cli.RESULTS.parents[1]
    module = runpy.run_path(str(checkout / "docs" / "page_tables.py"))
    module["write_pages"](checkout, {"baselines": papers.published("baselines")})


def check_pages(args: Namespace) -> None:
    """Refuse ``--pages`` outside a checkout, and options that have no effect without runs."""
    if args.pages and not (cli.RESULTS.parents[1] / "docs" / "tables.toml").is_file():
        raise InputError("--pages: the pages are not installed; it works in a checkout alone")
    if args.runs is not None:
        return
    if not args.pages:
        raise InputError("runs: expected a folder or a file; --help lists what there is")
    for name in ("reference", "across", "metrics", "json", "commit", "write", "expected"):
        if getattr(args, name):
            raise InputError(f"--{name}: no effect without a folder or a file of runs")


def check(args: Namespace, kind: str) -> None:
    """Refuse options without effect."""
    shape = "with --across" if args.across else "with --metrics" if args.metrics else ""
    useless = {
        "--expected": args.expected and shape,
        "--reference": args.reference and args.metrics and not args.across and shape,
        "--metrics": args.metrics and args.across and shape,
        "--mark": args.mark != "results" and not args.write and "without --write",
        "--commit": args.commit and not args.json and "without --json",
    }
    for option, why in useless.items():
        if why:
            raise InputError(f"{option}: no effect {why}")
    if args.expected and not cli.records(kind, "expected"):
        known = "the folder of runs is named after their kind: baselines, dans or pretrain"
        raise InputError(f"--expected: no results are known of {kind}; {known}")
