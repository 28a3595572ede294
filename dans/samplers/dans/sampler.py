"""DANS: negatives that are generated, diverse and adversarial (arXiv:2410.07592)."""

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dans.data.known_triples import KnownTriples
from dans.models.batch import Negatives, Positives
from dans.models.initialization import freeze
from dans.samplers.base import NegativeSampler, Phase
from dans.samplers.corruption import Mask, not_known, requires_known, sides
from dans.samplers.dans.diagnostics import diagnose, warnings
from dans.samplers.dans.networks import (
    Discriminator,
    Film,
    Init,
    Norm,
    Output,
    norm_penalty,
    squared_penalty,
)
from dans.samplers.dans.options import (
    PRESETS,
    Auxiliary,
    Decode,
    FilmPenalty,
    GeneratorLoss,
    Heads,
    Pathways,
    check,
)
from dans.samplers.dans.pathways import (
    EntityPathway,
    HeadQuery,
    NoiseScale,
    Pathway,
    PathwayOptions,
    RelationPathway,
    Sides,
)
from dans.samplers.nearest import nearest

__all__ = ["DANS", "PRESETS", "warnings"]


class DANS(NegativeSampler):
    """Negatives of two generators that a discriminator with two heads trains.

    The entity pathway starts from the uncorrupted entity, the relation pathway from the query. Each
    draws from a Gaussian around its start, and sends the draw through a generator that FiLM adapts
    to the start.

        L_G = E softplus(−D(generated)) + μ L_aux + λ Σ_m (‖α^m − 1‖² + ‖β^m‖²)        (Eq. 13)
        L_D = ½ (E softplus(−D(real)) + E softplus(D(generated))) + L_aux + γ R1       (Eq. 14)

    Generators and discriminator take turns, a phase each, before a step of the model. The paper
    leaves much open, so each choice has a name (A and C number the points of the method's
    reference), and ``PRESETS`` has three sets of them. The defaults are the paper's.

    Source: Liu et al. 2024, arXiv:2410.07592, §4.

    Args:
        dim: d.
        k: generated negatives of each pathway, so 2k negatives per triple. Each has a fair coin for
            its side; where it replaces the head it is made from the tail.
        noise: s, the standard deviation of a draw, or κ of s = κ·std(e) (A6).
        noise_scale: ``absolute`` for the one, ``relative`` for the other.
        generator_loss: ``saturating`` minimises log(1 − D), whose gradient vanishes where the
            discriminator wins (A2).
        film: ``residual``, α = 1 + a net (A3); ``code``, nets that never learn (C2); ``none``, the
            ablation G_ER.
        film_penalty: ``squared`` norms, or ``norm``, not squared (A3).
        film_weight: λ; no effect where FiLM does not learn.
        head_query: where the relation pathway starts for a head (A4); see ``RelationPathway``.
        num_relations: m; only ``head_query="learned"`` needs it.
        sides: ``shared`` generators are not told the side; ``bit`` tells them (A5).
        output: of a generator (A7); see there.
        norm: in a generator (C6); see there.
        init: of generators and discriminator.
        heads: of the discriminator: ``linear``, or ``stacked`` as published; see there.
        auxiliary: ``bce``; ``constant``, which is always zero and halves the loss of generated
            negatives (C4); ``none``. A pathway alone leaves nothing to ask.
        aux_in_generator: μ, how much generators help the discriminator to know the pathway (A9).
        generator_repeats: updates of each generator per step (A11).
        discriminator_repeats: updates of the discriminator per step.
        pathways: ``both``; ``entity`` or ``relation`` alone, with 2k generated negatives;
            ``relation_twice``, which trains both and offers the relation pathway's generated
            negatives twice (C3).
        decode: ``vector`` offers the generated negatives; ``nearest`` the entity nearest to each,
            so that ids are known (A12); ``nearest_other`` likewise, but never the uncorrupted
            entity nor the one replaced.
        filter: ``mask`` marks known triples invalid; needs ids.
        known: the triples to filter by; ``diagnose`` counts them too.
        detach: keep the model's gradient out of the generators (C5).
        r1: γ, the weight of a gradient penalty at entities, on the discriminator.
        warmup: steps of the model in which generators and discriminator already learn while the
            generated negatives are marked invalid. Other samplers' negatives carry the model so
            long.

    Raises:
        InputError: an unknown choice, a number out of range, or choices that exclude each other.

    Example:
        >>> entities, triples = torch.randn(4, 8), torch.tensor([[0, 0, 1], [2, 0, 3]])
        >>> h, r, t = entities[[0, 2]], torch.randn(2, 8), entities[[1, 3]]
        >>> queries = {"tail_query": h * r, "head_query": t * r}
        >>> score_query = lambda query, entity: (query * entity).sum(-1)
        >>> given = {**queries, "entities": entities, "score_query": score_query}
        >>> positives = Positives(triples, h, r, t, **given)
        >>> negatives = DANS(dim=8, k=1)(positives)
        >>> negatives.embeddings.shape, negatives.ids
        (torch.Size([2, 2, 8]), None)
        >>> [phase.name for phase in DANS(dim=8, **PRESETS["dans"]).phases()]
        ['entity_pathway', 'relation_pathway', 'discriminator']
    """

    adaptive: ClassVar[bool] = True
    #: () steps taken in training
    steps: Tensor

    def __init__(
        self,
        dim: int,
        k: int = 5,
        *,
        noise: float = 0.01,
        noise_scale: NoiseScale = "absolute",
        generator_loss: GeneratorLoss = "non_saturating",
        film: Film = "residual",
        film_penalty: FilmPenalty = "squared",
        film_weight: float = 1e-4,
        head_query: HeadQuery = "decoder",
        num_relations: int | None = None,
        sides: Sides = "shared",
        output: Output = "scaled_tanh",
        norm: Norm = "layer",
        init: Init = "default",
        heads: Heads = "linear",
        auxiliary: Auxiliary = "bce",
        aux_in_generator: float = 0.0,
        generator_repeats: int = 5,
        discriminator_repeats: int = 1,
        pathways: Pathways = "both",
        decode: Decode = "vector",
        filter: Mask = "none",
        known: KnownTriples | None = None,
        detach: bool = True,
        r1: float = 0.0,
        warmup: int = 0,
    ) -> None:
        check(dict(locals()))
        requires_known(filter, known)
        super().__init__()
        self.k = 2 * k
        self.generator_loss: GeneratorLoss = generator_loss
        self.penalty = squared_penalty if film_penalty == "squared" else norm_penalty
        self.film_weight = film_weight if film == "residual" else 0.0
        self.aux_in_generator = aux_in_generator
        self.generator_repeats = generator_repeats
        self.discriminator_repeats = discriminator_repeats
        self.offered: Pathways = pathways
        self.decode: Decode = decode
        self.filter: Mask = filter
        self.known = known
        self.detach = detach
        self.r1 = r1
        self.warmup = warmup
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

        options = PathwayOptions(
            noise=noise,
            noise_scale=noise_scale,
            film=film,
            sides=sides,
            norm=norm,
            output=output,
            init=init,
        )
        self.entity_pathway = EntityPathway(dim, options) if pathways != "relation" else None
        self.relation_pathway = None
        if pathways != "entity":
            self.relation_pathway = RelationPathway(
                dim, options, head_query=head_query, num_relations=num_relations
            )
        self.auxiliary: Auxiliary = "none" if len(self.pathways) < 2 else auxiliary
        self.discriminator = Discriminator(
            dim, stacked=heads == "stacked", auxiliary=self.auxiliary != "none", init=init
        )
        if self.auxiliary == "constant" and self.discriminator.auxiliary is not None:
            freeze(self.discriminator.auxiliary)

    @property
    def pathways(self) -> dict[str, Pathway]:
        """The pathways there are, by name."""
        pathways = {"entity": self.entity_pathway, "relation": self.relation_pathway}
        return {name: pathway for name, pathway in pathways.items() if pathway is not None}

    def phases(self) -> tuple[Phase, ...]:
        """One for each pathway, then the discriminator's."""
        generators = (
            Phase(
                f"{name}_pathway",
                tuple(pathway.parameters()),
                partial(self.pathway_loss, name),
                self.generator_repeats,
            )
            for name, pathway in self.pathways.items()
        )
        discriminator = tuple(self.discriminator.parameters())
        return (
            *generators,
            Phase(
                "discriminator", discriminator, self.discriminator_loss, self.discriminator_repeats
            ),
        )

    def pathway_loss(self, name: str, positives: Positives) -> Tensor:
        """Loss of a generator and its FiLM (Eq. 13), on one negative per triple, side by coin."""
        pathway = self.pathways[name]
        pathway.generator.observe(torch.cat((positives.h, positives.t)))
        generated, modulation = pathway(positives, self.sides(positives, 1))
        logits, which = self.discriminator.both(generated)
        if self.generator_loss == "saturating":
            loss = -F.softplus(logits).mean()
        else:
            loss = F.softplus(-logits).mean()
        if self.aux_in_generator:
            label = torch.full_like(which, name == "entity")
            auxiliary = F.binary_cross_entropy_with_logits(which, label)
            loss = loss + self.aux_in_generator * auxiliary
        if self.film_weight and modulation is not None:
            loss = loss + self.film_weight * self.penalty(modulation)
        return loss

    def discriminator_loss(self, positives: Positives) -> Tensor:
        """Loss of the discriminator (Eq. 14), on entities and a fresh negative per pathway."""
        with torch.no_grad():
            generated = [
                pathway(positives, self.sides(positives, 1))[0]
                for pathway in self.pathways.values()
            ]
        entities = torch.cat((positives.h, positives.t)).detach()
        real = F.softplus(-self.discriminator(entities)).mean()
        logits, which = self.discriminator.both(torch.cat(generated))
        wrong = F.softplus(logits).mean()
        if self.auxiliary == "constant":
            wrong = wrong / 2
        loss = (real + wrong) / 2
        if self.auxiliary == "bce":
            label = torch.zeros_like(which)
            label[: len(positives)] = 1
            loss = loss + F.binary_cross_entropy_with_logits(which, label)
        if self.r1:
            loss = loss + self.r1 * self.discriminator.gradient_penalty(entities)
        return loss

    def forward(self, positives: Positives) -> Negatives:
        """Generated negatives, the entity pathway's first."""
        drawn = list(self.draw(positives).values())
        if self.offered == "relation_twice":
            drawn = [*drawn, *drawn]
        embeddings, replaces_head = (torch.cat(parts, dim=1) for parts in zip(*drawn, strict=True))
        negatives = self.offer(positives, embeddings, replaces_head)
        if not self.training or not self.warmup:
            return negatives
        self.steps += 1
        ready = (self.steps > self.warmup).expand_as(replaces_head)
        valid = ready if negatives.valid is None else ready & negatives.valid
        return Negatives(negatives.embeddings, replaces_head, negatives.ids, valid)

    def origins(self, positives: Positives) -> dict[str, Negatives]:
        """The generated embeddings of each pathway, not the entities nearest to them."""
        return {
            f"{name} pathway": Negatives(*drawn) for name, drawn in self.draw(positives).items()
        }

    def draw(self, positives: Positives) -> dict[str, tuple[Tensor, Tensor]]:
        """Generated negatives of each pathway that offers any, with their sides."""
        k = self.k if self.offered in ("entity", "relation") else self.k // 2
        drawn = {}
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detach):
            for name, pathway in self.pathways.items():
                if self.offered == "relation_twice" and name == "entity":
                    continue
                replaces_head = self.sides(positives, k)
                drawn[name] = pathway(positives, replaces_head)[0], replaces_head
        return drawn

    def sides(self, positives: Positives, k: int) -> Tensor:
        """A fair coin for each generated negative: (b, k) bool, true where it replaces the head."""
        return sides("coin", len(positives), k, positives.h.device)

    def offer(self, positives: Positives, embeddings: Tensor, replaces_head: Tensor) -> Negatives:
        """Generated negatives as negatives: as they are, or as the entities nearest to them."""
        if self.decode == "vector":
            return Negatives(embeddings, replaces_head)
        exclude = None
        if self.decode == "nearest_other":
            exclude = positives.triples[:, ::2].repeat_interleave(embeddings.shape[1], dim=0)
        found = nearest(embeddings.flatten(0, 1), positives.entities, exclude)
        ids = found.view_as(replaces_head)
        valid = None
        if self.filter == "mask" and self.known is not None:
            valid = not_known(self.known, positives.triples, ids, replaces_head)
        return Negatives.of(positives.entities, ids, replaces_head, valid)

    @torch.no_grad()
    def diagnose(self, positives: Positives) -> dict[str, float]:
        """See ``dans.samplers.dans.diagnostics.diagnose``, which documents every key.

        Neither the random state nor running statistics are moved.
        """
        training = self.training
        device = positives.h.device
        devices = [] if device.type == "cpu" else [device]
        with torch.random.fork_rng(devices):
            self.eval()
            try:
                return diagnose(
                    self.pathways,
                    self.discriminator,
                    positives,
                    draws=max(2, self.k // 2),
                    known=self.known,
                )
            finally:
                self.train(training)
