"""Evaluate a run by filtered ranking; writes report.json.

Head and tail queries are ranked. With options other than the defaults the file has another name,
such as report.valid.last.json. Where the lines of a data set are labelled true and false, as in
wn11 and fb13, they are classified too, with the model's probabilities and with probabilities
calibrated on validation. The calibration is saved in calibration.json; fitting it needs the extra:
pip install 'dans-kg[calibration]'.

  dans evaluate runs/dans/umls-distmult/seed0
  dans evaluate runs/dans/umls-distmult/seed0 --split valid --model last
"""

from argparse import ArgumentParser, Namespace

from dans.cli import parsing as cli


def add_options(parser: ArgumentParser) -> None:
    """Add the run, and what of it is evaluated."""
    cli.add_run(parser)
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


def run(args: Namespace) -> None:
    """Evaluate, and print the metrics."""
    from dans.runs.evaluate_run import classification_table, evaluate, report_name
    from dans.training.run_folder import RunFolder

    chosen = {"split": args.split, "which": args.model, "unseen": args.unseen}
    report = evaluate(args.run, **chosen, memory_budget=args.memory_budget)
    content = RunFolder(args.run).read_json(report_name(**chosen))
    print("\n".join([*report.table(), *classification_table(content.get("classification"))]))
