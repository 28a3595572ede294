"""Guards around the training step: divergence, the first pass, plateau and diagnosis."""

import logging
import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dans.config.schema import TrainConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError, shown
from dans.models.model import Model
from dans.objectives.base import Objective
from dans.samplers.dans.diagnostics import warnings
from dans.seeding import random_state, restore_random_state

log = logging.getLogger(__name__)

#: Training triples on which a sampler is diagnosed at each validation.
DIAGNOSED = 1000

#: A term of the loss has exploded when it is this many times its value in the first step, or this
#: many times 1 if that is larger.
EXPLODED = 1e6


class DivergenceGuard:
    """Stops training at a number that is NaN or infinite, or a loss term that has exploded."""

    def __init__(self) -> None:
        #: the absolute value that each term had first
        self.first: dict[str, float] = {}

    def check(self, step: int, terms: Mapping[str, Tensor]) -> None:
        """Raise ``FloatingPointError`` at a term that is not finite or has exploded.

        Raises:
            InputError: a term is no scalar.
        """
        for name, term in terms.items():
            if not isinstance(term, Tensor) or term.ndim:
                found = tuple(term.shape) if isinstance(term, Tensor) else shown(term)
                raise InputError(f"{name}: expected a scalar to minimise; got {found}")
            value = float(term.detach())
            if not math.isfinite(value):
                raise FloatingPointError(f"step {step}: {name} is {value}")
            first = self.first.setdefault(name, abs(value))
            if abs(value) > EXPLODED * max(1.0, first):
                more = f"more than {EXPLODED:g} times what it was first, {first:g}"
                raise FloatingPointError(f"step {step}: {name} is {value:g}, {more}")

    def check_weights(self, step: int, modules: Mapping[str, nn.Module]) -> None:
        """Raise ``FloatingPointError`` at a weight that is not finite."""
        for where, module in modules.items():
            for name, parameter in module.named_parameters():
                # Then the sum is not finite either, and it is ten times faster to compute.
                if not parameter.detach().sum().isfinite():
                    raise FloatingPointError(
                        f"step {step}: {name} of the {where} has weights that are NaN or infinite"
                    )


class FirstPass:
    """Watches the first pass over the training triples for what is not trained at all.

    Args:
        model: its parameters that get no gradient in the pass are warned of, by name.
        objective: training ends if not one of its negatives is valid.
        steps: of a pass, or of the run where it is shorter.
    """

    def __init__(self, model: Model, objective: Objective, steps: int) -> None:
        self.objective, self.steps = objective, steps
        parameters = model.named_parameters()
        self.without_gradient = {name: one for name, one in parameters if one.requires_grad}
        #: the next step of the pass; a run that resumes has no first pass
        self.next = 1

    def update(self, step: int) -> None:
        """Look at the gradients and negatives of a step, and report at the end of the pass."""
        if step != self.next or step > self.steps:
            return
        self.next += 1
        self.without_gradient = {
            name: one for name, one in self.without_gradient.items() if not _has_gradient(one)
        }
        if step < self.steps:
            return
        steps = "step" if step == 1 else f"{step} steps"
        if self.objective.has_valid_negatives is False:
            raise InputError(
                f"sampler: not one negative of the first {steps} was valid; all "
                "that it offers are known triples: set its filter to none, or take an objective "
                "without negatives"
            )
        for name in self.without_gradient:
            log.warning("%s got no gradient in the first %s", name, steps)


def _has_gradient(parameter: Tensor) -> bool:
    gradient = parameter.grad
    if gradient is None:
        return False
    return bool((gradient.coalesce().values() if gradient.is_sparse else gradient).any())


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
