"""Objectives: which scores to ask for, and which loss to give them to."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from dans.models.batch import Negatives, Positives
from dans.models.decoders import Decoder
from dans.objectives.losses import Loss, l2
from dans.samplers.base import NegativeSampler, Phase


class Objective(nn.Module, ABC):
    """What a trainer minimises: the sum of named terms."""

    #: can a triple stand for one of its two queries alone, and equal queries for one?
    by_query: ClassVar[bool] = False
    #: are there negatives to tell the recorder of?
    has_negatives: ClassVar[bool] = False
    #: told, once a step, of the triples and the negatives they are held against; None: nobody is
    recorder: Callable[[Positives, Negatives], None] | None = None

    @abstractmethod
    def forward(self, decoder: Decoder, positives: Positives) -> dict[str, Tensor]:
        """Named scalar terms for a batch of triples."""

    def entities_needed(self, triples: Tensor) -> Tensor | None:
        """The entities it will look at beside those of some triples, drawn anew for each batch.

        Args:
            triples: (b, 3) ids.

        Returns:
            (p,) ids, which ``Positives.shared_negatives`` then points at; None: all entities.
        """
        return None

    def phases(self) -> tuple[Phase, ...]:
        """Inner moves made before each step of the model."""
        return ()

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """Numbers worth watching at each validation."""
        return {}


class NegativeSampling(Objective):
    """Triples against the negatives of a sampler.

    Args:
        sampler: whose negatives.
        loss: compares the scores.
        l2: weight of mean e² + mean r², over all entities' embeddings and the relation table.
    """

    has_negatives: ClassVar[bool] = True

    def __init__(self, sampler: NegativeSampler, loss: Loss, *, l2: float = 0.0) -> None:
        super().__init__()
        self.sampler = sampler
        self.loss = loss
        self.l2 = l2

    def forward(self, decoder: Decoder, positives: Positives) -> dict[str, Tensor]:
        """``loss``, ``l2`` where it has a weight, and the sampler's own terms."""
        negatives = self.sampler(positives)
        if self.recorder is not None:
            self.recorder(positives, negatives)
        terms: dict[str, Tensor] = {
            "loss": self.loss(
                positives.scores(negatives.replaces_head),
                negatives.scores(positives),
                negatives.valid,
                negatives.weights,
            )
        }
        if self.l2:
            terms["l2"] = self.l2 * l2(positives.entities, decoder.relation.weight)
        return terms | self.sampler.terms(positives)

    def phases(self) -> tuple[Phase, ...]:
        """The sampler's."""
        return self.sampler.phases()

    def diagnose(self, positives: Positives) -> dict[str, float]:
        """The sampler's numbers."""
        return self.sampler.diagnose(positives)


OBJECTIVES: dict[str, Callable[..., Objective]] = {"negative_sampling": NegativeSampling}
