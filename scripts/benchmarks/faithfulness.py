"""Faithfulness of explanations: named triples removed, beside as many random ones.

Of test triples whose head and tail both rank high, the training triples that carry the score are
removed together, all entities are encoded without them, and the drop of the score is compared with
that of as many random triples: of those that touch head or tail, and of all.

  python -m scripts.benchmarks.faithfulness umls --seeds 0,1,2,3,4 --out found.json
  python -m scripts.benchmarks.faithfulness fb15k-237 --run runs/fb --within 10 --out found.json
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

import dans
from dans.predict import Predictor
from dans.predict.explain import Explainer
from dans.runs.train import Trained, load
from scripts.benchmarks.planted_errors import train


def measure(
    trained: Trained, *, seed: int, triples: int, top: int, draws: int, within: int
) -> dict[str, Any]:
    """Mean drops of the score, and the paired test of named against random near triples."""
    from scipy.stats import wilcoxon

    kg = trained.kg
    torch.manual_seed(seed)
    explainer = Explainer.of(trained)
    predictor = Predictor(kg, trained.model.decoder, trained.entities)
    some = kg.test[torch.randperm(len(kg.test))[: 100 * triples]]
    ranks = torch.stack([predictor.ranked(some, column)[0] for column in (0, 2)])
    chosen = some[(ranks <= within).all(0)][:triples]
    scores, drops = [], torch.empty(3, len(chosen))
    for i, triple in enumerate(chosen):
        score = explainer.score(triple)
        named, _ = explainer.carrying(triple, top=top)
        near, every = explainer.around(triple), torch.arange(len(kg.train))
        scores.append(score)
        drops[0, i] = score - explainer.score_without(triple, named)
        for place, pool in enumerate((near, every), start=1):
            others = [pool[torch.randperm(len(pool))[: len(named)]] for _ in range(draws)]
            after = [explainer.score_without(triple, rows) for rows in others]
            drops[place, i] = score - sum(after) / draws
    names = "named", "random near", "random of all"
    return {
        "data": kg.name,
        "seed": seed,
        "triples": len(chosen),
        "score": sum(scores) / len(scores),
        "drop": {name: float(of.mean()) for name, of in zip(names, drops, strict=True)},
        "deviation": {name: float(of.std()) for name, of in zip(names, drops, strict=True)},
        "larger_than_near": float((drops[0] > drops[1]).float().mean()),
        "wilcoxon_p": float(wilcoxon(drops[0].numpy(), drops[1].numpy()).pvalue),
    }


def main() -> None:
    """Measure, and add a row for each seed to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--run", type=Path, help="a trained run of an RGCN, in place of training")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--triples", type=int, default=50)
    parser.add_argument("--top", type=int, default=5)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--within", type=int, default=3, help="the largest rank of both ends")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rows = json.loads(args.out.read_text()) if args.out.exists() else []
    for seed in map(int, args.seeds.split(",")):
        fresh = args.run is None
        trained = train(dans.load(args.data), seed, args.steps) if fresh else load(args.run)
        options = {name: getattr(args, name) for name in ("triples", "top", "draws", "within")}
        rows.append(measure(trained, seed=seed, **options))
        args.out.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
        print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
