"""The entity nearest to a generated vector, found in bounded memory."""

import torch
from torch import Tensor

#: Distances held at once: 64 MiB of float32.
ELEMENTS = 2**24


@torch.no_grad()
def nearest(
    vectors: Tensor, entities: Tensor, exclude: Tensor | None = None, *, elements: int = ELEMENTS
) -> Tensor:
    """The entity nearest to each vector, by Euclidean distance.

    argmin_e ‖e‖² − 2⟨x, e⟩: the square of x itself changes no order.

    Args:
        vectors: (q, d).
        entities: (n, d).
        exclude: (q, ·) entities a vector may not be given.
        elements: distances held at once, at least one row of them.

    Returns:
        (q,) rows of the entities.

    Example:
        >>> entities = torch.tensor([[0., 0.], [1., 0.], [0., 3.]])
        >>> nearest(torch.tensor([[.4, 0.], [0., 2.]]), entities)
        tensor([0, 2])
        >>> nearest(torch.tensor([[.4, 0.]]), entities, torch.tensor([[0]]))
        tensor([1])
    """
    sizes = entities.square().sum(-1)
    rows = max(1, elements // len(entities))
    found = []
    for start in range(0, len(vectors), rows):
        part = slice(start, start + rows)
        distances = torch.addmm(sizes, vectors[part], entities.T, alpha=-2)
        if exclude is not None:
            distances.scatter_(1, exclude[part], torch.inf)
        found.append(distances.argmin(1))
    return torch.cat(found) if found else vectors.new_zeros(0, dtype=torch.int64)
