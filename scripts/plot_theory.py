"""Draw loss families and the shift from train to test: theory.png, with numbers in theory.json.

Bregman curves of softmax and negative sampling; the divergence of test from train; and, from the
rows of a benchmark, the time of an epoch saved by drawing no negatives. Needs the extra: pip
install 'dans[plots]'.

  python scripts/plot_theory.py --out theory
  python scripts/benchmark.py --only stay-positive --json rows.json
  python scripts/plot_theory.py --out theory --data fb15k-237,wn18rr --benchmark rows.json
"""

import json
from pathlib import Path

from dans.analysis import theory
from dans.analysis.plots import theory_picture
from dans.cli import parsing as cli
from dans.data.graph import KnowledgeGraph
from dans.training.files import write_atomically
from scripts.benchmarks.objectives import reductions


def main() -> None:
    """Parse, count, draw."""
    parser = cli.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to draw")
    parser.add_argument(
        "--data", default="fb15k-237,wn18rr", help="data sets (default: fb15k-237,wn18rr)"
    )
    parser.add_argument(
        "--benchmark", type=Path, metavar="FILE", help="rows of benchmark.py --json"
    )
    args = parser.parse_args()
    graphs = [KnowledgeGraph.load(name) for name in args.data.split(",")]
    shifts = {kg.name: theory.divergences(kg) for kg in graphs}
    numbers = {
        "bregman": theory.curves(),
        "divergence": shifts,
        "order": theory.order(shifts),
        "reduction": reductions(args.benchmark) if args.benchmark else {},
    }
    args.out.mkdir(parents=True, exist_ok=True)
    write_atomically(args.out / "theory.json", f"{json.dumps(numbers, indent=1)}\n".encode())
    drawn, saved = numbers["bregman"], numbers["reduction"]
    print(theory_picture(args.out / "theory.png", drawn, shifts, saved))
    for estimator, found in numbers["order"].items():
        names = " < ".join(found["order"] or ["no order"])
        print(f"{estimator}: {names}, {found['ratio'][0]:.2f} to {found['ratio'][1]:.2f} apart")


if __name__ == "__main__":
    cli.run_main(main)
