"""The distinct queries of a split, and the filtered competitors of their answers."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dans.data.query_index import Groups
from dans.evaluation.ranking import COMPARED, count_competitors

#: A query with more answers is compared alone: one row of scores with many answers.
MANY = 8

#: Known answers masked at a time.
MASKED = 2**15


@dataclass(frozen=True)
class Queries:
    """The distinct head or tail queries of a split, sorted by falling number of answers.

    In that order the queries with a j-th answer are the first rows of any block, so that one
    comparison serves them all and no row of scores is copied.

    ``anchors`` and ``relations``, (q,), are the queries. ``triples``, (f,), are rows of the split
    sorted by query, ``answers`` their right answers, and ``candidates`` the numbers of entities
    that are no other known answers. ``known``, (p,), are the known answers, sorted by query. Those
    of query i start at ``starts[i]`` and ``known_starts[i]``; both have q + 1 places, on the CPU.
    """

    anchors: Tensor
    relations: Tensor
    answers: Tensor
    triples: Tensor
    starts: Tensor
    known: Tensor
    known_starts: Tensor
    candidates: Tensor

    @classmethod
    def of(
        cls,
        anchors: Tensor,
        relations: Tensor,
        answers: Tensor,
        known: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
        num_entities: int,
    ) -> "Queries":
        """Group the triples of a split, (f,) each, by query.

        ``known``: from (q,) anchors and relations to all known answers, as rows and entities.
        """
        groups = Groups.of(anchors * (relations.max() + 1) + relations)
        order = groups.counts.argsort(descending=True, stable=True)
        counts, triples = groups.counts[order], groups.take(order)
        first = groups.first[order]
        rows, entities = known(anchors[first], relations[first])
        known_counts = torch.bincount(rows, minlength=len(order))
        return cls(
            anchors=anchors[first],
            relations=relations[first],
            answers=answers[triples],
            triples=triples,
            starts=_starts(counts),
            known=entities,
            known_starts=_starts(known_counts),
            candidates=num_entities + 1 - known_counts.repeat_interleave(counts),
        )

    def bytes_held(self, rows: int, num_entities: int, size: int) -> int:
        """The bytes that ``query_competitors`` holds besides (rows, n) scores of ``size`` bytes."""
        # The first queries have the most answers.
        answers = int(self.starts[min(rows, len(self.anchors))])
        compared = min(max(COMPARED, num_entities), rows * num_entities) + num_entities
        return 8 * (12 * answers + 4 * min(MASKED, len(self.known))) + size * compared

    def to(self, device: torch.device) -> "Queries":
        """The same on a device; ``starts`` and ``known_starts`` stay on the CPU."""
        moved = ("anchors", "relations", "answers", "triples", "known", "candidates")
        return replace(self, **{name: getattr(self, name).to(device) for name in moved})


def _starts(counts: Tensor) -> Tensor:
    return torch.cat((counts.new_zeros(1), counts.cumsum(0))).cpu()


def query_competitors(
    scores: Tensor, queries: Queries, first: int, excluded: Tensor | None = None
) -> Tensor:
    """How many competitors of each right answer score above it, and how many at least as high.

    Competitors are all entities but the answer itself, the other known answers, and those
    ``excluded``, (b, n) bool. ``scores``, (b, n), of the queries from ``first`` on, are
    overwritten. Returns (2, ·) int64, by triple.
    """
    bounds = queries.starts[first : first + len(scores) + 1]
    starts, counts = bounds - bounds[0], bounds.diff()
    row = torch.arange(len(counts)).repeat_interleave(counts).to(scores.device)
    gold = scores[row, queries.answers[int(bounds[0]) : int(bounds[-1])]]
    if excluded is not None:
        scores.masked_fill_(excluded, torch.nan)
    _mask_known(scores, queries, first)
    counted = torch.empty(2, len(gold), dtype=torch.int64, device=scores.device)
    many = int((counts > MANY).sum())
    for i in range(many):
        own = slice(int(starts[i]), int(starts[i + 1]))
        repeated = scores[i].contiguous().expand(int(counts[i]), -1)
        counted[:, own] = count_competitors(repeated, gold[own])
    for j in range(MANY):
        have = int((counts > j).sum())
        if have > many:
            triple = (starts[many:have] + j).to(scores.device)
            counted[:, triple] = count_competitors(scores[many:have], gold[triple])
    return counted


def _mask_known(scores: Tensor, queries: Queries, first: int) -> None:
    """Set the scores of known answers, the right one included, to NaN.

    NaN is neither above, below nor equal to anything, even if the right answer is at −∞.
    """
    starts = queries.known_starts[first : first + len(scores) + 1]
    for left in range(int(starts[0]), int(starts[-1]), MASKED):
        index = torch.arange(left, min(left + MASKED, int(starts[-1])))
        rows = torch.bucketize(index, starts[1:], right=True)
        scores[rows.to(scores.device), queries.known[index[0] : index[-1] + 1]] = torch.nan
