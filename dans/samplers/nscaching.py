"""NSCaching: a small cache of hard negatives for each query, instead of a generator of them."""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.data.query_index import QueryIndex, last, repeats
from dans.errors import InputError, above_zero, one_of
from dans.models.batch import Negatives, Positives
from dans.samplers.corruption import (
    EntitySampler,
    Filter,
    Side,
    any_other,
    not_known,
    positive,
    relation_sides,
    replaced,
)
from dans.samplers.scoring import Scorer, gap
from dans.samplers.uniform import head_probability

#: How a cache is renewed: at random, ∝ exp(f / temperature) without replacement, or the best.
Update = Literal["importance", "top"]

#: Numbers held at once, in candidates and in their embeddings: what a processor's own cache takes
#: in.
PART = 2**20


class NSCaching(EntitySampler):
    """Draws from caches of entities that score high, one cache for each query.

    Each query x = (h, r, ?) or (?, r, t) of the training triples has a cache C(x) of N₁ ids. A
    negative replaces the head with probability tph / (tph + hpt) (see ``Bernoulli``) and is uniform
    over the cache of its query. Then the caches of all the batch's queries are renewed: from
    C(x) and N₂ ids drawn uniformly, N₁ are kept,

        y₁, …, y_N₁ without replacement ∝ exp(f(x, y) / temperature)     ("importance"),
        or the N₁ of the highest f(x, y)                                 ("top").

    Drawing without replacement is taking the N₁ largest of f / temperature + Gumbel noise.

    Source: Zhang et al. 2019 (NSCaching, arXiv:1812.06410), Alg. 2 and 3. The published program has
    temperature 2 and N₁ = N₂ = 30.

    Departures: k negatives, drawn with replacement, stand for the paper's one, each with its own
        side;
    so both caches of a triple are in use, and both are renewed, as in the paper. Known triples are
    kept out of the caches when they are renewed (``filter``): they score highest of all and would
    fill them. No entity is twice in a cache. The triple's own entity is never drawn, even where its
    cache holds it. Triples of a batch that share a query renew its cache once.

    Cost: 2·b·(N₁ + N₂) scores a batch at most, one set for each distinct query; .45 s for
    b = 8192, d = 100 and N₁ = N₂ = 50 on WN18RR, with one thread. State: 4·N₁ bytes a query in
    checkpoints, 20 MiB on WN18RR (103,509 queries) and 29 MiB on FB15k-237 (149,689). Derived:
    8 bytes a query.

    Args:
        k: negatives per triple.
        triples: (f, 3) the training triples. A query not among theirs has no cache, and its
            negatives are drawn uniformly.
        num_entities: n.
        num_relations: m.
        size: N₁, the entities cached for a query; fewer where there are no more to cache.
        fresh: N₂, the candidates drawn anew at each renewal.
        update: which of them stay.
        temperature: how far ``importance`` is from ``top``, which has none; 1 if not given.
        lazy: how many epochs to leave the caches alone between two that renew them; the first one
            does. An epoch is as many triples heard as there are training triples.
        side: ``bernoulli`` is the paper's; the others as for ``EntitySampler``.
        filter: ``none`` lets known triples into the caches; the others keep them out, and then see
            ``EntitySampler`` for what a cache has from the start, or a uniform draw brings.
        known: the triples to filter by.
        rounds: see ``EntitySampler``.

    Raises:
        InputError: an unknown choice, a count below 1, a temperature not above 0 or without effect,
            or a filter without known triples.

    Example:
        >>> entities = torch.eye(4)
        >>> triples = torch.tensor([[0, 0, 1]])
        >>> h, t = entities[:1], torch.tensor([[0.0, 0.0, 0.0, 9.0]])
        >>> score_query = lambda query, entity: (query * entity).sum(-1)
        >>> positives = Positives(triples, h, h, h, t, h, entities, score_query)
        >>> given = {"size": 1, "fresh": 50, "side": "tail", "update": "top", "filter": "none"}
        >>> sampler = NSCaching(2, triples=triples, num_entities=4, num_relations=1, **given)
        >>> _ = sampler(positives)
        >>> sampler(positives).ids
        tensor([[3, 3]])
    """

    adaptive: ClassVar[bool] = True

    #: (q + 1, N₁) ids of entities, −1 where there is none; the last row has no entity id
    cache: Tensor
    #: () triples heard in training
    heard: Tensor
    #: (m,) how often the head is the side replaced
    head_probability: Tensor

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
        side: Side | Literal["bernoulli"] = "bernoulli",
        filter: Filter = "mask",
        known: KnownTriples | None = None,
        rounds: int = 20,
    ) -> None:
        one_of("side", side, ("bernoulli", "coin", "head", "tail"))
        plain: Side = "coin" if side == "bernoulli" else side
        super().__init__(k, side=plain, filter=filter, known=known, rounds=rounds)
        positive("size", size)
        positive("fresh", fresh)
        one_of("update", update, ("importance", "top"))
        if update == "top" and temperature is not None:
            raise InputError("temperature: update = top has none; leave it out")
        self.temperature = 1.0 if temperature is None else temperature
        above_zero("temperature", self.temperature)
        if lazy < 0:
            raise InputError(f"lazy: must not be negative, got {lazy}")
        self.size = size
        self.fresh = fresh
        self.update: Update = update
        self.lazy = lazy
        self.bernoulli = side == "bernoulli"
        self.num_triples = max(1, len(triples))
        self.num_entities = num_entities
        self.queries = QueryIndex(triples, num_entities, num_relations)
        cache = torch.full((len(self.queries) + 1, size), -1, dtype=torch.int32)
        for part in cache[:-1].split(max(1, PART // size)):
            start = torch.randint(num_entities, part.shape).sort().values
            part.copy_(start.masked_fill_(repeats(start), -1))
        self.register_buffer("cache", cache)
        self.register_buffer("heard", torch.zeros((), dtype=torch.int64))
        self.register_buffer(
            "head_probability", head_probability(triples, num_relations), persistent=False
        )

    def sides(self, positives: Positives) -> Tensor:
        """Which negatives replace the head: (b, k) bool."""
        if not self.bernoulli:
            return super().sides(positives)
        return relation_sides(self.head_probability, positives.triples, self.k)

    def draw(self, positives: Positives, rows: Tensor, replaces_head: Tensor) -> Tensor:
        """See ``EntitySampler``: uniform over a cache, or over all where the cache is empty."""
        if len(positives.entities) != self.num_entities:
            raise InputError(
                f"num_entities: caches are of {self.num_entities} entities, "
                f"not {len(positives.entities)}"
            )
        heads, _, tails = positives.triples.unbind(-1)
        true = torch.stack((tails, heads), dim=1)
        held = self.cache[self.queries(positives.triples)]
        held = held.masked_fill(held == true.unsqueeze(-1), -1).sort(descending=True).values
        count = (held >= 0).sum(-1)
        asked = 2 * rows + replaces_head.long()
        # In float64, u·count stays below count.
        uniform = torch.rand(asked.shape, dtype=torch.float64, device=asked.device)
        pick = (uniform * count.flatten()[asked]).long()
        cached = held.flatten()[asked * self.size + pick].long()
        other = any_other(replaced(positives, rows, replaces_head), self.num_entities)
        return torch.where(cached >= 0, cached, other)

    def forward(self, positives: Positives) -> Negatives:
        """See ``NegativeSampler``; in training the batch's caches are renewed after the draw."""
        negatives = super().forward(positives)
        if self.training:
            if int(self.heard) // self.num_triples % (self.lazy + 1) == 0:
                self.renew(positives)
            self.heard += len(positives)
        return negatives

    @torch.no_grad()
    def renew(self, positives: Positives) -> None:
        """Let fresh candidates into the caches of a batch's queries, each once."""
        numbers = self.queries(positives.triples).T.flatten()
        asked = last(numbers)
        asked = asked[numbers[asked] < len(self.queries)]
        width = self.size + self.fresh
        scorer = Scorer(positives, expected=len(asked) * width)
        for part in asked.split(max(1, PART // width)):
            rows, head = part % len(positives), part >= len(positives)
            self.cache[numbers[part]] = self.renewed(scorer, numbers[part], rows, head)

    def renewed(self, scorer: Scorer, numbers: Tensor, rows: Tensor, head: Tensor) -> Tensor:
        """What some caches hold next.

        Args:
            scorer: of the batch.
            numbers: (u,) the queries.
            rows: (u,) a triple of the batch that asks each.
            head: (u,) bool, does it ask for a head?

        Returns:
            (u, N₁) ids, −1 where there is none.
        """
        fresh = torch.randint(self.num_entities, (len(numbers), self.fresh), device=numbers.device)
        candidates = torch.cat((self.cache[numbers], fresh.int()), dim=1).sort(dim=1).values
        barred = repeats(candidates) | (candidates < 0)
        ids, side = candidates.clamp(min=0).long(), head.unsqueeze(1)
        if self.filter != "none" and self.known is not None:
            triples = scorer.positives.triples[rows]
            barred |= ~not_known(self.known, triples, ids, side.expand_as(ids))
        wish = scorer(rows.unsqueeze(1), ids, side)
        if self.update == "importance":
            wish = wish / self.temperature + gumbel(wish)
        best = wish.masked_fill(barred, -torch.inf).topk(self.size, dim=1)
        return candidates.gather(1, best.indices).masked_fill(best.values == -torch.inf, -1)

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """``cache_gap``: how far the caches of these triples score above them, on average."""
        found = gap(positives, self.cache[self.queries(positives.triples)].long())
        return {} if found is None else {"cache_gap": found}


def gumbel(like: Tensor) -> Tensor:
    """Gumbel noise, −log of exponential variates, in the shape and type of a tensor."""
    variates = torch.empty_like(like).exponential_()
    return -variates.clamp_(min=torch.finfo(like.dtype).tiny).log_()
