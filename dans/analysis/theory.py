"""What theory says of the losses: how they weigh errors, and how far test lies off.

Softmax cross-entropy and negative sampling both pull the model's p(y|x) = softmax f(x, ·) towards a
distribution of their own. `bregman` is how the two families measure the way there, `divergence` is
how far the training triples' distribution lies from the test triples'.

Source: Kamigaito & Hayashi 2021, arXiv:2106.07250.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError

#: A convex function whose Bregman divergence a loss minimises.
Potential = Callable[[Tensor], Tensor]

#: How p(y|r) and p(x's entity|y) become p(y|x); see `divergence`.
Rule = Literal["product", "sum"]

#: What a small number is added to, so that no probability is 0.
Smooth = Literal["estimates", "result"]

#: (·,) ids.
Ids = NDArray[np.int64]

#: What is added: the one reported, then two that tell how much depends on it.
SMOOTHING = (1e-6, 1e-5, 1e-7)

#: Numbers held at a time for a part of the queries, and queries of a part at most: their
#: entities' neighbours all get a column.
BLOCK, QUESTIONS = 2**20, 64

#: Points at which the curves of Fig. 1 are drawn.
POINTS = 99


def negative_sampling(z: Tensor) -> Tensor:
    """Ψ of negative sampling: z log z − (1 + z) log(1 + z).

    Its argument is v p_n / p_d, anything above 0, and not a probability.
    """
    return torch.xlogy(z, z) - torch.xlogy(1 + z, 1 + z)


def softmax(z: Tensor) -> Tensor:
    """Ψ of softmax cross-entropy for two outcomes: z log z + (1 − z) log(1 − z)."""
    return torch.xlogy(z, z) + torch.xlogy(1 - z, 1 - z)


#: The two families of losses, by the name a reader knows.
POTENTIALS: dict[str, Potential] = {"NS": negative_sampling, "SCE": softmax}


def bregman(potential: Potential, f: Tensor, g: Tensor) -> Tensor:
    """The Bregman divergence of a convex function.

    d(f, g) = Ψ(f) − Ψ(g) − Ψ'(g) (f − g)

    Convex in f. Whether it is in g too says nothing about the losses, which are convex in the
    scores both.

    Source: Kamigaito & Hayashi 2021, Eq. 4.

    Args:
        potential: Ψ, elementwise.
        f: any shape.
        g: one that broadcasts with it.

    Example:
        >>> half = torch.tensor(0.5)
        >>> bregman(negative_sampling, half, torch.tensor([0.1, 0.5, 0.9]))
        tensor([0.3395, 0.0000, 0.0607])
        >>> bregman(softmax, half, torch.tensor([0.1, 0.5, 0.9]))
        tensor([0.5108, 0.0000, 0.5108])
    """
    at = g.detach().requires_grad_()
    value = potential(at)
    (slope,) = torch.autograd.grad(value.sum(), at)
    return potential(f) - value.detach() - slope * (f - g)


def curves(f: float = 0.5) -> dict[str, list[float]]:
    """Each family's divergence from ``f`` to every p between 0 and 1, and ``p`` itself.

    Source: Kamigaito & Hayashi 2021, Fig. 1.
    """
    p = torch.arange(1, POINTS + 1, dtype=torch.float64) / (POINTS + 1)
    goal = torch.tensor(f, dtype=torch.float64)
    drawn = {name: bregman(psi, goal, p).tolist() for name, psi in POTENTIALS.items()}
    return {"p": p.tolist(), **drawn}


def saved(negatives: float) -> float:
    """n / (1 + n): the share of an epoch that is saved by scoring n negatives no more.

    Source: Hajimoradlou & Kazemi 2022, Stay Positive, §5 and Fig. 2.

    Example:
        >>> saved(1), saved(9)
        (0.5, 0.9)
    """
    return negatives / (1 + negatives)


@dataclass(frozen=True)
class Divergence:
    """How far p(y|x) lies between train and test, query by query, in nats.

    Args:
        relations: (q,) of the queries that both splits ask.
        is_head_query: (q,) bool; x = (r, t) where True, (h, r) where False.
        forward: (q, s) D_KL(train ‖ test), a column for each smoothing.
        backward: (q, s) D_KL(test ‖ train).
        smoothing: the s numbers added to probabilities.
    """

    relations: Tensor
    is_head_query: Tensor
    forward: Tensor
    backward: Tensor
    smoothing: tuple[float, ...]

    def __len__(self) -> int:
        """How many queries."""
        return len(self.relations)

    def means(self, column: int = 0) -> dict[str, dict[str, float]]:
        """Means over the queries for tails, over those for heads, and over both."""
        sides = {"tails": ~self.is_head_query, "heads": self.is_head_query}
        sides["both"] = sides["tails"] | sides["heads"]
        return {
            way: {
                side: float(values[rows, column].mean())
                for side, rows in sides.items()
                if rows.any()
            }
            for way, values in (("train‖test", self.forward), ("test‖train", self.backward))
        }

    def by_relation(self, column: int = 0) -> list[dict[str, Any]]:
        """For each relation and side that has queries: how many, and their means."""
        found = []
        for head in (False, True):
            for relation in self.relations[self.is_head_query == head].unique().tolist():
                rows = (self.relations == relation) & (self.is_head_query == head)
                found.append(
                    {
                        "relation": relation,
                        "asks": "head" if head else "tail",
                        "queries": int(rows.sum()),
                        "train‖test": float(self.forward[rows, column].mean()),
                        "test‖train": float(self.backward[rows, column].mean()),
                    }
                )
        return found


def divergence(
    kg: KnowledgeGraph,
    *,
    rule: Rule = "product",
    smooth: Smooth = "estimates",
    smoothing: Sequence[float] = SMOOTHING,
) -> Divergence:
    """How far the answers of the training triples lie from those of the test triples.

    For a query x of relation r and known entity e, estimated in each split by itself,

        p(y|x) ∝ p(y|r) · p(e|y)      (``product``)
        p(y|x) ∝ p(y|r) + p(e|y)      (``sum``)

    with p(y|r) the share of r's triples that have y in the asked place, and p(e|y) the share of y's
    triples in that place that have e in the other. Only queries that both splits ask are compared.

    The source says sum, which is no distribution before it is divided by its total, and says
    neither how zeros are smoothed nor what is averaged: of its Fig. 2 no more than the order of
    data sets can be expected. Train and test triples are never the same, so zeros decide: a product
    smoothed only as a whole is near its maximum for any data set, and tells none from another.

    Source: Kamigaito & Hayashi 2021, §5.3 and Fig. 2.

    Args:
        kg: its training and test triples.
        rule: one of the two above.
        smooth: ε is added to both ``estimates`` for every y, or to their ``result``, p(y|x).
        smoothing: the ε to try.

    Raises:
        InputError: an option out of range, or no query that both splits ask.
    """
    for name, value, known in (("rule", rule, Rule), ("smooth", smooth, Smooth)):
        if value not in get_args(known):
            raise InputError(f"{name}: known: {', '.join(get_args(known))}; got {value!r}")
    if not smoothing or not min(smoothing) > 0:
        raise InputError(f"smoothing: expected numbers above 0, got {tuple(smoothing)}")
    sizes = kg.num_entities, kg.num_relations
    parts = []
    for head in (False, True):
        columns = [2, 1, 0] if head else [0, 1, 2]
        splits = [_Estimates(triples[:, columns], *sizes) for triples in (kg.train, kg.test)]
        shared = _shared(kg.train[:, columns[:2]], kg.test[:, columns[:2]])
        for relation in shared[:, 1].unique().tolist():
            known_entities = shared[shared[:, 1] == relation, 0].numpy()
            for block, answers in _blocks(relation, known_entities, splits):
                given = [one.of(relation, block, answers) for one in splits]
                rest = kg.num_entities - len(answers)
                both = _both_ways(given, rest, rule, smooth, smoothing)
                rows = torch.full((len(block),), relation), torch.full((len(block),), head)
                parts.append((*rows, *both))
    if not parts:
        raise InputError(f"{kg.name}: no query of the training triples is asked in test")
    relations, is_head_query, forward, backward = map(torch.cat, zip(*parts, strict=True))
    return Divergence(relations, is_head_query, forward, backward, tuple(smoothing))


class _Estimates:
    """p(y|r) and p(e|y) of some triples whose columns are e, r and y."""

    def __init__(self, triples: Tensor, num_entities: int, num_relations: int) -> None:
        known, relations, answers = triples.numpy().T
        ones = np.ones(len(triples))
        of_relation = np.bincount(relations, minlength=num_relations)
        of_answer = np.bincount(answers, minlength=num_entities)
        self.answers = sparse.csr_matrix(
            (ones / of_relation[relations], (relations, answers)), (num_relations, num_entities)
        )
        self.known = sparse.csr_matrix(
            (ones / of_answer[answers], (known, answers)), (num_entities, num_entities)
        )

    def of(self, relation: int, known: Ids, answers: Ids) -> tuple[Tensor, Tensor]:
        """p(y|r), (y,), and p(e|y), (e, y), for some e and some y."""
        return (
            torch.from_numpy(self.answers[relation].toarray()[0, answers]),
            torch.from_numpy(self.known[known][:, answers].toarray()),
        )


def _shared(one: Tensor, other: Tensor) -> Tensor:
    """Rows that occur in both of two (·, 2) tables."""
    rows = torch.cat((one.unique(dim=0), other.unique(dim=0)))
    distinct, times = rows.unique(dim=0, return_counts=True)
    twice: Tensor = distinct[times == 2]
    return twice


def _blocks(relation: int, known: Ids, splits: Sequence[_Estimates]) -> Iterator[tuple[Ids, Ids]]:
    """Parts of a relation's queries, each with every y that some estimate is not 0 for."""
    of_relation = np.concatenate([one.answers[relation].indices for one in splits])
    step = min(QUESTIONS, max(1, BLOCK // len(of_relation)))
    for start in range(0, len(known), step):
        part = known[start : start + step]
        beside = [one.known[part].indices for one in splits]
        yield part, np.unique(np.concatenate((of_relation, *beside)))


def _both_ways(
    given: Sequence[tuple[Tensor, Tensor]],
    rest: int,
    rule: Rule,
    smooth: Smooth,
    smoothing: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """D_KL(train ‖ test) and D_KL(test ‖ train), (e, s) each.

    What no estimate tells from others, ``rest`` in number, weighs the same in both splits.
    """
    join = torch.mul if rule == "product" else torch.add
    forward, backward = [], []
    for epsilon in smoothing:
        if smooth == "estimates":
            p, q = (join(one + epsilon, other + epsilon) for one, other in given)
            each = epsilon * epsilon if rule == "product" else 2 * epsilon
        else:
            wholes = [join(one, other) for one, other in given]
            p, q = (whole.div_(whole.sum(1, keepdim=True)).add_(epsilon) for whole in wholes)
            each = epsilon
        of_p, of_q = p.sum(1) + rest * each, q.sum(1) + rest * each
        ratio, totals = (p / q).log_(), (of_p / of_q).log_()
        forward.append(torch.linalg.vecdot(p, ratio) / of_p - totals)
        backward.append(totals - torch.linalg.vecdot(q, ratio) / of_q)
    return torch.stack(forward, 1), torch.stack(backward, 1)


def divergences(kg: KnowledgeGraph) -> dict[str, Any]:
    """The numbers of Fig. 2 for one data set: by way of estimating and by relation."""
    found = {
        f"{rule}, {smooth} smoothed": divergence(kg, rule=rule, smooth=smooth)
        for rule in get_args(Rule)
        for smooth in get_args(Smooth)
    }
    first = next(iter(found.values()))
    return {
        "queries": len(first),
        "means": {
            way: {f"{e:g}": one.means(i) for i, e in enumerate(one.smoothing)}
            for way, one in found.items()
        },
        "relations": [
            {**row, "relation": kg.relations[row["relation"]]} for row in first.by_relation()
        ],
    }


def order(numbers: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """In what order each pathway of estimating puts data sets, and how far apart.

    Args:
        numbers: by data set, of `divergences`.

    Returns:
        By way of estimating: ``order``, the data sets from the least divergence to the most, None
        where smoothing or direction decides it; and ``ratio``, the least and the most that the
        largest mean is of the smallest, over smoothings and directions.
    """
    found = {}
    for way, of_first in next(iter(numbers.values()))["means"].items():
        places = [(e, direction) for e, means in of_first.items() for direction in means]
        rows = [
            {name: one["means"][way][e][direction]["both"] for name, one in numbers.items()}
            for e, direction in places
        ]
        orders = {tuple(sorted(row, key=row.__getitem__)) for row in rows}
        apart = [max(row.values()) / min(row.values()) for row in rows]
        found[way] = {
            "order": list(orders.pop()) if len(orders) == 1 else None,
            "ratio": [min(apart), max(apart)],
        }
    return found
