"""How the phases of a sampler move: an optimizer for each, and the parts of a batch they see."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from dans.config.schema import PhaseConfig
from dans.errors import InputError
from dans.models.batch import Positives
from dans.samplers.base import Phase


def stop_unless_finite(losses: Mapping[str, Tensor]) -> None:
    """Stop at the first phase whose loss is no longer a number.

    Raises:
        FloatingPointError: there is one.
    """
    for name, loss in losses.items():
        if not torch.isfinite(loss.detach()):
            raise FloatingPointError(f"phase {name}: its loss is {float(loss.detach())}")


class PhaseOptimizers:
    """One optimizer for each phase of a sampler, on the phase's own parameters alone.

    Args:
        phases: in the order they move.
        configs: how each moves, by its name; defaults where one is not named.
        where: the section the names come from; opens the error.
        check: stops at a loss that is no number, by name, before it spoils a parameter.

    Raises:
        InputError: ``configs`` names a phase there is not.

    Example:
        >>> weight = nn.Parameter(torch.ones(1))
        >>> phase = Phase("discriminator", (weight,), lambda positives: weight.sum())
        >>> moves = PhaseOptimizers([phase])
        >>> moves(Positives.of_ids(torch.tensor([[0, 0, 1]]), 2))
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
    ) -> None:
        given, names = configs or {}, [phase.name for phase in phases]
        for name in given:
            if name not in names:
                raise InputError(
                    f"{where}.{name}: this sampler has no such phase; "
                    f"known: {', '.join(names) or 'none'}"
                )
        self.phases = tuple(phases)
        self.check = check
        self.configs = {name: given.get(name, PhaseConfig()) for name in names}
        #: by phase; a checkpoint keeps their state by these names
        self.optimizers = {
            phase.name: adam(
                phase.parameters, self.configs[phase.name].lr, self.configs[phase.name].betas
            )
            for phase in phases
        }

    def __call__(self, positives: Positives, *, factor: float = 1.0) -> dict[str, float]:
        """Every phase in its order, on the first part of the batch or on each in turn.

        Args:
            positives: the batch, detached.
            factor: what each learning rate is multiplied by.

        Returns:
            The last loss of each phase, by its name.

        Raises:
            FloatingPointError: a loss or its gradient is no longer a number.
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
                    logged[phase.name] = float(self.move(phase, part, factor))
        return logged

    # A loop that calls may have gradients switched off; the phases' own are needed.
    @torch.enable_grad()
    def move(self, phase: Phase, positives: Positives, factor: float = 1.0) -> Tensor:
        """One update of one phase; its loss before."""
        optimizer = self.optimizers[phase.name]
        optimizer.zero_grad()
        loss = phase.loss(positives)
        self.check({phase.name: loss})
        loss.backward(inputs=list(phase.parameters))
        norm = gradient_norm(p.grad for p in phase.parameters if p.grad is not None)
        if not norm.isfinite():
            self.check({f"the gradient of {phase.name}": norm})
        for group in optimizer.param_groups:
            group["lr"] = self.configs[phase.name].lr * factor
        optimizer.step()
        return loss.detach()


def gradient_norm(grads: Iterable[Tensor]) -> Tensor:
    """The length of several gradients together; 0 of none.

    Args:
        grads: a sparse one names each row once.

    Example:
        >>> gradient_norm([torch.tensor([3.0]), torch.tensor([[0.0], [4.0]])])
        tensor(5.)
    """
    norms = [torch.linalg.vector_norm(g._values() if g.is_sparse else g) for g in grads]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros(())


def adam(
    parameters: Iterable[nn.Parameter], lr: float, betas: tuple[float, float]
) -> torch.optim.Adam:
    """Adam in one fused pass: on large tables four times faster than the loop over parameters."""
    return torch.optim.Adam(list(parameters), lr=lr, betas=betas, fused=True)
