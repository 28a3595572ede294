"""Negative samplers: from a batch of triples to negatives, with phases for those that learn."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn

from dans.data.known_triples import KnownTriples
from dans.errors import InputError, shown
from dans.models.batch import Negatives, Positives, Proposal

#: What a mixture collects from its samplers by name.
Value = TypeVar("Value")


@dataclass(frozen=True)
class Phase:
    """One update of a sampler that learns: some parameters, and the loss that they minimise.

    ``name`` is unique within a sampler; it names the optimizer in checkpoints and recipes.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    #: detached triples to a scalar; called anew for each repeat
    loss: Callable[[Positives], Tensor]
    #: updates per step of the model
    repeats: int = 1


def check_width(positives: Positives, dim: int) -> None:
    """Refuse a batch whose embeddings have another width than a sampler's networks."""
    width = positives.h.shape[-1]
    if not width:
        raise InputError("positives: the sampler looks at embeddings, and of_ids has none")
    if width != dim:
        raise InputError(f"dim: {dim} of the sampler, but {width} of the embeddings in the batch")


class NegativeSampler(nn.Module, ABC):
    """Draws negatives for a batch of triples.

    State that must survive a restart (weights, caches, chains, counters) lies in parameters and
    buffers, so that a checkpoint holds it. Randomness comes from torch's global generator alone.
    """

    #: does it use the model's embeddings? If not, it also accepts ``Positives.of_ids``.
    adaptive: ClassVar[bool] = False
    #: negatives per triple
    k: int

    def __call__(self, positives: Positives) -> Negatives:
        """``forward``; ``InputError`` where it has other than ``k`` negatives for each triple."""
        name = f"sampler: {type(self).__name__.lower()}"
        if not isinstance(getattr(self, "k", None), int):
            raise InputError(f"{name} has no k, the number of its negatives for each triple")
        negatives: Negatives = super().__call__(positives)
        if not isinstance(negatives, Negatives):
            raise InputError(f"{name} returned {shown(negatives)}; expected Negatives")
        found, expected = tuple(negatives.corrupt_head.shape), (len(positives), self.k)
        if found != expected:
            raise InputError(
                f"{name} returned {found} negatives; expected {expected}: k = {self.k} for each of "
                f"{len(positives)} triples"
            )
        width = positives.h.shape[-1]
        if negatives.embeddings.shape != (*expected, width):
            got = tuple(negatives.embeddings.shape)
            raise InputError(f"{name} returned {got} embeddings; expected {(*expected, width)}")
        return negatives

    @abstractmethod
    def forward(self, positives: Positives) -> Negatives:
        """(b, k) negatives of b triples: those of ``positives.proposal``, if there is one."""

    @property
    def needs_all_entities(self) -> str:
        """Why every entity must be encoded, in words; empty if ``propose`` says which are needed.

        Steps on large graphs encode some entities only, and refuse a sampler that needs all.
        """
        return f"{type(self).__name__} does not say which entities it needs before it draws"

    @property
    def needs_whole_batch(self) -> str:
        """Why several processes cannot share a batch, in words; empty if they can.

        They can where all it draws is in its proposal, or drawn by `Positives.randn_like` and
        ``sides`` of the whole batch, where the losses of its phases are means over triples, and
        where nothing that it keeps depends on the batch.
        """
        return f"what {type(self).__name__} learns or keeps depends on the whole batch"

    def propose(self, positives: Positives) -> Proposal:
        """What it draws of a batch, and all whose embeddings it will use, before it is encoded.

        ``positives`` have ids alone (``Positives.of_ids``). The proposal comes back in those that
        its phases, its terms and ``forward`` are given.

        Raises:
            InputError: it needs all entities.
        """
        raise InputError(self.needs_all_entities)

    @property
    def not_counted(self) -> str:
        """Why there are no ``expected_counts``, in words; empty where there are."""
        return f"how often {type(self).__name__} draws an entity is not known"

    def expected_counts(
        self, positives: Positives, ids: Tensor, corrupt_head: Tensor, own: Tensor
    ) -> Tensor:
        """How often each entity is expected among the negatives of its triple and side.

        For a draw with replacement from q that is N·q, N being the number of negatives of that
        side. It weighs the terms of losses that estimate a sum over all entities.

        Args:
            positives: the batch.
            ids: (b, k) entities, not always drawn by this sampler.
            corrupt_head: (b, k) bool, their sides.
            own: (b, ·) bool, the sides of this sampler's own negatives.

        Returns:
            (b, k), 0 where this sampler never draws the entity; of the true entity, any number.

        Raises:
            InputError: they are not known; ``not_counted`` says why.
        """
        raise InputError(self.not_counted)

    @property
    def filtered_by(self) -> KnownTriples | None:
        """The triples that are no negatives of it; None: it has no filter of its own."""
        return None

    def unknown(self, triples: Tensor, ids: Tensor, corrupt_head: Tensor) -> Tensor:
        """Which negatives of (b, 3) triples its filter admits: (b, k) bool, from (b, k) each."""
        if self.filtered_by is None:
            return torch.ones_like(ids, dtype=torch.bool)
        return ~self.filtered_by.is_known_corrupted(triples, ids, corrupt_head)

    def phases(self) -> tuple[Phase, ...]:
        """The sampler's own updates, in their order, before each step of the model."""
        return ()

    def terms(self, positives: Positives) -> dict[str, Tensor]:
        """Named scalars that the model minimises beside the loss of its negatives."""
        return {}

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """Named numbers to log at each validation."""
        return {}

    def origins(self, positives: Positives) -> dict[str, Negatives]:
        """Negatives as they are offered, by origin: one entry, or one for each pathway."""
        return {type(self).__name__.lower(): self(positives)}

    def generated(self, positives: Positives) -> dict[str, Negatives]:
        """What offered entities stand in for: generated embeddings, by the name of the origin.

        Under one random state, of the same draws as ``origins``. Empty where nothing is generated,
        or where it is offered as it is.
        """
        return {}


