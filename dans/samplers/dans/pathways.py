"""The two pathways of DANS, from an entity and from a query to generated negatives."""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dans.models.batch import Positives
from dans.samplers.dans.networks import FiLM, Generator, Modulation

#: Is the noise a standard deviation, or a share of the entities' own in each dimension?
NoiseScale = Literal["absolute", "relative"]

#: The most noise: further from its centre than that, a draw says nothing of it.
MOST_NOISE = 1e6

#: Entities whose standard deviation stands for all of them.
SAMPLED = 2048


def pick(pairs: Tensor, corrupt_head: Tensor) -> Tensor:
    """Choose by (b, k) sides from (b, 2, ·), of replaced tails and of replaced heads: (b, k, ·)."""
    # Rows gathered by number take a sixth of the time of a choice between two tensors.
    first = torch.arange(0, 2 * len(pairs), 2, device=pairs.device).unsqueeze(1)
    return F.embedding(first + corrupt_head, pairs.flatten(0, 1))


def modulate(film: nn.Module, conditions: Tensor, corrupt_head: Tensor) -> Modulation:
    """(b, k, d) factor and shift of each hidden layer for (b, 2, d) conditions, (b, k) sides."""
    if corrupt_head.shape[1] == 1:
        return list(film(pick(conditions, corrupt_head)))
    # Both conditions of a triple once, rather than one of them for each of its k negatives.
    return [(pick(a, corrupt_head), pick(b, corrupt_head)) for a, b in film(conditions)]


class Pathway(nn.Module, ABC):
    """From triples to generated negatives: a centre, a draw around it, an adapted generator.

    ε ~ N(centre, s² I);  generated negative = G(ε | FiLM(centre))

    Source: DANS Eq. 4–8.

    ``noise`` is s, or κ of s = κ·std(e). Without ``film`` it is the ablation.
    """

    def __init__(
        self, generator: Generator, film: FiLM | None, *, noise: float, noise_scale: NoiseScale
    ) -> None:
        super().__init__()
        self.generator = generator
        self.film = film
        self.noise = noise
        self.noise_scale: NoiseScale = noise_scale

    @abstractmethod
    def centres(self, positives: Positives) -> Tensor:
        """Where the draws are centred: (b, 2, d), for replaced tails and for replaced heads."""

    def deviation(self, positives: Positives) -> Tensor | float:
        """The standard deviation s of a draw: (d,), or one number.

        That of all entities; where some are encoded, of the shared ones of the proposal, or these.
        """
        if self.noise_scale == "absolute":
            return self.noise
        proposal, entities = positives.proposal, positives.entities
        if proposal is not None and proposal.shared is not None:
            entities = positives.embed(proposal.shared)
        # A column-wise deviation of all n rows costs more than the generator itself.
        sample = entities[:: max(1, len(entities) // SAMPLED)]
        return self.noise * sample.std(0, unbiased=False)

    def forward(
        self, positives: Positives, corrupt_head: Tensor
    ) -> tuple[Tensor, Modulation | None]:
        """Generated negatives (b, k, d) for (b, k) sides, and how their generator was adapted."""
        centres = self.centres(positives)
        centre = pick(centres, corrupt_head)
        prior = centre + positives.randn_like(centre).mul_(self.deviation(positives))
        modulation = modulate(self.film, centres, corrupt_head) if self.film is not None else None
        return self.generator(prior, modulation), modulation


class EntityPathway(Pathway):
    """Starts from the uncorrupted entity: h for a tail query, t for a head query (Eq. 4)."""

    def centres(self, positives: Positives) -> Tensor:
        """The triples' heads and tails: (b, 2, d)."""
        return torch.stack((positives.h, positives.t), dim=1)


class RelationPathway(Pathway):
    """Starts from the query: the decoder's embedding of (h, r, ?) or of (?, r, t) (Eq. 5)."""

    def centres(self, positives: Positives) -> Tensor:
        """The decoder's tail and head queries: (b, 2, d)."""
        return torch.stack((positives.tail_query, positives.head_query), dim=1)
