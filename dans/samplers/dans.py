"""DANS: negatives that are generated, diverse and adversarial (arXiv:2410.07592)."""

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dans.batch import Negatives, Positives
from dans.known import KnownFacts
from dans.samplers.base import NegativeSampler, Phase
from dans.samplers.diagnostics import diagnose, warnings
from dans.samplers.filters import Mask, requires_known, sides, unknown
from dans.samplers.nearest import nearest
from dans.samplers.networks import (
    Critic,
    Film,
    Init,
    Norm,
    Output,
    freeze,
    norm_penalty,
    squared_penalty,
)
from dans.samplers.options import (
    PRESETS,
    Auxiliary,
    Decode,
    FilmPenalty,
    GeneratorLoss,
    Heads,
    Ways,
    check,
)
from dans.samplers.ways import EntityWay, HeadQuery, NoiseScale, RelationWay, Sides, Way, WayOptions

__all__ = ["DANS", "PRESETS", "warnings"]


class DANS(NegativeSampler):
    """Fakes by two ways, against a critic that asks what is a fake, and which way it came.

    The entity way starts from the kept entity, the relation way from the question. Each draws
    from a Gaussian around its start, and sends the draw through a generator that FiLM adapts to
    the start.

        L_G = E softplus(−D(fake)) + μ L_aux + λ Σ_m (‖α^m − 1‖² + ‖β^m‖²)        (Eq. 13)
        L_D = ½ (E softplus(−D(real)) + E softplus(D(fake))) + L_aux + γ R1       (Eq. 14)

    Generators and critic take turns, a phase each, before a step of the model. The paper leaves
    much open, so each choice has a name (A and C number the points of the method's reference), and
    ``PRESETS`` has three sets of them. The defaults are the paper's.

    Source: Liu et al. 2024, arXiv:2410.07592, §4.

    Args:
        dim: d.
        k: fakes of each way, so 2k rivals per fact. Each has a fair coin for its side; where it
            replaces the head it is made from the tail.
        noise: s, the standard deviation of a draw, or κ of s = κ·std(e) (A6).
        noise_scale: ``absolute`` for the one, ``relative`` for the other.
        generator_loss: ``saturating`` minimises log(1 − D), whose gradient vanishes where the
            critic wins (A2).
        film: ``residual``, α = 1 + a net (A3); ``code``, nets that never learn (C2); ``none``, the
            ablation G_ER.
        film_penalty: ``squared`` norms, or ``norm``, not squared (A3).
        film_weight: λ; no effect where FiLM does not learn.
        head_query: where the relation way starts for a head (A4); see ``RelationWay``.
        num_relations: m; only ``head_query="learned"`` needs it.
        sides: ``shared`` generators are not told the side; ``bit`` tells them (A5).
        output: of a generator (A7); see there.
        norm: in a generator (C6); see there.
        init: of generators and critic.
        heads: of the critic: ``linear``, or ``stacked`` as published; see there.
        auxiliary: ``bce``; ``constant``, which is always zero and halves the loss of fakes (C4);
            ``none``. A way alone leaves nothing to ask.
        aux_in_generator: μ, how much generators help the critic to know the way (A9).
        generator_repeats: updates of each generator per step (A11).
        critic_repeats: updates of the critic per step.
        ways: ``both``; ``entity`` or ``relation`` alone, with 2k fakes; ``relation_twice``, which
            trains both and offers the relation way's fakes twice (C3).
        decode: ``vector`` offers the fakes; ``nearest`` the entity nearest to each, so that ids are
            known (A12); ``nearest_other`` likewise, but never the kept entity nor the one replaced.
        filter: ``mask`` marks known facts invalid; needs ids.
        known: the facts to filter by; ``diagnose`` counts them too.
        detach: keep the model's gradient out of the generators (C5).
        r1: γ, the weight of a gradient penalty at entities, on the critic.
        warmup: steps of the model in which generators and critic already learn while the fakes are
            marked invalid. Other samplers' rivals carry the model so long.

    Raises:
        InputError: an unknown choice, a number out of range, or choices that exclude each other.

    Example:
        >>> entities, facts = torch.randn(4, 8), torch.tensor([[0, 0, 1], [2, 0, 3]])
        >>> h, r, t = entities[[0, 2]], torch.randn(2, 8), entities[[1, 3]]
        >>> queries = {"tail_query": h * r, "head_query": t * r}
        >>> match = lambda query, entity: (query * entity).sum(-1)
        >>> positives = Positives(facts, h, r, t, **queries, entities=entities, match=match)
        >>> rivals = DANS(dim=8, k=1)(positives)
        >>> rivals.vectors.shape, rivals.ids
        (torch.Size([2, 2, 8]), None)
        >>> [phase.name for phase in DANS(dim=8, **PRESETS["dans"]).phases()]
        ['entity_way', 'relation_way', 'critic']
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
        critic_repeats: int = 1,
        ways: Ways = "both",
        decode: Decode = "vector",
        filter: Mask = "none",
        known: KnownFacts | None = None,
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
        self.critic_repeats = critic_repeats
        self.offered: Ways = ways
        self.decode: Decode = decode
        self.filter: Mask = filter
        self.known = known
        self.detach = detach
        self.r1 = r1
        self.warmup = warmup
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

        options = WayOptions(
            noise=noise,
            noise_scale=noise_scale,
            film=film,
            sides=sides,
            norm=norm,
            output=output,
            init=init,
        )
        self.entity_way = EntityWay(dim, options) if ways != "relation" else None
        self.relation_way = None
        if ways != "entity":
            self.relation_way = RelationWay(
                dim, options, head_query=head_query, num_relations=num_relations
            )
        self.auxiliary: Auxiliary = "none" if len(self.ways) < 2 else auxiliary
        self.critic = Critic(
            dim, stacked=heads == "stacked", auxiliary=self.auxiliary != "none", init=init
        )
        if self.auxiliary == "constant" and self.critic.auxiliary is not None:
            freeze(self.critic.auxiliary)

    @property
    def ways(self) -> dict[str, Way]:
        """The ways there are, by name."""
        ways = {"entity": self.entity_way, "relation": self.relation_way}
        return {name: way for name, way in ways.items() if way is not None}

    def phases(self) -> tuple[Phase, ...]:
        """One for each way, then the critic's."""
        generators = (
            Phase(
                f"{name}_way",
                tuple(way.parameters()),
                partial(self.loss_of_way, name),
                self.generator_repeats,
            )
            for name, way in self.ways.items()
        )
        critic = tuple(self.critic.parameters())
        return (*generators, Phase("critic", critic, self.loss_of_critic, self.critic_repeats))

    def loss_of_way(self, name: str, positives: Positives) -> Tensor:
        """What a generator and its FiLM minimise (Eq. 13): a fake per fact, its side by a coin."""
        way = self.ways[name]
        way.generator.observe(torch.cat((positives.h, positives.t)))
        fakes, modulation = way(positives, self.sides(positives, 1))
        logits, which = self.critic.both(fakes)
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

    def loss_of_critic(self, positives: Positives) -> Tensor:
        """What the critic minimises (Eq. 14), over heads, tails and a fresh fake of each way."""
        with torch.no_grad():
            fakes = [way(positives, self.sides(positives, 1))[0] for way in self.ways.values()]
        entities = torch.cat((positives.h, positives.t)).detach()
        real = F.softplus(-self.critic(entities)).mean()
        logits, which = self.critic.both(torch.cat(fakes))
        fake = F.softplus(logits).mean()
        if self.auxiliary == "constant":
            fake = fake / 2
        loss = (real + fake) / 2
        if self.auxiliary == "bce":
            label = torch.zeros_like(which)
            label[: len(positives)] = 1
            loss = loss + F.binary_cross_entropy_with_logits(which, label)
        if self.r1:
            loss = loss + self.r1 * self.critic.gradient_penalty(entities)
        return loss

    def forward(self, positives: Positives) -> Negatives:
        """See ``NegativeSampler``: the entity way's fakes, then the relation way's."""
        drawn = list(self.draw(positives).values())
        if self.offered == "relation_twice":
            drawn = [*drawn, *drawn]
        vectors, replaces_head = (torch.cat(parts, dim=1) for parts in zip(*drawn, strict=True))
        rivals = self.offer(positives, vectors, replaces_head)
        if not self.training or not self.warmup:
            return rivals
        self.steps += 1
        ready = (self.steps > self.warmup).expand_as(replaces_head)
        valid = ready if rivals.valid is None else ready & rivals.valid
        return Negatives(rivals.vectors, replaces_head, rivals.ids, valid)

    def origins(self, positives: Positives) -> dict[str, Negatives]:
        """The fakes of each way that offers any, as generated: not the entities nearest to them."""
        return {f"{name} way": Negatives(*drawn) for name, drawn in self.draw(positives).items()}

    def draw(self, positives: Positives) -> dict[str, tuple[Tensor, Tensor]]:
        """Fakes of each way that offers any, with their sides."""
        k = self.k if self.offered in ("entity", "relation") else self.k // 2
        drawn = {}
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detach):
            for name, way in self.ways.items():
                if self.offered == "relation_twice" and name == "entity":
                    continue
                replaces_head = self.sides(positives, k)
                drawn[name] = way(positives, replaces_head)[0], replaces_head
        return drawn

    def sides(self, positives: Positives, k: int) -> Tensor:
        """A fair coin for each fake: (b, k) bool, true where it replaces the head."""
        return sides("coin", len(positives), k, positives.h.device)

    def offer(self, positives: Positives, vectors: Tensor, replaces_head: Tensor) -> Negatives:
        """Fakes as rivals: as they are, or as the entities nearest to them."""
        if self.decode == "vector":
            return Negatives(vectors, replaces_head)
        exclude = None
        if self.decode == "nearest_other":
            exclude = positives.triples[:, ::2].repeat_interleave(vectors.shape[1], dim=0)
        found = nearest(vectors.flatten(0, 1), positives.entities, exclude)
        ids = found.view_as(replaces_head)
        valid = None
        if self.filter == "mask" and self.known is not None:
            valid = unknown(self.known, positives.triples, ids, replaces_head)
        return Negatives.of(positives.entities, ids, replaces_head, valid)

    @torch.no_grad()
    def diagnose(self, positives: Positives) -> dict[str, float]:
        """See ``dans.samplers.diagnostics.diagnose``, which documents every key.

        Neither the random state nor running statistics are moved.
        """
        training = self.training
        device = positives.h.device
        devices = [] if device.type == "cpu" else [device]
        with torch.random.fork_rng(devices):
            self.eval()
            try:
                return diagnose(
                    self.ways, self.critic, positives, draws=max(2, self.k // 2), known=self.known
                )
            finally:
                self.train(training)
