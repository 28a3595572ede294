"""MCNS: negatives by Metropolis–Hastings, as likely as the model takes them for true."""

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.data.query_index import QueryIndex, last, repeats
from dans.errors import InputError, above_zero, one_of
from dans.models.batch import Negatives, Positives
from dans.samplers.base import NegativeSampler
from dans.samplers.corruption import (
    SIDES,
    Mask,
    Side,
    any_other,
    not_known,
    positive,
    requires_known,
    sides,
)
from dans.samplers.scoring import Scorer, gap

#: K(y): the entities whose embeddings are nearest now, or those that short walks from y have
#: visited.
Neighbours = Literal["nearest", "walks"]

#: Who continues with a chain: the same query, any query of the relation and side, or nobody.
Chains = Literal["query", "relation", "random"]

#: The density of a move: that of the mixture, or of the component that happened to make it.
Acceptance = Literal["mixture", "component"]

#: Training steps between two look-ups of who is nearest.
REFRESH = 500

#: Numbers held at once, in visits of walks and in distances: 8 MiB each.
PART, DISTANCES = 2**20, 2**21


class MCNS(NegativeSampler):
    """Draws from π_x(y) ∝ exp(α f(x, y)) by chains that propose near and far entities.

    Each negative is the state y of a Metropolis–Hastings chain for its query x, after ``steps`` of

        y' ~ ½ U(E) + ½ U(K(y)),       q(y' | y) = ½ / n + ½ [y' ∈ K(y)] / |K(y)|,
        y ← y' with probability min(1, exp(α f(x, y') − α f(x, y)) · q(y | y') / q(y' | y)),

    K(y) being neighbours of y; where y has none, q(y' | y) = 1 / n. The triple's own entity has
    π = 0, and so do known triples under ``filter = "mask"``, which would be drawn most of all. The
    normaliser of π is never computed.

    Source: Yang et al. 2020 (MCNS, arXiv:2005.09863), Alg. 1, there for pairs of nodes: π is p_d^α,
    and here p_d ∝ exp f. The published program has α = ¼.

    Departures: chains last. From random starts 10 steps are far from π: by a total variation of .3
    to .8, over 50 entities with exponential scores of α·std f = 1.5. So each query of the
    training triples has k chains, which continue whenever it is asked again; the paper hands one
    chain along a traversal of the graph, to which ``chains = "relation"`` is nearer. With DistMult
    in training on UMLS, states missed π by .04 with ``query``, .12 with ``relation`` and .16 with
    ``random`` once std f was 2. The published program divides by the density of the component that
    made a move, and takes 1 / n for one without a way back: ``acceptance = "component"``, which
    misses π by .03 to .06 over those 50 entities however long it runs.

    Cost: b·k·(steps + 1) scores a batch; .65 s for b = 8192, k = 20, d = 100 on WN18RR, with one
    thread. Every ``refresh`` steps n² distances, in parts; 10 to 15 s there. State, all of it in
    checkpoints: 4·k bytes a query (``query``: 8 MiB on WN18RR with its 103,509 queries, 11 MiB
    on FB15k-237 with 149,689; k = 20) or for each relation and side (``relation``); 4·pool bytes an
    entity for K (16 MiB and 6 MiB). Derived: 8 bytes a query.

    Args:
        k: negatives per triple.
        triples: (f, 3) the training triples. A query not among theirs starts at random each time.
        num_entities: n.
        num_relations: m.
        walks: (w,) starts and a length to (w, length + 1) entities, −1 where a walk has ended.
        alpha: α; the theory wants 0 < α < 1.
        steps: moves of a chain each time it is asked.
        neighbours: what K(y) is. ``nearest``: at the smallest Euclidean distance, looked up at the
            first training step and every ``refresh`` steps; ``walks``: visited by walks of two
            steps from y over the training triples, drawn once.
        pool: how many entities K(y) has at most.
        refresh: training steps between two look-ups of who is ``nearest``, ``REFRESH`` = 500 if not
            given; ``walks`` has none.
        chains: where a chain starts: where the last one of its query stopped, or that of its
            relation and side, or at random. Of the triples of a batch that share a start, the
            last one leaves its state.
        acceptance: the density by which a move is accepted.
        side: a fair coin for each negative, or always the same side.
        filter: ``mask`` keeps chains off known triples, and marks invalid the negative of a chain
            that began at one and has not left it.
        known: the triples to filter by.

    Raises:
        InputError: an unknown choice, a count below 1, an α not above 0, walks that are not given,
            an option without effect, or a filter without known triples.

    Example:
        >>> entities = torch.tensor([[0.0], [1.0], [-99.0], [0.0]])
        >>> triples = torch.tensor([[0, 0, 1]])
        >>> h, t = torch.ones(1, 1), entities[1:2]
        >>> score_query = lambda query, entity: (query * entity).sum(-1)
        >>> positives = Positives(triples, h, h, t, h, t, entities, score_query)
        >>> sizes = {"triples": triples, "num_entities": 4, "num_relations": 1}
        >>> negatives = MCNS(200, **sizes, side="tail", filter="none", steps=50)(positives)
        >>> negatives.ids.unique()
        tensor([0, 3])
    """

    adaptive: ClassVar[bool] = True

    #: (·, k) ids, −1 before a chain has begun; the last row has no entity id
    states: Tensor
    #: (n, pool) the sets K, each in rising order and filled up with n
    pools: Tensor
    #: () training steps heard
    heard: Tensor

    def __init__(
        self,
        k: int = 20,
        *,
        triples: Tensor,
        num_entities: int,
        num_relations: int,
        walks: Callable[[Tensor, int], Tensor] | None = None,
        alpha: float = 0.75,
        steps: int = 10,
        neighbours: Neighbours = "nearest",
        pool: int = 100,
        refresh: int | None = None,
        chains: Chains = "query",
        acceptance: Acceptance = "mixture",
        side: Side = "coin",
        filter: Mask = "mask",
        known: KnownTriples | None = None,
    ) -> None:
        super().__init__()
        self.refresh = REFRESH if refresh is None else refresh
        counts = {"k": k, "steps": steps, "pool": pool, "refresh": self.refresh}
        for option, count in counts.items():
            positive(option, count)
        above_zero("alpha", alpha)
        one_of("neighbours", neighbours, ("nearest", "walks"))
        one_of("chains", chains, ("query", "relation", "random"))
        one_of("acceptance", acceptance, ("mixture", "component"))
        one_of("side", side, SIDES)
        one_of("filter", filter, ("none", "mask"))
        requires_known(filter, known)
        self.k = k
        self.num_entities = num_entities
        self.num_relations = num_relations
        self.alpha = alpha
        self.steps = steps
        self.neighbours: Neighbours = neighbours
        self.chains: Chains = chains
        self.acceptance: Acceptance = acceptance
        self.side: Side = side
        self.filter: Mask = filter
        self.known = known
        self.queries = QueryIndex(triples, num_entities, num_relations)
        owners = {"query": len(self.queries), "relation": 2 * num_relations, "random": 0}
        pool = min(pool, max(1, num_entities - 1))
        states = torch.full((owners[chains] + 1, k), -1, dtype=torch.int32)
        pools = torch.full((num_entities, pool), num_entities, dtype=torch.int32)
        if neighbours == "walks":
            if walks is None:
                raise InputError("neighbours: walks needs the graph; without it only nearest works")
            if refresh is not None:
                raise InputError("refresh: neighbours = walks are drawn once; leave it out")
            pools = visited(walks, num_entities, pool)
        self.register_buffer("states", states)
        self.register_buffer("pools", pools)
        self.register_buffer("heard", torch.zeros((), dtype=torch.int64))

    def forward(self, positives: Positives) -> Negatives:
        """See ``NegativeSampler``; ids are always given. In training, chains leave their states."""
        if len(positives.entities) != self.num_entities:
            raise InputError(
                f"num_entities: chains are over {self.num_entities} entities, "
                f"not {len(positives.entities)}"
            )
        if self.training:
            if self.neighbours == "nearest" and int(self.heard) % self.refresh == 0:
                self.pools = closest(positives.entities.detach(), self.pools.shape[1])
            self.heard += 1
        replaces_head = sides(self.side, len(positives), self.k, positives.triples.device)
        owner = self.owners(positives.triples).gather(1, replaces_head.long())
        ids = self.walk(positives, owner, replaces_head)
        if self.training:
            self.hand_on(owner, ids)
        valid = None
        if self.filter == "mask":
            valid = ~self.barred(positives.triples, ids, replaces_head)
        return Negatives.of(positives.entities, ids, replaces_head, valid)

    def owners(self, triples: Tensor) -> Tensor:
        """The rows of ``states`` for the two queries of each triple: (b, 2) of (b, 3)."""
        if self.chains == "query":
            numbers: Tensor = self.queries(triples)
            return numbers
        if self.chains == "relation":
            return torch.stack((triples[:, 1], triples[:, 1] + self.num_relations), dim=1)
        return torch.zeros_like(triples[:, :2])

    def hand_on(self, owner: Tensor, ids: Tensor) -> None:
        """Keep the states that chains have come to, the last triple's where several share one."""
        slots = (owner * self.k + torch.arange(self.k, device=owner.device)).flatten()
        chosen = last(slots)
        chosen = chosen[slots[chosen] < (len(self.states) - 1) * self.k]
        self.states.view(-1)[slots[chosen]] = ids.flatten()[chosen].int()

    def walk(self, positives: Positives, owner: Tensor, replaces_head: Tensor) -> Tensor:
        """Where the chains of a batch come to in ``steps`` moves.

        Args:
            positives: the batch.
            owner: (b, k) the row of ``states`` each starts from, slot by slot.
            replaces_head: (b, k) bool.

        Returns:
            (b, k) ids.
        """
        heads, _, tails = positives.triples.unsqueeze(1).unbind(-1)
        true = torch.where(replaces_head, heads, tails)
        rows = torch.arange(len(positives), device=true.device).unsqueeze(1)
        scorer = Scorer(positives, expected=owner.numel() * (self.steps + 1))
        sizes = (self.pools < self.num_entities).sum(1)
        # A state is left out if another triple of its query, for which it is no negative, left it.
        now = self.states[owner, torch.arange(self.k, device=owner.device)].long()
        now = torch.where((now < 0) | (now == true), any_other(true, self.num_entities), now)
        weight = self.alpha * scorer(rows, now, replaces_head)
        known = self.barred(positives.triples, now, replaces_head)
        weight = weight.masked_fill(known, -torch.inf)
        size = sizes[now]
        for _ in range(self.steps):
            new, near = self.propose(now, size)
            new_size = sizes.index_select(0, new.flatten()).view_as(new)
            new_weight = self.alpha * scorer(rows, new, replaces_head)
            bonus = self.correction(now, new, near, size, new_size).to(weight.dtype)
            moves = torch.rand_like(weight).log() < new_weight - weight + bonus
            moves &= new != true
            # Only a move that would be made is looked up.
            triple, slot = moves.nonzero(as_tuple=True)
            there, side = new[triple, slot].unsqueeze(1), replaces_head[triple, slot].unsqueeze(1)
            moves[triple, slot] = ~self.barred(positives.triples[triple], there, side).squeeze(1)
            now = torch.where(moves, new, now)
            weight = torch.where(moves, new_weight, weight)
            size = torch.where(moves, new_size, size)
        return now

    def barred(self, triples: Tensor, ids: Tensor, replaces_head: Tensor) -> Tensor:
        """Which entities would make known triples, where those are filtered: (b, k) bool."""
        if self.filter == "none" or self.known is None:
            return torch.zeros_like(replaces_head)
        return ~not_known(self.known, triples, ids, replaces_head)

    def propose(self, now: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        """Where chains might go.

        Args:
            now: (b, k) their states.
            size: (b, k) of K(now).

        Returns:
            ids, and bool where they come from K(now); (b, k) each.
        """
        uniform = torch.randint(self.num_entities, now.shape, device=now.device)
        near = (torch.rand(now.shape, device=now.device) < 0.5) & (size > 0)
        pick = (torch.rand(now.shape, device=now.device) * size).long()
        place = (now * self.pools.shape[1] + pick).flatten()
        close = self.pools.flatten().index_select(0, place).view_as(now)
        return torch.where(near, close.long(), uniform), near

    def correction(
        self, now: Tensor, new: Tensor, near: Tensor, size: Tensor, new_size: Tensor
    ) -> Tensor:
        """log q(now | new) − log q(new | now): (b, k).

        Args:
            now: (b, k) states.
            new: (b, k) proposals.
            near: (b, k) bool, which of them come from K(now).
            size: (b, k) of K(now).
            new_size: (b, k) of K(new).
        """
        n, back = self.num_entities, within(self.pools, new, now)
        if self.acceptance == "component":
            reverse = torch.where(back, 1 / new_size.clamp(min=1), 1 / n)
            return torch.where(near, (reverse * size).log(), 0.0)
        there = within(self.pools, now, new)
        # Twice the density, times n: 1 or 2 where only the uniform half, or nothing else, could.
        reverse = torch.where(new_size > 0, 1 + n * back / new_size.clamp(min=1), 2.0)
        return reverse.log() - torch.where(size > 0, 1 + n * there / size.clamp(min=1), 2.0).log()

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """``chain_gap``: how far the chains' states score above their triples, on average."""
        found = gap(positives, self.states[self.owners(positives.triples)].long())
        return {} if found is None else {"chain_gap": found}


def closest(entities: Tensor, pool: int) -> Tensor:
    """The entities nearest to each, itself left out, by ‖x − y‖² = ‖x‖² − 2 (x·y − ½ ‖y‖²).

    Args:
        entities: (n, d).
        pool: how many; at most n − 1, or 1 of a single entity.

    Returns:
        (n, pool) int32, each row in rising order.

    Example:
        >>> closest(torch.tensor([[0.0], [1.0], [3.0], [7.0]]), 2)
        tensor([[1, 2],
                [0, 2],
                [0, 1],
                [1, 2]], dtype=torch.int32)
    """
    n = len(entities)
    half = 0.5 * entities.square().sum(1)
    found = torch.empty(n, pool, dtype=torch.int32, device=entities.device)
    for part in torch.arange(n, device=entities.device).split(max(1, DISTANCES // n)):
        closeness = (entities[part] @ entities.T).sub_(half)
        closeness.scatter_(1, part.unsqueeze(1), -torch.inf)
        found[part] = closeness.topk(pool, sorted=False).indices.sort(1).values.int()
    return found


def visited(walks: Callable[[Tensor, int], Tensor], n: int, pool: int) -> Tensor:
    """The entities that walks of two steps from each one visit, itself left out.

    Args:
        walks: (w,) starts and a length to (w, length + 1) entities, −1 where a walk has ended.
        n: how many entities there are.
        pool: how many visits; one to the same entity again adds nothing.

    Returns:
        (n, pool) int32, each row in rising order and filled up with n.
    """
    found = torch.empty(n, pool, dtype=torch.int32)
    for part in torch.arange(n).split(max(1, PART // pool)):
        # A walk makes two visits.
        starts = part.repeat_interleave(-(-pool // 2))
        ids = walks(starts, 2)[:, 1:].reshape(len(part), -1)[:, :pool]
        ids = ids.masked_fill((ids < 0) | (ids == part.unsqueeze(1)), n).sort(1).values
        found[part] = ids.masked_fill_(repeats(ids), n).sort(1).values.int()
    return found


def within(pools: Tensor, rows: Tensor, ids: Tensor) -> Tensor:
    """Which ids are in which row of a table, by binary search.

    Args:
        pools: (n, p) int32, each row in rising order.
        rows: (...) rows to look in.
        ids: (...) what to look for.

    Returns:
        (...) bool.

    Example:
        >>> within(torch.tensor([[1, 3, 4]]).int(), torch.tensor([0, 0]), torch.tensor([3, 2]))
        tensor([ True, False])
    """
    # In 32 bits, as long as they hold every place: the search is bound by memory.
    index = torch.int32 if pools.numel() < 2**31 else torch.int64
    table, wanted, left = pools.flatten(), ids.flatten().int(), pools.shape[1]
    place = rows.flatten().to(index) * left
    while left > 1:
        half = left // 2
        below = table.index_select(0, place + (half - 1)) < wanted
        place = torch.add(place, below, alpha=half)
        left -= half
    return (table.index_select(0, place) == wanted).view(ids.shape)
