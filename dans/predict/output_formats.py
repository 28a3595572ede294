"""Options of queries, and the formats of their answers: a table, JSON lines, CSV."""

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import compress
from typing import TypeAlias

from dans.errors import InputError, shortened, visible
from dans.evaluation.candidate_sets import CandidateSets
from dans.evaluation.text_table import aligned
from dans.predict.predictor import Predictor
from dans.predict.queries import PARTS, Answer, Part, Query, ScoredTriple

#: Ranked answers to a query with a missing part; the score of a whole triple.
Answers: TypeAlias = "list[Answer] | ScoredTriple"


@dataclass(frozen=True)
class QueryOptions:
    """What is wanted for every query: how many answers, only new ones, ranks of whole triples."""

    top: int = 10
    new_only: bool = False
    ranks: bool = False
    #: those of ``--top``, ``--new``, ``--ranks`` and ``--among`` that a command was given
    given: tuple[str, ...] = ()
    #: to what heads and tails are restricted
    among: CandidateSets | None = None

    @classmethod
    def of(
        cls,
        query: Query | None,
        *,
        top: int | None,
        new_only: bool,
        ranks: bool,
        restricted: bool = False,
    ) -> "QueryOptions":
        """From a command's options; ``query`` is None where the queries come from a file."""
        if query is not None and ranks:
            raise InputError("--ranks: only for --file; a triple by itself is ranked anyway")
        names = ("--top", "--new", "--ranks", "--among")
        given = compress(names, (top is not None, new_only, ranks, restricted))
        whole = query is not None and query.target is None
        options = cls(10 if top is None else top, new_only, ranks or whole, tuple(given))
        for sentence in options.without_effect({query.target}) if query is not None else ():
            raise InputError(sentence)
        return options

    def without_effect(self, targets: Collection[Part | None]) -> list[str]:
        """A sentence for each option given that acts on no query with one of these targets.

        Example:
            >>> QueryOptions(given=("--top", "--ranks")).without_effect({"head", "tail"})
            ['--ranks: no effect where no query gives head, relation and tail']
        """
        triples, useless = None in targets, {}
        if not triples:
            useless["--ranks"] = "no effect where no query gives head, relation and tail"
        if len(targets) == triples:
            whole = "no effect where head, relation and tail are all given"
            useless |= {"--top": whole, "--new": whole}
        if not {"head", "tail"} & set(targets) and not (triples and self.ranks):
            useless["--among"] = "no effect where neither heads nor tails are ranked"
        return [f"{name}: {useless[name]}" for name in self.given if name in useless]


class OutputFormat(ABC):
    """A format in which queries and their answers are written."""

    def __init__(self, predictor: Predictor, options: QueryOptions) -> None:
        self.predictor, self.options = predictor, options

    def head(self) -> str:
        """Text before the first query."""
        return ""

    @abstractmethod
    def text(self, query: Query, answers: Answers) -> str:
        """One query and its answers, line ends included."""

    def refusal(self, sentence: str) -> str:
        """Text in place of the answers to a line that is no query."""
        return ""


class Table(OutputFormat):
    """Aligned columns for a person; every name on one line, long ones cut."""

    def head(self) -> str:
        """The run, and what the columns mean."""
        rule = "known: the splits that hold the triple already"
        if self.options.new_only:
            rule = "left out: answers that train, valid or test hold as a triple"
        if self.options.among is not None:
            rule += f"\nheads and tails: among {visible(self.options.among.about)}"
        if self.predictor.beside:
            rule += (
                "\nmean_rank, rank_std: mean and standard deviation of its ranks by each run alone"
            )
        if self.options.ranks:
            rule += "\nranks: among the answers that are not known otherwise, as in evaluation"
        return f"{self.predictor.about}\n{rule}\n"

    def text(self, query: Query, answers: Answers) -> str:
        """A heading and a row for each answer; a line for each number of a triple."""
        title = f"\n{Query(*(name and shortened(name) for name in query.parts))}\n"
        if isinstance(answers, ScoredTriple):
            numbers = list(_numbers(answers, self.predictor.beside))
            wide = max(12, *(len(name) for name, _ in numbers))
            return title + "".join(f"  {name:<{wide}} {value}\n" for name, value in numbers)
        if not answers:
            allowed = " among the candidates" * (self.options.among is not None)
            known = " that is not known" * self.options.new_only
            return f"{title}  no answer{known}{allowed}\n"
        names = ("score", "probability", *self.predictor.beside)
        shown = [name for name in names if getattr(answers[0], name, None) is not None]
        titles = [self.predictor.score_title(query.target), *shown[1:]]
        rows = [["rank", str(query.target), *titles, "known"]]
        for answer in answers:
            values = (f"{getattr(answer, name):.4f}" for name in shown)
            cells = [str(answer.rank), shortened(answer.name), *values]
            rows.append([*cells, ", ".join(answer.known) or "-"])
        return title + "".join(f"{line}\n" for line in aligned(rows, left=(1, len(rows[0]) - 1)))


class JsonLines(OutputFormat):
    """One JSON object a line for each query; a line that is no query has an ``error``."""

    def text(self, query: Query, answers: Answers) -> str:
        """The query with its ``answers``, or a triple with its score."""
        if isinstance(answers, ScoredTriple):
            return json.dumps(asdict(answers)) + "\n"
        ranked = [asdict(answer) for answer in answers]
        return json.dumps({**asdict(query), "answers": ranked}) + "\n"

    def refusal(self, sentence: str) -> str:
        """An object with the message, so that lines in and out stay paired."""
        return json.dumps({"error": sentence}) + "\n"


class Csv(OutputFormat):
    """One row for each answer, as RFC 4180 has it: a header, CRLF, quotes where they are needed.

    Cells are written as they are: import them as text where ``=`` or ``@`` begins a formula.
    """

    COLUMNS = ("target", *PARTS, "rank", "score", "probability", "known", "head_rank", "tail_rank")

    def head(self) -> str:
        """The names of the columns."""
        return self._row({name: name for name in self._columns()})

    def text(self, query: Query, answers: Answers) -> str:
        """A triple a row, the missing part filled in."""
        if isinstance(answers, ScoredTriple):
            return self._row(asdict(answers) | {"known": " ".join(answers.known)})
        target, rows = str(query.target), []
        for answer in answers:
            filled = {**asdict(query), target: answer.name, "target": target}
            rows.append(self._row(asdict(answer) | filled | {"known": " ".join(answer.known)}))
        return "".join(rows)

    def _columns(self) -> tuple[str, ...]:
        return self.COLUMNS + self.predictor.beside

    def _row(self, content: dict[str, object]) -> str:
        file = io.StringIO(newline="")
        csv.DictWriter(file, self._columns(), extrasaction="ignore").writerow(content)
        return file.getvalue()


#: Formats by name; a table by default.
FORMATS: dict[str | None, type[OutputFormat]] = {None: Table, "json": JsonLines, "csv": Csv}


def _numbers(triple: ScoredTriple, beside: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The numbers of a triple by name, as a table shows them."""
    yield "score", f"{triple.score:.4f}"
    if triple.probability is not None:
        yield "probability", f"{triple.probability:.4f}"
    yield "known", ", ".join(triple.known) or "-"
    if triple.tail_rank is not None:
        yield "rank as tail", f"{triple.tail_rank:.12g}"
        yield "rank as head", f"{triple.head_rank:.12g}"
    for name in beside:
        if (value := getattr(triple, name, None)) is not None:
            yield name, f"{value:.4f}"
