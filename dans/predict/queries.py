"""Queries and their answers by name, and queries read from text."""

from dataclasses import dataclass
from typing import Literal

from dans.config.reading import parse_json
from dans.data.readers import Split
from dans.errors import InputError, shown

#: The missing part of a query, where it stands alone in a column.
OPEN = "?"

#: A part of a triple.
Part = Literal["head", "relation", "tail"]
PARTS: tuple[Part, ...] = ("head", "relation", "tail")

#: How a line of queries is written.
SYNTAX = (
    "expected head, relation and tail, separated by tabs, the one asked for empty or '?', or head "
    "and relation"
)


@dataclass(frozen=True)
class Query:
    """A triple by name with at most one part missing, which is to be predicted.

    Example:
        >>> Query("ada", "knows").target
        'tail'
        >>> print(Query(relation="knows", tail="bob"))
        (?, knows, bob)
    """

    head: str | None = None
    relation: str | None = None
    tail: str | None = None

    def __post_init__(self) -> None:
        """Check the parts."""
        for part, name in zip(PARTS, self.parts, strict=True):
            if name is not None and not isinstance(name, str):
                raise InputError(f"{part}: expected a name, got {shown(name)}")
        if len(self.missing) > 1:
            left = f"{' and '.join(self.missing)} are left open"
            raise InputError(f"expected head, relation and tail, or two of them; {left}")

    @property
    def parts(self) -> tuple[str | None, str | None, str | None]:
        """Head, relation, tail."""
        return self.head, self.relation, self.tail

    @property
    def missing(self) -> list[Part]:
        """The parts that are None."""
        return [part for part, name in zip(PARTS, self.parts, strict=True) if name is None]

    @property
    def target(self) -> Part | None:
        """The missing part; None for a whole triple."""
        return self.missing[0] if self.missing else None

    def __str__(self) -> str:
        """As a triple; a name that is ``?`` stands in quotes."""
        names = (repr(name) if name == OPEN else name or OPEN for name in self.parts)
        return f"({', '.join(names)})"


@dataclass(frozen=True)
class Answer:
    """One predicted entity, or relation, of a query; ``rank`` is its position, from 1."""

    rank: int
    name: str
    score: float
    #: that the triple holds; None for a run without calibration, and for a relation whose score is
    #: log p(r | h, t)
    probability: float | None
    #: the splits that hold the triple
    known: tuple[Split, ...]


@dataclass(frozen=True)
class ScoredTriple:
    """A whole triple with its score and, on demand, its filtered ranks, ties counted half."""

    head: str
    relation: str
    tail: str
    #: with reciprocal relations, the mean of both directions
    score: float
    #: as in ``Answer``
    probability: float | None
    known: tuple[Split, ...]
    #: for (?, r, t)
    head_rank: float | None = None
    #: for (h, r, ?)
    tail_rank: float | None = None


def parse(line: str) -> Query:
    r"""Read a query from a line of names with tabs between them, or of a JSON object.

    In columns, the missing part is empty or ``?``, and a missing tail may be left out altogether.
    In an object, whose names may hold tabs or be ``?``, the missing key is left out or null.

    Example:
        >>> print(parse("ada\tknows"), parse("?\tknows\tbob"))
        (ada, knows, ?) (?, knows, bob)
        >>> print(parse('{"head": "ada", "tail": "bob"}'))
        (ada, ?, bob)
    """
    # A line of names has a tab in it.
    if line.startswith("{") and "\t" not in line:
        given = parse_json(line, "query", kind="object")
        for key in given:
            if key not in PARTS:
                raise InputError(f"{key}: unknown key; known: {', '.join(PARTS)}")
        return Query(**given)
    names = line.split("\t")
    if not 2 <= len(names) <= 3:
        raise InputError(f"{SYNTAX}; got {len(names)} column{'s' * (len(names) != 1)}")
    return Query(*(None if name in ("", OPEN) else name for name in names))
