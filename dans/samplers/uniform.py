"""Samplers that do not look at the model: uniform, Bernoulli, popularity."""

import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.data.query_index import distinct_ends
from dans.errors import InputError, finite, not_negative
from dans.models.batch import Positives
from dans.samplers.corruption import EntitySampler, replaced
from dans.samplers.draws import tossed
from dans.samplers.filters import Filter, Side


class Uniform(EntitySampler):
    """Any other entity, with equal probability.

    u ~ U{0, …, n − 2};  e′ = n − 1 if u = e, else u,  e being the entity replaced.

    Args:
        k: negatives per triple.
        side: see ``EntitySampler``.
        exclude_true: never draw the entity replaced. The RGCN programs draw from all n, and so may
            hold a triple against itself (DANS reference, C11).
        filter: see ``EntitySampler``.
        known: see ``EntitySampler``.
        rounds: see ``EntitySampler``.

    Raises:
        InputError: an unknown choice, a count below 1, or a filter without known triples.

    Example:
        >>> entities = torch.eye(4)
        >>> triples = torch.tensor([[0, 0, 1], [2, 0, 3]])
        >>> h, t = entities[[0, 2]], entities[[1, 3]]
        >>> positives = Positives(triples, h, h, t, h, t, entities, lambda x, y: (x * y).sum(-1))
        >>> negatives = Uniform(k=3, side="tail")(positives)
        >>> negatives.embeddings.shape
        torch.Size([2, 3, 4])
        >>> bool((negatives.ids == triples[:, 2:]).any())
        False
    """

    def __init__(
        self,
        k: int = 20,
        *,
        side: Side = "coin",
        exclude_true: bool = True,
        filter: Filter = "none",
        known: KnownTriples | None = None,
        rounds: int = 20,
    ) -> None:
        super().__init__(k, side=side, filter=filter, known=known, rounds=rounds)
        self.exclude_true = exclude_true

    def draw(self, positives: Positives, rows: Tensor, replaces_head: Tensor) -> Tensor:
        """See ``EntitySampler``."""
        n = len(positives.entities)
        if not self.exclude_true:
            return torch.randint(n, replaces_head.shape, device=replaces_head.device)
        if n < 2:
            raise InputError(f"entities: a negative must be another entity, and there is only {n}")
        # The last entity stands in where the one replaced was drawn. Both ends are compared and the
        # answers combined: that is quicker than to look up first which end it is.
        drawn = torch.randint(n - 1, replaces_head.shape, device=replaces_head.device)
        heads, tails = positives.triples[:, 0][rows], positives.triples[:, 2][rows]
        same = (drawn == heads) & replaces_head | (drawn == tails) & ~replaces_head
        return drawn.masked_fill_(same, n - 1)


class Bernoulli(Uniform):
    """Uniform, with the side chosen so that fewer negatives are triples nobody wrote down.

    Replaces the head with probability tph / (tph + hpt): tails per (h, r) and heads per (r, t),
    each a mean over the distinct triples of a relation. One-to-many relations lose their heads,
    many-to-one their tails.

    Source: Wang et al. 2014 (TransH), §"Reducing false negative labels".

    Args:
        k: negatives per triple.
        triples: (f, 3) the training triples; duplicates do not count.
        num_relations: m. A relation without triples gets a fair coin.
        exclude_true: as for ``Uniform``; so are the rest.
        filter: see ``Uniform``.
        known: see ``Uniform``.
        rounds: see ``Uniform``.

    Example:
        >>> one_to_many = torch.tensor([[0, 0, 1], [0, 0, 2], [0, 0, 3]])
        >>> Bernoulli(triples=one_to_many, num_relations=2).head_probability
        tensor([0.7500, 0.5000])
    """

    #: (m,) how often the head is the side replaced
    head_probability: Tensor

    def __init__(
        self,
        k: int = 20,
        *,
        triples: Tensor,
        num_relations: int,
        exclude_true: bool = True,
        filter: Filter = "none",
        known: KnownTriples | None = None,
        rounds: int = 20,
    ) -> None:
        super().__init__(k, exclude_true=exclude_true, filter=filter, known=known, rounds=rounds)
        self.register_buffer(
            "head_probability", head_probability(triples, num_relations), persistent=False
        )

    def sides(self, positives: Positives) -> Tensor:
        """Which negatives replace the head: (b, k) bool."""
        return tossed(self.head_probability, positives.triples, self.k)


