"""RESCAL."""

import torch
from torch import Tensor
from torch.nn import functional as F

from dans.models.decoders.multilinear import Multilinear

#: Numbers of the relation matrices held at a time where no gradient needs them all.
MATRICES = 2**22


def matrices_at_a_time(dim: int) -> int:
    """How many (d, d) matrices are held at a time where no gradient needs them all."""
    return max(1, MATRICES // dim**2)


class RESCAL(Multilinear):
    """A matrix per relation: f(h, r, t) = hᵀ W_r t.

    Source: Nickel et al. 2011. A relation embedding is W_r, row by row: d_r = d². The queries of a
    batch share the matrix of their relation, and with ``dropout`` they share its dropped numbers.
    Takes the options of `Multilinear`.

    Example:
        >>> decoder = RESCAL(num_relations=1, dim=2)
        >>> h, t = torch.tensor([1., 10.]), torch.tensor([1., 2.])
        >>> decoder.score(h, torch.tensor([1., 2., 3., 4.]), t)
        tensor(115.)
    """

    def relation_width(self, dim: int) -> int:
        """d²."""
        return dim * dim

    @property
    def max_score(self) -> int:
        """d², the number of products."""
        return self.dim**2

    def matrices(self, r: Tensor) -> Tensor:
        """The matrices W_r: (..., d, d) from (..., d_r)."""
        matrices: Tensor = r.unflatten(-1, (self.dim, self.dim))
        return matrices

    def dropped_matrices(self, relations: Tensor) -> Tensor:
        """The matrices W_r by relation id, with dropout in training."""
        return self.matrices(self.dropped_embeddings(relations))

    def tail_query(self, h: Tensor, r: Tensor) -> Tensor:
        """hᵀ W_r."""
        return torch.einsum("...i,...ij->...j", h, self.matrices(r))

    def head_query(self, r: Tensor, t: Tensor) -> Tensor:
        """W_r t."""
        return torch.einsum("...ij,...j->...i", self.matrices(r), t)

    def relation_query(self, h: Tensor, t: Tensor) -> Tensor:
        """h tᵀ, row by row."""
        return (h.unsqueeze(-1) * t.unsqueeze(-2)).flatten(-2)

    def both_queries(self, h: Tensor, relations: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Query embeddings of (h, r, ?) and of (?, r, t), (b, d) each, from the same matrices."""
        if self.reciprocal or not self._keeps_matrices:
            return self.tail_queries(h, relations), self.head_queries(relations, t)
        distinct, index = relations.unique(return_inverse=True)
        matrices = self.dropped_matrices(distinct)
        tails, heads = by_matrix(h, matrices, index), by_matrix(t, matrices.mT, index)
        return self.drop_query(tails), self.drop_query(heads)

    def tail_queries(self, h: Tensor, relations: Tensor) -> Tensor:
        """Query embeddings of (h, r, ?) by relation id, (b, d)."""
        return self.drop_query(self._times(h, relations))

    def head_queries(self, relations: Tensor, t: Tensor) -> Tensor:
        """Query embeddings of (?, r, t) by relation id, (b, d)."""
        if self.reciprocal:
            return self.tail_queries(t, relations + self.num_relations)
        return self.drop_query(self._times(t, relations, transposed=True))

    @property
    def _keeps_matrices(self) -> bool:
        """Are all matrices of a batch held at once, for a gradient or for dropout?"""
        return torch.is_grad_enabled() or self.training

    def _times(self, x: Tensor, relations: Tensor, *, transposed: bool = False) -> Tensor:
        """Each embedding times the matrix of its relation, or times its transpose."""
        distinct, index = relations.unique(return_inverse=True)

        def multiply(x: Tensor, relations: Tensor, index: Tensor) -> Tensor:
            matrices = self.dropped_matrices(relations)
            return by_matrix(x, matrices.mT if transposed else matrices, index)

        if self._keeps_matrices:
            return multiply(x, distinct, index)
        products, some = torch.empty_like(x), matrices_at_a_time(self.dim)
        counts = torch.bincount(index)
        rows = index.argsort().split([int(part.sum()) for part in counts.split(some)])
        for i, (part, own) in enumerate(zip(distinct.split(some), rows, strict=True)):
            products[own] = multiply(x[own], part, index[own] - i * some)
        return products


def by_matrix(embeddings: Tensor, matrices: Tensor, index: Tensor) -> Tensor:
    """Each embedding times its own matrix: row i of (b, d) is v_i M_{p_i}, p being ``index``.

    One product per matrix, so that no matrix is copied per embedding. Matrices are unbound, because
    the backward pass of indexing one of them allocates the gradient of all.

    Example:
        >>> matrices = torch.stack((torch.eye(2), 3 * torch.eye(2)))
        >>> by_matrix(torch.ones(3, 2), matrices, torch.tensor([1, 0, 1]))
        tensor([[3., 3.],
                [1., 1.],
                [3., 3.]])
    """
    if not len(embeddings):
        return embeddings
    order = index.argsort()
    counts = torch.bincount(index, minlength=len(matrices)).tolist()
    parts = F.embedding(order, embeddings).split(counts)
    products = [part @ matrix for part, matrix in zip(parts, matrices.unbind(), strict=True)]
    return F.embedding(order.argsort(), torch.cat(products))