class Mixture(NegativeSampler):
    """Negatives of several samplers, concatenated in their order."""

    def __init__(self, *samplers: NegativeSampler) -> None:
        super().__init__()
        if not samplers:
            raise InputError("samplers: a mixture needs at least one")
        self.members = nn.ModuleList(samplers)
        self.k = sum(sampler.k for sampler in samplers)

    @property
    def samplers(self) -> tuple[NegativeSampler, ...]:
        """All of them, in order."""
        return tuple(m for m in self.members if isinstance(m, NegativeSampler))

    def forward(self, positives: Positives) -> Negatives:
        """All negatives; with ids if every sampler has them, with partial ids if some do."""
        drawn = [sampler(own) for sampler, own in self.each(positives)]
        complete = all(part.ids is not None for part in drawn)
        known = [part.partial_ids if part.ids is None else part.ids for part in drawn]
        ids = _joined(known, drawn, torch.int64, -1)
        return Negatives(
            torch.cat([part.embeddings for part in drawn], dim=1),
            torch.cat([part.corrupt_head for part in drawn], dim=1),
            ids if complete else None,
            _joined([part.valid for part in drawn], drawn, torch.bool, 1),
            _joined([part.weights for part in drawn], drawn, drawn[0].embeddings.dtype, 1),
            None if complete else ids,
        )

    def each(self, positives: Positives) -> list[tuple[NegativeSampler, Positives]]:
        """Its samplers, each with the batch as it is to see it: with its own proposal."""
        return [(one, _own(positives, i)) for i, one in enumerate(self.samplers)]

    @property
    def needs_all_entities(self) -> str:
        """The first reason of its samplers."""
        return next(filter(None, (sampler.needs_all_entities for sampler in self.samplers)), "")

    @property
    def needs_whole_batch(self) -> str:
        """The first reason of its samplers."""
        return next(filter(None, (sampler.needs_whole_batch for sampler in self.samplers)), "")

    def propose(self, positives: Positives) -> Proposal:
        """What each of them draws."""
        return Proposal(parts=tuple(sampler.propose(positives) for sampler in self.samplers))

    @property
    def not_counted(self) -> str:
        """The first reason of its samplers."""
        return next(filter(None, (sampler.not_counted for sampler in self.samplers)), "")

    def expected_counts(
        self, positives: Positives, ids: Tensor, corrupt_head: Tensor, own: Tensor
    ) -> Tensor:
        """The sum over its samplers, each of which has its part of the negatives.

        One whose filter masks an entity that another draws adds nothing for it.
        """
        parts = own.split([sampler.k for sampler in self.samplers], dim=1)
        differ = len({sampler.filtered_by for sampler in self.samplers}) > 1
        counts = []
        for sampler, part in zip(self.samplers, parts, strict=True):
            count = sampler.expected_counts(positives, ids, corrupt_head, part)
            if differ and sampler.filtered_by:
                count = count * sampler.unknown(positives.triples, ids, corrupt_head)
            counts.append(count)
        return torch.stack(counts).sum(0)

    def phases(self) -> tuple[Phase, ...]:
        """All phases, in order; names must be unique."""
        phases = tuple(
            replace(phase, loss=partial(_of_member, phase.loss, i))
            for i, sampler in enumerate(self.samplers)
            for phase in sampler.phases()
        )
        _check_unique("phase name", [phase.name for phase in phases])
        return phases

    def terms(self, positives: Positives) -> dict[str, Tensor]:
        """All terms; names must be unique."""
        terms = [term for one, own in self.each(positives) for term in one.terms(own).items()]
        _check_unique("term", [name for name, _ in terms])
        return dict(terms)

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """All numbers; a repeated name gets the number of its sampler."""
        return _numbered([sampler.diagnose(positives) for sampler in self.samplers], "_")

    def origins(self, positives: Positives) -> dict[str, Negatives]:
        """Negatives by origin; a repeated name gets the number of its sampler."""
        return _numbered([sampler.origins(positives) for sampler in self.samplers])

    def generated(self, positives: Positives) -> dict[str, Negatives]:
        """Generated embeddings by origin, named likewise."""
        return _numbered([sampler.generated(positives) for sampler in self.samplers])


