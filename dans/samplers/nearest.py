"""The entity nearest to a generated embedding, found in bounded memory."""

import torch
from torch import Tensor

from dans.models.batch import Negatives

#: Embeddings and entities compared at a time: distances stay in a CPU's cache, where a wider tile
#: would be written to memory and read back, at twice the time; or keep another device busy.
TILE, WIDE_TILE = (256, 512), (4096, 4096)


@torch.no_grad()
def nearest(
    embeddings: Tensor,
    entities: Tensor,
    exclude: Tensor | None = None,
    *,
    tile: tuple[int, int] | None = None,
) -> Tensor:
    """The entity nearest to each embedding, by Euclidean distance.

    argmin_e ‖e‖² − 2⟨x, e⟩: the square of x itself changes no order.

    Args:
        embeddings: (q, d).
        entities: (n, d).
        exclude: (q, ·) entities an embedding may not be given.
        tile: how many embeddings and entities are compared at a time; by default as suits the
            device.

    Returns:
        (q,) rows of the entities.

    Example:
        >>> entities = torch.tensor([[0., 0.], [1., 0.], [0., 3.]])
        >>> nearest(torch.tensor([[.4, 0.], [0., 2.]]), entities)
        tensor([0, 2])
        >>> nearest(torch.tensor([[.4, 0.]]), entities, torch.tensor([[0]]))
        tensor([1])
    """
    rows, columns = tile or (TILE if embeddings.device.type == "cpu" else WIDE_TILE)
    sizes = entities.square().sum(-1, keepdim=True)
    found = embeddings.new_zeros(len(embeddings), dtype=torch.int64)
    for top in range(0, len(embeddings), rows):
        part = -2 * embeddings[top : top + rows].T.contiguous()
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
    negatives: Negatives,
    entities: Tensor,
    part: slice = slice(None),
    *,
    exclude: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Who negatives are, or who is nearest to them.

    Args:
        negatives: k for each of b triples.
        entities: (n, d) those they were drawn from, or made beside.
        part: which of the triples.
        exclude: (·, k) for each of their negatives an entity that it may not be nearest to.

    Returns:
        (·, k) ids, and (·, k) bool: was the negative generated, so that its embedding has no entity
        id?
    """
    if negatives.ids is not None:
        ids = negatives.ids[part]
        return ids, torch.zeros_like(ids, dtype=torch.bool)
    embeddings = negatives.embeddings[part]
    ids = embeddings.new_full(embeddings.shape[:2], -1, dtype=torch.int64)
    if negatives.partial_ids is not None:
        ids = negatives.partial_ids[part].clone()
    nobody = ids < 0
    banned = None if exclude is None else exclude[nobody].unsqueeze(1)
    ids[nobody] = nearest(embeddings[nobody], entities, banned)
    return ids, nobody & (entities[ids] != embeddings).any(-1)
