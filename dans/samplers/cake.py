"""CAKE: commonsense-aware negative sampling by concepts (Niu et al. 2022)."""

import torch
from torch import Tensor

from dans.data.graph import Vocabulary
from dans.data.known_triples import KnownTriples
from dans.errors import InputError
from dans.models.batch import Positives
from dans.models.embedding_tables import constants
from dans.registry import File
from dans.samplers.corruption import (
    EntitySampler,
    Filter,
    Side,
    any_other,
    number_of_side,
    replaced,
)
from dans.samplers.entity_sets import EntitySets, distinct
from dans.samplers.entity_types import cardinalities, concepts_of, slot_of, stretches
from dans.samplers.uniform import Uniform

#: The relation classes whose head, and whose tail, counts as unique.
UNIQUE = ((0, 1), (0, 2))

#: Bytes of candidate sets that are stored; a batch that needs more has more.
STORED = 2**29


class CAKE(EntitySampler):
    """Entities of the true entity's concepts where it is unique, else of others that fit.

    Let C(e) be an entity's concepts, and C(r, s) those of all entities that fill slot s of relation
    r in training. The candidates for the position of the true entity e are

        {e' ≠ e : C(e') ∩ C(e) ≠ ∅}              where r has one answer (its head in 1-1 and 1-N,
                                                 its tail in 1-1 and N-1 relations);
        {e' : C(e') ∩ (C(r, s) ∖ C(e)) ≠ ∅}      where it may have several, or e has no concept.

    The negatives of one triple and one side differ from each other. Where candidates run out, and
    in place of negatives that a filter drops, any other entity is drawn.

    Source: Niu et al. 2022, arXiv:2202.13785, without its weights, which are a loss here.
    Departures, cost and state: ``docs/pages/samplers.md``.

    Args:
        k: negatives per triple. The paper has 2; DANS compares all samplers at 20.
        concepts: a file for ``read_concepts``; without one, ``pseudo_types``.
        entity_names: needed by ``concepts`` alone.
        filter: ``resample``, the paper's, draws any other entity, not another candidate.
    """

    #: (2m,) whether a slot's entity is the only answer
    unique: Tensor
    #: (2m, c) the concepts seen in each slot
    seen: Tensor
    #: (p,) the keys of the candidate sets stored, rising
    keys: Tensor
    #: (p,) their numbers
    numbers: Tensor

    def __init__(
        self,
        k: int = 2,
        *,
        triples: Tensor,
        num_entities: int,
        num_relations: int,
        concepts: File | None = None,
        entity_names: Vocabulary | None = None,
        side: Side = "coin",
        filter: Filter = "resample",
        known: KnownTriples | None = None,
        rounds: int = 20,
    ) -> None:
        super().__init__(k, side=side, filter=filter, known=known, rounds=rounds)
        self.concepts = concepts_of(concepts, entity_names, triples, num_entities, num_relations)
        classes = cardinalities(triples, num_relations)
        unique = [torch.isin(classes, classes.new_tensor(which)) for which in UNIQUE]
        self.sets = EntitySets(num_entities).to(triples.device)
        seen, empty = self.concepts.seen(triples, num_relations), classes.new_zeros(0)
        slots = torch.stack(unique, dim=1).flatten()
        constants(self, unique=slots, seen=seen, keys=empty, numbers=empty)
        self.uniform = Uniform(k, filter=filter, known=known, rounds=rounds)

    def draw(self, positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
        """Candidates, distinct along the last axis of (b, k) for each side; then any other."""
        true = replaced(positives, rows, corrupt_head)
        sets = self.lookup(self.key(slot_of(positives, rows, corrupt_head), true))
        positions = distinct(self.sets.num_others(sets, true), corrupt_head)
        ids = self.sets.other(sets, true, positions.clamp(min=0))
        return torch.where(positions < 0, any_other(true, positives.num_entities), ids)

    def expected_counts(
        self, positives: Positives, ids: Tensor, corrupt_head: Tensor, own: Tensor
    ) -> Tensor:
        """N of c candidates without repeats, and the N − c that are left from any others."""
        if self.not_counted:
            raise InputError(self.not_counted)
        rows = torch.arange(len(positives), device=ids.device).unsqueeze(1)
        true = replaced(positives, rows, corrupt_head)
        sets = self.lookup(self.key(slot_of(positives, rows, corrupt_head), true))
        candidates, number = self.sets.num_others(sets, true), number_of_side(own, corrupt_head)
        distinct_draws = torch.minimum(number, candidates)
        inside = self.sets.position(sets, ids)[1].double() / candidates.clamp(min=1)
        anywhere = (number - distinct_draws) / (positives.num_entities - 1)
        return distinct_draws * inside + anywhere

    def redraw(
        self, positives: Positives, ids: Tensor, corrupt_head: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Any other entity in place of what is invalid."""
        return self.uniform.redraw(positives, ids, corrupt_head, valid)

    def key(self, slot: Tensor, true: Tensor) -> Tensor:
        """The true entity's concepts, and the slot where it is not unique, as a number: (...)."""
        has_concepts = self.concepts.starts[true + 1] > self.concepts.starts[true]
        which = torch.where(self.unique[slot] & has_concepts, 0, slot + 1)
        return which * len(self.concepts.examples) + self.concepts.sets[true]

    def candidates(self, keys: Tensor) -> Tensor:
        """The candidates of some keys: (q, n) bool from (q,)."""
        which, concept_set = keys // len(self.concepts.examples), keys % len(self.concepts.examples)
        own = self.concepts.rows(self.concepts.examples[concept_set])
        rest = self.seen[(which - 1).clamp(min=0)] & ~own
        return self.concepts.having(torch.where((which > 0).unsqueeze(-1), rest, own))

    def lookup(self, keys: Tensor) -> Tensor:
        """The numbers of candidate sets, made where they are missing: (...) from (...) keys."""
        wanted = keys.unique()
        missing = wanted[torch.isin(wanted, self.keys, invert=True)]
        if len(missing):
            if (len(self.sets) + len(missing)) * self.sets.bytes_each > STORED:
                self.sets.filled = 0
                self.keys, self.numbers = self.keys[:0], self.numbers[:0]
                missing = wanted
            made = [
                self.sets.append(self.candidates(missing[part]))
                for part in stretches(len(missing), self.sets.num_entities)
            ]
            self.keys, order = torch.cat((self.keys, missing)).sort()
            self.numbers = torch.cat((self.numbers, *made))[order]
        return self.numbers[torch.searchsorted(self.keys, keys)]
