"""What features of entities give on UMLS with a tenth of its training triples.

The features are the words of the entities' names; the control gives each entity the words of
another. `combine` and the learning rate are chosen on validation with seeds 10 to 12, then the test
triples are ranked with seeds 0 to 4.

  python scripts/benchmarks/feature_gain.py
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

import dans
from dans.data.graph import Split

#: Learning rates that are tried, by encoder.
RATES = {"lookup": (0.01, 0.03, 0.1), "rgcn": (0.01,)}
STEPS, SHARE = 150, 0.1

#: By the name of a row: what features, and how they may be combined.
FEATURES = {
    "none": ("", ("",)),
    "words": ("words", ("gate", "add", "only")),
    "words of another entity": ("shuffled", ("gate",)),
}


def graphs() -> dict[str, Any]:
    """A tenth of UMLS without features, with the words of names, and with those of others."""
    kg = dans.load("umls")
    order = torch.randperm(len(kg.train), generator=torch.Generator().manual_seed(0))
    kg = replace(kg, train=kg.train[order[: int(SHARE * len(kg.train))]]).renamed("umls-tenth")
    names = kg.entities.names
    other = torch.randperm(len(names), generator=torch.Generator().manual_seed(5)).tolist()
    words = {name: name.split("_") for name in names}
    shuffled = {name: names[i].split("_") for name, i in zip(names, other, strict=True)}
    return {
        "": kg,
        "words": kg.with_features({"words": words}),
        "shuffled": kg.with_features({"words": shuffled}),
    }


def mrr(
    kg: Any, encoder: str, combine: str, lr: float, seeds: Sequence[int], split: Split
) -> list[float]:
    """The MRR of a split, of a run trained with each seed."""
    options: dict[str, Any] = {"train.validate_every": STEPS // 6, "train.threads": 1}
    options |= {"encoder.init": 0.1, "encoder.dropout": 0.2}
    if combine:
        options["features.combine"] = combine
    if encoder == "lookup":
        options["train.l2"] = 0.0
    given: dict[str, Any] = {
        "encoder": encoder,
        "steps": STEPS,
        "dim": 64,
        "lr": lr,
        "options": options,
    }
    found = []
    for seed in seeds:
        with TemporaryDirectory() as folder:
            run = dans.train(kg, seed=seed, out=f"{folder}/run", **given)
            found.append(round(run.evaluate(split).both["mrr"], 4))
    return found


def main() -> None:
    """Choose on validation, rank the test triples, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    usual = Path(__file__).parents[1] / "results" / "features.json"
    parser.add_argument("--out", type=Path, default=usual)
    out: Path = parser.parse_args().out
    given, rows = graphs(), []
    for encoder, rates in RATES.items():
        for row, (features, modes) in FEATURES.items():
            kg = given[features]
            tried = {
                (combine, lr): mrr(kg, encoder, combine, lr, (10, 11, 12), "valid")
                for combine in modes
                for lr in rates
            }
            combine, lr = max(tried, key=lambda one: statistics.fmean(tried[one]))
            test = mrr(kg, encoder, combine, lr, range(5), "test")
            valid = [{"combine": c, "lr": x, "values": v} for (c, x), v in tried.items()]
            chosen = {"features": row, "combine": combine, "lr": lr, "valid": valid, "test": test}
            rows.append({"encoder": encoder, **chosen})
            mean, deviation = statistics.fmean(test), statistics.stdev(test)
            print(f"{encoder}, {row}, {combine} {lr}: {mean:.3f} ± {deviation:.3f}", flush=True)
    out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
