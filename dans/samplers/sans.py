"""SANS and RW-SANS: structure-aware negative sampling (Ahrabian et al. 2020)."""

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.errors import MOST_ROUNDS, InputError, counted, one_of
from dans.models.batch import Positives
from dans.models.embedding_tables import constants
from dans.samplers.corruption import EntitySampler, Filter, Side, replaced, uncorrupted
from dans.samplers.scoring import check_entities
from dans.samplers.uniform import Uniform

#: All ends of walks, or those of some random walks.
Neighbourhood = Literal["hops", "walks"]

#: Starts (w,) and a length to walks (w, length + 1), −1 where a walk has ended.
Walks = Callable[[Tensor, int], Tensor]

#: Steps of the walks from one entity at most, which are held at once: 512 MiB.
MOST_STEPS = 2**26

#: Ids held at once while neighbourhoods are made: 32 MiB.
PART = 2**22


class SANS(EntitySampler):
    """Entities from the neighbourhood of the uncorrupted entity, with equal probability.

    e′ ~ U(N(h) ∖ {t}) for (h, r, ?),  U(N(t) ∖ {h}) for (?, r, t)

    Triples are taken as edges without direction and relation. N(e) is one of

    - ``walks`` (RW-SANS): the set of ends of ``walks_per_entity`` random walks of ``length`` steps
      from e; how many end at an entity does not matter.
    - ``hops``: all ends of walks of ``length`` or ``length`` − 1 steps, the entries of
      A^(length − 1)·(A + I) that are not zero. As a walk may return, these are the
      entities within ``length`` hops; but none where e has no neighbour, unless ``length`` is 1.

    Where nothing is left to draw (no neighbour but the entity replaced, or known triples only after
    ``rounds``), any other entity is drawn uniformly. As in the source, N(e) may contain e.

    Source: Ahrabian et al. 2020, arXiv:2009.11355, which draws known triples again. Departures,
    cost and state: ``docs/pages/samplers.md``.

    The constructor takes one number from torch's generator, whatever it draws. Checkpoints hold the
    pairs, because walks depend on the number of threads.

    Args:
        triples: (f, 3) the training triples, for ``hops``.
        walks: draws random walks over those triples.
        walks_per_entity: 1000 if not given; ``hops`` has none.
        limit: neighbours of one entity at most, a random choice where it has more.
        exclude_uncorrupted: leave e out of N(e), as a model may gain from (e, r, e) alone; see
            ``SelfLoop``.
        rounds: how often to draw again from N(e), and then as often from all entities.
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
        one_of("neighbourhood", neighbourhood, ("hops", "walks"))
        if neighbourhood == "hops" and walks_per_entity is not None:
            raise InputError("walks_per_entity: neighbourhood = hops walks nowhere; leave it out")
        count = 1000 if walks_per_entity is None else walks_per_entity
        counted("length", length, most=MOST_ROUNDS)
        counted("walks_per_entity", count, most=MOST_STEPS // (length + 1))
        counted("limit", limit)
        self.num_entities = num_entities
        self.uniform = Uniform(k, filter=filter, known=known, rounds=rounds)
        seed = int(torch.randint(2**62, ()))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            if neighbourhood == "hops":
                found = hops(triples, num_entities, length)
            else:
                found = ends_of_walks(walks, num_entities, count, length)
            parts = [_limited(pairs, num_entities, limit, exclude_uncorrupted) for pairs in found]
        constants(self, pairs=torch.cat(parts))
        constants(self, offsets=self._offsets())

    def _offsets(self) -> Tensor:
        starts = torch.arange(self.num_entities + 1, device=self.pairs.device) * self.num_entities
        return torch.searchsorted(self.pairs, starts)

    def get_extra_state(self) -> Tensor:
        """n, then the pairs: a persistent buffer would need a length known before loading."""
        return torch.cat((self.pairs.new_tensor([self.num_entities]), self.pairs))

    def set_extra_state(self, state: Tensor) -> None:
        """Load the pairs of a checkpoint; those of another graph are refused."""
        n, pairs = self.num_entities, state[1:]
        if state[:1].tolist() != [n] or bool(((pairs < 0) | (pairs >= n * n)).any()):
            raise InputError(
                f"num_entities: the checkpoint's neighbourhoods are not of {n} entities; "
                "it was made with another graph"
            )
        self.pairs = pairs.to(self.pairs.device)
        self.offsets = self._offsets()

    def draw(self, positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
        """Neighbours of the uncorrupted entities, the replaced ones skipped."""
        n = self.num_entities
        check_entities(positives, n, "neighbourhoods are of")
        elsewhere = self.uniform.draw(positives, rows, corrupt_head)
        if not len(self.pairs):
            return elsewhere
        # One search for each triple and side, not for each negative: (·, 2), for tails and heads.
        triples, rows = rows.unique(return_inverse=True)
        centre = positives.triples[triples, ::2]
        left_out = centre * n + centre.flip(1)
        last = len(self.pairs) - 1
        position = torch.searchsorted(self.pairs, left_out)
        inside = self.pairs[position.clamp(max=last)] == left_out
        start = self.offsets[centre]
        size = self.offsets[centre + 1] - start - inside.long()
        skip = torch.where(inside, position, len(self.pairs))
        start, size, skip = (x[rows, corrupt_head.long()] for x in (start, size, skip))
        # The remainder of a number as wide as this is uniform to one part in 2⁵⁰ and more.
        at = start + torch.randint(2**62, size.shape, device=size.device) % size.clamp(min=1)
        at = (at + (at >= skip)).clamp(max=last)
        return torch.where(size > 0, self.pairs[at] % n, elsewhere)

    def probability(
        self, positives: Positives, rows: Tensor, ids: Tensor, corrupt_head: Tensor
    ) -> Tensor:
        """One over the neighbours without the entity replaced, or over any other entities."""
        n = self.num_entities
        centre = uncorrupted(positives, rows, corrupt_head)
        true = replaced(positives, rows, corrupt_head)
        size = self.offsets[centre + 1] - self.offsets[centre] - self.has(centre, true).long()
        inside = self.has(centre, ids).double() / size.clamp(min=1)
        return torch.where(size > 0, inside, 1 / (n - 1))

    def has(self, centre: Tensor, entities: Tensor) -> Tensor:
        """Whether entities are neighbours of others: (...) bool from (...) ids each."""
        if not len(self.pairs):
            return torch.zeros_like(entities, dtype=torch.bool)
        wanted = centre * self.num_entities + entities
        position = torch.searchsorted(self.pairs, wanted).clamp(max=len(self.pairs) - 1)
        return self.pairs[position] == wanted

    def redraw(
        self, positives: Positives, ids: Tensor, corrupt_head: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Draw again from neighbourhoods, then from all entities."""
        ids, valid = super().redraw(positives, ids, corrupt_head, valid)
        return self.uniform.redraw(positives, ids, corrupt_head, valid)


