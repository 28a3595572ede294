"""What a negative sampler is: from triples to negatives, with the moves by which it learns."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from dans.errors import InputError
from dans.models.batch import Negatives, Positives


@dataclass(frozen=True)
class Phase:
    """One inner move of a sampler that learns: which parameters, against which loss.

    Args:
        name: unique within a sampler; names the optimizer in checkpoints and recipes.
        parameters: what this move may change, and nothing else moves.
        loss: detached triples to a scalar; called anew for each repeat.
        repeats: updates per step of the model.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    loss: Callable[[Positives], Tensor]
    repeats: int = 1


class NegativeSampler(nn.Module, ABC):
    """Draws negatives for a batch of triples.

    State that must survive a restart (weights, caches, chains, counters) lives in parameters and
    buffers, so that a checkpoint holds it. Randomness comes from torch's global generator alone.
    """

    #: does it look at the model? One that does not draws from ``Positives.of_ids`` as well.
    adaptive: ClassVar[bool] = False
    #: negatives per triple
    k: int

    @abstractmethod
    def forward(self, positives: Positives) -> Negatives:
        """Negatives, k for each of the b triples."""

    def phases(self) -> tuple[Phase, ...]:
        """The inner moves, in the order they are made before each step of the model."""
        return ()

    def terms(self, positives: Positives) -> dict[str, Tensor]:
        """Named scalars that the model minimises beside the loss of its negatives."""
        return {}

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """Numbers worth watching at each validation; empty for a sampler that does not learn."""
        return {}

    def origins(self, positives: Positives) -> dict[str, Negatives]:
        """Negatives by where they come from: one entry, or one for each pathway a sampler has."""
        return {type(self).__name__.lower(): self(positives)}


class Mixture(NegativeSampler):
    """Negatives of several samplers, side by side.

    Args:
        samplers: at least one; their negatives are concatenated in this order.
    """

    def __init__(self, *samplers: NegativeSampler) -> None:
        super().__init__()
        if not samplers:
            raise ValueError("a mixture needs at least one sampler")
        self.members = nn.ModuleList(samplers)
        self.k = sum(sampler.k for sampler in samplers)

    @property
    def samplers(self) -> tuple[NegativeSampler, ...]:
        """The samplers mixed, in order."""
        return tuple(m for m in self.members if isinstance(m, NegativeSampler))

    def forward(self, positives: Positives) -> Negatives:
        """All members' negatives; ids only if every member has them, partial ones if some have."""
        drawn = [sampler(positives) for sampler in self.samplers]
        given = [part.partial_ids if part.ids is None else part.ids for part in drawn]
        ids = _joined(given, drawn, torch.int64, -1)
        whole = all(part.ids is not None for part in drawn)
        return Negatives(
            torch.cat([part.embeddings for part in drawn], dim=1),
            torch.cat([part.replaces_head for part in drawn], dim=1),
            ids if whole else None,
            _joined([part.valid for part in drawn], drawn, torch.bool),
            _joined([part.weights for part in drawn], drawn, drawn[0].embeddings.dtype),
            None if whole else ids,
        )

    def phases(self) -> tuple[Phase, ...]:
        """The members' phases, in order; names must not clash."""
        phases = [phase for sampler in self.samplers for phase in sampler.phases()]
        names = [phase.name for phase in phases]
        if len(set(names)) != len(names):
            raise InputError(f"sampler: two of a mixture share a phase name: {', '.join(names)}")
        return tuple(phases)

    def terms(self, positives: Positives) -> dict[str, Tensor]:
        """The members' terms, together; names must not clash."""
        return _united(sampler.terms(positives) for sampler in self.samplers)

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """The members' numbers, together."""
        return {k: v for sampler in self.samplers for k, v in sampler.diagnose(positives).items()}

    def origins(self, positives: Positives) -> dict[str, Negatives]:
        """The members' negatives, each by its own name; a second one of a name gets a number."""
        found: dict[str, Negatives] = {}
        for i, sampler in enumerate(self.samplers, start=1):
            for name, negatives in sampler.origins(positives).items():
                found[f"{name} {i}" if name in found else name] = negatives
        return found


def _joined(
    parts: Sequence[Tensor | None], drawn: Sequence[Negatives], dtype: torch.dtype, missing: int = 1
) -> Tensor | None:
    """Parts side by side, a number standing in for those not given; None where none is."""
    if all(part is None for part in parts):
        return None
    whole = [
        torch.full_like(negatives.replaces_head, missing, dtype=dtype) if part is None else part
        for part, negatives in zip(parts, drawn, strict=True)
    ]
    return torch.cat(whole, dim=1)


def _united(parts: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    whole: dict[str, Tensor] = {}
    for part in parts:
        if twice := whole.keys() & part.keys():
            raise InputError(f"sampler: two of a mixture share a term: {', '.join(sorted(twice))}")
        whole |= part
    return whole
