"""Queries and answers by name, as data."""

from dataclasses import dataclass
from typing import Literal

from dans.data.readers import Split
from dans.errors import InputError, shown

#: What asks, where it stands alone in a column.
OPEN = "?"

#: What can be asked for.
Part = Literal["head", "relation", "tail"]
PARTS: tuple[Part, ...] = ("head", "relation", "tail")


@dataclass(frozen=True)
class Query:
    """A triple by name, of which one part is asked for; or none, which asks whether it holds.

    Raises:
        InputError: more than one part is left open, or a part is no name.

    Example:
        >>> Query("ada", "knows").asked
        'tail'
        >>> print(Query(relation="knows", tail="bob"))
        (?, knows, bob)
    """

    head: str | None = None
    relation: str | None = None
    tail: str | None = None

    def __post_init__(self) -> None:
        """Check that it can be answered."""
        for part, name in zip(PARTS, self.parts, strict=True):
            if name is not None and not isinstance(name, str):
                raise InputError(f"{part}: expected a name, got {shown(name)}")
        missing = [part for part, name in zip(PARTS, self.parts, strict=True) if name is None]
        if len(missing) > 1:
            raise InputError(
                f"expected head, relation and tail, or two of them; {' and '.join(missing)} are "
                "left open"
            )

    @property
    def parts(self) -> tuple[str | None, str | None, str | None]:
        """Head, relation, tail."""
        return self.head, self.relation, self.tail

    @property
    def asked(self) -> Part | None:
        """The part that is asked for; None where all are given."""
        return next((p for p, name in zip(PARTS, self.parts, strict=True) if name is None), None)

    def __str__(self) -> str:
        """As a triple; a name that is a query mark stands in quotes."""
        names = (repr(name) if name == OPEN else name or OPEN for name in self.parts)
        return f"({', '.join(names)})"


@dataclass(frozen=True)
class Answer:
    """One answer to a query.

    Args:
        rank: its place in the list, from 1.
        name: of an entity; of a relation, where that was asked.
        score: the model's; larger is truer.
        probability: that the triple holds, where the run is calibrated.
        known: the splits that hold it as a triple.
    """

    rank: int
    name: str
    score: float
    probability: float | None
    known: tuple[Split, ...]


@dataclass(frozen=True)
class LabelledTriple:
    """What a model says of a whole triple.

    Args:
        head: a name.
        relation: a name.
        tail: a name.
        score: the model's; larger is truer. With reciprocal relations, the mean of both scores.
        probability: that it holds, where the run is calibrated.
        known: the splits that hold it as a triple.
        head_rank: of its head among the answers to (?, r, t) that are not known otherwise, ties
            counted half, as in evaluation.
        tail_rank: the same of its tail and (h, r, ?).
    """

    head: str
    relation: str
    tail: str
    score: float
    probability: float | None
    known: tuple[Split, ...]
    head_rank: float | None = None
    tail_rank: float | None = None
