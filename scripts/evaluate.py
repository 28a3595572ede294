"""Evaluate a trained run by filtered ranking of head and tail queries; writes report.json.

With options other than the defaults the file has another name, such as report.valid.last.json.
Where the lines of a data set are labelled true and false, as in wn11 and fb13, they are classified
too, with the model's probabilities and with probabilities calibrated on validation. The calibration
is saved in calibration.json; fitting it needs the extra: pip install 'dans-kg[calibration]'.

  python scripts/evaluate.py runs/dans/umls-distmult/seed0
  python scripts/evaluate.py runs/dans/umls-distmult/seed0 --split valid --model last
"""

from pathlib import Path

from dans.cli.command import run_main


def main() -> None:
    """Parse, evaluate, print."""
    from dans.cli import parsing as cli
    from dans.runs.evaluate_run import classification_table, evaluate, report_name
    from dans.training.run_folder import RunFolder

    parser = cli.parser(__doc__)
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="folder of a trained run")
    parser.add_argument(
        "--split",
        choices=("train", "valid", "test"),
        default="test",
        help="triples to rank, and lines to classify (default: test)",
    )
    cli.add_model_option(parser)
    parser.add_argument(
        "--unseen",
        choices=("rank", "drop"),
        default="rank",
        help="rank triples with an entity that training never saw, or drop them (default: rank)",
    )
    cli.add_memory_option(parser)
    args = parser.parse_args()
    chosen = {"split": args.split, "which": args.model, "unseen": args.unseen}
    report = evaluate(args.run, **chosen, memory_budget=args.memory_budget)
    content = RunFolder(args.run).read_json(report_name(**chosen))
    print("\n".join([*report.table(), *classification_table(content.get("classification"))]))


if __name__ == "__main__":
    run_main(main)
