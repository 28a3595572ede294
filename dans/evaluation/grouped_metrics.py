"""Metrics by relation, category of relation, degree or type of the answer."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError, shown, textual, visible
from dans.evaluation.ranking import metrics
from dans.evaluation.text_table import aligned
from dans.samplers.entity_types import cardinalities, read_concepts

if TYPE_CHECKING:
    from dans.evaluation.evaluator import Ranks

#: Classes of relations, in the order of `dans.samplers.entity_types.cardinalities`.
CLASSES = ("1-1", "1-N", "N-1", "N-N")
#: The class of a relation without training triples.
UNSEEN = "not in train"

#: The least degree of each class of degrees.
DEGREES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

#: Characters of a name that a table shows.
LONGEST = 40

#: What metrics can be grouped by; ``type`` with a file, ``type:FILE``.
BY = ("relation", "category", "degree", "type")

#: A row of a table by the title of its columns.
Row = dict[str, str | float | None]

#: The group of answers without a type.
UNTYPED = "no type"


def classify(train: Tensor, num_relations: int) -> list[str]:
    """The class of every relation, one of ``CLASSES`` or ``UNSEEN``.

    See `dans.samplers.entity_types.cardinalities`.

    Example:
        >>> classify(torch.tensor([[0, 0, 1], [0, 0, 2], [3, 1, 4]]), 3)
        ['1-N', '1-1', 'not in train']
    """
    counts = torch.bincount(train[:, 1], minlength=num_relations)
    kinds = cardinalities(train, num_relations)
    return [
        CLASSES[kind] if count else UNSEEN
        for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True)
    ]


def degrees(train: Tensor, num_entities: int) -> Tensor:
    """How many distinct training triples contain each entity, (n,); a self-loop counts once."""
    heads, _, tails = train.unique(dim=0).unbind(1)
    ends = torch.cat((heads, tails[tails != heads]))
    return torch.bincount(ends, minlength=num_entities)


def degree_classes() -> list[str]:
    """Names of the classes of degrees.

    Example:
        >>> degree_classes()[:4], degree_classes()[-1]
        (['0', '1', '2–4', '5–9'], '1000 or more')
    """
    names = [
        str(low) if above == low + 1 else f"{low}–{above - 1}" for low, above in pairwise(DEGREES)
    ]
    return [*names, f"{DEGREES[-1]} or more"]


def degree_class(degree: Tensor) -> Tensor:
    """The class of each degree, as a row of ``degree_classes``."""
    return torch.bucketize(degree, torch.tensor(DEGREES), right=True) - 1


@dataclass(frozen=True)
class Grouping:
    """Groups of queries.

    Attributes:
        names: of the g groups.
        about: the properties of each group, by the title of a column.
        rows: (p,) rows of queries, counted over the flattened (f, 2) ranks; a query may have
            several groups, or none.
        groups: (p,) the group of each.
    """

    names: Sequence[str]
    about: Sequence[dict[str, str | int]]
    rows: Tensor
    groups: Tensor

    @classmethod
    def of(
        cls, names: Sequence[str], about: Sequence[dict[str, str | int]], groups: Tensor
    ) -> Grouping:
        """One group for each query, (f, 2): of heads and of tails."""
        return cls(names, about, torch.arange(groups.numel()), groups.flatten())

    @classmethod
    def by_category(cls, kg: KnowledgeGraph, triples: Tensor) -> Grouping:
        """The category of the relation of (f, 3) triples: 1-1, 1-N, N-1 or N-N."""
        every = [*CLASSES, UNSEEN]
        names = classify(kg.train, kg.num_relations)
        classes = torch.tensor([every.index(name) for name in names])
        about: list[dict[str, str | int]] = [{"relations": names.count(name)} for name in every]
        return cls.of(every, about, classes[triples[:, [1, 1]]])

    @classmethod
    def by_degree(cls, kg: KnowledgeGraph, triples: Tensor) -> Grouping:
        """The degree of the answer."""
        classes, names = degree_class(degrees(kg.train, kg.num_entities)), degree_classes()
        counts = torch.bincount(classes, minlength=len(names)).tolist()
        about: list[dict[str, str | int]] = [{"entities": count} for count in counts]
        return cls.of(names, about, classes[triples[:, [0, 2]]])

    @classmethod
    def by_relation(cls, kg: KnowledgeGraph, triples: Tensor) -> Grouping:
        """The relation."""
        distinct = kg.train.unique(dim=0)[:, 1]
        counts = torch.bincount(distinct, minlength=kg.num_relations).tolist()
        kinds = zip(classify(kg.train, kg.num_relations), counts, strict=True)
        about: list[dict[str, str | int]] = [{"class": k, "training triples": n} for k, n in kinds]
        return cls.of(kg.relations.names, about, triples[:, [1, 1]])

    @classmethod
    def by_type(cls, kg: KnowledgeGraph, triples: Tensor, path: str) -> Grouping:
        """The types of the answer, from a file of lines of entity, tab, type.

        A query counts for each type of its answer.
        """
        types = read_concepts(path, kg.entities)
        counts = torch.bincount(types.concepts, minlength=types.num_concepts).tolist()
        answers = triples[:, [0, 2]].flatten()
        rows, groups = types.of(answers)
        without = (types.starts.diff()[answers] == 0).nonzero().squeeze(1)
        counts.append(int((types.starts.diff() == 0).sum()))
        about: list[dict[str, str | int]] = [{"entities": count} for count in counts]
        rest = torch.full_like(without, types.num_concepts)
        names = (*types.names.names, UNTYPED)
        return cls(names, about, torch.cat((rows, without)), torch.cat((groups, rest)))


@dataclass(frozen=True)
class Group:
    """The metrics of the queries of a group, by side; empty where a side has none."""

    name: str
    about: dict[str, str | int]
    both: dict[str, float]
    heads: dict[str, float]
    tails: dict[str, float]

    def row(self, label: str, prefix: str = "") -> Row:
        """One row of a table: properties, queries, metrics, and the MRR of each side."""
        both: Row = {f"{prefix}{name}": of for name, of in self.both.items() if name != "queries"}
        for side, numbers in (("heads", self.heads), ("tails", self.tails)):
            both[f"{side}_{prefix}mrr"] = numbers.get("mrr")
        return {label: self.name, **self.about, "queries": self.both["queries"], **both}


def grouped(ranks: Ranks, grouping: Grouping, *, ks: Sequence[int] = (1, 3, 10)) -> list[Group]:
    """The metrics of each group that has a query, in the order of the grouping."""
    order = grouping.groups.argsort(stable=True)
    counts = torch.bincount(grouping.groups, minlength=len(grouping.names)).tolist()
    realistic, candidates = ranks.realistic.flatten(), ranks.candidates.flatten()
    found = []
    for i, rows in enumerate(grouping.rows[order].split(counts)):
        if not len(rows):
            continue
        sides = rows, rows[rows % 2 == 0], rows[rows % 2 == 1]
        numbers = (
            metrics(realistic[own], candidates[own], ks=ks) if len(own) else {} for own in sides
        )
        found.append(Group(grouping.names[i], grouping.about[i], *numbers))
    return found


def check_by(by: str) -> tuple[str, str]:
    """A grouping's kind, and of types the file.

    Example:
        >>> check_by("type:types.tsv")
        ('type', 'types.tsv')
        >>> check_by("relations")
        Traceback (most recent call last):
        dans.errors.InputError: by: expected one of relation, category, degree, type:FILE; got ...
    """
    textual("by", by)
    kind, _, path = by.partition(":")
    if kind not in BY or bool(path) != (kind == "type"):
        accepted = ", ".join([*BY[:-1], "type:FILE"])
        raise InputError(f"by: expected one of {accepted}; got {shown(by)}")
    return kind, path


def group_rows(kg: KnowledgeGraph, ranks: Ranks, by: str, *, prefix: str = "") -> list[Row]:
    """The metrics of each group; see ``EvaluationReport.rows``."""
    kind, path = check_by(by)
    if kind == "type":
        grouping = Grouping.by_type(kg, ranks.triples, path)
    else:
        made = (Grouping.by_relation, Grouping.by_category, Grouping.by_degree)
        grouping = dict(zip(BY, made, strict=False))[kind](kg, ranks.triples)
    groups = grouped(ranks, grouping)
    if kind in ("relation", "type"):
        groups.sort(key=lambda group: -group.both["queries"])
    return [group.row(kind, prefix) for group in groups]


def table(rows: Sequence[Row]) -> list[str]:
    """Rows of ``Group.row`` as lines of a table: the first column to the left, – where none is.

    Names are cut at 40 characters; NDCG@5 and AMRI are left to the other formats.
    """
    kept = [name for name in rows[0] if not name.endswith(("ndcg@5", "amri"))]
    return aligned([kept, *([_short(row[name]) for name in kept] for row in rows)])


def _short(cell: str | float | None) -> str | float | None:
    if not isinstance(cell, str):
        return cell
    text = visible(cell)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def csv_text(rows: Sequence[Row]) -> str:
    """Rows of one set of columns as RFC 4180 has it: a header, CRLF, empty where there is none."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
