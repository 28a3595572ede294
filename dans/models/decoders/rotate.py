"""RotatE."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from dans.errors import number
from dans.models.decoders.base import Decoder
from dans.models.decoders.distances import EPSILON, moduli
from dans.models.decoders.multilinear import multiply


class RotatE(Decoder):
    """A relation rotates heads to tails: f(h, r, t) = γ − Σ_k |h_k e^{iθ_k} − t_k|.

    Source: Sun et al. 2019, arXiv:1902.10197. Embeddings are packed as [real | imaginary]; the
    relation table holds the phases θ. A rotation keeps lengths, so the head query is t e^{−iθ}.

    Args:
        dim: d, in real numbers, two per complex one.
        gamma: γ, as for `TransE`.
    """

    halves: ClassVar[bool] = True

    def __init__(
        self,
        num_relations: int,
        dim: int,
        *,
        gamma: float = 6.0,
        reciprocal: bool = False,
        dropout: float = 0.0,
    ) -> None:
        number("gamma", gamma)
        super().__init__(num_relations, dim, dim // 2, reciprocal=reciprocal, dropout=dropout)
        self.gamma = gamma

    def reset_parameters(self) -> None:
        """Draw phases uniformly from the circle."""
        nn.init.uniform_(self.relation.weight, -math.pi, math.pi)

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        """h · e^{iθ}."""
        return multiply(h, torch.cat((r.cos(), r.sin()), dim=-1))

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        """t · e^{−iθ}."""
        return multiply(t, torch.cat((r.cos(), -r.sin()), dim=-1))

    def score_query(self, query: Tensor, entity: Tensor) -> Tensor:
        """γ − Σ_k |q_k − e_k|."""
        re, im = (query - entity).chunk(2, dim=-1)
        return self.gamma - (re * re + im * im + EPSILON).sqrt().sum(-1)

    def score_all(self, queries: Tensor, entities: Tensor) -> Tensor:
        """γ − Σ_k |q_k − e_k| for every pair, (b, n), in bounded memory."""
        # In place, since (b, n) is large.
        return moduli(queries, entities).neg_().add_(self.gamma)
