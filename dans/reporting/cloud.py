"""Where a run's negatives lie: the points of the t-SNE picture, each with its name."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dans.analysis.diversity import TRUTH, Group, asked, gather, measure, project, spread_out
from dans.assembly import Trained
from dans.errors import InputError
from dans.samplers.nearest import nearest
from dans.seeding import seed_everything

#: Points of one origin at the most.
MOST = 400
#: Points that t-SNE needs.
FEWEST = 8


@dataclass(frozen=True)
class Point:
    """One entity, or one vector that was generated.

    Args:
        x: from left to right.
        y: from the bottom up.
        name: of the entity; of the one nearest to it, for a generated vector.
        generated: was it?
        question: what it answers; empty for a true tail.
    """

    x: float
    y: float
    name: str
    generated: bool
    question: str


@dataclass(frozen=True)
class Cloud:
    """All points of a picture.

    Args:
        relation: whose tails they stand for.
        facts: of the relation, for which negatives were drawn.
        of: its training facts.
        points: by origin, the true tails first.
        drawn: how many there are of each origin, shown or not.
        numbers: what ``dans.analysis.diversity.measure`` says of each origin.
    """

    relation: str
    facts: int
    of: int
    points: Mapping[str, tuple[Point, ...]]
    drawn: Mapping[str, int]
    numbers: Mapping[str, Mapping[str, float | None]]


def cloud(trained: Trained, *, facts: int = 60) -> Cloud | str:
    """The true tails of the relation with most training facts, and the negatives against them.

    Args:
        trained: the run.
        facts: of the relation, for which negatives are drawn.

    Returns:
        The points; or why there is no picture, in a sentence.
    """
    kg = trained.kg
    width = trained.entities.shape[1]
    relation = int(kg.train[:, 1].mode().values)
    seed_everything(trained.config.train.seed)
    try:
        drawn = gather(
            kg, trained.model, trained.sampler, trained.entities, relation, queries=facts
        )
        groups = {name: thinned(group) for name, group in drawn.items()}
        if sum(len(group.vectors) for group in groups.values()) < FEWEST or width < 2:
            return "There is no picture: t-SNE needs more points, or more than one dimension."
        places = project(groups)
        numbers = measure(groups)
    except ImportError:
        return "There is no picture: it needs scikit-learn, pip install 'dans[plots]'."
    except InputError as error:
        return f"There is no picture: {error}."
    rows = asked(kg, relation, facts)
    points = {
        name: tuple(
            Point(float(x), float(y), one, not group.names, question)
            for (x, y), one, question in zip(
                places[name],
                names(trained, group),
                questions(trained, rows, group) if name != TRUTH else [""] * len(group.vectors),
                strict=True,
            )
        )
        for name, group in groups.items()
    }
    counts = {name: len(group.vectors) for name, group in drawn.items()}
    every = int((kg.train[:, 1] == relation).sum())
    return Cloud(kg.relations[relation], len(rows), every, points, counts, numbers)


def thinned(group: Group) -> Group:
    """At most ``MOST`` points of a group, evenly spread."""
    chosen = spread_out(torch.arange(len(group.vectors)), MOST)
    named = tuple(group.names[i] for i in chosen.tolist()) if group.names else ()
    place = chosen.to(group.vectors.device)
    return Group(group.vectors[place], group.queries[place], named)


def names(trained: Trained, group: Group) -> list[str]:
    """The entity of each point; the nearest one, where the points are generated."""
    if group.names:
        return list(group.names)
    found = nearest(group.vectors, trained.entities)
    return [trained.kg.entities[i] for i in found.tolist()]


def questions(trained: Trained, rows: Tensor, group: Group) -> list[str]:
    """What each point answers, as ``head, relation, ?``."""
    kg = trained.kg
    heads, relations, _ = rows[group.queries.cpu()].unbind(1)
    return [
        f"{kg.entities[h]}, {kg.relations[r]}, ?"
        for h, r in zip(heads.tolist(), relations.tolist(), strict=True)
    ]
