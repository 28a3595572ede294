"""The interface of negative samplers, and mixtures of several."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from dans.errors import InputError
from dans.models.batch import Negatives, Positives


@dataclass(frozen=True)
class Phase:
    """One update of a sampler that learns: which parameters, by which loss, how often.

    Args:
        name: unique within a sampler; names the optimizer in checkpoints and recipes.
        parameters: all that the update changes.
        loss: detached positives to a scalar; called again for each repeat.
        repeats: updates per step of the model.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    loss: Callable[[Positives], Tensor]
    repeats: int = 1


class NegativeSampler(nn.Module, ABC):
    """Negatives for a batch of positives.

    State that must survive a restart (weights, caches, chains, counters) is in parameters and
    buffers, so that a checkpoint holds it. All randomness comes from torch's global generator.
    """

    #: whether it uses the model's embeddings or scores; if not, ``Positives.of_ids`` will do
    adaptive: ClassVar[bool] = False
    #: negatives per triple
    k: int

    @abstractmethod
    def forward(self, positives: Positives) -> Negatives:
        """Negatives: k for each of the b triples."""

    def phases(self) -> tuple[Phase, ...]:
        """Its updates before each step of the model, in order."""
        return ()

    def terms(self, positives: Positives) -> dict[str, Tensor]:
        """Auxiliary losses by name, which the model minimises beside that of its negatives."""
        return {}

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """Diagnostic numbers by name, logged at each validation."""
        return {}

    def origins(self, positives: Positives) -> dict[str, Negatives]:
        """Negatives by their origin: one entry, or one for each pathway of a sampler."""
        return {type(self).__name__.lower(): self(positives)}


class Mixture(NegativeSampler):
    """The negatives of several samplers, concatenated in order: k is the sum of theirs."""

    def __init__(self, *samplers: NegativeSampler) -> None:
        super().__init__()
        if not samplers:
            raise ValueError("a mixture needs at least one sampler")
        self.members = nn.ModuleList(samplers)
        self.k = sum(sampler.k for sampler in samplers)

    @property
    def samplers(self) -> tuple[NegativeSampler, ...]:
        """The members, typed."""
        return tuple(m for m in self.members if isinstance(m, NegativeSampler))

    def forward(self, positives: Positives) -> Negatives:
        """All members' negatives, with ``ids`` if all have them, ``partial_ids`` if some have."""
        drawn = [sampler(positives) for sampler in self.samplers]
        ids = _joined(
            [part.partial_ids if part.ids is None else part.ids for part in drawn],
            drawn,
            torch.int64,
            missing=-1,
        )
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
        """The members' phases, in order; their names must differ."""
        phases = [phase for sampler in self.samplers for phase in sampler.phases()]
        names = [phase.name for phase in phases]
        if len(set(names)) != len(names):
            raise InputError(f"sampler: two of a mixture share a phase name: {', '.join(names)}")
        return tuple(phases)

    def terms(self, positives: Positives) -> dict[str, Tensor]:
        """The members' terms; their names must differ."""
        whole: dict[str, Tensor] = {}
        for sampler in self.samplers:
            terms = sampler.terms(positives)
            if twice := ", ".join(sorted(whole.keys() & terms.keys())):
                raise InputError(f"sampler: two of a mixture share a term: {twice}")
            whole |= terms
        return whole

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """The members' numbers."""
        return {k: v for sampler in self.samplers for k, v in sampler.diagnose(positives).items()}

    def origins(self, positives: Positives) -> dict[str, Negatives]:
        """The members' negatives; where a name occurs again, the member's number is added."""
        found: dict[str, Negatives] = {}
        for i, sampler in enumerate(self.samplers, start=1):
            for name, negatives in sampler.origins(positives).items():
                found[f"{name} {i}" if name in found else name] = negatives
        return found


def _joined(
    parts: Sequence[Tensor | None], drawn: Sequence[Negatives], dtype: torch.dtype, missing: int = 1
) -> Tensor | None:
    """Parts concatenated, ``missing`` in place of those not given; None if none is."""
    if all(part is None for part in parts):
        return None
    whole = [
        torch.full_like(negatives.replaces_head, missing, dtype=dtype) if part is None else part
        for part, negatives in zip(parts, drawn, strict=True)
    ]
    return torch.cat(whole, dim=1)
