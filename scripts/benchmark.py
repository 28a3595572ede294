"""Compare time and memory of this package and of other libraries at the same work.

Each library runs in a process of its own, and they take turns. A ratio of 3 means that the other
library takes three times as long as dans. The other libraries need: pip install 'dans-kg[bench]'.

  python scripts/benchmark.py --only ranking --threads 2 --json scripts/results/benchmark.json
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from dans.cli.command import run_main


def main() -> None:
    """Parse, run, print."""
    import torch

    from dans.cli import parsing as cli
    from dans.data.graph import KnowledgeGraph
    from scripts.benchmarks import (
        encoder,
        growth,
        measure,
        memory_use,
        neighbor_steps,
        objectives,
        ranking_speed,
        samplers,
        steps,
        synthetic,
    )

    load, sizes = KnowledgeGraph.load, list[str]()
    families: dict[str, Callable[[], list[measure.Row]]] = {
        "encoder": lambda: encoder.all_rows(load("fb15k-237"), load("wn18rr")),
        "ranking": lambda: ranking_speed.all_rows(load("fb15k-237"), sample=1024, rounds=2),
        "samplers": lambda: samplers.rows(load("fb15k-237")),
        "step": lambda: [*steps.rows(load("umls")), *steps.rows(load("wn18rr"))],
        "step-by-sampler": lambda: samplers.step_rows(load("wn18rr")),
        "one-against-all": lambda: objectives.one_against_all(load("fb15k-237")),
        "stay-positive": lambda: objectives.stay_positive(load("fb15k-237am"), triples=27_220),
        "neighbors": lambda: [row for size in ("s", "m") for row in neighbor_steps.rows(size)],
        "memory": lambda: memory_use.rows("fb15k-237"),
        "rows": objectives.touched_rows,
        "growth": lambda: growth.rows(sizes),
    }
    parser = cli.parser(__doc__)
    only = "a group of measurements; may be repeated (default: all)"
    parser.add_argument("--only", choices=families, action="append", help=only)
    threads = "number of threads of torch (default: 2)"
    parser.add_argument("--threads", type=cli.whole(1), default=2, help=threads)
    which = "of growth: sizes of the graph; l takes minutes and some gigabytes (default: s m)"
    parser.add_argument(
        "--sizes", choices=synthetic.SIZES, nargs="+", default=["s", "m"], help=which
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="file to write the rows to")
    args = parser.parse_args()
    sizes += args.sizes
    torch.set_num_threads(args.threads)
    rows = [row for family in args.only or families for row in families[family]()]
    for work, group in groupby(rows, lambda row: row.work):
        print(f"\n{work}\n" + "\n".join(measure.lines(list(group))))
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    run_main(main)
