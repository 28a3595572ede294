"""NSCaching: a small cache of hard negatives for each query, instead of a generator."""

from dataclasses import replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.data.query_index import QueryIndex, last, repeats
from dans.errors import LEAST_DIVISOR, InputError, above_zero, counted, not_negative, one_of
from dans.memory import room_for
from dans.models.batch import Negatives, Positives, Proposal
from dans.samplers.corruption import (
    AnySide,
    EntitySampler,
    Filter,
    any_other,
    replaced,
    without_relations,
)
from dans.samplers.scoring import Scorer, check_entities, score_gap
from dans.samplers.uniform import head_probability

#: How a cache is updated: a draw ∝ exp(f / temperature) without replacement, or the best.
Update = Literal["importance", "top"]

#: Numbers held at once, in candidates and in their embeddings, so that they fit a CPU's cache.
PART = 2**20


class NSCaching(EntitySampler):
    """Uniform draws from a cache of high-scoring entities, one cache for each query.

    Each query x = (h, r, ?) or (?, r, t) of the training triples has a cache C(x) of N₁ ids. A
    negative replaces the head with probability tph / (tph + hpt) (see ``Bernoulli``) and is uniform
    over the cache of its query. Then the caches of all queries of the batch are updated: of C(x)
    and N₂ ids drawn uniformly, N₁ are kept,

        y₁, …, y_N₁ without replacement ∝ exp(f(x, y) / temperature)     ("importance"),
        or the N₁ of the highest f(x, y)                                 ("top").

    Sampling without replacement takes the N₁ largest of f / temperature + Gumbel noise. No entity
    is twice in a cache, and the true entity is never drawn, even where the cache holds it.

    Source: Zhang et al. 2019 (NSCaching, arXiv:1812.06410), Alg. 2 and 3. Departures, cost and
    state: ``docs/pages/samplers.md``.

    Args:
        triples: (f, 3) the training triples. Other queries have no cache, and uniform negatives.
        temperature: of ``importance``, 1 if not given; ``top`` has none.
        lazy: epochs without updates between two epochs with updates; the first has them. An epoch
            is as many triples as the training split has.
        filter: keeps known triples, which score highest, out of updated caches; also for the draws,
            where a cache holds known triples from the start, or is empty.
    """

    adaptive: ClassVar[bool] = True

    #: (q + 1, N₁) ids, −1 for none; the last row belongs to no query
    cache: Tensor
    #: () training triples so far
    seen: Tensor

    def __init__(
        self,
        k: int = 20,
        *,
        triples: Tensor,
        num_entities: int,
        num_relations: int,
        size: int = 50,
        fresh: int = 50,
        update: Update = "importance",
        temperature: float | None = None,
        lazy: int = 0,
        side: AnySide = "bernoulli",
        filter: Filter = "mask",
        known: KnownTriples | None = None,
        rounds: int = 20,
    ) -> None:
        plain = without_relations(side)
        super().__init__(k, side=plain, filter=filter, known=known, rounds=rounds)
        counted("size", size)
        counted("fresh", fresh)
        one_of("update", update, ("importance", "top"))
        if update == "top" and temperature is not None:
            raise InputError("temperature: update = top has none; leave it out")
        self.temperature = 1.0 if temperature is None else temperature
        above_zero("temperature", self.temperature, LEAST_DIVISOR)
        not_negative("lazy", lazy)
        self.size, self.fresh = size, fresh
        self.update: Update = update
        self.lazy = lazy
        self.num_triples = max(1, len(triples))
        self.num_entities = num_entities
        self.queries = QueryIndex(triples, num_entities, num_relations)
        room_for("size", (len(self.queries) + 1) * size)
        cache = torch.full((len(self.queries) + 1, size), -1, dtype=torch.int32)
        for part in cache[:-1].split(max(1, PART // size)):
            start = torch.randint(num_entities, part.shape).sort().values
            part.copy_(start.masked_fill_(repeats(start), -1))
        self.register_buffer("cache", cache)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        if side == "bernoulli":
            self.head_probability = head_probability(triples, num_relations)

    def draw(self, positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
        """Ids, uniform over the cache of each query without the true entity; (...)."""
        check_entities(positives, self.num_entities, "caches are of")
        heads, _, tails = positives.triples.unbind(-1)
        true = torch.stack((tails, heads), dim=1).unsqueeze(-1)
        cache = self.cache[self.queries(positives.triples)]
        cache = cache.masked_fill(cache == true, -1).sort(descending=True).values
        count = (cache >= 0).sum(-1)
        queries = 2 * rows + corrupt_head.long()
        # In float64, u·count stays below count.
        uniform = torch.rand(queries.shape, dtype=torch.float64, device=queries.device)
        pick = (uniform * count.flatten()[queries]).long()
        cached = cache.flatten()[queries * self.size + pick].long()
        other = any_other(replaced(positives, rows, corrupt_head), self.num_entities)
        return torch.where(cached >= 0, cached, other)

    @property
    def needs_all_entities(self) -> str:
        """It scores the candidates of its caches, which it proposes."""
        return ""

    def drawn(self, positives: Positives) -> Proposal:
        """Negatives by id; in training it shares the candidates of the batch's caches."""
        drawn = super().drawn(positives)
        if not self.training or int(self.seen) // self.num_triples % (self.lazy + 1):
            return drawn
        numbers, queries = self.numbers(positives.triples)
        stored = self.cache[numbers[queries]]
        fresh = torch.randint(self.num_entities, (len(queries), self.fresh), device=stored.device)
        candidates = torch.cat((stored, fresh.int()), dim=1).sort(dim=1).values
        return replace(drawn, shared=candidates.masked_fill_(repeats(candidates), -1).long())

    def numbers(self, triples: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers of all queries of a batch, (2b,), and which to update: each cache once."""
        numbers = self.queries(triples).T.flatten()
        chosen = last(numbers)
        return numbers, chosen[numbers[chosen] < len(self.queries)]

    def forward(self, positives: Positives) -> Negatives:
        """Negatives with ids; in training the batch's caches are updated after the draw."""
        proposal = positives.proposal or self.drawn(positives)
        negatives = proposal.negatives(positives)
        if self.training:
            if proposal.shared is not None:
                self.update_caches(positives, proposal.shared)
            self.seen += len(positives)
        return negatives

    @torch.no_grad()
    def update_caches(self, positives: Positives, candidates: Tensor) -> None:
        """Update the caches of a batch's queries, each once, from (u, N₁ + N₂) candidates."""
        numbers, chosen = self.numbers(positives.triples)
        scorer = Scorer(positives, expected=candidates.numel())
        size = max(1, PART // candidates.shape[1])
        for part, given in zip(chosen.split(size), candidates.split(size), strict=True):
            rows, head = part % len(positives), part >= len(positives)
            self.cache[numbers[part]] = self.updated(scorer, given, rows, head)

    def updated(self, scorer: Scorer, candidates: Tensor, rows: Tensor, head: Tensor) -> Tensor:
        """The next contents of the caches of queries: (u, N₁) int32 ids, −1 for none.

        From (u, N₁ + N₂) candidates, −1 for none. ``rows``, (u,), are triples of the batch with
        these queries; ``head``, (u,) bool, says which are head queries.
        """
        excluded = candidates < 0
        # Any encoded entity stands for none.
        ids, side = candidates.where(~excluded, scorer.positives.triples[rows, :1]), head[:, None]
        if self.filter != "none":
            triples = scorer.positives.triples[rows]
            excluded |= ~self.unknown(triples, ids, side.expand_as(ids))
        scores = scorer(rows.unsqueeze(1), ids, side)
        if self.update == "importance":
            scores = scores / self.temperature + gumbel(scores)
        best = scores.masked_fill(excluded, -torch.inf).topk(self.size, dim=1)
        kept = candidates.gather(1, best.indices).masked_fill(best.values == -torch.inf, -1)
        return kept.int()

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """``cache_gap``: mean score of the triples' caches minus that of the triples."""
        gap = score_gap(positives, self.cache[self.queries(positives.triples)].long())
        return {} if gap is None else {"cache_gap": gap}


def gumbel(like: Tensor) -> Tensor:
    """Gumbel noise, −log of exponential variates, in the shape and type of a tensor."""
    variates = torch.empty_like(like).exponential_()
    return -variates.clamp_(min=torch.finfo(like.dtype).tiny).log_()
