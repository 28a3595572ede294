"""What a model gets wrong: the worst answers, and unknown facts that it believes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dans.analysis.diversity import spread_out
from dans.assembly import Trained
from dans.batch import corrupted
from dans.calibration import Calibration
from dans.classifier import logits
from dans.data.graph import SPLITS, KnowledgeGraph
from dans.evaluation import Ranks
from dans.memory import Budget
from dans.models.model import at_rest
from dans.reporting.dataset import degrees

#: Queries answered worst that are shown.
WORST = 12
#: Answers shown for each.
ANSWERS = 5
#: Of one relation and side at the most, or one odd relation fills the table.
SAME = 3
#: Unknown facts shown.
MISSING = 20
#: Questions of each side that are looked through for them.
ASKED = 1000
#: Unknown answers to one question at the most.
EACH = 2
#: What the scores of a chunk may take.
MAX_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Answer:
    """An entity that a model gives.

    Args:
        name: of the entity.
        score: the logit; larger is truer.
        known: the splits that hold the fact it makes.
    """

    name: str
    score: float
    known: tuple[str, ...]


@dataclass(frozen=True)
class Wrong:
    """A query, its right answer, and what the model says instead.

    Args:
        head: its name, or ``?``.
        relation: its name.
        tail: its name, or ``?``.
        right: the right answer.
        degree: training facts that hold the right answer.
        rank: of the right answer, ties counted half.
        candidates: that it competes with, itself among them.
        answers: the model's first ones, known or not.
    """

    head: str
    relation: str
    tail: str
    right: Answer
    degree: int
    rank: float
    candidates: int
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Missing:
    """A fact that no split holds, and the model believes.

    Args:
        head: its name.
        relation: its name.
        tail: its name.
        asked: which end was asked for, ``head`` or ``tail``.
        score: the logit.
        probability: calibrated; None for a run without calibration.
    """

    head: str
    relation: str
    tail: str
    asked: str
    score: float
    probability: float | None


def score(trained: Trained, facts: Tensor, *, heads: bool) -> Tensor:
    """Every entity as the answer to what some facts ask: (f, n) logits, on the CPU.

    Args:
        trained: the run.
        facts: (f, 3).
        heads: is the head asked for, or the tail?
    """
    decoder, entities = trained.model.decoder, trained.entities
    h, r, t = facts.to(entities.device).unbind(1)
    with torch.no_grad(), at_rest(decoder):
        asked = decoder.ask_heads(r, entities[t]) if heads else decoder.ask_tails(entities[h], r)
        return decoder.match_all(asked, entities).cpu()


def worst(trained: Trained, ranks: Ranks) -> list[Wrong]:
    """The queries whose right answers rank last, the worst first; equal questions once.

    At most ``SAME`` of one relation and side are shown.
    """
    found: list[Wrong] = []
    questions: set[tuple[int, int, int]] = set()
    met: dict[tuple[int, int], int] = {}
    order = ranks.realistic.flatten().argsort(descending=True, stable=True)
    counts = degrees(trained.kg.train, trained.kg.num_entities)
    for place in order.tolist():
        row, side = divmod(place, 2)
        fact = ranks.facts[row]
        h, r, t = fact.tolist()
        question = (side, r, h if side else t)
        if len(found) == WORST or float(ranks.realistic[row, side]) <= 1:
            break
        if question in questions or met.get((side, r), 0) == SAME:
            continue
        questions.add(question)
        met[side, r] = met.get((side, r), 0) + 1
        found.append(_wrong(trained, ranks, row, side, int(counts[t if side else h])))
    return found


def _wrong(trained: Trained, ranks: Ranks, row: int, side: int, degree: int) -> Wrong:
    """One query in words: ``side`` 0 asks for the head, 1 for the tail."""
    kg, fact = trained.kg, ranks.facts[row]
    scores = score(trained, fact.unsqueeze(0), heads=not side)[0]
    names = [kg.entities[int(fact[0])], kg.relations[int(fact[1])], kg.entities[int(fact[2])]]
    asked = 2 * side

    def answer(entity: int) -> Answer:
        triple = fact.clone()
        triple[asked] = entity
        known = tuple(split for split in SPLITS if bool(kg.known((split,)).contains(triple)))
        return Answer(kg.entities[entity], float(scores[entity]), known)

    right = answer(int(fact[asked]))
    names[asked] = "?"
    first = scores.topk(min(ANSWERS, len(scores))).indices.tolist()
    return Wrong(
        head=names[0],
        relation=names[1],
        tail=names[2],
        right=right,
        degree=degree,
        rank=float(ranks.realistic[row, side]),
        candidates=int(ranks.candidates[row, side]),
        answers=tuple(answer(entity) for entity in first),
    )


def missing(
    trained: Trained,
    facts: Tensor,
    calibration: Calibration | None = None,
    *,
    budget: Budget | None = None,
) -> tuple[list[Missing], int]:
    """Facts that no split holds, with the highest scores among the answers to what a split asks.

    Args:
        trained: the run.
        facts: (f, 3) of the split.
        calibration: turns logits into probabilities.
        budget: what may be held at a time; None: a quarter of what is free.

    Returns:
        The facts, the most believed first, and how many questions were looked through.
    """
    budget = budget or Budget(place=trained.entities.device)
    found: dict[tuple[int, int, int], tuple[float, str]] = {}
    looked = 0
    for end, columns in (("head", (1, 2)), ("tail", (0, 1))):
        asked = spread_out(_distinct(facts, columns), ASKED)
        looked += len(asked)
        for triple, value in _unknown(trained, asked, budget, heads=end == "head"):
            if value > found.get(triple, (-math.inf, ""))[0]:
                found[triple] = value, end
    first = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))[:MISSING]
    triples = torch.tensor([triple for triple, _ in first], dtype=torch.int64).view(-1, 3)
    chances: list[float | None] = [None] * len(first)
    if calibration is not None and first:
        found_logits = logits(trained.model.decoder, trained.entities, triples)
        chances = [float(p) for p in calibration.probabilities(found_logits)]
    return [
        Missing(*_named(trained.kg, triple), end, value, chance)
        for (triple, (value, end)), chance in zip(first, chances, strict=True)
    ], looked


def _unknown(
    trained: Trained, asked: Tensor, budget: Budget, *, heads: bool
) -> Iterator[tuple[tuple[int, int, int], float]]:
    """The best unknown answers to what some facts ask, ``EACH`` at the most, and their scores."""
    known, n = trained.kg.known(), trained.kg.num_entities

    def answers(rows: slice) -> tuple[Tensor, Tensor]:
        part = asked[rows]
        scores = score(trained, part, heads=heads)
        h, r, t = part.unbind(1)
        row, entities = known.heads(r, t) if heads else known.tails(h, r)
        scores[row, entities] = -torch.inf
        values, ids = scores.topk(min(EACH, n))
        side = torch.full_like(ids, heads, dtype=torch.bool)
        return corrupted(part, ids, side).flatten(0, 1), values.flatten()

    decoder, size = trained.model.decoder, trained.entities.element_size()
    # Scores on their device and here, and what the search for the highest takes.
    each, fixed = size * (decoder.asking(1) + 4 * n), size * decoder.matching(1, n)
    most = max(1, MAX_BYTES // (size * n))
    for triples, values in budget.chunks(len(asked), each, answers, most=most, fixed=fixed):
        rows = ((h, r, t) for h, r, t in triples.tolist())
        yield from zip(rows, values.tolist(), strict=True)


def _distinct(facts: Tensor, columns: tuple[int, int]) -> Tensor:
    """One fact for each different pair in two of their columns."""
    _, group = facts[:, columns].unique(dim=0, return_inverse=True)
    first = torch.full((int(group.max()) + 1,), len(facts))
    first = first.scatter_reduce(0, group, torch.arange(len(facts)), "amin")
    return facts[first.sort().values]


def _named(kg: KnowledgeGraph, triple: tuple[int, int, int]) -> tuple[str, str, str]:
    head, relation, tail = triple
    return kg.entities[head], kg.relations[relation], kg.entities[tail]
