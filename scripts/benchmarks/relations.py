"""How well runs rank relations, (h, ?, t), by the posterior and by scores, beside two counts.

Trains the default recipe of a data set, or a recipe, and evaluates the relations of test triples.
Runs that are in the folder already are evaluated only.

  python scripts/benchmarks/relations.py umls kinship umls-complex-sce kinship-complex-sce
  python scripts/benchmarks/relations.py fb15k-237-complex-sce --seeds 0 --most 2000
"""

import argparse
import json
from pathlib import Path
from typing import Any

import dans
from dans.evaluation.relation_ranking import RELATION
from dans.interface.planning import is_recipe

ROWS = ("model", "scores", "frequency", "ends")
COLUMNS = ("mrr", "hits@1", "hits@3", "hits@10", "mean_rank")


def measure(what: str, folder: Path, seeds: list[int], most: int) -> dict[str, Any]:
    """The metrics of each row, a number for each seed, of one data set or recipe."""
    given: dict[str, Any] = {"recipe" if is_recipe(what) else "data": what}
    reports = []
    for seed in seeds:
        where = folder / what / f"seed{seed}"
        found = where.exists()
        run = dans.open_run(where) if found else dans.train(**given, seed=seed, out=where)
        reports.append(run.evaluate_relations(most=most))
        print(f"{what}, seed {seed}\n{reports[-1]}", flush=True)
    return {
        "seeds": seeds,
        "relation_queries": reports[0].model["queries"],
        **{
            row: {
                name: [round(getattr(report, row)[RELATION + name], 4) for report in reports]
                for name in COLUMNS
            }
            for row in ROWS
        },
    }


def main() -> None:
    """Measure, and put the numbers into a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="+", help="data sets or recipes")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--most", type=int, default=0, help="triples ranked (default: all)")
    parser.add_argument("--runs", type=Path, default=Path("runs/relations"))
    parser.add_argument("--out", type=Path, default=Path("scripts/results/relations.json"))
    args = parser.parse_args()
    seeds = [int(seed) for seed in args.seeds.split(",")]
    for what in args.what:
        numbers = measure(what, args.runs, seeds, args.most)
        rows = json.loads(args.out.read_text()) if args.out.exists() else {}
        rows[what] = {**rows.get(what, {}), **numbers}
        args.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
