"""What runs add up to: means over seeds, and differences paired by seed."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from dans.errors import InputError

#: Metrics that are reported, in this order.
METRICS = ("mrr", "hits@1", "hits@3", "hits@10", "ndcg@5")


@dataclass(frozen=True)
class Results:
    """The test reports of one recipe, by seed.

    Args:
        best: the checkpoint best on validation; seed to metrics of both sides.
        last: the last checkpoint, likewise; empty where it was not judged.
        seconds: training time by seed.
    """

    best: Mapping[int, Mapping[str, float]]
    last: Mapping[int, Mapping[str, float]]
    seconds: Mapping[int, float]

    def values(self, metric: str, *, last: bool = False) -> list[float]:
        """One metric over the seeds, in the order of the seeds."""
        reports = self.last if last else self.best
        return [reports[seed][metric] for seed in sorted(reports)]


@dataclass(frozen=True)
class Difference:
    """One recipe minus another, seed by seed.

    Args:
        mean: of the differences.
        error: its standard error.
        p: of a two-sided paired t-test; nan with fewer than two seeds.
        seeds: that both have.
    """

    mean: float
    error: float
    p: float
    seeds: int


def collect(root: Path) -> dict[str, Results]:
    """Every judged run below ``root/<recipe>/seed<N>``, by recipe.

    Raises:
        InputError: nothing judged is there.
    """
    found: dict[str, Results] = {}
    for recipe in sorted(path for path in root.glob("*") if path.is_dir()):
        best, last, seconds = {}, {}, {}
        for folder in sorted(recipe.glob("seed*")):
            if not (folder / "report.json").exists():
                continue
            report = json.loads((folder / "report.json").read_text("utf-8"))
            seed = int(report["seed"])
            best[seed] = report["both"]
            last_line = (folder / "metrics.jsonl").read_text("utf-8").splitlines()[-1]
            seconds[seed] = json.loads(last_line)["seconds"]
            if (folder / "report.last.json").exists():
                last[seed] = json.loads((folder / "report.last.json").read_text("utf-8"))["both"]
        if best:
            found[recipe.name] = Results(best, last, seconds)
    if not found:
        raise InputError(
            f"{root}: no judged run; train some, then python scripts/evaluate.py RUN_DIR"
        )
    return found


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation; 0 for a single value.

    Example:
        >>> mean_and_deviation([1.0, 2.0, 3.0])
        (2.0, 1.0)
    """
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def compare(ours: Results, theirs: Results, metric: str, *, last: bool = False) -> Difference:
    """A paired difference over the seeds both have.

    Raises:
        InputError: they share no seed.
    """
    a, b = (side.last if last else side.best for side in (ours, theirs))
    seeds = sorted(a.keys() & b.keys())
    if not seeds:
        raise InputError("no seed in common; train and judge both with the same seeds")
    gaps = [a[seed][metric] - b[seed][metric] for seed in seeds]
    mean, deviation = mean_and_deviation(gaps)
    p = math.nan
    if len(gaps) > 1:
        p = 1.0 if deviation == 0 and mean == 0 else float(stats.ttest_1samp(gaps, 0.0).pvalue)
    return Difference(mean, deviation / math.sqrt(len(gaps)), p, len(seeds))


def summarise(results: Mapping[str, Results]) -> dict[str, Any]:
    """Everything a table needs, as plain data to keep beside the recipes."""
    return {
        recipe: {
            "seeds": sorted(result.best),
            "best": {m: _numbers(result.values(m)) for m in METRICS},
            "last": {m: _numbers(result.values(m, last=True)) for m in METRICS if result.last},
            "seconds": round(statistics.fmean(result.seconds.values()), 1),
        }
        for recipe, result in results.items()
    }


def _numbers(values: Sequence[float]) -> dict[str, Any]:
    mean, deviation = mean_and_deviation(values)
    return {
        "mean": round(mean, 4),
        "std": round(deviation, 4),
        "values": [round(value, 4) for value in values],
    }


def markdown(
    results: Mapping[str, Results],
    *,
    reference: str | None = None,
    expected: Mapping[str, Mapping[str, float]] | None = None,
) -> str:
    """A table of recipes: metrics of the best model, MRR of the last, difference to a reference.

    Args:
        results: by recipe.
        reference: the recipe differences are taken to, and the first row; none: no such column.
        expected: by recipe, the ``value`` of the MRR and its ``tolerance``; none: no such column.
    """
    head = ["recipe", "MRR", "MRR, last step", "Hits@1", "NDCG@5", "seeds", "s"]
    head += [f"MRR − {reference}"] if reference else []
    head += ["expected"] if expected else []
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for recipe in sorted(results, key=lambda recipe: (recipe != reference, recipe)):
        result = results[recipe]
        cells = [
            recipe,
            _cell(result.values("mrr")),
            _cell(result.values("mrr", last=True)) if result.last else "–",
            _cell(result.values("hits@1")),
            _cell(result.values("ndcg@5")),
            str(len(result.best)),
            f"{statistics.fmean(result.seconds.values()):.0f}",
        ]
        if reference:
            cells.append(
                "" if recipe == reference else gap(compare(result, results[reference], "mrr"))
            )
        if expected:
            cells.append(_held_to(statistics.fmean(result.values("mrr")), expected.get(recipe)))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _held_to(value: float, expected: Mapping[str, float] | None) -> str:
    """What a recipe expects, and whether it was met."""
    if expected is None:
        return "–"
    met = abs(value - expected["value"]) <= expected["tolerance"]
    wanted = f"{short(expected['value'])} ± {short(expected['tolerance'])}"
    return wanted if met else f"{wanted}, missed"


def _cell(values: Sequence[float]) -> str:
    mean, deviation = mean_and_deviation(values)
    return f"{short(mean)} ± {short(deviation)}"


def short(value: float) -> str:
    """Three decimals, without a leading zero.

    Example:
        >>> short(0.7424), short(-0.02), short(1.0)
        ('.742', '−.020', '1.000')
    """
    text = f"{abs(value):.3f}"
    return ("−" if value < 0 else "") + (text[1:] if text.startswith("0.") else text)


def gap(difference: Difference) -> str:
    """A paired difference in one cell."""
    sign = "+" if difference.mean >= 0 else ""
    if math.isnan(difference.p):
        return f"{sign}{short(difference.mean)}"
    p = "p < .001" if difference.p < 0.001 else f"p = {short(difference.p)}"
    return f"{sign}{short(difference.mean)} ± {short(difference.error)} ({p})"


def replace_between(text: str, name: str, content: str) -> str:
    """Put content between the marks of a name in a Markdown text.

    Raises:
        InputError: the text has no such marks.

    Example:
        >>> print(replace_between("<!-- a -->old<!-- /a -->", "a", "new"))
        <!-- a -->
        new
        <!-- /a -->
    """
    opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
    if opening not in text or closing not in text:
        raise InputError(f"expected the marks {opening} and {closing} in the file")
    before, rest = text.split(opening, 1)
    after = rest.split(closing, 1)[1]
    return f"{before}{opening}\n{content}\n{closing}{after}"
