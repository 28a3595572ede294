"""Plot the embeddings of a run's negatives by t-SNE (tsne.png).

The plot is for one relation: the true tails of its training triples, and the negatives that the
run's sampler draws for these triples, projected together. diversity.json has the numbers.
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
    """Gather embeddings, measure, draw."""
    from baselines.assembly import SAMPLERS
    from dans.analysis.diversity import gather, measure, project
    from dans.analysis.plots import diversity_picture
    from dans.runs.train import load
    from dans.seeding import seed_everything
    from dans.training.run_folder import RunFolder

    trained = load(args.run, which=args.model, samplers=SAMPLERS)
    kg, most = trained.kg, int(trained.kg.train[:, 1].mode().values)
    name, where = args.relation, "--relation"
    relation = most if name is None else kg.relations.index(name, where=where)
    name = kg.relations[relation]
    seed_everything(trained.config.train.seed)
    groups = gather(kg, trained.model, trained.sampler, trained.entities, relation)
    numbers = measure(groups)
    RunFolder(args.run).write_json("diversity.json", {"relation": name, "groups": numbers})
    picture = args.run / "tsne.png"
    title = f"{kg.name} · {name}: true tails and negatives ({trained.config.decoder.name})"
    diversity_picture(picture, groups, project(groups), numbers, title=title)
    print(f"{picture}\n{args.run / 'diversity.json'}")
