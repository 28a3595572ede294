"""What runs add up to: means over seeds, and differences paired by seed."""

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scipy import stats

from dans.config.reading import field as field_of
from dans.config.reading import parse_json, read_object, read_text
from dans.errors import InputError, shown

#: Metrics that are reported, in this order.
METRICS = ("mrr", "hits@1", "hits@3", "hits@10", "ndcg@5")

#: What is reported of a sampler, and the column it is in.
OFFERED = {
    "seconds_per_step": "s/step",
    "false_negatives": "false negatives",
    "harder": "harder than the triple",
}


@dataclass(frozen=True)
class Results:
    """The test reports of one recipe, by seed.

    Args:
        best: the checkpoint best on validation; seed to metrics of both sides.
        last: the last checkpoint, likewise; empty where it was not evaluated.
        seconds: training time by seed.
        offered: by seed, of the sampler's inspection what is in ``OFFERED``; empty where it was not
            inspected.
        classified: by seed, what was found where lines are labelled true or false, with a dot
            between the parts of a name, as in ``platt.nll``; empty where they are not.
    """

    best: Mapping[int, Mapping[str, float]]
    last: Mapping[int, Mapping[str, float]]
    seconds: Mapping[int, float]
    offered: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    classified: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    def values(self, metric: str, *, last: bool = False) -> list[float]:
        """One metric over the seeds, in the order of the seeds."""
        reports = self.last if last else self.best
        return [reports[seed][metric] for seed in sorted(reports)]

    def numbers(self, metric: str) -> list[float]:
        """One metric of ranking or classification over the seeds that have it."""
        every = [{**self.best[seed], **self.classified.get(seed, {})} for seed in sorted(self.best)]
        return [numbers[metric] for numbers in every if metric in numbers]

    def offers(self, name: str) -> list[float]:
        """One number of the sampler over the seeds that have it, in the order of the seeds."""
        seeds = sorted(self.offered)
        return [self.offered[seed][name] for seed in seeds if name in self.offered[seed]]


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences, and how sure it is.

    Args:
        mean: of the differences; above 0, the first is better.
        error: its standard error; 0 where all differences are equal.
        p: of a two-sided paired t-test; nan with fewer than two pairs.
        low: where the 95 % interval of the mean begins; None without an error.
        high: where it ends.
        count: of pairs.
    """

    mean: float
    error: float
    p: float
    low: float | None
    high: float | None
    count: int


def paired_test(differences: Sequence[float]) -> Difference:
    """Student's t-test of paired differences against 0.

    Args:
        differences: at least one.

    Example:
        >>> found = paired_test([1.0, 0.0, 0.2])
        >>> round(found.mean, 3), round(found.p, 3), round(found.low, 3), round(found.high, 3)
        (0.4, 0.321, -0.914, 1.714)
    """
    mean, deviation = mean_and_deviation(differences)
    error, count = deviation / math.sqrt(len(differences)), len(differences)
    if not error:
        p = math.nan if count < 2 else float(mean == 0)
        return Difference(mean, error, p, None, None, count)
    test = stats.ttest_1samp(differences, 0.0)
    low, high = test.confidence_interval(0.95)
    return Difference(mean, error, float(test.pvalue), float(low), float(high), count)


def collect(root: Path) -> dict[str, Results]:
    """Every evaluated run below ``root/<recipe>/seed<N>``, by recipe.

    Raises:
        InputError: nothing evaluated is there.
    """
    found: dict[str, Results] = {}
    for recipe in sorted(path for path in root.glob("*") if path.is_dir()):
        best, last, seconds, offered, classified = {}, {}, {}, {}, {}
        for folder in sorted(recipe.glob("seed*")):
            if not (folder / "report.json").exists():
                continue
            report = read_object(folder / "report.json")
            seed = field_of(report, "seed", int, f"{folder / 'report.json'}: ")
            best[seed] = _metrics(folder / "report.json")
            if "classification" in report:
                parts = field_of(report, "classification", dict, f"{folder / 'report.json'}: ")
                classified[seed] = dict(_flat(parts))
            seconds[seed] = _seconds(folder / "metrics.jsonl")
            if (folder / "report.last.json").exists():
                last[seed] = _metrics(folder / "report.last.json")
            if (folder / "sampler.json").exists():
                offered[seed] = _offered(folder / "sampler.json")
        if best:
            found[recipe.name] = Results(best, last, seconds, offered, classified)
    if not found:
        raise InputError(
            f"{root}: no evaluated run; train some, then python scripts/evaluate.py RUN_DIR"
        )
    return found


def _metrics(path: Path) -> dict[str, float]:
    """What a report says of both sides."""
    both = field_of(read_object(path), "both", dict, f"{path}: ")
    return {name: field_of(both, name, float, f"{path}: both.") for name in ("mrr", *both)}


def _seconds(path: Path) -> float:
    """How long a run was trained, by the last line of its metrics."""
    lines = read_text(path).splitlines()
    where = f"{path}:{len(lines)}"
    record = parse_json(lines[-1], where) if lines else None
    if not isinstance(record, dict):
        raise InputError(f"{where}: expected an object, got {shown(record)}")
    return field_of(record, "seconds", float, f"{where}: ")


def _flat(nested: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """{"platt": {"nll": 0.6}} to ("platt.nll", 0.6)."""
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif isinstance(value, (int, float)):
            yield f"{before}{name}", float(value)


def _offered(path: Path) -> dict[str, float]:
    """What a table says of a sampler, from its inspection; what is not known is left out."""
    content = read_object(path)
    false = field_of(content, "false_negatives", dict, f"{path}: ")
    content["false_negatives"] = false.get("any")
    return {
        name: field_of(content, name, float, f"{path}: ")
        for name in OFFERED
        if content.get(name, 0) is not None
    }


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
    return paired_test([a[seed][metric] - b[seed][metric] for seed in seeds])


def summarise(results: Mapping[str, Results]) -> dict[str, Any]:
    """Everything a table needs, as plain data to keep beside the recipes."""
    return {
        recipe: {
            "seeds": sorted(result.best),
            "best": {m: _numbers(result.values(m)) for m in METRICS},
            "last": {m: _numbers(result.values(m, last=True)) for m in METRICS if result.last},
            "seconds": round(statistics.fmean(result.seconds.values()), 1),
            **_classified(result),
            **_sampler(result),
        }
        for recipe, result in results.items()
    }


def to_json(plain: Mapping[str, Any]) -> str:
    """Plain data with a line for each recipe: short, and a change shows where it is.

    Example:
        >>> print(to_json({"one": {"seeds": [0]}, "two": {"seeds": [0, 1]}}), end="")
        {
        "one": {"seeds": [0]},
        "two": {"seeds": [0, 1]}
        }
    """
    lines = (f"{json.dumps(recipe)}: {json.dumps(numbers)}" for recipe, numbers in plain.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _classified(result: Results) -> dict[str, Any]:
    """The numbers of classification, under one key; nothing where lines are not labelled."""
    names = sorted({name for numbers in result.classified.values() for name in numbers})
    kept = {name: _numbers(result.numbers(name)) for name in names}
    return {"classified": kept} if kept else {}


def _sampler(result: Results) -> dict[str, Any]:
    """The numbers of the sampler, under one key; nothing where it was not inspected."""
    offers = {name: result.offers(name) for name in OFFERED}
    numbers = {name: _numbers(values, digits=6) for name, values in offers.items() if values}
    return {"sampler": numbers} if numbers else {}


def _numbers(values: Sequence[float], *, digits: int = 4) -> dict[str, Any]:
    mean, deviation = mean_and_deviation(values)
    return {
        "mean": round(mean, digits),
        "std": round(deviation, digits),
        "values": [round(value, digits) for value in values],
    }


def markdown(
    results: Mapping[str, Results],
    *,
    reference: str | None = None,
    expected: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """A table of recipes: metrics of the best model, MRR of the last, difference to a reference.

    Where samplers were inspected, also the seconds of a step, the share of negatives that are
    triples of any split, and the share that scores above the triple they are held against.

    Args:
        results: by recipe.
        reference: the recipe differences are taken to, and the first row; none: no such column.
        expected: by recipe, the ``value`` of a ``metric`` and its ``tolerance``; none: no such
            column.

    Raises:
        InputError: there is no such reference.
    """
    if reference and reference not in results:
        raise InputError(f"--reference {reference}: known: {', '.join(results)}")
    head = ["recipe", "MRR", "MRR, last step", "Hits@1", "NDCG@5", "seeds", "s"]
    offered = [name for name in OFFERED if any(result.offers(name) for result in results.values())]
    head += [OFFERED[name] for name in offered]
    head += [f"MRR − {reference}"] if reference else []
    head += ["expected"] if expected else []
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for recipe in sorted(results, key=lambda recipe: (recipe != reference, recipe)):
        result = results[recipe]
        cells = [
            recipe,
            cell(result.values("mrr")),
            cell(result.values("mrr", last=True)) if result.last else "–",
            cell(result.values("hits@1")),
            cell(result.values("ndcg@5")),
            str(len(result.best)),
            f"{statistics.fmean(result.seconds.values()):.0f}",
            *(_offer(name, result.offers(name)) for name in offered),
        ]
        if reference:
            cells.append(
                "" if recipe == reference else gap(compare(result, results[reference], "mrr"))
            )
        if expected:
            cells.append(_held_to(result, expected.get(recipe)))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def across(
    results: Mapping[str, Results], columns: Sequence[str], *, reference: str, unnamed: str = ""
) -> str:
    """A table with a row for each sampler and a column of MRR for each model it was trained with.

    A recipe is taken for ``<column>-<row>``, of the longest column that fits. Where differences to
    the reference, paired by seed, have p < .05, an arrow says which way. What the sampler offers is
    that of the first column.

    Args:
        results: by recipe.
        columns: beginnings of recipes' names, such as ``umls-distmult``.
        reference: the row to compare with, and the first one.
        unnamed: the row of recipes that are named as their column.

    Raises:
        InputError: a column has no recipe for the row to compare with.
    """
    cells: dict[str, dict[str, Results]] = {column: {} for column in columns}
    for recipe, result in results.items():
        its = [c for c in columns if f"{recipe}-".startswith(f"{c}-")]
        if its:
            column = max(its, key=len)
            cells[column][recipe[len(column) + 1 :] or unnamed] = result
    for column in columns:
        if reference not in cells[column]:
            known = ", ".join(sorted(cells[column])) or "none"
            raise InputError(f"--reference {reference}: not a row of {column}; known: {known}")
    rows = sorted({row for rows in cells.values() for row in rows})
    rows.sort(key=lambda row: row != reference)
    offered = [name for name in OFFERED if any(r.offers(name) for r in cells[columns[0]].values())]
    head = ["sampler", *(f"MRR, {column}" for column in columns), *(OFFERED[o] for o in offered)]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for row in rows:
        line = [row]
        for column in columns:
            one = cells[column].get(row)
            line.append(_compared(one, cells[column][reference]) if one else "–")
        first = cells[columns[0]].get(row)
        line += [_offer(name, first.offers(name)) if first else "–" for name in offered]
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines)


def _compared(ours: Results, theirs: Results) -> str:
    """An MRR, with an arrow where it differs from another by more than chance."""
    text = cell(ours.values("mrr"))
    if not ours.best.keys() & theirs.best.keys():
        return text
    difference = compare(ours, theirs, "mrr")
    if not difference.p < 0.05:
        return text
    return f"{text} {'↑' if difference.mean > 0 else '↓'}"


def _offer(name: str, values: Sequence[float]) -> str:
    """A mean over seeds: seconds with two digits that count, shares in percent."""
    if not values:
        return "–"
    mean = statistics.fmean(values)
    return f"{mean:.2g}" if name == "seconds_per_step" else f"{100 * mean:.1f} %"


def _held_to(result: Results, expected: Mapping[str, Any] | None) -> str:
    """What a recipe expects, and whether it was met; the metric is named where it is not MRR."""
    if expected is None:
        return "–"
    name, value, tolerance = (expected[key] for key in ("metric", "value", "tolerance"))
    wanted = f"{short(value)} ± {short(tolerance)}"
    if name != "mrr":
        wanted = f"{name} {wanted}"
    found = result.numbers(name)
    if not found:
        return f"{wanted}, not evaluated"
    return wanted if abs(statistics.fmean(found) - value) <= tolerance else f"{wanted}, missed"


def cell(values: Sequence[float]) -> str:
    """A mean over seeds, and their deviation where there are several."""
    mean, deviation = mean_and_deviation(values)
    return f"{short(mean)} ± {short(deviation)}" if len(values) > 1 else short(mean)


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


def put_between(path: Path, name: str, content: str) -> None:
    """The same in a file.

    Raises:
        InputError: the file has no such marks, or is no text.
    """
    text = read_text(path)
    try:
        changed = replace_between(text, name, content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    path.write_text(changed, "utf-8")
