"""What the adapters share: a sampler that learns on, inside a loop that knows nothing of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import get_worker_info

from dans.batch import Negatives, Positives
from dans.config import PhaseConfig
from dans.errors import InputError
from dans.registry import build
from dans.samplers import DANS, Mixture, NegativeSampler
from dans.samplers.base import Phase


class Learner:
    """A sampler whose rivals are ids, and the Adam of each of its phases.

    Before each draw in training the phases are moved, as our own trainer does before each step.

    Args:
        sampler: any whose rivals are entities.
        phases: how each phase moves, by its name, as a recipe says it: ``{"critic": {"lr": 1e-4}}``
            (see ``PhaseConfig``). Defaults where one is not named.

    Raises:
        InputError: the sampler needs what the loops of others have no place for, such as rivals
            without ids or a term of its own in the model's loss; or ``phases`` names one it does
            not have.

    Example:
        >>> from dans.samplers import Uniform
        >>> facts = torch.tensor([[0, 0, 1]])
        >>> Learner(Uniform(k=3)).draw(Positives.of_ids(facts, 5)).triples(facts).shape
        torch.Size([1, 3, 3])
    """

    def __init__(
        self, sampler: NegativeSampler, phases: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        for member in members(sampler):
            check(member)
        self.sampler = sampler
        self.adaptive = any(member.adaptive for member in members(sampler))
        self.phases = sampler.phases()
        defaults = {phase.name: PhaseConfig for phase in self.phases}
        for name in phases or {}:
            if name not in defaults:
                raise InputError(
                    f"phases.{name}: this sampler has no such phase; "
                    f"known: {', '.join(defaults) or 'none'}"
                )
        self.moves = {
            name: build(defaults, name, where=f"phases.{name}", given=(phases or {}).get(name))
            for name in defaults
        }
        self.optimizers = {
            phase.name: torch.optim.Adam(
                phase.parameters,
                lr=self.moves[phase.name].lr,
                betas=self.moves[phase.name].betas,
            )
            for phase in self.phases
        }

    def draw(self, positives: Positives) -> Negatives:
        """Rivals with ids, after every phase has been moved.

        Raises:
            InputError: rivals came without ids, or with weights; or a sampler that looks at the
                model draws in a worker process, where its model is a copy that never learns.
        """
        if self.adaptive and get_worker_info() is not None:
            raise InputError("num_workers: must be 0 for a sampler that looks at the model")
        positives = positives.detach()
        if self.sampler.training:
            # The loop that calls may have gradients switched off; the phases' own are needed.
            with torch.enable_grad():
                self.learn(positives)
        with torch.no_grad():
            rivals: Negatives = self.sampler(positives)
        if rivals.ids is None:
            raise InputError(
                "sampler: its rivals are vectors without ids, which nothing here takes"
            )
        if rivals.weights is not None:
            raise InputError("sampler: weighs its rivals, and this library has no place for that")
        return rivals

    def learn(self, positives: Positives) -> None:
        """Move every phase in its order, on the first part of the batch or on each in turn."""
        sizes = {p.name: self.moves[p.name].batch or len(positives) for p in self.phases}
        starts: dict[str, Sequence[int]] = {
            name: range(0, len(positives) if self.moves[name].sweep else 1, size)
            for name, size in sizes.items()
        }
        for turn in range(max(map(len, starts.values()), default=0)):
            for phase in self.phases:
                if turn < len(starts[phase.name]):
                    start = starts[phase.name][turn]
                    self.move(phase, positives.slice(start, start + sizes[phase.name]))

    def move(self, phase: Phase, positives: Positives) -> None:
        """Update one phase's own parameters, as often as it asks, whatever else its loss touched.

        Raises:
            FloatingPointError: its loss is no longer a number.
        """
        optimizer = self.optimizers[phase.name]
        for _ in range(phase.repeats):
            optimizer.zero_grad()
            loss = phase.loss(positives)
            if not torch.isfinite(loss.detach()):
                raise FloatingPointError(f"phase {phase.name}: its loss is {float(loss.detach())}")
            loss.backward(inputs=list(phase.parameters))
            optimizer.step()


def members(sampler: NegativeSampler) -> list[NegativeSampler]:
    """The samplers of a mixture, or the one there is."""
    if not isinstance(sampler, Mixture):
        return [sampler]
    return [member for part in sampler.samplers for member in members(part)]


def check(sampler: NegativeSampler) -> None:
    """Refuse what only our own trainer can do.

    Raises:
        InputError: rivals without ids, a loss term for the model, or a warm-up.
    """
    name = type(sampler).__name__.lower()
    if type(sampler).terms is not NegativeSampler.terms:
        raise InputError(f"sampler: {name} adds a term to the model's loss; train it with dans")
    if isinstance(sampler, DANS) and sampler.decode == "vector":
        raise InputError(
            "decode: vector gives rivals without ids, and ids are needed; set it to nearest_other"
        )
    if isinstance(sampler, DANS) and sampler.warmup:
        raise InputError("warmup: marks all rivals of dans invalid; leave it out here")
