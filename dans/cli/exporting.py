"""Export the entity and relation embeddings of a run.

Formats: npy writes entities.npy and relations.npy, with names.json; safetensors writes
embeddings.safetensors, with the names in its header; projector writes tab-separated files that
tensorboard --logdir DIR opens; word2vec writes text that gensim reads, white space and % in names
percent-encoded.

  dans export runs/dans/umls-distmult/seed0 --out embeddings
  dans export runs/dans/umls-distmult/seed0 --out embeddings --format projector
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from dans.cli import parsing as cli

#: The names of ``dans.predict.export.FORMATS``, which takes long to import.
FORMATS = ("npy", "safetensors", "projector", "word2vec")


def add_options(parser: ArgumentParser) -> None:
    """Add the run, the folder to write and its formats."""
    cli.add_run(parser)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write: new or empty")
    formats = f"{', '.join(FORMATS)}; may be repeated (default: npy)"
    add("--format", choices=FORMATS, action="append", metavar="NAME", help=formats)
    cli.add_model_option(parser)


def run(args: Namespace) -> None:
    """Export, and print the names of the files."""
    from dans.predict.export import export

    print(*export(args.run, args.out, formats=args.format or ("npy",), which=args.model), sep="\n")
