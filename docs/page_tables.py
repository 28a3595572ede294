"""Tables of the pages and expected values, from the records in `scripts/results`.

``docs/tables.toml`` lists the tables: page, mark, records, and what is in rows and columns; and of
which records the expected values are.
"""

import json
import re
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from dans.analysis import paper_tables, tables
from dans.analysis.tables import Difference, Results
from dans.config import papers as paper_files
from dans.config.papers import PaperTable
from dans.config.reading import field, read_object, read_text, read_toml
from dans.config.recipes import run_name
from dans.config.writing import write_atomically
from dans.errors import InputError

#: The papers' numbers of a kind of run, by recipe and metric.
Papers = Mapping[str, Mapping[str, Mapping[str, float]]]


def write_pages(root: Path, papers: Papers) -> None:
    """Write every table of ``docs/tables.toml`` between its marks, and the expected values."""
    listed = read_toml(root / "docs" / "tables.toml")
    for name, records in listed.get("expected", {}).items():
        path = root / "dans" / "results" / name
        write_atomically(path, expected(path, _records(root, records)).encode())
    for table in listed["table"]:
        tables.put_between(root / table["page"], table["mark"], content(table, root, papers))


def content(table: Mapping[str, Any], root: Path, papers: Papers) -> str:
    """A table of ``docs/tables.toml``, with the line that says where it comes from."""
    if "paper" in table:
        return beside_paper(paper_files.read(table["paper"]), root)
    if "search" in table:
        path = root / "scripts" / "results" / f"{table['search']}.json"
        return f"{search_log(path, table['across'])}\n\nThe log: `{path.relative_to(root)}`."
    records, match = table["records"], table.get("match", "*")
    kind = records.split("-")[0]
    results = {name: one for name, one in _records(root, records).items() if fnmatch(name, match)}
    columns: list[str] = table.get("across", [])
    if "rows" in table:
        every = {k: _records(root, k) for k in dict.fromkeys(row[1] for row in table["rows"])}
        names = [(k, run_name(column, row)) for _, k, row in table["rows"] for column in columns]
        shown = {name: every[k][name] for k, name in names if name in every[k]}
        text = chosen(every, columns, table["rows"])
        return f"{text}\n\n{source(shown, columns, kinds=list(every), match=match)}"
    if "pairs" in table:
        settings = dict.fromkeys(one for pair in table["pairs"] for one in pair)
        paired = [run_name(column, one) for column in columns for one in settings]
        shown = {name: results[name] for name in paired if name in results}
        text = differences(results, columns, table["pairs"], unnamed=kind)
        return f"{text}\n\n{source(shown, columns, kinds=[records], match=match)}"
    if columns:
        text = tables.across(results, columns, reference=table["reference"], unnamed=kind)
    elif "metrics" in table:
        text = tables.beside(results, table["metrics"], papers.get(kind, {}))
    else:
        text = tables.markdown(results, reference=table.get("reference"))
    return f"{text}\n\n{source(results, columns, kinds=[records], match=match)}"


