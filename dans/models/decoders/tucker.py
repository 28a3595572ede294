"""TuckER."""

import math
from typing import ClassVar

from torch import Tensor

from dans.errors import InputError
from dans.models.decoders.rescal import RESCAL
from dans.models.dropout import check_share, drop
from dans.models.initialization import Initial, draw


class TuckER(RESCAL):
    """RESCAL whose matrices are mixtures: f(h, r, t) = hᵀ W_r t, W_r = Σ_k r_k G_k.

    Source: Balažević et al. 2019, arXiv:1901.09590, as LibKGE has it: a relation embedding goes
    through a linear map without bias to d² numbers. The core tensor G is that map and a parameter
    of its own, which starts as the relation embeddings do. The original's batch normalisation is
    left out, and dropout is on W_r where the original has it on queries too: see ``query_dropout``.

    With ``bound`` the core passes through tanh as well, and the score is scaled by I / (d² d_r),
    where Stay Positive has I / d for every decoder: of d² d_r products no less keeps |f| < I. At
    the start scores are tiny, and probabilities all but equal.

    Args:
        num_relations: m.
        dim: d.
        relation_dim: d_r; None: d.
        reciprocal: learn an embedding for the inverse of each relation too.
        bound: as for `Multilinear`, and so are those below.
        shift: ψ.
        dropout: share of a relation embedding's coordinates dropped, the same for all queries about
            r that are asked at once.
        matrix_dropout: share of the numbers of W_r dropped, likewise.
        query_dropout: share of a query's products dropped.
        init: standard deviation, half width or gain of relation embeddings and core at the start.
        initial: their distribution.

    Raises:
        InputError: an option out of range.

    Example:
        >>> decoder = TuckER(num_relations=2, dim=4, relation_dim=3)
        >>> decoder.relation.weight.shape, decoder.core.shape
        (torch.Size([2, 3]), torch.Size([3, 16]))
    """

    symmetric: ClassVar[bool] = False

    #: (d_r, d²): G_k, row by row
    core: Tensor

    def __init__(
        self,
        num_relations: int,
        dim: int,
        *,
        relation_dim: int | None = None,
        reciprocal: bool = False,
        bound: float | None = None,
        shift: float = 0.0,
        dropout: float = 0.0,
        matrix_dropout: float = 0.0,
        query_dropout: float = 0.0,
        init: float = math.sqrt(2),
        initial: Initial = "xavier_uniform",
    ) -> None:
        if relation_dim is not None and relation_dim < 1:
            raise InputError(f"relation_dim: expected at least 1, got {relation_dim}")
        #: d_r, how many matrices are mixed
        self.mixed = relation_dim or dim
        super().__init__(
            num_relations,
            dim,
            reciprocal=reciprocal,
            bound=bound,
            shift=shift,
            dropout=dropout,
            query_dropout=query_dropout,
            init=init,
            initial=initial,
        )
        self.matrix_dropout = check_share("matrix_dropout", matrix_dropout)

    def relation_width(self, dim: int) -> int:
        """d_r."""
        return self.mixed

    @property
    def terms(self) -> int:
        """d² d_r products."""
        return self.dim**2 * self.mixed

    @property
    def pair_width(self) -> int:
        """d² products of head and tail."""
        return self.dim**2

    def own_shapes(self) -> dict[str, tuple[int, ...]]:
        """The core's."""
        return {"core": (self.mixed, self.dim**2)}

    def reset_parameters(self) -> None:
        """Draw the relation embeddings anew, and the core."""
        super().reset_parameters()
        draw(self.core, self.initial, self.init)

    def _core(self) -> Tensor:
        return self.core if self.bound is None else self.core.tanh()

    def matrices(self, r: Tensor) -> Tensor:
        """W_r = Σ_k r_k G_k: (..., d, d) from (..., d_r)."""
        return super().matrices(r @ self._core())

    def dropped_matrices(self, relations: Tensor) -> Tensor:
        """See ``RESCAL``."""
        matrices = super().dropped_matrices(relations)
        return drop(matrices, self.matrix_dropout) if self.training else matrices

    def picking(self, relations: int) -> int:
        """See ``RESCAL``; of the core too, where it is bounded."""
        core = 0 if self.bound is None else self.core.numel()
        return super().picking(relations) + 3 * relations * self.mixed + core

    def query_relations(self, h: Tensor, t: Tensor) -> Tensor:
        """hᵀ G_k t for every k."""
        return super().query_relations(h, t) @ self._core().T
