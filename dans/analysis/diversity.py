"""How spread negatives are, how near the truth, how alike: the numbers beside the picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.model import Model
from dans.samplers.base import NegativeSampler

#: The group every other one is compared with.
TRUTH = "true tails"


@dataclass(frozen=True)
class Group:
    """Points of one origin.

    Args:
        embeddings: (p, d).
        queries: (p,) the query each point answers; equal numbers, same query.
        names: (p,) names of the entities, empty for generated embeddings.
    """

    embeddings: Tensor
    queries: Tensor
    names: tuple[str, ...]


@torch.no_grad()
def gather(
    kg: KnowledgeGraph,
    model: Model,
    sampler: NegativeSampler,
    entities: Tensor,
    relation: int,
    *,
    queries: int = 60,
    most: int = 400,
) -> dict[str, Group]:
    """The true tails of a relation, and what a sampler offers against them.

    Args:
        kg: the triples.
        model: turns them into embeddings.
        sampler: whose negatives.
        entities: (n, d).
        relation: its id.
        queries: triples of the relation for which negatives are drawn, evenly spread over its
            training triples; more than there are means all of them. The true tails are those of
            all.
        most: true tails at the most, likewise spread.

    Raises:
        InputError: the relation has no training triples.
    """
    tails = kg.train[kg.train[:, 1] == relation, 2].unique().to(entities.device)
    truth = spread_out(tails, most)
    triples = asked(kg, relation, queries).to(entities.device)
    positives = model.positives(triples, entities)
    sampler.eval()
    groups = {TRUTH: Group(entities[truth], truth, _names(kg, truth))}
    for origin, negatives in sampler.origins(positives).items():
        chosen = ~negatives.replaces_head
        if negatives.valid is not None:
            chosen = chosen & negatives.valid
        rows = (
            torch.arange(len(triples), device=triples.device).unsqueeze(1).expand_as(chosen)[chosen]
        )
        ids = None if negatives.ids is None else negatives.ids[chosen]
        if len(rows):
            groups[origin] = Group(negatives.embeddings[chosen], rows, _names(kg, ids))
    return groups


def asked(kg: KnowledgeGraph, relation: int, queries: int) -> Tensor:
    """Training triples of a relation, at most so many and evenly spread, (q, 3).

    Raises:
        InputError: it has none.
    """
    triples = kg.train[kg.train[:, 1] == relation]
    if not len(triples):
        raise InputError(f"--relation {kg.relations[relation]}: has no training triples")
    return spread_out(triples, queries)


def spread_out(rows: Tensor, most: int) -> Tensor:
    """At most so many rows, evenly spread."""
    if len(rows) <= most:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, most, device=rows.device).long()]


def _names(kg: KnowledgeGraph, ids: Tensor | None) -> tuple[str, ...]:
    return () if ids is None else tuple(kg.entities[i] for i in ids.tolist())


def measure(groups: Mapping[str, Group]) -> dict[str, dict[str, float | None]]:
    """Spread, nearness and separability of groups of points.

    Returns:
        For each group: ``points``; ``distinct``, the share of points that differ from all others;
        ``spread``, the mean distance between two points; ``spread_within_query``, the same for
        points of one query; ``to_nearest_true_tail``, a mean distance; and ``auc_<other>``, how
        well a linear probe tells the group from another one (area under ROC, five-fold; .5 is not
        at all; None where a group has fewer than five).
    """
    truth = groups[TRUTH].embeddings
    numbers: dict[str, dict[str, float | None]] = {}
    for name, group in groups.items():
        numbers[name] = {
            "points": float(len(group.embeddings)),
            "distinct": len(group.embeddings.unique(dim=0)) / max(len(group.embeddings), 1),
            "spread": spread(group.embeddings),
            "spread_within_query": spread_within(group),
            "to_nearest_true_tail": float(torch.cdist(group.embeddings, truth).amin(1).mean()),
        }
    for one, other in combinations(groups, 2):
        auc = separability(groups[one].embeddings, groups[other].embeddings)
        numbers[one][f"auc_{other}"] = numbers[other][f"auc_{one}"] = auc
    return numbers


def spread(embeddings: Tensor) -> float:
    """Mean distance between two different points; 0 for fewer than two.

    Example:
        >>> spread(torch.tensor([[0., 0.], [3., 4.]]))
        5.0
    """
    return float(torch.pdist(embeddings).mean()) if len(embeddings) > 1 else 0.0


def spread_within(group: Group) -> float:
    """Mean distance between two points of the same query; 0 where no query has two."""
    queries = (group.embeddings[group.queries == query] for query in group.queries.unique())
    distances = [torch.pdist(points) for points in queries if len(points) > 1]
    return float(torch.cat(distances).mean()) if distances else 0.0


def separability(one: Tensor, other: Tensor) -> float | None:
    """Area under ROC of a linear probe between two groups of points, five-fold.

    Needs scikit-learn (``pip install 'dans[plots]'``). None with fewer than five points on a side.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if min(len(one), len(other)) < 5:
        return None
    points = torch.cat((one, other)).double().cpu().numpy()
    labels = np.repeat((0, 1), (len(one), len(other)))
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    chances = cross_val_predict(probe, points, labels, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(labels, chances))


def project(groups: Mapping[str, Group], *, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Joint t-SNE coordinates of all groups, (p, 2) each.

    Needs scikit-learn (``pip install 'dans[plots]'``).
    """
    from sklearn.manifold import TSNE

    points = torch.cat([group.embeddings for group in groups.values()]).double().cpu().numpy()
    perplexity = min(30.0, max(2.0, (len(points) - 1) / 4))
    tsne = TSNE(2, perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
    places = tsne.fit_transform(points)
    ends = np.cumsum([len(group.embeddings) for group in groups.values()])[:-1]
    return dict(zip(groups, np.split(places, ends), strict=True))
