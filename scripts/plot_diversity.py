"""Plot what a run's sampler offers to the model, and what it generates (tsne-RELATION.png).

The plot is for one relation: the true tails of its training triples, and the negatives that the
run's sampler draws for these triples, projected together by t-SNE. Where generated embeddings are
decoded to entities, both have a panel. diversity-RELATION.json has the numbers.
Needs the extra: pip install 'dans[plots]'.

  python scripts/plot_diversity.py runs/dans/umls-distmult/seed0 --relation isa
"""

from pathlib import Path

from dans.cli.command import run_main


def main() -> None:
    """Parse, measure, draw."""
    from baselines.assembly import SAMPLERS
    from dans.analysis.plots import plot_diversity
    from dans.cli import parsing as cli
    from dans.runs.train import load

    parser = cli.parser(__doc__)
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="folder of a trained run")
    parser.add_argument("--relation", help="relation (default: the one with most triples)")
    cli.add_model_option(parser)
    args = parser.parse_args()
    trained = load(args.run, which=args.model, samplers=SAMPLERS)
    print(*plot_diversity(trained, args.run, args.relation), sep="\n")


if __name__ == "__main__":
    run_main(main)
