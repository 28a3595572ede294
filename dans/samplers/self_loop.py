"""The control: the uncorrupted entity itself as the negative."""

import torch

from dans.data.known_triples import KnownTriples
from dans.errors import one_of
from dans.models.batch import Negatives, Positives
from dans.samplers.base import NegativeSampler
from dans.samplers.filters import SIDES, Mask, Side, not_known, positive, requires_known, sides


class SelfLoop(NegativeSampler):
    """The uncorrupted entity in the place of the other: (h, r, h) for tails, (t, r, t) for heads.

    A generator whose generated negatives start from the uncorrupted entity can win by imitating it.
    What this control gains is no merit of the generator, so a claim for one is made on top of the
    control.

    Args:
        k: negatives per triple. The negatives of one side are all alike; k sets their weight.
        side: a fair coin for each negative, or always the same side.
        filter: ``mask`` marks those invalid that are known triples, as of a reflexive relation.
            There is nothing else to draw, so ``resample`` is refused.
        known: the triples to filter by.

    Raises:
        InputError: an unknown choice, a count below 1, or a filter without known triples.

    Example:
        >>> entities = torch.eye(2)
        >>> triples = torch.tensor([[0, 0, 1]])
        >>> h, t = entities[:1], entities[1:]
        >>> positives = Positives(triples, h, h, t, h, t, entities, lambda x, y: (x * y).sum(-1))
        >>> SelfLoop(k=2, side="tail")(positives).triples(triples)
        tensor([[[0, 0, 0],
                 [0, 0, 0]]])
    """

    def __init__(
        self,
        k: int = 5,
        *,
        side: Side = "coin",
        filter: Mask = "none",
        known: KnownTriples | None = None,
    ) -> None:
        super().__init__()
        positive("k", k)
        one_of("side", side, SIDES)
        one_of("filter", filter, ("none", "mask"))
        requires_known(filter, known)
        self.k = k
        self.side: Side = side
        self.filter: Mask = filter
        self.known = known

    def forward(self, positives: Positives) -> Negatives:
        """See ``NegativeSampler``; ids are always given."""
        replaces_head = sides(self.side, len(positives), self.k, positives.triples.device)
        heads, _, tails = positives.triples.unsqueeze(1).unbind(-1)
        ids = torch.where(replaces_head, tails, heads)
        valid = None
        if self.filter == "mask" and self.known is not None:
            valid = not_known(self.known, positives.triples, ids, replaces_head)
        return Negatives.of(positives.entities, ids, replaces_head, valid)
