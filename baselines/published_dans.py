"""DANS as its authors' program computes it, departures from their paper included.

Source: github.com/liuran998/DANS, commit 50e5747, the program of Liu et al. 2024, arXiv:2410.07592.
``dans.samplers.DANS`` is the method as the paper describes it. What this one does otherwise, by the
numbers of the method's reference:

    A4   a head's pathway starts from t / r, which an r near zero throws hundreds of times too far
    A7   a tanh ends the generators, so that they cannot reach entities beyond ±1
    A11  one update of each generator to ten of the discriminator
    C2   no optimizer knows the FiLM nets: they stay as they are drawn, with factors near .05, and
         the penalty λ reaches nothing
    C3   the entity pathway is trained, and then overwritten by the relation pathway's negatives
    C4   the auxiliary loss has one column, so it is always zero; it still halves the loss of
         generated negatives
    C5   the model's gradient runs through the generators
    C6   batch normalisation has an ε of .8, stands after FiLM, and is never in evaluation mode
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dans.data.known_triples import KnownTriples
from dans.errors import MOST_ROUNDS, InputError, counted, not_negative
from dans.models.batch import Negatives, Positives
from dans.samplers.base import NegativeSampler, Phase
from dans.samplers.corruption import sides
from dans.samplers.dans.diagnostics import diagnose
from dans.samplers.dans.networks import SLOPE, Discriminator
from dans.samplers.dans.pathways import MOST_NOISE, modulate, pick


class PublishedDANS(NegativeSampler):
    """The relation pathway's negatives twice, from generators against a discriminator.

        L_G = E softplus(−D(generated))
        L_D = ½ E softplus(−D(real)) + ¼ E softplus(D(generated))

    Source: see the module.

    Args:
        k: generated negatives of the relation pathway, offered twice, so 2k negatives per triple.
        noise: s, the standard deviation of a draw.
        known: the triples that ``diagnose`` counts.
    """

    adaptive: ClassVar[bool] = True

    def __init__(
        self,
        dim: int,
        k: int = 5,
        *,
        noise: float = 0.01,
        generator_repeats: int = 1,
        discriminator_repeats: int = 10,
        known: KnownTriples | None = None,
    ) -> None:
        counted("dim", dim)
        counted("k", k)
        counted("generator_repeats", generator_repeats, most=MOST_ROUNDS)
        counted("discriminator_repeats", discriminator_repeats, most=MOST_ROUNDS)
        not_negative("noise", noise, most=MOST_NOISE)
        super().__init__()
        self.k = 2 * k
        self.generator_repeats = generator_repeats
        self.discriminator_repeats = discriminator_repeats
        self.known = known
        self.entity_pathway = PublishedPathway(dim, noise, entity_centres)
        self.relation_pathway = PublishedPathway(dim, noise, relation_centres)
        self.discriminator = StackedDiscriminator(dim)
        if self.discriminator.auxiliary is not None:
            freeze(self.discriminator.auxiliary)

    def forward(self, positives: Positives) -> Negatives:
        """The relation pathway's negatives, twice, with the gradient of the model (C3, C5)."""
        embeddings, corrupt_head = self.draw(positives)
        return Negatives(embeddings.repeat(1, 2, 1), corrupt_head.repeat(1, 2))

    def draw(self, positives: Positives) -> tuple[Tensor, Tensor]:
        """The relation pathway's negatives, (b, k, d), and their sides, (b, k)."""
        corrupt_head = self.coins(positives, self.k // 2)
        return self.relation_pathway(positives, corrupt_head)[0], corrupt_head

    def generator_loss(self, name: str, positives: Positives) -> Tensor:
        """Loss of a generator, whose FiLM has no part in it, on one negative per triple."""
        generated, _ = self.pathways[name](positives, self.coins(positives, 1))
        return F.softplus(-self.discriminator(generated)).mean()

    def discriminator_loss(self, positives: Positives) -> Tensor:
        """Loss of the discriminator, in which generated negatives weigh half (C4)."""
        with torch.no_grad():
            generated = [
                pathway(positives, self.coins(positives, 1))[0]
                for pathway in self.pathways.values()
            ]
        entities = torch.cat((positives.h, positives.t)).detach()
        real = F.softplus(-self.discriminator(entities)).mean()
        wrong = F.softplus(self.discriminator(torch.cat(generated))).mean()
        return (real + wrong / 2) / 2

    def phases(self) -> tuple[Phase, ...]:
        """One for each pathway, then the discriminator's."""
        phases = []
        for name, pathway in self.pathways.items():
            loss, own = partial(self.generator_loss, name), tuple(pathway.parameters())
            phases.append(Phase(f"{name}_pathway", own, loss, self.generator_repeats))
        own, repeats = tuple(self.discriminator.parameters()), self.discriminator_repeats
        return (*phases, Phase("discriminator", own, self.discriminator_loss, repeats))

    @property
    def pathways(self) -> dict[str, "PublishedPathway"]:
        """Both pathways, by name; the first is trained in vain."""
        return {"entity": self.entity_pathway, "relation": self.relation_pathway}

    def coins(self, positives: Positives, k: int) -> Tensor:
        """A fair coin for each generated negative: (b, k) bool, true where it replaces the head."""
        return sides("coin", len(positives), k, positives.h.device)

    def origins(self, positives: Positives) -> dict[str, Negatives]:
        """The generated embeddings of the pathway that offers any."""
        return {"relation pathway": Negatives(*self.draw(positives))}

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """The diagnostics of DANS, whose keys ``dans.samplers.dans.diagnostics`` explains."""
        return diagnose(self, self.pathways, self.discriminator, positives, known=self.known)


def entity_centres(positives: Positives) -> Tensor:
    """Where the entity pathway starts, h for tails and t for heads: (b, 2, d)."""
    return torch.stack((positives.h, positives.t), dim=1)


def relation_centres(positives: Positives) -> Tensor:
    """Where the relation pathway starts, the decoder's query for tails and t / r for heads (A4).

    (b, 2, d). The reciprocal of a rotation's phases is their conjugate: RotatE's is its query.
    """
    t, r = positives.t, positives.r
    if 2 * r.shape[-1] == t.shape[-1]:
        heads = positives.head_query
    elif r.shape[-1] == t.shape[-1]:
        heads = t * r.reciprocal()
    else:
        raise InputError("published_dans: t / r needs relation embeddings as wide as entities")
    return torch.stack((positives.tail_query, heads), dim=1)


class PublishedPathway(nn.Module):
    """From triples to generated negatives: a centre, a draw around it, a generator with FiLM.

    Two hidden layers, each linear, leaky ReLU, α ⊗ x + β, batch normalisation, leaky ReLU; then
    linear and tanh.

    Args:
        noise: s, the standard deviation of a draw.
        centres: where draws start, (b, 2, d) for replaced tails and for replaced heads.
    """

    def __init__(self, dim: int, noise: float, centres: Callable[[Positives], Tensor]) -> None:
        super().__init__()
        self.noise = noise
        self.centres = centres
        self.hidden = nn.ModuleList(nn.Linear(dim, dim) for _ in range(2))
        self.norms = nn.ModuleList(SideNorm(dim) for _ in range(2))
        self.last = nn.Linear(dim, dim)
        self.film = FrozenFiLM(dim)

    def forward(self, positives: Positives, corrupt_head: Tensor) -> tuple[Tensor, None]:
        """Generated negatives (b, k, d) for (b, k) sides; nothing beside them."""
        centres = self.centres(positives)
        centre = pick(centres, corrupt_head)
        x = centre + self.noise * torch.randn_like(centre)
        modulation = modulate(self.film, centres, corrupt_head)
        for m, (linear, norm) in enumerate(zip(self.hidden, self.norms, strict=True)):
            factor, shift = modulation[m]
            x = F.leaky_relu(linear(x), SLOPE) * factor + shift
            x = F.leaky_relu(norm(x, corrupt_head), SLOPE)
        return self.last(x).tanh(), None


class FrozenFiLM(nn.Module):
    """FiLM nets that are never trained: α = F_α(c), β = F_β(c), with a leaky ReLU at their end.

    The paper's learn, and start at α = 1 here; these start, and stay, near .05 (C2).

    Args:
        dim: d, the width of a condition and of a hidden layer.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()

        def net() -> nn.Sequential:
            last = nn.Linear(100, dim, bias=False)
            first = nn.Linear(dim, 100, bias=False)
            return nn.Sequential(first, nn.LeakyReLU(SLOPE), last, nn.LeakyReLU(SLOPE))

        self.factors = nn.ModuleList(net() for _ in range(2))
        self.shifts = nn.ModuleList(net() for _ in range(2))
        freeze(self)

    def forward(self, condition: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Factor and shift of both hidden layers, (..., d) each, from (..., d)."""
        return [
            (factor(condition), shift(condition))
            for factor, shift in zip(self.factors, self.shifts, strict=True)
        ]


class SideNorm(nn.Module):
    """Batch normalisation of heads and tails apart, by the batch in evaluation mode too.

    Its ε of .8 was meant as a momentum, and hides small activations; a row depends on its
    batch-mates (C6).
    """

    EPSILON = 0.8

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor, corrupt_head: Tensor) -> Tensor:
        """(b, k, d), normalised within each side, from (b, k, d) and (b, k) bool."""
        rows, side = x.flatten(0, 1), corrupt_head.flatten().long()
        members = F.one_hot(side, 2).to(x.dtype)
        members = members / members.sum(0).clamp(min=1)
        centred = rows - (members.T @ rows)[side]
        variance = (members.T @ centred.square())[side]
        normed = centred / (variance + self.EPSILON).sqrt() * self.weight + self.bias
        return normed.view_as(x)


class StackedDiscriminator(Discriminator):
    """A discriminator with heads of three linear layers, 32 → 16 → 8 → 1, nothing between them.

    One linear map in disguise.
    """

    def head(self) -> nn.Sequential:
        """Linear layers alone."""
        return nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise((32, 16, 8, 1))))


def freeze(module: nn.Module) -> None:
    """Turn a module's parameters into buffers: saved in checkpoints, unseen by optimizers."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.detach())
