"""Train a baseline: softmax, shared negatives, Stay Positive.

Softmax runs over all entities; a loss with shared negatives draws them once for a batch; Stay
Positive needs no negatives.

  dans baseline umls-distmult --loss sce
  dans baseline wn18am-distmult --loss sp --seed 1 --resume
"""

from argparse import ArgumentParser, Namespace

from dans.cli import parsing as cli
from dans.cli.train_command import train_and_report


def add_options(parser: ArgumentParser) -> None:
    """Add what to train, and how."""
    cli.add_training_options(parser, kind="baselines")


def run(args: Namespace) -> None:
    """Train, and print what came out."""
    print(train_and_report(args))
