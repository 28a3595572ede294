"""How the time and the memory of a training step grow with the graph: s, m and l of ``synthetic``.

Each setting is measured at each size in a process of its own. Times are medians of the CPU seconds
of a step; memory is the highest of the process while it trains, graph, optimizer and all. The
exponent α says how time grows with the number n of entities: t ~ n^α.
"""

from __future__ import annotations

import gc
import math
import multiprocessing
import resource
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from statistics import median
from typing import Any

import torch

from dans.config.schema import GraphConfig, RunConfig
from dans.runs.build import build_trainer
from scripts.benchmarks.measure import Row
from scripts.benchmarks.synthetic import SIZES, graph

#: Width of an entity's embedding, triples of a batch, and negatives of a triple.
WIDTH, BATCH, NEGATIVES = 64, 1000, 20

#: Steps that are timed, after some that warm up.
STEPS, WARM = 9, 2

LOOKUP = {"encoder": {"name": "lookup", "dim": WIDTH}}
RGCN = {"encoder": {"name": "rgcn", "dim": WIDTH, "layers": 2, "bases": 4, "dropout": 0.2}}
#: Our preset, with the sizes that do not depend on the graph's.
DANS = {
    "sampler": [
        {"name": "dans", "preset": "dans", "k": 5, "candidates": 1000},
        {"name": "uniform", "k": NEGATIVES // 2, "shared_negatives": 256},
    ],
    "phase": {
        "entity_pathway": {"lr": 0.0003, "batch": 250},
        "relation_pathway": {"lr": 0.0003, "batch": 250},
        "discriminator": {"lr": 0.001, "batch": 250},
    },
}
UNIFORM = {"sampler": [{"name": "uniform", "k": NEGATIVES}]}
SOME = {"optimizer": "mean_adagrad", "encode": "some"}
ALL = {"optimizer": "adam", "encode": "all"}

#: By name: the sections of a recipe, and the largest size at which it can be measured.
SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "lookup + DANS": ({**LOOKUP, **DANS, "train": SOME}, "l"),
    "lookup + uniform": ({**LOOKUP, **UNIFORM, "train": SOME}, "l"),
    "lookup + uniform, all entities and adam": ({**LOOKUP, **UNIFORM, "train": ALL}, "m"),
    "rgcn + uniform, full graph": ({**RGCN, **UNIFORM, "train": ALL}, "s"),
    "rgcn + DANS, fan-out 10 x 10": (
        {**RGCN, **DANS, "graph": {"fanout": [10, 10]}, "train": SOME},
        "l",
    ),
}


def rows(sizes: Iterable[str] = ("s", "m")) -> list[Row]:
    """A row for each setting and size; a setting's exponents are part of the name of the work."""
    found = []
    for name, (_, most) in available().items():
        usable = [size for size in sorted(set(sizes), key=order) if order(size) <= order(most)]
        measured = [(size, *measure(name, size)) for size in usable]
        times = [(SIZES[size].entities, seconds) for size, seconds, _ in measured]
        work = f"step of {BATCH}, d={WIDTH}, {NEGATIVES} negatives, CPU time, {name}"
        work += exponents(usable, times)
        found += [
            Row(work, f"{size}: {SIZES[size].entities:,} entities", seconds, peak)
            for size, seconds, peak in measured
        ]
    return found


def order(size: str) -> int:
    """The place of a size among all, the smallest first."""
    return list(SIZES).index(size)


def available() -> dict[str, tuple[dict[str, Any], str]]:
    """The settings whose options there are."""
    options = GraphConfig.__struct_fields__
    return {
        name: setting
        for name, setting in SETTINGS.items()
        if set(setting[0].get("graph", {})) <= set(options)
    }


def exponents(names: list[str], times: list[tuple[int, float]]) -> str:
    """The exponent between each size and the next, in words.

    Example:
        >>> exponents(["s", "m"], [(100, 1.0), (10_000, 10.0)])
        '; α = 0.50 from s to m'
    """
    said = ""
    for i in range(1, len(times)):
        (small, before), (large, after) = times[i - 1], times[i]
        alpha = math.log(after / before) / math.log(large / small)
        said += f"{'; α =' if i == 1 else ','} {alpha:.2f} from {names[i - 1]} to {names[i]}"
    return said


def measure(name: str, size: str) -> tuple[float, int | None]:
    """The CPU seconds of a step and the highest memory, in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        try:
            return pool.submit(steps, name, size, torch.get_num_threads()).result()
        except BrokenProcessPool:  # killed for its memory
            return math.inf, None


def steps(name: str, size: str, threads: int) -> tuple[float, int]:
    """Train some steps; the median of their CPU seconds, and the highest memory meanwhile."""
    torch.set_num_threads(threads)
    trainer = build_trainer(config(name), graph(SIZES[size]), None)
    gc.collect()
    forget_peak()
    taken = []
    for _ in range(WARM + STEPS):
        start = time.process_time()
        trainer.step()
        taken.append(time.process_time() - start)
    return median(taken[WARM:]), peak()


def config(name: str) -> RunConfig:
    """The configuration of a setting."""
    sections = SETTINGS[name][0]
    common = {"data": "synthetic", "decoder": "distmult", "loss": "self_adversarial"}
    return RunConfig.parse({**common, **sections, "train": {"batch": BATCH, **sections["train"]}})


def forget_peak() -> None:
    """Count the highest memory of this process from now on, where the system can (Linux)."""
    counts = Path("/proc/self/clear_refs")
    if counts.exists():
        counts.write_text("5")


def peak() -> int:
    """The highest memory of this process, in bytes: since ``forget_peak``, or of its life."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 2**10
    # Bytes on macOS, where there is no /proc.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
