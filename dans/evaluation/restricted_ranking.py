"""Filtered ranking among the candidates of a restriction: a list, a type, or domain and range."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dans.config.selection import RESTRICTED
from dans.data.graph import KnowledgeGraph, Split
from dans.evaluation.candidate_sets import CandidateSets
from dans.evaluation.competitors import Queries, query_competitors
from dans.evaluation.evaluator import KEPT, Evaluator, Unseen
from dans.memory import Budget
from dans.samplers.entity_types import slots


class RestrictedEvaluator(Evaluator):
    """Ranks the head and the tail of every triple among the candidates of its relation.

    The right answer is always a candidate; the report counts those that are not in the sets. Other
    known answers are left out. Scored are the entities that are a candidate of some query, or the
    head or tail of a triple.

    Args:
        sets: the candidates; other arguments are as in ``Evaluator``.
    """

    # The table of excluded entities, and its columns by query.
    beside = 2

    def __init__(
        self,
        kg: KnowledgeGraph,
        split: Split,
        sets: CandidateSets,
        *,
        ks: Sequence[int] = (1, 3, 10),
        unseen: Unseen = "rank",
        most: int = 0,
        seed: int = 0,
        budget: Budget | None = None,
    ) -> None:
        self.sets = sets.check(kg)
        super().__init__(kg, split, ks=ks, unseen=unseen, most=most, seed=seed, budget=budget)

    def prepare(self) -> None:
        """Group the triples by query, and find known answers, as positions among the columns."""
        kg, own = self.kg, slots(self.triples)
        known = kg.known(keep=len(kg.train) < KEPT)
        heads, relations, tails = self.triples.unbind(1)
        ends = self.triples[:, [0, 2]]
        inside = self.sets.holds(own.flatten(), ends.flatten()).view(-1, 2)
        #: (f, 2) bool, whether the right head and the right tail are candidates
        self.inside = inside
        self._narrow = narrow = self.sets.narrowed(own.flatten(), ends.flatten())
        self.columns = narrow.columns

        def there(found: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            places, held = narrow.positions(found[1])
            return found[0][held], places[held]

        def queries(anchors: Tensor, answers: Tensor, side: int) -> Queries:
            def all_known(anchors: Tensor, relations: Tensor) -> tuple[Tensor, Tensor]:
                ids = narrow.ids(anchors)
                return there(known.tails(ids, relations) if side else known.heads(relations, ids))

            at, rows = narrow.positions(anchors)[0], narrow.positions(answers)[0]
            grouped = Queries.of(at, relations, rows, all_known, narrow.num_entities)
            return replace(grouped, candidates=_candidates(grouped, narrow, side))

        self._heads, self._tails = queries(tails, heads, 0), queries(heads, tails, 1)

    def competitors(self, scores: Tensor, queries: Queries, first: int, side: str) -> Tensor:
        """How many candidates score above each right answer, and how many at least as high."""
        own = 2 * queries.relations[first : first + len(scores)] + (side == "tail")
        excluded = self._narrow.to(scores.device).excluded(own)
        return query_competitors(scores, queries, first, excluded)

    def protocol(self) -> dict[str, Any]:
        """That of all entities, with what the candidates are, and how many answers are not."""
        outside = (~self.inside).sum(0).tolist()
        candidates = {
            "among": self.sets.label,
            "about": self.sets.about,
            "outside": dict(zip(("heads", "tails"), outside, strict=True)),
            "queries": self.inside.numel(),
        }
        return {**super().protocol(), "candidates": candidates}

    def named(self, numbers: dict[str, float]) -> dict[str, float]:
        """Metrics under names that say that they are of the candidates of a restriction."""
        return {k if k == "queries" else f"{RESTRICTED}{k}": v for k, v in numbers.items()}


def _candidates(queries: Queries, sets: CandidateSets, side: int) -> Tensor:
    """How many candidates each triple has, by query: its own answer, and others not known."""
    own = 2 * queries.relations + side
    counts = queries.known_starts.diff()
    rows = torch.arange(len(own)).repeat_interleave(counts)
    known = torch.bincount(rows[sets.holds(own[rows], queries.known)], minlength=len(own))
    return (1 + sets.sizes(own) - known).repeat_interleave(queries.starts.diff())
