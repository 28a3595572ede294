"""Tabulate evaluated runs: mean ± standard deviation over seeds, differences paired by seed.

python scripts/tabulate.py runs/dans --expected
python scripts/tabulate.py runs/dans --match 'umls-distmult*' --reference umls-distmult-uniform
python scripts/tabulate.py runs/dans --json scripts/results/umls-dans.json
python scripts/tabulate.py runs/dans --write docs/pages/samplers.md --mark results-umls
python scripts/tabulate.py runs/dans --across umls-distmult,umls-rotate --reference uniform
python scripts/tabulate.py scripts/results/dans.json --match 'kinship-*'
python scripts/tabulate.py runs/baselines --match 'wn11-*' --metrics nll,brier,platt.nll
python scripts/tabulate.py runs/dans --json scripts/results/dans.json --commit HASH --pages
python scripts/tabulate.py --pages
"""

from pathlib import Path

from dans.cli.command import run_main


def main() -> None:
    """Parse, collect, print."""
    from dataclasses import replace

    from dans.analysis import page_tables, tables
    from dans.cli import parsing as cli

    parser = cli.parser(__doc__)
    parser.add_argument(
        "runs",
        nargs="?",
        type=Path,
        help="a folder of RECIPE/seedN/report.json, or a file written by --json",
    )
    parser.add_argument("--match", default="*", help="only recipes of this pattern (default: all)")
    parser.add_argument("--reference", help="the recipe to take differences from")
    parser.add_argument("--across", metavar="A,B", help="a row for each sampler: columns A-*, B-*")
    parser.add_argument("--metrics", metavar="A,B", help="columns; papers' numbers in brackets")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the numbers here too, over those of before that have no more seeds",
    )
    parser.add_argument("--commit", help="of the code that trained the runs, for --json")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this file")
    parser.add_argument("--mark", default="results", help="between these marks (default: results)")
    parser.add_argument("--expected", action="store_true", help="compare with the expected results")
    pages = "write every table of docs/tables.toml and the expected results from the records"
    parser.add_argument("--pages", action="store_true", help=pages)
    args = parser.parse_args()
    papers = {"baselines": cli.records("baselines", "paper")}
    if args.runs is None:
        if not args.pages:
            parser.error("runs: expected a folder or a file, or --pages")
        page_tables.write_pages(cli.RESULTS.parents[1], papers)
        return
    results = cli.matching(tables.collect(args.runs), args.match)
    kind = args.runs.stem.split("-")[0]
    if args.across:
        row = args.reference or "uniform"
        table = tables.across(results, args.across.split(","), reference=row, unnamed=kind)
    elif args.metrics:
        theirs = cli.records(kind, "paper")
        table = tables.beside(results, args.metrics.split(","), theirs)
    else:
        expected = cli.records(kind, "expected") if args.expected else None
        table = tables.markdown(results, reference=args.reference, expected=expected)
    if args.write:
        tables.put_between(args.write, args.mark, table)
    if args.json:
        if args.commit:
            results = {name: replace(one, commit=args.commit) for name, one in results.items()}
        for name in page_tables.merge(args.json, results):
            print(f"{name}: the record has more seeds and stays")
    if args.pages:
        page_tables.write_pages(cli.RESULTS.parents[1], papers)
    print(table)


if __name__ == "__main__":
    run_main(main)
