"""Explanations of a few triples: those that a run predicts best, and its worst mistake."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from dans.errors import InputError
from dans.evaluation.evaluator import Ranks
from dans.memory import Budget
from dans.predict.explain import Explainer, Explanation, Names
from dans.predict.explain import Path as Steps
from dans.predict.picture import Arrow, Layout
from dans.report.mistakes import Wrong
from dans.runs.train import Trained

log = logging.getLogger(__name__)

#: Well predicted triples that are explained, each of another relation, and the largest rank of
#: their heads and tails.
WELL, WITHIN = 3, 10
#: Paths, carrying triples and analogies of an explanation.
TOP = 4
#: Training triples above which nothing is explained: each explanation encodes them all, twice.
MOST_TRIPLES = 300_000
#: Length and half of the width of the head of an arrow.
POINT = (10.0, 4.5)


@dataclass(frozen=True)
class Explained:
    """An explanation, and what it is an explanation of.

    Args:
        about: a few words, such as "predicted well".
        ranks: of head and tail, or of one of them; in words.
    """

    about: str
    ranks: str
    found: Explanation

    @property
    def layout(self) -> Layout:
        """The geometry of its picture."""
        return Layout.of(self.found)


def explanations(
    trained: Trained, ranks: Ranks, worst: list[Wrong], *, budget: Budget | None = None
) -> list[Explained] | str:
    """The explanations that a report shows; or a sentence that says why there are none.

    Args:
        trained: the run.
        ranks: of a split.
        worst: its worst queries, the worst first, of which that one is explained: the right answer,
            and the first answer that is not known.
    """
    number = len(trained.kg.train)
    if number > MOST_TRIPLES:
        return (
            f"There are none: the graph has {number:,} training triples, more than "
            f"{MOST_TRIPLES:,}. The command dans explain explains one triple."
        )
    explainer = Explainer.of(trained, budget=budget)
    try:
        return [
            Explained(about, rank, explainer.explain(*triple, top=TOP))
            for about, rank, triple in (*_well(trained, ranks), *_missed(worst))
        ]
    except InputError as error:
        return f"There are none: {error}."


def _well(trained: Trained, ranks: Ranks) -> Iterator[tuple[str, str, Names]]:
    """The triples with the smallest sums of ranks, of each relation one."""
    kg, seen = trained.kg, set[int]()
    for row in ranks.realistic.sum(1).argsort(stable=True).tolist():
        head, relation, tail = ranks.triples[row].tolist()
        if len(seen) == WELL or float(ranks.realistic[row].max()) > WITHIN:
            return
        if relation not in seen and head != tail:
            seen.add(relation)
            of_head, of_tail = ranks.realistic[row].tolist()
            text = f"rank {of_head:g} as the head and {of_tail:g} as the tail"
            yield (
                "predicted well",
                text,
                (kg.entities[head], kg.relations[relation], kg.entities[tail]),
            )


def _missed(worst: list[Wrong]) -> Iterator[tuple[str, str, Names]]:
    """The right answer to the worst query, and the model's first answer that is not known."""
    for one in worst[:1]:
        head, relation, tail = (part or one.right for part in one.query.parts)
        side = "head" if one.query.head is None else "tail"
        yield "missed", f"rank {one.rank:g} as the {side}", (head, relation, tail)
        for answer in one.answers:
            if not answer.known:
                head, relation, tail = (part or answer.name for part in one.query.parts)
                yield "the model's first answer instead", f"as the {side}", (head, relation, tail)
                return


def steps(path: Steps) -> list[tuple[str, bool, str]]:
    """The steps of a path: the relation, whether it is passed forwards, and where it leads.

    Example:
        >>> steps(Steps((("b", "r", "a"), ("b", "s", "c")), (0.0, 0.0), (False, True), -1.0))
        [('r', False, 'b'), ('s', True, 'c')]
    """
    return [
        (relation, forward, tail if forward else head)
        for (head, relation, tail), forward in zip(path.triples, path.forward, strict=True)
    ]


def curve(arrow: Arrow) -> str:
    """The curve of an arrow as an SVG path; it ends where the arrow's head begins."""
    (x, y), (across, down), _ = arrow.curve
    end, _, _ = _head(arrow)
    return f"M{x:.1f} {y:.1f}Q{across:.1f} {down:.1f} {end[0]:.1f} {end[1]:.1f}"


def point(arrow: Arrow) -> str:
    """The head of an arrow as the points of an SVG polygon."""
    (x, y), (across, down), end = _head(arrow)
    wide = POINT[1]
    corners = (x - down * wide, y + across * wide), end, (x + down * wide, y - across * wide)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)


def _head(arrow: Arrow) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
    """The middle of the base of an arrow's head, its direction of length 1, and its end."""
    _, (x, y), end = arrow.curve
    across, down = end[0] - x, end[1] - y
    length = (across**2 + down**2) ** 0.5 or 1.0
    across, down = across / length, down / length
    return (end[0] - across * POINT[0], end[1] - down * POINT[0]), (across, down), end