def _own(positives: Positives, i: int) -> Positives:
    """A batch as member i of a mixture sees it."""
    if positives.proposal is None:
        return positives
    return replace(positives, proposal=positives.proposal.parts[i])


def _of_member(loss: Callable[[Positives], Tensor], i: int, positives: Positives) -> Tensor:
    """The loss of a phase of member i."""
    return loss(_own(positives, i))


def _numbered(parts: Sequence[Mapping[str, Value]], between: str = " ") -> dict[str, Value]:
    """The entries of all parts; a repeated name gets the number of its part, counted from 1."""
    found: dict[str, Value] = {}
    for i, part in enumerate(parts, start=1):
        for name, value in part.items():
            found[f"{name}{between}{i}" if name in found else name] = value
    return found


def _joined(
    parts: Sequence[Tensor | None], drawn: Sequence[Negatives], dtype: torch.dtype, missing: int
) -> Tensor | None:
    """Concatenate (b, k) parts, filling in those that are None; None where all are."""
    if all(part is None for part in parts):
        return None
    filled = [
        torch.full_like(negatives.corrupt_head, missing, dtype=dtype) if part is None else part
        for part, negatives in zip(parts, drawn, strict=True)
    ]
    return torch.cat(filled, dim=1)


def _check_unique(what: str, names: list[str]) -> None:
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"sampler: two of a mixture share a {what}: {', '.join(sorted(twice))}")
