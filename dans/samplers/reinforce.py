"""Generators of entities that learn from rewards: REINFORCE, its baselines, and the phase."""

from abc import abstractmethod
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from dans.data.known_triples import KnownTriples
from dans.errors import InputError, not_negative, one_of
from dans.models.batch import Positives
from dans.samplers.base import Phase
from dans.samplers.corruption import EntitySampler
from dans.samplers.draws import tossed
from dans.samplers.filters import Filter, not_known, positive
from dans.samplers.uniform import head_probability

#: By the relation's cardinalities (see ``uniform.Bernoulli``), a fair coin, or always the same.
Sides = Literal["bernoulli", "coin", "head", "tail"]
#: What is taken from a reward: nothing; the mean of the epoch before; the batch's mean, over its
#: standard deviation.
Baseline = Literal["none", "epoch", "batch"]

#: Numbers held at once while drawing, or for all entities' probabilities: 16 MiB of float32.
ELEMENTS = 2**22
#: Added to a standard deviation: below it, rewards are equal.
EPSILON = 1e-5


class Choice(NamedTuple):
    """What a generator chose for q queries.

    Args:
        ids: (q, k) entities.
        log_p: (q, k) the logarithms of their probabilities; gradients flow into the generator.
        touched: the generator's embeddings this was computed from, for its weight decay.
    """

    ids: Tensor
    log_p: Tensor
    touched: tuple[Tensor, ...]


class EpochMean(nn.Module):
    """Rewards less the mean reward of the epoch before, 0 in the first.

    Args:
        length: rewards in an epoch. It ends with the batch that completes it.

    Example:
        >>> baseline = EpochMean(length=2)
        >>> [baseline(torch.tensor([reward])).item() for reward in (1.0, 3.0, 5.0)]
        [1.0, 3.0, 3.0]
    """

    #: () the mean reward of the last whole epoch
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
        """(b,) from (b,); in training the rewards are counted, after they were compared."""
        advantages = rewards - self.mean
        if self.training:
            total, count = self.total + rewards.sum(), self.count + len(rewards)
            over = count >= self.length
            self.mean = torch.where(over, total / count.clamp(min=1), self.mean)
            self.total = torch.where(over, torch.zeros_like(total), total)
            self.count = torch.where(over, torch.zeros_like(count), count)
        return advantages


class Standardised(nn.Module):
    """Rewards less their mean, over their standard deviation: their scale does not matter.

    Example:
        >>> Standardised()(torch.tensor([10.0, 30.0]))
        tensor([-1.0000,  1.0000])
    """

    def forward(self, rewards: Tensor) -> Tensor:
        """(b,) from (b,); equal rewards, as a single one, give zeros."""
        if not len(rewards):
            return rewards
        return (rewards - rewards.mean()) / (rewards.std(correction=0) + EPSILON)


