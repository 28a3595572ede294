"""The embedding plot: t-SNE coordinates of true tails and negatives, with their names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

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
from dans.errors import InputError, install_command
from dans.runs.train import Trained
from dans.samplers.nearest import nearest
from dans.seeding import seed_everything

#: Points of one origin at the most.
MOST = 400
#: Different points that t-SNE needs.
FEWEST = 5


@dataclass(frozen=True)
class Point:
    """An entity, or a generated embedding under the name of the nearest one, in the plane.

    ``query`` is the one a negative was drawn for, empty for a true tail.
    """

    x: float
    y: float
    name: str
    generated: bool
    query: str


@dataclass(frozen=True)
class EmbeddingPlot:
    """True tails of a relation and negatives, in the plane, by origin, the true tails first.

    Args:
        triples: training triples of the relation that negatives were drawn for.
        of: how many training triples it has.
        groups: all embeddings that were drawn, shown or not.
        numbers: by ``measured``; empty until then.
    """

    relation: str
    triples: int
    of: int
    points: Mapping[str, tuple[Point, ...]]
    groups: Mapping[str, Group]
    numbers: Mapping[str, Mapping[str, float | None]]

    @property
    def drawn(self) -> dict[str, int]:
        """How many embeddings were drawn of each origin."""
        return {name: len(group.embeddings) for name, group in self.groups.items()}


def embedding_plot(trained: Trained, *, triples: int = 60) -> EmbeddingPlot | str:
    """True tails of the most frequent relation, and negatives for some tail queries of it.

    Negatives are shown as they are offered to the model and, where they are decoded, as they are
    generated, too. At most ``MOST`` points of each origin are shown. Where there is no picture, a
    sentence that says why.
    """
    kg, relation = trained.kg, int(trained.kg.train[:, 1].mode().values)
    seed_everything(trained.config.train.seed)
    try:
        drawn = gather(
            kg, trained.model, trained.sampler, trained.entities, relation, queries=triples
        )
    except InputError as error:
        return f"There is no picture: {error}."
    groups = {name: thinned(group) for name, group in drawn.items()}
    every = torch.cat([group.embeddings for group in groups.values()])
    if len(every.unique(dim=0)) < FEWEST or trained.entities.shape[1] < 2:
        return "There is no picture: t-SNE needs more points, or more than one dimension."
    try:
        places = project(groups)
    except ImportError:
        return f"There is no picture: it needs scikit-learn, {install_command('plots')}."
    rows = relation_triples(kg, relation, triples)
    points = {}
    for origin, group in groups.items():
        names = group.names or [
            kg.entities[i] for i in nearest(group.embeddings, trained.entities).tolist()
        ]
        queries = [""] * len(names)
        if origin != TRUTH:
            heads = rows[group.queries.cpu(), 0].tolist()
            queries = [f"{kg.entities[h]}, {kg.relations[relation]}, ?" for h in heads]
        points[origin] = tuple(
            Point(float(x), float(y), name, not group.names, query)
            for (x, y), name, query in zip(places[origin], names, queries, strict=True)
        )
    of = int((kg.train[:, 1] == relation).sum())
    return EmbeddingPlot(kg.relations[relation], len(rows), of, points, drawn, {})


def measured(plots: Sequence[EmbeddingPlot]) -> list[EmbeddingPlot]:
    """The plots with their diversity and separability, comparable between runs.

    Equally many embeddings of every origin but the true tails are measured, in every run, evenly
    spaced: the share of distinct ones depends on their number. Diversity within a query is of all.
    """
    sizes = [n for plot in plots for name, n in plot.drawn.items() if name != TRUTH]
    size = min([MOST, *sizes])
    found = []
    for plot in plots:
        numbers = measure(
            {n: thinned(g, MOST if n == TRUTH else size) for n, g in plot.groups.items()}
        )
        for name, group in plot.groups.items():
            numbers[name]["diversity_within_query"] = diversity_within_query(group)
        found.append(replace(plot, numbers=numbers))
    return found


def thinned(group: Group, most: int | None = None) -> Group:
    """At most so many embeddings of a group, evenly spaced; ``MOST`` by default."""
    chosen = evenly(torch.arange(len(group.embeddings)), MOST if most is None else most)
    names = tuple(group.names[i] for i in chosen.tolist()) if group.names else ()
    rows = chosen.to(group.embeddings.device)
    return Group(group.embeddings[rows], group.queries[rows], names)
