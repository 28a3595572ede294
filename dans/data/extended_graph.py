"""A graph with further triples of training, and with the new entities that they name."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dans.data.feature_tables import Cells
from dans.data.graph import KnowledgeGraph, Vocabulary
from dans.data.own_triples import named
from dans.data.query_index import first_rows
from dans.errors import InputError

log = logging.getLogger(__name__)


def extended(
    kg: KnowledgeGraph,
    triples: Any,
    *,
    what: str = "triples",
    features: Mapping[str, Any] | None = None,
    new_relations: bool = False,
) -> KnowledgeGraph:
    """The graph whose train has further triples, and whose new entities have features.

    Names that the graph does not have come last, in order of appearance, entities of triples before
    those that features alone name; all others keep their ids. Triples that train has already are
    ignored; without anything else it is the same graph. Where the graph has features so do the new
    entities: those that are given, and the others are missing.

    Args:
        kg: the graph.
        triples: a path of what `dans.load` reads as one file, or triples of names in a list, a data
            frame or another object that it takes.
        what: the name of the argument, which opens errors about triples in memory.
        features: of new entities, by the names of the graph's tables, as
            `dans.data.entity_features.EntityFeatures.of_others` takes them.
        new_relations: take relations that the graph does not have, in place of refusing them.

    Raises:
        InputError: a relation is not one of the graph's, or a triple is not three names; by file
            and line. Or features are of an entity that the graph has.

    Example:
        >>> kg = KnowledgeGraph.of([("ada", "knows", "bob")])
        >>> more = extended(kg, [("cy", "knows", "ada"), ("ada", "knows", "bob")])
        >>> more, more.entities.names
        (KnowledgeGraph(entities=3, relations=1, train=2, valid=0, test=0), ('ada', 'bob', 'cy'))
        >>> extended(kg, [("cy", "know", "ada")])
        Traceback (most recent call last):
        dans.errors.InputError: triples[0]: relation: unknown name 'know'; did you mean 'knows'?
        >>> kg = kg.with_features({"age": {"ada": 30, "bob": 50}})
        >>> more = extended(kg, [], features={"age": {"eve": 60}})
        >>> more.entities.names, more.features.values.flatten().tolist()
        (('ada', 'bob', 'eve'), [-1.0, 1.0, 2.0])
    """
    new: dict[str, int] = {}
    further: dict[str, int] = {}

    def entity(name: str) -> int:
        known = name in kg.entities
        return (
            kg.entities.index(name) if known else new.setdefault(name, len(kg.entities) + len(new))
        )

    def relation(name: str, where: str) -> int:
        if not new_relations or name in kg.relations:
            return kg.relations.index(name, where=f"{where}: relation")
        return further.setdefault(name, len(kg.relations) + len(further))

    found = named(triples, kg, what)
    if isinstance(found, Tensor):
        raise InputError(f"{what}: expected names, for new entities have no ids; got whole numbers")
    rows = [
        (entity(head), relation(name, where), entity(tail))
        for where, (head, name, tail, holds) in found.lines
        if holds
    ]
    given = torch.tensor(rows, dtype=torch.int64).view(-1, 3)
    cells: dict[str, Cells] = {}
    if features is not None:
        if kg.features is None:
            raise InputError("features: the graph has none; leave them out")
        cells = kg.features.read(features)
        for name in _new_names(kg, cells):
            entity(name)
    names = Vocabulary((*kg.entities.names, *new)) if new else kg.entities
    added = _not_in(kg, given)
    if len(added) < len(given):
        log.info("%s: %d are in train already; ignored", what, len(given) - len(added))
    if not len(added) and not new:
        return kg
    own = kg.features
    if own is not None and new:
        own = own.followed_by(own.of_cells(cells, list(new)))
    relations = Vocabulary((*kg.relations.names, *further)) if further else kg.relations
    train, labelled = torch.cat((kg.train, added)), dict(kg.labelled)
    if "train" in labelled:
        lines, labels = labelled["train"]
        holds = torch.ones(len(added), dtype=torch.bool)
        labelled["train"] = torch.cat((lines, added)), torch.cat((labels, holds))
    return replace(
        kg, entities=names, relations=relations, train=train, labelled=labelled, features=own
    )


def _new_names(kg: KnowledgeGraph, tables: Mapping[str, Cells]) -> Iterator[str]:
    """The names of the rows of tables, none of which is an entity of the graph."""
    for cells in tables.values():
        if cells.names is None:
            known = "expected names, as a .csv or .parquet has them in its first column"
            raise InputError(f"{cells.where}: has rows without names; {known}")
        for row, name in enumerate(cells.names):
            if name in kg.entities:
                stays = "is an entity of the graph, whose features stay as they are; leave it out"
                raise InputError(f"{cells.place(row)}: {stays}")
            if not name.strip():
                raise InputError(f"{cells.place(row)}: expected the name of an entity")
            yield name


def _not_in(kg: KnowledgeGraph, given: Tensor) -> Tensor:
    """The distinct triples among (·, 3) that train lacks; ids may be beyond those of the graph."""
    sizes = torch.tensor([kg.num_entities, kg.num_relations, kg.num_entities])
    some = given[first_rows(given.unique(dim=0, return_inverse=True)[1])]
    new = (some >= sizes).any(1)
    new[~new] = ~kg.known(("train",)).is_known(some[~new])
    return some[new]
