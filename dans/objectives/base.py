"""Training objectives: what a trainer minimises, as named terms."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from dans.models.batch import Negatives, Positives
from dans.models.decoders import Decoder
from dans.objectives.losses import Loss
from dans.samplers.base import NegativeSampler, Phase


class Objective(nn.Module, ABC):
    """What a trainer minimises: the sum of named terms of a batch."""

    #: can a batch be made of single queries, so that equal queries are in one batch?
    by_query: ClassVar[bool] = False
    #: does it have negatives to log?
    has_negatives: ClassVar[bool] = False
    #: was one of its negatives valid so far? None: unknown
    has_valid_negatives: bool | None = None
    #: called at each step with the batch and its negatives, for the negatives log
    log_negatives: Callable[[Positives, Negatives], None] | None = None

    @abstractmethod
    def forward(self, decoder: Decoder, positives: Positives) -> dict[str, Tensor]:
        """Named scalar terms of a batch."""

    def entities_needed(self, triples: Tensor) -> Tensor | None:
        """The entities to encode besides those of a batch, (p,) ids; None: all entities.

        Called once per batch; ``Positives.shared_negatives`` gives their rows.
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
        l2: weight of mean e² + mean r², over all entity embeddings and the relation table, as in
            RGCN programs.
    """

    has_negatives: ClassVar[bool] = True

    def __init__(self, sampler: NegativeSampler, loss: Loss, *, l2: float = 0.0) -> None:
        super().__init__()
        self.sampler = sampler
        self.loss = loss
        self.l2 = l2

    def forward(self, decoder: Decoder, positives: Positives) -> dict[str, Tensor]:
        """``loss``, ``l2`` if it has a weight, and the sampler's own terms."""
        negatives = self.sampler(positives)
        if self.log_negatives is not None:
            self.log_negatives(positives, negatives)
        self.note_valid(negatives.valid)
        loss = self.loss(
            positives.scores(negatives.corrupt_head),
            negatives.scores(positives),
            negatives.valid,
            negatives.weights,
        )
        terms: dict[str, Tensor] = {"loss": loss}
        if self.l2:
            squares = positives.entities.square().mean() + decoder.relation.weight.square().mean()
            terms["l2"] = self.l2 * squares
        return terms | self.sampler.terms(positives)

    def phases(self) -> tuple[Phase, ...]:
        """The sampler's phases."""
        return self.sampler.phases()

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """The sampler's diagnostics."""
        return self.sampler.diagnose(positives)


OBJECTIVES: dict[str, Callable[..., Objective]] = {"negative_sampling": NegativeSampling}
