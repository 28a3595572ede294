"""The two pathways of DANS, from an entity and from a query to generated negatives."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from dans.errors import InputError
from dans.models.batch import Positives
from dans.models.embedding_tables import freeze
from dans.samplers.dans.networks import FiLM, Film, Generator, Init, Modulation, Norm, Output

#: Is the noise a standard deviation, or a share of the entities' own in each dimension?
NoiseScale = Literal["absolute", "relative"]
#: What the relation pathway starts from where a generated negative replaces the head.
HeadQuery = Literal["decoder", "reciprocal", "learned"]
#: Do heads and tails share a generator as they are, or does its condition say which is which?
Sides = Literal["shared", "bit"]

#: Entities whose standard deviation stands for all of them.
SAMPLED = 2048


def pick(pairs: Tensor, replaces_head: Tensor) -> Tensor:
    """Take for each generated negative what belongs to its side.

    Args:
        pairs: (b, 2, ·), for generated negatives that replace the tail and for those that replace
            the head.
        replaces_head: (b, k) bool.

    Returns:
        (b, k, ·).
    """
    return torch.where(replaces_head.unsqueeze(-1), pairs[:, 1:], pairs[:, :1])


@dataclass(frozen=True)
class PathwayOptions:
    """What both pathways have in common.

    Args:
        noise: s, or κ of s = κ·std(e).
        noise_scale: which of the two.
        film: how the generator's hidden layers are adapted.
        sides: ``bit`` appends the side to the condition.
        norm: see ``Generator``.
        output: see ``Generator``.
        init: see ``Generator``.
    """

    noise: float
    noise_scale: NoiseScale
    film: Film
    sides: Sides
    norm: Norm
    output: Output
    init: Init


class Pathway(nn.Module, ABC):
    """From triples to generated negatives: a centre, a draw around it, an adapted generator.

    ε ~ N(centre, s² I);  generated negative = G(ε | FiLM(centre))

    Source: DANS Eq. 4–8.

    Args:
        dim: d.
        options: what both pathways have in common.
    """

    def __init__(self, dim: int, options: PathwayOptions) -> None:
        super().__init__()
        self.noise = options.noise
        self.noise_scale: NoiseScale = options.noise_scale
        self.bit = options.sides == "bit"
        self.generator = Generator(dim, norm=options.norm, output=options.output, init=options.init)
        self.film = None
        if options.film != "none":
            self.film = FiLM(dim + self.bit, dim, residual=options.film == "residual")
        if options.film == "code" and self.film is not None:
            freeze(self.film)

    @abstractmethod
    def centres(self, positives: Positives) -> Tensor:
        """Where the draws are centred: (b, 2, d), for replaced tails and for replaced heads."""

    def diversity(self, entities: Tensor) -> Tensor | float:
        """The standard deviation of a draw: (d,), or one number."""
        if self.noise_scale == "absolute":
            return self.noise
        # A column-wise deviation of all n rows costs more than the generator itself.
        sample = entities[:: max(1, len(entities) // SAMPLED)]
        return self.noise * sample.std(0, unbiased=False)

    def modulate(self, centres: Tensor, replaces_head: Tensor) -> Modulation | None:
        """Factor and shift of each hidden layer, (b, k, d) each; None without FiLM."""
        if self.film is None:
            return None
        if self.bit:
            side = torch.arange(2, device=centres.device).to(centres.dtype)
            centres = torch.cat((centres, side.view(1, 2, 1).expand(len(centres), 2, 1)), dim=-1)
        if replaces_head.shape[1] == 1:
            return list(self.film(pick(centres, replaces_head)))
        return [
            (pick(factor, replaces_head), pick(shift, replaces_head))
            for factor, shift in self.film(centres)
        ]

    def forward(
        self, positives: Positives, replaces_head: Tensor
    ) -> tuple[Tensor, Modulation | None]:
        """Generated negatives (b, k, d) for (b, k) sides, and how their generator was adapted."""
        centres = self.centres(positives)
        centre = pick(centres, replaces_head)
        prior = centre + self.diversity(positives.entities) * torch.randn_like(centre)
        modulation = self.modulate(centres, replaces_head)
        return self.generator(prior, replaces_head, modulation), modulation


class EntityPathway(Pathway):
    """Starts from the uncorrupted entity: h for a tail query, t for a head query (Eq. 4)."""

    def centres(self, positives: Positives) -> Tensor:
        """See ``Pathway``."""
        return torch.stack((positives.h, positives.t), dim=1)


class RelationPathway(Pathway):
    """Starts from the query: the query embedding of (h, r, ?) or of (?, r, t) (Eq. 5).

    The paper leaves the inverse relation of a head undefined (A4 of its reference).

    Args:
        dim: d.
        options: what both pathways have in common.
        head_query: what stands for it: ``decoder``, the decoder's own query embedding;
            ``reciprocal``, t / r element by element as in the published program, which an r near
            zero throws hundreds of times too far, while for a rotation's phases it is the decoder's
            query; ``learned``, t ⊗ an embedding of its own for each relation, as IGAN has.
        num_relations: m; only ``learned`` needs it.

    Raises:
        InputError: ``learned`` without ``num_relations``.
    """

    def __init__(
        self,
        dim: int,
        options: PathwayOptions,
        *,
        head_query: HeadQuery = "decoder",
        num_relations: int | None = None,
    ) -> None:
        super().__init__(dim, options)
        self.head_query: HeadQuery = head_query
        self.inverse: nn.Parameter | None = None
        if head_query == "learned":
            if num_relations is None:
                raise InputError("head_query: learned needs num_relations")
            self.inverse = nn.Parameter(torch.ones(num_relations, dim))

    def centres(self, positives: Positives) -> Tensor:
        """See ``Pathway``.

        Raises:
            InputError: ``reciprocal`` with relation embeddings that have no element-wise
                reciprocal.
        """
        return torch.stack((positives.tail_query, self.head_centre(positives)), dim=1)

    def head_centre(self, positives: Positives) -> Tensor:
        """Where draws are centred that replace the head: (b, d)."""
        t, r = positives.t, positives.r
        if self.inverse is not None:
            return t * self.inverse[positives.triples[:, 1]]
        if self.head_query == "decoder" or 2 * r.shape[-1] == t.shape[-1]:
            return positives.head_query
        if r.shape[-1] != t.shape[-1]:
            raise InputError("head_query: reciprocal needs relation embeddings as wide as entities")
        return t * r.reciprocal()
