"""The entity nearest to each generated embedding, in bounded memory."""

import torch
from torch import Tensor

from dans.models.batch import Negatives, Positives

#: Embeddings and entities compared at a time, on a CPU and elsewhere. Distances of the small tile
#: stay in a CPU's cache, which halves the time; a GPU needs the large one to be busy.
TILE, WIDE_TILE = (256, 512), (4096, 4096)


@torch.no_grad()
def nearest(embeddings: Tensor, entities: Tensor, exclude: Tensor | None = None) -> Tensor:
    """The entity nearest to each embedding x, by Euclidean distance: argmin_e ‖e‖² − 2⟨x, e⟩.

    (q,) ids from (q, d) and (n, d); the (q, ·) ids in ``exclude`` are no candidates.
    """
    return search(embeddings, entities, exclude)[0]


@torch.no_grad()
def nearest_of_drawn(
    embeddings: Tensor,
    positives: Positives,
    drawn: Tensor,
    own: Tensor,
    exclude: Tensor | None = None,
) -> Tensor:
    """The nearest entity among drawn ones, the same for all, and its own ones: (q,) ids.

    Args:
        embeddings: (q, d).
        positives: have the embeddings of entities.
        drawn: (c,) different ids, rising.
        own: (q, ·) ids that are candidates for one embedding; of equally near ones they come last.
        exclude: (q, ·) ids of drawn entities that are no candidates.
    """
    if exclude is not None:
        exclude = position_in(drawn, exclude)
    found, least = search(embeddings, positives.embed(drawn), exclude)
    found = drawn[found]
    for ids in own.unbind(1):
        e = positives.embed(ids)
        distance = e.square().sum(-1) - 2 * (embeddings * e).sum(-1)
        found, least = torch.where(distance < least, ids, found), torch.minimum(distance, least)
    return found


def search(embeddings: Tensor, entities: Tensor, exclude: Tensor | None) -> tuple[Tensor, Tensor]:
    """The nearest entities as of ``nearest``, and their ‖e‖² − 2⟨x, e⟩: (q,) each."""
    rows, columns = TILE if embeddings.device.type == "cpu" else WIDE_TILE
    sizes = entities.square().sum(-1, keepdim=True)
    found = embeddings.new_zeros(len(embeddings), dtype=torch.int64)
    least = embeddings.new_full((len(embeddings),), torch.inf)
    for top in range(0, len(embeddings), rows):
        part = -2 * embeddings[top : top + rows].T.contiguous()
        ids, best = found[top : top + rows], least[top : top + rows]
        excluded = None if exclude is None else exclude[top : top + rows]
        for left in range(0, len(entities), columns):
            block = slice(left, left + columns)
            distances = torch.addmm(sizes[block], entities[block], part)
            if excluded is not None:
                here = (excluded >= left) & (excluded < left + columns)
                row, column = here.nonzero(as_tuple=True)
                distances[excluded[row, column] - left, row] = torch.inf
            # Few blocks hold anything nearer, and to look where it is takes ten times as long.
            closer = (distances.amin(0) < best).nonzero().squeeze(1)
            if len(closer):
                distance, index = distances.index_select(1, closer).min(0)
                best[closer], ids[closer] = distance, index + left
    return found, least


def position_in(drawn: Tensor, ids: Tensor) -> Tensor:
    """The positions of ids among (c,) rising ones, −1 for those not there: (...)."""
    position = torch.searchsorted(drawn, ids.contiguous()).clamp(max=len(drawn) - 1)
    return position.masked_fill(drawn[position] != ids, -1)


@torch.no_grad()
def identify(
    negatives: Negatives,
    positives: Positives,
    part: slice = slice(None),
    exclude: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Ids of negatives; of generated ones, that of the nearest entity that is encoded.

    Args:
        negatives: (b, k).
        positives: have the embeddings of entities.
        part: a slice of the b triples.
        exclude: (·, k) for each of the slice's negatives, an entity that is not a candidate.

    Returns:
        (·, k) ids, and (·, k) bool, whether the negative was generated and differs from its entity.
    """
    if negatives.ids is not None:
        ids = negatives.ids[part]
        return ids, torch.zeros_like(ids, dtype=torch.bool)
    embeddings = negatives.embeddings[part]
    ids = embeddings.new_full(embeddings.shape[:2], -1, dtype=torch.int64)
    if negatives.partial_ids is not None:
        ids = negatives.partial_ids[part].clone()
    unknown = ids < 0
    excluded = None if exclude is None else positives.rows(exclude[unknown]).unsqueeze(1)
    found = nearest(embeddings[unknown], positives.entities, excluded)
    ids[unknown] = positives.ids(found)
    return ids, unknown & (positives.embed(ids) != embeddings).any(-1)
