"""PyKEEN's pipeline on UMLS, with negatives from a sampler of ours.

Prints the loss of each epoch, and the filtered MRR
on the test triples. Needs the extra: pip install 'dans-kg[pykeen]'.

  python scripts/examples/pykeen_pipeline.py --sampler dans --epochs 20
"""

from dans.cli.command import run_main


def main() -> None:
    """Train and evaluate."""
    from dans.cli import parsing as cli
    from dans.data.graph import KnowledgeGraph
    from dans.samplers import SAMPLERS

    parser = cli.parser(__doc__)
    parser.add_argument("--sampler", choices=SAMPLERS, default="bernoulli")
    parser.add_argument("--epochs", type=int, default=10, help="times through the triples")
    args = parser.parse_args()
    from dans.adapters.pykeen import DansNegativeSampler

    kg = KnowledgeGraph.load("umls")
    from pykeen.models import DistMult
    from pykeen.pipeline import pipeline
    from pykeen.triples import CoreTriplesFactory

    n, m, quiet = kg.num_entities, kg.num_relations, {"use_tqdm": False}
    train, test = (CoreTriplesFactory(triples, n, m) for triples in (kg.train, kg.test))
    model = DistMult(triples_factory=train, loss="softplus", entity_constrainer=None)
    options = {"decode": "nearest_other"} if args.sampler == "dans" else {}
    seen = {"model": model} if SAMPLERS[args.sampler].adaptive else {}
    result = pipeline(
        training=train,
        testing=test,
        model=model,
        negative_sampler=DansNegativeSampler,
        negative_sampler_kwargs={"sampler": args.sampler, "options": options, **seen},
        optimizer_kwargs={"lr": 0.05},
        training_kwargs={"num_epochs": args.epochs, "batch_size": 512, **quiet},
        evaluation_kwargs={"additional_filter_triples": [kg.train, kg.valid], **quiet},
        random_seed=0,
    )
    print("losses:", *(f"{loss:.4f}" for loss in result.losses))
    print(f"test MRR {result.get_metric('both.realistic.inverse_harmonic_mean_rank'):.4f}")


if __name__ == "__main__":
    run_main(main)
