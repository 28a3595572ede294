"""What a model gets wrong: the worst answers, and high scores of triples in no split."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dans.analysis.diversity import spread_out
from dans.data.graph import KnowledgeGraph
from dans.data.query_index import Groups
from dans.evaluation.evaluator import Ranks
from dans.models.model import eval_mode
from dans.predict import Answer, Predictor, Query
from dans.report.breakdown import degrees

#: Queries answered worst that are shown.
WORST = 12
#: Answers shown for each.
ANSWERS = 5
#: Of one relation and side at the most, or one odd relation fills the table.
SAME = 3
#: Triples in no split that are shown.
MISSING = 20
#: Queries of each side that are looked through for them.
ASKED = 1000
#: New answers to one query at the most.
EACH = 2


@dataclass(frozen=True)
class Wrong:
    """A query, its right answer, and what the model says instead.

    Args:
        query: the query.
        right: the right answer's name.
        score: and its logit, as the answer to this query.
        degree: training triples that hold the right answer.
        rank: of the right answer, ties counted half.
        candidates: that it competes with, itself among them.
        answers: the model's first ones, known or not.
    """

    query: Query
    right: str
    score: float
    degree: int
    rank: float
    candidates: int
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Missing:
    """A triple that no split holds, and that scores high.

    Args:
        head: its name.
        relation: its name.
        tail: its name.
        asked: which entity was predicted, ``head`` or ``tail``.
        score: the logit.
        probability: calibrated; None for a run without calibration.
    """

    head: str
    relation: str
    tail: str
    asked: str
    score: float
    probability: float | None


def worst(predictor: Predictor, ranks: Ranks) -> list[Wrong]:
    """The queries whose right answers rank last, the worst first; equal queries once.

    At most ``SAME`` of one relation and side are shown.
    """
    kg = predictor.kg
    places = list(_last(ranks))
    asked = [query(kg, ranks.triples[row], heads=side == 0) for row, side in places]
    counts = degrees(kg.train, kg.num_entities)
    found = []
    for (row, side), one, answers in zip(
        places, asked, predictor.predict(asked, top=ANSWERS), strict=True
    ):
        right = int(ranks.triples[row, 2 * side])
        found.append(
            Wrong(
                query=one,
                right=kg.entities[right],
                score=score(predictor, ranks.triples[row], heads=side == 0),
                degree=int(counts[right]),
                rank=float(ranks.realistic[row, side]),
                candidates=int(ranks.candidates[row, side]),
                answers=tuple(answers),
            )
        )
    return found


def _last(ranks: Ranks) -> Iterator[tuple[int, int]]:
    """Rows and sides of the queries to show: 0 asks for the head, 1 for the tail."""
    queries: set[tuple[int, int, int]] = set()
    met: dict[tuple[int, int], int] = {}
    order = ranks.realistic.flatten().argsort(descending=True, stable=True)
    for place in order.tolist():
        row, side = divmod(place, 2)
        h, r, t = ranks.triples[row].tolist()
        asked = (side, r, h if side else t)
        if len(queries) == WORST or float(ranks.realistic[row, side]) <= 1:
            return
        if asked not in queries and met.get((side, r), 0) < SAME:
            queries.add(asked)
            met[side, r] = met.get((side, r), 0) + 1
            yield row, side


def query(kg: KnowledgeGraph, triple: Tensor, *, heads: bool) -> Query:
    """The head or tail query that a triple, (3,) ids, answers."""
    h, r, t = triple.tolist()
    relation = kg.relations[r]
    if heads:
        return Query(relation=relation, tail=kg.entities[t])
    return Query(kg.entities[h], relation)


@torch.no_grad()
def score(predictor: Predictor, triple: Tensor, *, heads: bool) -> float:
    """The logit of a triple, (3,) ids, as the answer to one of its queries.

    With reciprocal relations, each of its two queries has its own.
    """
    decoder, entities = predictor.decoder, predictor.entities
    h, r, t = triple.unsqueeze(0).to(entities.device).unbind(1)
    with eval_mode(decoder):
        asked = (
            decoder.head_queries(r, entities[t]) if heads else decoder.tail_queries(entities[h], r)
        )
        return float(decoder.score_all(asked, entities[h if heads else t]))


def missing(predictor: Predictor, triples: Tensor) -> tuple[list[Missing], int]:
    """Triples that no split holds, with the highest scores among the answers to what a split asks.

    Args:
        predictor: asked; its calibration turns logits into probabilities.
        triples: (f, 3) of the split.

    Returns:
        The triples, the highest score first, and how many queries were looked through.
    """
    found: dict[tuple[str, str, str], Missing] = {}
    looked = 0
    for end, columns in (("head", (1, 2)), ("tail", (0, 1))):
        rows = spread_out(_distinct(triples, columns), ASKED)
        looked += len(rows)
        asked = [query(predictor.kg, row, heads=end == "head") for row in rows]
        for one, answers in zip(
            asked, predictor.predict(asked, top=EACH, new_only=True), strict=True
        ):
            for answer in answers:
                head, relation, tail = (part or answer.name for part in one.parts)
                triple = head, relation, tail
                if triple not in found or answer.score > found[triple].score:
                    found[triple] = Missing(*triple, end, answer.score, answer.probability)
    first = sorted(found, key=lambda triple: (-found[triple].score, triple))
    return [found[triple] for triple in first[:MISSING]], looked


def _distinct(triples: Tensor, columns: tuple[int, int]) -> Tensor:
    """One triple for each different pair in two of their columns."""
    one, other = triples[:, columns].unbind(1)
    return triples[Groups.of(one * (other.max() + 1) + other).first.sort().values]
