"""Entities that training never saw: encoders and baselines on splits by entity.

Each model is trained without a share of the entities, is then given a part of their triples, and
ranks the heads and tails of the others among all entities, old and new. A model is chosen on
--tune, which divides the training triples by the same rule once more: no test triple is read.

python scripts/benchmarks/inductive.py umls --seeds 0 1 2 3 4 --out inductive.json
python scripts/benchmarks/inductive.py umls --seeds 10 11 12 --tune --set rgcn:encoder.dropout=0.2
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from baselines import assembly
from dans.config.recipes import merge, override
from dans.config.schema import RunConfig
from dans.data.extended_graph import extended
from dans.data.split_folder import UNSEEN, by_entities
from dans.evaluation.evaluator import EvaluationReport, Evaluator
from dans.runs.evaluate_run import evaluate
from dans.runs.extend import ENCODER, extend
from dans.runs.train import load


def cubes(weight: float) -> list[dict[str, Any]]:
    """A penalty on the cubes of all embeddings."""
    return [{"name": "lp", "p": 3, "entities": weight, "relations": weight}]


#: What the models have in common: DistMult, softmax over all entities, batches of queries.
COMMON: dict[str, Any] = {
    "objective": {"name": "softmax"},
    "decoder": {"name": "distmult", "reciprocal": True, "initial": "normal", "init": 0.01},
    "train": {
        "batch_by": "queries",
        "clip": 0.0,
        "schedule": "cosine",
        "threads": 1,
        "validate_every": 10**6,
    },
}
#: A table of embeddings, and an RGCN that starts from one.
LOOKUP: dict[str, Any] = {
    "encoder": {"name": "lookup", "dim": 100, "init": 0.01},
    "train": {"optimizer": "adagrad", "lr": 0.3, "batch": 512},
}
RGCN: dict[str, Any] = {
    "encoder": {"name": "rgcn", "dim": 100, "layers": 2, "dropout": 0.2},
    "train": {"optimizer": "adam", "lr": 0.01, "batch": 512, "clip": 1.0},
}
MODELS = {
    "lookup": LOOKUP,
    "rgcn": RGCN,
    "rgcn unseen": RGCN,
}
#: An RGCN of one layer, with diagonal matrices, that starts from a lookup: it takes fewer steps
#: where entities have few triples.
DIAGONAL: dict[str, Any] = {
    "encoder": {"layers": 1, "blocks": 100, "skip": True, "init": 0.01},
    "train": {"steps": 300, "batch": 2048, "lr": 0.03, "layer_lr": 0.3, "clip": 0.0},
}
#: How new entities are embedded, by model.
EMBEDDED = {
    "lookup": ("neighbors", "queries", "table"),
    "rgcn": (ENCODER,),
    "rgcn unseen": (ENCODER,),
}
#: What is different on each data set: chosen on --tune for UMLS, elsewhere by what a few minutes
#: allow, and for the lookup as in the recipes of the package.
OF_DATA: dict[str, dict[str, dict[str, Any]]] = {
    "umls": {
        "lookup": {"train": {"steps": 500}},
        "rgcn": {"train": {"steps": 600}},
        "rgcn unseen": {"train": {"steps": 600}, "encoder": {"unseen": 0.1}},
    },
    "fb15k-237": {
        "lookup": {"train": {"steps": 600}, "regularizer": cubes(0.2)},
        "rgcn": {"train": {"steps": 600, "batch": 1024}},
        "rgcn unseen": {"train": {"steps": 600, "batch": 1024}, "encoder": {"unseen": 0.03}},
    },
    "wn18rr": {
        "lookup": {"train": {"steps": 2430, "batch": 256}, "regularizer": cubes(0.3)},
        "rgcn": DIAGONAL,
        "rgcn unseen": merge(DIAGONAL, {"encoder": {"unseen": 0.5}}),
    },
}


def configured(data: str, folder: Path, model: str, seed: int, changes: Sequence[str]) -> RunConfig:
    """The configuration of a model; a change is ``MODEL:KEY=VALUE``, and counts for that model."""
    own = merge(merge(COMMON, MODELS[model]), OF_DATA[data][model])
    own = merge(own, {"data": str(folder), "train": {"seed": seed}})
    given = [change.split(":", 1) for change in changes]
    return RunConfig.parse(override(own, [change for name, change in given if name == model]))


def measure(
    data: str, models: Sequence[str], seed: int, *, tune: bool, changes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Metrics by model and embedding of embedding, on one split."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "split"
        by_entities(data, folder, seed=0 if tune else seed)
        if tune:
            again = Path(place) / "again"
            by_entities(folder / "train.txt", again, seed=seed)
            folder = again
        extra, test = folder / UNSEEN / "extra.txt", folder / UNSEEN / "test.txt"
        for model in models:
            run, start = Path(place) / model.replace(" ", "-"), time.perf_counter()
            report = assembly.train(configured(data, folder, model, seed, changes), run)
            seconds = round(time.perf_counter() - start)
            valid = report.both["mrr"] if isinstance(report, EvaluationReport) else None
            for embedding in EMBEDDED[model]:
                given: dict[str, Any] = {"extra_triples": extra, "new_entities": embedding}
                ranked = evaluate(run, triples=test, **given)
                answers = ranked.details["answers"]
                found[f"{model}, {embedding}"] = {
                    "mrr": ranked.both["mrr"],
                    "hits@10": ranked.both["hits@10"],
                    "mrr of new": answers["new"]["mrr"],
                    "mrr of old": answers["old"]["mrr"],
                    "mrr of old alone": beside_new(run, extra, test, embedding),
                    "mrr of old alone before": valid,
                    "queries": ranked.both["queries"],
                    "seconds": seconds,
                }
                print(
                    data,
                    seed,
                    model,
                    embedding,
                    json.dumps(found[f"{model}, {embedding}"]),
                    flush=True,
                )
    return found


def beside_new(run: Path, extra: Path, test: Path, embedding: str) -> float:
    """The MRR of the validation triples, of old entities, once the new ones are candidates too.

    What is known of the new ones is left out: lower than before is that they take the places of
    right answers.
    """
    trained = extend(load(run), extra, embedding)
    evaluator = Evaluator(extended(trained.kg, test), "valid")
    return evaluator(trained.model.decoder, trained.entities).both["mrr"]


def main() -> None:
    """Train and evaluate, and add the data set to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=OF_DATA)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="MODEL:KEY=VALUE")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    runs = [
        measure(args.data, args.models, seed, tune=args.tune, changes=args.set)
        for seed in args.seeds
    ]
    table: dict[str, Any] = {}
    for name, first in runs[0].items():
        table[name] = {"seeds": args.seeds}
        for metric in first.keys() - {"seconds"}:
            values = [run[name][metric] for run in runs]
            deviation = statistics.stdev(values) if len(values) > 1 else None
            table[name][metric] = {
                "mean": round(statistics.fmean(values), 4),
                "std": None if deviation is None else round(deviation, 4),
            }
    print(json.dumps(table, indent=1))
    if args.out:
        whole = json.loads(args.out.read_text()) if args.out.exists() else {}
        whole[args.data] = {**whole.get(args.data, {}), **table}
        args.out.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
