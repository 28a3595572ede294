"""The answers to a query, a file of queries or standard input, as text."""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from dans.config.reading import MOST_LINE, decoded, lines
from dans.errors import InputError
from dans.predict.output_formats import Answers, OutputFormat, QueryOptions
from dans.predict.predictor import Predictor
from dans.predict.queries import OPEN, PARTS, SYNTAX, Query, parse

log = logging.getLogger(__name__)

#: Answers in memory at a time before they are written.
AT_ONCE = 10_000


def single(
    head: str | None, relation: str | None, tail: str | None, file: str | None
) -> Query | None:
    """The query given by a command's options; None where the queries come from a file."""
    if file is not None:
        for part, name in zip(PARTS, (head, relation, tail), strict=True):
            if name is not None:
                raise InputError(f"--{part}: not together with --file, whose lines ask")
        return None
    if [head, relation, tail].count(None) > 1:
        raise InputError("expected two of --head, --relation and --tail, or all three, or --file")
    return Query(head, relation, tail)


def read_queries(path: Path, predictor: Predictor) -> list[Query]:
    """The queries of a file, plain or ``.gz``, all names checked; empty lines are skipped."""
    numbered = ((f"{path}:{number}", line) for number, line in lines(path) if line.strip())
    found = [_parse_known(line, predictor, where) for where, line in numbered]
    if not found:
        raise InputError(f"{path}: no query in it; {SYNTAX}")
    return found


def _parse_known(line: str, predictor: Predictor, where: str) -> Query:
    kg = predictor.kg
    try:
        query = parse(line)
        if OPEN in line.split("\t") and (OPEN in kg.entities or OPEN in kg.relations):
            raise InputError(f"{OPEN!r} is a name here; ask by an empty column, or as JSON")
        predictor.ids(query)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return query


def predict(predictor: Predictor, queries: Sequence[Query], options: QueryOptions) -> list[Answers]:
    """Ranked answers to the queries with a missing part, scores of the whole triples, in order."""
    missing = [query for query in queries if query.target]
    triples = [(q.head or "", q.relation or "", q.tail or "") for q in queries if not q.target]
    top, new_only, among = options.top, options.new_only, options.among
    ranked = iter(predictor.predict(missing, top=top, new_only=new_only, among=among))
    whole = predictor.rank(triples, among=among) if options.ranks else predictor.score(triples)
    scored = iter(whole)
    return [next(ranked) if query.target else next(scored) for query in queries]


def write(output: OutputFormat, queries: Sequence[Query]) -> Iterator[str]:
    """The text for known queries, a chunk of them at a time."""
    yield output.head()
    options, predictor = output.options, output.predictor
    rows = max(1, AT_ONCE // min(options.top, predictor.kg.num_entities))
    for first in range(0, len(queries), rows):
        part = queries[first : first + rows]
        answers = predict(predictor, part, options)
        yield "".join(output.text(*pair) for pair in zip(part, answers, strict=True))


def answer(output: OutputFormat, query: Query | None, file: str | None) -> Iterator[str]:
    """The text for one query, or for the queries of a file, ``-`` for standard input."""
    if query is not None:
        try:
            output.predictor.ids(query)
        except InputError as error:
            raise InputError(f"--{error}") from None
        return write(output, [query])
    if file is None or file == "-":
        if sys.stdin is None:
            raise InputError("standard input is closed; name a file of queries with --file")
        return answer_stream(output, iter(partial(sys.stdin.buffer.readline, MOST_LINE + 1), b""))
    queries = read_queries(Path(file), output.predictor)
    for sentence in output.options.without_effect({query.target for query in queries}):
        raise InputError(f"{file}: {sentence}")
    return write(output, queries)


def answer_stream(output: OutputFormat, stream: Iterable[bytes]) -> Iterator[str]:
    """The text for lines in UTF-8, each answered before the next is read.

    A line that is no query is logged and skipped, and refused at the end; an option without effect
    is logged at the end.
    """
    yield output.head()
    refused, targets = 0, set()
    for number, raw in enumerate(stream, start=1):
        # The rest of such a line cannot be told from a query: nothing after it is answered.
        if len(raw) > MOST_LINE:
            limit = f"{MOST_LINE >> 20} MiB"
            raise InputError(f"standard input:{number}: a line of more than {limit}; is this text?")
        try:
            line = decoded(raw, "standard input", number).removesuffix("\n").removesuffix("\r")
            line = line.removeprefix("\ufeff")
            if not line.strip():
                continue
            query = _parse_known(line, output.predictor, f"standard input:{number}")
            targets.add(query.target)
            text = output.text(query, predict(output.predictor, [query], output.options)[0])
        except InputError as error:
            refused += 1
            log.warning("%s", error)
            text = output.refusal(str(error))
        yield text
    for sentence in output.options.without_effect(targets) if targets else ():
        log.warning("standard input: %s", sentence)
    if refused:
        raise InputError(f"standard input: {refused} of its lines could not be answered")
