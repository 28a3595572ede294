"""Continue the training of a pre-trained run with DANS, or with another sampler.

DANS trains generators of negatives together with the model. Where the pre-trained run is missing,
the error message names the command that makes it.

  python scripts/train_dans.py --recipe umls-distmult
  python scripts/train_dans.py --recipe umls-distmult --sampler self-loop --seed 1 --resume
"""

from dans.cli.command import run_main


def main() -> None:
    """Parse, train, report."""
    from baselines import assembly
    from dans.cli import parsing as cli

    parser = cli.parser(__doc__)
    cli.add_training_options(parser, kind="dans", recipe="umls-distmult")
    print(cli.train_and_report(parser.parse_args(), kind="dans", train=assembly.train))


if __name__ == "__main__":
    run_main(main)
