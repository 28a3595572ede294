"""Export the entity and relation embeddings of a trained run into a new folder.

Formats: npy writes entities.npy and relations.npy, with names.json; safetensors writes
embeddings.safetensors, with the names in its header; projector writes tab-separated files that
tensorboard --logdir DIR opens.

  python scripts/export_vectors.py runs/dans/umls-distmult/seed0 --out embeddings
  python scripts/export_vectors.py runs/dans/umls-distmult/seed0 --out embeddings --format projector
"""

from pathlib import Path

from dans.cli.command import run_main


def main() -> None:
    """Parse, export, print the files."""
    from dans.cli import parsing as cli
    from dans.predict.export import FORMATS, export

    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("run", type=Path, metavar="RUN_DIR", help="folder of a trained run")
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write: new or empty")
    formats = f"{', '.join(FORMATS)}; may be repeated (default: npy)"
    add("--format", choices=FORMATS, action="append", metavar="NAME", help=formats)
    cli.add_model_option(parser)
    args = parser.parse_args()
    print(*export(args.run, args.out, formats=args.format or ("npy",), which=args.model), sep="\n")


if __name__ == "__main__":
    run_main(main)
