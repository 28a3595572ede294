"""Embeddings of entities that training never saw, made from those of their neighbors.

They need no encoder of messages, so that a table of embeddings can be compared with one.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dans.models.decoders.base import Decoder

#: What a neighbor's embedding, (b, d), says of the missing end of (b, 3) triples, whose tail is
#: missing where (b,) is true: (b, d).
Sent = Callable[[Tensor, Tensor, Tensor], Tensor]


def neighbor_mean(decoder: Decoder, entities: Tensor, triples: Tensor, new: int) -> Tensor:
    """The mean embedding of the neighbors: e_i = mean over (i, r, j) and (j, r, i) of e_j.

    Embedded are entities n to n + new − 1, from the triples in which the other end has an
    embedding; then, from these, those that have no other neighbors. What no triple reaches gets the
    mean of all embeddings. Decoders have no part in it.

    Args:
        decoder: scores triples of the embeddings.
        entities: (n, d) embeddings that are known.
        triples: (f, 3) ids, at least those of new entities.
        new: how many there are.

    Returns:
        (n + new, d), the first n as given.

    Example:
        >>> from dans.models.decoders import TransE
        >>> known, triples = torch.tensor([[0.], [4.]]), torch.tensor([[0, 0, 2], [2, 1, 1]])
        >>> neighbor_mean(TransE(2, dim=1), known, triples, new=1)
        tensor([[0.],
                [4.],
                [2.]])
    """
    return _in_rounds(entities, triples, new, lambda known, triples, tail: known)


def query_mean(decoder: Decoder, entities: Tensor, triples: Tensor, new: int) -> Tensor:
    """The mean query embedding of the triples, in which a new entity is what is missing.

        e_i = mean over (i, r, j) of head_query(r, j), and over (j, r, i) of tail_query(j, r)

    For TransE these are e_j − r and e_j + r, so the mean is nearest to all of them. Where a score
    is a dot product, they are its gradient, and the mean gets the mean length of the embeddings.
    Arguments and order are those of `neighbor_mean`.

    Example:
        >>> from dans.models.decoders import TransE
        >>> known, triples = torch.tensor([[0.], [4.]]), torch.tensor([[0, 0, 2], [2, 1, 1]])
        >>> decoder = TransE(2, dim=1)
        >>> decoder.relation.weight.data = torch.tensor([[1.], [2.]])
        >>> query_mean(decoder, known, triples, new=1)[2]
        tensor([1.5000])
    """

    def query(known: Tensor, triples: Tensor, tail: Tensor) -> Tensor:
        relations = triples[:, 1]
        tails, heads = (
            decoder.tail_queries(known, relations),
            decoder.head_queries(relations, known),
        )
        return torch.where(tail.unsqueeze(1), tails, heads)

    length = entities.norm(dim=1).mean() if decoder.dot else None
    return _in_rounds(entities, triples, new, query, length)


def table_mean(decoder: Decoder, entities: Tensor, triples: Tensor, new: int) -> Tensor:
    """The mean of all embeddings for every new entity, as a control that uses no triple."""
    return _in_rounds(entities, triples[:0], new, lambda known, triples, tail: known)


#: Ways to embed new entities without an encoder, by name.
NEW_ENTITIES: dict[str, Callable[[Decoder, Tensor, Tensor, int], Tensor]] = {
    "neighbors": neighbor_mean,
    "queries": query_mean,
    "table": table_mean,
}


@torch.no_grad()
def _in_rounds(
    entities: Tensor, triples: Tensor, new: int, sent: Sent, length: Tensor | None = None
) -> Tensor:
    """Embed new entities by the mean of what is sent to them, round by round."""
    n = len(entities)
    whole = torch.cat((entities, entities.mean(0).expand(new, -1)))
    embedded = torch.arange(n + new, device=entities.device) < n
    triples = triples.to(entities.device)
    both = torch.cat((triples, triples))
    tail = torch.arange(len(both), device=entities.device) < len(triples)
    sources = torch.where(tail, both[:, 0], both[:, 2])
    targets = torch.where(tail, both[:, 2], both[:, 0])
    while bool((use := embedded[sources] & ~embedded[targets]).any()):
        to = targets[use]
        total = torch.zeros_like(whole).index_add_(
            0, to, sent(whole[sources[use]], both[use], tail[use])
        )
        counts = torch.bincount(to, minlength=len(whole)).unsqueeze(1)
        means = total / counts.clamp(min=1)
        if length is not None:
            means = means * length / means.norm(dim=1, keepdim=True).clamp(min=1e-12)
        whole = torch.where(counts > 0, means, whole)
        embedded = embedded | (counts.squeeze(1) > 0)
    return whole
