"""DANS: negatives that are generated, diverse and adversarial (arXiv:2410.07592)."""

from functools import partial
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from dans.data.known_triples import KnownTriples
from dans.errors import MOST_ROUNDS, InputError, counted, not_negative, one_of
from dans.models.batch import Negatives, Positives, Proposal
from dans.samplers.base import NegativeSampler, Phase, check_width
from dans.samplers.corruption import Mask, any_of, requires_known, sides
from dans.samplers.dans.diagnostics import diagnose
from dans.samplers.dans.networks import (
    Discriminator,
    FiLM,
    Generator,
    Output,
    film_penalty,
    orthogonal,
)
from dans.samplers.dans.pathways import (
    MOST_NOISE,
    EntityPathway,
    NoiseScale,
    Pathway,
    RelationPathway,
)
from dans.samplers.nearest import nearest, nearest_of_drawn

Film = Literal["residual", "none"]
Pathways = Literal["both", "entity", "relation"]
Decode = Literal["vector", "nearest", "nearest_other"]

#: Entities whose standard deviation stands for all where some are encoded.
MEASURED = 256

#: Named settings, as departures from the constructor's defaults. ``paper``: the text, with the
#: fewest repairs that make it run. ``dans``: our best.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "dans": {
        "noise": 0.25,
        "noise_scale": "relative",
        "output": "residual",
        "generator_repeats": 1,
        "decode": "nearest",
        "r1": 0.1,
    },
}


