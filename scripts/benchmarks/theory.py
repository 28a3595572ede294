"""Bregman divergences of loss families, and divergence of test from training triples.

Softmax cross-entropy (SCE) and negative sampling (NS) both fit the model's p(y|x) = softmax f(x, ·)
to a distribution. `bregman` is the divergence that each family minimises; `divergence` compares the
distributions of training and test triples, which tells how much a loss that overfits would lose;
`theory_picture` draws both.

Source: Kamigaito & Hayashi 2021, arXiv:2106.07250.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from dans.analysis.plots import PALETTE, new_figure, plain, save_figure, tidy
from dans.data.graph import KnowledgeGraph
from dans.data.query_index import query_keys
from dans.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: A convex function whose Bregman divergence a loss minimises.
Potential = Callable[[Tensor], Tensor]

#: How p(y|r) and p(e|y) are combined into p(y|x), and what ε is added to; see `divergence`.
Rule = Literal["product", "sum"]
Smooth = Literal["estimates", "result"]

#: (·,) ids.
Ids = NDArray[np.int64]

#: The ε to try: the one reported, then two that show how much depends on it.
SMOOTHING = (1e-6, 1e-5, 1e-7)

#: Numbers held at a time for a part of the queries, and queries of a part at most: every answer
#: that one of them has gets a column.
BLOCK, QUERIES = 2**20, 64

#: Points of the curves of Fig. 1.
POINTS = 99


def negative_sampling(z: Tensor) -> Tensor:
    """Ψ of negative sampling: z log z − (1 + z) log(1 + z).

    Its argument is ν p_n / p_d, the ratio of noise to data, any number above 0.
    """
    return torch.xlogy(z, z) - torch.xlogy(1 + z, 1 + z)


def softmax(z: Tensor) -> Tensor:
    """Ψ of softmax cross-entropy for two outcomes: z log z + (1 − z) log(1 − z)."""
    return torch.xlogy(z, z) + torch.xlogy(1 - z, 1 - z)


#: The two families of losses, by their abbreviation.
POTENTIALS: dict[str, Potential] = {"NS": negative_sampling, "SCE": softmax}


def bregman(potential: Potential, f: Tensor, g: Tensor) -> Tensor:
    """The Bregman divergence of a convex function.

    d(f, g) = Ψ(f) − Ψ(g) − Ψ'(g) (f − g)

    Source: Kamigaito & Hayashi 2021, Eq. 4.
    """
    at = g.detach().requires_grad_()
    value = potential(at)
    (slope,) = torch.autograd.grad(value.sum(), at)
    return potential(f) - value.detach() - slope * (f - g)


def curves(f: float = 0.5) -> dict[str, list[float]]:
    """Each family's divergence from ``f`` to ``POINTS`` probabilities ``p`` between 0 and 1.

    Source: Kamigaito & Hayashi 2021, Fig. 1.
    """
    p = torch.arange(1, POINTS + 1, dtype=torch.float64) / (POINTS + 1)
    goal = torch.tensor(f, dtype=torch.float64)
    return {"p": p.tolist()} | {
        name: bregman(psi, goal, p).tolist() for name, psi in POTENTIALS.items()
    }


def epoch_share_saved(negatives: float) -> float:
    """n / (1 + n): the share of an epoch's scores that drawing no negatives saves.

    Source: Hajimoradlou & Kazemi 2022, Stay Positive, §5 and Fig. 2.
    """
    return negatives / (1 + negatives)


@dataclass(frozen=True)
class Divergence:
    """KL divergences between p(y|x) of train and of test, for each of q queries, in nats.

    ``forward`` is D_KL(train ‖ test), ``backward`` D_KL(test ‖ train), (q, s) each, with a column
    for each number that was added to probabilities, ``smoothing``.
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
        """Means over tail queries, over head queries, and over both, by direction."""
        sides = {"tails": ~self.is_head_query, "heads": self.is_head_query}
        sides["both"] = sides["tails"] | sides["heads"]
        sides = {side: rows for side, rows in sides.items() if rows.any()}
        return {
            direction: {side: float(values[rows, column].mean()) for side, rows in sides.items()}
            for direction, values in (("train‖test", self.forward), ("test‖train", self.backward))
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
                        "side": "head" if head else "tail",
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
    """KL divergence between the answers' distributions in train and test, by query.

    For a query x of relation r and given entity e, estimated in each split separately,

        p(y|x) ∝ p(y|r) · p(e|y)      (``product``)
        p(y|x) ∝ p(y|r) + p(e|y)      (``sum``)

    with p(y|r) the share of r's triples that have y as the answer, and p(e|y) the share of the
    triples with answer y that have e at the other end. Only queries of both splits are compared.

    The source takes the sum, which must be divided by its total to be a distribution, and says
    neither how zeros are smoothed nor what is averaged: only the order of data sets in its Fig. 2
    can be compared. Train and test share no triple, so the result depends on the zeros: a product
    smoothed only as a whole is near its maximum for every data set.

    Source: Kamigaito & Hayashi 2021, §5.3 and Fig. 2.

    Args:
        kg: its training and test triples.
        rule: one of the two above.
        smooth: ε is added to both ``estimates`` for every y, or to their ``result``, p(y|x).
        smoothing: the ε to try.

    Raises:
        InputError: an option out of range, or no query that occurs in both splits.
    """
    for name, value, known in (("rule", rule, Rule), ("smooth", smooth, Smooth)):
        if value not in get_args(known):
            raise InputError(f"{name}: known: {', '.join(get_args(known))}; got {value!r}")
    if not smoothing or not min(smoothing) > 0:
        raise InputError(f"smoothing: expected numbers above 0, got {tuple(smoothing)}")
    n, m = kg.num_entities, kg.num_relations
    train_keys, test_keys = (query_keys(triples, n, m).numpy() for triples in (kg.train, kg.test))
    parts = []
    for head in (False, True):
        columns = [2, 1, 0] if head else [0, 1, 2]
        splits = [_Estimates(triples[:, columns], n, m) for triples in (kg.train, kg.test)]
        shared = np.intersect1d(train_keys[:, int(head)], test_keys[:, int(head)])
        shared_relations, given = np.divmod(shared, n)
        shared_relations %= m
        for relation in np.unique(shared_relations).tolist():
            for block, answers in _blocks(relation, given[shared_relations == relation], splits):
                estimates = [split.of(relation, block, answers) for split in splits]
                both = _both_directions(estimates, n - len(answers), rule, smooth, smoothing)
                rows = torch.full((len(block),), relation), torch.full((len(block),), head)
                parts.append((*rows, *both))
    if not parts:
        raise InputError(f"{kg.name}: no query of the training triples occurs in test")
    relations, is_head_query, forward, backward = map(torch.cat, zip(*parts, strict=True))
    return Divergence(relations, is_head_query, forward, backward, tuple(smoothing))


class _Estimates:
    """p(y|r) and p(e|y) of triples whose columns are given entity e, relation r and answer y."""

    def __init__(self, triples: Tensor, num_entities: int, num_relations: int) -> None:
        given, relations, answers = triples.numpy().T
        ones = np.ones(len(triples))
        of_relation = np.bincount(relations, minlength=num_relations)
        of_answer = np.bincount(answers, minlength=num_entities)
        self.answers = sparse.csr_matrix(
            (ones / of_relation[relations], (relations, answers)), (num_relations, num_entities)
        )
        self.given = sparse.csr_matrix(
            (ones / of_answer[answers], (given, answers)), (num_entities, num_entities)
        )

    def of(self, relation: int, given: Ids, answers: Ids) -> tuple[Tensor, Tensor]:
        """p(y|r), (y,), and p(e|y), (e, y), of some e and some y."""
        return (
            torch.from_numpy(self.answers[relation].toarray()[0, answers]),
            torch.from_numpy(self.given[given][:, answers].toarray()),
        )


def _blocks(relation: int, given: Ids, splits: Sequence[_Estimates]) -> Iterator[tuple[Ids, Ids]]:
    """Parts of a relation's queries, each with every y for which some estimate is not 0."""
    of_relation = np.concatenate([split.answers[relation].indices for split in splits])
    step = min(QUERIES, max(1, BLOCK // len(of_relation)))
    for start in range(0, len(given), step):
        part = given[start : start + step]
        of_given = [split.given[part].indices for split in splits]
        yield part, np.unique(np.concatenate((of_relation, *of_given)))


def _both_directions(
    estimates: Sequence[tuple[Tensor, Tensor]],
    rest: int,
    rule: Rule,
    smooth: Smooth,
    smoothing: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """D_KL(train ‖ test) and D_KL(test ‖ train), (e, s) each.

    The other ``rest`` answers, whose estimates are 0 in both splits, add only to the totals.
    """
    join = torch.mul if rule == "product" else torch.add
    forward, backward = [], []
    for epsilon in smoothing:
        if smooth == "estimates":
            p, q = (join(one + epsilon, other + epsilon) for one, other in estimates)
            each = epsilon * epsilon if rule == "product" else 2 * epsilon
        else:
            wholes = [join(one, other) for one, other in estimates]
            p, q = (whole.div_(whole.sum(1, keepdim=True)).add_(epsilon) for whole in wholes)
            each = epsilon
        of_p, of_q = p.sum(1) + rest * each, q.sum(1) + rest * each
        ratio, totals = (p / q).log_(), (of_p / of_q).log_()
        forward.append(torch.linalg.vecdot(p, ratio) / of_p - totals)
        backward.append(totals - torch.linalg.vecdot(q, ratio) / of_q)
    return torch.stack(forward, 1), torch.stack(backward, 1)


def divergences(kg: KnowledgeGraph) -> dict[str, Any]:
    """The numbers of Fig. 2 for one data set: by estimator, and of the first one by relation."""
    found = {
        f"{rule}, {smooth} smoothed": divergence(kg, rule=rule, smooth=smooth)
        for rule in get_args(Rule)
        for smooth in get_args(Smooth)
    }
    first = next(iter(found.values()))
    means = {
        estimator: {f"{e:g}": one.means(i) for i, e in enumerate(one.smoothing)}
        for estimator, one in found.items()
    }
    rows = [{**row, "relation": kg.relations[row["relation"]]} for row in first.by_relation()]
    return {"queries": len(first), "means": means, "relations": rows}


def order(numbers: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """By estimator, the order of data sets by their `divergences`, and how far they are apart.

    ``order`` goes from the least divergence to the most, and is None where smoothing or direction
    changes it; ``ratio`` of the most to the least has the least and the greatest over these.
    """
    found = {}
    for estimator, of_first in next(iter(numbers.values()))["means"].items():
        rows = [
            {name: one["means"][estimator][e][direction]["both"] for name, one in numbers.items()}
            for e, directions in of_first.items()
            for direction in directions
        ]
        orders = {tuple(sorted(row, key=row.__getitem__)) for row in rows}
        ratios = [max(row.values()) / min(row.values()) for row in rows]
        found[estimator] = {
            "order": list(orders.pop()) if len(orders) == 1 else None,
            "ratio": [min(ratios), max(ratios)],
        }
    return found


def theory_picture(
    path: Path,
    curves: Mapping[str, Sequence[float]],
    shifts: Mapping[str, Mapping[str, Any]],
    reductions: Mapping[int, float],
) -> Path:
    """Bregman curves, divergence of test from train, and measured time savings; the path.

    ``curves`` and ``shifts``, by data set, are of this module; ``reductions`` has
    (t₁ − t₂)/t₁ by the number of negatives, and no panel where empty.
    """
    panels = 2 + bool(reductions)
    figure = new_figure(5.2 * panels, 4.4)
    axes = figure.subplots(1, panels)
    draw_curves(axes[0], curves)
    draw_shifts(axes[1], shifts)
    if reductions:
        draw_reductions(axes[2], reductions)
    save_figure(figure, path)
    return path


def draw_curves(axes: Axes, curves: Mapping[str, Sequence[float]]) -> None:
    """Bregman divergence from p = ½, of each family of losses."""
    for (name, values), colour in zip(list(curves.items())[1:], PALETTE, strict=False):
        axes.plot(curves["p"], values, color=colour, linewidth=2, label=plain(name))
    axes.set_title("Bregman divergence from ½", loc="left")
    tidy(axes, "p", "d(½, p)")
    axes.set_ylim(0, 1)
    axes.legend(frameon=False)


def draw_shifts(axes: Axes, shifts: Mapping[str, Mapping[str, Any]]) -> None:
    """A point for each relation, its area by its queries, and a bar at the mean over queries."""
    rows = [(name, side) for name in shifts for side in ("tail", "head")]
    for place, (name, side) in enumerate(rows):
        points = [row for row in shifts[name]["relations"] if row["side"] == side]
        if not points:
            continue
        colour = PALETTE[list(shifts).index(name) % 4]
        sizes = np.array([row["queries"] for row in points])
        # The golden ratio spaces the points over the height of the row, so that few overlap.
        heights = place + 0.5 * ((np.arange(len(points)) * 0.618) % 1 - 0.5)
        values = [row["train‖test"] for row in points]
        axes.scatter(values, heights, s=8 + 300 * sizes / sizes.sum(), color=colour, alpha=0.5)
        mean = float(np.average(values, weights=sizes))
        axes.plot([mean, mean], [place - 0.38, place + 0.38], color="#000000", linewidth=2)
    axes.set_title("D(train ‖ test) of p(y|x), by relation", loc="left")
    tidy(axes, "nats (bar: mean over queries)", "")
    axes.set_yticks(range(len(rows)), [f"{plain(name)}, {side}s" for name, side in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=0)


def draw_reductions(axes: Axes, reductions: Mapping[int, float]) -> None:
    """The measured share of an epoch saved by drawing no negatives, and n / (1 + n)."""
    x = np.geomspace(min(1, *reductions), max(reductions), 100).tolist()
    axes.plot(x, [epoch_share_saved(n) for n in x], color="#999999", label="n / (1 + n)")
    points = sorted(reductions.items())
    axes.plot(*zip(*points, strict=True), "o", color=PALETTE[0], label="measured")
    axes.set_title("Stay Positive: time of an epoch saved", loc="left")
    tidy(axes, "negatives of a triple, n", "(t₁ − t₂) / t₁")
    axes.set_xscale("log")
    axes.set_xticks([n for n, _ in points], [str(n) for n, _ in points])
    axes.minorticks_off()
    axes.set_ylim(min(0.0, *reductions.values()), 1)
    axes.legend(frameon=False, loc="lower right")
