"""Find or download data sets, and check them.

Every file is compared with the card of its data set. It is taken from the cache (the folder
DANS_CACHE, or the usual one of the platform), from the folders named in DANS_DATASETS, or from an
installed PyKEEN that contains it; otherwise it is downloaded into the cache.

  dans fetch                       # umls
  dans fetch wn18rr fb15k-237
  dans fetch --list                # all data sets, and where they are found
"""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dans.data.cards import DatasetCard


def add_options(parser: ArgumentParser) -> None:
    """Add names, and ``--list``."""
    names = "data sets to fetch (default: umls; --list: all)"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--list", action="store_true", help="fetch nothing; print a table")


def run(args: Namespace) -> None:
    """Fetch what the command line names, or list what it could name."""
    from dans.data.cards import cards, find_card
    from dans.data.graph import SPLITS, KnowledgeGraph
    from dans.errors import InputError
    from dans.evaluation.text_table import aligned

    chosen = {name: find_card(name) for name in args.names or (cards() if args.list else ["umls"])}
    rows = [("name", "entities", "relations", *SPLITS, "found in")]
    for name, card in chosen.items():
        if card is None:
            raise InputError(f"{name!r}: a folder of your own needs no fetching")
        if args.list:
            rows.append(row(card))
        else:
            print("\n".join(KnowledgeGraph.load(name).audit().lines()))
    if args.list:
        print("\n".join(aligned(rows, left=(0, len(rows[0]) - 1))))


def row(card: "DatasetCard") -> tuple[str, ...]:
    """A data set as a row of the table."""
    from dans.data.download import whereabouts
    from dans.data.graph import SPLITS

    sizes = [f"{card.splits[split].lines:,}" for split in SPLITS]
    counts = f"{card.entities:,}", f"{card.relations:,}"
    return (card.name, *counts, *sizes, whereabouts(card))
