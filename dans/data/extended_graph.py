"""A graph with further triples of training, and with the new entities that they name."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph, Vocabulary
from dans.data.readers import numbered_lines
from dans.errors import InputError, shown

log = logging.getLogger(__name__)

#: Triples by name in memory, or a file of them: three columns, separated by tabs.
NamedTriples = str | Path | Iterable[tuple[str, str, str]]


def extended(kg: KnowledgeGraph, triples: NamedTriples, *, what: str = "triples") -> KnowledgeGraph:
    """The graph whose train has further triples.

    Entities that the graph does not have come last, in order of appearance; all others, and the
    relations, keep their ids. Triples that train has already are ignored.

    Args:
        kg: the graph.
        triples: by name.
        what: the name of the argument, which opens errors about triples in memory.

    Raises:
        InputError: a relation is not one of the graph's, or a triple is not three names.

    Example:
        >>> kg = KnowledgeGraph.of([("ada", "knows", "bob")])
        >>> more = extended(kg, [("cy", "knows", "ada"), ("ada", "knows", "bob")])
        >>> more, more.entities.names
        (KnowledgeGraph(entities=3, relations=1, train=2, valid=0, test=0), ('ada', 'bob', 'cy'))
        >>> extended(kg, [("cy", "know", "ada")])
        Traceback (most recent call last):
        dans.errors.InputError: triples[0]: relation: unknown name 'know'; did you mean 'knows'?
    """
    new: dict[str, int] = {}

    def entity(name: str) -> int:
        known = name in kg.entities
        return kg.entities.index(name) if known else new.setdefault(name, len(kg.entities) + len(new))

    rows = [
        (entity(head), kg.relations.index(relation, where=f"{where}: relation"), entity(tail))
        for where, (head, relation, tail) in named(triples, what)
    ]
    given = torch.tensor(rows, dtype=torch.int64).view(-1, 3)
    names = Vocabulary((*kg.entities.names, *new)) if new else kg.entities
    added = _not_in(kg, given)
    if len(added) < len(given):
        log.info("%s: %d are in train already; ignored", what, len(given) - len(added))
    return replace(kg, entities=names, train=torch.cat((kg.train, added)))


def _not_in(kg: KnowledgeGraph, given: Tensor) -> Tensor:
    """The distinct triples among (·, 3) that train lacks; ids may be beyond those of the graph."""
    old = (given < torch.tensor([kg.num_entities, kg.num_relations, kg.num_entities])).all(1)
    again = torch.zeros(len(given), dtype=torch.bool)
    again[old] = kg.known(("train",)).is_known(given[old])
    once = {tuple(row): i for i, row in reversed(list(enumerate(given.tolist())))}
    first = torch.zeros(len(given), dtype=torch.bool)
    first[list(once.values())] = True
    return given[first & ~again]


def named(triples: NamedTriples, what: str) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Triples by name, each with its place: file and line, or the position in what was given."""
    if isinstance(triples, (str, Path)):
        for number, line in numbered_lines(Path(triples)):
            names = line.split("\t")
            if line and (len(names) != 3 or not all(name.strip() for name in names)):
                raise InputError(
                    f"{triples}:{number}: expected head, relation and tail, separated by tabs, got "
                    f"{shown(line)}"
                )
            if line:
                yield f"{triples}:{number}", (names[0], names[1], names[2])
        return
    for i, triple in enumerate(triples):
        given = () if isinstance(triple, str) else tuple(triple)
        if len(given) != 3 or not all(isinstance(name, str) and name.strip() for name in given):
            raise InputError(f"{what}[{i}]: expected three names, got {shown(triple)}")
        yield f"{what}[{i}]", (given[0], given[1], given[2])
