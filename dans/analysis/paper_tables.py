"""Tables of the papers on a page: ours beside theirs, from records."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from dans.analysis import tables
from dans.analysis.tables import Results
from dans.config.papers import Cell, Group, PaperTable
from dans.config.recipes import COMMANDS

#: Metrics of which less is better.
ERRORS = ("nll", "brier", "platt.nll", "platt.brier")


def recorded(folder: Path) -> dict[str, Results]:
    """All recorded runs, by place; a kind's own file comes before others of its kind.

    ``pretrain.json`` comes before ``pretrain-kinship.json``.
    """
    found: dict[str, Results] = {}
    for kind in COMMANDS:
        for path in [folder / f"{kind}.json", *sorted(folder.glob(f"{kind}-*.json"))]:
            if path.exists():
                for name, results in tables.collect(path).items():
                    found.setdefault(f"{kind}/{name}", results)
    return found


def markdown(table: PaperTable, records: Mapping[str, Results]) -> str:
    """What is run, and for each group a Markdown table of ours beside theirs, with notes.

    Arrows are as in ``dans.analysis.tables.across``, over all comparisons of the table. A cell that
    was not run is empty.
    """
    marks = _marks(table, records)
    parts = [f"{table.source}.", summary(table, records), survivors(table, records, marks)]
    for group in table.groups:
        rows, notes = [], []
        for cell in group.cells:
            rows.append(_row(group, cell, records.get(cell.place), marks))
            if cell.note:
                notes.append(f"† `{cell.name}`: {cell.note}.")
        parts += [f"**{group.title}**", tables.table(_head(group), rows), *notes]
    return "\n\n".join(parts)


def summary(table: PaperTable, records: Mapping[str, Results]) -> str:
    """How many cells are run, of how many seeds, at which commits, and how many reach the paper."""
    found = {place: records[place] for place in table.cells if place in records}
    theirs = [cell for cell in table.cells.values() if cell.theirs]
    ours = [cell for cell in table.cells.values() if not cell.theirs]
    by_group = []
    for group in table.groups:
        its = [cell for cell in group.cells if cell.theirs]
        by_group.append(f"{group.title} {sum(c.place in found for c in its)} of {len(its)}")
    run = sum(cell.place in found for cell in theirs)
    text = f"Run: {run} of {len(theirs)} cells of the paper ({'; '.join(by_group)})"
    if ours:
        text += f", and {sum(cell.place in found for cell in ours)} of {len(ours)} rows of ours"
    if not found:
        return f"{text}."
    counts = [len(results.best) for results in found.values()]
    least, most = min(counts), max(counts)
    text += f"; seeds: {least}" + (f" to {most}" if most > least else "")
    commits = sorted({results.commit or "not recorded" for results in found.values()})
    text += f"; commits: {', '.join(commits)}."
    reached = [
        _reached(group.metrics[0], cell, found[cell.place])
        for group in table.groups
        for cell in group.cells
        if cell.theirs and cell.place in found and group.metrics[0] not in cell.doubtful
    ]
    return f"{text} As good as the paper's or better: {sum(reached)} of {len(reached)}."


def survivors(
    table: PaperTable, records: Mapping[str, Results], marks: Mapping[tuple[str, str, bool], str]
) -> str:
    """Which runs differ from their reference by what survives Holm's correction, in a sentence."""
    seeds = [len(records[place].best) for place in table.cells if place in records]
    if max(seeds, default=0) < 2:
        return "No difference is tested: there is one seed."
    found: dict[str, list[str]] = {"↑": [], "↓": []}
    for group in table.groups:
        for cell in group.cells:
            mark = marks.get((_column(group, cell), cell.row.setting, False), "")
            if mark[:1] in found and not cell.row.kind:
                found[mark[0]].append(f"`{cell.name}`")
    better, worse = (", ".join(names) or "none" for names in found.values())
    what = "At the best checkpoint, by what survives Holm's correction"
    return f"{what}: better {better}; worse {worse}."


def _reached(metric: str, cell: Cell, results: Results) -> bool:
    """Is the mean, as it is printed, at least as good as the paper's?"""
    ours, theirs = round(statistics.fmean(results.numbers(metric)), 3), cell.published[metric][0]
    return ours <= theirs if metric in ERRORS else ours >= theirs


