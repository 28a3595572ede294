"""Draw where a run's negatives lie: a t-SNE picture (tsne.png) and its numbers (diversity.json).

For one relation, the true tails of all its training heads beside what the run's sampler offers
against them, projected together. Needs the extra: pip install 'dans[plots]'.

  python scripts/plot_diversity.py runs/dans/umls-distmult/seed0 --relation isa
"""

from pathlib import Path

from baselines.assembly import SAMPLERS
from dans.analysis.diversity import gather, measure, project
from dans.analysis.plots import diversity_picture
from dans.cli import parsing as cli
from dans.runs.train import load
from dans.seeding import seed_everything
from dans.training.run import Run


def main() -> None:
    """Parse, gather, measure, draw."""
    parser = cli.parser(__doc__)
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="folder of a trained run")
    parser.add_argument("--relation", help="its name (default: the one with most training triples)")
    parser.add_argument(
        "--model", choices=("best", "last"), default="best", help="which checkpoint (default: best)"
    )
    args = parser.parse_args()
    trained = load(args.run, which=args.model, samplers=SAMPLERS)
    kg, most = trained.kg, int(trained.kg.train[:, 1].mode().values)
    asked, where = args.relation, "--relation"
    relation = most if asked is None else kg.relations.index(asked, where=where)
    name = kg.relations[relation]
    seed_everything(trained.config.train.seed)
    groups = gather(kg, trained.model, trained.sampler, trained.entities, relation)
    numbers = measure(groups)
    Run(args.run).write_json("diversity.json", {"relation": name, "groups": numbers})
    picture = args.run / "tsne.png"
    title = f"{kg.name} · {name}: true tails and negatives ({trained.config.decoder.name})"
    diversity_picture(picture, groups, project(groups), numbers, title=title)
    print(f"{picture}\n{args.run / 'diversity.json'}")


if __name__ == "__main__":
    cli.run_main(main)
