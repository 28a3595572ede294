"""Plot how losses weigh errors, and how test triples differ from training triples (theory.png).

The plots: Bregman curves of softmax and negative sampling; the divergence of test from train; and,
from a benchmark, the time that an epoch without negatives saves. The numbers are written to
theory.json. Needs the extra: pip install 'dans-kg[plots]'.

  python scripts/plot_theory.py --out theory
  python scripts/benchmark.py --only stay-positive --json rows.json
  python scripts/plot_theory.py --out theory --data fb15k-237,wn18rr --benchmark rows.json
"""

import json
from pathlib import Path
from typing import Any

from dans.cli.command import run_main


def main() -> None:
    """Parse, count, draw."""
    from dans.cli import parsing as cli
    from dans.config.writing import write_atomically
    from dans.data.graph import KnowledgeGraph
    from scripts.benchmarks import theory
    from scripts.benchmarks.objectives import reductions

    parser = cli.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--data", default="fb15k-237,wn18rr", help="names of data sets (default: fb15k-237,wn18rr)"
    )
    parser.add_argument(
        "--benchmark", type=Path, metavar="FILE", help="file written by benchmark.py --json"
    )
    args = parser.parse_args()
    graphs = [KnowledgeGraph.load(name) for name in args.data.split(",")]
    shifts = {kg.name: theory.divergences(kg) for kg in graphs}
    numbers: dict[str, Any] = {
        "bregman": theory.curves(),
        "divergence": shifts,
        "order": theory.order(shifts),
        "reduction": reductions(args.benchmark) if args.benchmark else {},
    }
    args.out.mkdir(parents=True, exist_ok=True)
    write_atomically(args.out / "theory.json", f"{json.dumps(numbers, indent=1)}\n".encode())
    drawn, saved = numbers["bregman"], numbers["reduction"]
    print(theory.theory_picture(args.out / "theory.png", drawn, shifts, saved))
    for estimator, found in numbers["order"].items():
        names = " < ".join(found["order"] or ["no order"])
        print(f"{estimator}: {names}, {found['ratio'][0]:.2f} to {found['ratio'][1]:.2f} apart")


if __name__ == "__main__":
    run_main(main)
