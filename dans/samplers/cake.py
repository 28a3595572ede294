"""CAKE: negatives by what is known of concepts (Niu et al. 2022)."""

from typing import Literal

import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.errors import one_of
from dans.models.batch import Positives
from dans.samplers.corruption import EntitySampler, any_other, replaced
from dans.samplers.draws import distinct
from dans.samplers.entity_sets import Pools
from dans.samplers.entity_types import cardinalities, concepts_of, slots, stretches
from dans.samplers.filters import Filter, Side
from dans.samplers.names import Names
from dans.samplers.uniform import Uniform

#: The classes of relations whose head, and whose tail, the other end leaves no choice of: ``paper``
#: is what the definition of the classes says, ``published`` what the program does for tails.
Rule = Literal["paper", "published"]
UNIQUE: dict[Rule, tuple[tuple[int, int], tuple[int, int]]] = {
    "paper": ((0, 1), (0, 2)),
    "published": ((0, 1), (2, 3)),
}

#: Bytes of pools that are kept; a batch that needs more has more.
KEPT = 2**29


class CAKE(EntitySampler):
    """Hard where a negative cannot be true, and plausible where it could.

    Let C(e) be an entity's concepts, and C(r, s) those of all entities that fill slot s of relation
    r in training. In the place of the gold entity e stands one of

        {e' ≠ e : C(e') ∩ C(e) ≠ ∅}              where r has one answer: its head in 1-1 and 1-N,
                                                 its tail in 1-1 and N-1 relations;
        {e' : C(e') ∩ (C(r, s) ∖ C(e)) ≠ ∅}      where it may have several.

    The negatives of one triple and one side differ from each other. Where the pool has too few, and
    in the place of negatives that a filter drops, any other entity is drawn. A gold entity without
    concepts (only a file leaves one so) has the second pool, as in the public program.

    Source: Niu et al. 2022, arXiv:2202.13785. Its self-adversarial weights are the loss's business;
    its evaluation among entities of fitting concepts is not the standard protocol, and not here.
    The public program takes the tails of N-1 and N-N relations for unique (``rule="published"``),
    never finds the gold entity's concepts for these, and may repeat a negative; the last two are
    not imitated.

    Cost: O(b·k·(k + log n)) a batch, and O(n·c) or less for a pool that is new. State: pools are
    made when first needed and kept, at 3n/16 bytes for each slot and set of gold concepts, in at
    most ``KEPT`` = 2²⁹ bytes or those of one batch, with a quarter of spare room; then they are
    forgotten and made anew. With pseudo-types all triples of WN18RR need 2,077 pools of 7.7 kB, 16
    MB, and those of FB15k-237 126,840 of 2.7 kB, 347 MB. Beside these 2mc bytes for the relations'
    concepts. Nothing in checkpoints.

    Args:
        k: negatives per triple. The paper has 2; DANS compares all samplers at 20.
        triples: (f, 3) the training triples.
        num_entities: n.
        num_relations: m.
        concepts: a file of concepts, see ``read_concepts``; without one ``pseudo_types`` stand in.
        entity_names: of the entities; only ``concepts`` needs them.
        rule: which sides are unique; see ``UNIQUE``.
        side: see ``EntitySampler``; so are the rest.
        filter: ``resample``, the paper's, fills up with any other entity, not from the pool.
        known: see ``EntitySampler``.
        rounds: see ``EntitySampler``.

    Raises:
        InputError: a file of concepts that cannot be used; and as ``EntitySampler`` does.

    Example:
        >>> triples = torch.tensor([[0, 0, 1], [2, 0, 3], [4, 1, 5]])
        >>> cake = CAKE(triples=triples, num_entities=6, num_relations=2, side="tail",
        ...             filter="none")
        >>> cake(Positives.of_ids(triples[:1], 6)).ids[0, 0]
        tensor(3)
    """

    #: (2m,) is a slot's entity the only answer?
    unique: Tensor
    #: (2m, c) the concepts seen in each slot
    seen: Tensor
    #: (p,) what each pool kept is for, rising
    keys: Tensor
    #: (p,) its number
    numbers: Tensor

    def __init__(
        self,
        k: int = 2,
        *,
        triples: Tensor,
        num_entities: int,
        num_relations: int,
        concepts: str | None = None,
        entity_names: Names | None = None,
        rule: Rule = "paper",
        side: Side = "coin",
        filter: Filter = "resample",
        known: KnownTriples | None = None,
        rounds: int = 20,
    ) -> None:
        super().__init__(k, side=side, filter=filter, known=known, rounds=rounds)
        one_of("rule", rule, tuple(UNIQUE))
        self.rule: Rule = rule
        self.concepts = concepts_of(
            concepts, entity_names, triples, num_entities, num_relations, option="concepts"
        )
        classes = cardinalities(triples, num_relations)
        unique = [torch.isin(classes, classes.new_tensor(which)) for which in UNIQUE[rule]]
        seen = self.concepts.seen(triples, num_relations)
        self.register_buffer("unique", torch.stack(unique, dim=1).flatten(), persistent=False)
        self.register_buffer("seen", seen, persistent=False)
        self.pools = Pools(num_entities).to(triples.device)
        self.register_buffer("keys", classes.new_zeros(0), persistent=False)
        self.register_buffer("numbers", classes.new_zeros(0), persistent=False)
        self.anyone = Uniform(k, rounds=rounds)

    def draw(self, positives: Positives, rows: Tensor, replaces_head: Tensor) -> Tensor:
        """See ``EntitySampler``; negatives of one side differ along the last axis of (b, k)."""
        if replaces_head.ndim < 2:
            return self.draw(positives, rows.unsqueeze(-1), replaces_head.unsqueeze(-1)).squeeze(-1)
        true = replaced(positives, rows, replaces_head)
        head, tail = slots(positives.triples)[rows].unbind(-1)
        pools = self.lookup(self.key(torch.where(replaces_head, head, tail), true))
        places = distinct(self.pools.others(pools, true), replaces_head)
        ids = self.pools.other(pools, true, places.clamp(min=0))
        return torch.where(places < 0, any_other(true, len(positives.entities)), ids)

    def redraw(
        self,
        known: KnownTriples,
        positives: Positives,
        ids: Tensor,
        replaces_head: Tensor,
        valid: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Fill up with any other entity."""
        return self.anyone.redraw(known, positives, ids, replaces_head, valid)

    def key(self, slot: Tensor, gold: Tensor) -> Tensor:
        """What a pool is for: the gold entity's concepts, and the slot where it matters; (...)."""
        some = self.concepts.starts[gold + 1] > self.concepts.starts[gold]
        matters = torch.where(self.unique[slot] & some, 0, slot + 1)
        return matters * len(self.concepts.examples) + self.concepts.sets[gold]

    def members(self, keys: Tensor) -> Tensor:
        """Who is in the pools of some keys: (q, n) bool from (q,)."""
        matters, kind = keys // len(self.concepts.examples), keys % len(self.concepts.examples)
        own = self.concepts.rows(self.concepts.examples[kind])
        rest = self.seen[(matters - 1).clamp(min=0)] & ~own
        return self.concepts.having(torch.where((matters > 0).unsqueeze(-1), rest, own))

    def lookup(self, keys: Tensor) -> Tensor:
        """The numbers of pools, made where they are missing: (...) from (...) keys."""
        wanted = keys.unique()
        missing = wanted[torch.isin(wanted, self.keys, invert=True)]
        if len(missing):
            if (len(self.pools) + len(missing)) * self.pools.bytes_each > KEPT:
                self.pools.clear()
                self.keys, self.numbers = self.keys[:0], self.numbers[:0]
                missing = wanted
            made = [
                self.pools.append(self.members(missing[part]))
                for part in stretches(len(missing), self.pools.num_entities)
            ]
            self.keys, order = torch.cat((self.keys, missing)).sort()
            self.numbers = torch.cat((self.numbers, *made))[order]
        return self.numbers[torch.searchsorted(self.keys, keys)]
