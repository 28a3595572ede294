"""A sampler with the optimizers of its phases, for the training loops of other libraries."""

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
    """A sampler whose phases are updated before each draw, as by our own trainer.

    Args:
        sampler: any whose negatives have ids and which adds no term to the model's loss, as other
            libraries take neither.
        phases: options of each phase by its name, as in a recipe: ``{"discriminator": {"lr":
            1e-4}}`` (``PhaseConfig``).

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
            if type(member).terms is not NegativeSampler.terms:
                name = type(member).__name__.lower()
                raise InputError(
                    f"sampler: {name} adds a term to the model's loss; train it with dans"
                )
            if isinstance(member, DANS) and member.decode == "vector":
                raise InputError(
                    "decode: vector gives negatives without ids, which are needed; set it to "
                    "nearest_other"
                )
        self.sampler = sampler
        self.adaptive = any(member.adaptive for member in members(sampler))
        configs = convert(phases or {}, dict[str, PhaseConfig], path="phases")
        self.phase_optimizers = PhaseOptimizers(sampler.phases(), configs, where="phases")

    def draw(self, positives: Positives) -> Negatives:
        """Update every phase, then draw negatives with ids."""
        # A worker's copy of the model never learns.
        if self.adaptive and get_worker_info() is not None:
            raise InputError("num_workers: must be 0 for a sampler that looks at the model")
        positives = positives.detach()
        if self.sampler.training:
            self.phase_optimizers(positives)
        with torch.no_grad():
            negatives: Negatives = self.sampler(positives)
        if negatives.ids is None:
            raise InputError("sampler: gives embeddings without ids, which nothing here takes")
        if negatives.weights is not None:
            raise InputError("sampler: weighs its negatives, which nothing here takes")
        return negatives


def members(sampler: NegativeSampler) -> list[NegativeSampler]:
    """The samplers of a mixture; a list of one for any other."""
    if not isinstance(sampler, Mixture):
        return [sampler]
    return [member for part in sampler.samplers for member in members(part)]
