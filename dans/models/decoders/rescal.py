"""RESCAL."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dans.models.decoders.base import Multilinear

#: Numbers of the matrices that are there at a time where no gradient is asked for.
MATRICES = 2**22


class RESCAL(Multilinear):
    """A matrix per relation: f(h, r, t) = hᵀ W_r t.

    Source: Nickel et al. 2011. A relation embedding is W_r, row by row: d² numbers.

    Queries asked by relation ids share the matrix of their relation: no query gets one of its
    own, and with ``dropout`` all queries about a relation that are asked at once miss the same
    numbers of it.

    With ``bound`` the score is scaled by I / d², where Stay Positive has I / d for every decoder:
    of d² products no less keeps |f| < I. At the start scores are tiny, and probabilities all but
    equal. Takes the options of `Multilinear`.

    Example:
        >>> decoder = RESCAL(num_relations=1, dim=2)
        >>> h, t = torch.tensor([1., 10.]), torch.tensor([1., 2.])
        >>> decoder.score(h, torch.tensor([1., 2., 3., 4.]), t)
        tensor(115.)
    """

    symmetric: ClassVar[bool] = False

    def relation_width(self, dim: int) -> int:
        """d²."""
        return dim * dim

    @property
    def terms(self) -> int:
        """d² products."""
        return self.dim**2

    def matrices(self, r: Tensor) -> Tensor:
        """The matrices W_r, (..., d, d), of relation embeddings, (..., d_r)."""
        matrices: Tensor = r.unflatten(-1, (self.dim, self.dim))
        return matrices

    def query_tails(self, h: Tensor, r: Tensor) -> Tensor:
        """hᵀ W_r."""
        return torch.einsum("...i,...ij->...j", h, self.matrices(r))

    def query_heads(self, r: Tensor, t: Tensor) -> Tensor:
        """W_r t."""
        return torch.einsum("...ij,...j->...i", self.matrices(r), t)

    def query_relations(self, h: Tensor, t: Tensor) -> Tensor:
        """h tᵀ, row by row."""
        return (h.unsqueeze(-1) * t.unsqueeze(-2)).flatten(-2)

    def ask(self, h: Tensor, relations: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Decoder``; both queries share the matrix."""
        if self.reciprocal:
            return super().ask(h, relations, t)
        if self._few_at_a_time:
            return self.tail_queries(h, relations), self.head_queries(relations, t)
        matrices, place = self._distinct(relations)
        tails, heads = by_matrix(h, matrices, place), by_matrix(t, matrices.mT, place)
        return self._drop_products(tails), self._drop_products(heads)

    def tail_queries(self, h: Tensor, relations: Tensor) -> Tensor:
        """See ``Decoder``."""
        return self._drop_products(self._times(h, relations))

    def head_queries(self, relations: Tensor, t: Tensor) -> Tensor:
        """See ``Decoder``."""
        if self.reciprocal:
            return self.tail_queries(t, relations + self.num_relations)
        return self._drop_products(self._times(t, relations, turned=True))

    @property
    def _few_at_a_time(self) -> bool:
        """Nothing holds on to a matrix: no gradient, nor what is dropped of it."""
        return not torch.is_grad_enabled() and not self.training

    def _times(self, embeddings: Tensor, relations: Tensor, *, turned: bool = False) -> Tensor:
        """Each embedding times the matrix of its relation, or that matrix transposed."""
        if not self._few_at_a_time:
            matrices, place = self._distinct(relations)
            return by_matrix(embeddings, matrices.mT if turned else matrices, place)
        products = torch.empty_like(embeddings)
        distinct, place = relations.unique(return_inverse=True)
        order, counts = place.argsort(), torch.bincount(place)
        some = max(1, MATRICES // self.dim**2)
        rows = order.split([int(part.sum()) for part in counts.split(some)])
        for turn, (part, own) in enumerate(zip(distinct.split(some), rows, strict=True)):
            matrices = self.dropped_matrices(part)
            matrices = matrices.mT if turned else matrices
            products[own] = by_matrix(embeddings[own], matrices, place[own] - turn * some)
        return products

    def asking(self, rows: int) -> int:
        """See ``Decoder``; and of the matrices, which are there a few at a time."""
        some = min(rows, len(self.relation.weight), max(1, MATRICES // self.dim**2))
        return 8 * rows * self.dim + self.picking(some)

    def picking(self, relations: int) -> int:
        """How many numbers it holds at most to make some matrices."""
        return 3 * relations * self.dim**2

    def _distinct(self, relations: Tensor) -> tuple[Tensor, Tensor]:
        """Matrices of the distinct relations, (u, d, d), and which is whose, (b,)."""
        distinct, place = relations.unique(return_inverse=True)
        return self.dropped_matrices(distinct), place

    def dropped_matrices(self, relations: Tensor) -> Tensor:
        """Matrices by relation ids, as queries see them: some numbers dropped in training."""
        return self.matrices(self._dropped(relations))


def by_matrix(embeddings: Tensor, matrices: Tensor, place: Tensor) -> Tensor:
    """Each embedding times the matrix that is its own: row i is v_i M_{p_i}.

    One product for all embeddings of a matrix, so that no matrix is copied for each of its
    embeddings; and matrices are unbound rather than picked, because every pick would fill a table
    of gradients of its own.

    Args:
        embeddings: (b, d).
        matrices: (u, d, d).
        place: (b,) which matrix, p_i.

    Example:
        >>> matrices = torch.stack((torch.eye(2), 3 * torch.eye(2)))
        >>> by_matrix(torch.ones(3, 2), matrices, torch.tensor([1, 0, 1]))
        tensor([[3., 3.],
                [1., 1.],
                [3., 3.]])
    """
    if not len(embeddings):
        return embeddings
    order = place.argsort()
    counts = torch.bincount(place, minlength=len(matrices)).tolist()
    parts = F.embedding(order, embeddings).split(counts)
    products = [part @ matrix for part, matrix in zip(parts, matrices.unbind(), strict=True)]
    return F.embedding(order.argsort(), torch.cat(products))
