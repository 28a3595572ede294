"""Training objectives: what a trainer minimises, as named terms."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from dans.errors import InputError
from dans.models.batch import Negatives, Positives, Proposal
from dans.models.decoders import Decoder
from dans.objectives.losses import Loss
from dans.samplers.base import NegativeSampler, Phase
from dans.samplers.corruption import end


class Objective(nn.Module, ABC):
    """What a trainer minimises: the sum of named terms of a batch."""

    #: can a batch be made of single queries, so that equal queries are in one batch?
    by_query: ClassVar[bool] = False
    #: does it have negatives to log?
    has_negatives: ClassVar[bool] = False
    #: was one of its negatives valid so far? None: unknown
    has_valid_negatives: bool | None = None
    #: does a step encode only the entities that it needs, or all?
    encodes_some: bool = False
    #: called at each step with the batch and its negatives, for the negatives log
    log_negatives: Callable[[Positives, Negatives], None] | None = None

    @abstractmethod
    def forward(self, decoder: Decoder, positives: Positives) -> dict[str, Tensor]:
        """Named scalar terms of a batch."""

    @property
    def needs_all_entities(self) -> str:
        """Why every entity must be encoded, in words; empty if it can ``propose``."""
        return f"{type(self).__name__} compares all entities"

    @property
    def needs_whole_batch(self) -> str:
        """Why several processes cannot share a batch, in words; empty if they can."""
        return f"{type(self).__name__} is a loss of the whole batch"

    def encode_some(self) -> None:
        """Encode only the entities that a step needs, from now on.

        Raises:
            InputError: it needs all.
        """
        if self.needs_all_entities:
            raise InputError(self.needs_all_entities)
        self.encodes_some = True

    def propose(self, positives: Positives) -> Proposal | None:
        """What it draws of a batch of ids, and so which entities it needs; None: all.

        Called once per batch, before it is encoded; ``Positives.proposal`` brings it back.
        """
        return None

    def note_valid(self, valid: Tensor | None) -> None:
        """Note whether a batch has valid negatives, from the mask that its loss is given."""
        if not self.has_valid_negatives:
            self.has_valid_negatives = valid is None or bool(valid.any())

    def phases(self) -> tuple[Phase, ...]:
        """What is trained before each step of the model."""
        return ()

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """Diagnostics of a batch, logged at each validation."""
        return {}


class NegativeSampling(Objective):
    """A loss of the scores of triples and of a sampler's negatives.

    Args:
        l2: weight of mean e² + mean r², over the entities encoded and the relation table, as in
            RGCN programs.
    """

    has_negatives: ClassVar[bool] = True

    def __init__(self, sampler: NegativeSampler, loss: Loss, *, l2: float = 0.0) -> None:
        super().__init__()
        if loss.estimates_sum and sampler.not_counted:
            raise InputError(
                f"loss: {type(loss).__name__} weighs each negative by how often it is drawn; "
                f"sampler: {sampler.not_counted}"
            )
        self.sampler = sampler
        self.loss = loss
        self.l2 = l2

    def forward(self, decoder: Decoder, positives: Positives) -> dict[str, Tensor]:
        """``loss``, ``l2`` if it has a weight, and the sampler's own terms."""
        negatives = self.draw(positives)
        if self.log_negatives is not None:
            self.log_negatives(positives, negatives)
        self.note_valid(negatives.valid)
        head, valid, weights = negatives.corrupt_head, negatives.valid, negatives.weights
        positive, negative = positives.scores(head), negatives.scores(positives)
        if self.loss.estimates_sum:
            weights, valid = self.importance(positives, negatives)
        if positives.share is not None:
            # The loss is that of the whole batch in each of several processes.
            positive, negative, head = map(positives.gather, (positive, negative, head))
            valid = None if valid is None else positives.gather(valid)
            weights = None if weights is None else positives.gather(weights)
        terms = {"loss": self.compare(positive, negative, head, valid, weights)}
        if self.l2:
            squares = positives.entities.square().mean() + decoder.relation.weight.square().mean()
            terms["l2"] = self.l2 * squares
        return terms | self.sampler.terms(positives)

    @property
    def needs_all_entities(self) -> str:
        """The sampler's reason."""
        return self.sampler.needs_all_entities

    @property
    def needs_whole_batch(self) -> str:
        """The sampler's reason; or a term of the embeddings that a process encodes."""
        if self.l2:
            return "train.l2 is a mean over the embeddings of the whole batch"
        return self.sampler.needs_whole_batch

    def propose(self, positives: Positives) -> Proposal | None:
        """The sampler's, where some entities only are encoded."""
        return self.sampler.propose(positives) if self.encodes_some else None

    def draw(self, positives: Positives) -> Negatives:
        """The negatives of a batch."""
        return self.sampler(positives)

    def compare(
        self,
        positive: Tensor,
        negative: Tensor,
        corrupt_head: Tensor,
        valid: Tensor | None,
        weights: Tensor | None,
    ) -> Tensor:
        """The loss of scores; one that estimates a sum over all entities has it for each side."""
        if not self.loss.estimates_sum or valid is None:
            return self.loss(positive, negative, valid, weights)
        sides = (valid & ~corrupt_head, valid & corrupt_head)
        return torch.stack([self.loss(positive, negative, side, weights) for side in sides]).sum()

    @torch.no_grad()
    def importance(self, positives: Positives, negatives: Negatives) -> tuple[Tensor, Tensor]:
        """Weights over expected counts, and which negatives count: (b, k) each.

        A negative that is the true entity itself does not count: it is in the sum as f⁺.
        """
        if negatives.ids is None:
            raise ValueError("negatives without ids have no expected counts")
        head, ids = negatives.corrupt_head, negatives.ids
        counts = self.sampler.expected_counts(positives, ids, head, head)
        valid = (ids != end(positives.triples.unsqueeze(1), head)) & (counts > 0)
        if negatives.valid is not None:
            valid &= negatives.valid
        importance = (1 / counts.where(valid, 1)).to(negatives.embeddings.dtype)
        return importance if negatives.weights is None else importance * negatives.weights, valid

    def phases(self) -> tuple[Phase, ...]:
        """The sampler's phases."""
        return self.sampler.phases()

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """The sampler's diagnostics."""
        return self.sampler.diagnose(positives)
