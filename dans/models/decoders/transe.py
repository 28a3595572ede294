"""TransE."""

import math

import torch
from torch import Tensor

from dans.errors import InputError, number
from dans.models.decoders.base import Decoder
from dans.models.decoders.distances import manhattan
from dans.models.embedding_tables import Initial


class TransE(Decoder):
    """A relation translates heads to tails: f(h, r, t) = γ − ‖h + r − t‖_p.

    Source: Bordes et al. 2013.

    Args:
        p: 1 or 2.
        gamma: γ, added to every score. It does not change ranks, but a logistic loss needs it:
            without it no triple can have a probability above one half.

    Example:
        >>> h, r, t = torch.tensor([[0., 0.], [3., 5.], [0., 1.]])
        >>> TransE(num_relations=2, dim=2, p=2, gamma=6.).score(h, r, t)
        tensor(1.)
    """

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
        number("gamma", gamma)
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

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        """h + r."""
        return h + r

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        """t − r."""
        return t - r

    def score_query(self, query: Tensor, entity: Tensor) -> Tensor:
        """γ − ‖q − e‖_p; its gradient at q = e is 0."""
        distances: Tensor = torch.linalg.vector_norm(query - entity, ord=self.p, dim=-1)
        return self.gamma - distances

    def score_all(self, queries: Tensor, entities: Tensor) -> Tensor:
        """γ − ‖q − e‖_p for every pair, (b, n), in bounded memory.

        With p = 2 by a matrix product: ‖q − e‖² = ‖q‖² + ‖e‖² − 2⟨q, e⟩, at least 0. Distances far
        below the lengths of q and e are inexact.
        """
        if self.p == 2:
            distances = torch.cdist(entities, queries, compute_mode="use_mm_for_euclid_dist").T
        else:
            distances = manhattan(queries, entities)
        return self.gamma - distances

    def score_relations(self, h: Tensor, t: Tensor) -> Tensor:
        """Scores of all relations, (b, m): γ − ‖(t − h) − r‖_p."""
        return self.score_all(t - h, self.all_relations())
