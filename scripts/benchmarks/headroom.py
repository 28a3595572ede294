"""What negatives could gain at most on a graph, before any sampler is tuned there.

Two bounds, in validation MRR: a softmax over all entities says what harder negatives could give;
an oracle that masks held-out triples too, what it could give to know every false negative. The
oracle leaks by design, and is no method. Each is read beside the same loss over
uniform negatives, with and without the mask of training triples. Test triples are not read. What is
finished is skipped.

python scripts/benchmarks/headroom.py nations
python scripts/benchmarks/headroom.py umls kinship nations fb15k-237 wn18rr --out headroom.json
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dans
from dans.data.graph import SPLITS, KnowledgeGraph

SMALL, LARGE = ("umls", "kinship", "nations"), ("fb15k-237", "wn18rr")
SEEDS = {**dict.fromkeys(SMALL, (10, 11)), **dict.fromkeys(LARGE, (10,))}

#: A quarter of the steps of the recipes of large graphs; of the softmax on WN18RR, which has few,
#: all.
STEPS = {
    ("fb15k-237", "ns"): 1330,
    ("fb15k-237", "sce"): 879,
    ("wn18rr", "ns"): 1275,
    ("wn18rr", "sce"): 2430,
}
SAMPLED: dict[str, Any] = {"loss": {"name": "sampled_softmax"}}
MASKED: dict[str, Any] = {"objective.filter": "mask"}

#: By name: what it is; the loss setting and options on small graphs; those on large graphs; and
#: whether held-out triples are masked as training triples are.
CONFIGURATIONS: dict[str, tuple[str, tuple[str, dict[str, Any]], tuple[str, dict[str, Any]], bool]]
CONFIGURATIONS = {
    "softmax": (
        "softmax over all entities: no negatives are harder",
        ("sce-reciprocal", {}),
        ("sce", {"encoder.dim": 128}),
        False,
    ),
    "sampled": (
        "sampled softmax, uniform negatives",
        ("sampled-softmax", {}),
        ("ns", SAMPLED),
        False,
    ),
    "sampled-masked": (
        "the same, training triples masked",
        ("sampled-softmax-filtered", {}),
        ("ns", {**SAMPLED, **MASKED}),
        False,
    ),
    "sampled-oracle": (
        "the same, held-out triples masked too: no negative is false",
        ("sampled-softmax-filtered", {}),
        ("ns", {**SAMPLED, **MASKED}),
        True,
    ),
    "logistic-masked": (
        "logistic loss, uniform negatives, training triples masked",
        ("logistic-uniform", {}),
        ("ns", MASKED),
        False,
    ),
    "logistic-oracle": (
        "the same, held-out triples masked too",
        ("logistic-uniform", {}),
        ("ns", MASKED),
        True,
    ),
}


def graph(data: str, *, oracle: bool) -> KnowledgeGraph:
    """The graph; for the oracle, one whose samplers take all triples for training triples."""
    kg = KnowledgeGraph.load(data)
    if oracle:
        kg._known["train",] = kg.known(SPLITS)
    return kg


def measured(data: str, name: str, seed: int) -> dict[str, float]:
    """Best and last validation MRR of a run."""
    _, small, large, oracle = CONFIGURATIONS[name]
    setting, options = small if data in SMALL else large
    steps = STEPS.get((data, setting))
    of = "-".join(map(str, [name, *([steps] if steps else [])]))
    where = Path("runs", "headroom", data, of, f"seed{seed}")
    file = where / "measured.json"
    if not file.exists():
        shutil.rmtree(where, ignore_errors=True)
        dans.train(
            graph(data, oracle=oracle),
            recipe=f"{data}-distmult-{setting}",
            seed=seed,
            steps=steps,
            options={**options, **({"train.validate_every": steps} if steps else {})},
            out=where,
        )
        lines = map(json.loads, (where / "metrics.jsonl").read_text().splitlines())
        values = [line["both"]["mrr"] for line in lines if line.get("event") == "valid"]
        found = {"best": round(max(values), 4), "last": round(values[-1], 4)}
        file.write_text(json.dumps(found))
        print(where, found, flush=True)
    read: dict[str, float] = json.loads(file.read_text())
    return read


def summary(graphs: Sequence[str]) -> dict[str, Any]:
    """What each configuration is and, by base, its values by seed."""
    log: dict[str, Any] = {}
    for name, (what, *_) in CONFIGURATIONS.items():
        runs = {}
        for data in graphs:
            found = [measured(data, name, seed) for seed in SEEDS[data]]
            values = {key: [one[key] for one in found] for key in ("best", "last")}
            runs[f"{data}-distmult"] = {"seeds": list(SEEDS[data]), **values}
        log[name] = {"what": what, "runs": runs}
    return log


def main() -> None:
    """Train what is not there yet, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", choices=[*SMALL, *LARGE])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    log = summary(args.data)
    if args.out:
        args.out.write_text(json.dumps(log, indent=1) + "\n")


if __name__ == "__main__":
    main()
