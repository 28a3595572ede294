"""Guards around the training step: divergence, plateau and diagnosis."""

import logging
import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dans.config.schema import TrainConfig
from dans.data.graph import KnowledgeGraph
from dans.models.model import Model
from dans.objectives.base import Objective
from dans.samplers.dans.diagnostics import warnings
from dans.seeding import random_state, restore_random_state

log = logging.getLogger(__name__)

#: Training triples on which a sampler is diagnosed at each validation.
DIAGNOSED = 1000

#: A term of the loss has exploded when it is this many times its peak before the last validation,
#: or this many times 1 if that is larger.
EXPLODED = 1e6


class DivergenceGuard:
    """Stops training at a number that is NaN or infinite, or a loss term that has exploded."""

    def __init__(self) -> None:
        #: the largest absolute value of each term so far
        self.peaks: dict[str, float] = {}
        #: the largest value of each term that is allowed until the next validation
        self.limits: dict[str, float] = {}

    def check(self, step: int, terms: Mapping[str, Tensor]) -> None:
        """Raise ``FloatingPointError`` at a term that is not finite or exceeds its limit."""
        for name, term in terms.items():
            value = float(term.detach())
            if not math.isfinite(value):
                raise FloatingPointError(f"step {step}: {name} is {value}")
            if abs(value) > self.limits.get(name, math.inf):
                more = f"more than {EXPLODED:g} times what it had been by the last validation"
                raise FloatingPointError(f"step {step}: {name} is {value:g}, {more}")
            self.peaks[name] = max(self.peaks.get(name, 0.0), abs(value))

    def check_weights(self, step: int, modules: Mapping[str, nn.Module]) -> None:
        """Raise ``FloatingPointError`` at a weight that is not finite."""
        for where, module in modules.items():
            for name, parameter in module.named_parameters():
                # Then the sum is not finite either, and it is ten times faster to compute.
                if not parameter.detach().sum().isfinite():
                    raise FloatingPointError(
                        f"step {step}: {name} of the {where} has weights that are NaN or infinite"
                    )

    def renew_limits(self) -> None:
        """Set the limits until the next validation from the peaks so far."""
        self.limits = {name: EXPLODED * max(1.0, peak) for name, peak in self.peaks.items()}


class Diagnosis:
    """The sampler's own statistics on the first training triples; warns once of each problem."""

    def __init__(self, kg: KnowledgeGraph, model: Model, objective: Objective) -> None:
        self.kg, self.model, self.objective = kg, model, objective
        self.warned: set[str] = set()

    @torch.no_grad()
    def diagnose(self, step: int, entities: Tensor) -> dict[str, Any]:
        """Diagnose the sampler without moving the random state; entities: (n, d)."""
        triples = self.kg.train[:DIAGNOSED].to(entities.device)
        before = random_state()
        self.objective.eval()
        numbers = self.objective.diagnose(self.model.positives(triples, entities))
        restore_random_state(before)
        for warning in warnings(numbers):
            kind = re.split(r"[,(\d]", warning)[0]
            if kind not in self.warned:
                self.warned.add(kind)
                log.warning("step %d: %s", step, warning)
        return {"sampler": numbers} if numbers else {}


class Plateau:
    """A learning rate that decays after too many validations without improvement.

    Of the schedule ``plateau`` alone; under others its factor stays 1.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        #: of the learning rate
        self.factor = 1.0
        #: validations since the last that was better, or since the last decay
        self.waited = 0.0

    def update(self, *, better: bool) -> None:
        """Count a validation."""
        if self.config.schedule != "plateau":
            return
        self.waited = 0.0 if better else self.waited + 1
        if self.waited > self.config.decay_patience:
            self.factor *= self.config.decay
            self.waited = 0.0

    def state(self) -> dict[str, float]:
        """For a checkpoint."""
        return {"factor": self.factor, "waited": self.waited}

    def restore(self, state: Mapping[str, float]) -> None:
        """Resume; checkpoints from before there was such a schedule have no state of it."""
        self.factor, self.waited = state.get("factor", 1.0), state.get("waited", 0.0)
