"""The embedding plot: t-SNE coordinates of true tails and negatives, with their names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dans.analysis.diversity import (
    TRUTH,
    Group,
    diversity_within_query,
    evenly,
    gather,
    measure,
    project,
    relation_triples,
)
from dans.errors import InputError
from dans.runs.train import Trained
from dans.samplers.nearest import nearest
from dans.seeding import seed_everything

#: Points of one origin at the most.
MOST = 400
#: Points that t-SNE needs.
FEWEST = 8

#: True tails and negatives by origin, the true tails first.
Drawn = Mapping[str, Group]


@dataclass(frozen=True)
class Point:
    """An entity or a generated embedding in the plane.

    Args:
        x: from left to right.
        y: from the bottom up.
        name: of the entity, or of the one nearest to a generated embedding.
        generated: True for a generated embedding.
        query: the query that a negative was drawn for; empty for a true tail.
    """

    x: float
    y: float
    name: str
    generated: bool
    query: str


@dataclass(frozen=True)
class EmbeddingPlot:
    """True tails of a relation and negatives, in the plane.

    Args:
        relation: its name.
        triples: training triples of the relation that negatives were drawn for.
        of: how many training triples it has.
        points: by origin, the true tails first.
        drawn: how many embeddings there are of each origin, shown or not.
        numbers: of each origin, by ``measured``; empty until then.
    """

    relation: str
    triples: int
    of: int
    points: Mapping[str, tuple[Point, ...]]
    drawn: Mapping[str, int]
    numbers: Mapping[str, Mapping[str, float | None]]


def draw(trained: Trained, *, triples: int = 60) -> Drawn | str:
    """The true tails of the most frequent relation, and negatives for its tail queries.

    Args:
        trained: the run.
        triples: of the relation, for which negatives are drawn.

    Returns:
        Embeddings by origin; or a sentence that says why there are none.
    """
    seed_everything(trained.config.train.seed)
    try:
        return gather(
            trained.kg,
            trained.model,
            trained.sampler,
            trained.entities,
            _most_frequent_relation(trained),
            queries=triples,
        )
    except InputError as error:
        return f"There is no picture: {error}."


def _most_frequent_relation(trained: Trained) -> int:
    return int(trained.kg.train[:, 1].mode().values)


def embedding_plot(trained: Trained, drawn: Drawn, *, triples: int = 60) -> EmbeddingPlot | str:
    """The plot of at most ``MOST`` embeddings of each origin.

    Args:
        trained: the run.
        drawn: by ``draw``, for as many triples.
        triples: as in ``draw``.

    Returns:
        The plot; or a sentence that says why there is none.
    """
    kg, relation = trained.kg, _most_frequent_relation(trained)
    groups = {name: thinned(group) for name, group in drawn.items()}
    few = sum(len(group.embeddings) for group in groups.values()) < FEWEST
    if few or trained.entities.shape[1] < 2:
        return "There is no picture: t-SNE needs more points, or more than one dimension."
    try:
        places = project(groups)
    except ImportError:
        return "There is no picture: it needs scikit-learn, pip install 'dans[plots]'."
    rows = relation_triples(kg, relation, triples)
    points = {}
    for origin, group in groups.items():
        queries = (
            [""] * len(group.embeddings) if origin == TRUTH else _queries(trained, rows, group)
        )
        points[origin] = tuple(
            Point(float(x), float(y), name, not group.names, query)
            for (x, y), name, query in zip(
                places[origin], _names(trained, group), queries, strict=True
            )
        )
    counts = {name: len(group.embeddings) for name, group in drawn.items()}
    every = int((kg.train[:, 1] == relation).sum())
    return EmbeddingPlot(kg.relations[relation], len(rows), every, points, counts, {})


def measured(runs: Sequence[Drawn]) -> list[dict[str, dict[str, float | None]]]:
    """Diversity and separability of what each run drew, comparable between runs.

    Equally many embeddings of every origin but the true tails are measured, in every run, evenly
    spaced: the share of distinct ones depends on their number. Diversity within a query is of all.
    """
    sizes = [len(g.embeddings) for drawn in runs for name, g in drawn.items() if name != TRUTH]
    size = min([MOST, *sizes])
    found = []
    for drawn in runs:
        groups = {n: thinned(g, MOST if n == TRUTH else size) for n, g in drawn.items()}
        numbers = measure(groups)
        for name, group in drawn.items():
            numbers[name]["diversity_within_query"] = diversity_within_query(group)
        found.append(numbers)
    return found


def thinned(group: Group, most: int | None = None) -> Group:
    """At most so many embeddings of a group, evenly spaced; ``MOST`` by default."""
    chosen = evenly(torch.arange(len(group.embeddings)), MOST if most is None else most)
    names = tuple(group.names[i] for i in chosen.tolist()) if group.names else ()
    rows = chosen.to(group.embeddings.device)
    return Group(group.embeddings[rows], group.queries[rows], names)


def _names(trained: Trained, group: Group) -> list[str]:
    """The entity of each embedding, or the nearest one."""
    if group.names:
        return list(group.names)
    found = nearest(group.embeddings, trained.entities)
    return [trained.kg.entities[i] for i in found.tolist()]


def _queries(trained: Trained, rows: Tensor, group: Group) -> list[str]:
    """The query of each embedding, as ``head, relation, ?``."""
    kg = trained.kg
    heads, relations, _ = rows[group.queries.cpu()].unbind(1)
    return [
        f"{kg.entities[h]}, {kg.relations[r]}, ?"
        for h, r in zip(heads.tolist(), relations.tolist(), strict=True)
    ]