def _marks(table: PaperTable, records: Mapping[str, Results]) -> dict[tuple[str, str, bool], str]:
    """Marks of differences in MRR to the reference, by column, setting, and whether of the last."""
    columns: dict[str, dict[str, Results]] = {}
    references: dict[str, str] = {}
    for group in table.groups:
        for cell in group.cells:
            # What all start from is no row beside those that start from it.
            if group.metrics[0] == "mrr" and cell.place in records and not cell.row.kind:
                column = _column(group, cell)
                columns.setdefault(column, {})[cell.row.setting] = records[cell.place]
                references[column] = group.reference
    compared = {name: rows for name, rows in columns.items() if references[name] in rows}
    return tables.marks_of(compared, references)


def _column(group: Group, cell: Cell) -> str:
    """A base in a group, as ``tables.marks_of`` names columns."""
    return f"{group.title}: {cell.base}"


def _head(group: Group) -> list[str]:
    first, *others = (_title(metric) for metric in group.metrics)
    head = ["", "recipe", first, "the paper's", "difference", "last step", "best at step 0"]
    head += [f"{metric} (the paper's)" for metric in others]
    return [*head, "seeds", "s", "commit"]


def _row(
    group: Group, cell: Cell, results: Results | None, marks: Mapping[tuple[str, str, bool], str]
) -> list[str]:
    """The cells of a line of Markdown."""
    first, *others = group.metrics
    title = f"{cell.decoder}, {cell.row.title}" + (" †" if cell.note else "")
    name = f"`{cell.place if cell.row.kind else cell.name}`"
    theirs = {metric: _printed(cell, metric) for metric in group.metrics}
    if results is None:
        empty = [""] * 3 + [f"({theirs[metric]})" if theirs[metric] else "" for metric in others]
        return [title, name, "", theirs[first], *empty, "", "", ""]
    values = results.numbers(first)
    column, setting = _column(group, cell), cell.row.setting
    best, last = (marks.get((column, setting, which), "") for which in (False, True))
    later = tables.cell(results.values(first, last=True)) if first in tables.METRICS else ""
    gap = statistics.fmean(values) - cell.published[first][0] if first in cell.published else None
    line = [
        title,
        name,
        f"{tables.cell(values)} {best}".rstrip(),
        theirs[first],
        "" if gap is None or first in cell.doubtful else signed(gap),
        f"{later} {last}".rstrip(),
        results.at_step_0,
    ]
    for metric in others:
        beside = f" ({theirs[metric]})" if theirs[metric] else ""
        line.append(f"{tables.cell(results.numbers(metric))}{beside}")
    seconds = statistics.fmean(results.seconds.values())
    return [*line, str(len(results.best)), f"{seconds:.0f}", results.commit or "not recorded"]


def _printed(cell: Cell, metric: str) -> str:
    """What the paper prints; with ? behind it where it cannot be right."""
    if metric not in cell.published:
        return ""
    value, deviation = cell.published[metric]
    text = tables.short(value) + (f" ± {tables.short(deviation)}" if deviation else "")
    return f"{text} ?" if metric in cell.doubtful else text


def signed(value: float) -> str:
    """Three decimals with a sign.

    Example:
        >>> signed(0.0214), signed(-0.02), signed(-0.0001)
        ('+.021', '−.020', '.000')
    """
    text = tables.short(value)
    if float(text.replace("−", "-")) == 0:
        return ".000"
    return text if value < 0 else f"+{text}"


def _title(metric: str) -> str:
    """A metric as a column's title."""
    words = {"mrr": "MRR", "nll": "NLL", "brier": "Brier", "auc": "AUC", "ndcg@5": "NDCG@5"}
    if metric.startswith("platt."):
        return f"{_title(metric.removeprefix('platt.'))} calibrated"
    return words.get(metric, metric.capitalize())


def left(places: Sequence[str], records: Mapping[str, Results]) -> tuple[float, int]:
    """Seconds of training of some runs by the records, and how many of them have no record."""
    known = [records[place] for place in places if place in records]
    seconds = sum(statistics.fmean(results.seconds.values()) for results in known)
    return seconds, len(places) - len(known)
