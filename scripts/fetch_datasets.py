"""Find or download data sets, and check them against their cards (datasets/NAME.toml).

A file is taken from the cache (the folder DANS_CACHE, or the usual one of the platform), from the
folders named in DANS_DATASETS, or from an installed PyKEEN that contains it; otherwise it is
downloaded into the cache.

  python scripts/fetch_datasets.py                    # umls
  python scripts/fetch_datasets.py wn18rr fb15k-237
  python scripts/fetch_datasets.py --list             # all data sets, and where they are found
"""

from typing import TYPE_CHECKING

from dans.cli.command import run_main

if TYPE_CHECKING:
    from dans.data.cards import DatasetCard

ROW = "{:<18} {:>9} {:>9} {:>9} {:>7} {:>7}  {}"


def main() -> None:
    """Fetch what the command line names, or list what it could name."""
    from dans.cli.parsing import parser
    from dans.data.cards import cards, find_card
    from dans.data.graph import SPLITS, KnowledgeGraph
    from dans.errors import InputError

    options = parser(__doc__)
    options.add_argument(
        "names", nargs="*", metavar="NAME", help="data sets to fetch (default: umls; --list: all)"
    )
    options.add_argument("--list", action="store_true", help="fetch nothing; print a table")
    args = options.parse_args()
    chosen = {name: find_card(name) for name in args.names or (cards() if args.list else ["umls"])}
    if args.list:
        print(ROW.format("name", "entities", "relations", *SPLITS, "found in"))
    for name, card in chosen.items():
        if card is None:
            raise InputError(f"{name!r}: a folder of your own needs no fetching")
        print(row(card) if args.list else "\n".join(KnowledgeGraph.load(name).audit().lines()))


def row(card: "DatasetCard") -> str:
    """A data set as a line of the table."""
    from dans.data.download import whereabouts
    from dans.data.graph import SPLITS

    sizes = [f"{card.splits[split].lines:,}" for split in SPLITS]
    counts = f"{card.entities:,}", f"{card.relations:,}"
    return ROW.format(card.name, *counts, *sizes, whereabouts(card))


if __name__ == "__main__":
    run_main(main)
