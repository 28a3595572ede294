"""Evaluate a run by filtered ranking; writes report.json.

Head and tail queries are ranked. With options other than the defaults the file has another name,
such as report.valid.last.json. Where the lines of a data set are labelled true and false, as in
wn11 and fb13, they are classified too, with the model's probabilities and with probabilities
calibrated on validation. The calibration is saved in calibration.json; fitting it needs the extra:
pip install 'dans-kg[calibration]'.

  dans evaluate runs/dans/umls-distmult/seed0
  dans evaluate runs/dans/umls-distmult/seed0 --split valid --model last
  dans evaluate runs/dans/umls-distmult/seed0 --candidates 500
  dans evaluate runs/dans/umls-distmult/seed0 --triples new.tsv --unknown drop
  dans evaluate RUN_DIR --extra-triples extra.txt --triples test.txt
"""

from argparse import ArgumentParser, Namespace

from dans.cli import parsing as cli
from dans.errors import InputError


def add_options(parser: ArgumentParser) -> None:
    """Add the run, and what of it is evaluated."""
    cli.add_run(parser)
    parser.add_argument(
        "--split",
        choices=("train", "valid", "test"),
        default="test",
        help="triples to rank, and lines to classify (default: test)",
    )
    parser.add_argument(
        "--triples",
        metavar="FILE",
        help="rank the triples of this file instead of a split's, other known answers of the file "
        "and of all splits left out",
    )
    parser.add_argument(
        "--unknown",
        choices=("refuse", "drop"),
        default="refuse",
        help="refuse a file with a name that the run does not have, or drop its lines "
        "(default: refuse)",
    )
    cli.add_extra_option(parser)
    cli.add_model_option(parser)
    parser.add_argument(
        "--unseen",
        choices=("rank", "drop"),
        default="rank",
        help="rank triples with an entity that training never saw, or drop them (default: rank)",
    )
    parser.add_argument(
        "--candidates",
        type=candidates,
        default="all",
        metavar="N",
        help="rank among N entities drawn for each query, no known answers, or among those 'given' "
        "with the data set; such an MRR is higher, and named sampled_mrr (default: all)",
    )
    parser.add_argument(
        "--types",
        action="store_true",
        help="draw candidates from the domain or range of the relation in training triples",
    )
    parser.add_argument(
        "--seed", type=cli.whole(0), default=0, help="seed of what is drawn (default: 0)"
    )
    parser.add_argument(
        "--most",
        type=cli.whole(0),
        default=0,
        metavar="N",
        help="rank at most N triples, drawn by the seed; 0: all (default: 0)",
    )
    cli.add_memory_option(parser)


def candidates(text: str) -> int | str:
    """A number of candidates, ``given`` or ``all``."""
    return text if text in ("all", "given") else cli.whole(1)(text)


def run(args: Namespace) -> None:
    """Evaluate, and print the metrics."""
    from dans.config.schema import EvaluationConfig
    from dans.runs.evaluate_run import (
        answers_table,
        classification_table,
        evaluate,
        report_name,
    )
    from dans.training.run_folder import RunFolder

    chosen = {"split": args.split, "which": args.model, "unseen": args.unseen}
    ranked = {name: getattr(args, name) for name in EvaluationConfig.__struct_fields__}
    if args.unknown != "refuse" and args.triples is None:
        raise InputError("--unknown: has no effect without --triples; leave it out")
    own = {"triples": args.triples, "unknown": args.unknown}
    own |= {"extra_triples": args.extra_triples, "new_entities": args.new_entities}
    report = evaluate(args.run, **chosen, **ranked, **own, memory_budget=args.memory_budget)
    chosen["split"] = report.split
    extended_by = "" if args.extra_triples is None else args.new_entities
    name = report_name(**chosen, evaluation=EvaluationConfig(**ranked), extended_by=extended_by)
    content = RunFolder(args.run).read_json(name)
    lines = [*report.table(), *answers_table(content.get("answers"))]
    print("\n".join([*lines, *classification_table(content.get("classification"))]))
