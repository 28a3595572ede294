"""Metrics by class of relation, by degree and by relation; audit of the data set."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dans.data.audit import Audit
from dans.data.graph import KnowledgeGraph
from dans.data.query_index import ranges
from dans.evaluation.evaluator import Ranks
from dans.evaluation.grouped_metrics import CLASSES, UNSEEN, Grouping, classify, grouped

#: The share of a relation's triples that another one must repeat to make it redundant.
REPEATED = 0.8
#: The least number of triples of a redundant relation.
ENOUGH = 5


@dataclass(frozen=True)
class Redundant:
    """A relation most of whose training triples another relation repeats.

    ``other`` may be itself, for a symmetric one; ``inverse`` tells that head and tail are
    exchanged; ``share`` is that of its ``triples``, distinct and not self-loops, that are repeated.
    """

    relation: str
    other: str
    inverse: bool
    share: float
    triples: int


@dataclass(frozen=True)
class DataSet:
    """Sizes and leakage of a data set, and its redundant relations, the largest shares first.

    ``classes`` counts the relations of each class.
    """

    audit: Audit
    redundant: tuple[Redundant, ...]
    classes: dict[str, int]

    @classmethod
    def of(cls, kg: KnowledgeGraph) -> "DataSet":
        """Audit a graph."""
        classes = classify(kg.train, kg.num_relations)
        counts = {name: classes.count(name) for name in CLASSES}
        if UNSEEN in classes:
            counts[UNSEEN] = classes.count(UNSEEN)
        return cls(kg.audit(), redundant_relations(kg), counts)


def redundant_relations(kg: KnowledgeGraph) -> tuple[Redundant, ...]:
    """Relations whose training triples another one repeats, or their own inverse.

    Such triples can be predicted by looking up another one.

    Source: Toutanova & Chen 2015 (FB15k); Akrami et al. 2020, arXiv:2003.08001.
    """
    triples = kg.train.unique(dim=0)
    triples = triples[triples[:, 0] != triples[:, 2]]
    sizes = torch.bincount(triples[:, 1], minlength=kg.num_relations).tolist()
    found = []
    for inverse, others in ((False, triples), (True, triples.flip(1))):
        pairs, counts = _shared_pairs(triples, others, kg.num_entities, kg.num_relations)
        for (r, other), count in zip(pairs.tolist(), counts.tolist(), strict=True):
            share = count / sizes[r]
            if (inverse or r != other) and share >= REPEATED and sizes[r] >= ENOUGH:
                names = kg.relations[r], kg.relations[other]
                found.append(Redundant(*names, inverse, share, sizes[r]))
    return tuple(sorted(found, key=lambda one: (-one.share, -one.triples, one.relation, one.other)))


def _shared_pairs(triples: Tensor, others: Tensor, n: int, m: int) -> tuple[Tensor, Tensor]:
    """Pairs of relations that link the same entities, (p, 2), and how often, (p,)."""
    links, order = (others[:, 0] * n + others[:, 2]).sort()
    wanted = triples[:, 0] * n + triples[:, 2]
    first = torch.searchsorted(links, wanted)
    rows, places = ranges(first, torch.searchsorted(links, wanted, right=True) - first)
    keys, counts = (triples[rows, 1] * m + others[order[places], 1]).unique(return_counts=True)
    return torch.stack((keys // m, keys % m), 1), counts


@dataclass(frozen=True)
class Scores:
    """MRR of one run on some queries, by side, and Hits@10; None where a side has no query."""

    mrr: float | None
    heads: float | None
    tails: float | None
    hits: float | None


@dataclass(frozen=True)
class Part:
    """Queries of one class of relations, class of degrees, or relation; the scores of each run.

    ``about`` has its properties by the title of a column.
    """

    name: str
    about: dict[str, str | int]
    queries: int
    scores: tuple[Scores, ...]


def by_class(kg: KnowledgeGraph, ranks: Sequence[Ranks]) -> list[Part]:
    """Metrics by class of relation."""
    return _parts(Grouping.by_category(kg, ranks[0].triples), ranks)


def by_degree(kg: KnowledgeGraph, ranks: Sequence[Ranks]) -> list[Part]:
    """Metrics by the degree of the answer."""
    return _parts(Grouping.by_degree(kg, ranks[0].triples), ranks)


def by_relation(kg: KnowledgeGraph, ranks: Sequence[Ranks]) -> list[Part]:
    """Metrics by relation, the one with most queries first."""
    found = _parts(Grouping.by_relation(kg, ranks[0].triples), ranks)
    return sorted(found, key=lambda part: -part.queries)


def _parts(grouping: Grouping, ranks: Sequence[Ranks]) -> list[Part]:
    """Metrics by group, of each run."""
    of_runs = [grouped(one, grouping, ks=(10,)) for one in ranks]
    return [
        Part(
            groups[0].name,
            groups[0].about,
            int(groups[0].both["queries"]),
            tuple(
                Scores(
                    one.both["mrr"], one.heads.get("mrr"), one.tails.get("mrr"), one.both["hits@10"]
                )
                for one in groups
            ),
        )
        for groups in zip(*of_runs, strict=True)
    ]
