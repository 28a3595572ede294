"""Diversity of negatives, their distance to the true tails, and how separable they are.

Measured is what a sampler offers to the model, and apart from it what a generator generates, where
that is decoded to entities before it is offered.
"""

import re
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
from dans.seeding import random_state, restore_random_state

#: The group every other one is compared with.
TRUTH = "true tails"

#: What follows the name of an origin for its embeddings as generated, before they are decoded.
GENERATED = ", as generated"

#: The longest part of a file's name that is taken from the name of a relation.
LONGEST = 60


@dataclass(frozen=True)
class Group:
    """Embeddings of one origin, (p, d): the true tails, or negatives of one sampler or pathway.

    ``queries`` numbers the query of each, (p,); ``names`` is empty for generated embeddings.
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
    """The true tails of a relation, and a sampler's negatives for its tail queries, by origin.

    Known triples that the sampler masks are left out. Where it decodes what it generates, the
    generated embeddings of the same draws, none left out, follow under names with ``GENERATED``.

    Args:
        sampler: put into evaluation mode.
        entities: (n, d).
        queries: for how many training triples of the relation, evenly spaced, negatives are drawn.
        most: true tails at the most, evenly spaced over those of all training triples.

    Raises:
        InputError: the relation has no training triples.
    """
    tails = kg.train[kg.train[:, 1] == relation, 2].unique().to(entities.device)
    truth = evenly(tails, most)
    triples = relation_triples(kg, relation, queries).to(entities.device)
    positives = model.positives(triples, entities)
    sampler.eval()
    groups = {TRUTH: Group(entities[truth], truth, _names(kg, truth))}
    before = random_state()
    offered = sampler.origins(positives)
    restore_random_state(before)
    drawn = {f"{name}{GENERATED}": one for name, one in sampler.generated(positives).items()}
    for origin, negatives in (offered | drawn).items():
        chosen = ~negatives.corrupt_head
        if negatives.valid is not None:
            chosen = chosen & negatives.valid
        rows = chosen.nonzero()[:, 0]
        ids = None if negatives.ids is None else negatives.ids[chosen]
        if len(rows):
            groups[origin] = Group(negatives.embeddings[chosen], rows, _names(kg, ids))
    return groups


def relation_triples(kg: KnowledgeGraph, relation: int, most: int) -> Tensor:
    """At most so many training triples of a relation, evenly spaced, (q, 3); it must have one."""
    triples = kg.train[kg.train[:, 1] == relation]
    if not len(triples):
        raise InputError(f"--relation {kg.relations[relation]}: has no training triples")
    return evenly(triples, most)


def evenly(rows: Tensor, most: int) -> Tensor:
    """At most so many rows, evenly spaced, the first and the last among them.

    Example:
        >>> evenly(torch.arange(9), 3)
        tensor([0, 4, 8])
    """
    if len(rows) <= most:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, most, dtype=torch.double).long().to(rows.device)]


def caption(groups: Mapping[str, Group], *, relation: str, triples: int, of: int, kept: str) -> str:
    """What was measured, in sentences.

    Args:
        relation: its name.
        triples: for how many training triples of the relation negatives were drawn, of how many
            ``of`` it has.
        kept: which checkpoint of which run drew them, in words.
    """
    dim = groups[TRUTH].embeddings.shape[1]
    said = [
        f"Negatives for the tail queries (head, {relation}, ?) of {triples:,} of its {of:,} "
        f"training triples, drawn at {kept}; true tails are those of all {of:,}."
    ]
    pathways = [name for name in groups if name.endswith(GENERATED)]
    if pathways:
        counts = []
        for name in pathways:
            origin = name.removesuffix(GENERATED)
            offered = len(groups[origin].queries) if origin in groups else 0
            counts.append(f"{offered:,} of {len(groups[name].queries):,} ({origin})")
        said.append(
            "The model never sees what is generated: it is offered the nearest entity of each, "
            f"known triples left out, which leaves {' and '.join(counts)}."
        )
    elif any(not group.names for name, group in groups.items() if name != TRUTH):
        said.append("What is generated is offered as it is, and no entity.")
    said.append(
        f"Places: t-SNE of the {dim}-dimensional embeddings, all groups together; neighbours stay "
        "together, distances between clusters mean little. Equal points are one mark, the larger "
        "the more there are. Numbers: in the embedding space, before projection."
    )
    return " ".join(said)


def file_part(name: str, number: int) -> str:
    """The part of a file's name for a relation; its number, too, where the name alone will not do.

    Example:
        >>> file_part("isa", 3), file_part("/film/genre", 7)
        ('isa', 'film-genre+7')
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:LONGEST]
    return plain if plain == name else f"{plain or 'relation'}+{number}"


def _names(kg: KnowledgeGraph, ids: Tensor | None) -> tuple[str, ...]:
    return () if ids is None else tuple(kg.entities[i] for i in ids.tolist())


def measure(groups: Mapping[str, Group]) -> dict[str, dict[str, float | None]]:
    """Diversity, distance to the true tails, and separability of groups of embeddings.

    Returns:
        For each group: ``points``, how many; ``distinct``, the share of different embeddings;
        ``diversity``; ``diversity_within_query``; ``to_nearest_true_tail``, a mean distance; and
        for each other group ``auc_<other>``, the ``separability`` from it.
    """
    truth = groups[TRUTH].embeddings
    numbers: dict[str, dict[str, float | None]] = {}
    for name, group in groups.items():
        numbers[name] = {
            "points": float(len(group.embeddings)),
            "distinct": len(group.embeddings.unique(dim=0)) / max(len(group.embeddings), 1),
            "diversity": diversity(group.embeddings),
            "diversity_within_query": diversity_within_query(group),
            "to_nearest_true_tail": float(torch.cdist(group.embeddings, truth).amin(1).mean()),
        }
    for one, other in combinations(groups, 2):
        auc = separability(groups[one].embeddings, groups[other].embeddings)
        numbers[one][f"auc_{other}"] = numbers[other][f"auc_{one}"] = auc
    return numbers


def diversity(embeddings: Tensor) -> float:
    """Mean distance between two different embeddings; 0 for fewer than two."""
    return float(torch.pdist(embeddings).mean()) if len(embeddings) > 1 else 0.0


def diversity_within_query(group: Group) -> float:
    """Mean distance between two embeddings of the same query; 0 where no query has two."""
    queries = (group.embeddings[group.queries == query] for query in group.queries.unique())
    distances = [torch.pdist(points) for points in queries if len(points) > 1]
    return float(torch.cat(distances).mean()) if distances else 0.0


def separability(one: Tensor, other: Tensor) -> float | None:
    """Area under the ROC curve of a linear probe between two groups, by five-fold validation.

    0.5 where the probe cannot separate them; None with fewer than five embeddings in one of them.
    Needs scikit-learn (the extra ``plots``).
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
    predicted = cross_val_predict(probe, points, labels, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(labels, predicted))


def project(groups: Mapping[str, Group], *, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Joint t-SNE coordinates of all groups, (p, 2) each; equal embeddings share a place.

    Needs scikit-learn (the extra ``plots``).
    """
    from sklearn.manifold import TSNE

    every = torch.cat([group.embeddings for group in groups.values()]).double().cpu().numpy()
    points, place = np.unique(every, axis=0, return_inverse=True)
    perplexity = min(30.0, max(2.0, (len(points) - 1) / 4))
    tsne = TSNE(2, perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
    ends = np.cumsum([len(group.embeddings) for group in groups.values()])[:-1]
    return dict(
        zip(groups, np.split(tsne.fit_transform(points)[place.reshape(-1)], ends), strict=True)
    )