def search_log(path: Path, across: Sequence[str]) -> str:
    """A table of a search: a row for each configuration, for each base the mean best MRR of seeds.

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
        cells = " | ".join(_searched(runs.get(base), f"{where}{base}: ") for base in across)
        lines.append(f"| {name} | {cells} | {field(one, 'what', str, where)} |")
    return "\n".join(lines)


def _searched(run: Mapping[str, Any] | None, where: str) -> str:
    if run is None:
        return ""
    best = [float(value) for value in field(run, "best", list, where)]
    if len(best) != len(field(run, "seeds", list, where)) or not best:
        raise InputError(f"{where}best: expected one value for each seed")
    mean = tables.short(statistics.fmean(best))
    return f"{mean} ({len(best)})" if len(best) > 1 else mean


def beside_paper(table: PaperTable, root: Path) -> str:
    """A table of a paper, ours beside theirs, with the one command that makes its runs."""
    records = _with_equals(root, paper_tables.recorded(root / "scripts" / "results"))
    found = {place: records[place] for place in table.cells if place in records}
    text = paper_tables.markdown(table, found)
    return f"{text}\n\n{source(found, [], command=f'dans reproduce {table.name}')}"


def chosen(
    every: Mapping[str, Mapping[str, Results]],
    columns: Sequence[str],
    rows: Sequence[tuple[str, str, str]],
) -> str:
    """A Markdown table of MRR of some recipes: best checkpoint, and last step behind a slash.

    ``rows`` are a title, a file of records and a setting, empty for the base alone.
    """
    lines = []
    for title, records, setting in rows:
        cells, seeds = [title], []
        for column in columns:
            one = every[records].get(run_name(column, setting))
            values = [] if one is None else [one.values("mrr", last=last) for last in (False, True)]
            cells.append(" / ".join(tables.cell(v) for v in values) or "–")
            seeds += [] if one is None else [str(len(one.best))]
        lines.append([*cells, "/".join(dict.fromkeys(seeds))])
    return tables.table(["trained with", *columns, "seeds"], lines)


def differences(
    results: Mapping[str, Results],
    columns: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    *,
    unnamed: str,
) -> str:
    """A Markdown table of differences in MRR of pairs of samplers, paired by seed, with p.

    Bold: it survives ``holm`` over all comparisons of the table at .05. Recipes of two commits are
    not compared.
    """
    tests: dict[tuple[str, int, bool], Difference] = {}
    for column in columns:
        for i, pair in enumerate(pairs):
            names = [run_name(column, "" if one == unnamed else one) for one in pair]
            if not all(name in results for name in names):
                continue
            ours, theirs = (results[name] for name in names)
            if not ours.comparable(theirs):
                continue
            for last in (False, True):
                tests[column, i, last] = tables.compare(ours, theirs, "mrr", last=last)
    adjusted = dict(zip(tests, tables.holm([test.p for test in tests.values()]), strict=True))
    rows = []
    for i, (one, other) in enumerate(pairs):
        cells = [f"{one} − {other}"]
        for column in columns:
            for last in (False, True):
                place = column, i, last
                text = tables.gap(tests[place]) if place in tests else "–"
                cells.append(f"**{text}**" if adjusted.get(place, 1.0) < 0.05 else text)
        rows.append(cells)
    head = [title for column in columns for title in (f"{column}: best", "last step")]
    return tables.table(["MRR", *head], rows)


def source(
    results: Mapping[str, Results],
    columns: Sequence[str],
    *,
    kinds: Sequence[str] = (),
    match: str = "*",
    command: str = "",
) -> str:
    """The line under a table: commands, the commits of its recipes, and where the numbers are.

    Args:
        kinds: the records of the runs, such as ``dans``, or ``pretrain-kinship``, of a kind too.
        match: the pattern of their names.
        command: what makes the runs where they are of many kinds, as of a paper's table.
    """
    most = max((len(result.best) for result in results.values()), default=5)
    seeds = "" if most == 5 else f" --seeds {most}"
    made = [f"dans reproduce {kind.split('-')[0]} --match '{match}'{seeds}" for kind in kinds]
    made += [command] if command else []
    commits: dict[str, list[str]] = {}
    for name, result in results.items():
        its = [c for c in columns if f"{name}-".startswith(f"{c}-")]
        if its or not columns:
            commits.setdefault(result.commit, []).append(max(its, key=len) if its else name)
    said = []
    for commit, names in sorted(commits.items()):
        of = ", ".join(sorted(set(names))) if columns and len(commits) > 1 else ""
        said.append((commit or "not recorded") + (f" ({of})" if of else ""))
    files = " and ".join(f"`scripts/results/{kind}.json`" for kind in kinds)
    numbers = f"; the numbers: {files}" if files else ""
    commands = ", ".join(f"`{one}`" for one in (*made, "dans tabulate --pages"))
    text = f"Source: {commands}; commit: {', '.join(said)}{numbers}."
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def expected(path: Path, results: Mapping[str, Results]) -> str:
    """The text of a table of expected results, with the values, seeds and commits of the records.

    Raises:
        InputError: a recipe has no record.
    """
    head = {key: value for key, value in read_toml(path).items() if not isinstance(value, dict)}
    lines, base = [], ""
    for line in read_text(path).splitlines():
        section = re.fullmatch(r"\[expected\.(.+)\]", line)
        row = re.fullmatch(r"([\w-]+) = .*", line)
        base = section[1] if section else base
        if not (row and base):
            lines.append(line)
            continue
        setting = "" if row[1] in ("base", "dans") else row[1]
        name = run_name(base, setting)
        if name not in results:
            raise InputError(f"{path}: {name}: no numbers of it are recorded")
        its = results[name]
        given = {"seeds": len(its.best), "commit": its.commit or head["commit"]}
        others = {key: value for key, value in given.items() if head[key] != value}
        value = round(statistics.fmean(its.numbers(head["metric"])), 3)
        text = ", ".join(f"{key} = {json.dumps(other)}" for key, other in others.items())
        lines.append(f"{row[1]} = " + (f"{{ value = {value}, {text} }}" if text else f"{value}"))
    return "\n".join(lines) + "\n"


def _records(root: Path, name: str) -> dict[str, Results]:
    """The records of a file."""
    return _with_equals(root, tables.collect(root / "scripts" / "results" / f"{name}.json"))


def _with_equals(root: Path, found: Mapping[str, Results]) -> dict[str, Results]:
    """Records, and which commits ``docs/tables.toml`` says are equal to theirs."""
    path = root / "docs" / "tables.toml"
    listed = read_toml(path).get("equal", ()) if path.exists() else ()
    groups = [frozenset(one) for one in listed]
    return {
        name: replace(one, equals=frozenset().union(*(g for g in groups if one.commit in g)))
        for name, one in found.items()
    }
