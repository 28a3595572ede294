"""TransE."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from dans.errors import InputError, finite
from dans.models.decoders.base import Decoder
from dans.models.initialization import Initial

#: Differences that a pass over all entities may hold at a time, where it holds any.
DIFFERENCES = 2**26


class TransE(Decoder):
    """A relation moves heads to tails: f(h, r, t) = γ − ‖h + r − t‖_p.

    Source: Bordes et al. 2013. A sum of absolute values (p = 1) or their Euclidean length (p = 2).

    Args:
        num_relations: m.
        dim: d.
        p: 1 or 2.
        gamma: γ, added to every score. It changes no rank, but a logistic loss needs it: without
            it no triple can be thought likelier than one half.
        reciprocal: learn an embedding for the inverse of each relation too.
        dropout: as for `Decoder`.
        init: as for `Decoder`.
        initial: as for `Decoder`.

    Raises:
        InputError: an option out of range.

    Example:
        >>> h, r, t = torch.tensor([[0., 0.], [3., 5.], [0., 1.]])
        >>> TransE(num_relations=2, dim=2, p=2, gamma=6.).score(h, r, t)
        tensor(1.)
    """

    symmetric: ClassVar[bool] = False
    dot: ClassVar[bool] = False

    def __init__(
        self,
        num_relations: int,
        dim: int,
        *,
        p: int = 1,
        gamma: float = 6.0,
        reciprocal: bool = False,
        dropout: float = 0.0,
        init: float = math.sqrt(2),
        initial: Initial = "xavier_uniform",
    ) -> None:
        if p not in (1, 2):
            raise InputError(f"p: expected 1 or 2, got {p}")
        finite("gamma", gamma)
        super().__init__(
            num_relations,
            dim,
            dim,
            reciprocal=reciprocal,
            dropout=dropout,
            init=init,
            initial=initial,
        )
        self.p = p
        self.gamma = gamma

    def query_tails(self, h: Tensor, r: Tensor) -> Tensor:
        """h + r."""
        return h + r

    def query_heads(self, r: Tensor, t: Tensor) -> Tensor:
        """t − r."""
        return t - r

    def score_query(self, query: Tensor, entity: Tensor) -> Tensor:
        """γ minus the norm of the difference; its gradient at no difference is 0."""
        distances: Tensor = torch.linalg.vector_norm(query - entity, ord=self.p, dim=-1)
        return self.gamma - distances

    def score_all(self, queries: Tensor, entities: Tensor) -> Tensor:
        """As ``score_query``, for every pair, in bounded memory.

        With p = 2 by a matrix product: ‖q − e‖² = ‖q‖² + ‖e‖² − 2⟨q, e⟩, no less than 0. Distances
        far below the lengths of q and e lose their digits.
        """
        if self.p == 2:
            return self.gamma - _euclidean(entities, queries).T
        # Some devices hold every difference for the gradient of p = 1, so they get few at a time.
        wide = max(1, DIFFERENCES // max(1, queries.numel()))
        distances = [torch.cdist(part, queries, p=1) for part in entities.split(wide)]
        return self.gamma - torch.cat(distances).T

    def matching(self, rows: int, entities: int) -> int:
        """See ``Decoder``; distances, and with p = 2 the embeddings and their lengths."""
        return 3 * rows * entities + (2 * (rows + entities) * (self.dim + 2) if self.p == 2 else 0)

    def pulling(self, rows: int, entities: int) -> int:
        """See ``Decoder``; and of the differences, where a device holds any."""
        differences = min(DIFFERENCES, rows * entities * self.dim)
        held = 0 if self.p == 2 or self.relation.weight.device.type == "cpu" else differences
        return super().pulling(rows, entities) + held

    def score_relations(self, h: Tensor, t: Tensor) -> Tensor:
        """As ``Decoder`` says: relations near t − h."""
        return self.score_all(t - h, self._all_vectors())


def _euclidean(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="use_mm_for_euclid_dist")
