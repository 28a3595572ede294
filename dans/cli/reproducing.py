"""Train and evaluate the runs of a table.

A table is one of a paper's, or all runs of a kind that have an expected result.

Each is trained with several seeds. Statistics of their samplers are written too. Runs that are
finished are skipped, so that the same command continues where it was stopped. Several commands can
share the work, each with its own pattern: where one is at a run, another that needs it waits.

  dans reproduce --list
  dans reproduce dans-2 --cells 'umls-distmult-*'
  dans tabulate runs/dans --json scripts/results/dans.json --commit HASH --pages

A table, such as dans-2, has cells of several kinds of runs; the runs that they start from are made
too. Runs of one kind, which have an expected result:

  dans reproduce pretrain --match 'umls-*' --seeds 5
  dans reproduce dans --match 'umls-distmult*' --seeds 5
  dans tabulate runs/dans --expected
"""

import logging
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from dans.cli import parsing as cli
from dans.config import papers
from dans.config.recipes import COMMANDS
from dans.errors import InputError, did_you_mean, shown

if TYPE_CHECKING:
    from dans.analysis.reproduction import Job
    from dans.analysis.tables import Results

log = logging.getLogger(__name__)

#: Seeds of runs that are in no table.
SEEDS = 5


def add_options(parser: ArgumentParser) -> None:
    """Add which runs, and how many of each."""
    add = parser.add_argument
    what = f"a paper's table (--list has their names), or a kind: {', '.join(sorted(COMMANDS))}"
    add("what", nargs="?", metavar="TABLE|KIND", help=what)
    add("--list", action="store_true", help="list the tables, with their cells run and all")
    add("--cells", metavar="PATTERN", help="of a table, recipes of this pattern (default: all)")
    add("--match", metavar="PATTERN", help="of a kind, recipes of this pattern (default: all)")
    seeds = f"number of seeds, from 0 (default: as the paper, or {SEEDS})"
    add("--seeds", type=cli.whole(1), help=seeds)
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="an option in all runs")
    cli.add_logger_option(parser)


def run(args: Namespace) -> None:
    """List the tables, or train, evaluate and inspect one run after the other."""
    cells, names = requested(args)
    from dans.analysis.reproduction import Job, jobs

    if args.list:
        print(listed(args.seeds, args.set))
        return
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise InputError("torchrun: reproduce takes one process; dans train takes several")
    if names:
        seeds = range(args.seeds or SEEDS)
        found = [Job(args.what, name, s, tuple(args.set)) for name in names for s in seeds]
        work(found, args)
    else:
        table = papers.read(args.what)
        found = jobs(cells, args.seeds or table.seeds, args.set)
        left = [job for job in found if not job.is_finished()]
        print(f"{table.title}: {progress(found, left, recorded())}", flush=True)
        work(left, args)
    for kind in sorted({job.kind for job in found}):
        log.info("the results: dans tabulate runs/%s --expected", kind)


def requested(args: Namespace) -> tuple[list[papers.Cell], list[str]]:
    """Cells of a table, or the names of runs of a kind; what cannot go together is refused."""
    if args.list:
        for option, given in (("it", args.what), ("--cells", args.cells), ("--match", args.match)):
            if given is not None:
                raise InputError(f"--list lists all tables; leave {option} out: {shown(given)}")
        return [], []
    if args.what is None:
        raise InputError("expected a table or a kind; dans reproduce --list has the tables")
    if args.what in COMMANDS:
        if args.cells is not None:
            raise InputError(f"--cells is of tables; runs of {args.what} take --match")
        return [], list(cli.matching(cli.records(args.what, "expected"), args.match or "*"))
    if args.what not in papers.names():
        known = sorted([*COMMANDS, *papers.names()])
        hint = did_you_mean(args.what, known)
        every = ", ".join(known)
        raise InputError(f"{shown(args.what)}: no such table or kind; known: {every}{hint}")
    if args.match is not None:
        raise InputError(f"--match is of kinds of runs; the table {args.what} takes --cells")
    return chosen(papers.read(args.what), args.cells or "*"), []


def work(found: "Sequence[Job]", args: Namespace) -> None:
    """Make each run in turn, and print its folder."""
    for job in found:
        try:
            job.run(loggers=args.loggers)
        except KeyboardInterrupt as stop:
            raise type(stop)(f"in {job.where}; the same command continues") from None
        print(job.where, flush=True)


def chosen(table: papers.PaperTable, pattern: str) -> list[papers.Cell]:
    """The cells of a table whose recipe, or kind and recipe, matches a pattern."""
    cells = table.cells.values()
    found = [c for c in cells if fnmatch(c.name, pattern) or fnmatch(c.place, pattern)]
    if not found:
        names = list(dict.fromkeys(cell.name for cell in cells))
        hint = did_you_mean(pattern, names) or f"; it has {names[0]} to {names[-1]}"
        raise InputError(f"--cells: {shown(pattern)} matches no cell of {table.name}{hint}")
    return found


def progress(
    found: "Sequence[Job]", left: "Sequence[Job]", records: "Mapping[str, Results]"
) -> str:
    """How many runs are finished, how many are left, and how long they take by the records."""
    done = f"{len(found) - len(left)} of {len(found)} runs are finished"
    return f"{done}; {estimate(left, records)}" if left else done


def estimate(left: "Sequence[Job]", records: "Mapping[str, Results]") -> str:
    """How long runs take, in words, by the records of a checkout."""
    from dans.analysis import paper_tables
    from dans.data.progress import duration

    seconds, unknown = paper_tables.left([job.place for job in left], records)
    if unknown == len(left):
        return f"{len(left)} left, of which no time is recorded"
    others = f", and {unknown} of which no time is recorded" if unknown else ""
    return f"{len(left)} left: about {duration(seconds)} of training{others}"


def recorded() -> "Mapping[str, Results]":
    """The records of a checkout; none where it is not one."""
    from dans.analysis import paper_tables

    return paper_tables.recorded(cli.RECORDS)


def listed(seeds: int | None, assignments: Sequence[str]) -> str:
    """A line for each table: cells that are recorded, and runs that are finished here."""
    from dans.analysis.reproduction import jobs

    records, lines = recorded(), []
    for name in papers.names():
        table = papers.read(name)
        there = sum(place in records for place in table.cells)
        found = jobs(table.cells.values(), seeds or table.seeds, assignments)
        left = [job for job in found if not job.is_finished()]
        lines.append(
            f"{name:<20}{table.title}: {there} of {len(table.cells)} cells are recorded; here, "
            f"{progress(found, left, records)}"
        )
    return "\n".join(lines)
