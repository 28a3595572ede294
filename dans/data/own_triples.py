"""Triples of one's own by name, from a file or an object, and their ids in a graph."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import contains
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph, Vocabulary
from dans.data.known_triples import KnownTriples
from dans.data.objects import triples_of
from dans.data.readers import Line
from dans.data.sources import file_lines
from dans.data.triple_tables import ROLES
from dans.errors import InputError, one_of, shown

log = logging.getLogger(__name__)

#: The name of an id that was given in an array; WN18RR has names such as ``00260881``.
NUMBER = re.compile("0|[1-9][0-9]*")

#: What becomes of a line with a name that the graph does not have.
Unknown = Literal["refuse", "drop"]


@dataclass(frozen=True)
class NamedLines:
    """Lines of names, each with its place: file and line, or the position in what was given.

    ``labelled``: whether they have labels; without, all lines are labelled true.
    """

    labelled: bool
    lines: Iterator[tuple[str, Line]]


def named(given: Any, kg: KnowledgeGraph, what: str = "triples") -> NamedLines | Tensor:
    """The lines of a file or of an object in memory; an array of ids, (f, 3), as it is.

    Args:
        given: a path of what `dans.load` reads as one file, or triples of names in a list, an
            iterator, a data frame or another object that it takes.
        kg: by whose names a first triple is told from a header.
        what: the name of an argument, which opens errors about triples in memory.

    Raises:
        InputError: a triple is not three names; by file and line.

    Example:
        >>> kg = KnowledgeGraph.of([("ada", "knows", "bob")])
        >>> list(named([("ada", "knows", "bob")], kg).lines)
        [('triples[0]', ('ada', 'knows', 'bob', True))]
    """
    if isinstance(given, Iterator):
        given = list(given)
    if not isinstance(given, (str, os.PathLike)):
        found, _ = triples_of(given, what)
        if isinstance(found, Tensor):
            return found
        rows = enumerate(found)
        return NamedLines(False, ((f"{what}[{i}]", (h, r, t, True)) for i, (h, r, t, _) in rows))
    if not str(given):
        raise InputError(f"{what or 'triples'}: expected a path, got {given!r}")
    numbers = array("q")
    labelled, lines = file_lines(Path(given), numbers, (kg.entities, kg.relations))
    return NamedLines(labelled, _placed(lines, str(given), numbers))


def _placed(lines: Iterable[Line], where: str, numbers: array[int]) -> Iterator[tuple[str, Line]]:
    for i, line in enumerate(lines):
        # Files of RDF and Parquet have no lines to number.
        yield f"{where}:{numbers[-1]}" if numbers else f"{where}[{i}]", line


def ids_of(kg: KnowledgeGraph, names: Sequence[str], where: str) -> list[int]:
    """The ids of head, relation and tail; an unknown name is refused by its place.

    Example:
        >>> kg = KnowledgeGraph.of([("ada", "knows", "bob")])
        >>> ids_of(kg, ("bob", "know", "bob"), "own.tsv:2")
        Traceback (most recent call last):
        dans.errors.InputError: own.tsv:2: relation: unknown name 'know'; did you mean 'knows'?
    """
    roles = zip(ROLES, _columns(kg), names, strict=True)
    return [column.index(name, where=f"{where}: {role}") for role, column, name in roles]


def _check_ids(kg: KnowledgeGraph, ids: Tensor, where: str) -> None:
    """Refuse ids that the graph does not have, and numbers that may be its names, not its ids."""
    # A graph of an array has its numbers as names: 1 may be the name of the entity with id 0.
    for what, names in (("entity", kg.entities.names), ("relation", kg.relations.names)):
        other = next((i for i, name in enumerate(names) if name != str(i)), None)
        if other is not None and all(map(NUMBER.fullmatch, names)):
            found = f"where the {what} with id {other} has the name {names[other]!r}"
            raise InputError(
                f"{where}: numbers of an array are ids of {kg.name}, {found}; give a list of names:"
                " tolist() if they are names, kg.entities[id] and kg.relations[id] if they are ids"
            )
    sizes = torch.tensor([len(column) for column in _columns(kg)])
    wrong = ((ids < 0) | (ids >= sizes)).nonzero()
    if len(wrong):
        row, column = wrong[0].tolist()
        known = f"expected an id of {kg.name}, below {sizes[column]}"
        raise InputError(f"{where}[{row}]: {ROLES[column]}: {known}, got {int(ids[row, column])}")


def _warn_of_both(kg: KnowledgeGraph, triples: Tensor, labels: Tensor, where: str) -> None:
    """Warn of triples that are labelled true in a line, and false in another."""
    sizes = kg.num_entities, kg.num_relations
    if sizes[0] ** 2 * sizes[1] >= 2**63:
        return
    false = triples[~labels]
    both = false[KnownTriples(triples[labels], *sizes).is_known(false)].unique(dim=0)
    if len(both):
        h, r, t = both[0].tolist()
        example = (kg.entities[h], kg.relations[r], kg.entities[t])
        many = f"{len(both)} triples are" if len(both) > 1 else "a triple is"
        log.warning("%s: %s labelled true and false, as %s", where, many, shown(example))


def _columns(kg: KnowledgeGraph) -> tuple[Vocabulary, Vocabulary, Vocabulary]:
    return kg.entities, kg.relations, kg.entities


@dataclass(frozen=True)
class OwnTriples:
    """Lines that are in no split of a graph, as its ids.

    Attributes:
        name: of the file; ``triples`` for an object in memory.
        lines: (f, 3) int64, all lines.
        holds: (f,) bool, their labels; all true where there are none.
        labelled: whether the lines have labels.
        dropped: how many lines were left out, since the graph lacks a name of theirs.
    """

    name: str
    lines: Tensor
    holds: Tensor
    labelled: bool = False
    dropped: int = 0

    @classmethod
    def of(
        cls, kg: KnowledgeGraph, given: Any, *, unknown: Unknown = "refuse", empty: bool = False
    ) -> OwnTriples:
        """Read a file, or an object in memory.

        Args:
            kg: whose names are known.
            given: a path of what `dans.load` reads as one file; a text table may have labels, 1 or
                -1, as its fourth column. Or triples of names in a list, an iterator, a data frame,
                an array; whole numbers in an array are ids of the graph.
            unknown: ``refuse`` a name that the graph lacks, or ``drop`` its lines and count them.
            empty: take an object in memory without triples. A file without is always refused.

        Raises:
            InputError: a name is unknown, by file and line; or there is no line, or none is left;
                or numbers of an array may be ids or names, which differ.

        Example:
            >>> kg = KnowledgeGraph.of([("ada", "knows", "bob"), ("bob", "knows", "ada")])
            >>> OwnTriples.of(kg, [("ada", "knows", "ada")]).lines
            tensor([[0, 0, 0]])
        """
        one_of("unknown", unknown, get_args(Unknown))
        where = str(given) if isinstance(given, (str, os.PathLike)) else "triples"
        found = named(given, kg, where)
        if isinstance(found, Tensor):
            _check_ids(kg, found, where)
            if not (len(found) or empty):
                raise InputError(f"{where}: no triple in it")
            return cls(where, found, torch.ones(len(found), dtype=torch.bool))
        ids, holds, dropped = array("q"), bytearray(), 0
        for at, (*names, label) in found.lines:
            if unknown == "drop" and not all(map(contains, _columns(kg), names)):
                dropped += 1
                continue
            ids.extend(ids_of(kg, names, at))
            holds.append(label)
        if dropped:
            sentence = "%s: %d of %d lines have a name that %s lacks; they are left out"
            log.warning(sentence, where, dropped, dropped + len(holds), kg.name)
        if dropped and not holds:
            raise InputError(f"{where}: no line is left whose names {kg.name} has")
        if not holds:
            if not empty:
                raise InputError(f"{where}: no triple in it")
            return cls(where, torch.empty(0, 3, dtype=torch.int64), torch.empty(0).bool())
        triples = torch.frombuffer(ids, dtype=torch.int64).view(-1, 3)
        labels = torch.frombuffer(holds, dtype=torch.bool)
        if found.labelled:
            _warn_of_both(kg, triples, labels, where)
        return cls(Path(where).name, triples, labels, found.labelled, dropped)

    @property
    def label(self) -> str:
        """What reports call it: ``own-`` and the file's name without suffixes.

        Example:
            >>> OwnTriples("new triples.tsv.gz", torch.empty(0, 3), torch.empty(0)).label
            'own-new_triples'
        """
        return "own-" + re.sub(r"[^\w-]", "_", self.name.split(".")[0] or "triples")

    def graph(self, kg: KnowledgeGraph) -> KnowledgeGraph:
        """The graph with these lines as its split test; its own test triples are part of valid.

        So the filter set of its three splits is that of train, valid, test and these.
        """
        return replace(
            kg,
            valid=torch.cat((kg.valid, kg.test)),
            test=self.lines[self.holds],
            labelled={"test": (self.lines, self.holds)} if self.labelled else {},
            given_negatives={},
        )

    def stated(self) -> dict[str, Any]:
        """For the protocol of a report: what they are, with a digest of their ids and labels."""
        digest = hashlib.sha256(self.lines.numpy().tobytes() + self.holds.numpy().tobytes())
        counts = {"lines": len(self.lines), "dropped": self.dropped}
        return {"name": self.name, **counts, "digest": digest.hexdigest()}
