"""Ranking among some candidates: those given with the data set, or drawn for each query by a seed.

The cost is that of the candidates, and never that of all entities. Such metrics are higher than
those among all entities, and can order models otherwise (Krichene & Rendle 2020, "On Sampled
Metrics for Item Recommendation", doi:10.1145/3394486.3403226): a report says so, and its metrics
have names of their own.
"""

import logging
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from dans.config.schema import ALL, DOMAIN_RANGE, EvaluationConfig
from dans.config.selection import SAMPLED
from dans.data.graph import SPLITS, KnowledgeGraph, Split
from dans.data.known_triples import KnownTriples
from dans.data.progress import Pulse
from dans.errors import InputError, counted
from dans.evaluation.candidate_sets import CandidateSets, Restriction, candidate_sets
from dans.evaluation.evaluator import Evaluator, Ranks, Unseen, limits
from dans.evaluation.ranking import count_competitors, refuse_nan
from dans.evaluation.restricted_ranking import RestrictedEvaluator
from dans.memory import Budget
from dans.models.decoders.base import Decoder
from dans.models.decoders.costs import query_cost
from dans.models.model import eval_mode
from dans.samplers.entity_types import slots

log = logging.getLogger(__name__)

#: Candidates that are drawn at a time, and triples at most. What is drawn depends on them.
DRAWN, MANY = 2**17, 1024

#: Numbers of embeddings that are gathered at a time, at most: what a CPU's cache can hold.
GATHERED = 2**20

#: Up to so many members for each candidate, the members of a set are drawn from by a list.
LISTED = 4

#: Times that a candidate is drawn again if it is known or there already; then all are listed.
ROUNDS = 64


