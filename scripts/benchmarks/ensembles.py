"""Several runs as one predictor, against a single run: seeds of one model, and two decoders.

Trains five groups of three seeds of each model under softmax over all entities, and ranks by each
way of joining the members of a group. A mix joins one member of each of two models. The way of
joining and the best member are chosen on validation. What is finished is skipped.

python scripts/benchmarks/ensembles.py umls kinship --out scripts/results/ensembles.json
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from baselines import assembly
from dans.analysis.tables import paired_test
from dans.config.recipes import find_recipe
from dans.data.graph import Split
from dans.predict.ensemble import Ensemble, Join
from dans.predict.predictor import Predictor
from dans.runs.evaluate_run import evaluate
from dans.runs.train import configure

#: By name, the base and the loss setting of a model, and how many seeds of a group it needs.
MODELS = {
    "ComplEx": ("complex", "sce", 3),
    "DistMult": ("distmult", "sce", 3),
    "DistMult, reciprocal": ("distmult", "sce-reciprocal", 1),
}
#: What is joined: of a model, the numbers of its members in a group.
ENSEMBLES: dict[str, dict[str, Sequence[int]]] = {
    "3 ComplEx": {"ComplEx": (0, 1, 2)},
    "3 DistMult": {"DistMult": (0, 1, 2)},
    "2 ComplEx": {"ComplEx": (0, 1)},
    "ComplEx + DistMult": {"ComplEx": (0,), "DistMult": (0,)},
    "ComplEx + DistMult, reciprocal": {"ComplEx": (0,), "DistMult, reciprocal": (0,)},
}
GROUPS = 5
PARTS: tuple[Split, ...] = get_args(Split)[1:]


def place(data: str, model: str, seed: int) -> Path:
    """The folder of a run."""
    base, setting, _ = MODELS[model]
    return Path("runs", "ensembles", f"{data}-{base}-{setting}", f"seed{seed}")


def train(data: str, group: int) -> None:
    """Train the members of a group; its seeds are 100 g, 100 g + 1, 100 g + 2."""
    for model, (base, setting, size) in MODELS.items():
        recipe = find_recipe(f"{data}-{base}", "baselines", setting)
        for seed in range(100 * group, 100 * group + size):
            where = place(data, model, seed)
            if not (where / "trained").exists():
                config = configure(recipe, [f"train.seed={seed}"])
                assembly.train(config, where, resume=True)
                (where / "trained").touch()
                print(where, flush=True)


def measure(data: str, name: str, group: int) -> dict[str, dict[str, Any]]:
    """The MRR of the members of an ensemble, and by each way of joining them, on each split."""
    folders = [
        place(data, model, 100 * group + i) for model, ids in ENSEMBLES[name].items() for i in ids
    ]
    members = [Predictor.load(folder) for folder in folders]
    found: dict[str, dict[str, Any]] = {}
    for split in PARTS:
        found[split] = {"members": [evaluate(one, split=split).both["mrr"] for one in folders]}
        for join in get_args(Join):
            found[split][join] = Ensemble(members, join=join).evaluate(split).both["mrr"]
    return found


def summary(groups: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Values by group; of each way of joining, its gain on a member, tested over the groups.

    ``mean of members`` of a group is what a gain is over where the members are of one model;
    ``best member`` is the one with the highest validation MRR in that group.
    """
    values: dict[str, Any] = {"members": {}, "mean of members": {}, "best member": {}}
    best = [
        max(range(len(g["valid"]["members"])), key=g["valid"]["members"].__getitem__)
        for g in groups
    ]
    for split in PARTS:
        members = [group[split]["members"] for group in groups]
        values["members"][split] = members
        values["mean of members"][split] = [statistics.fmean(some) for some in members]
        values["best member"][split] = [some[i] for some, i in zip(members, best, strict=True)]
        for join in get_args(Join):
            values.setdefault(join, {})[split] = [group[split][join] for group in groups]
    gains: dict[str, Any] = {}
    for other in ("mean of members", "best member"):
        for join in get_args(Join):
            pairs = zip(values[join]["test"], values[other]["test"], strict=True)
            test = paired_test([one - two for one, two in pairs])
            gains.setdefault(join, {})[other] = {"mean": test.mean, "p": test.p}
    return {"values": values, "gain on test": gains}


def table(found: Mapping[str, Any]) -> str:
    """Test MRR, mean ± standard deviation over the groups; in brackets the mean on validation."""
    kinds = ("mean of members", "best member", *get_args(Join))
    lines = [f"| | | {' | '.join(kinds)} |", f"|---|---|{'---:|' * len(kinds)}"]
    for data, ensembles in found.items():
        for name, one in ensembles.items():
            cells = []
            for kind in kinds:
                valid, test = (one["values"][kind][split] for split in ("valid", "test"))
                deviation = f"{statistics.fmean(test):.3f} ± {statistics.stdev(test):.3f}"
                cells.append(f"{deviation} ({statistics.fmean(valid):.3f})")
            lines.append(f"| {data} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, measure, write the numbers and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", choices=["umls", "kinship"])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    for data in args.data:
        for group in range(GROUPS):
            train(data, group)
    found = {
        data: {
            name: summary([measure(data, name, group) for group in range(GROUPS)])
            for name in ENSEMBLES
        }
        for data in args.data
    }
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
