"""Metrics by class of relation, by degree and by relation; audit of the data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from dans.data.audit import Audit
from dans.data.graph import KnowledgeGraph
from dans.data.query_index import distinct_ends, ranges
from dans.evaluation.evaluator import Ranks

#: Classes of relations, by heads per tail and tails per head.
CLASSES = ("1-1", "1-N", "N-1", "N-N")
#: The class of a relation without training triples.
UNSEEN = "not in train"
#: The mean number of heads per tail, or tails per head, from which it counts as N.
MANY = 1.5

#: The least degree of each class of degrees.
DEGREES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

#: The share of a relation's triples that another one must repeat to make it redundant.
REPEATED = 0.8
#: The least number of triples of a redundant relation.
ENOUGH = 5


def classify(train: Tensor, num_relations: int) -> list[str]:
    """The class of every relation, one of ``CLASSES`` or ``UNSEEN``.

    The side of the tails is N where there are 1.5 distinct training triples or more for each
    (h, r); likewise that of the heads, for each (r, t).

    Source: Bordes et al. 2013 (TransE), §4.3.

    Example:
        >>> classify(torch.tensor([[0, 0, 1], [0, 0, 2], [3, 1, 4]]), 3)
        ['1-N', '1-1', 'not in train']
    """
    triples = train.unique(dim=0)
    counts = torch.bincount(triples[:, 1], minlength=num_relations).double()
    heads, tails = distinct_ends(triples, num_relations)
    kinds = 2 * (counts / tails >= MANY).long() + (counts / heads >= MANY).long()
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
    every = [*CLASSES, UNSEEN]
    names = classify(kg.train, kg.num_relations)
    classes = torch.tensor([every.index(name) for name in names])
    about: list[dict[str, str | int]] = [{"relations": names.count(name)} for name in every]
    return _parts(every, about, classes[ranks[0].triples[:, [1, 1]]], ranks)


def by_degree(kg: KnowledgeGraph, ranks: Sequence[Ranks]) -> list[Part]:
    """Metrics by the degree of the answer."""
    classes, names = degree_class(degrees(kg.train, kg.num_entities)), degree_classes()
    counts = torch.bincount(classes, minlength=len(names)).tolist()
    about: list[dict[str, str | int]] = [{"entities": count} for count in counts]
    return _parts(names, about, classes[ranks[0].triples[:, [0, 2]]], ranks)


def by_relation(kg: KnowledgeGraph, ranks: Sequence[Ranks]) -> list[Part]:
    """Metrics by relation, the one with most queries first."""
    distinct = kg.train.unique(dim=0)[:, 1]
    counts = torch.bincount(distinct, minlength=kg.num_relations).tolist()
    kinds = zip(classify(kg.train, kg.num_relations), counts, strict=True)
    about: list[dict[str, str | int]] = [{"class": k, "training triples": n} for k, n in kinds]
    found = _parts(list(kg.relations.names), about, ranks[0].triples[:, [1, 1]], ranks)
    return sorted(found, key=lambda part: -part.queries)


def _parts(
    names: Sequence[str],
    about: Sequence[dict[str, str | int]],
    groups: Tensor,
    ranks: Sequence[Ranks],
) -> list[Part]:
    """Metrics by group; ``groups`` is (f, 2), that of each head query and each tail query."""
    size = len(names)
    counts = torch.bincount(groups.flatten(), minlength=size)
    found = []
    for one in ranks:
        reciprocal = 1 / one.realistic
        mrr, hits = (_means(v, groups, size) for v in (reciprocal, (one.realistic <= 10).double()))
        heads, tails = (_means(reciprocal[:, i], groups[:, i], size) for i in (0, 1))
        found.append([Scores(*row) for row in zip(mrr, heads, tails, hits, strict=True)])
    return [
        Part(names[i], about[i], count, tuple(scores[i] for scores in found))
        for i, count in enumerate(counts.tolist())
        if count
    ]


def _means(values: Tensor, groups: Tensor, size: int) -> list[float | None]:
    groups, values = groups.flatten(), values.flatten()
    counts = torch.bincount(groups, minlength=size)
    sums = torch.bincount(groups, values, minlength=size)
    return [s / n if n else None for s, n in zip(sums.tolist(), counts.tolist(), strict=True)]
