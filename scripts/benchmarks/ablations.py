"""The parts of DANS on UMLS: its pathways, the number of its negatives, and λ.

RQ1 to RQ3 of the paper (Liu et al. 2024, arXiv:2410.07592, Figures 2 and 3), which prints no
numbers. A variation is our preset of DANS under DistMult with one thing changed; all start from the
same pre-trained model of their seed, and take the same steps. What is finished is skipped.

  python scripts/benchmarks/ablations.py --seeds 5
"""

from __future__ import annotations

import json
import statistics
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dans.cli import parsing as cli
from dans.cli.command import run_main

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BASE = "umls-distmult"

#: Phases of one pathway alone.
ENTITY = "phase={entity_pathway={lr=0.0003,batch=250},discriminator={lr=0.001,batch=250}}"
RELATION = ENTITY.replace("entity", "relation")

#: By the panel of the figure and the name of a variation: what it changes.
VARIATIONS: dict[str, dict[str, Sequence[str]]] = {
    "pathways": {
        "entity, no FiLM": ["sampler.0.pathways=entity", "sampler.0.film=none", ENTITY],
        "relation, no FiLM": ["sampler.0.pathways=relation", "sampler.0.film=none", RELATION],
        "both, no FiLM": ["sampler.0.film=none"],
        "both, FiLM": [],
    },
    # A quarter from each pathway and half of them uniform, as in the paper.
    "negatives": {
        str(4 * k): [f"sampler.0.k={k}", f"sampler.1.k={2 * k}"] if k != 5 else []
        for k in (1, 2, 3, 5, 8, 10)
    },
    "film_weight": {
        text: [f"sampler.0.film_weight={text}"] if text != "1e-4" else []
        for text in ("1e-6", "1e-5", "1e-4", "1e-3", "1e-2", "1.0")
    },
}

TITLES = {
    "pathways": "pathways, and FiLM",
    "negatives": "negatives of a triple",
    "film_weight": "λ, the weight of FiLM's penalty",
}

#: Settings without generators, to compare with.
CONTROLS = ("uniform", "self-loop")


def measure(seeds: int) -> dict[str, Any]:
    """Test MRR of each variation, a value for each seed, at the best and the last checkpoint."""
    found: dict[str, Any] = {
        "controls": {name: _values(name, [], seeds) for name in CONTROLS},
        **{
            panel: {name: _values("dans", changes, seeds) for name, changes in row.items()}
            for panel, row in VARIATIONS.items()
        },
    }
    return found


def _values(setting: str, changes: Sequence[str], seeds: int) -> dict[str, list[float]]:
    from baselines.assembly import train
    from dans.config.recipes import find_recipe
    from dans.runs.evaluate_run import evaluate
    from dans.runs.train import configure

    values: dict[str, list[float]] = {"best": [], "last": []}
    recipe = find_recipe(BASE, "dans", setting)
    name = "-".join([setting, *changes]).replace("/", "_")
    for seed in range(seeds):
        where = Path("runs", "ablations", name, f"seed{seed}")
        if not (where / "report.last.json").exists():
            train(configure(recipe, [*changes, f"train.seed={seed}"]), where, resume=True)
            evaluate(where)
            evaluate(where, which="last")
        for which, file in (("best", "report.json"), ("last", "report.last.json")):
            report = json.loads((where / file).read_text())
            values[which].append(round(report["both"]["mrr"], 4))
    return values


def table(found: dict[str, Any]) -> str:
    """Mean ± standard deviation, and a paired test against the paper's choice of each panel."""
    from dans.analysis.tables import paired_test

    lines = ["| | | best | last step | less the preset, last step |", "|---|---|---:|---:|---:|"]
    usual = found["pathways"]["both, FiLM"]
    for panel in ("controls", *VARIATIONS):
        for name, values in found[panel].items():
            cells = [_cell(values[which]) for which in ("best", "last")]
            pairs = zip(values["last"], usual["last"], strict=True)
            test = paired_test([one - other for one, other in pairs])
            cells.append("–" if values == usual else f"{test.mean:+.3f} (p = {test.p:.3f})")
            lines.append(f"| {TITLES.get(panel, panel)} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def draw(found: dict[str, Any], where: Path) -> None:
    """A panel for each group of variations: means and standard deviations after the last step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.2), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, len(VARIATIONS), sharey=True)
    for axes, panel in zip(panels, VARIATIONS, strict=True):
        rows = found[panel]
        means, errors = zip(
            *((statistics.mean(v["last"]), statistics.stdev(v["last"])) for v in rows.values()),
            strict=True,
        )
        axes.errorbar(
            range(len(rows)), means, errors, fmt="o-" if panel != "pathways" else "o", capsize=3
        )
        for name, style in zip(CONTROLS, ("--", ":"), strict=True):
            level = statistics.mean(found["controls"][name]["last"])
            axes.axhline(level, linestyle=style, color="#777777", linewidth=1, label=name)
        labels = [name.replace(", ", ",\n") for name in rows]
        axes.set_xticks(range(len(rows)), labels)
        axes.set_xlabel(TITLES[panel])
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("test MRR, last step")
    panels[0].legend(frameon=False)
    figure.savefig(where, dpi=120)


def main() -> None:
    """Train what is missing, print the table, write the numbers and the figure."""
    parser = cli.parser(__doc__)
    parser.add_argument("--seeds", type=cli.whole(least=2), default=5, help="number of seeds")
    out = "folder of umls-ablations.json and umls-ablations.png"
    parser.add_argument(
        "--out", type=Path, default=cli.RESULTS.parents[1] / "scripts" / "results", help=out
    )
    args: Namespace = parser.parse_args()
    found = measure(args.seeds)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "umls-ablations.json").write_text(json.dumps(found, indent=1) + "\n")
    draw(found, args.out / "umls-ablations.png")
    print(table(found))


if __name__ == "__main__":
    run_main(main)
