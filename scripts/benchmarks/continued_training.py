"""Graphs that grew: training that continues on more triples, against training from scratch.

A share of the entities is held back with all their triples, or a share of the training triples. A
model is trained on the rest; then the graph has all, and training continues for some steps, or
starts from scratch for as many steps, or for all steps of the recipe. The number of steps is chosen
on --tune, which reads no test triple. What is finished is skipped.

python scripts/benchmarks/continued_training.py umls kinship --tune
python scripts/benchmarks/continued_training.py umls kinship --out continued-training.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

import dans
from dans.data.graph import SPLITS, KnowledgeGraph

#: What is held back.
Held = Literal["entities", "triples"]
HELD: tuple[Held, ...] = ("entities", "triples")
SHARE = 0.2

#: A base and a loss setting: an RGCN with ComplEx, softmax over all entities, 300 steps.
RECIPE = "{}-complex-sce-rgcn"
#: Steps that are tried; chosen are the fewest that are at most ``CLOSE`` below all on validation.
STEPS = (25, 50, 100)
CLOSE = 0.005
TUNING, SEEDS = (10, 11, 12), (0, 1, 2, 3, 4)


def before(kg: KnowledgeGraph, held: Held, seed: int) -> KnowledgeGraph:
    """The graph without what is held back, which is drawn by the seed."""
    draw = torch.Generator().manual_seed(seed)
    parts = {split: kg.split(split) for split in SPLITS}
    if held == "entities":
        away = torch.zeros(kg.num_entities, dtype=torch.bool)
        order = torch.randperm(kg.num_entities, generator=draw)
        away[order[: round(SHARE * kg.num_entities)]] = True
        parts = {name: part[~away[part[:, [0, 2]]].any(1)] for name, part in parts.items()}
    else:
        order = torch.randperm(len(kg.train), generator=draw)
        parts["train"] = kg.train[order[round(SHARE * len(kg.train)) :].sort().values]
    named = {
        name: [(kg.entities[h], kg.relations[r], kg.entities[t]) for h, r, t in part.tolist()]
        for name, part in parts.items()
    }
    return KnowledgeGraph.of(*named.values(), name=f"{kg.name} without {SHARE:.0%} of its {held}")


def trained(where: Path, kg: KnowledgeGraph, *, test: bool, **given: Any) -> dict[str, float]:
    """MRR of a run, and the CPU seconds of its training, on one thread."""
    file = where / "measured.json"
    if not file.exists():
        shutil.rmtree(where, ignore_errors=True)
        start = time.process_time()
        run = dans.train(kg, out=where, **given)
        found = {"seconds": time.process_time() - start}
        for split in ("valid", "test") if test else ("valid",):
            found[split] = run.evaluate(split).both["mrr"]
        file.write_text(json.dumps(found))
        print(where, found, flush=True)
    measured: dict[str, float] = json.loads(file.read_text())
    return measured


def measure(
    data: str, seed: int, steps: Sequence[int], *, held: Sequence[Held], tune: bool
) -> dict[str, dict[str, float]]:
    """Runs of one seed by name: from scratch, and continued after the graph grew."""
    root = Path("runs", "grown", data, f"seed{seed}")
    kg = KnowledgeGraph.load(data)
    given: dict[str, Any] = {"recipe": RECIPE.format(data), "seed": seed, "test": not tune}
    found = {"from scratch, all steps": trained(root / "all", kg, **given)}
    for k in () if tune else steps:
        name = f"from scratch, {k} steps"
        found[name] = trained(root / f"scratch-{k}", kg, steps=k, **given)
    for what in held:
        old = root / what
        trained(old, before(kg, what, seed), **{**given, "test": False})
        for k in steps:
            where = root / f"{what}-{k}"
            found[f"{what}, continued for {k} steps"] = trained(
                where, kg, steps=k, init_from=old, **given
            )
    return found


def summary(runs: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Values by seed, of each kind of run."""
    return {
        name: {key: [round(run[name][key], 4) for run in runs] for key in numbers}
        for name, numbers in runs[0].items()
    }


def chosen(found: Mapping[str, Mapping[str, Sequence[float]]], what: Held) -> int:
    """The fewest steps whose mean MRR is close to that of all steps; the most if none are."""
    whole = statistics.fmean(found["from scratch, all steps"]["valid"])
    for k in STEPS:
        mean = statistics.fmean(found[f"{what}, continued for {k} steps"]["valid"])
        if mean >= whole - CLOSE:
            return k
    return STEPS[-1]


def table(found: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Mean ± standard deviation of MRR and seconds, a row for each kind of run."""
    lines = []
    for name, numbers in found.items():
        cells = (
            f"{key} {statistics.fmean(some):.4f} ± {statistics.stdev(some):.4f}"
            for key, some in numbers.items()
        )
        lines.append(f"{name}: {', '.join(cells)}")
    return "\n".join(lines)


def main() -> None:
    """Tune, then train with the steps that were chosen, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--held", nargs="+", choices=HELD, default=list(HELD))
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    whole: dict[str, Any] = {}
    for data in args.data:
        runs = [measure(data, seed, STEPS, held=args.held, tune=True) for seed in TUNING]
        tuned = summary(runs)
        print(f"{data}, seeds {TUNING}, valid\n{table(tuned)}", flush=True)
        steps = {what: chosen(tuned, what) for what in args.held}
        whole[data] = {"tuning": {"seeds": TUNING, "chosen": steps, "values": tuned}}
        if args.tune:
            continue
        parts = []
        for seed in SEEDS:
            found: dict[str, dict[str, float]] = {}
            for what, k in steps.items():
                found |= measure(data, seed, (k,), held=(what,), tune=False)
            parts.append(found)
        whole[data]["test"] = {"seeds": SEEDS, "values": summary(parts)}
        print(f"{data}, seeds {SEEDS}\n{table(whole[data]['test']['values'])}", flush=True)
        if args.out:
            args.out.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
