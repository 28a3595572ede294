"""Evaluate a run by filtered ranking; writes report.json.

Head and tail queries are ranked. With options other than the defaults the file has another name,
such as report.valid.last.json. Where the lines of a data set are labelled true and false, as in
wn11 and fb13, they are classified too, with the model's probabilities and with probabilities
calibrated on validation. The calibration is saved in calibration.json; fitting it needs the extra:
pip install 'dans-kg[calibration]'.

Candidates are all entities, unless the run's recipe or an option restricts them. With --ensemble,
several runs on the same triples are ranked as one, labelled lines are classified by the mean of
their calibrated probabilities, and nothing is written; what their recipes restrict counts where
they agree, and --among has to say it where they differ. With --calibrate,
where no line is labelled, the calibration is fitted to the validation triples and, for each, a
drawn negative: the triple with a random head or tail, which no split holds. A probability is then
the share of true triples among such pairs, half of which are true.

  dans evaluate runs/dans/umls-distmult/seed0
  dans evaluate runs/dans/umls-distmult/seed0 --split valid --model last
  dans evaluate runs/dans/umls-distmult/seed0 --candidates 500
  dans evaluate runs/dans/umls-distmult/seed0 --among domain-range
  dans evaluate runs/dans/umls-distmult/seed0 --relations
  dans evaluate runs/dans/umls-distmult/seed0 --by relation --csv > relations.csv
  dans evaluate runs/dans/umls-distmult/seed0 --triples new.tsv --unknown drop
  dans evaluate RUN_DIR --extra-triples extra.txt --triples test.txt
  dans evaluate RUN_DIR RUN_DIR RUN_DIR --ensemble
  dans evaluate RUN_DIR --calibrate
"""

import json
from argparse import ArgumentParser, Namespace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from dans.cli import parsing as cli
from dans.errors import InputError

if TYPE_CHECKING:
    from dans.evaluation.evaluator import EvaluationReport


#: Options that choose entities, or other triples than those of a split.
OTHERS = (
    *("candidates", "types", "triples", "unknown"),
    *("extra_triples", "extra_features", "new_entities"),
)


def add_options(parser: ArgumentParser) -> None:
    """Add the run, and what of it is evaluated."""
    cli.add_run(parser, name="runs", nargs="+")
    parser.add_argument(
        "--split",
        choices=("train", "valid", "test"),
        default="test",
        help="whose triples are ranked, and whose labelled lines are classified (default: test)",
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
        "--seed", type=cli.whole(0), default=0, metavar="N", help="of what is drawn (default: 0)"
    )
    parser.add_argument(
        "--most",
        type=cli.whole(0),
        default=0,
        metavar="N",
        help="rank at most N triples, drawn by the seed; 0: all (default: 0)",
    )
    cli.add_among_options(parser)
    parser.add_argument(
        "--relations",
        action="store_true",
        help="rank the relation of each triple among all relations, in place of head and tail",
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="in place of ranking, fit probabilities to the validation triples and as many drawn "
        "negatives; dans predict, check and serve then give them",
    )
    parser.add_argument(
        "--by",
        metavar="WHAT",
        help="a table of metrics by relation, category (1-1, 1-N, N-1, N-N), degree of the answer, "
        "or type:FILE of the answer, by a file of entity, tab, type",
    )
    parser.add_argument(
        "--adjusted",
        action="store_true",
        help="also print metrics in relation to random scores: AMR, AMRI, adjusted MRR, z-scores",
    )
    kinds = parser.add_mutually_exclusive_group()
    for name, what in (
        ("json", "print JSON"),
        ("csv", "print CSV, a row a side, or a group of --by"),
    ):
        kinds.add_argument(f"--{name}", action="store_const", dest="form", const=name, help=what)
    cli.add_join_option(parser, "rank several runs as one model")
    cli.add_memory_option(parser)


def candidates(text: str) -> int | str:
    """A number of candidates, ``given`` or ``all``."""
    return text if text in ("all", "given") else cli.whole(1)(text)


