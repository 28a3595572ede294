"""Uniform, Bernoulli and popularity-based negative sampling, without a look at the model."""

import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.data.query_index import distinct_ends
from dans.errors import InputError, counted, not_negative, number
from dans.models.batch import Positives, Proposal
from dans.samplers.corruption import EntitySampler, Filter, Side, any_of, replaced
from dans.samplers.entity_sets import below
from dans.samplers.scoring import check_entities


class Uniform(EntitySampler):
    """Any entity but the one replaced, with equal probability.

    u ~ U{0, …, n − 2};  e′ = n − 1 if u = e, else u

    Source: Bordes et al. 2013 (TransE).

    Args:
        exclude_true: False draws from all n entities, as the public RGCN programs do; a triple may
            then be its own negative.
        shared_negatives: draw the negatives of a batch from that many different entities, drawn
            anew for each batch, so that fewer are encoded; each is as likely as without. 0: from
            all.
    """

    def __init__(
        self,
        k: int = 20,
        *,
        side: Side = "coin",
        exclude_true: bool = True,
        shared_negatives: int = 0,
        filter: Filter = "none",
        known: KnownTriples | None = None,
        rounds: int = 20,
    ) -> None:
        super().__init__(k, side=side, filter=filter, known=known, rounds=rounds)
        self.exclude_true = exclude_true
        if shared_negatives:
            # So that one is left beside the entity replaced.
            counted("shared_negatives", shared_negatives, least=2)
        self.shared_negatives = shared_negatives
        #: the entities that this batch draws from, rising; None: all
        self.drawn_from: Tensor | None = None

    def drawn(self, positives: Positives) -> Proposal:
        """A draw, from new shared negatives."""
        self.drawn_from = None
        if 0 < self.shared_negatives < positives.num_entities:
            device = positives.triples.device
            self.drawn_from = any_of(positives.num_entities, self.shared_negatives, device)
        return super().drawn(positives)

    def draw(self, positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
        """Entities with equal probability."""
        if self.drawn_from is not None:
            return self.draw_from(self.drawn_from, replaced(positives, rows, corrupt_head))
        n = positives.num_entities
        if not self.exclude_true:
            return torch.randint(n, corrupt_head.shape, device=corrupt_head.device)
        if n < 2:
            raise InputError(f"entities: a negative must be another entity, and there is only {n}")
        drawn = torch.randint(n - 1, corrupt_head.shape, device=corrupt_head.device)
        return drawn.masked_fill_(drawn == replaced(positives, rows, corrupt_head), n - 1)

    def draw_from(self, shared: Tensor, true: Tensor) -> Tensor:
        """Entities of some, (p,) rising, but the true ones: (...)."""
        if not self.exclude_true:
            return shared[torch.randint(len(shared), true.shape, device=shared.device)]
        at = torch.searchsorted(shared, true)
        inside = shared[at.clamp(max=len(shared) - 1)] == true
        drawn = below(len(shared) - inside.long())
        return shared[drawn + (inside & (drawn >= at)).long()]

    def probability(
        self, positives: Positives, rows: Tensor, ids: Tensor, corrupt_head: Tensor
    ) -> Tensor:
        """1 / (n − 1), or 1 / n where the true entity is drawn too."""
        share = 1 / (positives.num_entities - self.exclude_true)
        return torch.full(ids.shape, share, dtype=torch.float64, device=ids.device)


class Bernoulli(Uniform):
    """Uniform negatives on a side chosen by the relation, for fewer false negatives.

    p(replace the head) = tph / (tph + hpt)

    tph is the mean number of tails of each (h, r), hpt that of heads of each (r, t), over distinct
    training triples. One-to-many relations mostly lose their heads, many-to-one their tails.

    Source: Wang et al. 2014 (TransH), §"Reducing false negative labels". A relation without
    triples has probability ½.

    Example:
        >>> one_to_many = torch.tensor([[0, 0, 1], [0, 0, 2], [0, 0, 3]])
        >>> Bernoulli(triples=one_to_many, num_relations=2).head_probability
        tensor([0.7500, 0.5000])
    """

    def __init__(
        self,
        k: int = 20,
        *,
        triples: Tensor,
        num_relations: int,
        exclude_true: bool = True,
        shared_negatives: int = 0,
        filter: Filter = "none",
        known: KnownTriples | None = None,
        rounds: int = 20,
    ) -> None:
        super().__init__(
            k,
            exclude_true=exclude_true,
            shared_negatives=shared_negatives,
            filter=filter,
            known=known,
            rounds=rounds,
        )
        self.head_probability = head_probability(triples, num_relations)


def head_probability(triples: Tensor, num_relations: int) -> Tensor:
    """tph / (tph + hpt) of every relation: (m,) floats; ½ for a relation without triples.

    With F distinct triples of a relation, over H distinct heads and T distinct tails, tph = F / H
    and hpt = F / T; F cancels, and T / (H + T) is left.
    """
    heads, tails = distinct_ends(triples, num_relations).unbind()
    return torch.where(heads == 0, 0.5, tails / (heads + tails).clamp(min=1)).float()


class Popularity(Uniform):
    """Entities by how often the training triples mention them.

    q(e) ∝ (c(e) + smoothing)^exponent,  c(e) being the mentions of e as head or tail

    Source: Mikolov et al. 2013, arXiv:1310.4546, for the exponent ¾.

    Args:
        exponent: 0 is uniform, 1 the unigram distribution.
        smoothing: added to every count. At 0 an entity without triples is never a negative, and
            nothing lowers its score.
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
        totals = running_total(mentions, num_entities, smoothing=smoothing, exponent=exponent)
        self.register_buffer("cumulative", totals, persistent=False)

    def draw(self, positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
        """Entities by weight."""
        totals = self.cumulative
        check_entities(positives, len(totals), "counts are of")
        uniform = torch.rand(corrupt_head.shape, dtype=totals.dtype, device=corrupt_head.device)
        true = replaced(positives, rows, corrupt_head) if self.exclude_true else None
        return by_weight(totals, uniform, true)

    def probability(
        self, positives: Positives, rows: Tensor, ids: Tensor, corrupt_head: Tensor
    ) -> Tensor:
        """Weights over their total, the true entity's left out."""
        weights = torch.diff(self.cumulative, prepend=self.cumulative.new_zeros(1))
        total = self.cumulative[-1]
        if self.exclude_true:
            total = total - weights[replaced(positives, rows, corrupt_head)]
        return weights[ids] / total


def running_total(mentions: Tensor, n: int, *, smoothing: float, exponent: float = 1.0) -> Tensor:
    """The running total of (c(e) + smoothing)^exponent over n entities: (n,) float64.

    c(e) counts how often e occurs in ``mentions``, (·,). At least two entities must have weight.
    """
    not_negative("smoothing", smoothing)
    number("exponent", exponent)
    counts = torch.bincount(mentions, minlength=n).double()
    # 0⁰ = 1 would let exponent 0 bring back entities that smoothing 0 rules out.
    some = counts + smoothing > 0
    if int(some.sum()) < 2:
        raise InputError("smoothing: fewer than two entities can be drawn; raise it above 0")
    totals = torch.where(some, (counts + smoothing).pow(exponent), 0).cumsum(0)
    # Beside very large weights the others vanish, and nothing would be left beside the true entity.
    if not totals[-1].isfinite() or int((totals.diff(prepend=totals.new_zeros(1)) > 0).sum()) < 2:
        raise InputError(
            f"exponent: with {exponent:g} fewer than two entities have a weight that counts; "
            "bring it nearer to 0"
        )
    return totals


def by_weight(totals: Tensor, uniform: Tensor, true: Tensor | None = None) -> Tensor:
    """Entities with probabilities in proportion to their weights, by inversion: (...) ids.

    Args:
        totals: (n,) the running total of the weights.
        uniform: (...) numbers from [0, 1).
        true: (...) entities that are left out.
    """
    if true is None:
        point = uniform * totals[-1]
    else:
        starts = torch.cat((totals.new_zeros(1), totals[:-1]))
        start, end = starts[true], totals[true]
        point = uniform * (start + (totals[-1] - end))
        point = torch.where(point < start, point, torch.maximum(point + (end - start), end))
    # Rounding may carry a point to the very end of the total, where no entity lies.
    below = torch.nextafter(totals[-1], torch.zeros_like(totals[-1]))
    return torch.searchsorted(totals, torch.minimum(point, below), right=True)
