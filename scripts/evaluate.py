"""Judge a trained run: filtered ranking of heads and tails, written to report.json in its folder.

Where lines are labelled true and false, as those of wn11 and fb13, they are classified too, before
and after calibration on validation, which is kept in calibration.json.

python scripts/evaluate.py runs/dans/umls-distmult/seed0
python scripts/evaluate.py runs/dans/umls-distmult/seed0 --split valid --model last
"""

from pathlib import Path

from dans import cli
from dans.judging import judge, report_name, verdict_table
from dans.training.run import Run


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
    asked = {"split": args.split, "which": args.model, "unseen": args.unseen}
    report = judge(args.run, **asked)
    kept = Run(args.run).read_json(report_name(**asked))
    print("\n".join([*report.table(), *verdict_table(kept.get("classification"))]))


if __name__ == "__main__":
    cli.run_main(main)
