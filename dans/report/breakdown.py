"""A data set and its ranks in parts: by class of relation, by degree, by relation; copies."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from dans.data.audit import Audit
from dans.data.graph import KnowledgeGraph
from dans.evaluation.evaluator import Ranks

#: Of a relation, by how many heads a tail has and how many tails a head has.
CLASSES = ("1-1", "1-N", "N-1", "N-N")
#: The class of a relation that training never saw.
UNSEEN = "not in train"
#: From how many heads per tail, or tails per head, a relation has many of them.
MANY = 1.5

#: Where the classes of degree begin.
DEGREES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

#: From which share of its triples on a relation counts as another's copy.
COPIED = 0.8
#: Triples a relation needs for that.
ENOUGH = 5


def classify(train: Tensor, num_relations: int) -> list[str]:
    """The class of every relation, one of ``CLASSES`` or ``UNSEEN``.

    A relation has many tails where tails per (h, r), averaged over the pairs that distinct training
    triples hold, are at least 1.5; likewise heads per (r, t).

    Source: Bordes et al. 2013 (TransE), §4.3.

    Args:
        train: (f, 3) triples.
        num_relations: m.

    Example:
        >>> classify(torch.tensor([[0, 0, 1], [0, 0, 2], [3, 1, 4]]), 3)
        ['1-N', '1-1', 'not in train']
    """
    triples = train.unique(dim=0)

    def count(rows: Tensor) -> Tensor:
        return torch.bincount(rows[:, 1], minlength=num_relations).double()

    heads_of_tails = count(triples) / count(_pairs(triples, (2, 1)))
    tails_of_heads = count(triples) / count(_pairs(triples, (0, 1)))
    place = 2 * (heads_of_tails >= MANY).long() + (tails_of_heads >= MANY).long()
    seen = count(triples) > 0
    return [
        CLASSES[i] if there else UNSEEN
        for i, there in zip(place.tolist(), seen.tolist(), strict=True)
    ]


def _pairs(triples: Tensor, columns: tuple[int, int]) -> Tensor:
    """The distinct pairs of an end and a relation, (p, 2), the relation last."""
    pairs: Tensor = triples[:, columns].unique(dim=0)
    return pairs


def degrees(train: Tensor, num_entities: int) -> Tensor:
    """How many distinct training triples hold each entity, (n,); a self-loop counts once.

    Example:
        >>> degrees(torch.tensor([[0, 0, 1], [0, 0, 1], [1, 0, 1]]), 3).tolist()
        [1, 2, 0]
    """
    heads, _, tails = train.unique(dim=0).unbind(1)
    ends = torch.cat((heads, tails[tails != heads]))
    return torch.bincount(ends, minlength=num_entities)


def degree_classes() -> list[str]:
    """Names of the classes that ``degree_class`` counts.

    Example:
        >>> degree_classes()[:4], degree_classes()[-1]
        (['0', '1', '2–4', '5–9'], '1000 or more')
    """
    names = []
    for low, above in pairwise(DEGREES):
        names.append(str(low) if above == low + 1 else f"{low}–{above - 1}")
    return [*names, f"{DEGREES[-1]} or more"]


def degree_class(degree: Tensor) -> Tensor:
    """The class of each degree, by its place in ``degree_classes``.

    Example:
        >>> degree_class(torch.tensor([0, 1, 4, 5000])).tolist()
        [0, 1, 2, 10]
    """
    return torch.bucketize(degree, torch.tensor(DEGREES), right=True) - 1


@dataclass(frozen=True)
class Copy:
    """A relation most of whose training triples stand there a second time, by another name.

    Args:
        relation: its name.
        other: the relation that says the same; itself, for a symmetric one.
        exchanged: with head and tail exchanged?
        share: of its triples.
        triples: how many it has, distinct ones, self-loops not counted.
    """

    relation: str
    other: str
    exchanged: bool
    share: float
    triples: int


@dataclass(frozen=True)
class DataSet:
    """A data set in numbers, and what makes it easier than it looks.

    Args:
        audit: sizes and leaks.
        copies: relations that another one repeats, the most complete first.
        classes: how many relations are of each class, by its name.
    """

    audit: Audit
    copies: tuple[Copy, ...]
    classes: dict[str, int]

    @classmethod
    def of(cls, kg: KnowledgeGraph) -> "DataSet":
        """Look for them."""
        found = classify(kg.train, kg.num_relations)
        counts = {name: found.count(name) for name in (*CLASSES, UNSEEN)}
        kept = {name: count for name, count in counts.items() if count or name != UNSEEN}
        return cls(kg.audit(), copies(kg), kept)


def copies(kg: KnowledgeGraph) -> tuple[Copy, ...]:
    """Relations whose training triples are repeated by another one, or by themselves backwards.

    Such pairs let a model answer a query by looking up another triple.

    Source: Toutanova & Chen 2015 (FB15k); Akrami et al. 2020, arXiv:2003.08001.
    """
    triples = kg.train.unique(dim=0)
    triples = triples[triples[:, 0] != triples[:, 2]]
    sizes = torch.bincount(triples[:, 1], minlength=kg.num_relations)
    found = []
    for exchanged, others in ((False, triples), (True, triples.flip(1))):
        pairs, counts = _shared(triples, others, kg.num_entities, kg.num_relations)
        for (r, other), count in zip(pairs.tolist(), counts.tolist(), strict=True):
            share = count / int(sizes[r])
            if (exchanged or r != other) and share >= COPIED and int(sizes[r]) >= ENOUGH:
                names = kg.relations[r], kg.relations[other]
                found.append(Copy(*names, exchanged, share, int(sizes[r])))
    return tuple(sorted(found, key=lambda one: (-one.share, -one.triples, one.relation, one.other)))


def _shared(triples: Tensor, others: Tensor, n: int, m: int) -> tuple[Tensor, Tensor]:
    """Relations that link the same entities: pairs, (p, 2), and how many triples each, (p,)."""
    links, order = (others[:, 0] * n + others[:, 2]).sort()
    asked = triples[:, 0] * n + triples[:, 2]
    first = torch.searchsorted(links, asked)
    counts = torch.searchsorted(links, asked, right=True) - first
    rows = torch.arange(len(triples)).repeat_interleave(counts)
    place = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[rows] + first[rows]
    keys, shared = (triples[rows, 1] * m + others[order[place], 1]).unique(return_counts=True)
    return torch.stack((keys // m, keys % m), 1), shared


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
