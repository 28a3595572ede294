"""Tables of results: means over seeds, differences paired by seed, and the papers' numbers."""

import json
import logging
import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dans.config.reading import convert, flat_numbers, parse_json, read_object, read_text
from dans.config.reading import field as field_of
from dans.config.writing import write_atomically
from dans.errors import InputError, finite, shown

if TYPE_CHECKING:
    from dans.training.checkpoint_store import Which

log = logging.getLogger(__name__)

#: Metrics that are reported, in this order.
METRICS = ("mrr", "hits@1", "hits@3", "hits@10", "ndcg@5")

#: Statistics of a sampler that are reported, and the titles of their columns.
STATISTICS = {
    "seconds_per_step": "s/step",
    "false_negatives": "false negatives",
    "harder": "harder than the triple",
}


#: Standard errors below this share of the mean are of rounding.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Results:
    """The test reports of one recipe, by seed.

    Args:
        best: metrics of both sides, of the checkpoint best on validation.
        last: likewise of the last checkpoint, which may be the best one; empty where it was not
            evaluated.
        seconds: training time.
        sampler: its ``STATISTICS``; empty where it was not inspected.
        classified: metrics of classification, with a dot between the parts of a name, as in
            ``platt.nll``; empty without labelled lines.
    """

    best: Mapping[int, Mapping[str, float]]
    last: Mapping[int, Mapping[str, float]]
    seconds: Mapping[int, float]
    #: the step of the checkpoint best on validation
    best_step: Mapping[int, int] = field(default_factory=dict)
    sampler: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    classified: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    #: the commit of the code, or of the record; empty where it is not known
    commit: str = ""
    #: other commits that gave the same runs to the bit
    equals: frozenset[str] = frozenset()

    def comparable(self, other: "Results") -> bool:
        """Are both of one commit, or of two that give the same runs?"""
        return self.commit == other.commit or other.commit in self.equals

    def values(self, metric: str, *, last: bool = False) -> list[float]:
        """One metric over the seeds, in the order of the seeds."""
        reports = self.reports(last=last)
        return [reports[seed][metric] for seed in sorted(reports)]

    def reports(self, *, last: bool = False) -> Mapping[int, Mapping[str, float]]:
        """The metrics by seed, of the best checkpoints or of the last."""
        return self.last if last else self.best

    @property
    def at_step_0(self) -> str:
        """How many of the seeds whose best step is known are best before their first step."""
        steps = list(self.best_step.values())
        return f"{sum(step == 0 for step in steps)} of {len(steps)}" if steps else ""

    def numbers(self, metric: str) -> list[float]:
        """One metric of ranking or classification over the seeds that have it."""
        every = [{**self.best[seed], **self.classified.get(seed, {})} for seed in sorted(self.best)]
        return [numbers[metric] for numbers in every if metric in numbers]

    def statistics(self, name: str) -> list[float]:
        """One statistic of the sampler over the seeds that have it, in the order of the seeds."""
        seeds = sorted(self.sampler)
        return [self.sampler[seed][name] for seed in seeds if name in self.sampler[seed]]


@dataclass(frozen=True)
class Difference:
    """The mean of ``count`` paired differences, above 0 where the first is better.

    ``error`` is its standard error. ``p``, of a two-sided paired t-test, is nan with fewer than two
    pairs; ``low`` and ``high``, the 95 % interval of the mean, are None where all differences are
    equal.
    """

    mean: float
    error: float
    p: float
    low: float | None
    high: float | None
    count: int


def paired_test(differences: Sequence[float]) -> Difference:
    """Student's t-test of paired differences, at least one, against 0."""
    mean, deviation = mean_and_deviation(differences)
    error, count = deviation / math.sqrt(len(differences)), len(differences)
    # Equal differences of decimal fractions differ by their rounding.
    if error <= ROUNDING * abs(mean):
        error = 0.0
        # Equal differences have no spread to test them by, but for none at all.
        p = 1.0 if count > 1 and mean == 0 else math.nan
        return Difference(mean, error, p, None, None, count)
    # Half a second to import, and few commands test anything.
    from scipy import stats

    test = stats.ttest_1samp(differences, 0.0)
    low, high = test.confidence_interval(0.95)
    return Difference(mean, error, float(test.pvalue), float(low), float(high), count)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values: of the i-th smallest of m, the largest (m − j + 1)·p_j for j ≤ i.

    A comparison with an adjusted value below α survives: the chance that any comparison without
    effect survives is at most α. Where p is nan there was no test, and its adjusted value is 1.
    Source: Holm 1979, Scandinavian Journal of Statistics 6.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted, largest = [1.0] * len(p), 0.0
    tested = sorted((i for i in range(len(p)) if not math.isnan(p[i])), key=p.__getitem__)
    for rank, i in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p[i]))
        adjusted[i] = largest
    return adjusted


