"""Generators that choose entities and learn from rewards: REINFORCE, its baselines, its phase."""

from abc import abstractmethod
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from dans.data.known_triples import KnownTriples
from dans.errors import MOST_ROUNDS, InputError, counted, not_negative
from dans.models.batch import Positives
from dans.samplers.base import Phase
from dans.samplers.corruption import (
    AnySide,
    EntitySampler,
    Filter,
    relation_sides,
    without_relations,
)
from dans.samplers.scoring import Scorer, check_entities
from dans.samplers.uniform import head_probability

#: What is subtracted from rewards: nothing; the mean of the epoch before; or the batch's mean, and
#: then they are divided by the batch's standard deviation.
Baseline = Literal["none", "epoch", "batch"]

#: Numbers held at once while drawing, or for all entities' probabilities: 16 MiB of float32.
ELEMENTS = 2**22
#: Added to a standard deviation, so that equal rewards give zeros.
EPSILON = 1e-5


class Choice(NamedTuple):
    """Entities that a generator chose for q queries."""

    #: (q, k)
    ids: Tensor
    #: (q, k) their log-probabilities; gradients flow into the generator
    log_p: Tensor
    #: the generator's parameters, or rows of them, that weight decay applies to
    decayed: tuple[Tensor, ...]


class EpochMean(nn.Module):
    """Rewards minus the mean reward of the epoch before, 0 in the first.

    An epoch of ``length`` rewards ends with the batch that completes it.

    Example:
        >>> baseline = EpochMean(length=2)
        >>> [baseline(torch.tensor([reward])).item() for reward in (1.0, 3.0, 5.0)]
        [1.0, 3.0, 3.0]
    """

    #: () the mean reward of the last complete epoch
    mean: Tensor
    #: () sum and number of the rewards since
    total: Tensor
    count: Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("total", torch.zeros(()))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, rewards: Tensor) -> Tensor:
        """(b,) → (b,); in training, rewards enter the next epoch's mean."""
        advantages = rewards - self.mean
        if self.training:
            total, count = self.total + rewards.sum(), self.count + len(rewards)
            over = count >= self.length
            self.mean = torch.where(over, total / count.clamp(min=1), self.mean)
            self.total = torch.where(over, torch.zeros_like(total), total)
            self.count = torch.where(over, torch.zeros_like(count), count)
        return advantages


class Standardised(nn.Module):
    """Rewards minus their mean, divided by their standard deviation."""

    def forward(self, rewards: Tensor) -> Tensor:
        """(b,) → (b,); zeros where all rewards are equal."""
        if not len(rewards):
            return rewards
        return (rewards - rewards.mean()) / (rewards.std(correction=0) + EPSILON)


