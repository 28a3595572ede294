"""Corruption of triples by entities: which side, which entity, and filters for known triples."""

from abc import abstractmethod
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.errors import MOST_ROUNDS, InputError, counted, one_of, shown
from dans.models.batch import Negatives, Positives, Proposal
from dans.registry import derivation
from dans.samplers.base import NegativeSampler

#: Which side is corrupted: by a fair coin for each negative, or always the same.
Side = Literal["coin", "head", "tail"]
SIDES: tuple[Side, ...] = get_args(Side)

#: The same, or by the relation's cardinalities (see ``uniform.Bernoulli``).
AnySide = Literal["bernoulli", "coin", "head", "tail"]

#: A negative that is a known triple counts all the same, is marked invalid, or is drawn again.
Filter = Literal["none", "mask", "resample"]

#: The filters of a sampler that has nothing else to draw.
Mask = Literal["none", "mask"]


class EntitySampler(NegativeSampler):
    """Negatives that are entities of the graph; a subclass draws them, sides and filters are here.

    Args:
        k: negatives per triple.
        filter: what becomes of known triples. ``resample`` gives up after ``rounds`` draws, for in
            a dense graph nothing else may be left, and marks what is still known as invalid.
        known: the filter set.
    """

    #: the values of ``filter`` it takes
    filters: ClassVar[tuple[Filter, ...]] = get_args(Filter)
    #: (m,) how often the head is the side replaced, for each relation; None leaves it to ``side``
    head_probability: Tensor | None

    def __init__(
        self,
        k: int,
        *,
        side: Side = "coin",
        filter: Filter = "none",
        known: KnownTriples | None = None,
        rounds: int = 20,
    ) -> None:
        super().__init__()
        counted("k", k)
        counted("rounds", rounds, most=MOST_ROUNDS)
        one_of("side", side, SIDES)
        one_of("filter", filter, self.filters)
        requires_known(filter, known)
        self.k = k
        self.side: Side = side
        self.filter: Filter = filter
        self.known = known
        self.rounds = rounds
        self.register_buffer("head_probability", None, persistent=False)

    @abstractmethod
    def draw(self, positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
        """Draw an entity for each negative: (...) ids.

        Args:
            positives: the batch.
            rows: the triple of the batch that each negative belongs to; broadcasts to (...).
            corrupt_head: (...) bool.
        """

    def probability(
        self, positives: Positives, rows: Tensor, ids: Tensor, corrupt_head: Tensor
    ) -> Tensor:
        """The probability that a draw is the entity given: (...), arguments as of ``draw``.

        A subclass whose draws have a known one, independent of each other, returns it here.
        """
        raise NotImplementedError

    @property
    def not_counted(self) -> str:
        """Whether the class has probabilities of its own draws, and the filter keeps them."""
        kind, counts = type(self), {"probability", "expected_counts"}
        # A subclass that draws in its own way does not inherit the probabilities of another.
        if derivation(kind, {"draw"}) < derivation(kind, counts):
            return super().not_counted
        drawn = "draws known triples again, as often as there are"
        return (
            f"filter: resample {drawn}; mask or none is needed" if self.filter == "resample" else ""
        )

    def expected_counts(
        self, positives: Positives, ids: Tensor, corrupt_head: Tensor, own: Tensor
    ) -> Tensor:
        """N·q: (b, k), q being the ``probability`` and N the negatives of a side."""
        if self.not_counted:
            raise InputError(self.not_counted)
        rows = torch.arange(len(positives), device=ids.device).unsqueeze(1)
        probability = self.probability(positives, rows, ids, corrupt_head)
        return number_of_side(own, corrupt_head) * probability

    def sides(self, positives: Positives) -> Tensor:
        """Which negatives replace the head: (b, k) bool."""
        if self.head_probability is not None:
            return relation_sides(self.head_probability, positives.triples, self.k)
        return sides(self.side, len(positives), self.k, positives.triples.device)

    @property
    def filtered_by(self) -> KnownTriples | None:
        """``known``, unless ``filter`` is none."""
        return None if self.filter == "none" else self.known

    @property
    def needs_all_entities(self) -> str:
        """Only if its draws look at the model."""
        return super().needs_all_entities if self.adaptive else ""

    @property
    def needs_whole_batch(self) -> str:
        """Only if it looks at the model: all else is in its proposal."""
        return super().needs_whole_batch if self.adaptive else ""

    def propose(self, positives: Positives) -> Proposal:
        """Its draws."""
        if self.needs_all_entities:
            raise InputError(self.needs_all_entities)
        return self.drawn(positives)

    def drawn(self, positives: Positives) -> Proposal:
        """A draw: negatives by id, and ``valid`` where there is a filter."""
        corrupt_head = self.sides(positives)
        rows = torch.arange(len(positives), device=corrupt_head.device).unsqueeze(1)
        ids = self._checked_draw(positives, rows, corrupt_head)
        if self.filter == "none":
            return Proposal(ids, corrupt_head)
        valid = self.unknown(positives.triples, ids, corrupt_head)
        if self.filter == "resample":
            ids, valid = self.redraw(positives, ids, corrupt_head, valid)
        return Proposal(ids, corrupt_head, valid)

    def _checked_draw(self, positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
        """``draw``; other than an id for each negative is refused."""
        ids = self.draw(positives, rows, corrupt_head)
        is_tensor = isinstance(ids, Tensor)
        if not is_tensor or ids.shape != corrupt_head.shape or ids.dtype != torch.int64:
            expected = f"{tuple(corrupt_head.shape)} ids, int64"
            kind = str(ids.dtype).removeprefix("torch.") if is_tensor else ""
            found = f"{tuple(ids.shape)}, {kind}" if is_tensor else shown(ids)
            name = type(self).__name__.lower()
            raise InputError(f"sampler: draw of {name}: expected {expected}; got {found}")
        return ids

    def forward(self, positives: Positives) -> Negatives:
        """The negatives proposed, or drawn here."""
        return (positives.proposal or self.drawn(positives)).negatives(positives)

    def redraw(
        self, positives: Positives, ids: Tensor, corrupt_head: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Draw what is invalid again, at most ``rounds`` times: ids and valid, (b, k) each."""
        k = ids.shape[1]
        ids, valid = ids.flatten().clone(), valid.flatten().clone()
        slots = (~valid).nonzero().squeeze(1)
        rows = slots // k
        side, triples = corrupt_head.flatten()[slots], positives.triples[rows]
        for _ in range(self.rounds):
            if not len(slots):
                break
            drawn = self._checked_draw(positives, rows, side)
            clean = self.unknown(triples, drawn.unsqueeze(1), side.unsqueeze(1)).squeeze(1)
            ids.index_copy_(0, slots, drawn)
            valid.index_copy_(0, slots, clean)
            left = (~clean).nonzero().squeeze(1)
            slots, rows, side, triples = slots[left], rows[left], side[left], triples[left]
        return ids.view_as(corrupt_head), valid.view_as(corrupt_head)


def sides(side: Side, b: int, k: int, device: torch.device) -> Tensor:
    """Which negatives replace the head: (b, k) bool."""
    if side == "coin":
        # A bit of each byte of random words: a tenth of the time that a number for each coin takes.
        words = torch.empty((b * k + 7) // 8, dtype=torch.int64, device=device).random_()
        bits = words.view(torch.uint8).bitwise_and_(1).view(torch.bool)
        return bits[: b * k].view(b, k)
    return torch.full((b, k), side == "head", device=device)


def without_relations(side: AnySide) -> Side:
    """The side of a sampler whose ``head_probability`` is set where relations decide."""
    one_of("side", side, get_args(AnySide))
    return "coin" if side == "bernoulli" else side


def number_of_side(own: Tensor, corrupt_head: Tensor) -> Tensor:
    """How many of a triple's (b, ·) negatives are of the side of each of (b, k): (b, k) ids."""
    heads = own.sum(1, keepdim=True)
    return torch.where(corrupt_head, heads, own.shape[1] - heads)


def relation_sides(head_probability: Tensor, triples: Tensor, k: int) -> Tensor:
    """Which negatives of (b, 3) triples replace the head, by (m,) probabilities: (b, k) bool."""
    probability = head_probability[triples[:, 1]].unsqueeze(1)
    return torch.rand(len(triples), k, device=probability.device) < probability


def replaced(positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
    """The entities that negatives replace, for the arguments of ``EntitySampler.draw``: (...)."""
    return end(positives.triples[rows], corrupt_head)


def uncorrupted(positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
    """The entities at the other end of the triples, as ``replaced`` takes its arguments: (...)."""
    return end(positives.triples[rows], ~corrupt_head)


def end(triples: Tensor, head: Tensor) -> Tensor:
    """The heads of (..., 3) triples where ``head``, else their tails: in the shape of ``head``."""
    heads, _, tails = triples.unbind(-1)
    # A choice by bits: processors cannot predict branches on random sides.
    mask = head.long().neg_()
    return mask.bitwise_and_(heads ^ tails).bitwise_xor_(tails)


def any_other(true: Tensor, n: int) -> Tensor:
    """Any of n entities but the true one: u ~ U{0, …, n − 2};  e′ = u + [u ≥ e]."""
    if n < 2:
        raise InputError(f"entities: a negative must be another entity, and there is only {n}")
    drawn = torch.randint(n - 1, true.shape, device=true.device)
    return drawn.add_(drawn >= true)


def any_of(n: int, count: int, device: torch.device) -> Tensor:
    """That many different entities of n, each as likely as any other: (count,) rising.

    The cost is that of ``count`` entities, however many there are.
    """
    if count >= n:
        return torch.arange(n, device=device)
    if count > n // 8:
        return torch.randperm(n, device=device)[:count].sort().values
    ids: Tensor = torch.randint(n, (count,), device=device).unique()
    while len(ids) < count:
        # Those that repeat are drawn again; all entities are treated alike.
        more = torch.randint(n, (count - len(ids),), device=device)
        ids = torch.cat((ids, more)).unique()
    return ids


def requires_known(policy: Filter, known: KnownTriples | None) -> None:
    """Refuse a filter without known triples."""
    if policy != "none" and known is None:
        raise InputError(f"filter: {policy} needs the known triples; without them only none works")
