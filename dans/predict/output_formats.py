"""What is wanted of queries, and how replies are written: a table, JSON lines, CSV."""

import csv
import io
import json
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias

from dans.errors import InputError, visible
from dans.predict.predictor import Predictor
from dans.predict.queries import PARTS, Answer, LabelledTriple, Part, Query

#: Letters of a name that a table shows.
LONGEST = 160

#: A list, where something was asked; else what was said of the triple.
Reply: TypeAlias = "list[Answer] | LabelledTriple"


@dataclass(frozen=True)
class Wish:
    """What is wanted of every query.

    Args:
        top: how many answers.
        new_only: leave out known triples.
        ranks: of whole triples, where head and tail come in.
        named: the options that a command gave of ``--top``, ``--new`` and ``--ranks``.
    """

    top: int = 10
    new_only: bool = False
    ranks: bool = False
    named: tuple[str, ...] = ()

    @classmethod
    def of(cls, query: Query | None, *, top: int | None, new_only: bool, ranks: bool) -> "Wish":
        """What the options of a command ask for.

        Args:
            query: the one the command asks; None: those of a file.
            top: None where it was left open.
            new_only: as above.
            ranks: as above; one triple by itself is ranked anyway.

        Raises:
            InputError: an option that has no effect.
        """
        if query is not None and ranks:
            raise InputError("--ranks: only for --file; a triple by itself is ranked anyway")
        whole = query is not None and query.asked is None
        given = {"--top": top is not None, "--new": new_only, "--ranks": ranks}
        named = tuple(name for name in given if given[name])
        wish = cls(cls.top if top is None else top, new_only, ranks or whole, named)
        if whole:
            for sentence in wish.idle({None}):
                raise InputError(sentence)
        return wish

    def idle(self, asked: Collection[Part | None]) -> list[str]:
        """The options that a command gave for nothing, a sentence each.

        Args:
            asked: the parts that its queries ask for, None standing for whole triples.

        Example:
            >>> Wish(named=("--top", "--ranks")).idle({"head", "tail"})
            ['--ranks: no effect where no query gives head, relation and tail']
        """
        why = {
            "--top": "no effect where head, relation and tail are all given",
            "--new": "no effect where head, relation and tail are all given",
            "--ranks": "no effect where no query gives head, relation and tail",
        }
        triples = None in asked
        lists = len(asked) > triples
        return [
            f"{name}: {why[name]}"
            for name in self.named
            if not (triples if name == "--ranks" else lists)
        ]


class Form(ABC):
    """How queries and replies are written.

    Args:
        predictor: who replies.
        wish: what is wanted.
    """

    def __init__(self, predictor: Predictor, wish: Wish) -> None:
        self.predictor, self.wish = predictor, wish

    def head(self) -> str:
        """What comes before everything."""
        return ""

    @abstractmethod
    def text(self, query: Query, reply: Reply) -> str:
        """One query and its reply, line ends included."""

    def refusal(self, sentence: str) -> str:
        """What stands in the place of a reply to a line that was refused."""
        return ""


class Table(Form):
    """For a person: aligned, names on one line each whatever is in them."""

    def head(self) -> str:
        """The run, and what the columns mean."""
        rule = "known: the splits, of train, valid and test, that hold it as a triple"
        if self.wish.new_only:
            rule = "left out: answers that train, valid or test hold as a triple"
        if self.wish.ranks:
            rule += "\nranks: among the answers that are not known otherwise, as in evaluation"
        return f"{self.predictor.about}\n{rule}\n"

    def text(self, query: Query, reply: Reply) -> str:
        """A heading and a row for each answer; one line for a triple."""
        short = Query(*(name and cut(name) for name in query.parts))
        title = f"\n{visible(str(short))}\n"
        if isinstance(reply, LabelledTriple):
            return title + "".join(f"  {name:<12} {value}\n" for name, value in _facets(reply))
        if not reply:
            return f"{title}  no answer that is not known\n"
        calibrated = self.predictor.calibration is not None
        rows = [["rank", str(query.asked), "score", *["probability"] * calibrated, "known"]]
        for answer in reply:
            chances = [] if answer.probability is None else [f"{answer.probability:.4f}"]
            known = ", ".join(answer.known) or "-"
            rows.append(
                [
                    str(answer.rank),
                    visible(cut(answer.name)),
                    f"{answer.score:.4f}",
                    *chances,
                    known,
                ]
            )
        return title + "".join(f"{line}\n" for line in _aligned(rows))


class JsonLines(Form):
    """One object a line for each query, in their order; a refused line has an ``error``."""

    def text(self, query: Query, reply: Reply) -> str:
        """The query with its ``answers``; of a whole triple, what was said of it."""
        if isinstance(reply, LabelledTriple):
            content = asdict(reply)
        else:
            answers = [asdict(answer) for answer in reply]
            content = {**asdict(query), "answers": answers}
        return json.dumps(content) + "\n"

    def refusal(self, sentence: str) -> str:
        """An object in its place, so that lines in and out stay paired."""
        return json.dumps({"error": sentence}) + "\n"


class Csv(Form):
    """One row an answer, as RFC 4180 has it: a header, CRLF, quotes where they are needed.

    Cells are written as they are: a name that begins with ``=``, ``+``, ``-`` or ``@`` is a formula
    to some spreadsheets, and would be another name with anything put before it. So import columns
    as text there.
    """

    COLUMNS = ("asked", *PARTS, "rank", "score", "probability", "known", "head_rank", "tail_rank")

    def head(self) -> str:
        """The names of the columns."""
        return _row(self.COLUMNS)

    def text(self, query: Query, reply: Reply) -> str:
        """A triple a row, the part that was asked for filled in."""
        if isinstance(reply, LabelledTriple):
            content = asdict(reply) | {"known": " ".join(reply.known)}
            return _row(content.get(column) for column in self.COLUMNS)
        rows = []
        for answer in reply:
            content = asdict(query) | asdict(answer) | {str(query.asked): answer.name}
            content |= {"asked": query.asked, "known": " ".join(answer.known)}
            rows.append(_row(content.get(column) for column in self.COLUMNS))
        return "".join(rows)


#: Forms by name; a table, unless one is asked for.
FORMS: dict[str | None, type[Form]] = {None: Table, "json": JsonLines, "csv": Csv}


def cut(name: str) -> str:
    """A name for a table: of a long one, the beginning."""
    return name if len(name) <= LONGEST else f"{name[:LONGEST]}…"


def _facets(triple: LabelledTriple) -> Iterator[tuple[str, str]]:
    """What is said of a triple, by name."""
    yield "score", f"{triple.score:.4f}"
    if triple.probability is not None:
        yield "probability", f"{triple.probability:.4f}"
    yield "known", ", ".join(triple.known) or "-"
    if triple.tail_rank is not None:
        yield "rank as tail", f"{triple.tail_rank:.12g}"
        yield "rank as head", f"{triple.head_rank:.12g}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows as lines: the second and the last column to the left, numbers to the right."""
    widths = [max(_width(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = []
        for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - _width(cell))
            cells.append(cell + space if i in (1, len(row) - 1) else space + cell)
        yield "  ".join(cells).rstrip()


def _width(text: str) -> int:
    """How many columns of a terminal it takes."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


def _row(cells: Iterable[object]) -> str:
    file = io.StringIO(newline="")
    csv.writer(file).writerow(cells)
    return file.getvalue()
