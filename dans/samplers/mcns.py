"""MCNS: negatives from Markov chains whose stationary distribution follows the model's scores."""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.data.query_index import QueryIndex, last, repeats
from dans.errors import MOST_ROUNDS, InputError, above_zero, counted, one_of
from dans.memory import room_for
from dans.models.batch import Positives
from dans.samplers.corruption import EntitySampler, Filter, Mask, Side, any_other, replaced
from dans.samplers.sans import Walks
from dans.samplers.scoring import Scorer, check_entities, score_gap

#: K(y): the entities with the nearest embeddings, or those that short walks from y visit.
Neighbours = Literal["nearest", "walks"]

#: Where a chain starts: from the last state of its query, of its relation and side, or at random.
Chains = Literal["query", "relation", "random"]

#: Training steps between two searches of the nearest entities.
REFRESH = 500

#: Numbers held at once, in visits of walks and in distances: 8 MiB each.
PART, DISTANCES = 2**20, 2**21


class MCNS(EntitySampler):
    """Metropolis–Hastings sampling from π_x(y) ∝ exp(α f(x, y)), without its normaliser.

    Each negative is the state y of a chain for its query x, after ``steps`` updates

        y' ~ ½ U(E) + ½ U(K(y)),       q(y' | y) = ½ / n + ½ [y' ∈ K(y)] / |K(y)|,
        y ← y' with probability min(1, exp(α f(x, y') − α f(x, y)) · q(y | y') / q(y' | y)),

    where K(y) are neighbours of y; if y has none, q(y' | y) = 1 / n. The true entity has π = 0, and
    so do known triples with ``filter = "mask"``: they score highest, and would be drawn most often.

    Each query of the training triples has k chains, which resume whenever it is sampled again.

    Source: Yang et al. 2020 (MCNS, arXiv:2005.09863), Alg. 1, for pairs of nodes and π = p_d^α;
    here p_d ∝ exp f. Departures, cost and state: ``docs/pages/samplers.md``.

    Args:
        triples: (f, 3) the training triples. Chains of other queries start at random each time.
        alpha: α; the theory wants 0 < α < 1.
        neighbours: what K(y) is. ``nearest``: by Euclidean distance, searched at the first training
            step and every ``refresh`` steps; ``walks``: visited by walks of two steps from y over
            the training triples, drawn once.
        pool: the largest size of K(y).
        refresh: ``REFRESH`` = 500 if not given.
        chains: where a chain starts. Of the triples of a batch that share a start, the last one
            stores its state.
        filter: ``mask`` rejects proposals that are known triples, and marks invalid the negative of
            a chain that started at one and has not left it.
    """

    adaptive: ClassVar[bool] = True
    filters: ClassVar[tuple[Filter, ...]] = ("none", "mask")

    #: (·, k) ids, −1 before a chain has started; the last row belongs to no query
    states: Tensor
    #: (n, pool) the sets K, each in rising order and padded with n
    pools: Tensor
    #: () training steps so far
    seen: Tensor

    def __init__(
        self,
        k: int = 20,
        *,
        triples: Tensor,
        num_entities: int,
        num_relations: int,
        walks: Walks | None = None,
        alpha: float = 0.75,
        steps: int = 10,
        neighbours: Neighbours = "nearest",
        pool: int = 100,
        refresh: int | None = None,
        chains: Chains = "query",
        side: Side = "coin",
        filter: Mask = "mask",
        known: KnownTriples | None = None,
    ) -> None:
        super().__init__(k, side=side, filter=filter, known=known)
        self.refresh = REFRESH if refresh is None else refresh
        counted("steps", steps, most=MOST_ROUNDS)
        for option, count in (("pool", pool), ("refresh", self.refresh)):
            counted(option, count)
        above_zero("alpha", alpha)
        one_of("neighbours", neighbours, ("nearest", "walks"))
        one_of("chains", chains, ("query", "relation", "random"))
        self.num_entities, self.num_relations = num_entities, num_relations
        self.alpha, self.steps = alpha, steps
        self.neighbours: Neighbours = neighbours
        self.chains: Chains = chains
        self.queries = QueryIndex(triples, num_entities, num_relations)
        rows = {"query": len(self.queries), "relation": 2 * num_relations, "random": 0}[chains]
        pool = min(pool, max(1, num_entities - 1))
        room_for("k", (rows + 1) * k)
        room_for("pool", num_entities * pool)
        pools = torch.full((num_entities, pool), num_entities, dtype=torch.int32)
        if neighbours == "walks":
            if walks is None:
                raise InputError("neighbours: walks needs the graph; without it only nearest works")
            if refresh is not None:
                raise InputError("refresh: neighbours = walks are drawn once; leave it out")
            pools = visited(walks, num_entities, pool)
        self.register_buffer("states", torch.full((rows + 1, k), -1, dtype=torch.int32))
        self.register_buffer("pools", pools)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    @property
    def needs_all_entities(self) -> str:
        """A chain scores entities that its steps come to."""
        return "the chains of MCNS score whatever entity they come to"

    def draw(self, positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
        """The chains' states for a whole batch; in training they are stored."""
        check_entities(positives, self.num_entities, "chains are over")
        if self.training:
            if self.neighbours == "nearest" and int(self.seen) % self.refresh == 0:
                self.pools = closest(positives.entities.detach(), self.pools.shape[1])
            self.seen += 1
        starts = self.state_rows(positives.triples).gather(1, corrupt_head.long())
        slots = torch.arange(self.k, device=rows.device)
        ids = self.run_chains(positives, rows, self.states[starts, slots].long(), corrupt_head)
        if self.training:
            cells = (starts * self.k + slots).flatten()
            chosen = last(cells)
            chosen = chosen[cells[chosen] < (len(self.states) - 1) * self.k]
            self.states.view(-1)[cells[chosen]] = ids.flatten()[chosen].int()
        return ids

    def state_rows(self, triples: Tensor) -> Tensor:
        """The rows of ``states`` for the tail and the head query of (b, 3) triples: (b, 2)."""
        if self.chains == "query":
            numbers: Tensor = self.queries(triples)
            return numbers
        if self.chains == "relation":
            return torch.stack((triples[:, 1], triples[:, 1] + self.num_relations), dim=1)
        return torch.zeros_like(triples[:, :2])

    def run_chains(
        self, positives: Positives, rows: Tensor, states: Tensor, corrupt_head: Tensor
    ) -> Tensor:
        """The states of chains after ``steps`` updates from (b, k) states, −1 for a random one."""
        triples = positives.triples
        true = replaced(positives, rows, corrupt_head)
        scorer = Scorer(positives, expected=states.numel() * (self.steps + 1))
        sizes = (self.pools < self.num_entities).sum(1)
        # Another triple of the same query may have left a chain at this triple's true entity.
        fresh = (states < 0) | (states == true)
        states = torch.where(fresh, any_other(true, self.num_entities), states)
        log_pi = self.alpha * scorer(rows, states, corrupt_head)
        log_pi = log_pi.masked_fill(~self.unknown(triples, states, corrupt_head), -torch.inf)
        size = sizes[states]
        for _ in range(self.steps):
            proposed = self.step(states, size)
            new_size = sizes.index_select(0, proposed.flatten()).view_as(proposed)
            new_log_pi = self.alpha * scorer(rows, proposed, corrupt_head)
            correction = self.correction(states, proposed, size, new_size).to(log_pi.dtype)
            accept = torch.rand_like(log_pi).log() < new_log_pi - log_pi + correction
            accept &= proposed != true
            # Looking up known triples is slow, so only accepted proposals are.
            row, slot = accept.nonzero(as_tuple=True)
            ids, side = proposed[row, slot].unsqueeze(1), corrupt_head[row, slot].unsqueeze(1)
            accept[row, slot] = self.unknown(triples[row], ids, side).squeeze(1)
            states = torch.where(accept, proposed, states)
            log_pi = torch.where(accept, new_log_pi, log_pi)
            size = torch.where(accept, new_size, size)
        return states

    def step(self, states: Tensor, size: Tensor) -> Tensor:
        """Proposals y' for states y with |K(y)| of ``size``: (b, k) each."""
        device = states.device
        uniform = torch.randint(self.num_entities, states.shape, device=device)
        near = (torch.rand(states.shape, device=device) < 0.5) & (size > 0)
        pick = (torch.rand(states.shape, device=device) * size).long()
        index = (states * self.pools.shape[1] + pick).flatten()
        neighbour = self.pools.flatten().index_select(0, index).view_as(states)
        return torch.where(near, neighbour.long(), uniform)

    def correction(
        self, states: Tensor, proposed: Tensor, size: Tensor, new_size: Tensor
    ) -> Tensor:
        """log q(y | y') − log q(y' | y), for |K(y)| and |K(y')| of these sizes: (b, k) each."""
        # 2n times the densities; without neighbours the uniform density 1 / n is left.
        back, there = within(self.pools, proposed, states), within(self.pools, states, proposed)
        n = self.num_entities
        reverse = torch.where(new_size > 0, 1 + n * back / new_size.clamp(min=1), 2.0)
        forward = torch.where(size > 0, 1 + n * there / size.clamp(min=1), 2.0)
        return reverse.log() - forward.log()

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """``chain_gap``: mean score of the chains' states minus that of their triples."""
        gap = score_gap(positives, self.states[self.state_rows(positives.triples)].long())
        return {} if gap is None else {"chain_gap": gap}


def closest(entities: Tensor, pool: int) -> Tensor:
    """The entities nearest to each one, without itself, by ‖x − y‖² = ‖x‖² − 2 (x·y − ½ ‖y‖²).

    From (n, d): (n, pool) int32, each row in rising order. ``pool`` is at most n − 1, or 1 where
    n = 1.
    """
    n = len(entities)
    half = 0.5 * entities.square().sum(1)
    found = torch.empty(n, pool, dtype=torch.int32, device=entities.device)
    for part in torch.arange(n, device=entities.device).split(max(1, DISTANCES // n)):
        closeness = (entities[part] @ entities.T).sub_(half)
        closeness.scatter_(1, part.unsqueeze(1), -torch.inf)
        found[part] = closeness.topk(pool, sorted=False).indices.sort(1).values.int()
    return found


def visited(walks: Walks, n: int, pool: int) -> Tensor:
    """The entities visited by random walks of two steps from each one, without itself.

    (n, pool) int32, each row in rising order and padded with n, from ``pool`` visits.
    """
    found = torch.empty(n, pool, dtype=torch.int32)
    for part in torch.arange(n).split(max(1, PART // pool)):
        starts = part.repeat_interleave(-(-pool // 2))  # two visits a walk
        ids = walks(starts, 2)[:, 1:].reshape(len(part), -1)[:, :pool]
        ids = ids.masked_fill((ids < 0) | (ids == part.unsqueeze(1)), n).sort(1).values
        found[part] = ids.masked_fill_(repeats(ids), n).sort(1).values.int()
    return found


def within(pools: Tensor, rows: Tensor, ids: Tensor) -> Tensor:
    """Whether each id occurs in its row of an (n, p) int32 table with rising rows: (...) bool."""
    # The search is bound by memory, so indices are int32 where that is enough.
    index = torch.int32 if pools.numel() < 2**31 else torch.int64
    table, wanted, left = pools.flatten(), ids.flatten().int(), pools.shape[1]
    start = rows.flatten().to(index) * left
    while left > 1:
        half = left // 2
        below = table.index_select(0, start + (half - 1)) < wanted
        start = torch.add(start, below, alpha=half)
        left -= half
    return (table.index_select(0, start) == wanted).view(ids.shape)