def collect(root: Path) -> dict[str, Results]:
    """Every evaluated run below ``root/<recipe>/seed<N>``, by recipe; or what ``to_json`` wrote.

    Raises:
        InputError: nothing evaluated is there, or two runs of a recipe have the same seed.
    """
    if root.suffix == ".json":
        return {name: _recorded(name, numbers, root) for name, numbers in read_object(root).items()}
    folders = sorted(path for path in root.glob("*") if path.is_dir())
    found = {folder.name: of_seeds for folder in folders if (of_seeds := _of_seeds(folder)).best}
    if not found:
        do = "train some, then dans evaluate RUN_DIR"
        raise InputError(f"{root}: no evaluated run; {do}")
    return found


def _of_seeds(recipe: Path) -> Results:
    """The evaluated runs ``seed<N>`` in the folder of a recipe; ``best`` is empty if none is."""
    best, last, seconds, steps, sampler, classified = {}, {}, {}, {}, {}, {}
    places: dict[int, Path] = {}
    for folder in sorted(recipe.glob("seed*")):
        path = folder / "report.json"
        if not path.exists():
            continue
        report = read_object(path)
        if not _current(report, path, "best"):
            continue
        seed = field_of(report, "seed", int, f"{path}: ")
        if (other := places.setdefault(seed, folder)) != folder:
            once = "a table has each seed once: train one by another --seed, or move it away"
            raise InputError(f"{folder}: has seed {seed}, as {other} has; {once}")
        best[seed] = _metrics(report, path)
        if "step" in report:
            steps[seed] = field_of(report, "step", int, f"{path}: ")
        if "classification" in report:
            parts = field_of(report, "classification", dict, f"{path}: ")
            classified[seed] = flat_numbers(parts)
        seconds[seed] = _seconds(folder / "metrics.jsonl")
        if seed in steps and steps[seed] == _last_step(folder):
            last[seed] = best[seed]
        if (path := folder / "report.last.json").exists():
            report = read_object(path)
            if _current(report, path, "last"):
                last[seed] = _metrics(report, path)
        if (path := folder / "sampler.json").exists():
            content = read_object(path)
            if _current(content, path, content.get("model", "last")):
                sampler[seed] = _statistics(content, path)
    return Results(best, last, seconds, steps, sampler, classified)


def _last_step(folder: Path) -> int | None:
    """The step of the last checkpoint of a run, if it is there."""
    from dans.training.run_folder import RunFolder

    return RunFolder(folder).step("last")


def _current(measured: Mapping[str, Any], path: Path, which: "Which") -> bool:
    """Is it of the checkpoint that is there now? If not, it is left out, with a warning."""
    # What only reads records does without torch.
    from dans.training.run_folder import RunFolder

    if RunFolder(path.parent).is_of(measured, which):
        return True
    command = "inspect" if path.name == "sampler.json" else "evaluate"
    words = ["dans", command, str(path.parent), *["--model", "last"] * (".last." in path.name)]
    sentence = "left out: the run was trained further; make it anew with:"
    log.warning("%s: %s %s", path, sentence, shlex.join(words))
    return False


def _recorded(name: str, numbers: Any, path: Path) -> Results:
    """The numbers of a recipe, as ``summarise`` gives them."""
    where = f"{path}: {name}: "
    if not isinstance(numbers, dict):
        raise InputError(f"{where}expected an object, got {shown(numbers)}")
    seeds = convert(numbers.get("seeds"), list[int], where, "seeds")

    def by_seed(part: str) -> dict[int, dict[str, float]]:
        every = {
            key: _finite_values(one, f"{where}{part}.{key}: ")
            for key, one in numbers.get(part, {}).items()
        }
        # A statistic or a classification may be known of some seeds alone, and then not of which.
        if part in ("best", "last"):
            for key, values in every.items():
                if len(values) != len(seeds):
                    found = f"expected one value for each of {len(seeds)} seeds"
                    raise InputError(f"{where}{part}.{key}: {found}, got {len(values)}")
        whole = {key: values for key, values in every.items() if len(values) == len(seeds)}
        rows = ({key: values[i] for key, values in whole.items()} for i in range(len(seeds)))
        return dict(zip(seeds, rows, strict=True)) if whole else {}

    steps = convert(numbers.get("best_step", []), list[int], where, "best_step")
    if steps and len(steps) != len(seeds):
        raise InputError(f"{where}best_step: expected one for each of {len(seeds)} seeds")
    return Results(
        best=by_seed("best"),
        last=by_seed("last"),
        seconds=dict.fromkeys(seeds, field_of(numbers, "seconds", float, where)),
        best_step=dict(zip(seeds, steps, strict=bool(steps))),
        sampler=by_seed("sampler"),
        classified=by_seed("classified"),
        commit=field_of({"commit": "", **numbers}, "commit", str, where),
    )


