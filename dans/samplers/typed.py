"""Negatives of the right type."""

import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.models.batch import Positives
from dans.samplers.corruption import EntitySampler, replaced
from dans.samplers.entity_sets import Pools
from dans.samplers.entity_types import concepts_of, slots, stretches
from dans.samplers.filters import Filter, Side
from dans.samplers.names import Names


class Typed(EntitySampler):
    """Entities that may stand where the one replaced does, by what the relation was seen with.

    Tails of (h, r, ?) are drawn from range(r), heads of (?, r, t) from domain(r), with equal
    probability and without the entity replaced. Domain and range are the entities that fill that
    slot in a training triple; with a file of types, those that share a type with one that does.
    Where there is no other entity in it, any other is drawn.

    Source: the local closed world and the type constraints of Krompaß et al. 2015,
    arXiv:1508.02593; as a sampler, PyKEEN's ``pseudotyped``, which may draw the entity replaced.

    Cost: O(b·k·log n) a batch. State: 3n/16 bytes for each slot, 3nm/8 in all (WN18RR .2 MB,
    FB15k-237 1.3 MB); nothing in checkpoints.

    Args:
        k: negatives per triple.
        triples: (f, 3) the training triples.
        num_entities: n.
        num_relations: m.
        types: a file of types, see ``read_concepts``. An entity without one is in no range then.
        entity_names: of the entities; only ``types`` needs them.
        side: see ``EntitySampler``; so are the rest.
        filter: see ``EntitySampler``.
        known: see ``EntitySampler``.
        rounds: see ``EntitySampler``.

    Raises:
        InputError: a file of types that cannot be used; and as ``EntitySampler`` does.

    Example:
        >>> triples = torch.tensor([[0, 0, 1], [0, 0, 2], [1, 0, 3]])
        >>> sampler = Typed(k=50, triples=triples, num_entities=9, num_relations=1, side="tail")
        >>> sampler(Positives.of_ids(triples[:1], 9)).ids.unique()
        tensor([2, 3])
    """

    def __init__(
        self,
        k: int = 20,
        *,
        triples: Tensor,
        num_entities: int,
        num_relations: int,
        types: str | None = None,
        entity_names: Names | None = None,
        side: Side = "coin",
        filter: Filter = "none",
        known: KnownTriples | None = None,
        rounds: int = 20,
    ) -> None:
        super().__init__(k, side=side, filter=filter, known=known, rounds=rounds)
        concepts = concepts_of(
            types, entity_names, triples, num_entities, num_relations, option="types"
        )
        if types is None:
            allowed = torch.eye(concepts.num_concepts, dtype=torch.bool, device=triples.device)
        else:
            allowed = concepts.seen(triples, num_relations)
        self.pools = Pools(num_entities).to(triples.device)
        for part in stretches(len(allowed), num_entities):
            self.pools.append(concepts.having(allowed[part]))

    def draw(self, positives: Positives, rows: Tensor, replaces_head: Tensor) -> Tensor:
        """See ``EntitySampler``."""
        head, tail = slots(positives.triples)[rows].unbind(-1)
        pools = torch.where(replaces_head, head, tail)
        return self.pools.draw(pools, replaced(positives, rows, replaces_head))
