r"""Predict the missing part of a triple, or score a triple.

Give two of --head, --relation and --tail to predict the third, or all three to score the triple.
Answers are ranked by score, with a calibrated probability where the run has one, and the splits
that hold the triple already. The score of a relation is log p(r | h, t), without another
probability, unless training compared relations. A line of a file is a query: names separated by
tabs, the one to predict empty or "?"; or a JSON object with keys head, relation, tail. A wrong line
is refused before any answer. Standard input (--file -) is answered line by line; a wrong line is
reported and skipped, and the exit status is then 2. With --missing, all triples of a relation, or
of all, that no split holds are predicted into a file. Several runs on the same triples answer
together, ordered by a mean of their scores: beside each answer stand the mean and the standard
deviation of its ranks by each run alone (mean_rank, rank_std).

  dans predict runs/dans/umls-distmult/seed0 --head steroid --relation affects
  dans predict runs/dans/umls-distmult/seed0 --file queries.tsv --new --csv > new.csv
  dans predict RUN_DIR --head steroid --relation affects --among domain-range
  dans predict RUN_DIR --extra-triples extra.txt --head new-steroid --relation affects
  dans predict RUN_DIR --missing --relation affects --top 3 --observed --out new.tsv
  dans predict RUN_DIR RUN_DIR RUN_DIR --head steroid --relation affects
  printf 'steroid\taffects\n' | dans predict RUN_DIR --file - --json
"""

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path

from dans.cli import parsing as cli
from dans.errors import InputError


def add_options(parser: ArgumentParser) -> None:
    """Add the run, the query and the form of the answers."""
    cli.add_run(parser, name="runs", nargs="+")
    add = parser.add_argument
    for part in ("head", "relation", "tail"):
        add(f"--{part}", metavar="NAME", help=f"the {part}; left out, it is predicted")
    add("--file", metavar="FILE", help="queries, one a line; - reads standard input")
    top = "answers to each query (default: 10); with --missing, new tails of each head"
    add("--top", type=cli.whole(1), metavar="N", help=top)
    add("--new", action="store_true", help="leave out what train, valid or test holds")
    ranks = "with --file: rank the head and the tail of whole triples too, as dans evaluate does"
    add("--ranks", action="store_true", help=ranks)
    cli.add_among_options(parser)
    cli.add_extra_option(parser)
    every = (
        "predict all triples that no split holds into --out; which: --top, --above, --above-score"
    )
    add("--missing", action="store_true", help=every)
    add(
        "--above",
        type=float,
        metavar="P",
        help="with --missing: those with at least this calibrated probability",
    )
    add(
        "--above-score",
        type=float,
        metavar="S",
        help="with --missing: those with at least this score",
    )
    observed = "with --missing: only heads and tails that the relation has in train"
    add("--observed", action="store_true", help=observed)
    add(
        "--out",
        type=Path,
        metavar="FILE",
        help="with --missing: the file to write, a .tsv, .csv, .jsonl or .parquet",
    )
    cli.add_join_option(parser)
    cli.add_model_option(parser)
    cli.add_memory_option(parser)
    kinds = parser.add_mutually_exclusive_group()
    for name, what in (("json", "print an object a query"), ("csv", "print CSV, a row an answer")):
        kinds.add_argument(f"--{name}", action="store_const", dest="form", const=name, help=what)


def predict_missing(args: Namespace) -> str:
    """Write the missing triples that are wanted; returns a line that says how many."""
    from dans.config.writing import check_file
    from dans.predict import Predictor
    from dans.predict.missing import check_name, missing, write

    other = ("head", "tail", "file", "new", "ranks", "join", *cli.AMONG)
    cli.refuse(args, "not together with --missing", *other, "form")
    if [args.above, args.above_score, args.top].count(None) != 2:
        raise InputError("--missing: expected one of --above, --above-score and --top")
    if args.out is None:
        raise InputError("--out: missing; name the file to write")
    check_name(args.out)
    check_file("--out", args.out)
    if len(args.runs) > 1:
        raise InputError("--missing: expected one run")
    loading = {"which": args.model, "memory_budget": args.memory_budget, **cli.extension(args)}
    predictor = Predictor.load(args.runs[0], **loading)
    found = missing(
        predictor,
        None if args.relation is None else [args.relation],
        above=args.above,
        above_score=args.above_score,
        top=args.top,
        observed=args.observed,
    )
    return f"{args.out}: {write(args.out, found):,} triples"


def run(args: Namespace) -> None:
    """Load the run, and print the answers."""
    from dans.evaluation.candidate_sets import candidate_sets
    from dans.predict.answers import answer, single
    from dans.predict.ensemble import predictor_of
    from dans.predict.output_formats import FORMATS, QueryOptions

    cli.check_ensemble(args)
    if args.missing:
        print(predict_missing(args))
        return
    cli.refuse(args, "no effect without --missing", "above", "above_score", "observed", "out")
    query = single(args.head, args.relation, args.tail, args.file)
    among = cli.restriction(args)
    options = QueryOptions.of(
        query, top=args.top, new_only=args.new, ranks=args.ranks, restricted=among is not None
    )
    loading = {"which": args.model, "memory_budget": args.memory_budget, **cli.extension(args)}
    predictor = predictor_of(args.runs, join=args.join, **loading)
    options = replace(options, among=candidate_sets(among, predictor.kg))
    for text in answer(FORMATS[args.form](predictor, options), query, args.file):
        print(text, end="", flush=True)