def _finite_values(one: Any, where: str) -> list[float]:
    """The values by seed of one metric."""
    values = convert(field_of(one, "values", list, where), list[float], where, "values")
    for i, value in enumerate(values):
        finite(f"{where}values.{i}", value)
    return values


def _metrics(report: Mapping[str, Any], path: Path) -> dict[str, float]:
    """The metrics of a report over both sides."""
    both, protocol = field_of(report, "both", dict, f"{path}: "), report.get("protocol")
    if isinstance(protocol, dict) and not protocol.keys().isdisjoint(("candidates", "triples")):
        raise InputError(f"{path}: ranks some triples or among some entities; a table has all")
    return {name: field_of(both, name, float, f"{path}: both.") for name in ("mrr", *both)}


def _seconds(path: Path) -> float:
    """Training time of a run, from the last line of its metrics."""
    lines = read_text(path).splitlines()
    where = f"{path}:{len(lines)}"
    record = parse_json(lines[-1], where) if lines else None
    if not isinstance(record, dict):
        raise InputError(f"{where}: expected an object, got {shown(record)}")
    return field_of(record, "seconds", float, f"{where}: ")


def _statistics(content: dict[str, Any], path: Path) -> dict[str, float]:
    """The ``STATISTICS`` of a sampler from its ``sampler.json``, those that are null left out."""
    false = field_of(content, "false_negatives", dict, f"{path}: ")
    content["false_negatives"] = false.get("any")
    return {
        name: field_of(content, name, float, f"{path}: ")
        for name in STATISTICS
        if content.get(name, 0) is not None
    }


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation; 0 for a single value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def compare(ours: Results, theirs: Results, metric: str, *, last: bool = False) -> Difference:
    """The paired difference of a metric over the seeds that both recipes have.

    Raises:
        InputError: they share no seed.
    """
    one, other = ours.reports(last=last), theirs.reports(last=last)
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        raise InputError("no seed in common; train and evaluate both with the same seeds")
    return paired_test([one[seed][metric] - other[seed][metric] for seed in seeds])


def summarise(results: Mapping[str, Results]) -> dict[str, Any]:
    """The numbers of the tables as plain data, by recipe."""
    found: dict[str, Any] = {}
    for recipe, result in results.items():
        found[recipe] = {
            "seeds": sorted(result.best),
            "best": {m: _numbers(result.values(m)) for m in METRICS},
            "last": {
                m: _numbers(result.values(m, last=True))
                for m in METRICS
                if result.last.keys() == result.best.keys()
            },
            "seconds": round(statistics.fmean(result.seconds.values()), 1),
        }
        if result.best_step.keys() == result.best.keys():
            found[recipe]["best_step"] = [step for _, step in sorted(result.best_step.items())]
        if result.commit:
            found[recipe] = {"commit": result.commit, **found[recipe]}
        names = sorted({name for numbers in result.classified.values() for name in numbers})
        if names:
            found[recipe]["classified"] = {name: _numbers(result.numbers(name)) for name in names}
        sampler = {name: result.statistics(name) for name in STATISTICS}
        if any(sampler.values()):
            found[recipe]["sampler"] = {
                name: _numbers(values, digits=6) for name, values in sampler.items() if values
            }
    return found


