"""The queries that the triples of a split ask, each of them once, and who outscores an answer."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dans.data.query_index import Groups
from dans.evaluation.ranking import COMPARED, count_competitors

#: Queries with more answers than this are compared by themselves, one row against many.
MANY = 8

#: Known answers that leave the race at a time.
LEAVING = 2**15


@dataclass(frozen=True)
class Queries:
    """The distinct queries of one side of a split, the ones with most answers to rank first.

    The order makes the queries that have a j-th answer the first rows of any chunk, so that one
    comparison serves them all and no row of scores is copied.

    Args:
        anchors: (q,) the given entity of each query.
        relations: (q,) and its relation.
        answers: (f,) the entity each triple asks for; triples lie query by query.
        triples: (f,) the row of the split each came from.
        starts: (q + 1,) where the triples of each query start, on the CPU.
        known: (p,) entities known to answer, query by query.
        known_starts: (q + 1,) where those of each query start, on the CPU.
        candidates: (f,) how many compete: all entities but the other known answers.
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
        """Group the triples of a split, (f,) ids each, by query.

        Args:
            anchors: (f,) the given entities.
            relations: (f,).
            answers: (f,) the entities asked for.
            known: all known answers of (q,) anchors and (q,) relations, as flat pairs.
            num_entities: n.
        """
        groups = Groups.of(anchors * (relations.max() + 1) + relations)
        order = groups.counts.argsort(descending=True, stable=True)
        counts, triples = groups.counts[order], groups.take(order)
        first = groups.first[order]
        asked, related = anchors[first], relations[first]
        rows, entities = known(asked, related)
        known_counts = torch.bincount(rows, minlength=len(order))
        return cls(
            anchors=asked,
            relations=related,
            answers=answers[triples],
            triples=triples,
            starts=_starts(counts),
            known=entities,
            known_starts=_starts(known_counts),
            candidates=num_entities + 1 - known_counts.repeat_interleave(counts),
        )

    def held(self, rows: int, num_entities: int, size: int) -> int:
        """The bytes that ``query_competitors`` holds at most beside the scores.

        Args:
            rows: queries at a time.
            num_entities: n.
            size: bytes of a score.
        """
        # The first queries have the most answers.
        answers = int(self.starts[min(rows, len(self.anchors))])
        verdicts = min(max(COMPARED, num_entities), rows * num_entities) + num_entities
        return 8 * (12 * answers + 4 * min(LEAVING, len(self.known))) + size * verdicts

    def to(self, device: torch.device) -> "Queries":
        """The same on another device; the boundaries stay, they are read as numbers."""
        moved = ("anchors", "relations", "answers", "triples", "known", "candidates")
        stay = {"starts": self.starts, "known_starts": self.known_starts}
        return Queries(**{name: getattr(self, name).to(device) for name in moved}, **stay)


def _starts(counts: Tensor) -> Tensor:
    return torch.cat((counts.new_zeros(1), counts.cumsum(0))).cpu()


def query_competitors(scores: Tensor, side: Queries, first: int) -> Tensor:
    """How many compete with the answers to some queries, triple by triple: (2, ·) int64.

    How many score above the answer, and how many at least as high; neither the answer itself nor
    other known answers among them.

    Args:
        scores: (b, n) of the queries from ``first`` on; overwritten.
        side: all queries.
        first: where the chunk begins.
    """
    stop = first + len(scores)
    starts, counts, triples = _cut(side.starts, first, stop)
    gold = scores[_repeat(counts, scores.device), side.answers[triples]]
    _leave(scores, side, first)
    counted = torch.empty(2, len(gold), dtype=torch.int64, device=scores.device)
    many = int((counts > MANY).sum())
    for row in range(many):
        own = slice(int(starts[row]), int(starts[row + 1]))
        counted[:, own] = count_competitors(
            scores[row].contiguous().expand(int(counts[row]), -1), gold[own]
        )
    for turn in range(MANY):
        having = int((counts > turn).sum())
        if having > many:
            place = (starts[many:having] + turn).to(scores.device)
            counted[:, place] = count_competitors(scores[many:having], gold[place])
    return counted


def _leave(scores: Tensor, side: Queries, first: int) -> None:
    """Take the known answers out of the race.

    NaN is neither above, below nor level with anything, even where the right answer is at −∞. The
    right answer leaves as well, and its rank is one more than those left.
    """
    starts = side.known_starts[first : first + len(scores) + 1]
    for left in range(int(starts[0]), int(starts[-1]), LEAVING):
        known = torch.arange(left, min(left + LEAVING, int(starts[-1])))
        rows = torch.bucketize(known, starts[1:], right=True)
        entities = side.known[known[0] : known[-1] + 1]
        scores[rows.to(scores.device), entities] = torch.nan


def _cut(starts: Tensor, first: int, stop: int) -> tuple[Tensor, Tensor, slice]:
    """Of the queries ``first`` to ``stop``: where each starts, how much it has, and all of it."""
    part = starts[first : stop + 1]
    return part - part[0], part.diff(), slice(int(part[0]), int(part[-1]))


def _repeat(counts: Tensor, device: torch.device) -> Tensor:
    """[2, 1] to [0, 0, 1]."""
    return torch.arange(len(counts)).repeat_interleave(counts).to(device)