def hops(triples: Tensor, n: int, length: int) -> Iterator[Tensor]:
    """Entities that a walk of ``length`` or ``length`` − 1 steps can connect.

    The entries of A^(length − 1)·(A + I) that are not zero, A being the undirected adjacency: for
    some entities at a time, their pairs entity·n + neighbour, rising and distinct.
    """
    # Only here: importing it takes a tenth of the start of a program.
    from scipy import sparse

    ends = triples[:, 0].numpy(), triples[:, 2].numpy()
    directed = sparse.csr_matrix((np.ones(len(triples), dtype=bool), ends), shape=(n, n))
    adjacency = directed + directed.T
    either = adjacency + sparse.identity(n, dtype=bool, format="csr")
    size = max(1, PART // (4 * n))
    for first in range(0, n, size):
        reached = either[first : first + size]
        for _ in range(length - 1):
            reached = reached @ adjacency
        rows, columns = reached.nonzero()
        pairs = (rows.astype(np.int64) + first) * n + columns
        yield torch.from_numpy(pairs).sort().values


def ends_of_walks(walks: Walks, n: int, count: int, length: int) -> Iterator[Tensor]:
    """Ends of ``count`` walks of ``length`` steps from each entity, as pairs as of ``hops``."""
    for entities in torch.arange(n).split(max(1, PART // (count * (length + 1)))):
        last = walks(entities.repeat_interleave(count), length)[:, -1].view(-1, count)
        yield (entities.unsqueeze(1) * n + last)[last >= 0].unique()


def _limited(pairs: Tensor, n: int, limit: int, exclude_uncorrupted: bool) -> Tensor:
    """At most ``limit`` pairs of each entity, chosen at random: (p,) rising, as they came."""
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
