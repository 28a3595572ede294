"""TuckER."""

import math

from torch import Tensor

from dans.errors import counted
from dans.models.decoders.rescal import RESCAL
from dans.models.embedding_tables import Initial, check_share, draw, drop


class TuckER(RESCAL):
    """RESCAL with mixtures of shared matrices: f(h, r, t) = hᵀ W_r t, W_r = Σ_k r_k G_k.

    Source: Balažević et al. 2019, arXiv:1901.09590, in LibKGE's form, without batch normalisation.
    The core tensor G is initialised as the relation embeddings are, and passes through tanh with
    ``bound``. Takes the options of `RESCAL` too.

    Args:
        relation_dim: d_r; None: d.
        matrix_dropout: share of the numbers of W_r dropped, the same ones for all queries of a
            batch with that relation; ``dropout`` is of the relation embedding, likewise.
    """

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
        counted("relation_dim", dim if relation_dim is None else relation_dim)
        self.relation_dim = relation_dim or dim
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
        return self.relation_dim

    @property
    def max_score(self) -> int:
        """d² d_r, the number of products."""
        return self.dim**2 * self.relation_dim

    @property
    def pair_width(self) -> int:
        """d², the products of head and tail."""
        return self.dim**2

    def extra_parameters(self) -> dict[str, tuple[int, ...]]:
        """The shape of the core, (d_r, d²)."""
        return {"core": (self.relation_dim, self.dim**2)}

    def reset_parameters(self) -> None:
        """Initialise the relation embeddings anew, then the core."""
        super().reset_parameters()
        draw(self.core, self.initial, self.init)

    def _core(self) -> Tensor:
        return self.core if self.bound is None else self.core.tanh()

    def matrices(self, r: Tensor) -> Tensor:
        """W_r = Σ_k r_k G_k: (..., d, d) from (..., d_r)."""
        return super().matrices(r @ self._core())

    def dropped_matrices(self, relations: Tensor) -> Tensor:
        """The matrices W_r by relation id, with both dropouts in training."""
        return drop(super().dropped_matrices(relations), self.matrix_dropout, self.training)

    def relation_query(self, h: Tensor, t: Tensor) -> Tensor:
        """hᵀ G_k t for every k."""
        return super().relation_query(h, t) @ self._core().T
