"""Type-constrained negative sampling."""

import torch
from torch import Tensor

from dans.data.graph import Vocabulary
from dans.data.known_triples import KnownTriples
from dans.models.batch import Positives
from dans.registry import File
from dans.samplers.corruption import EntitySampler, Filter, Side, replaced
from dans.samplers.entity_sets import EntitySets
from dans.samplers.entity_types import concepts_of, slot_of, stretches


class Typed(EntitySampler):
    """Entities from the relation's domain for heads, from its range for tails.

    e′ ~ U(range(r) ∖ {t}) for (h, r, ?),  U(domain(r) ∖ {h}) for (?, r, t)

    Domain and range are the entities that fill that slot in a training triple; with a file of
    types, those that share a type with one that does. Where no other entity is in it, any other
    entity is drawn.

    Source: the local closed world and the type constraints of Krompaß et al. 2015,
    arXiv:1508.02593; as a sampler, PyKEEN's ``pseudotyped``, which may draw the entity replaced.

    Args:
        types: a file for ``read_concepts``. An entity without a type is in no domain or range then.
        entity_names: needed by ``types`` alone.
    """

    def __init__(
        self,
        k: int = 20,
        *,
        triples: Tensor,
        num_entities: int,
        num_relations: int,
        types: File | None = None,
        entity_names: Vocabulary | None = None,
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
        self.sets = EntitySets(num_entities).to(triples.device)
        for part in stretches(len(allowed), num_entities):
            self.sets.append(concepts.having(allowed[part]))

    def draw(self, positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
        """Entities of the slot's domain or range."""
        slot = slot_of(positives, rows, corrupt_head)
        return self.sets.draw(slot, replaced(positives, rows, corrupt_head))

    def probability(
        self, positives: Positives, rows: Tensor, ids: Tensor, corrupt_head: Tensor
    ) -> Tensor:
        """One over the others of the slot's domain or range, or over any other entities."""
        slot = slot_of(positives, rows, corrupt_head)
        others = self.sets.num_others(slot, replaced(positives, rows, corrupt_head))
        inside = self.sets.position(slot, ids)[1].double() / others.clamp(min=1)
        return torch.where(others > 0, inside, 1 / (self.sets.num_entities - 1))