def head_probability(triples: Tensor, num_relations: int) -> Tensor:
    """tph / (tph + hpt) of every relation.

    With F distinct triples of a relation, over H distinct heads and T distinct tails, tph = F / H
    and hpt = F / T; F cancels, and T / (H + T) is left.

    Args:
        triples: (f, 3).
        num_relations: m.

    Returns:
        (m,) floats; ½ for a relation without triples.
    """
    heads, tails = distinct_ends(triples, num_relations).unbind()
    unseen = heads == 0
    return torch.where(unseen, 0.5, tails / (heads + tails).clamp(min=1)).float()


class Popularity(Uniform):
    """Entities as often as triples mention them: q(e) ∝ (c(e) + smoothing)^exponent.

    Args:
        k: negatives per triple.
        triples: (f, 3) the training triples; c counts mentions as head or tail.
        num_entities: n.
        exponent: 0 is uniform, 1 the unigram distribution, ¾ word2vec's.
        smoothing: added to every count. At 0 an entity no triple mentions is never a negative, and
            drifts up in rank unopposed.
        side: as for ``Uniform``; so are the rest.
        exclude_true: see ``Uniform``.
        filter: see ``Uniform``.
        known: see ``Uniform``.
        rounds: see ``Uniform``.

    Raises:
        InputError: a negative smoothing, a number that is not finite, or fewer than two entities
            that can be drawn.
    """

    #: (n,) the running total of the entities' weights, float64
    cumulative: Tensor

    def __init__(
        self,
        k: int = 20,
        *,
        triples: Tensor,
        num_entities: int,
        exponent: float = 0.75,
        smoothing: float = 1.0,
        side: Side = "coin",
        exclude_true: bool = True,
        filter: Filter = "none",
        known: KnownTriples | None = None,
        rounds: int = 20,
    ) -> None:
        super().__init__(
            k, side=side, exclude_true=exclude_true, filter=filter, known=known, rounds=rounds
        )
        mentions = triples[:, [0, 2]].flatten()
        ends = running_total(mentions, num_entities, smoothing=smoothing, exponent=exponent)
        self.register_buffer("cumulative", ends, persistent=False)

    def draw(self, positives: Positives, rows: Tensor, replaces_head: Tensor) -> Tensor:
        """Entities by weight; to exclude the true one, its stretch of the total is skipped."""
        ends, n = self.cumulative, len(positives.entities)
        if n != len(ends):
            raise InputError(f"num_entities: counts are of {len(ends)} entities, not {n}")
        uniform = torch.rand(replaces_head.shape, dtype=ends.dtype, device=replaces_head.device)
        true = replaced(positives, rows, replaces_head) if self.exclude_true else None
        return by_weight(ends, uniform, true)


def running_total(mentions: Tensor, n: int, *, smoothing: float, exponent: float = 1.0) -> Tensor:
    """The running total of (c(e) + smoothing)^exponent over the entities.

    Args:
        mentions: (·,) entities; c counts how often each occurs.
        n: how many entities there are.
        smoothing: added to every count.
        exponent: of the sum.

    Returns:
        (n,) float64.

    Raises:
        InputError: a negative smoothing, a number that is not finite, or fewer than two entities
            that can be drawn.
    """
    not_negative("smoothing", smoothing)
    finite("exponent", exponent)
    counts = torch.bincount(mentions, minlength=n).double()
    # 0⁰ = 1 would let exponent 0 bring back entities that smoothing 0 rules out.
    weights = (counts + smoothing).pow(exponent) * (counts + smoothing > 0)
    if int((weights > 0).sum()) < 2:
        raise InputError("smoothing: fewer than two entities can be drawn; raise it above 0")
    return weights.cumsum(0)


def by_weight(ends: Tensor, uniform: Tensor, true: Tensor | None = None) -> Tensor:
    """Entities with chances in proportion to their weights.

    Args:
        ends: (n,) the running total of the weights.
        uniform: (...) numbers from [0, 1), of which each becomes an entity.
        true: (...) entities left out; None leaves out none.

    Returns:
        (...) ids.

    Example:
        >>> by_weight(torch.tensor([1., 2., 4.]), torch.tensor([0., .3, .9]))
        tensor([0, 1, 2])
    """
    if true is None:
        point = uniform * ends[-1]
    else:
        starts = torch.cat((ends.new_zeros(1), ends[:-1]))
        start, end = starts[true], ends[true]
        point = uniform * (start + (ends[-1] - end))
        point = torch.where(point < start, point, torch.maximum(point + (end - start), end))
    # Rounding may carry a point to the very end of the total, where no entity lies.
    below = torch.nextafter(ends[-1], torch.zeros_like(ends[-1]))
    return torch.searchsorted(ends, torch.minimum(point, below), right=True)
