"""Samplers whose negatives are entities: sides, draws, and what to do about known triples."""

from abc import abstractmethod

import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.errors import InputError, one_of
from dans.models.batch import Negatives, Positives
from dans.samplers.base import NegativeSampler
from dans.samplers.filters import SIDES, Filter, Side, not_known, positive, requires_known, sides


class EntitySampler(NegativeSampler):
    """Draws negatives by their ids: a subclass says which entity may stand in for another.

    Args:
        k: negatives per triple.
        side: a fair coin for each negative, or always the same side.
        filter: what to do about a negative that is a known triple: nothing, mark it invalid, or
            draw again. Drawing again is given up after ``rounds``: in a dense graph there may be
            nothing left to draw, and what is still known then is marked invalid.
        known: the triples to filter by.
        rounds: how often to draw again.

    Raises:
        InputError: an unknown choice, a count below 1, or a filter without known triples.
    """

    def __init__(
        self,
        k: int,
        *,
        side: Side = "coin",
        filter: Filter = "none",
        known: KnownTriples | None = None,
        rounds: int = 20,
    ) -> None:
        super().__init__()
        positive("k", k)
        positive("rounds", rounds)
        one_of("side", side, SIDES)
        one_of("filter", filter, ("none", "mask", "resample"))
        requires_known(filter, known)
        self.k = k
        self.side: Side = side
        self.filter: Filter = filter
        self.known = known
        self.rounds = rounds

    @abstractmethod
    def draw(self, positives: Positives, rows: Tensor, replaces_head: Tensor) -> Tensor:
        """An entity for each of some negatives.

        Args:
            positives: the batch.
            rows: which triple of the batch a negative is held against: (...), or what broadcasts to
                it.
            replaces_head: (...) bool, which side it replaces.

        Returns:
            (...) ids.
        """

    def sides(self, positives: Positives) -> Tensor:
        """Which negatives replace the head: (b, k) bool."""
        return sides(self.side, len(positives), self.k, positives.triples.device)

    def forward(self, positives: Positives) -> Negatives:
        """See ``NegativeSampler``; ids are always given."""
        replaces_head = self.sides(positives)
        rows = torch.arange(len(positives), device=replaces_head.device).unsqueeze(1)
        ids = self.draw(positives, rows, replaces_head)
        if self.filter == "none" or self.known is None:
            return Negatives.of(positives.entities, ids, replaces_head)
        valid = not_known(self.known, positives.triples, ids, replaces_head)
        if self.filter == "resample":
            ids, valid = self.redraw(self.known, positives, ids, replaces_head, valid)
        return Negatives.of(positives.entities, ids, replaces_head, valid)

    def redraw(
        self,
        known: KnownTriples,
        positives: Positives,
        ids: Tensor,
        replaces_head: Tensor,
        valid: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Draw what is invalid again, at most ``rounds`` times: ids and valid, (b, k) each."""
        k = ids.shape[1]
        ids, valid = ids.flatten().clone(), valid.flatten().clone()
        slots = (~valid).nonzero().squeeze(1)
        rows = slots // k
        side, triples = replaces_head.flatten()[slots], positives.triples[rows]
        for _ in range(self.rounds):
            if not len(slots):
                break
            drawn = self.draw(positives, rows, side)
            clean = not_known(known, triples, drawn.unsqueeze(1), side.unsqueeze(1)).squeeze(1)
            ids.index_copy_(0, slots, drawn)
            valid.index_copy_(0, slots, clean)
            left = (~clean).nonzero().squeeze(1)
            slots, rows, side, triples = slots[left], rows[left], side[left], triples[left]
        return ids.view_as(replaces_head), valid.view_as(replaces_head)


def replaced(positives: Positives, rows: Tensor, replaces_head: Tensor) -> Tensor:
    """The entities that negatives stand in for: (...), as ``EntitySampler.draw`` is asked."""
    heads, tails = positives.triples[:, 0][rows], positives.triples[:, 2][rows]
    # A product, not a choice: no processor foresees a coin.
    side = replaces_head.long()
    return torch.addcmul(tails, heads - tails, side, out=side)


def kept(positives: Positives, rows: Tensor, replaces_head: Tensor) -> Tensor:
    """The entities at the other side of the triples: (...), as ``EntitySampler.draw`` is asked."""
    return replaced(positives, rows, ~replaces_head)


def any_other(true: Tensor, n: int) -> Tensor:
    """Any entity but one, with equal probability.

    u ~ U{0, …, n − 2};  e′ = u + [u ≥ e].

    Args:
        true: (...) the entities left out.
        n: how many entities there are.

    Raises:
        InputError: there is no other entity to draw.
    """
    if n < 2:
        raise InputError(f"entities: a negative must be another entity, and there is only {n}")
    drawn = torch.randint(n - 1, true.shape, device=true.device)
    return drawn.add_(drawn >= true)
