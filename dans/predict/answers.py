"""Queries from text, and answers as text: what ``scripts/predict.py`` says and understands.

A line asks by tab-separated names, head, relation and tail, of which the one asked for is empty or
``?``; without the tail, the tail is asked for. Three names ask whether the triple holds. A line may
also be a JSON object with the keys ``head``, ``relation`` and ``tail``, the one asked for left out
or null; so names can be asked for that hold tabs, or are ``?``. Empty lines are skipped.
"""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dans.config.reading import lines, parse_json
from dans.errors import InputError
from dans.predict.output_formats import FORMS, Form, Reply, Wish
from dans.predict.predictor import Predictor
from dans.predict.queries import OPEN, PARTS, Query

__all__ = ["FORMS", "PARTS", "Wish", "answers", "single"]

log = logging.getLogger(__name__)

#: Answers held at a time before they are written.
HELD = 10_000

EXPECTED = (
    "expected head, relation and tail, separated by tabs, the one asked for empty or '?', or head "
    "and relation"
)


def single(
    head: str | None, relation: str | None, tail: str | None, file: str | None
) -> Query | None:
    """The query that a command asks by its options; None: those of a file.

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
        return Query(head, relation, tail)
    except InputError:
        raise InputError(
            "expected two of --head, --relation and --tail, or all three, or --file"
        ) from None


def parse(line: str) -> Query:
    r"""The query of a line; see the head of this module.

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
    return Query(*(None if name in ("", OPEN) else name for name in names))


def _parse_object(line: str) -> Query:
    given = parse_json(line, "query", kind="object")
    for key in given:
        if key not in PARTS:
            raise InputError(f"{key}: unknown key; known: {', '.join(PARTS)}")
    return Query(**given)


def read_queries(path: Path, predictor: Predictor) -> list[Query]:
    """The queries of a file, plain or ``.gz``, all of which can be answered.

    Raises:
        InputError: the file cannot be read, or holds no query, or a line is none, or has an
            unknown name; the message names file and line.
    """
    found = []
    for number, line in lines(path):
        if line.strip():
            found.append(_checked(line, predictor, where=f"{path}:{number}"))
    if not found:
        raise InputError(f"{path}: no query in it; {EXPECTED}")
    return found


def _checked(line: str, predictor: Predictor, *, where: str) -> Query:
    """The query of a line, its names known."""
    kg = predictor.kg
    try:
        query = parse(line)
        if OPEN in line.split("\t") and (OPEN in kg.entities or OPEN in kg.relations):
            raise InputError(f"{OPEN!r} is a name here; ask by an empty column, or as JSON")
        predictor.ids(query)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return query


def reply(predictor: Predictor, queries: Sequence[Query], wish: Wish) -> list[Reply]:
    """What a run says to some queries, in their order."""
    lists = [query for query in queries if query.asked is not None]
    triples = [(q.head or "", q.relation or "", q.tail or "") for q in queries if not q.asked]
    listed = iter(predictor.ask(lists, top=wish.top, new_only=wish.new_only))
    said = iter(predictor.rank(triples) if wish.ranks else predictor.score(triples))
    return [next(listed) if query.asked else next(said) for query in queries]


def answer(form: Form, queries: Sequence[Query]) -> Iterator[str]:
    """The whole text, some queries at a time."""
    yield form.head()
    wish, n = form.wish, form.predictor.kg.num_entities
    at_once = max(1, HELD // min(wish.top, n))
    for first in range(0, len(queries), at_once):
        part = queries[first : first + at_once]
        replies = reply(form.predictor, part, wish)
        yield "".join(form.text(*pair) for pair in zip(part, replies, strict=True))


def answers(form: Form, query: Query | None, file: str | None) -> Iterator[str]:
    """The text of what a command asks: a query, or those of a file, ``-`` for standard input.

    Raises:
        InputError: an unknown name; the message names the option. Or an option has no effect on
            any query of a file. Or see ``read_queries`` and
            ``converse``.
    """
    if query is None:
        if file is None or file == "-":
            return converse(form, sys.stdin.buffer)
        queries = read_queries(Path(file), form.predictor)
        for sentence in form.wish.idle({query.asked for query in queries}):
            raise InputError(f"{file}: {sentence}")
        return answer(form, queries)
    try:
        form.predictor.ids(query)
    except InputError as error:
        raise InputError(f"--{error}") from None
    return answer(form, [query])


def converse(form: Form, given: Iterable[bytes]) -> Iterator[str]:
    """Reply to lines as they come, to each before the next is read.

    A line that cannot be answered is logged, and the rest is answered nonetheless. An option that
    turned out to have no effect is logged at the end.

    Args:
        form: how to write.
        given: lines in UTF-8.

    Raises:
        InputError: at the end, where lines were refused.
    """
    yield form.head()
    refused, asked = 0, set()
    for number, raw in enumerate(given, start=1):
        where = f"standard input:{number}"
        try:
            line = _decoded(raw, where)
            if not line.strip():
                continue
            query = _checked(line, form.predictor, where=where)
            asked.add(query.asked)
            text = form.text(query, reply(form.predictor, [query], form.wish)[0])
        except InputError as error:
            refused += 1
            log.warning("%s", error)
            text = form.refusal(str(error))
        yield text
    for sentence in form.wish.idle(asked) if asked else ():
        log.warning("standard input: %s", sentence)
    if refused:
        raise InputError(f"standard input: {refused} of its lines could not be answered")


def _decoded(raw: bytes, where: str) -> str:
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = raw[error.start]
        raise InputError(
            f"{where}: byte {error.start + 1} of the line, 0x{byte:02x}, is not UTF-8"
        ) from None
    return line.removesuffix("\n").removesuffix("\r").removeprefix("\ufeff")
