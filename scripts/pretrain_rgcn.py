"""Pre-train a relational GCN and a decoder on a knowledge graph.

Writes checkpoints and metrics into the folder of the run, from which scripts/train_dans.py
continues.

  python scripts/pretrain_rgcn.py --recipe umls-distmult
  python scripts/pretrain_rgcn.py --recipe umls-complex --seed 3 --set train.steps=500
"""

from dans.cli.command import run_main


def main() -> None:
    """Parse, train, report."""
    from dans.cli import parsing as cli

    parser = cli.parser(__doc__)
    cli.add_training_options(parser, kind="pretrain", recipe="umls-distmult")
    print(cli.train_and_report(parser.parse_args(), kind="pretrain"))


if __name__ == "__main__":
    run_main(main)
