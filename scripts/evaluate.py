"""Judge a trained run: filtered ranking of heads and tails, written to report.json in its folder.

python scripts/evaluate.py runs/dans/umls-distmult/seed0
python scripts/evaluate.py runs/dans/umls-distmult/seed0 --split valid --model last
"""

from pathlib import Path

from dans import cli
from dans.assembly import judge


def main() -> None:
    """Parse, judge, print."""
    parser = cli.parser(__doc__)
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="folder of a trained run")
    parser.add_argument(
        "--split",
        choices=("train", "valid", "test"),
        default="test",
        help="which facts to rank (default: test)",
    )
    parser.add_argument(
        "--model",
        choices=("best", "last"),
        default="best",
        help="the checkpoint best on validation, or the last one (default: best)",
    )
    parser.add_argument(
        "--unseen",
        choices=("rank", "drop"),
        default="rank",
        help="facts with an entity that training never saw: rank or drop them (default: rank)",
    )
    args = parser.parse_args()
    report = judge(args.run, split=args.split, which=args.model, unseen=args.unseen)
    print("\n".join(report.table()))


if __name__ == "__main__":
    cli.run_main(main)
