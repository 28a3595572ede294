"""The best paths between two entities, through triples that a model has scored."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from dans.data.query_index import ranges

#: The most edges that are looked at for the middle step of paths of three.
MOST_EDGES = 1_000_000


class Adjacency:
    """The edges of (f, 3) triples in both directions, sorted by the entity that they leave.

    Triples whose head is their tail are left out.

    Example:
        >>> edges = Adjacency(torch.tensor([[0, 0, 1], [2, 0, 1]]), 3)
        >>> edges.leaving(torch.tensor([1]))    # positions of edges
        tensor([1, 2])
        >>> edges.ends[1:3], edges.triple[1:3], edges.forward[1:3]
        (tensor([0, 2]), tensor([0, 1]), tensor([False, False]))
    """

    def __init__(self, triples: Tensor, num_entities: int) -> None:
        rows = (triples[:, 0] != triples[:, 2]).nonzero().flatten()
        heads, tails = triples[rows, 0], triples[rows, 2]
        starts, order = torch.cat((heads, tails)).sort(stable=True)
        #: (e,) where each edge starts and ends, and the row of its triple
        self.starts, self.ends = starts, torch.cat((tails, heads))[order]
        self.triple = rows.repeat(2)[order]
        #: (e,) does it lead from the head to the tail?
        self.forward = order < len(rows)
        #: (n,) the number of edges that leave an entity
        self.degree = torch.bincount(starts, minlength=num_entities)
        self._first = self.degree.cumsum(0) - self.degree
        self._triples, self._num_entities = triples, num_entities

    def leaving(self, entities: Tensor) -> Tensor:
        """Positions of the edges that leave (u,) distinct entities."""
        return ranges(self._first[entities], self.degree[entities])[1]

    def joining(self, near: Tensor, far: Tensor, most: int) -> tuple[Tensor, bool]:
        """Edges from one set of entities to another, by bool masks (n,); were all looked at?

        The edges of the set with fewer of them are looked at, at most that many; those of the
        entities with most edges are left out first.
        """
        sides = [mask.nonzero().flatten() for mask in (near, far)]
        forth = bool(self.degree[sides[0]].sum() <= self.degree[sides[1]].sum())
        some, others = (sides[0], far) if forth else (sides[1], near)
        some = some[self.degree[some].argsort(stable=True)]
        within = self.degree[some].cumsum(0) <= most
        edges = self.leaving(some[within])
        edges = edges[others[self.ends[edges]]]
        return edges if forth else self.opposite[edges], bool(within.all())

    @cached_property
    def opposite(self) -> Tensor:
        """(e,) the position of the same triple's edge in the other direction."""
        order = self.triple.argsort(stable=True).view(-1, 2)
        found = torch.empty_like(self.triple)
        found[order[:, 0]], found[order[:, 1]] = order[:, 1], order[:, 0]
        return found

    @cached_property
    def reversed(self) -> Tensor:
        """(f,) the row of the triple (t, r, h) of each triple (h, r, t); −1 where there is none."""
        heads, relations, tails = self._triples.unbind(1)
        keys, back = (
            (relations * self._num_entities + one) * self._num_entities + two
            for one, two in ((heads, tails), (tails, heads))
        )
        keys, order = keys.sort()
        place = torch.searchsorted(keys, back).clamp(max=len(keys) - 1)
        return torch.where(keys[place] == back, order[place], -1)