def run(args: Namespace) -> None:
    """Evaluate, and print the metrics."""
    from dans.evaluation.grouped_metrics import check_by, csv_text, table
    from dans.runs.evaluate_run import classification_table

    if args.by is not None:
        check_by(args.by)
        if args.form and args.adjusted:
            raise InputError(f"--adjusted: no effect with --by and --{args.form}; leave it out")
    if args.calibrate or args.relations:
        (calibration if args.calibrate else relations)(args)
        return
    report = (joint if args.ensemble else single)(args)
    if args.form is None:
        parts = [report.table(), classification_table(report.details.get("classification"))]
        parts += [report.adjusted_table()] * args.adjusted
        parts += [["", *table(report.rows(args.by))]] if args.by else []
        print("\n".join(chain(*parts)))
        return
    rows = report.rows(args.by) if args.by else report.side_rows(adjusted=args.adjusted)
    given = rows if args.by else report.to_json()
    print(json.dumps(given, indent=2) if args.form == "json" else csv_text(rows).rstrip("\r\n"))


def single(args: Namespace) -> "EvaluationReport":
    """The evaluation of one run."""
    from dans.runs.evaluate_run import evaluate

    folder = only(args)
    if args.unknown != "refuse" and args.triples is None:
        raise InputError("--unknown: has no effect without --triples; leave it out")
    names = ("split", "unseen", "triples", "unknown", "candidates", "types", "seed", "most")
    given = {name: getattr(args, name) for name in names}
    given |= {"which": args.model, "among": cli.restriction(args)}
    return evaluate(folder, **given, **cli.extension(args), memory_budget=args.memory_budget)


def only(args: Namespace) -> Path:
    """The one run that is named."""
    if len(args.runs) > 1:
        raise InputError("several runs: --ensemble ranks them as one, dans compare side by side")
    if args.join:
        raise InputError("--join: no effect without --ensemble")
    folder: Path = args.runs[0]
    return folder


def joint(args: Namespace) -> "EvaluationReport":
    """The evaluation of several runs as one."""
    from dans.predict.ensemble import Ensemble

    cli.refuse(args, "no effect with --ensemble, which ranks the triples of a split", *OTHERS)
    ensemble = Ensemble.of_runs(
        args.runs, join=args.join, which=args.model, memory_budget=args.memory_budget
    )
    given = {name: getattr(args, name) for name in ("unseen", "most", "seed")}
    return ensemble.evaluate(args.split, **given, among=cli.restriction(args))


def relations(args: Namespace) -> None:
    """Rank relations, and print the metrics."""
    from dans.runs.evaluate_relations import evaluate_relations

    refused = (*OTHERS, *cli.AMONG, "by", "adjusted", "ensemble")
    refuse(args, "no effect with --relations, which ranks those of a split", *refused)
    given = {name: getattr(args, name) for name in ("split", "unseen", "most", "seed")}
    given |= {"which": args.model, "memory_budget": args.memory_budget}
    report = evaluate_relations(only(args), **given)
    print(json.dumps(report.to_json(), indent=2) if args.form else report)


def calibration(args: Namespace) -> None:
    """Calibrate on drawn negatives, and print what the probabilities are worth."""
    from dans.runs.calibrate_run import calibrate
    from dans.runs.evaluate_run import classification_table

    refused = (*OTHERS, *cli.AMONG, "by", "adjusted", "ensemble", "relations", "most", "unseen")
    refuse(args, "no effect with --calibrate", *refused)
    given = {name: getattr(args, name) for name in ("split", "seed", "memory_budget")}
    found = calibrate(only(args), which=args.model, **given)
    if args.form:
        print(json.dumps(found, indent=2))
        return
    measured = found["classification"]
    positives, both = found["positives"], measured["triples"]
    # A triple that each entity completes to a true one has no negative.
    about = f"{positives:,} {found['split']} triples and {both - positives:,} drawn negatives"
    lines = [f"{about}, seed {found['seed']}", *classification_table(measured)]
    print(
        "\n".join(
            [*lines, "dans predict, check and serve give the probabilities of platt from now on"]
        )
    )


def refuse(args: Namespace, reason: str, *names: str) -> None:
    """Refuse options without effect, and CSV, in place of ranking heads and tails."""
    cli.refuse(args, reason, *names, *["form"] * (args.form == "csv"))