class Reinforced(EntitySampler):
    """A generator G of entities, trained by REINFORCE to find those the model scores high.

        L_G = −mean (ρ − b) log p_G(e′ | query) + λ Σ mean squares of the parameters used

    with one side and one draw e′ per triple, its reward ρ and a baseline b: the score-function
    gradient of the expected reward (Williams 1992). The first ``pretrain`` updates minimise
    −mean log p_G(e | query) instead, e being the true entity; where only some entities are encoded,
    so do the updates left in the step in which that ends.

    Negatives are drawn from G with replacement, their ``side`` as that of the triples that G learns
    from. Unless ``filter`` is ``none``, G chooses known triples only where all its candidates are
    known, and learns nothing from those triples. G has ``repeats`` updates per step of the model.
    """

    adaptive: ClassVar[bool] = True
    head_probability: Tensor
    #: () updates of G in training
    updates: Tensor

    def __init__(
        self,
        k: int,
        *,
        num_entities: int,
        num_relations: int,
        triples: Tensor,
        side: AnySide,
        baseline: Baseline,
        pretrain: int,
        repeats: int,
        l2: float,
        filter: Filter,
        known: KnownTriples | None,
        rounds: int = 20,
    ) -> None:
        plain = without_relations(side)
        super().__init__(k, side=plain, filter=filter, known=known, rounds=rounds)
        if num_entities < 2:
            raise InputError(
                f"num_entities: a negative must be another entity, and there is only {num_entities}"
            )
        counted("repeats", repeats, most=MOST_ROUNDS)
        not_negative("pretrain", pretrain)
        not_negative("l2", l2)
        self.num_entities, self.num_relations = num_entities, num_relations
        self.repeats, self.pretrain, self.l2 = repeats, pretrain, l2
        if side == "bernoulli":
            probability = head_probability(triples, num_relations)
        else:
            fixed = {"coin": 0.5, "head": 1.0, "tail": 0.0}[side]
            probability = torch.full((num_relations,), fixed)
        self.head_probability = probability
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        baselines = {"none": nn.Identity, "batch": Standardised}
        self.baseline = EpochMean(len(triples)) if baseline == "epoch" else baselines[baseline]()

    @property
    @abstractmethod
    def cost(self) -> int:
        """Numbers held per query while its negatives are drawn."""

    @abstractmethod
    def choose(
        self, triples: Tensor, corrupt_head: Tensor, k: int, candidates: Tensor | None = None
    ) -> Choice:
        """Draw k negatives for each of (q, 3) triples, of which (q,) bool replace the head.

        ``candidates``: (q, c) ids to choose among, of a sampler that proposes them.
        """

    @abstractmethod
    def imitate(self, triples: Tensor, corrupt_head: Tensor) -> Choice:
        """The true entities and their log-probabilities among G's candidates, with k = 1."""

    @abstractmethod
    def reward(self, positives: Positives, ids: Tensor, corrupt_head: Tensor) -> Tensor:
        """ρ of one negative of each triple, without gradient: (b,) from (b,) ids."""

    def score(self, positives: Positives, ids: Tensor, corrupt_head: Tensor) -> Tensor:
        """f(e′), the model's scores, of the same."""
        rows = torch.arange(len(positives), device=ids.device)
        return Scorer(positives)(rows, ids, corrupt_head)

    @torch.no_grad()
    def draw(self, positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
        """Ids (...); negatives of one query are drawn together, and queries in parts."""
        check_entities(positives, self.num_entities, "the generator chooses among")
        side = corrupt_head
        if rows.shape != (len(corrupt_head), 1):
            rows, side = rows.expand_as(side).reshape(-1, 1), side.reshape(-1, 1)
        needed = torch.stack(((~side).any(1), side.any(1)), dim=1)
        row, head = needed.nonzero(as_tuple=True)
        triples = positives.triples[rows[row, 0]]
        drawn = triples.new_zeros(*needed.shape, side.shape[1])
        # Allocated before the parts: small tensors among their large ones would scatter the heap.
        ids = drawn.new_empty(len(triples), side.shape[1])
        size = max(1, ELEMENTS // self.cost)
        for part, heads, out in zip(
            triples.split(size), head.bool().split(size), ids.split(size), strict=True
        ):
            out.copy_(self.choose(part, heads, side.shape[1]).ids)
        drawn[needed] = ids
        return torch.where(side, drawn[:, 1], drawn[:, 0]).view_as(corrupt_head)

    def phases(self) -> tuple[Phase, ...]:
        """One phase, named after the sampler."""
        name = type(self).__name__.lower()
        return (Phase(name, tuple(self.parameters()), self.loss, self.repeats),)

    def loss(self, positives: Positives) -> Tensor:
        """L_G: ()."""
        check_entities(positives, self.num_entities, "the generator chooses among")
        triples, proposal, candidates = positives.triples, positives.proposal, None
        pretraining = bool(self.updates < self.pretrain)
        if proposal is None or proposal.corrupt_head is None:
            side = relation_sides(self.head_probability, triples, 1).squeeze(1)
        else:
            side, candidates = proposal.corrupt_head[:, 0], proposal.candidates
            # A step that began in pre-training proposed none, and others may not be encoded.
            pretraining |= candidates is None and positives.entity_ids is not None
        if pretraining:
            choice = self.imitate(triples, side)
            loss = -choice.log_p.mean()
        else:
            choice = self.choose(triples, side, 1, candidates)
            unknown = self.unknown(triples, choice.ids, side.unsqueeze(1)).squeeze(1)
            rewards = self.reward(positives, choice.ids.squeeze(1), side)[unknown]
            gains = self.baseline(rewards) * choice.log_p.squeeze(1)[unknown]
            loss = -gains.sum() / max(1, len(gains))
        if self.training:
            self.updates += 1
        if self.l2:
            loss = loss + self.l2 * sum(x.square().mean() for x in choice.decayed)
        return loss

    @torch.no_grad()
    def diagnose(self, positives: Positives) -> dict[str, float]:
        """From one draw per triple: mean ``reward``, and ``entropy`` of the choice, in nats."""
        device = positives.triples.device
        with torch.random.fork_rng([] if device.type == "cpu" else [device]):
            side = relation_sides(self.head_probability, positives.triples, 1).squeeze(1)
            choice = self.choose(positives.triples, side, 1)
        reward = self.reward(positives, choice.ids.squeeze(1), side)
        return {"reward": float(reward.mean()), "entropy": -float(choice.log_p.mean())}
