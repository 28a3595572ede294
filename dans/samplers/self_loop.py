"""The degenerate-triple control: (h, r, h) and (t, r, t) as negatives."""

from typing import ClassVar

from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.models.batch import Negatives, Positives
from dans.samplers.corruption import EntitySampler, Filter, Mask, Side, uncorrupted


class SelfLoop(EntitySampler):
    """The uncorrupted entity in both positions: (h, r, h) for tails, (t, r, t) for heads.

    A generator whose output starts from the embedding of the uncorrupted entity can gain by
    imitating it; what this sampler gains as well is no merit of the generator.

    Args:
        k: negatives per triple. Those of one side are all the same; k sets their weight.
        filter: ``mask`` matters for reflexive relations.
    """

    filters: ClassVar[tuple[Filter, ...]] = ("none", "mask")

    def __init__(
        self,
        k: int = 5,
        *,
        side: Side = "coin",
        filter: Mask = "none",
        known: KnownTriples | None = None,
    ) -> None:
        super().__init__(k, side=side, filter=filter, known=known)

    def draw(self, positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
        """The uncorrupted entities."""
        return uncorrupted(positives, rows, corrupt_head)

    def origins(self, positives: Positives) -> dict[str, Negatives]:
        """One origin, by the name that recipes have for it."""
        return {"self_loop": self(positives)}

    def probability(
        self, positives: Positives, rows: Tensor, ids: Tensor, corrupt_head: Tensor
    ) -> Tensor:
        """1 for the uncorrupted entity."""
        return (ids == uncorrupted(positives, rows, corrupt_head)).double()
