"""Evaluate a run by filtered ranking; writes report.json.

Head and tail queries are ranked. With options other than the defaults the file has another name,
such as report.valid.last.json. Where the lines of a data set are labelled true and false, as in
wn11 and fb13, they are classified too, with the model's probabilities and with probabilities
calibrated on validation. The calibration is saved in calibration.json; fitting it needs the extra:
pip install 'dans-kg[calibration]'.

With --ensemble, several runs on the same triples are ranked as one, and nothing is written.

  dans evaluate runs/dans/umls-distmult/seed0
  dans evaluate runs/dans/umls-distmult/seed0 --split valid --model last
  dans evaluate runs/dans/umls-distmult/seed0 --candidates 500
  dans evaluate RUN_DIR RUN_DIR RUN_DIR --ensemble
"""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from dans.cli import parsing as cli
from dans.errors import InputError

if TYPE_CHECKING:
    from dans.evaluation.evaluator import EvaluationReport


def add_options(parser: ArgumentParser) -> None:
    """Add the run, and what of it is evaluated."""
    cli.add_run(parser, name="runs", nargs="+")
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
    parser.add_argument("--ensemble", action="store_true", help="rank several runs as one")
    cli.add_join_option(parser)
    cli.add_memory_option(parser)


def candidates(text: str) -> int | str:
    """A number of candidates, ``given`` or ``all``."""
    return text if text in ("all", "given") else cli.whole(1)(text)


def joint(args: Namespace) -> "EvaluationReport":
    """The evaluation of several runs as one."""
    from dans.predict.ensemble import Ensemble

    if args.candidates != "all" or args.types:
        raise InputError("--ensemble: ranks among all entities; leave --candidates and --types out")
    ensemble = Ensemble.of_runs(
        args.runs, join=args.join, which=args.model, memory_budget=args.memory_budget
    )
    return ensemble.evaluate(args.split, unseen=args.unseen, most=args.most, seed=args.seed)


def run(args: Namespace) -> None:
    """Evaluate, and print the metrics."""
    from dans.config.schema import EvaluationConfig
    from dans.runs.evaluate_run import classification_table, evaluate, report_name
    from dans.training.run_folder import RunFolder

    if args.ensemble:
        print("\n".join(joint(args).table()))
        return
    if len(args.runs) > 1:
        raise InputError("several runs: --ensemble ranks them as one, dans compare side by side")
    if args.join:
        raise InputError("--join: no effect without --ensemble")
    folder = args.runs[0]
    chosen = {"split": args.split, "which": args.model, "unseen": args.unseen}
    ranked = {name: getattr(args, name) for name in EvaluationConfig.__struct_fields__}
    report = evaluate(folder, **chosen, **ranked, memory_budget=args.memory_budget)
    name = report_name(**chosen, evaluation=EvaluationConfig(**ranked))
    content = RunFolder(folder).read_json(name)
    print("\n".join([*report.table(), *classification_table(content.get("classification"))]))
