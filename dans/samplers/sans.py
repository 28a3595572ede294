"""Negatives from the neighbourhood of the uncorrupted entity."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.data.query_index import ranges
from dans.errors import InputError, one_of
from dans.models.batch import Positives
from dans.samplers.corruption import EntitySampler
from dans.samplers.filters import Filter, Side, positive
from dans.samplers.uniform import Uniform

#: Ends of all walks, of some random ones, or of the public program's one walk.
Neighbourhood = Literal["hops", "walks", "one_walk"]

#: Starts (w,) and a length to walks (w, length + 1), −1 where a walk has ended.
Walks = Callable[[Tensor, int], Tensor]

#: Ids held at once while neighbourhoods are sought: 32 MiB.
PART = 2**22


class SANS(EntitySampler):
    """Any entity of the neighbourhood of the uncorrupted one, with equal probability.

    e′ ~ U(N(h) − {t}) for tails,  U(N(t) − {h}) for heads

    Triples are taken without direction and relation. N(e) is one of

    - ``walks`` (RW-SANS): where any of ``walks_per_entity`` random walks of ``length`` steps from e
      ends. It is a set: how many end there does not matter.
    - ``hops``: where a walk of ``length`` or ``length`` − 1 steps from e can end, the entries of
      A^(length − 1)·(A + I) that are not zero. As a walk may go back and forth, that is all that
      lies within ``length`` hops; but nothing where e has no neighbour, unless ``length`` is 1.
    - ``one_walk``: as the public program has it, which forgets to go back to e between walks, so
      that all of them are one. Its ends leave the neighbourhood, and come close to entities drawn
      by degree.

    Where nothing is left to draw (no neighbours, none but the entity replaced, or all are known
    triples after ``rounds`` of drawing again), any other entity is drawn, as Uniform does. By
    either definition e itself may be in N(e), as it is in the source.

    Source: Ahrabian et al. 2020, arXiv:2009.11355. The public program goes over to uniform draws
    for good once 2k draws were all known triples; here that is decided anew for each negative. The
    entity replaced is never drawn, with or without a filter, and ``limit`` is ours.

    Cost: once, n·walks_per_entity·length steps of walks; or, for ``hops``, as many as there are
    edges at all entities reached. Per batch, O(b·(k + log p)), p counting entities' neighbours.
    State: 8·p bytes, at most 8·n·limit; checkpoints hold them, for walks depend on the
    number of threads. On WN18RR, with the defaults, p is 2.2 million (``hops``: 2.8; ``one_walk``:
    23). The constructor takes one number from torch's generator, whatever it draws.

    Args:
        k: negatives per triple.
        triples: (f, 3) the training triples; only ``hops`` looks at them.
        num_entities: n.
        walks: walks over those triples; ``hops`` needs none.
        neighbourhood: which of the three.
        length: steps of a walk, or hops.
        walks_per_entity: 1000 if not given; ``hops`` has none.
        limit: neighbours kept of one entity, a random choice where it has more.
        exclude_uncorrupted: leave e out of N(e). A model may gain from e as its own negative alone;
            see ``SelfLoop``.
        side: see ``EntitySampler``.
        filter: see ``EntitySampler``; the source draws known triples again.
        known: see ``EntitySampler``.
        rounds: see ``EntitySampler``; those of the uniform draws are counted apart.

    Raises:
        InputError: an unknown choice, a count below 1, an option without effect, or a filter
            without known triples.

    Example:
        >>> path = torch.tensor([[0, 0, 1], [1, 0, 2], [2, 0, 3], [3, 0, 4]])
        >>> sampler = SANS(k=50, triples=path, num_entities=5, walks=lambda starts, length: starts,
        ...                neighbourhood="hops", side="tail", filter="none")
        >>> sampler(Positives.of_ids(path[:1], 5)).ids.unique()    # in the place of 1, around 0
        tensor([0, 2])
    """

    #: (p,) entity·n + neighbour, rising
    pairs: Tensor
    #: (n + 1,) where the pairs of an entity start
    offsets: Tensor

    def __init__(
        self,
        k: int = 20,
        *,
        triples: Tensor,
        num_entities: int,
        walks: Walks,
        neighbourhood: Neighbourhood = "walks",
        length: int = 2,
        walks_per_entity: int | None = None,
        limit: int = 1000,
        exclude_uncorrupted: bool = False,
        side: Side = "coin",
        filter: Filter = "resample",
        known: KnownTriples | None = None,
        rounds: int = 20,
    ) -> None:
        super().__init__(k, side=side, filter=filter, known=known, rounds=rounds)
        one_of("neighbourhood", neighbourhood, ("hops", "walks", "one_walk"))
        if neighbourhood == "hops" and walks_per_entity is not None:
            raise InputError("walks_per_entity: neighbourhood = hops walks nowhere; leave it out")
        count = 1000 if walks_per_entity is None else walks_per_entity
        for option, value in (("length", length), ("walks_per_entity", count), ("limit", limit)):
            positive(option, value)
        self.num_entities = num_entities
        self.elsewhere = Uniform(k, rounds=rounds)
        with _detour():
            if neighbourhood == "hops":
                found = hops(triples, num_entities, length)
            else:
                reset = neighbourhood == "walks"
                found = ends_of_walks(walks, num_entities, count, length, reset=reset)
            parts = [_limited(pairs, num_entities, limit, exclude_uncorrupted) for pairs in found]
        self.register_buffer("pairs", torch.cat(parts), persistent=False)
        self.register_buffer("offsets", self._offsets(), persistent=False)

    def _offsets(self) -> Tensor:
        starts = torch.arange(self.num_entities + 1, device=self.pairs.device) * self.num_entities
        return torch.searchsorted(self.pairs, starts)

    def get_extra_state(self) -> Tensor:
        """n, and the pairs: no persistent buffer, which must have a length known beforehand."""
        return torch.cat((self.pairs.new_tensor([self.num_entities]), self.pairs))

    def set_extra_state(self, state: Tensor) -> None:
        """Take over the pairs of another sampler.

        Raises:
            InputError: they are of another graph.
        """
        n = self.num_entities
        pairs = state[1:]
        if state[:1].tolist() != [n] or bool(((pairs < 0) | (pairs >= n * n)).any()):
            raise InputError(
                f"num_entities: the checkpoint's neighbourhoods are not of {n} entities; "
                "it was made with another graph"
            )
        self.pairs = pairs.to(self.pairs.device)
        self.offsets = self._offsets()

    def around(self, entity: int) -> Tensor:
        """The neighbourhood of an entity: its ids, rising."""
        start, end = self.offsets[entity : entity + 2].tolist()
        return self.pairs[start:end] - entity * self.num_entities

    def draw(self, positives: Positives, rows: Tensor, replaces_head: Tensor) -> Tensor:
        """See ``EntitySampler``; the entity replaced is stepped over in its row."""
        n = self.num_entities
        if n != len(positives.entities):
            raise InputError(
                f"num_entities: neighbourhoods are of {n} entities, not {len(positives.entities)}"
            )
        elsewhere = self.elsewhere.draw(positives, rows, replaces_head)
        if not len(self.pairs):
            return elsewhere
        # Searched once for each triple and side, not for each negative: (·, 2), for tails and
        # heads.
        triples, rows = rows.unique(return_inverse=True)
        centre = positives.triples[triples, ::2]
        left_out = centre * n + centre.flip(1)
        last = len(self.pairs) - 1
        place = torch.searchsorted(self.pairs, left_out)
        inside = self.pairs[place.clamp(max=last)] == left_out
        start = self.offsets[centre]
        size = self.offsets[centre + 1] - start - inside.long()
        skip = torch.where(inside, place, len(self.pairs))
        start, size, skip = (x[rows, replaces_head.long()] for x in (start, size, skip))
        # The remainder of a number as wide as this is uniform to one part in 2⁵⁰ and more.
        at = start + torch.randint(2**62, size.shape, device=size.device) % size.clamp(min=1)
        at = (at + (at >= skip)).clamp(max=last)
        return torch.where(size > 0, self.pairs[at] % n, elsewhere)

    def redraw(
        self,
        known: KnownTriples,
        positives: Positives,
        ids: Tensor,
        replaces_head: Tensor,
        valid: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """See ``EntitySampler``; what is still known then is drawn from all entities."""
        ids, valid = super().redraw(known, positives, ids, replaces_head, valid)
        return self.elsewhere.redraw(known, positives, ids, replaces_head, valid)


def hops(triples: Tensor, n: int, length: int) -> Iterator[Tensor]:
    """Which entities a walk of ``length`` or ``length`` − 1 steps can join.

    The entries of A^(length − 1)·(A + I) that are not zero, A being 1 where two have a triple.

    Args:
        triples: (f, 3).
        n: how many entities there are.
        length: of the walks.

    Yields:
        Some entities' pairs, entity·n + neighbour, rising and all distinct.

    Example:
        >>> path = torch.tensor([[0, 0, 1], [1, 0, 2]])
        >>> torch.cat(list(hops(path, 3, 1)))    # of 0: 0, 1; of 1: 0, 1, 2; of 2: 1, 2
        tensor([0, 1, 3, 4, 5, 7, 8])
    """
    heads, tails = triples[:, 0], triples[:, 2]
    edges = torch.cat((heads * n + tails, tails * n + heads)).unique()
    offsets = torch.searchsorted(edges, torch.arange(n + 1) * n)
    for entities in torch.arange(n).split(max(1, PART // (4 * n))):
        itself = entities * n + entities
        pairs = torch.cat((itself, _one_step(itself, edges, offsets, n))).unique()
        for _ in range(length - 1):
            pairs = _one_step(pairs, edges, offsets, n)
        yield pairs


def _one_step(pairs: Tensor, edges: Tensor, offsets: Tensor, n: int) -> Tensor:
    """Pairs whose second member has moved to each of its neighbours, distinct."""
    first, second = pairs // n, pairs % n
    start, degree = offsets[second], offsets[second + 1] - offsets[second]
    sizes = torch.bincount(degree.cumsum(0) // PART, minlength=1).tolist()
    moved = pairs.new_empty(0)
    for who, begin, many in zip(
        first.split(sizes), start.split(sizes), degree.split(sizes), strict=True
    ):
        rows, places = ranges(begin, many)
        moved = torch.cat((moved, who[rows] * n + edges[places] % n)).unique()
    return moved


def ends_of_walks(
    walks: Walks, n: int, count: int, length: int, *, reset: bool
) -> Iterator[Tensor]:
    """Where random walks from every entity end.

    Args:
        walks: draws them.
        n: how many entities there are.
        count: walks from each.
        length: of a walk.
        reset: does each walk start at the entity, or where the one before has ended?

    Yields:
        Some entities' pairs, entity·n + end, rising and all distinct.
    """
    for entities in torch.arange(n).split(max(1, PART // (count * (length + 1)))):
        if reset:
            last = walks(entities.repeat_interleave(count), length)[:, -1].view(-1, count)
        else:
            last = walks(entities, count * length)[:, length::length]
        yield (entities.unsqueeze(1) * n + last)[last >= 0].unique()


def _limited(pairs: Tensor, n: int, limit: int, exclude_uncorrupted: bool) -> Tensor:
    """At most ``limit`` pairs of each entity, chosen at random; (p,) rising, as they came."""
    entities = pairs // n
    if exclude_uncorrupted:
        pairs = pairs[entities != pairs % n]
        entities = pairs // n
    _, row, sizes = entities.unique_consecutive(return_inverse=True, return_counts=True)
    if bool((sizes <= limit).all()):
        return pairs
    shuffled = torch.randperm(len(pairs))
    order = shuffled[row[shuffled].argsort(stable=True)]
    rank = torch.arange(len(pairs)) - (sizes.cumsum(0) - sizes)[row]
    return pairs[order[rank < limit].sort().values]


@contextmanager
def _detour() -> Iterator[None]:
    """Run a draw seeded by one number of torch's generator, which then continues after it."""
    seed = int(torch.randint(2**62, ()))
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)
