"""The entity nearest to a generated vector, found in bounded memory."""

import torch
from torch import Tensor

from dans.batch import Negatives

#: Vectors and entities compared at a time: distances stay in a CPU's cache, where a wider tile
#: would be written to memory and read back, at twice the time; or keep another device busy.
TILE, WIDE_TILE = (256, 512), (4096, 4096)


@torch.no_grad()
def nearest(
    vectors: Tensor,
    entities: Tensor,
    exclude: Tensor | None = None,
    *,
    tile: tuple[int, int] | None = None,
) -> Tensor:
    """The entity nearest to each vector, by Euclidean distance.

    argmin_e ‖e‖² − 2⟨x, e⟩: the square of x itself changes no order.

    Args:
        vectors: (q, d).
        entities: (n, d).
        exclude: (q, ·) entities a vector may not be given.
        tile: how many vectors and entities are compared at a time; by default as suits the device.

    Returns:
        (q,) rows of the entities.

    Example:
        >>> entities = torch.tensor([[0., 0.], [1., 0.], [0., 3.]])
        >>> nearest(torch.tensor([[.4, 0.], [0., 2.]]), entities)
        tensor([0, 2])
        >>> nearest(torch.tensor([[.4, 0.]]), entities, torch.tensor([[0]]))
        tensor([1])
    """
    rows, columns = tile or (TILE if vectors.device.type == "cpu" else WIDE_TILE)
    sizes = entities.square().sum(-1, keepdim=True)
    found = vectors.new_zeros(len(vectors), dtype=torch.int64)
    for top in range(0, len(vectors), rows):
        part = -2 * vectors[top : top + rows].T.contiguous()
        banned = None if exclude is None else exclude[top : top + rows]
        least = part.new_full((part.shape[1],), torch.inf)
        for left in range(0, len(entities), columns):
            block = slice(left, left + columns)
            distances = torch.addmm(sizes[block], entities[block], part)
            if banned is not None:
                here = (banned >= left) & (banned < left + columns)
                who, slot = here.nonzero(as_tuple=True)
                distances[banned[who, slot] - left, who] = torch.inf
            distance, place = distances.min(0)
            closer = distance < least
            least = torch.where(closer, distance, least)
            found[top : top + rows] = torch.where(closer, place + left, found[top : top + rows])
    return found


@torch.no_grad()
def identify(
    rivals: Negatives,
    entities: Tensor,
    part: slice = slice(None),
    *,
    exclude: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Who rivals are, or who is nearest to them.

    Args:
        rivals: k for each of b facts.
        entities: (n, d) those they were drawn from, or made beside.
        part: which of the facts.
        exclude: (·, k) for each of their rivals an entity that it may not be nearest to.

    Returns:
        (·, k) ids, and (·, k) bool: was the rival generated, so that its vector is nobody's?
    """
    if rivals.ids is not None:
        ids = rivals.ids[part]
        return ids, torch.zeros_like(ids, dtype=torch.bool)
    vectors = rivals.vectors[part]
    ids = vectors.new_full(vectors.shape[:2], -1, dtype=torch.int64)
    if rivals.partial_ids is not None:
        ids = rivals.partial_ids[part].clone()
    nobody = ids < 0
    banned = None if exclude is None else exclude[nobody].unsqueeze(1)
    ids[nobody] = nearest(vectors[nobody], entities, banned)
    return ids, nobody & (entities[ids] != vectors).any(-1)
