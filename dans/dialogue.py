"""Questions from text, and answers as text: what ``scripts/predict.py`` says and understands.

A line asks by tab-separated names, head, relation and tail, of which the one asked for is empty or
``?``; without the tail, the tail is asked for. Three names ask whether the triple holds. A line may
also be a JSON object with the keys ``head``, ``relation`` and ``tail``, the one asked for left out
or null; so names can be asked for that hold tabs, or are ``?``. Empty lines are skipped.
"""

import csv
import io
import json
import logging
import sys
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from dans.asking import PARTS, Answer, Fact, Question, visible
from dans.errors import InputError
from dans.predict import Predictor
from dans.samplers.names import lines

log = logging.getLogger(__name__)

#: What asks, where it stands alone in a column.
OPEN = "?"

#: Answers held at a time before they are written.
HELD = 10_000

#: A list, where something was asked; else what was said of the triple.
Reply: TypeAlias = "list[Answer] | Fact"

EXPECTED = (
    "expected head, relation and tail, separated by tabs, the one asked for empty or '?', or head "
    "and relation"
)


@dataclass(frozen=True)
class Wish:
    """What is wanted of every question.

    Args:
        top: how many answers.
        new_only: leave out known facts.
        ranks: of whole triples, where head and tail come in.
    """

    top: int = 10
    new_only: bool = False
    ranks: bool = False

    @classmethod
    def of(
        cls, question: Question | None, *, top: int | None, new_only: bool, ranks: bool
    ) -> "Wish":
        """What the options of a command ask for.

        Args:
            question: the one the command asks; None: those of a file.
            top: None where it was left open.
            new_only: as above.
            ranks: as above; one triple by itself is ranked anyway.

        Raises:
            InputError: an option that has no effect.
        """
        if question is not None and ranks:
            raise InputError("--ranks: only for --file; a triple by itself is ranked anyway")
        whole = question is not None and question.asked is None
        for name, given in (("--top", top is not None), ("--new", new_only)):
            if whole and given:
                raise InputError(f"{name}: no effect where head, relation and tail are all given")
        return cls(cls.top if top is None else top, new_only, ranks or whole)


def single(
    head: str | None, relation: str | None, tail: str | None, file: str | None
) -> Question | None:
    """The question that a command asks by its options; None: those of a file.

    Raises:
        InputError: both, or neither, or more than one part left open.
    """
    if file is not None:
        given = {"--head": head, "--relation": relation, "--tail": tail}
        for option, name in given.items():
            if name is not None:
                raise InputError(f"{option}: not together with --file, whose lines ask")
        return None
    try:
        return Question(head, relation, tail)
    except InputError:
        raise InputError(
            "expected two of --head, --relation and --tail, or all three, or --file"
        ) from None


def parse(line: str) -> Question:
    r"""The question of a line; see the head of this module.

    Raises:
        InputError: it is none.

    Example:
        >>> print(parse("ada\tknows"), parse("?\tknows\tbob"))
        (ada, knows, ?) (?, knows, bob)
        >>> print(parse('{"head": "ada", "tail": "bob"}'))
        (ada, ?, bob)
    """
    # A line of names has a tab in it.
    if line.startswith("{") and "\t" not in line:
        return _parse_object(line)
    names = line.split("\t")
    if not 2 <= len(names) <= 3:
        raise InputError(f"{EXPECTED}; got {len(names)} column{'s' * (len(names) != 1)}")
    return Question(*(None if name in ("", OPEN) else name for name in names))


def _parse_object(line: str) -> Question:
    try:
        given = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a JSON object: {error}") from None
    for key in given:
        if key not in PARTS:
            raise InputError(f"{key}: unknown key; known: {', '.join(PARTS)}")
    return Question(**given)


def read_questions(path: Path, predictor: Predictor) -> list[Question]:
    """The questions of a file, plain or ``.gz``, all of which can be answered.

    Raises:
        InputError: the file cannot be read, or holds no question, or a line is none, or has an
            unknown name; the message names file and line.
    """
    found = []
    for number, line in lines(path):
        if line.strip():
            found.append(_checked(line, predictor, where=f"{path}:{number}"))
    if not found:
        raise InputError(f"{path}: no question in it; {EXPECTED}")
    return found


def _checked(line: str, predictor: Predictor, *, where: str) -> Question:
    """The question of a line, its names known."""
    kg = predictor.kg
    try:
        question = parse(line)
        if OPEN in line.split("\t") and (OPEN in kg.entities or OPEN in kg.relations):
            raise InputError(f"{OPEN!r} is a name here; ask by an empty column, or as JSON")
        predictor.ids(question)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return question


def reply(predictor: Predictor, questions: Sequence[Question], wish: Wish) -> list[Reply]:
    """What a run says to some questions, in their order."""
    lists = [question for question in questions if question.asked is not None]
    triples = [(q.head or "", q.relation or "", q.tail or "") for q in questions if not q.asked]
    listed = iter(predictor.ask(lists, top=wish.top, new_only=wish.new_only))
    said = iter(predictor.rank(triples) if wish.ranks else predictor.score(triples))
    return [next(listed) if question.asked else next(said) for question in questions]


