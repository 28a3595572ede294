"""Tabulate evaluated runs: mean ± standard deviation over seeds, differences paired by seed.

python scripts/tabulate.py runs/dans --expected
python scripts/tabulate.py runs/dans --match 'umls-distmult*' --reference umls-distmult-uniform
python scripts/tabulate.py runs/dans --json scripts/results/umls-dans.json
python scripts/tabulate.py runs/dans --write docs/pages/samplers.md --mark results-umls
python scripts/tabulate.py runs/dans --across umls-distmult,umls-rotate --reference uniform
python scripts/tabulate.py runs/baselines --match 'wn11-*' --metrics nll,brier,platt.nll
"""

from pathlib import Path

from dans.analysis import tables
from dans.cli import parsing as cli


def main() -> None:
    """Parse, collect, print."""
    parser = cli.parser(__doc__)
    parser.add_argument("runs", type=Path, help="folder that has RECIPE/seedN/report.json")
    parser.add_argument("--match", default="*", help="pattern of recipes' names (default: all)")
    parser.add_argument("--reference", help="recipe to compare the others with")
    parser.add_argument("--across", metavar="A,B", help="bases: a column each, a row a setting")
    parser.add_argument("--metrics", metavar="A,B", help="metrics to show; papers' in brackets")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file to write the numbers to")
    parser.add_argument("--write", type=Path, metavar="FILE", help="page to put the table into")
    parser.add_argument(
        "--mark", default="results", help="name of its place there (default: results)"
    )
    parser.add_argument("--expected", action="store_true", help="compare with the expected results")
    args = parser.parse_args()
    results = cli.matching(tables.collect(args.runs), args.match)
    if args.across:
        row, kind = args.reference or "uniform", args.runs.name
        table = tables.across(results, args.across.split(","), reference=row, unnamed=kind)
    elif args.metrics:
        theirs = cli.records(args.runs.name, "paper")
        table = tables.beside(results, args.metrics.split(","), theirs)
    else:
        expected = cli.records(args.runs.name, "expected") if args.expected else None
        table = tables.markdown(results, reference=args.reference, expected=expected)
    if args.write:
        tables.put_between(args.write, args.mark, table)
    if args.json:
        args.json.write_text(tables.to_json(tables.summarise(results)), "utf-8")
    print(table)


if __name__ == "__main__":
    cli.run_main(main)
