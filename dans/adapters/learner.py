"""What the adapters share: a sampler that learns on, inside a loop that knows nothing of it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.data import get_worker_info

from dans.config.reading import convert
from dans.config.schema import PhaseConfig
from dans.errors import InputError
from dans.models.batch import Negatives, Positives
from dans.samplers import DANS, Mixture, NegativeSampler
from dans.training.phases import PhaseOptimizers


class Learner:
    """A sampler whose negatives are ids, and the Adam of each of its phases.

    Before each draw in training the phases are moved, as our own trainer does before each step.

    Args:
        sampler: any whose negatives are entities.
        phases: how each phase moves, by its name, as a recipe says it: ``{"discriminator": {"lr":
            1e-4}}`` (see ``PhaseConfig``). Defaults where one is not named.

    Raises:
        InputError: the sampler needs what the loops of others have no place for, such as negatives
            without ids or a term of its own in the model's loss; or ``phases`` names one it does
            not have.

    Example:
        >>> from dans.samplers import Uniform
        >>> triples = torch.tensor([[0, 0, 1]])
        >>> Learner(Uniform(k=3)).draw(Positives.of_ids(triples, 5)).triples(triples).shape
        torch.Size([1, 3, 3])
    """

    def __init__(
        self, sampler: NegativeSampler, phases: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        for member in members(sampler):
            check(member)
        self.sampler = sampler
        self.adaptive = any(member.adaptive for member in members(sampler))
        configs = convert(phases or {}, dict[str, PhaseConfig], path="phases")
        self.phase_optimizers = PhaseOptimizers(sampler.phases(), configs, where="phases")

    def draw(self, positives: Positives) -> Negatives:
        """Negatives with ids, after every phase has been moved.

        Raises:
            InputError: negatives came without ids, or with weights; or a sampler that looks at the
                model draws in a worker process, where its model is a copy that never learns.
            FloatingPointError: the loss of a phase is no longer a number.
        """
        if self.adaptive and get_worker_info() is not None:
            raise InputError("num_workers: must be 0 for a sampler that looks at the model")
        positives = positives.detach()
        if self.sampler.training:
            self.phase_optimizers(positives)
        with torch.no_grad():
            negatives: Negatives = self.sampler(positives)
        if negatives.ids is None:
            raise InputError(
                "sampler: its negatives are embeddings without ids, which nothing here takes"
            )
        if negatives.weights is not None:
            raise InputError(
                "sampler: weighs its negatives, and this library has no place for that"
            )
        return negatives


def members(sampler: NegativeSampler) -> list[NegativeSampler]:
    """The samplers of a mixture, or the one there is."""
    if not isinstance(sampler, Mixture):
        return [sampler]
    return [member for part in sampler.samplers for member in members(part)]


def check(sampler: NegativeSampler) -> None:
    """Refuse what only our own trainer can do.

    Raises:
        InputError: negatives without ids, or a loss term for the model.
    """
    name = type(sampler).__name__.lower()
    if type(sampler).terms is not NegativeSampler.terms:
        raise InputError(f"sampler: {name} adds a term to the model's loss; train it with dans")
    if isinstance(sampler, DANS) and sampler.decode == "vector":
        raise InputError(
            "decode: vector gives negatives without ids, which are needed; set it to nearest_other"
        )
