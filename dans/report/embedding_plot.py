"""Where a run's negatives lie: the points of the t-SNE picture, each with its name."""

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


@dataclass(frozen=True)
class Point:
    """One entity, or one embedding that was generated.

    Args:
        x: from left to right.
        y: from the bottom up.
        name: of the entity; of the one nearest to it, for a generated embedding.
        generated: was it?
        query: what it answers; empty for a true tail.
    """

    x: float
    y: float
    name: str
    generated: bool
    query: str


@dataclass(frozen=True)
class EmbeddingPlot:
    """All points of a picture.

    Args:
        relation: whose tails they stand for.
        triples: lines of the relation, for which negatives were drawn.
        of: its lines in training.
        points: by origin, the true tails first.
        drawn: how many there are of each origin, shown or not.
        numbers: what ``measured`` says of each origin; empty until that is asked.
    """

    relation: str
    triples: int
    of: int
    points: Mapping[str, tuple[Point, ...]]
    drawn: Mapping[str, int]
    numbers: Mapping[str, Mapping[str, float | None]]


#: What was drawn, by origin, the true tails first.
Drawn = Mapping[str, Group]


def draw(trained: Trained, *, triples: int = 60) -> Drawn | str:
    """The true tails of the relation with most training lines, and the negatives against them.

    Args:
        trained: the run.
        triples: of the relation, for which negatives are drawn.

    Returns:
        What was drawn; or why there is nothing, in a sentence.
    """
    kg, relation = trained.kg, _relation(trained)
    seed_everything(trained.config.train.seed)
    try:
        return gather(
            kg, trained.model, trained.sampler, trained.entities, relation, queries=triples
        )
    except InputError as error:
        return f"There is no picture: {error}."


def _relation(trained: Trained) -> int:
    """The one that stands in most training lines."""
    return int(trained.kg.train[:, 1].mode().values)


def embedding_plot(trained: Trained, drawn: Drawn, *, triples: int = 60) -> EmbeddingPlot | str:
    """Where lies what was drawn, a share of it.

    Args:
        trained: the run.
        drawn: by ``draw``, for the same triples.
        triples: as there.

    Returns:
        The points; or why there is no picture, in a sentence.
    """
    kg, relation = trained.kg, _relation(trained)
    groups = {name: thinned(group) for name, group in drawn.items()}
    few = sum(len(group.embeddings) for group in groups.values()) < FEWEST
    if few or trained.entities.shape[1] < 2:
        return "There is no picture: t-SNE needs more points, or more than one dimension."
    try:
        places = project(groups)
    except ImportError:
        return "There is no picture: it needs scikit-learn, pip install 'dans[plots]'."
    rows = relation_triples(kg, relation, triples)
    points = {
        name: tuple(
            Point(float(x), float(y), one, not group.names, query)
            for (x, y), one, query in zip(
                places[name],
                names(trained, group),
                queries(trained, rows, group) if name != TRUTH else [""] * len(group.embeddings),
                strict=True,
            )
        )
        for name, group in groups.items()
    }
    counts = {name: len(group.embeddings) for name, group in drawn.items()}
    every = int((kg.train[:, 1] == relation).sum())
    return EmbeddingPlot(kg.relations[relation], len(rows), every, points, counts, {})


def measured(runs: Sequence[Drawn]) -> list[dict[str, dict[str, float | None]]]:
    """What ``dans.analysis.diversity.measure`` says of what each of some runs drew.

    Of every origin but the true tails as many points are measured, in every run, evenly spread: the
    share of distinct ones depends on how many they are. Distances within a query are of all drawn.

    Args:
        runs: what was drawn by each.
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
    """At most so many points of a group, evenly spread; without a number, ``MOST``."""
    chosen = evenly(torch.arange(len(group.embeddings)), MOST if most is None else most)
    named = tuple(group.names[i] for i in chosen.tolist()) if group.names else ()
    place = chosen.to(group.embeddings.device)
    return Group(group.embeddings[place], group.queries[place], named)


def names(trained: Trained, group: Group) -> list[str]:
    """The entity of each point; the nearest one, where the points are generated."""
    if group.names:
        return list(group.names)
    found = nearest(group.embeddings, trained.entities)
    return [trained.kg.entities[i] for i in found.tolist()]


def queries(trained: Trained, rows: Tensor, group: Group) -> list[str]:
    """What each point answers, as ``head, relation, ?``."""
    kg = trained.kg
    heads, relations, _ = rows[group.queries.cpu()].unbind(1)
    return [
        f"{kg.entities[h]}, {kg.relations[r]}, ?"
        for h, r in zip(heads.tolist(), relations.tolist(), strict=True)
    ]
