r"""Explain a triple: paths, triples that carry it, analogies.

Paths have up to three training triples between head and tail, in either direction, and are ranked
by the sum of the log shares of their triples: 0 where each triple is far above its competitors, and
the more negative the less plausible they are. For an RGCN, the training triples that carry the
prediction are removed and the triple is scored again, so that their effect is measured; for a
lookup model, the most similar training triples are listed. The triple itself is left out of all.
Analogies are triples of the relation in train whose query is most like this one.
A picture needs the extra: pip install 'dans-kg[plots]'.

  dans explain runs/dans/umls-distmult/seed0 --head steroid --relation affects \
      --tail cell_function --picture why.png
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from dans.cli import parsing as cli


def add_options(parser: ArgumentParser) -> None:
    """Add the run, the triple and the form of the explanation."""
    cli.add_run(parser)
    add = parser.add_argument
    for part in ("head", "relation", "tail"):
        add(f"--{part}", metavar="NAME", required=True, help=f"name of the {part}")
    top = "the most paths, carrying triples and analogies, each (default: 5)"
    add("--top", type=cli.whole(1), default=5, metavar="N", help=top)
    add("--json", action="store_true", help="print the explanation as a JSON object")
    picture = "draw paths and carrying triples into this file, .png, .svg or .pdf"
    add("--picture", type=Path, metavar="FILE", help=picture)
    cli.add_model_option(parser)


def run(args: Namespace) -> None:
    """Load the run, and print the explanation."""
    if args.picture is not None:
        cli.check_packages("matplotlib")
    from dans.predict.explain import Explainer
    from dans.predict.picture import checked
    from dans.runs.train import load

    if args.picture is not None:
        checked(args.picture, "--picture")
    trained = load(args.run, which=args.model)
    names = trained.kg.entities, trained.kg.relations, trained.kg.entities
    for part, known in zip(("head", "relation", "tail"), names, strict=True):
        known.index(getattr(args, part), where=f"--{part}")
    found = Explainer.of(trained).explain(args.head, args.relation, args.tail, top=args.top)
    if args.picture is not None:
        found.draw(args.picture)
    print(found.to_json() if args.json else found)
