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
from dans.errors import InputError

#: Options of one of the two rules.
TRIPLES = ("shares", "inverse_leakage")
ENTITIES = ("held_out", "test", "valid", "among")


def add_options(parser: ArgumentParser) -> None:
    """Add the triples, the folder, and the options of both rules."""
    add = parser.add_argument
    add("data", metavar="DATA", help="data set, by name; or a folder or a file of triples")
    add("--out", type=Path, required=True, metavar="FOLDER", help="a new folder")
    add("--seed", type=cli.whole(0), default=0, help="of what is drawn (default: 0)")
    add = parser.add_argument_group("by triples").add_argument
    shares = "of train, valid and test (default: 0.8 0.1 0.1)"
    add("--shares", type=float, nargs=3, metavar="X", help=shares)
    leakage = "avoid: triples between the same two entities stay in one split (default: allow)"
    add("--inverse-leakage", choices=("allow", "avoid"), help=leakage)
    add = parser.add_argument_group("by entities").add_argument
    add("--inductive", action="store_true", help="hold out entities")
    add("--held-out", type=float, metavar="X", help="share of the entities (default: 0.1)")
    add("--test", type=float, metavar="X", help="share of their triples (default: 0.5)")
    add("--valid", type=float, metavar="X", help="share of the other triples (default: 0.05)")
    among = "divide the triples of two held-out entities too, which else are left out"
    add("--among", action="store_true", default=None, help=among)


def run(args: Namespace) -> None:
    """Divide, and print what came out."""
    from dans.data.split_folder import by_entities, by_triples

    other, own = (TRIPLES, ENTITIES) if args.inductive else (ENTITIES, TRIPLES)
    for name in other:
        if getattr(args, name) is not None:
            which = "with" if args.inductive else "without"
            option = name.replace("_", "-")
            raise InputError(f"--{option}: has no effect {which} --inductive; leave it out")
    options = {name: getattr(args, name) for name in ("seed", *own)}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    about = (by_entities if args.inductive else by_triples)(args.data, args.out, **given)
    print(f"{args.out}: {about['rule']}")
    for what in ("triples", "entities", "left_out"):
        counts = ", ".join(
            f"{n:,} {name.replace('_', ' ')}" for name, n in about.get(what, {}).items()
        )
        if counts:
            print(f"{what.replace('_', ' ')}: {counts}")
