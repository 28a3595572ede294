"""KBGAN: a second model of the triples picks negatives for the first."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dans.data.known_triples import KnownTriples
from dans.errors import InputError, above_zero, one_of
from dans.models.batch import Positives
from dans.samplers.corruption import Filter, any_other, not_known, positive
from dans.samplers.reinforce import Choice, Reinforced, Sides, ends
from dans.samplers.scoring import Scorer

#: How G scores a triple: Σ h r t over reals, or Re Σ h r conj(t) over complex numbers.
Generator = Literal["distmult", "complex"]

#: The standard deviation of a DistMult score when training starts.
SPREAD = 0.2


class KBGAN(Reinforced):
    """Picks negatives among a few uniform candidates by a small model G that learns from the model.

    For a triple and a side, N_c candidates are drawn uniformly from the other entities, and
    negatives from them with replacement by

        p(e′) = softmax(f_G(candidates) / τ).

    In phase ``kbgan``, G draws a candidate for one side of each triple and earns ρ = f(e′), the
    model's score before its step; it minimises −mean (ρ − b) log p(e′).

    Source: Cai & Wang 2018, arXiv:1711.04071, §3 and Algorithm 1. Departures:

    - The published program trains model and generator on one draw; here the phase draws afresh, so
      that either may be updated alone or several times. Both are draws from the same p.
    - The paper has one negative per triple; k = 20 is comparable with other samplers here.
    - b is the mean reward of the epoch before, in the paper, for rewards that its unit ball bounds.
      Logits of a logistic loss are unbounded and drift within an epoch; the default, ``batch``,
      standardises the rewards of each batch instead (with the own reward in mean and deviation:
      the gradient's direction is right to O(1/b)).
    - The program may draw the true entity as a candidate; see ``exclude_true``.
    - Generator and model start trained for 1,000 epochs in the paper. ``pretrain`` counts updates
      of the generator; the model may start from another run. From scratch KBGAN fell to .204 MRR on
      WN18RR (Zhang et al. 2019, arXiv:1812.06410).
    - The program adds .01 θ (FB15k-237; .001 θ on WN18RR) to the gradient of losses summed over a
      batch, for every parameter at each update. λ weighs the mean squares of the rows of a batch
      (kept, relations, candidates) beside a mean loss; at λ = 1 a row is about as strongly held,
      beside what its triples pull, on either graph. The default is a tenth: with λ = 1 the
      embeddings of a new G shrink before they learn (softmax loss after 600 updates on UMLS, from
      2.93: λ = 0 1.57, λ = .1 1.59, λ = 1 2.20).

    Tables start from N(0, σ_w²), σ_w = (.2² / width)^(1/6), as in the program: DistMult scores then
    have standard deviation .2, so p is nearly uniform.

    Cost: per batch of b triples 2b·N_c scores of ``width`` products, in parts of bounded memory;
        the
    phase, b·N_c of them, holds b·N_c·width floats for its gradient, which ``batch`` of the phase
    bounds (65 MB at b = 16,384). State: 4·width·(n + m) bytes, thrice with Adam; 24.6 MB on WN18RR.

    Args:
        k: negatives per triple; 1 in the paper.
        num_entities: n.
        num_relations: m.
        triples: (f, 3) the training triples.
        generator: how G scores.
        width: of G's embeddings, in real numbers: 50, or 25 complex ones.
        candidates: N_c.
        temperature: τ.
        side: of a negative: by the relation's cardinalities, a fair coin, or always the same.
        exclude_true: the true entity is no candidate.
        baseline: ``epoch``, the mean reward of the epoch before; ``batch``, see above.
        pretrain: updates of G in which it learns to tell the true entity from N_c candidates, by a
            softmax loss, before it learns from rewards.
        repeats: updates of G per step of the model.
        l2: λ.
        filter: unless ``none``, candidates that are known triples are not picked, and where all
            are, the negatives are drawn again or marked invalid, and G learns nothing.
        known: the triples to filter by.
        rounds: how often to draw again.

    Raises:
        InputError: an unknown choice, a number out of range, an odd width of complex embeddings, or
            a filter without known triples.

    Example:
        >>> entities = torch.eye(4)
        >>> triples = torch.tensor([[0, 0, 1], [2, 0, 3]])
        >>> h, t = entities[[0, 2]], entities[[1, 3]]
        >>> positives = Positives(triples, h, h, t, h, t, entities, lambda x, y: (x * y).sum(-1))
        >>> given = {"num_entities": 4, "num_relations": 1, "triples": triples, "filter": "none"}
        >>> sampler = KBGAN(3, **given, side="tail")
        >>> negatives = sampler(positives)
        >>> negatives.embeddings.shape
        torch.Size([2, 3, 4])
        >>> bool((negatives.ids == triples[:, 2:]).any())
        False
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
        side: Sides = "bernoulli",
        exclude_true: bool = True,
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
        positive("width", width)
        if generator == "complex" and width % 2:
            raise InputError(f"width: complex needs an even number, got {width}")
        if candidates < 2:
            raise InputError(f"candidates: must be at least 2 to choose among, got {candidates}")
        above_zero("temperature", temperature)
        super().__init__(
            k,
            num_entities=num_entities,
            triples=triples,
            num_relations=num_relations,
            side=side,
            repeats=repeats,
            pretrain=pretrain,
            baseline=baseline,
            l2=l2,
            filter=filter,
            known=known,
            rounds=rounds,
        )
        self.generator: Generator = generator
        self.candidates = candidates
        self.temperature = temperature
        self.exclude_true = exclude_true
        scale = (SPREAD**2 / width) ** (1 / 6)
        self.entities = nn.Parameter(scale * torch.randn(num_entities, width))
        self.relations = nn.Parameter(scale * torch.randn(num_relations, width))

    @property
    def cost(self) -> int:
        """Numbers in the embeddings of a query's candidates."""
        return self.candidates * self.entities.shape[1]

    def propose(self, triples: Tensor, replaces_head: Tensor) -> Tensor:
        """Uniform candidates: (q, N_c) ids."""
        true = ends(triples, replaces_head)[1].unsqueeze(1).expand(-1, self.candidates)
        if self.exclude_true:
            return any_other(true, self.num_entities)
        return torch.randint(self.num_entities, true.shape, device=true.device)

    def choose(self, triples: Tensor, replaces_head: Tensor, k: int) -> Choice:
        """See ``Reinforced``."""
        ids = self.propose(triples, replaces_head)
        log_p, touched = self.compare(
            triples, replaces_head, ids, self.open(triples, replaces_head, ids)
        )
        places = torch.multinomial(log_p.detach().exp(), k, replacement=True)
        return Choice(ids.gather(1, places), log_p.gather(1, places), touched)

    def imitate(self, triples: Tensor, replaces_head: Tensor) -> Choice:
        """See ``Reinforced``: the true entity, then the candidates that are not the true one."""
        true = ends(triples, replaces_head)[1].unsqueeze(1)
        negatives = self.propose(triples, replaces_head)
        others = (negatives != true) & self.open(triples, replaces_head, negatives)
        log_p, touched = self.compare(
            triples,
            replaces_head,
            torch.cat((true, negatives), dim=1),
            torch.cat((torch.ones_like(others[:, :1]), others), dim=1),
        )
        return Choice(true, log_p[:, :1], touched)

    def open(self, triples: Tensor, replaces_head: Tensor, ids: Tensor) -> Tensor:
        """Which candidates may be chosen: (q, N_c) bool; all of them where none is unknown."""
        if self.filter == "none" or self.known is None:
            return torch.ones_like(ids, dtype=torch.bool)
        fresh = not_known(self.known, triples, ids, replaces_head.unsqueeze(1).expand_as(ids))
        return fresh | ~fresh.any(1, keepdim=True)

    def compare(
        self, triples: Tensor, replaces_head: Tensor, ids: Tensor, allowed: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Log-probabilities of ids under G, (q, c); and the embeddings they came from."""
        kept = F.embedding(ends(triples, replaces_head)[0], self.entities)
        r = F.embedding(triples[:, 1], self.relations)
        embeddings = F.embedding(ids, self.entities)
        query = kept * r if self.generator == "distmult" else rotated(kept, r, replaces_head)
        logits = (embeddings @ query.unsqueeze(-1)).squeeze(-1) / self.temperature
        return logits.masked_fill(~allowed, -torch.inf).log_softmax(-1), (kept, r, embeddings)

    def reward(self, positives: Positives, ids: Tensor, replaces_head: Tensor) -> Tensor:
        """ρ = f(e′), the model's score: (b,)."""
        rows = torch.arange(len(positives), device=ids.device)
        return Scorer(positives)(rows, ids, replaces_head)


def rotated(kept: Tensor, r: Tensor, replaces_head: Tensor) -> Tensor:
    """ComplEx's query embeddings: h · r for tails, t · conj(r) for heads.

    Args:
        kept: (q, d), as [real | imaginary].
        r: (q, d), likewise.
        replaces_head: (q,) bool.

    Returns:
        (q, d); their dot product with a candidate is Re Σ h r conj(t).

    Example:
        >>> i = torch.tensor([[0.0, 1.0]])
        >>> rotated(i, i, torch.tensor([False])), rotated(i, i, torch.tensor([True]))
        (tensor([[-1.,  0.]]), tensor([[1., 0.]]))
    """
    re, im = kept.chunk(2, dim=-1)
    r_re, r_im = r.chunk(2, dim=-1)
    r_im = torch.where(replaces_head.unsqueeze(-1), -r_im, r_im)
    return torch.cat((re * r_re - im * r_im, re * r_im + im * r_re), dim=-1)
