"""Train a baseline: softmax over all entities, a loss with shared negatives, or Stay Positive.

python scripts/train_baseline.py --recipe umls-distmult --loss sce
python scripts/train_baseline.py --recipe wn18am-distmult --loss sp --seed 1 --resume
"""

from dans.cli.command import run_main


def main() -> None:
    """Parse, train, report."""
    from baselines import assembly
    from dans.cli import parsing as cli

    parser = cli.parser(__doc__)
    cli.add_training_options(parser, kind="baselines", recipe="umls-distmult-sce")
    print(cli.train_and_report(parser.parse_args(), kind="baselines", train=assembly.train))


if __name__ == "__main__":
    run_main(main)
