r"""Predict the missing part of a triple, or score a triple.

Give two of --head, --relation and --tail to predict the third, or all three to score the triple.
Answers are ranked by score, with a calibrated probability where the run has one, and the splits
that hold the triple already. A line of a file is a query: names separated by tabs, the one to
predict empty or "?"; or a JSON object with keys head, relation, tail. A wrong line is refused
before any answer. Standard input (--file -) is answered line by line; a wrong line is reported and
skipped, and the exit status is then 2. Several runs on the same triples answer together: beside
each answer stand its mean rank and the standard deviation between the runs.

  dans predict runs/dans/umls-distmult/seed0 --head steroid --relation affects
  dans predict runs/dans/umls-distmult/seed0 --file queries.tsv --new --csv > new.csv
  dans predict RUN_DIR RUN_DIR RUN_DIR --head steroid --relation affects
  printf 'steroid\taffects\n' | dans predict RUN_DIR --file - --json
"""

from argparse import ArgumentParser, Namespace

from dans.cli import parsing as cli


def add_options(parser: ArgumentParser) -> None:
    """Add the run, the query and the form of the answers."""
    cli.add_run(parser, name="runs", nargs="+")
    add = parser.add_argument
    for part in ("head", "relation", "tail"):
        add(f"--{part}", metavar="NAME", help=f"leave it out to predict the {part}")
    add("--file", metavar="FILE", help="queries, one a line; - reads standard input")
    add("--top", type=cli.whole(1), metavar="N", help="answers to each query (default: 10)")
    add("--new", action="store_true", help="leave out the triples that are known")
    add("--ranks", action="store_true", help="also rank the whole triples of a file")
    cli.add_join_option(parser)
    cli.add_model_option(parser)
    cli.add_memory_option(parser)
    kinds = parser.add_mutually_exclusive_group()
    for name, what in (("json", "an object for each query"), ("csv", "a row for each answer")):
        kinds.add_argument(f"--{name}", action="store_const", dest="form", const=name, help=what)


def run(args: Namespace) -> None:
    """Load the run, and print the answers."""
    from dans.predict.answers import answer, single
    from dans.predict.ensemble import predictor_of
    from dans.predict.output_formats import FORMATS, QueryOptions

    query = single(args.head, args.relation, args.tail, args.file)
    options = QueryOptions.of(query, top=args.top, new_only=args.new, ranks=args.ranks)
    predictor = predictor_of(
        args.runs, join=args.join, which=args.model, memory_budget=args.memory_budget
    )
    for text in answer(FORMATS[args.form](predictor, options), query, args.file):
        print(text, end="", flush=True)
