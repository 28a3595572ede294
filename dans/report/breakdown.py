"""Ranks of several runs, summed up by relation, by class of relation and by degree."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.evaluation.evaluator import Ranks
from dans.report.data_section import (
    CLASSES,
    UNSEEN,
    classify,
    degree_class,
    degree_classes,
    degrees,
)


@dataclass(frozen=True)
class Scores:
    """How one run answers some queries; None where there are none of a side.

    Args:
        mrr: mean reciprocal rank over both sides.
        heads: of (?, r, t).
        tails: of (h, r, ?).
        hits: share ranked tenth or better, over both sides.
    """

    mrr: float | None
    heads: float | None
    tails: float | None
    hits: float | None


@dataclass(frozen=True)
class Part:
    """Some of the queries.

    Args:
        name: what they have in common.
        about: what else is to be said of it, by the name of a column.
        queries: how many.
        scores: of each run.
    """

    name: str
    about: dict[str, str | int]
    queries: int
    scores: tuple[Scores, ...]


def by_class(kg: KnowledgeGraph, ranks: Sequence[Ranks]) -> list[Part]:
    """By the class of the relation; classes without queries are left out."""
    every = [*CLASSES, UNSEEN]
    names = classify(kg.train, kg.num_relations)
    of = torch.tensor([every.index(name) for name in names])
    about: list[dict[str, str | int]] = [{"relations": names.count(name)} for name in every]
    return parts(every, about, both(of[ranks[0].triples[:, 1]]), ranks)


def by_degree(kg: KnowledgeGraph, ranks: Sequence[Ranks]) -> list[Part]:
    """By how many training triples hold the answer: that of a query, head or tail."""
    degree = degree_class(degrees(kg.train, kg.num_entities))
    names = degree_classes()
    counts = torch.bincount(degree, minlength=len(names)).tolist()
    about: list[dict[str, str | int]] = [{"entities": count} for count in counts]
    return parts(names, about, degree[ranks[0].triples[:, [0, 2]]], ranks)


def by_relation(kg: KnowledgeGraph, ranks: Sequence[Ranks]) -> list[Part]:
    """By relation, the one with most queries first; of equal training triples, one counts."""
    classes = classify(kg.train, kg.num_relations)
    distinct = kg.train.unique(dim=0)
    triples = torch.bincount(distinct[:, 1], minlength=kg.num_relations).tolist()
    about: list[dict[str, str | int]] = [
        {"class": kind, "training triples": count}
        for kind, count in zip(classes, triples, strict=True)
    ]
    found = parts(list(kg.relations.names), about, both(ranks[0].triples[:, 1]), ranks)
    return sorted(found, key=lambda part: -part.queries)


def both(groups: Tensor) -> Tensor:
    """The group of a triple, (f,), as that of its two queries, (f, 2)."""
    return groups.unsqueeze(1).expand(-1, 2)


def parts(
    names: Sequence[str],
    about: Sequence[dict[str, str | int]],
    groups: Tensor,
    ranks: Sequence[Ranks],
) -> list[Part]:
    """Sum ranks up by group; groups without queries are left out.

    Args:
        names: of the g groups.
        about: them.
        groups: (f, 2) the group of each query, the first column that of (?, r, t).
        ranks: of each run, on the same triples.
    """
    size = len(names)
    counts = torch.bincount(groups.flatten(), minlength=size)
    found = [_scores(one, groups, size) for one in ranks]
    return [
        Part(names[i], about[i], count, tuple(scores[i] for scores in found))
        for i, count in enumerate(counts.tolist())
        if count
    ]


def _scores(ranks: Ranks, groups: Tensor, size: int) -> list[Scores]:
    gain = 1 / ranks.realistic
    columns = (
        _means(gain, groups, size),
        _means(gain[:, 0], groups[:, 0], size),
        _means(gain[:, 1], groups[:, 1], size),
        _means((ranks.realistic <= 10).double(), groups, size),
    )
    return [Scores(*row) for row in zip(*columns, strict=True)]


def _means(values: Tensor, groups: Tensor, size: int) -> list[float | None]:
    groups, values = groups.flatten(), values.flatten()
    counts = torch.bincount(groups, minlength=size)
    sums = torch.bincount(groups, values, minlength=size)
    return [s / n if n else None for s, n in zip(sums.tolist(), counts.tolist(), strict=True)]