class DANS(NegativeSampler):
    """Negatives of two generators that a discriminator with two heads trains.

    The entity pathway starts from the uncorrupted entity, the relation pathway from the query. Each
    draws from a Gaussian around its start, and sends the draw through a generator that FiLM adapts
    to the start.

        L_G = E softplus(−D(generated)) + λ Σ_m (‖α^m − 1‖² + ‖β^m‖²)                  (Eq. 13)
        L_D = ½ (E softplus(−D(real)) + E softplus(D(generated))) + L_aux + γ R1       (Eq. 14)

    Generators and discriminator take turns, a phase each, before a step of the model. The defaults
    are the paper's; what it leaves open, and the published program's departures from it:
    ``docs/pages/dans.md``.

    Source: Liu et al. 2024, arXiv:2410.07592, §4.

    Args:
        dim: d.
        k: generated negatives of each pathway, so 2k negatives per triple. Each has a fair coin for
            its side; where it replaces the head it is made from the tail.
        noise: s, the standard deviation of a draw, or κ of s = κ·std(e) if ``noise_scale`` is
            ``relative``.
        film: ``residual``, α = 1 + a net; ``none``, the ablation G_ER.
        film_weight: λ; no effect without FiLM.
        output: of a generator: ``scaled_tanh`` follows the range of the entities;
            ``residual`` is the draw plus a last layer that starts near zero, and generators and
            discriminator start with orthogonal weights.
        generator_repeats: updates of each generator per step.
        pathways: ``both``; ``entity`` or ``relation`` alone, with 2k generated negatives, and no
            pathways for the discriminator to tell apart.
        decode: ``vector`` offers the generated negatives; ``nearest`` the entity nearest to each,
            so that ids are known; ``nearest_other`` likewise, but never the uncorrupted
            entity nor the one replaced.
        candidates: the entities among which a decoded one is searched: that many, drawn anew for
            each batch, and with ``nearest`` the two of the triple. 0: all, which on large graphs
            takes most of a step.
        filter: ``mask`` marks known triples invalid; needs ids.
        known: the triples to filter by; ``diagnose`` counts them too.
        r1: γ, the weight of a gradient penalty at entities, on the discriminator.

    Example:
        >>> triples = torch.tensor([[0, 0, 1], [2, 0, 3]])
        >>> positives = Positives.from_embeddings(triples, torch.randn(4, 8))
        >>> negatives = DANS(dim=8, k=1)(positives)
        >>> negatives.embeddings.shape, negatives.ids
        (torch.Size([2, 2, 8]), None)
        >>> [phase.name for phase in DANS(dim=8, **PRESETS["dans"]).phases()]
        ['entity_pathway', 'relation_pathway', 'discriminator']
    """

    adaptive: ClassVar[bool] = True

    def __init__(
        self,
        dim: int,
        k: int = 5,
        *,
        noise: float = 0.01,
        noise_scale: NoiseScale = "absolute",
        film: Film = "residual",
        film_weight: float = 1e-4,
        output: Output = "scaled_tanh",
        generator_repeats: int = 5,
        discriminator_repeats: int = 1,
        pathways: Pathways = "both",
        decode: Decode = "vector",
        candidates: int = 0,
        filter: Mask = "none",
        known: KnownTriples | None = None,
        r1: float = 0.0,
    ) -> None:
        for option, value, accepted in (
            ("noise_scale", noise_scale, NoiseScale),
            ("film", film, Film),
            ("output", output, Output),
            ("pathways", pathways, Pathways),
            ("decode", decode, Decode),
            ("filter", filter, Mask),
        ):
            one_of(option, value, get_args(accepted))
        for option, count in (("dim", dim), ("k", k)):
            counted(option, count)
        counted("generator_repeats", generator_repeats, most=MOST_ROUNDS)
        counted("discriminator_repeats", discriminator_repeats, most=MOST_ROUNDS)
        not_negative("noise", noise, most=MOST_NOISE)
        for option, number in (("film_weight", film_weight), ("r1", r1)):
            not_negative(option, number)
        counted("candidates", candidates, least=0)
        if candidates and decode == "vector":
            raise InputError(
                "candidates: has no effect on generated embeddings; decode = nearest uses it"
            )
        if candidates and decode == "nearest_other":
            # So that one of them is left beside the two that are excluded.
            counted("candidates", candidates, least=3)
        if filter == "mask" and decode == "vector":
            raise InputError(
                "filter: generated embeddings have no ids; decode = nearest gives them"
            )
        requires_known(filter, known)
        super().__init__()
        self.dim = dim
        self.k = 2 * k
        self.film_weight = film_weight
        self.generator_repeats = generator_repeats
        self.discriminator_repeats = discriminator_repeats
        self.decode: Decode = decode
        self.candidates = candidates
        self.filter: Mask = filter
        self.known = known
        self.r1 = r1

        def pathway(kind: type[Pathway]) -> Pathway:
            generator = Generator(dim, output=output)
            adapted = FiLM(dim) if film == "residual" else None
            return kind(generator, adapted, noise=noise, noise_scale=noise_scale)

        self.entity_pathway = pathway(EntityPathway) if pathways != "relation" else None
        self.relation_pathway = pathway(RelationPathway) if pathways != "entity" else None
        self.discriminator = Discriminator(dim, auxiliary=pathways == "both")
        if output == "residual":
            orthogonal(self.discriminator)

    @property
    def needs_all_entities(self) -> str:
        """Only if it searches all for the nearest."""
        if self.decode == "vector" or self.candidates:
            return ""
        return f"decode = {self.decode} searches all entities; candidates = 1000 searches that many"

    @property
    def needs_whole_batch(self) -> str:
        """Only for an output that follows the range of the batch's entities."""
        follows = any(one.generator.output == "scaled_tanh" for one in self.pathways.values())
        return (
            "output = scaled_tanh follows all entities of the batch; residual does not"
            if follows
            else ""
        )

    def propose(self, positives: Positives) -> Proposal:
        """The candidates for the nearest entity; without them, what noise is relative to."""
        if self.needs_all_entities:
            raise InputError(self.needs_all_entities)
        shared, n = self.drawn_candidates(positives), positives.num_entities
        relative = any(one.noise_scale == "relative" for one in self.pathways.values())
        if shared is None and relative:
            shared = any_of(n, MEASURED, positives.triples.device)
        return Proposal(shared=shared)

    def drawn_candidates(self, positives: Positives) -> Tensor | None:
        """Candidates for the nearest entity, (c,) rising ids; None where none are drawn."""
        if not self.candidates:
            return None
        return any_of(positives.num_entities, self.candidates, positives.triples.device)

    def forward(self, positives: Positives) -> Negatives:
        """Generated negatives, the entity pathway's first; no gradient runs back through them."""
        check_width(positives, self.dim)
        drawn = self.draw(positives).values()
        embeddings, corrupt_head = (torch.cat(parts, dim=1) for parts in zip(*drawn, strict=True))
        return self.offered(positives, embeddings, corrupt_head)

    def offered(self, positives: Positives, embeddings: Tensor, corrupt_head: Tensor) -> Negatives:
        """Generated embeddings, (b, ·, d), as the model gets them: decoded and filtered, if so."""
        if self.decode == "vector":
            return Negatives(embeddings, corrupt_head)
        ids = self.decoded(positives, embeddings)
        valid = None
        if self.filter == "mask" and self.known is not None:
            valid = ~self.known.is_known_corrupted(positives.triples, ids, corrupt_head)
        return Negatives.of(positives, ids, corrupt_head, valid)

    def decoded(self, positives: Positives, embeddings: Tensor) -> Tensor:
        """The entities nearest to generated embeddings: (b, ·) ids from (b, ·, d)."""
        b, count, _ = embeddings.shape
        generated, entities = embeddings.flatten(0, 1), positives.entities
        own = positives.triples[:, ::2].repeat_interleave(count, dim=0)
        exclude = own if self.decode == "nearest_other" else None
        proposal = positives.proposal
        drawn = self.drawn_candidates(positives) if proposal is None else proposal.shared
        every = positives.entity_ids is None
        if drawn is None or (every and len(drawn) == len(entities)):
            return nearest(generated, entities, exclude).view(b, count)
        if exclude is not None:
            own = own[:, :0]
        return nearest_of_drawn(generated, positives, drawn, own, exclude).view(b, count)

    @torch.no_grad()
    def draw(self, positives: Positives) -> dict[str, tuple[Tensor, Tensor]]:
        """Each pathway's generated negatives, (b, ·, d), and their sides, (b, ·): 2k in all."""
        drawn = {}
        for name, pathway in self.pathways.items():
            corrupt_head = self.coins(positives, self.k // len(self.pathways))
            drawn[name] = pathway(positives, corrupt_head)[0], corrupt_head
        return drawn

    def generator_loss(self, name: str, positives: Positives) -> Tensor:
        """Loss of a generator and its FiLM (Eq. 13), on one negative per triple, side by coin.

        Non-saturating: log(1 − D), which the paper has, loses its gradient where D wins.
        """
        pathway = self.pathways[name]
        pathway.generator.observe(torch.cat((positives.h, positives.t)))
        generated, modulation = pathway(positives, self.coins(positives, 1))
        loss = F.softplus(-self.discriminator(generated)).mean()
        if modulation is not None and self.film_weight:
            loss = loss + self.film_weight * film_penalty(modulation)
        return loss

    def discriminator_loss(self, positives: Positives) -> Tensor:
        """Loss of the discriminator (Eq. 14), on entities and a fresh negative per pathway."""
        with torch.no_grad():
            generated = [
                pathway(positives, self.coins(positives, 1))[0]
                for pathway in self.pathways.values()
            ]
        entities = torch.cat((positives.h, positives.t)).detach()
        real = F.softplus(-self.discriminator(entities)).mean()
        logits, which = self.discriminator.both(torch.cat(generated))
        loss = (real + F.softplus(logits).mean()) / 2
        if self.discriminator.auxiliary is not None:
            from_entity = torch.zeros_like(which)
            from_entity[: len(positives)] = 1
            loss = loss + F.binary_cross_entropy_with_logits(which, from_entity)
        if self.r1:
            loss = loss + self.r1 * self.discriminator.gradient_penalty(entities)
        return loss

    def phases(self) -> tuple[Phase, ...]:
        """One for each pathway, then the discriminator's."""
        phases = []
        for name, pathway in self.pathways.items():
            loss = partial(self.generator_loss, name)
            parameters = tuple(pathway.parameters())
            phases.append(Phase(f"{name}_pathway", parameters, loss, self.generator_repeats))
        parameters = tuple(self.discriminator.parameters())
        repeats = self.discriminator_repeats
        return (*phases, Phase("discriminator", parameters, self.discriminator_loss, repeats))

    @property
    def pathways(self) -> dict[str, Pathway]:
        """The pathways there are, by name."""
        pathways = {"entity": self.entity_pathway, "relation": self.relation_pathway}
        return {name: pathway for name, pathway in pathways.items() if pathway is not None}

    def coins(self, positives: Positives, k: int) -> Tensor:
        """A fair coin for each generated negative: (b, k) bool, true where it replaces the head."""
        share = positives.share
        if share is None:
            return sides("coin", len(positives), k, positives.h.device)
        return sides("coin", share.total, k, positives.h.device)[share.start : share.stop]

    def origins(self, positives: Positives) -> dict[str, Negatives]:
        """What each pathway offers: where decoded, the entities nearest to what it generated."""
        drawn = self.draw(positives).items()
        return {f"{name} pathway": self.offered(positives, *one) for name, one in drawn}

    def generated(self, positives: Positives) -> dict[str, Negatives]:
        """The embeddings of each pathway before they are decoded; empty if they are not."""
        if self.decode == "vector":
            return {}
        return {f"{name} pathway": Negatives(*one) for name, one in self.draw(positives).items()}

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """The numbers that ``dans.samplers.dans.diagnostics.diagnose`` documents."""
        return diagnose(self, self.pathways, self.discriminator, positives, known=self.known)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *rest: Any, **more: Any
    ) -> None:
        # Checkpoints of 0.1 hold a step counter of the removed option warmup.
        state_dict.pop(f"{prefix}steps", None)
        super()._load_from_state_dict(state_dict, prefix, *rest, **more)