class SampledEvaluator(Evaluator):
    """Ranks the head and the tail of every triple of a split among some candidates.

    Candidates that are drawn are different, and no other known answers of any split: fewer than
    asked for where there are no more. The same seed draws the same candidates for every model.
    Those given with the data set, ``KnowledgeGraph.given_negatives``, are taken as they are.

    Args:
        candidates: how many are drawn for each query, beside the right answer; or ``"given"``.
        types: draw heads from the domain of the relation and tails from its range: the entities
            that are heads or tails of its training triples, or any where it has none.
        seed: of the candidates, and of the triples where ``most`` limits them.
        most: as in ``Evaluator``, and so are the other arguments.
    """

    def __init__(
        self,
        kg: KnowledgeGraph,
        split: Split,
        *,
        candidates: int | Literal["given"],
        types: bool = False,
        ks: Sequence[int] = (1, 3, 10),
        unseen: Unseen = "rank",
        most: int = 0,
        seed: int = 0,
        budget: Budget | None = None,
    ) -> None:
        if candidates == "given" and types:
            raise InputError("types: has no effect on given candidates; leave it out")
        if candidates != "given":
            counted("candidates", candidates)
        elif split not in kg.given_negatives:
            has = ", ".join(kg.given_negatives) or "none"
            raise InputError(
                f"candidates: given: {kg.name} has no candidates of {split}; it has of: {has}"
            )
        self.candidates, self.types = candidates, types
        super().__init__(kg, split, ks=ks, unseen=unseen, most=most, seed=seed, budget=budget)

    def prepare(self) -> None:
        """Find the domains and ranges, or check the candidates that are given."""
        kg = self.kg
        if self.candidates != "given":
            if not self.types and self.candidates >= kg.num_entities - 1:
                every = f"candidates: {self.candidates:,} of {kg.num_entities:,} entities"
                log.warning("%s: each answer is ranked among all; leave the option out", every)
            sets = CandidateSets.seen(kg) if self.types else None
            self._drawn = [Draws(kg.known(), c, self.candidates, sets) for c in (0, 2)]
            return
        for given in kg.given_negatives[self.split]:
            found = tuple(given.shape)
            if len(found) != 2 or len(given) != len(kg.split(self.split)) or not found[1]:
                rows = f"({len(kg.split(self.split))}, ·)"
                raise InputError(f"given_negatives: {self.split}: expected {rows}, got {found}")
            if bool(((given < 0) | (given >= kg.num_entities)).any()):
                limit = f"{kg.num_entities} entities"
                raise InputError(f"given_negatives: {self.split}: holds an id outside of {limit}")

    @torch.no_grad()
    def ranks(self, decoder: Decoder, entities: Tensor, *, part: tuple[int, int] = (0, 1)) -> Ranks:
        """Rank the split without dropout, on the device of the (n, d) entities.

        ``part``: as in ``Evaluator.ranks``.
        """
        if len(entities) != self.kg.num_entities:
            raise ValueError(f"entities: expected {self.kg.num_entities} rows, got {len(entities)}")
        f, pulse = len(self.triples), Pulse()
        found = torch.zeros(3, f, 2, dtype=torch.int64)
        step = max(1, min(MANY, DRAWN // self.per_query))
        budget = self.budget or Budget(device=entities.device)
        with eval_mode(decoder):
            for first in range(0, f, step)[part[0] :: part[1]]:
                block = slice(first, min(first + step, f))
                for side in (0, 1):
                    ids, valid = self.candidates_of(block, side)
                    ids, valid = ids.to(entities.device), valid.to(entities.device)
                    found[:, block, side] = self._ranked(
                        decoder, entities, block, side, ids, valid, budget
                    )
                if pulse.due():
                    of = f"{block.stop:,} of {f:,} triples of {self.label}"
                    log.info("ranked %s, %s", of, pulse.left(block.stop, f))
        return Ranks(self.triples, *found)

    @property
    def per_query(self) -> int:
        """Candidates of a query, at most."""
        if self.candidates == "given":
            return max(given.shape[1] for given in self.kg.given_negatives[self.split])
        return min(self.candidates, self.kg.num_entities)

    def candidates_of(self, block: slice, side: int) -> tuple[Tensor, Tensor]:
        """The candidates of some triples, (b, k) ids, and which of them count, (b, k) bool.

        ``side``: 0 replaces heads, 1 replaces tails.
        """
        if self.candidates == "given":
            ids = self.kg.given_negatives[self.split][side][self.rows[block]]
            return ids, torch.ones_like(ids, dtype=torch.bool)
        generator = torch.Generator()
        # A number for each block and side, so that any block can be drawn alone.
        number = 2 * block.start + side
        generator.manual_seed((self.seed * 1_000_003 + number) % 2**63)
        return self._drawn[side](self.triples[block], generator)

    def protocol(self) -> dict[str, Any]:
        """That of all entities, with where the candidates are from."""
        seed = self.seed if isinstance(self.candidates, int) else 0
        chosen = EvaluationConfig(candidates=self.candidates, types=self.types, seed=seed)
        return {**super().protocol(), **from_where(chosen)}

    def named(self, numbers: dict[str, float]) -> dict[str, float]:
        """Metrics under names that say that they are of some candidates."""
        return {k if k == "queries" else f"{SAMPLED}{k}": v for k, v in numbers.items()}

    def _ranked(
        self,
        decoder: Decoder,
        entities: Tensor,
        block: slice,
        side: int,
        ids: Tensor,
        valid: Tensor,
        budget: Budget,
    ) -> Tensor:
        """Optimistic ranks, pessimistic ranks and candidates of one side of a block, (3, b)."""
        triples = self.triples[block].to(entities.device)
        heads, relations, tails = triples.unbind(1)
        if side == 0:
            queries, gold = decoder.head_queries(relations, entities[tails]), heads
        else:
            queries, gold = decoder.tail_queries(entities[heads], relations), tails
        # The right answer is scored with its competitors, so that equal embeddings tie.
        columns = torch.cat((gold.unsqueeze(1), ids), 1)
        size, k = entities.element_size(), columns.shape[1]

        def competitors(part: slice) -> Tensor:
            own = columns[part]
            embedded = entities.index_select(0, own.flatten()).view(*own.shape, -1)
            scores = decoder.score_query(queries[part].unsqueeze(1), embedded)
            refuse_nan(scores, relations[part], self.kg, lambda i, j: int(own[i, j]))
            others = scores[:, 1:].masked_fill(~valid[part], torch.nan)
            return count_competitors(others, scores[:, 0])

        each = k * (4 * decoder.dim + 4) * size + 32 * k
        # Drawing holds about ten tables of ids, of up to LISTED members for each candidate.
        drawn = (1 if self.candidates == "given" else 10 * LISTED) * columns.numel()
        fixed = query_cost(decoder, len(triples)) * size + 8 * (drawn + 2 * columns.numel())
        most = max(1, GATHERED // (k * decoder.dim))
        parts = budget.chunks(len(triples), each, competitors, most=most, fixed=fixed)
        above = torch.cat(list(parts), 1)
        return torch.cat((1 + above, 1 + valid.sum(1).unsqueeze(0))).cpu()


class Draws:
    """Draws different entities for queries, without the right answer and other known answers.

    Args:
        known: the filter set.
        column: of the right answer in a triple, 0 or 2.
        k: how many for each query.
        sets: from which, by relation; None: from all entities.
    """

    def __init__(
        self, known: KnownTriples, column: int, k: int, sets: CandidateSets | None = None
    ) -> None:
        self.known, self.column, self.sets = known, column, sets
        self.n = known.num_entities
        self.k = min(k, self.n)

    def __call__(self, triples: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Entities for (b, 3) triples, (b, k), and which of them count, (b, k) bool."""
        sizes = self.sizes(triples)
        few = sizes <= LISTED * self.k
        ids = torch.zeros(len(triples), self.k, dtype=torch.int64)
        valid = torch.zeros(len(triples), self.k, dtype=torch.bool)
        for rows, draw in ((few, self.by_list), (~few, self.by_rounds)):
            if bool(rows.any()):
                ids[rows], valid[rows] = draw(triples[rows], sizes[rows], generator)
        return ids, valid

    def sizes(self, triples: Tensor) -> Tensor:
        """From how many entities those of each triple are drawn, (b,)."""
        if self.sets is None:
            return torch.full((len(triples),), self.n)
        return self.sets.sizes(slots(triples)[:, self.column // 2])

    def members(self, triples: Tensor, positions: Tensor) -> Tensor:
        """The entities at (b, ·) positions of the set of each triple."""
        if self.sets is None:
            return positions
        return self.sets.at(slots(triples)[:, self.column // 2], positions)

    def is_known(self, triples: Tensor, ids: Tensor) -> Tensor:
        """Which of (b, ·) entities are the right answer or another known one."""
        head = torch.full_like(ids, self.column == 0, dtype=torch.bool)
        right = ids == triples[:, self.column].unsqueeze(1)
        return right | self.known.is_known_corrupted(triples, ids, head)

    def by_list(
        self, triples: Tensor, sizes: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The first k of all members in random order."""
        width = max(int(sizes.max()), self.k)
        positions = torch.arange(width).expand(len(triples), -1)
        inside = positions < sizes.unsqueeze(1)
        ids = self.members(triples, torch.where(inside, positions, 0))
        valid = inside & ~self.is_known(triples, ids)
        keys = torch.rand(ids.shape, generator=generator, dtype=torch.float64)
        order = keys.masked_fill_(~valid, 2.0).argsort(1)[:, : self.k]
        return ids.gather(1, order), valid.gather(1, order)

    def by_rounds(
        self, triples: Tensor, sizes: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Drawn again, and again, where they are known or there already; then by a list."""
        ids = torch.zeros(len(triples), self.k, dtype=torch.int64)
        bad = torch.ones_like(ids, dtype=torch.bool)
        rows = torch.arange(len(triples))
        for _ in range(ROUNDS):
            own, open_ = ids[rows], bad[rows]
            point = torch.rand(int(open_.sum()), generator=generator, dtype=torch.float64)
            limit = sizes[rows].unsqueeze(1).expand_as(own)[open_]
            positions = torch.zeros_like(own)
            positions[open_] = torch.minimum((point * limit).long(), limit - 1)
            own = torch.where(open_, self.members(triples[rows], positions), own)
            # Those that are there already come first in a stable order of equal ones.
            again = repeated(own, open_)
            open_ &= again | self.is_known(triples[rows], own)
            ids[rows], bad[rows] = own, open_
            rows = rows[open_.any(1)]
            if not len(rows):
                return ids, ~bad
        # Nearly all of these members are known; few queries are left, and few are listed at a time.
        for part in rows.split(max(1, DRAWN // int(sizes[rows].max()))):
            ids[part], there = self.by_list(triples[part], sizes[part], generator)
            bad[part] = ~there
        return ids, ~bad


def repeated(ids: Tensor, new: Tensor) -> Tensor:
    """Which new ids are in their row already, or earlier among its new ones: (b, k) bool.

    Example:
        >>> new = torch.tensor([[True, False, True, True]])
        >>> repeated(torch.tensor([[5, 5, 7, 7]]), new)
        tensor([[ True, False, False,  True]])
    """
    keys, order = (2 * ids + new).sort(stable=True, dim=1)
    again = torch.zeros_like(new)
    again[:, 1:] = keys[:, 1:] // 2 == keys[:, :-1] // 2
    return torch.zeros_like(new).scatter_(1, order, again) & new


def from_where(chosen: EvaluationConfig) -> dict[str, Any]:
    """What a protocol says of candidates that are not all entities."""
    if chosen.among not in ("", ALL):
        where = {DOMAIN_RANGE: "the domain or range of the relation"}
        about = where.get(chosen.among, f"the entities of {chosen.among}")
        return {"candidates": {"among": chosen.among, "about": about}}
    if chosen.candidates == "all":
        return {}
    if chosen.candidates == "given":
        return {"filter": [], "candidates": {"from": "given"}}
    source = "types" if chosen.types else "all"
    return {"candidates": {"from": source, "number": chosen.candidates, "seed": chosen.seed}}


def stated(chosen: EvaluationConfig, triples: int) -> str:
    """A protocol in a phrase, of ``triples`` to choose from; "" for all among all entities.

    Example:
        >>> stated(EvaluationConfig(most=10), 50)
        'exact ranks of 10 of 50 triples, drawn by seed 0'
    """
    protocol: dict[str, Any] = {"filter": list(SPLITS), **from_where(chosen)}
    if 0 < chosen.most < triples:
        protocol["triples"] = {"ranked": chosen.most, "of": triples, "seed": chosen.seed}
    return limits(protocol)


def ranking(
    kg: KnowledgeGraph,
    split: Split,
    chosen: EvaluationConfig,
    *,
    sets: CandidateSets | None = None,
    unseen: Unseen = "rank",
    budget: Budget | None = None,
) -> Evaluator:
    """The evaluator of a protocol: among all entities, or among some.

    ``sets``: what the candidates are restricted to; None: what the protocol says.
    """
    if sets is None:
        sets = candidate_sets(Restriction.of(chosen), kg)
    given: dict[str, Any] = {
        "unseen": unseen,
        "most": chosen.most,
        "seed": chosen.seed,
        "budget": budget,
    }
    if sets is not None:
        return RestrictedEvaluator(kg, split, sets, **given)
    if chosen.candidates == "all":
        return Evaluator(kg, split, **given)
    return SampledEvaluator(kg, split, candidates=chosen.candidates, types=chosen.types, **given)