class PathSearch:
    """The best paths of one to three edges between two entities.

    A path visits no entity twice. Its score is the sum over its edges, so that the best paths pass
    through the best middle edges, each by the best edges at its sides: no more is enumerated,
    however many paths there are. Where (h, r, t) and (t, r, h) are triples, a path has the better
    one: two paths of the same entities and relations in the same order tell a reader one thing.
    """

    def __init__(self, edges: Adjacency, num_entities: int) -> None:
        self.edges, self.num_entities = edges, num_entities

    def candidates(
        self, head: int, tail: int, left_out: Tensor, most: int = MOST_EDGES
    ) -> tuple[list[Tensor], bool]:
        """Edges for paths of three steps: the first, the middle, the last; were all looked at?

        ``left_out``: (f,) bool, triples that no path has.
        """
        edges = self.edges
        first, last = (edges.leaving(torch.tensor([end])) for end in (head, tail))
        first, last = first[~left_out[edges.triple[first]]], last[~left_out[edges.triple[last]]]
        last = edges.opposite[last]
        near, far = torch.zeros(2, self.num_entities, dtype=torch.bool)
        near[edges.ends[first]], far[edges.starts[last]] = True, True
        near[[head, tail]] = far[[head, tail]] = False
        middle, complete = edges.joining(near, far, most)
        return [first, middle[~left_out[edges.triple[middle]]], last], complete

    def best(
        self, head: int, tail: int, candidates: Sequence[Tensor], scores: Tensor, top: int
    ) -> list[tuple[float, list[int]]]:
        """The ``top`` paths, as their score and edges, from the scores of all triples, (f,).

        ``scores`` is read for the triples of the candidates alone.
        """
        edges = self.edges
        first, middle, last = self._better(candidates, scores)
        by_end = _Best(first, edges.ends[first], scores[edges.triple[first]])
        by_start = _Best(last, edges.starts[last], scores[edges.triple[last]])
        found = [(by_end.score(edge), [edge]) for edge in by_end.of(tail, top)]
        outer = (head, tail)
        for between in by_end.best_sums(by_start, outer, top):
            for one in by_end.of(between, top):
                for two in by_start.of(between, top):
                    found.append((by_end.score(one) + by_start.score(two), [one, two]))
        own = scores[edges.triple[middle]]
        sums = own + by_end.highest(self.num_entities)[edges.starts[middle]]
        sums += by_start.highest(self.num_entities)[edges.ends[middle]]
        for position in sums.topk(min(top, len(sums))).indices.tolist():
            edge, score = int(middle[position]), float(own[position])
            for one in by_end.of(int(edges.starts[edge]), top):
                for two in by_start.of(int(edges.ends[edge]), top):
                    sides = by_end.score(one) + by_start.score(two)
                    found.append((sides + score, [one, edge, two]))
        return sorted(found, key=lambda path: (-path[0], len(path[1]), path[1]))[:top]

    def _better(self, candidates: Sequence[Tensor], scores: Tensor) -> list[Tensor]:
        """The candidates whose triples have no better one among them that is their reverse."""
        triple = self.edges.triple
        there = torch.zeros(len(scores), dtype=torch.bool)
        there[triple[torch.cat(list(candidates))]] = True
        kept = []
        for edges in candidates:
            rows = triple[edges]
            others = self.edges.reversed[rows]
            own, theirs = scores[rows], scores[others]
            better = (theirs > own) | ((theirs == own) & (others < rows))
            kept.append(edges[~(better & there[others] & (others >= 0))])
        return kept


class _Best:
    """Edges at one end of a path by the entity at their other end, the best first."""

    def __init__(self, edges: Tensor, entities: Tensor, scores: Tensor) -> None:
        order = scores.argsort(descending=True, stable=True)
        self.entities, self.scores = entities[order], scores[order]
        self._by_entity: dict[int, list[int]] = {}
        columns = edges[order].tolist(), self.entities.tolist(), self.scores.tolist()
        self._score: dict[int, float] = {}
        for edge, entity, score in zip(*columns, strict=True):
            self._by_entity.setdefault(entity, []).append(edge)
            self._score[edge] = score

    def of(self, entity: int, top: int) -> list[int]:
        return self._by_entity.get(entity, [])[:top]

    def score(self, edge: int) -> float:
        return self._score[edge]

    def highest(self, num_entities: int) -> Tensor:
        """(n,) the best score of an edge of each entity."""
        highest = self.scores.new_full((num_entities,), -torch.inf)
        return highest.scatter_reduce(0, self.entities, self.scores, "amax")

    def best_sums(self, other: _Best, outer: tuple[int, int], top: int) -> list[int]:
        """Entities that both have edges of, but not the ends of the path: those of the best sum."""
        shared = [e for e in self._by_entity if e in other._by_entity and e not in outer]

        def total(entity: int) -> float:
            one, two = self.of(entity, 1)[0], other.of(entity, 1)[0]
            return self.score(one) + other.score(two)

        return sorted(shared, key=total, reverse=True)[:top]
