"""The queries a model answers worst, and the triples it scores highest that are in no split."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dans.analysis.diversity import evenly
from dans.data.graph import KnowledgeGraph
from dans.data.query_index import Groups
from dans.evaluation.evaluator import Ranks
from dans.evaluation.grouped_metrics import degrees
from dans.models.model import eval_mode
from dans.predict import Answer, Predictor, Query

#: The worst queries that are shown, and the answers to each.
WORST, ANSWERS = 12, 5
#: Of one relation and side at the most, so that one relation does not fill the table.
SAME = 3
#: Triples in no split that are shown.
MISSING = 20
#: Queries of each side that are searched for them, and new answers to each at the most.
QUERIES, EACH = 1000, 2


@dataclass(frozen=True)
class Wrong:
    """A query, the rank of its right answer, and the model's first answers.

    Args:
        score: of the right answer to this query.
        degree: how many training triples contain the right answer.
        rank: filtered rank of the right answer, ties counted half.
        candidates: how many entities are ranked, the right answer included.
        answers: the model's first answers, unfiltered.
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
    """A high-scoring triple of no split, by names.

    ``predicted`` is the entity that was, ``head`` or ``tail``; ``score`` its score, and
    ``probability`` None for a run without calibration.
    """

    head: str
    relation: str
    tail: str
    predicted: str
    score: float
    probability: float | None


def worst(predictor: Predictor, ranks: Ranks) -> list[Wrong]:
    """The queries whose right answers have the largest ranks, the worst first, each once.

    At most ``SAME`` of one relation and side are shown.
    """
    kg = predictor.kg
    places = list(_largest(ranks))
    queries = [query(kg, ranks.triples[row], heads=side == 0) for row, side in places]
    counts = degrees(kg.train, kg.num_entities)
    found = []
    for (row, side), one, answers in zip(
        places, queries, predictor.predict(queries, top=ANSWERS), strict=True
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


def _largest(ranks: Ranks) -> Iterator[tuple[int, int]]:
    """Rows and sides of the queries to show; side 0 is a head query, 1 a tail query."""
    seen: set[tuple[int, int, int]] = set()
    shown: dict[tuple[int, int], int] = {}
    order = ranks.realistic.flatten().argsort(descending=True, stable=True)
    for place in order.tolist():
        row, side = divmod(place, 2)
        h, r, t = ranks.triples[row].tolist()
        key = (side, r, h if side else t)
        if len(seen) == WORST or float(ranks.realistic[row, side]) <= 1:
            return
        if key not in seen and shown.get((side, r), 0) < SAME:
            seen.add(key)
            shown[side, r] = shown.get((side, r), 0) + 1
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
    """The score of a triple, (3,) ids, as the answer to its head or its tail query.

    With reciprocal relations the two differ.
    """
    decoder, entities = predictor.decoder, predictor.entities
    h, r, t = triple.unsqueeze(0).to(entities.device).unbind(1)
    with eval_mode(decoder):
        embedded = (
            decoder.head_queries(r, entities[t]) if heads else decoder.tail_queries(entities[h], r)
        )
        return float(decoder.score_all(embedded, entities[h if heads else t]))


def missing(predictor: Predictor, triples: Tensor) -> tuple[list[Missing], int]:
    """The highest-scoring triples of no split among the answers to a split's queries.

    Also how many queries were searched. A calibration of the predictor gives probabilities.
    """
    found: dict[tuple[str, str, str], Missing] = {}
    searched = 0
    for end, columns in (("head", (1, 2)), ("tail", (0, 1))):
        rows = evenly(_distinct(triples, columns), QUERIES)
        searched += len(rows)
        queries = [query(predictor.kg, row, heads=end == "head") for row in rows]
        found_answers = predictor.predict(queries, top=EACH, new_only=True)
        for one, answers in zip(queries, found_answers, strict=True):
            for answer in answers:
                head, relation, tail = (part or answer.name for part in one.parts)
                triple = head, relation, tail
                if triple not in found or answer.score > found[triple].score:
                    found[triple] = Missing(*triple, end, answer.score, answer.probability)
    first = sorted(found, key=lambda triple: (-found[triple].score, triple))
    return [found[triple] for triple in first[:MISSING]], searched


def _distinct(triples: Tensor, columns: tuple[int, int]) -> Tensor:
    """The first triple of each distinct pair in two of the columns."""
    one, other = triples[:, columns].unbind(1)
    return triples[Groups.of(one * (other.max() + 1) + other).first.sort().values]