class Form(ABC):
    """How questions and replies are written.

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
    def text(self, question: Question, reply: Reply) -> str:
        """One question and its reply, line ends included."""

    def refusal(self, sentence: str) -> str:
        """What stands in the place of a reply to a line that was refused."""
        return ""


class Table(Form):
    """For a person: aligned, names on one line each whatever is in them."""

    def head(self) -> str:
        """The run, and what the columns mean."""
        rule = "known: the splits, of train, valid and test, that hold it as a fact"
        if self.wish.new_only:
            rule = "left out: answers that train, valid or test hold as a fact"
        if self.wish.ranks:
            rule += "\nranks: among the answers that are not known otherwise, as in evaluation"
        return f"{self.predictor.about}\n{rule}\n"

    def text(self, question: Question, reply: Reply) -> str:
        """A heading and a row for each answer; one line for a triple."""
        title = f"\n{visible(str(question))}\n"
        if isinstance(reply, Fact):
            return title + "".join(f"  {name:<12} {value}\n" for name, value in _facets(reply))
        if not reply:
            return f"{title}  no answer that is not known\n"
        calibrated = self.predictor.calibration is not None
        rows = [["rank", str(question.asked), "score", *["probability"] * calibrated, "known"]]
        for answer in reply:
            chances = [] if answer.probability is None else [f"{answer.probability:.4f}"]
            known = ", ".join(answer.known) or "-"
            rows.append(
                [str(answer.rank), visible(answer.name), f"{answer.score:.4f}", *chances, known]
            )
        return title + "".join(f"{line}\n" for line in _aligned(rows))


class JsonLines(Form):
    """One object a line for each question, in their order; a refused line has an ``error``."""

    def text(self, question: Question, reply: Reply) -> str:
        """The question with its ``answers``; of a whole triple, what was said of it."""
        if isinstance(reply, Fact):
            content = asdict(reply)
        else:
            answers = [asdict(answer) for answer in reply]
            content = {**asdict(question), "answers": answers}
        return json.dumps(content) + "\n"

    def refusal(self, sentence: str) -> str:
        """An object in its place, so that lines in and out stay paired."""
        return json.dumps({"error": sentence}) + "\n"


class Csv(Form):
    """One row an answer, as RFC 4180 has it: a header, CRLF, quotes where they are needed."""

    COLUMNS = ("asked", *PARTS, "rank", "score", "probability", "known", "head_rank", "tail_rank")

    def head(self) -> str:
        """The names of the columns."""
        return _row(self.COLUMNS)

    def text(self, question: Question, reply: Reply) -> str:
        """A triple a row, the part that was asked for filled in."""
        if isinstance(reply, Fact):
            content = asdict(reply) | {"known": " ".join(reply.known)}
            return _row(content.get(column) for column in self.COLUMNS)
        rows = []
        for answer in reply:
            content = asdict(question) | asdict(answer) | {str(question.asked): answer.name}
            content |= {"asked": question.asked, "known": " ".join(answer.known)}
            rows.append(_row(content.get(column) for column in self.COLUMNS))
        return "".join(rows)


#: Forms by name; a table, unless one is asked for.
FORMS: dict[str | None, type[Form]] = {None: Table, "json": JsonLines, "csv": Csv}


def answer(form: Form, questions: Sequence[Question]) -> Iterator[str]:
    """The whole text, some questions at a time."""
    yield form.head()
    wish, n = form.wish, form.predictor.kg.num_entities
    at_once = max(1, HELD // min(wish.top, n))
    for first in range(0, len(questions), at_once):
        part = questions[first : first + at_once]
        replies = reply(form.predictor, part, wish)
        yield "".join(form.text(*pair) for pair in zip(part, replies, strict=True))


def answers(form: Form, question: Question | None, file: str | None) -> Iterator[str]:
    """The text of what a command asks: a question, or those of a file, ``-`` for standard input.

    Raises:
        InputError: an unknown name; the message names the option. Or see ``read_questions`` and
            ``converse``.
    """
    if question is None:
        if file is None or file == "-":
            return converse(form, sys.stdin.buffer)
        return answer(form, read_questions(Path(file), form.predictor))
    try:
        form.predictor.ids(question)
    except InputError as error:
        raise InputError(f"--{error}") from None
    return answer(form, [question])


def converse(form: Form, given: Iterable[bytes]) -> Iterator[str]:
    """Reply to lines as they come, to each before the next is read.

    A line that cannot be answered is logged, and the rest is answered nonetheless.

    Args:
        form: how to write.
        given: lines in UTF-8.

    Raises:
        InputError: at the end, where lines were refused.
    """
    yield form.head()
    refused = 0
    for number, raw in enumerate(given, start=1):
        where = f"standard input:{number}"
        try:
            line = _decoded(raw, where)
            if not line.strip():
                continue
            question = _checked(line, form.predictor, where=where)
            text = form.text(question, reply(form.predictor, [question], form.wish)[0])
        except InputError as error:
            refused += 1
            log.warning("%s", error)
            text = form.refusal(str(error))
        yield text
    if refused:
        raise InputError(f"standard input: {refused} of its lines could not be answered")


def _decoded(raw: bytes, where: str) -> str:
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8: {error.reason}") from None
    return line.removesuffix("\n").removesuffix("\r").removeprefix("\ufeff")


def _facets(fact: Fact) -> Iterator[tuple[str, str]]:
    """What is said of a triple, by name."""
    yield "score", f"{fact.score:.4f}"
    if fact.probability is not None:
        yield "probability", f"{fact.probability:.4f}"
    yield "known", ", ".join(fact.known) or "-"
    if fact.tail_rank is not None:
        yield "rank as tail", str(fact.tail_rank)
        yield "rank as head", str(fact.head_rank)


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
