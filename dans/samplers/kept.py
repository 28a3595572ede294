"""The control: the kept entity itself as the rival."""

import torch

from dans.batch import Negatives, Positives
from dans.errors import one_of
from dans.known import KnownFacts
from dans.samplers.base import NegativeSampler
from dans.samplers.filters import SIDES, Mask, Side, positive, requires_known, sides, unknown


class Kept(NegativeSampler):
    """The kept entity in the place of the other: (h, r, h) for tails, (t, r, t) for heads.

    A generator whose fakes start from the kept entity can win by imitating it. What this control
    gains is no merit of the generator, so a claim for one is made on top of the control.

    Args:
        k: rivals per fact. The rivals of one side are all alike; k sets their weight.
        side: a fair coin for each rival, or always the same side.
        filter: ``mask`` marks those invalid that are known facts, as of a reflexive relation.
            There is nothing else to draw, so ``resample`` is refused.
        known: the facts to filter by.

    Raises:
        InputError: an unknown choice, a count below 1, or a filter without known facts.

    Example:
        >>> entities = torch.eye(2)
        >>> facts = torch.tensor([[0, 0, 1]])
        >>> h, t = entities[:1], entities[1:]
        >>> positives = Positives(facts, h, h, t, h, t, entities, lambda x, y: (x * y).sum(-1))
        >>> Kept(k=2, side="tail")(positives).triples(facts)
        tensor([[[0, 0, 0],
                 [0, 0, 0]]])
    """

    def __init__(
        self,
        k: int = 5,
        *,
        side: Side = "coin",
        filter: Mask = "none",
        known: KnownFacts | None = None,
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
            valid = unknown(self.known, positives.triples, ids, replaces_head)
        return Negatives.of(positives.entities, ids, replaces_head, valid)
