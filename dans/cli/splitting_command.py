r"""Divide triples into splits, or hold out entities.

A data set with splits is put together first. Each entity and relation of the new folder has a
triple in train. With --inductive a share of the entities is held out: train and valid have none of
their triples; OUT/unseen/extra.txt has those that are given at prediction time, at least one of
each entity, and OUT/unseen/test.txt those to be predicted. README.md states the rule and counts.

  dans split my-triples.tsv --out my-split
  dans split wn18rr --inductive --out wn18rr-unseen
  dans evaluate RUN_DIR --extra-triples wn18rr-unseen/unseen/extra.txt \
      --triples wn18rr-unseen/unseen/test.txt
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from dans.cli import parsing as cli

#: Options of one of the two rules.
TRIPLES = ("split", "inverse_leakage")
ENTITIES = ("held_out", "test", "valid", "both_new")


def add_options(parser: ArgumentParser) -> None:
    """Add the triples, the folder, and the options of both rules."""
    add = parser.add_argument
    add("data", metavar="DATA", help="data set, by name; or a folder or a file of triples")
    add("--out", type=Path, required=True, metavar="FOLDER", help="a new folder")
    add("--seed", type=cli.whole(0), default=0, metavar="N", help="random seed (default: 0)")
    cli.add_data_options(parser.add_argument_group("reading, and dividing triples"))
    add = parser.add_argument_group("holding out entities").add_argument
    add("--inductive", action="store_true", help="hold out entities")
    held = "share of the entities that is held out (default: 0.1)"
    add("--held-out", type=float, metavar="X", help=held)
    test = "share of the triples of held-out entities that is to be predicted (default: 0.5)"
    add("--test", type=float, metavar="X", help=test)
    valid = "share of the triples of other entities that is valid (default: 0.05)"
    add("--valid", type=float, metavar="X", help=valid)
    both = "divide the triples of two held-out entities too (default: leave them out)"
    add("--both-new", action="store_true", default=None, help=both)


def run(args: Namespace) -> None:
    """Divide, and print what came out."""
    from dans.data.split_folder import by_entities, by_triples

    other, own = (TRIPLES, ENTITIES) if args.inductive else (ENTITIES, TRIPLES)
    which = "with" if args.inductive else "without"
    cli.refuse(args, f"has no effect {which} --inductive", *other)
    options = {name: getattr(args, name) for name in ("seed", *own)}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if "split" in given:
        given["shares"] = given.pop("split")
    reading = ("columns", "delimiter", "header", "labelled", "literals", "blank_nodes")
    how = {name: getattr(args, name) for name in reading if getattr(args, name) is not None}
    about = (by_entities if args.inductive else by_triples)(
        args.data, args.out, reading=how, **given
    )
    print(f"{args.out}: {about['rule']}")
    for what in ("triples", "entities", "left_out"):
        counts = ", ".join(
            f"{n:,} {name.replace('_', ' ')}" for name, n in about.get(what, {}).items()
        )
        if counts:
            print(f"{what.replace('_', ' ')}: {counts}")
