"""How many planted errors `dans check` finds: corrupted training triples, trained on and listed.

A share of the training triples gets a random entity in place of head or tail, such that the new
triple is in no split. A model is trained on that graph, and its training triples are ordered, the
least plausible first. Precision is among as many as were planted; a random order has the share.

  python -m scripts.benchmarks.planted_errors umls --seeds 0,1 --shares .05 --out found.json
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

import dans
from dans.data.graph import KnowledgeGraph
from dans.evaluation.classification import classification
from dans.predict import Predictor
from dans.predict.checking import Plausibility, encoder_of, plausibility
from dans.runs.train import Trained, load


def corrupted(kg: KnowledgeGraph, share: float, seed: int) -> tuple[KnowledgeGraph, Tensor]:
    """The graph with a share of its training triples corrupted, and which: (f,) bool."""
    torch.manual_seed(seed)
    known, train, new = kg.known(), kg.train.clone(), set[tuple[int, ...]]()
    rows = torch.randperm(len(train))[: round(share * len(train))]
    for row in rows.tolist():
        while True:
            triple = kg.train[row].clone()
            triple[2 * int(torch.randint(2, ()))] = torch.randint(kg.num_entities, ())
            if not known.is_known(triple[None])[0] and tuple(triple.tolist()) not in new:
                break
        new.add(tuple(triple.tolist()))
        train[row] = triple
    wrong = torch.zeros(len(train), dtype=torch.bool)
    wrong[rows] = True
    return replace(kg, train=train), wrong


def train(kg: KnowledgeGraph, seed: int, steps: int) -> Trained:
    """An RGCN with DistMult, by the options for triples of one's own."""
    with TemporaryDirectory() as folder:
        dans.train(kg, seed=seed, steps=steps, out=f"{folder}/run")
        return load(Path(folder) / "run")


def criteria(found: Plausibility) -> dict[str, Tensor]:
    """Orders of triples, by name: what is lower is less plausible."""
    return {
        "score": torch.tensor([one.score for one in found.scored]).double(),
        "mean rank": -found.ranks.mean(0),
        "reciprocal rank": (1 / found.ranks).mean(0),
        "share": found.values,
    }


def quality(values: Tensor, wrong: Tensor) -> dict[str, float]:
    """Precision among as many as are wrong, average precision, and AUC."""
    hits = wrong[values.argsort(stable=True)].double()
    precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
    return {
        "precision": float(precision[int(wrong.sum()) - 1]),
        "average_precision": float((precision * hits).sum() / hits.sum()),
        "auc": classification(-values, wrong)["auc"],
    }


def measure(
    kg: KnowledgeGraph, share: float, seed: int, steps: int, folds: int
) -> Iterator[dict[str, Any]]:
    """A row for each criterion and treatment of messages, all of one graph with planted errors."""
    given, wrong = corrupted(kg, share, seed)
    found_by = {}
    if folds:
        parts, place = [], torch.empty(0, dtype=torch.int64)
        for first in range(folds):
            rows = torch.arange(len(wrong))[first::folds]
            keep = torch.ones(len(wrong), dtype=torch.bool)
            keep[rows] = False
            trained = train(replace(given, train=given.train[keep]), seed, steps)
            predictor = Predictor(given, trained.model.decoder, trained.entities)
            parts.append(plausibility(predictor, given.train[rows]))
            place = torch.cat((place, rows))
        back = place.argsort()
        scored = [one for part in parts for one in part.scored]
        found_by[f"{folds} folds"] = Plausibility(
            torch.cat([part.ranks for part in parts], 1)[:, back],
            torch.cat([part.logs for part in parts], 1)[:, back],
            [scored[i] for i in back.tolist()],
        )
    else:
        trained = train(given, seed, steps)
        predictor = Predictor(given, trained.model.decoder, trained.entities)
        found_by["all messages"] = plausibility(predictor, given.train)
        encode = encoder_of(trained)
        found_by["left out"] = plausibility(predictor, given.train, encode=encode)
    about = {"data": kg.name, "share": share, "seed": seed, "steps": steps}
    for messages, found in found_by.items():
        for name, values in criteria(found).items():
            yield {**about, "messages": messages, "criterion": name, **quality(values, wrong)}


def main() -> None:
    """Measure, and add the rows to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--shares", default=".01,.02,.05,.1")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rows = json.loads(args.out.read_text()) if args.out.exists() else []
    for share in map(float, args.shares.split(",")):
        for seed in map(int, args.seeds.split(",")):
            rows.extend(measure(dans.load(args.data), share, seed, args.steps, args.folds))
            args.out.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
            print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
