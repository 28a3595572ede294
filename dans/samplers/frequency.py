"""Frequency-based noise: negatives by how often entities fill the side they are put in."""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.errors import one_of
from dans.models.batch import Positives, Proposal
from dans.models.embedding_tables import constants
from dans.samplers.corruption import Filter, Side, replaced
from dans.samplers.scoring import check_entities
from dans.samplers.uniform import Uniform, by_weight, running_total

#: How the unigram distribution comes in: by the draws, or by weights on uniform draws.
Noise = Literal["exact", "weighted"]


class Frequency(Uniform):
    """Heads by how often entities are heads in training, tails by how often they are tails.

    q(y | side) = #y / |D|,  #y being the training triples with y on that side

    ``exact`` draws from q. ``weighted`` draws uniformly and weighs each negative's term by
    |Y|·q(y), which has the same expectation without a filter, or with ``mask`` under a loss that
    sums. With ``exclude_true``, Y and q leave out the entity replaced.

    At the optimum, scores give p(y | x) ∝ p_d(y | x) / q(y), where uniform noise gives p_d.

    Source: Kamigaito & Hayashi 2021, arXiv:2106.07250, "NS w/ Freq".

    Args:
        triples: (f, 3) the training triples; a repeated triple counts again.
        smoothing: added to every count. At 0, as in the source, an entity that never fills a side
            is never a negative there, or one of weight 0.
    """

    #: (2, n) how often each entity fills a side, smoothed, heads first, float64
    counts: Tensor
    #: (2, n) their running totals
    cumulative: Tensor

    def __init__(
        self,
        k: int = 20,
        *,
        triples: Tensor,
        num_entities: int,
        noise: Noise = "exact",
        smoothing: float = 0.0,
        side: Side = "coin",
        exclude_true: bool = True,
        filter: Filter = "none",
        known: KnownTriples | None = None,
        rounds: int = 20,
    ) -> None:
        super().__init__(
            k, side=side, exclude_true=exclude_true, filter=filter, known=known, rounds=rounds
        )
        one_of("noise", noise, ("exact", "weighted"))
        self.noise: Noise = noise
        totals = torch.stack(
            [running_total(triples[:, i], num_entities, smoothing=smoothing) for i in (0, 2)]
        )
        counts = torch.diff(totals, prepend=totals.new_zeros(2, 1))
        constants(self, cumulative=totals, counts=counts)

    def drawn(self, positives: Positives) -> Proposal:
        """Negatives by id, and weights where draws are uniform."""
        n = self.counts.shape[1]
        check_entities(positives, n, "counts are of")
        drawn = super().drawn(positives)
        if self.noise == "exact" or drawn.ids is None or drawn.corrupt_head is None:
            return drawn
        rows = torch.arange(len(positives), device=drawn.ids.device).unsqueeze(1)
        probability = self.probability(positives, rows, drawn.ids, drawn.corrupt_head)
        return replace(drawn, weights=probability * (n - self.exclude_true))

    def draw(self, positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
        """Entities by q, or uniformly where they are weighed."""
        if self.noise != "exact":
            return super().draw(positives, rows, corrupt_head)
        heads, tails = self.cumulative
        uniform = torch.rand(corrupt_head.shape, dtype=heads.dtype, device=heads.device)
        true = replaced(positives, rows, corrupt_head) if self.exclude_true else None
        as_head, as_tail = by_weight(heads, uniform, true), by_weight(tails, uniform, true)
        return torch.where(corrupt_head, as_head, as_tail)

    @property
    def not_counted(self) -> str:
        """Weighted noise has weights of its own."""
        if self.noise != "exact":
            return "noise: weighted has weights of its own; exact is needed"
        return super().not_counted

    def probability(
        self, positives: Positives, rows: Tensor, ids: Tensor, corrupt_head: Tensor
    ) -> Tensor:
        """Counts of the side over their total, the true entity's left out."""
        side = (~corrupt_head).long()
        total = self.cumulative[:, -1][side]
        if self.exclude_true:
            total = total - self.counts[side, replaced(positives, rows, corrupt_head)]
        return self.counts[side, ids] / total
