"""Pre-train a relational GCN and a decoder on the facts of a knowledge graph.

Fills a folder with checkpoints and metrics, from which scripts/train_dans.py goes on.

  python scripts/pretrain_rgcn.py --recipe umls-distmult
  python scripts/pretrain_rgcn.py --recipe umls-complex --seed 3 --set train.steps=500
"""

from dans import cli


def main() -> None:
    """Parse, train, tell."""
    parser = cli.parser(__doc__)
    cli.add_training_options(parser, kind="pretrain", recipe="umls-distmult")
    print(cli.train_and_tell(parser.parse_args(), kind="pretrain"))


if __name__ == "__main__":
    cli.run_main(main)
