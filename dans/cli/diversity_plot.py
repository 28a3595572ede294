"""Plot the negatives that a run offers and generates, by t-SNE.

The plot is for one relation (tsne-RELATION.png): the true tails of its training triples, and the
negatives that the run's sampler draws for these triples, projected together. Where generated
embeddings are decoded to entities, both have a panel. diversity-RELATION.json has the numbers.
Needs the extra: pip install 'dans-kg[plots]'.

  dans plot-diversity runs/dans/umls-distmult/seed0 --relation isa
"""

from argparse import ArgumentParser, Namespace

from dans.cli import parsing as cli


def add_options(parser: ArgumentParser) -> None:
    """Add the run and the relation."""
    cli.add_run(parser)
    parser.add_argument("--relation", help="relation (default: the one with most triples)")
    cli.add_model_option(parser)


def run(args: Namespace) -> None:
    """Measure and draw, and print the names of the files."""
    cli.check_packages("matplotlib", "sklearn")
    from baselines.assembly import SAMPLERS
    from dans.analysis.plots import plot_diversity
    from dans.runs.train import load

    trained = load(args.run, which=args.model, samplers=SAMPLERS)
    print(*plot_diversity(trained, args.run, args.relation), sep="\n")
