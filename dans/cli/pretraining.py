"""Pre-train a relational GCN and a decoder.

Writes checkpoints and metrics into the folder of the run, from which dans train continues.

  dans pretrain umls-distmult
  dans pretrain umls-complex --seed 3 --set train.steps=500
"""

from argparse import ArgumentParser, Namespace

from dans.cli import parsing as cli
from dans.cli.train_command import train_and_report


def add_options(parser: ArgumentParser) -> None:
    """Add what to train, and how."""
    cli.add_training_options(parser, kind="pretrain")


def run(args: Namespace) -> None:
    """Train, and print what came out."""
    print(train_and_report(args))