class Reinforced(EntitySampler):
    """A generator G that chooses entities, and learns which of them the model finds hard.

        L_G = −mean (ρ − b) log p_G(e′ | query) + λ Σ mean squares of what was touched

    with one side and one draw e′ per triple, ρ its reward and b a baseline: the score-function
    gradient of the expected reward (Williams 1992). Before that, ``pretrain`` updates minimise
    −mean log p_G(e | query), e being the true entity.

    Args:
        k: negatives per triple, drawn from G with replacement.
        num_entities: n.
        triples: (f, 3) the training triples: an epoch of rewards, and Bernoulli's counts.
        num_relations: m.
        side: of each negative, and of each triple that G learns from.
        repeats: updates of G per step of the model.
        pretrain: updates of G by the softmax loss, before its first by rewards.
        baseline: see ``Baseline``.
        l2: λ.
        filter: see ``EntitySampler``. Unless it is ``none``, G does not choose known triples where
            it has another choice, and learns nothing from a triple where it has none.
        known: the triples to filter by.
        rounds: see ``EntitySampler``.

    Raises:
        InputError: an unknown choice, a number out of range, or a filter without known triples.
    """

    adaptive: ClassVar[bool] = True
    #: (m,) how often the head is the side replaced
    head_probability: Tensor
    #: () of G, in training
    updates: Tensor

    def __init__(
        self,
        k: int,
        *,
        num_entities: int,
        triples: Tensor,
        num_relations: int,
        side: Sides,
        repeats: int,
        pretrain: int,
        baseline: Baseline,
        l2: float,
        filter: Filter,
        known: KnownTriples | None,
        rounds: int = 20,
    ) -> None:
        one_of("side", side, ("bernoulli", "coin", "head", "tail"))
        super().__init__(
            k,
            side="coin" if side == "bernoulli" else side,
            filter=filter,
            known=known,
            rounds=rounds,
        )
        if num_entities < 2:
            raise InputError(
                f"num_entities: a negative must be another entity, and there is only {num_entities}"
            )
        positive("repeats", repeats)
        not_negative("pretrain", pretrain)
        not_negative("l2", l2)
        self.num_entities = num_entities
        self.repeats = repeats
        self.pretrain = pretrain
        self.l2 = l2
        if side == "bernoulli":
            chance = head_probability(triples, num_relations)
        else:
            chance = torch.full((num_relations,), {"coin": 0.5, "head": 1.0, "tail": 0.0}[side])
        self.register_buffer("head_probability", chance, persistent=False)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.baseline: nn.Module = {
            "none": nn.Identity(),
            "epoch": EpochMean(len(triples)),
            "batch": Standardised(),
        }[baseline]

    @property
    @abstractmethod
    def cost(self) -> int:
        """Numbers that a query takes while its negatives are drawn."""

    @abstractmethod
    def choose(self, triples: Tensor, replaces_head: Tensor, k: int) -> Choice:
        """Draw negatives of the true entities.

        Args:
            triples: (q, 3).
            replaces_head: (q,) bool.
            k: draws for each.
        """

    @abstractmethod
    def imitate(self, triples: Tensor, replaces_head: Tensor) -> Choice:
        """The true entities as a choice, k = 1, among those that G could have chosen."""

    @abstractmethod
    def reward(self, positives: Positives, ids: Tensor, replaces_head: Tensor) -> Tensor:
        """The model's score of one negative of each triple: (b,) from (b,) ids, no gradient."""

    def sides(self, positives: Positives) -> Tensor:
        """Which negatives replace the head: (b, k) bool."""
        return tossed(self.head_probability, positives.triples, self.k)

    def check_size(self, positives: Positives) -> None:
        """Refuse triples over other entities than G has embeddings of.

        Raises:
            InputError: there are more or fewer of them.
        """
        if len(positives.entities) != self.num_entities:
            raise InputError(
                f"num_entities: the generator chooses among {self.num_entities} entities, "
                f"not {len(positives.entities)}"
            )

    @torch.no_grad()
    def draw(self, positives: Positives, rows: Tensor, replaces_head: Tensor) -> Tensor:
        """See ``EntitySampler``: negatives of the same query are drawn together, in parts."""
        self.check_size(positives)
        side = replaces_head
        if rows.shape != (len(replaces_head), 1):
            rows, side = rows.expand_as(side).reshape(-1, 1), side.reshape(-1, 1)
        asked = torch.stack(((~side).any(1), side.any(1)), dim=1)
        which, head = asked.nonzero(as_tuple=True)
        triples = positives.triples[rows[which, 0]]
        size = max(1, ELEMENTS // self.cost)
        drawn = triples.new_zeros(*asked.shape, side.shape[1])
        # Whole first: small pieces among the large of each part would scatter the heap.
        ids = drawn.new_empty(len(triples), side.shape[1])
        for part, heads, out in zip(
            triples.split(size), head.bool().split(size), ids.split(size), strict=True
        ):
            out.copy_(self.choose(part, heads, side.shape[1]).ids)
        drawn[asked] = ids
        return torch.where(side, drawn[:, 1], drawn[:, 0]).view_as(replaces_head)

    def phases(self) -> tuple[Phase, ...]:
        """The generator's, by the name of the sampler."""
        name = type(self).__name__.lower()
        return (Phase(name, tuple(self.parameters()), self.loss, self.repeats),)

    def loss(self, positives: Positives) -> Tensor:
        """What G minimises: the softmax loss in its first ``pretrain`` updates, then −reward."""
        self.check_size(positives)
        triples = positives.triples
        side = tossed(self.head_probability, triples, 1).squeeze(1)
        if bool(self.updates < self.pretrain):
            choice = self.imitate(triples, side)
            loss = -choice.log_p.mean()
        else:
            choice = self.choose(triples, side, 1)
            fresh = self.fresh(triples, choice.ids, side)
            rewards = self.reward(positives, choice.ids.squeeze(1), side)[fresh]
            gained = self.baseline(rewards) * choice.log_p.squeeze(1)[fresh]
            loss = -gained.sum() / max(1, len(gained))
        if self.training:
            self.updates += 1
        if self.l2:
            loss = loss + self.l2 * sum(x.square().mean() for x in choice.touched)
        return loss

    def fresh(self, triples: Tensor, ids: Tensor, replaces_head: Tensor) -> Tensor:
        """Which triples have a negative that is not known: (q,) bool from (q, 1) ids."""
        if self.filter == "none" or self.known is None:
            return torch.ones_like(replaces_head)
        return not_known(self.known, triples, ids, replaces_head.unsqueeze(1)).squeeze(1)

    @torch.no_grad()
    def diagnose(self, positives: Positives) -> dict[str, float]:
        """From one draw per triple: mean ``reward``, and ``entropy`` of the choice, in nats."""
        device = positives.triples.device
        with torch.random.fork_rng([] if device.type == "cpu" else [device]):
            side = tossed(self.head_probability, positives.triples, 1).squeeze(1)
            choice = self.choose(positives.triples, side, 1)
        reward = self.reward(positives, choice.ids.squeeze(1), side)
        return {"reward": float(reward.mean()), "entropy": -float(choice.log_p.mean())}


def ends(triples: Tensor, replaces_head: Tensor) -> tuple[Tensor, Tensor]:
    """The kept and the true entity of queries, (q,) each.

    Example:
        >>> ends(torch.tensor([[0, 5, 1], [2, 5, 3]]), torch.tensor([True, False]))
        (tensor([1, 2]), tensor([0, 3]))
    """
    heads, _, tails = triples.unbind(-1)
    return torch.where(replaces_head, tails, heads), torch.where(replaces_head, heads, tails)
