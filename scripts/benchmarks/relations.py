"""How well runs rank relations, (h, ?, t), by the posterior and by scores, beside two counts.

Trains the default recipe of a data set, or a recipe, and evaluates the relations of test triples,
or of validation triples by several orders, of which the posterior was chosen. A run that is
finished is not trained again. The numbers are added to a file, and the tables of the page are made
from it; without data sets and recipes, the tables alone.

  python scripts/benchmarks/relations.py umls kinship umls-complex-sce kinship-complex-sce
  python scripts/benchmarks/relations.py fb15k-237-complex-sce --seeds 0 --most 2000
  python scripts/benchmarks/relations.py umls kinship --split valid --seeds 10,11,12
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import dans
from dans.analysis.tables import put_between, table
from dans.evaluation.classifier import logits
from dans.evaluation.evaluator import Evaluator
from dans.evaluation.ranking import rank
from dans.evaluation.relation_ranking import RELATION, RelationPosterior, known_relations
from dans.interface.planning import is_recipe

ROOT = Path(__file__).parents[2]
ROWS = ("model", "scores", "frequency", "ends")
COLUMNS = ("mrr", "hits@1", "hits@3", "hits@10", "mean_rank")
#: What is added to counts in the posteriors that are compared.
SMOOTHING = (0.01, 0.03, 0.1, 0.3)
#: What each data set or recipe is called in the tables.
TITLES = {
    "umls": "UMLS, DistMult",
    "umls-complex-sce": "UMLS, ComplEx",
    "umls-distmult": "UMLS, DistMult, logistic",
    "umls-rotate": "UMLS, RotatE, logistic",
    "kinship": "Kinship, DistMult",
    "kinship-complex-sce": "Kinship, ComplEx",
    "fb15k-237-complex-sce": "FB15k-237, ComplEx",
}


def trained(what: str, folder: Path, seed: int) -> dans.Run:
    """The run of one seed, which is trained unless it is finished."""
    given: dict[str, Any] = {"recipe" if is_recipe(what) else "data": what}
    where = folder / Path(what).stem / f"seed{seed}"
    return dans.train(**given, seed=seed, out=where, resume=True)


def measure(what: str, folder: Path, seeds: Sequence[int], most: int) -> dict[str, Any]:
    """The test metrics of each row, a number for each seed, of one data set or recipe."""
    reports = []
    for seed in seeds:
        reports.append(trained(what, folder, seed).evaluate_relations(most=most))
        print(f"{what}, seed {seed}\n{reports[-1]}", flush=True)
    return {
        "seeds": seeds,
        "relation_queries": reports[0].model["queries"],
        **{
            row: {
                name: [round(getattr(report, row)[RELATION + name], 6) for report in reports]
                for name in COLUMNS
            }
            for row in ROWS
        },
    }


def select(what: str, folder: Path, seeds: Sequence[int], most: int) -> dict[str, Any]:
    """The MRR on validation triples by each order, a number for each seed."""
    found = []
    for seed in seeds:
        found.append(orders(trained(what, folder, seed), most))
        print(what, seed, found[-1], flush=True)
    mrr = {name: [round(one[name], 6) for one in found] for name in found[0]}
    return {"selection": {"seeds": seeds, "most": most, "mrr": mrr}}


@torch.no_grad()
def orders(run: dans.Run, most: int = 0) -> dict[str, float]:
    """The MRR of the relations of validation triples, by several orders.

    By the scores of tail queries, their mean with those of head queries, the mean of the logs of
    the two softmaxes, and by the posterior, which is these and counts, with each ``SMOOTHING``.
    """
    kg, decoder, entities = run.kg, run.model.decoder.eval(), run.entities
    triples = Evaluator(kg, "valid", most=most).triples
    heads, relations, tails = triples.unbind(1)
    rows, known = known_relations(kg.known(), heads, tails)

    def mrr(scores: Tensor) -> float:
        return float((1 / rank(scores, relations, (rows, known))).mean())

    every = triples.repeat_interleave(kg.num_relations, 0)
    every[:, 1] = torch.arange(kg.num_relations).repeat(len(triples))
    posterior = RelationPosterior(kg, decoder, entities)
    shares = posterior.shares("tail", heads, tails) + posterior.shares("head", tails, heads)
    of_heads, of_tails = posterior.ends.counts(heads, tails)
    return {
        "scores": mrr(decoder.score_relations(entities[heads], entities[tails])),
        "both": mrr(logits(decoder, entities, every).view(len(triples), -1)),
        "softmaxes": mrr(shares),
        **{f"{a:g}": mrr(shares + (of_heads + a).log() + (of_tails + a).log()) for a in SMOOTHING},
    }


def ranking_table(found: Mapping[str, Any]) -> str:
    """Test metrics, mean ± standard deviation over seeds, a row for an order of a data set.

    The counts of a data set stand below the last of its models.
    """
    shown = [what for what in TITLES if "model" in found.get(what, {})]
    rows = []
    for i, what in enumerate(shown):
        data = TITLES[what].split(",")[0]
        last = not any(TITLES[other].startswith(data) for other in shown[i + 1 :])
        for j, row in enumerate(ROWS if last else ROWS[:2]):
            values = (cell(found[what][row][name], name) for name in COLUMNS)
            title = "**model**" if row == "model" else f"`{row}`"
            rows.append([TITLES[what] if j == 0 else "", title, *values])
    return table(["", "", "MRR", "Hits@1", "Hits@3", "Hits@10", "mean rank"], rows)


def selection_table(found: Mapping[str, Any]) -> str:
    """Validation MRR by each order, mean ± standard deviation over seeds."""
    rows = []
    for what, title in TITLES.items():
        if own := found.get(what, {}).get("selection"):
            seeds = ", ".join(map(str, own["seeds"]))
            rows.append([title, seeds, *(cell(values) for values in own["mrr"].values())])
    of = [f"a = {a:g}" for a in SMOOTHING]
    return table(["", "seeds", "`scores`", "both directions", "softmaxes", *of], rows)


def cell(values: Sequence[float], name: str = "mrr") -> str:
    """Mean ± standard deviation, which is left out where it rounds to 0."""
    digits = 2 if name == "mean_rank" else 3
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    mean = f"{statistics.fmean(values):.{digits}f}"
    return f"{mean} ± {deviation:.{digits}f}" if round(deviation, digits) else mean


def write_page(path: Path, found: Mapping[str, Any]) -> None:
    """Write both tables between their marks."""
    put_between(path, "relation-ranking", ranking_table(found))
    put_between(path, "relation-selection", selection_table(found))


def main() -> None:
    """Measure, put the numbers into a file, and write the tables into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", help="data sets or recipes")
    parser.add_argument("--split", choices=("valid", "test"), default="test")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--most", type=int, default=0, help="triples ranked (default: all)")
    parser.add_argument("--runs", type=Path, default=Path("runs/relations"))
    parser.add_argument("--out", type=Path, default=ROOT / "scripts/results/relations.json")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/pages/predict.md")
    args = parser.parse_args()
    seeds = [int(seed) for seed in args.seeds.split(",")]
    for what in args.what:
        by = measure if args.split == "test" else select
        numbers = by(what, args.runs, seeds, args.most)
        rows = json.loads(args.out.read_text()) if args.out.exists() else {}
        rows[what] = {**rows.get(what, {}), **numbers}
        args.out.write_text(json.dumps(rows, indent=1) + "\n")
    write_page(args.page, json.loads(args.out.read_text()))


if __name__ == "__main__":
    main()
