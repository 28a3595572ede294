"""Time and memory of several programs at the same work."""

from __future__ import annotations

import gc
import math
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection

import psutil  # type: ignore[import-untyped,unused-ignore]
import torch


@dataclass(frozen=True)
class Row:
    """The time and memory of one program at one piece of work."""

    #: what is done
    work: str
    #: by which program; ours is ``dans``
    contender: str
    #: the shortest of several rounds, or what the work says; infinite for a program stopped
    #: because it grew too much
    seconds: float
    #: bytes by which its process grew at most, or in ``growth`` all it held; None: not measured
    peak: int | None = None


def compete(
    work: str,
    contenders: Iterable[str],
    make: Callable[..., Callable[[], object]],
    *arguments: object,
    rounds: int = 3,
    limit: int | None = None,
) -> list[Row]:
    """Time programs at the same work, in turns and each in a process of its own.

    One runs at a time, and they alternate, so that other load on the machine affects all alike.

    Args:
        make: a function of a module; from a name and ``arguments`` it makes the round to be timed.
        rounds: timed rounds, after one that warms up.
        limit: bytes by which a process may grow before it is stopped; half of what is free unless
            given.
    """
    if limit is None:
        limit = psutil.virtual_memory().available // 2
    context = multiprocessing.get_context("spawn")
    calls: dict[str, Connection] = {}
    for name in contenders:
        calls[name], theirs = context.Pipe()
        setting = (theirs, torch.get_num_threads(), limit, make, name, arguments)
        context.Process(target=_serve, args=setting, daemon=True).start()
        theirs.close()
    seconds, grown = dict.fromkeys(calls, math.inf), dict.fromkeys(calls, 0)
    running = list(calls)
    for turn in range(rounds + 1):
        for name in tuple(running):
            calls[name].send("go")
            try:
                taken, grown[name] = calls[name].recv()
            except EOFError:
                seconds[name], grown[name] = math.inf, limit
                running.remove(name)
                continue
            if turn:
                seconds[name] = min(seconds[name], taken)
    for name in running:
        calls[name].close()
    return [Row(work, name, seconds[name], grown[name]) for name in calls]


def _serve(
    calls: Connection,
    threads: int,
    limit: int,
    make: Callable[..., Callable[[], object]],
    name: str,
    arguments: tuple[object, ...],
) -> None:
    """Run a round for every call, in a contender's process."""
    torch.set_num_threads(threads)
    run = make(name, *arguments)
    gc.collect()
    process = psutil.Process()
    before = highest = process.memory_info().rss

    def watch() -> None:
        nonlocal highest
        while True:
            highest = max(highest, process.memory_info().rss)
            if highest - before > limit:
                os._exit(1)
            time.sleep(0.002)

    threading.Thread(target=watch, daemon=True).start()
    while True:
        try:
            calls.recv()
        except EOFError:
            return
        # Not after it: that would take a core from the next contender's round.
        gc.collect()
        start = time.perf_counter()
        run()
        calls.send((time.perf_counter() - start, highest - before))


def lines(rows: list[Row]) -> list[str]:
    """The rows of one piece of work as text, with ratios to the first, which is ours."""
    printed = []
    for row in rows:
        peak = "–" if row.peak is None else f"{row.peak / 2**20:,.0f} MB"
        took = "out of memory" if math.isinf(row.seconds) else f"{row.seconds * 1000:,.1f} ms"
        ratio = "" if math.isinf(row.seconds) else f"{row.seconds / rows[0].seconds:,.1f} x"
        printed.append(f"  {row.contender:<34}{took:>16}{ratio:>12}{peak:>14}")
    return printed