def to_json(plain: Mapping[str, Any]) -> str:
    """JSON with a line for each recipe, so that a diff shows which one changed.

    Example:
        >>> print(to_json({"one": {"seeds": [0]}, "two": {"seeds": [0, 1]}}), end="")
        {
        "one": {"seeds": [0]},
        "two": {"seeds": [0, 1]}
        }
    """
    lines = (f"{json.dumps(recipe)}: {json.dumps(numbers)}" for recipe, numbers in plain.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def merge(path: Path, results: Mapping[str, Results]) -> list[str]:
    """Write recipes' numbers over those of before; a record of more seeds stays.

    Returns:
        The recipes whose record has more seeds and stayed.
    """
    known = read_object(path) if path.exists() else {}
    kept = [
        name
        for name, result in results.items()
        if len(known.get(name, {}).get("seeds", ())) > len(result.best)
    ]
    new = summarise({name: one for name, one in results.items() if name not in kept})
    write_atomically(path, to_json({**known, **new}).encode())
    return kept


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
    """A Markdown table with a row for each recipe, of the checkpoints best on validation.

    Columns: metrics, MRR of the last checkpoint, ``STATISTICS`` where samplers were inspected, the
    difference of the MRR to a reference, whose row is the first, and whether the ``value`` of a
    ``metric`` is within the ``tolerance`` that is expected of a recipe.

    Raises:
        InputError: no recipe is called like the reference.
    """
    if reference and reference not in results:
        raise InputError(f"--reference {reference}: known: {', '.join(results)}")
    head = ["recipe", "MRR", "MRR, last step", "best at step 0", "Hits@1", "NDCG@5", "seeds", "s"]
    shown_statistics = _known_statistics(results)
    head += [STATISTICS[name] for name in shown_statistics]
    head += [f"MRR − {reference}"] if reference else []
    head += ["expected"] if expected else []
    rows = []
    for recipe in sorted(results, key=lambda recipe: (recipe != reference, recipe)):
        result = results[recipe]
        cells = [
            recipe,
            cell(result.values("mrr")),
            cell(result.values("mrr", last=True)),
            result.at_step_0,
            cell(result.values("hits@1")),
            cell(result.values("ndcg@5")),
            *_seeds_and_seconds(result),
            *(_statistic(name, result.statistics(name)) for name in shown_statistics),
        ]
        if reference:
            differs = recipe != reference
            cells.append(gap(compare(result, results[reference], "mrr")) if differs else "")
        if expected:
            cells.append(_expectation(result, expected.get(recipe)))
        rows.append(cells)
    return table(head, rows)


def across(
    results: Mapping[str, Results], columns: Sequence[str], *, reference: str, unnamed: str = ""
) -> str:
    """Two Markdown tables with a row for each sampler: MRR by base, and the samplers' statistics.

    A recipe is called ``<column>-<row>``, where the longest column that fits counts; one named like
    its column is in the row ``unnamed``. The reference is the first row.

    Each base has three columns: MRR of the checkpoints best on validation; of the last ones; and
    how many seeds were best at step 0, so that their best is the model they started from. An arrow,
    with p, marks a difference to the reference, paired by seed, that survives ``holm`` over all
    comparisons of the table at .05; in brackets, one with p < .05 alone. A row that another commit
    gave than the reference has ° and is not compared, because its seeds are no pairs. The
    statistics are of the first base, of the samplers that were inspected.

    Raises:
        InputError: a column has no recipe for the reference.
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
    every = {row for rows in cells.values() for row in rows}
    rows = sorted(every, key=lambda row: (row != reference, row))
    marks = marks_of(cells, dict.fromkeys(cells, reference))
    head = ["sampler", "seeds"]
    for column in columns:
        head += [f"{column}: best", "last step", "best at step 0"]
    lines = []
    for row in rows:
        seeds = [len(cells[column][row].best) for column in columns if row in cells[column]]
        line = [row, "/".join(map(str, dict.fromkeys(seeds)))]
        for column in columns:
            one = cells[column].get(row)
            for last in (False, True):
                text = cell(one.values("mrr", last=last)) if one else "–"
                line.append(f"{text} {marks.get((column, row, last), '')}".rstrip())
            line.append(one.at_step_0 if one else "–")
        lines.append(line)
    of_first = cells[columns[0]]
    names = _known_statistics(of_first)
    if not names:
        return table(head, lines)
    measured = [
        [row, *(_statistic(name, of_first[row].statistics(name)) for name in names)]
        for row in rows
        if row in of_first and of_first[row].sampler
    ]
    titles = [f"sampler, {columns[0]}", *(STATISTICS[name] for name in names)]
    return f"{table(head, lines)}\n\n{table(titles, measured)}"


def marks_of(
    cells: Mapping[str, Mapping[str, Results]], references: Mapping[str, str]
) -> dict[tuple[str, str, bool], str]:
    """The mark of each comparison with a reference, by column, row, and whether of the last.

    Marks are those of ``across``; ``references`` names a row of each column.
    """
    tests: dict[tuple[str, str, bool], Difference] = {}
    found = {}
    for column, rows in cells.items():
        reference = references[column]
        theirs = rows[reference]
        for row, ours in rows.items():
            for last in (False, True):
                common = ours.reports(last=last).keys() & theirs.reports(last=last).keys()
                if not ours.comparable(theirs):
                    found[column, row, last] = "°"
                elif row != reference and len(common) > 1:
                    tests[column, row, last] = compare(ours, theirs, "mrr", last=last)
    adjusted = holm([test.p for test in tests.values()])
    for (place, test), corrected in zip(tests.items(), adjusted, strict=True):
        mark = f"{'↑' if test.mean > 0 else '↓'} {short_p(test.p)}"
        if corrected < 0.05:
            found[place] = mark
        elif test.p < 0.05:
            found[place] = f"({mark})"
    return found


def beside(
    results: Mapping[str, Results],
    metrics: Sequence[str],
    papers: Mapping[str, Mapping[str, float]],
) -> str:
    """A Markdown table of recipes by metrics, such as ``mrr``; the papers' numbers in brackets.

    Raises:
        InputError: no recipe has a metric.
    """
    for metric in metrics:
        if not any(result.numbers(metric) for result in results.values()):
            ranking = {name for r in results.values() for b in r.best.values() for name in b}
            other = {name for r in results.values() for c in r.classified.values() for name in c}
            known = ", ".join([*sorted(ranking), *sorted(other)])
            raise InputError(f"--metrics {metric}: known: {known}")
    rows = []
    for recipe, result in sorted(results.items()):
        cells = [recipe]
        for metric in metrics:
            ours, theirs = result.numbers(metric), papers.get(recipe, {}).get(metric)
            cells.append(cell(ours) + ("" if theirs is None else f" ({short(theirs)})"))
        rows.append([*cells, *_seeds_and_seconds(result)])
    return table(["recipe", *metrics, "seeds", "s"], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, all columns but the first aligned to the right."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---|" + "---:|" * (len(head) - 1), *lines[1:]])


def _seeds_and_seconds(result: Results) -> tuple[str, str]:
    return str(len(result.best)), f"{statistics.fmean(result.seconds.values()):.0f}"


def _known_statistics(results: Mapping[str, Results]) -> list[str]:
    return [name for name in STATISTICS if any(one.statistics(name) for one in results.values())]


def _statistic(name: str, values: Sequence[float]) -> str:
    """A mean over seeds: seconds with two significant digits, shares in percent."""
    if not values:
        return "–"
    mean = statistics.fmean(values)
    return f"{mean:.2g}" if name == "seconds_per_step" else f"{100 * mean:.1f} %"


def _expectation(result: Results, expected: Mapping[str, Any] | None) -> str:
    """The expected value, and whether it was met; the metric is named unless it is MRR."""
    if expected is None:
        return "–"
    name, value, tolerance = (expected[key] for key in ("metric", "value", "tolerance"))
    wanted = f"{'' if name == 'mrr' else f'{name} '}{short(value)} ± {short(tolerance)}"
    found = result.numbers(name)
    if not found:
        return f"{wanted}, not evaluated"
    return wanted if abs(statistics.fmean(found) - value) <= tolerance else f"{wanted}, missed"


def cell(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds; the value alone where there is one, if any."""
    if not values:
        return "–"
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
    """A paired difference with its standard error and p value, as a cell."""
    sign = "+" if difference.mean >= 0 else ""
    if math.isnan(difference.p):
        return f"{sign}{short(difference.mean)}"
    p = with_letter(short_p(difference.p))
    return f"{sign}{short(difference.mean)} ± {short(difference.error)} ({p})"


def with_letter(p: str) -> str:
    """A p value with its letter.

    Example:
        >>> with_letter("0.031"), with_letter("< .001")
        ('p = 0.031', 'p < .001')
    """
    return f"p {p}" if p.startswith("<") else f"p = {p}"


def short_p(p: float) -> str:
    """A p value with three decimals, or "< .001"."""
    return "< .001" if p < 0.001 else short(p)


def put_between(path: Path, name: str, content: str) -> None:
    """Replace what stands between the marks of a name in a Markdown file.

    Raises:
        InputError: the file has no such marks, or is no text.
    """
    text, opening, closing = read_text(path), f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = text.partition(opening)
    _, ended, after = rest.partition(closing)
    if not (found and ended):
        raise InputError(f"{path}: expected the marks {opening} and {closing} in the file")
    write_atomically(path, f"{before}{opening}\n{content}\n{closing}{after}".encode())
