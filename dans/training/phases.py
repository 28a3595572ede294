"""Optimizers of a sampler's phases, and the parts of a batch that each phase sees."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from dans.config.schema import PhaseConfig
from dans.errors import InputError
from dans.models.batch import Positives
from dans.samplers.base import Phase
from dans.training.optimizers import Gradients, adam, descend


def stop_unless_finite(losses: Mapping[str, Tensor]) -> None:
    """Raise ``FloatingPointError`` at a phase whose loss is NaN or infinite."""
    for name, loss in losses.items():
        if not torch.isfinite(loss.detach()):
            raise FloatingPointError(f"phase {name}: its loss is {float(loss.detach())}")


class PhaseOptimizers:
    """An optimizer for each phase of a sampler, on the phase's own parameters alone.

    Args:
        phases: in the order of their updates.
        configs: options of each phase, by name; defaults where one is not named.
        where: the section of ``configs``, for errors.
        check: stops at a loss that is NaN or infinite, before it changes a parameter.
        reducer: joins the gradients of several processes.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(1))
        >>> phase = Phase("discriminator", (weight,), lambda positives: weight.sum())
        >>> optimizers = PhaseOptimizers([phase])
        >>> optimizers(Positives.of_ids(torch.tensor([[0, 0, 1]]), 2))
        {'discriminator': 1.0}
        >>> bool(weight < 1)
        True
    """

    def __init__(
        self,
        phases: Sequence[Phase],
        configs: Mapping[str, PhaseConfig] | None = None,
        *,
        where: str = "phase",
        check: Callable[[Mapping[str, Tensor]], None] = stop_unless_finite,
        reducer: Gradients | None = None,
    ) -> None:
        given, names = configs or {}, [phase.name for phase in phases]
        for name in given:
            if name not in names:
                known = ", ".join(names) or "none"
                raise InputError(f"{where}.{name}: this sampler has no such phase; known: {known}")
        self.phases = tuple(phases)
        self.check = check
        self.reducer = reducer
        self.configs = {name: given.get(name, PhaseConfig()) for name in names}
        #: by phase; checkpoints keep their state by these names
        self.optimizers = {}
        for phase in phases:
            config = self.configs[phase.name]
            self.optimizers[phase.name] = adam(phase.parameters, config.lr, config.betas)

    def __call__(self, positives: Positives, *, factor: float = 1.0) -> dict[str, float]:
        """Update every phase in its order, on the first part of the batch or on each part in turn.

        ``positives`` is the batch, detached; ``factor`` multiplies each learning rate. Returns the
        last loss of each phase, by its name.
        """
        logged: dict[str, float] = {}
        sizes = {name: config.batch or len(positives) for name, config in self.configs.items()}
        parts = {
            name: range(0, len(positives) if config.sweep else 1, sizes[name])
            for name, config in self.configs.items()
        }
        for turn in range(max(map(len, parts.values()), default=0)):
            for phase in self.phases:
                if turn >= len(parts[phase.name]):
                    continue
                start = parts[phase.name][turn]
                part = positives.slice(start, start + sizes[phase.name])
                for _ in range(phase.repeats):
                    logged[phase.name] = float(self.update(phase, part, factor))
        return logged

    # The caller may have switched gradients off.
    @torch.enable_grad()
    def update(self, phase: Phase, positives: Positives, factor: float = 1.0) -> Tensor:
        """One update of one phase; its loss before."""
        loss = phase.loss(positives)
        if positives.share is not None:
            loss = loss * positives.share.weight
        self.check({phase.name: loss})
        descend(
            self.optimizers[phase.name],
            loss,
            lr=self.configs[phase.name].lr * factor,
            check=lambda norm: self.check({f"the gradient of {phase.name}": norm}),
            reducer=self.reducer,
        )
        return loss.detach()
