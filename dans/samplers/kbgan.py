"""KBGAN: a second, smaller model picks hard negatives for the first."""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dans.data.known_triples import KnownTriples
from dans.errors import LEAST_DIVISOR, InputError, above_zero, counted, one_of
from dans.memory import room_for
from dans.models.batch import Positives, Proposal
from dans.models.decoders.multilinear import conjugate, multiply
from dans.samplers.corruption import AnySide, Filter, any_other, end
from dans.samplers.reinforce import Choice, Reinforced

#: How G scores a triple: Σ h r t over reals, or Re Σ h r conj(t) over complex numbers.
Generator = Literal["distmult", "complex"]

#: The standard deviation of a DistMult score when training starts.
SPREAD = 0.2


class KBGAN(Reinforced):
    """Negatives that a small generator model G picks among a few uniform candidates.

    For a triple and a side, N_c candidates are drawn uniformly from the other entities, and
    negatives from the candidates with replacement by

        p(e′) = softmax(f_G(candidates) / τ).

    In phase ``kbgan``, G draws a candidate for one side of each triple, with reward ρ = f(e′), the
    model's score before its step, and minimises −mean (ρ − b) log p(e′).

    Source: Cai & Wang 2018, arXiv:1711.04071, §3 and Algorithm 1; initialisation by the published
    program, so that DistMult scores start with standard deviation .2, and p nearly uniform.
    Departures, cost and state: ``docs/pages/samplers.md``.

    Args:
        generator: how G scores.
        width: of G's embeddings, in real numbers: 50, or 25 complex ones.
        pretrain: updates of G, before those from rewards, by a softmax loss of the true entity
            against N_c candidates.
        filter: unless ``none``, candidates that are known triples are not picked; where all are,
            the negatives are drawn again or marked invalid, and G learns nothing from them.
    """

    def __init__(
        self,
        k: int = 20,
        *,
        num_entities: int,
        num_relations: int,
        triples: Tensor,
        generator: Generator = "distmult",
        width: int = 50,
        candidates: int = 20,
        temperature: float = 1.0,
        side: AnySide = "bernoulli",
        baseline: Literal["epoch", "batch"] = "batch",
        pretrain: int = 1000,
        repeats: int = 1,
        l2: float = 0.1,
        filter: Filter = "mask",
        known: KnownTriples | None = None,
        rounds: int = 20,
    ) -> None:
        one_of("generator", generator, ("distmult", "complex"))
        one_of("baseline", baseline, ("epoch", "batch"))
        counted("width", width)
        if generator == "complex" and width % 2:
            raise InputError(f"width: complex needs an even number, got {width}")
        counted("candidates", candidates, least=2)
        above_zero("temperature", temperature, LEAST_DIVISOR)
        super().__init__(
            k,
            num_entities=num_entities,
            num_relations=num_relations,
            triples=triples,
            side=side,
            baseline=baseline,
            pretrain=pretrain,
            repeats=repeats,
            l2=l2,
            filter=filter,
            known=known,
            rounds=rounds,
        )
        room_for("width", (num_entities + num_relations) * width)
        self.generator: Generator = generator
        self.candidates, self.temperature = candidates, temperature
        scale = (SPREAD**2 / width) ** (1 / 6)
        self.entities = nn.Parameter(scale * torch.randn(num_entities, width))
        self.relations = nn.Parameter(scale * torch.randn(num_relations, width))

    @property
    def cost(self) -> int:
        """Numbers in the embeddings of a query's candidates."""
        return self.candidates * self.entities.shape[1]

    @property
    def needs_all_entities(self) -> str:
        """It asks for the scores of its phase's candidates, which it proposes."""
        return ""

    def propose(self, positives: Positives) -> Proposal:
        """Its draws, and candidates of its phase, for the side of each triple's first negative."""
        drawn = self.drawn(positives)
        if drawn.corrupt_head is None or self.updates + self.repeats <= self.pretrain:
            return drawn
        side = drawn.corrupt_head[:, 0]
        return replace(drawn, candidates=self.uniform(positives.triples, side))

    def uniform(self, triples: Tensor, corrupt_head: Tensor) -> Tensor:
        """Uniform candidates: (q, N_c) ids."""
        true = end(triples, corrupt_head).unsqueeze(1).expand(-1, self.candidates)
        return any_other(true, self.num_entities)

    def choose(
        self, triples: Tensor, corrupt_head: Tensor, k: int, candidates: Tensor | None = None
    ) -> Choice:
        """Draws from p."""
        ids = self.uniform(triples, corrupt_head) if candidates is None else candidates
        allowed = self.allowed(triples, ids, corrupt_head)
        log_p, decayed = self.log_softmax(triples, corrupt_head, ids, allowed)
        picks = torch.multinomial(log_p.detach().exp(), k, replacement=True)
        return Choice(ids.gather(1, picks), log_p.gather(1, picks), decayed)

    def imitate(self, triples: Tensor, corrupt_head: Tensor) -> Choice:
        """The true entity, among itself and the candidates."""
        true = end(triples, corrupt_head).unsqueeze(1)
        negatives = self.uniform(triples, corrupt_head)
        allowed = self.allowed(triples, negatives, corrupt_head)
        ids = torch.cat((true, negatives), dim=1)
        allowed = F.pad(allowed, (1, 0), value=True)
        log_p, decayed = self.log_softmax(triples, corrupt_head, ids, allowed)
        return Choice(true, log_p[:, :1], decayed)

    def allowed(self, triples: Tensor, ids: Tensor, corrupt_head: Tensor) -> Tensor:
        """Candidates that may be picked: those not known, or all where all are: (q, N_c) bool."""
        unknown = self.unknown(triples, ids, corrupt_head.unsqueeze(1).expand_as(ids))
        return unknown | ~unknown.any(1, keepdim=True)

    def log_softmax(
        self, triples: Tensor, corrupt_head: Tensor, ids: Tensor, allowed: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """log p over (q, c) ids, of which ``allowed`` may be drawn; and G's embeddings used."""
        given = F.embedding(end(triples, ~corrupt_head), self.entities)
        r = F.embedding(triples[:, 1], self.relations)
        embeddings = F.embedding(ids, self.entities)
        if self.generator == "distmult":
            query = given * r
        else:
            query = multiply(given, torch.where(corrupt_head.unsqueeze(-1), conjugate(r), r))
        logits = (embeddings @ query.unsqueeze(-1)).squeeze(-1) / self.temperature
        return logits.masked_fill(~allowed, -torch.inf).log_softmax(-1), (given, r, embeddings)

    def reward(self, positives: Positives, ids: Tensor, corrupt_head: Tensor) -> Tensor:
        """ρ = f(e′): (b,)."""
        return self.score(positives, ids, corrupt_head)
