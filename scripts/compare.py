"""Compare trained runs: metrics side by side, which is best, and whether significantly.

Every run ranks the same triples of one data set. Later runs are compared with the first by a paired
test. With --expected, the metrics are held against those recorded for the recipes.

  python scripts/compare.py runs/pretrain/umls-distmult/seed0 runs/dans/umls-distmult/seed0
"""

from dans.cli.command import run_main


def main() -> None:
    """Parse, rank, print."""
    from dans.cli import comparing
    from dans.cli import parsing as cli

    parser = cli.parser(__doc__)
    comparing.add_options(parser)
    comparing.run(parser.parse_args())


if __name__ == "__main__":
    run_main(main)
