"""The log of a search: every configuration tried, with its results on validation."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dans.config.reading import field, read_object
from dans.errors import InputError


def table(path: Path, across: Sequence[str]) -> str:
    """A row for each configuration, a column for each base: the mean of the seeds' best MRR.

    ``path`` holds, by name, ``what`` a configuration is, in words, and ``runs``: by base, the
    ``seeds`` and the ``best`` validation MRR of each. Behind a mean stands the number of seeds if
    there are several.
    """
    log = read_object(path)
    lines = [
        f"| configuration | {' | '.join(across)} | what it is |",
        f"|---|{'---:|' * len(across)}---|",
    ]
    for name, one in log.items():
        where = f"{path}: {name}: "
        runs = field(one, "runs", dict, where)
        unknown = sorted(set(runs) - set(across))
        if unknown:
            raise InputError(f"{where}runs: no column for {', '.join(unknown)}")
        cells = " | ".join(_cell(runs.get(base), f"{where}{base}: ") for base in across)
        lines.append(f"| {name} | {cells} | {field(one, 'what', str, where)} |")
    return "\n".join(lines)


def _cell(run: Mapping[str, Any] | None, where: str) -> str:
    if run is None:
        return ""
    best = [float(value) for value in field(run, "best", list, where)]
    if len(best) != len(field(run, "seeds", list, where)) or not best:
        raise InputError(f"{where}best: expected one value for each seed")
    mean = f"{statistics.fmean(best):.3f}".removeprefix("0")
    return f"{mean} ({len(best)})" if len(best) > 1 else mean
