"""What a negative sampler is: from facts to rivals, with the moves by which it learns."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dans.batch import Negatives, Positives


@dataclass(frozen=True)
class Phase:
    """One inner move of a sampler that learns: which parameters, against which loss.

    Args:
        name: unique within a sampler; names the optimizer in checkpoints and recipes.
        parameters: what this move may change, and nothing else moves.
        loss: detached facts to a scalar; called anew for each repeat.
        repeats: updates per step of the model.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    loss: Callable[[Positives], Tensor]
    repeats: int = 1


class NegativeSampler(nn.Module, ABC):
    """Draws rivals for a batch of facts.

    State that must survive a restart (weights, caches, chains, counters) lives in parameters and
    buffers, so that a checkpoint holds it. Chance comes from torch's global generator alone.
    """

    #: rivals per fact
    k: int

    @abstractmethod
    def forward(self, positives: Positives) -> Negatives:
        """Rivals, k for each of the b facts."""

    def phases(self) -> tuple[Phase, ...]:
        """The inner moves, in the order they are made before each step of the model."""
        return ()

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """Numbers worth watching at each validation; empty for a sampler that does not learn."""
        return {}

    def origins(self, positives: Positives) -> dict[str, Negatives]:
        """Rivals by where they come from: one entry, or one for each way a sampler has."""
        return {type(self).__name__.lower(): self(positives)}


class Mixture(NegativeSampler):
    """Rivals of several samplers, side by side.

    Args:
        samplers: at least one; their rivals are concatenated in this order.
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
        """All members' rivals; ids only if every member has them."""
        drawn = [sampler(positives) for sampler in self.samplers]
        ids = [part.ids for part in drawn if part.ids is not None]
        masks = [part.valid for part in drawn]
        valid = None
        if any(mask is not None for mask in masks):
            valid = torch.cat(
                [
                    torch.ones_like(part.replaces_head) if part.valid is None else part.valid
                    for part in drawn
                ],
                dim=1,
            )
        return Negatives(
            torch.cat([part.vectors for part in drawn], dim=1),
            torch.cat([part.replaces_head for part in drawn], dim=1),
            torch.cat(ids, dim=1) if len(ids) == len(drawn) else None,
            valid,
        )

    def phases(self) -> tuple[Phase, ...]:
        """The members' phases, in order; names must not clash."""
        phases = [phase for sampler in self.samplers for phase in sampler.phases()]
        names = [phase.name for phase in phases]
        if len(set(names)) != len(names):
            raise ValueError(f"two samplers of a mixture share a phase name: {sorted(names)}")
        return tuple(phases)

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """The members' numbers, together."""
        return {k: v for sampler in self.samplers for k, v in sampler.diagnose(positives).items()}

    def origins(self, positives: Positives) -> dict[str, Negatives]:
        """The members' rivals, each by its own name; a second one of a name gets a number."""
        found: dict[str, Negatives] = {}
        for i, sampler in enumerate(self.samplers, start=1):
            for name, rivals in sampler.origins(positives).items():
                found[f"{name} {i}" if name in found else name] = rivals
        return found
