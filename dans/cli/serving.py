"""Answer queries of a run over HTTP, on this machine.

The page at / has a form. /predict, /score, /explain, /entities and /health answer in JSON. Several
runs on the same triples answer together, as in dans predict. Nothing can be changed by a request.
There is no password: with --host, whoever reaches that address can ask. Ctrl-C ends it.

  dans serve runs/dans/umls-distmult/seed0 --port 8000
"""

from argparse import ArgumentParser, Namespace
from functools import partial

from dans.cli import parsing as cli


def add_options(parser: ArgumentParser) -> None:
    """Add the run, and where it is served."""
    cli.add_run(parser, name="runs", nargs="+")
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to bind (default: 127.0.0.1, this machine)")
    port = "0: any that is free (default: 8000)"
    add("--port", type=cli.whole(0, 65535), default=8000, help=port)
    cli.add_join_option(parser)
    cli.add_model_option(parser)
    cli.add_memory_option(parser)


def run(args: Namespace) -> None:
    """Load the run, and serve until a signal ends it."""
    from dans.predict import Predictor
    from dans.predict.ensemble import predictor_of
    from dans.predict.explain import Explainer
    from dans.predict.server import Server
    from dans.runs.train import load

    cli.check_ensemble(args)
    loading = {"which": args.model, "memory_budget": args.memory_budget}
    explainer = None
    if len(args.runs) > 1 or args.join is not None:
        predictor = predictor_of(args.runs, join=args.join, **loading)
    else:
        trained = load(args.runs[0], which=args.model)
        predictor = Predictor.of(trained, args.runs[0], **loading)
        explainer = partial(Explainer.of, trained)
    with Server(predictor, (args.host, args.port), explainer=explainer) as server:
        try:
            print(f"{predictor.about}\n{server.url} (Ctrl-C ends it)", flush=True)
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")
