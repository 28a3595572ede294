"""One encoder and one decoder."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dans.data.message_graph import MessageGraph
from dans.models.batch import Positives
from dans.models.decoders import Decoder
from dans.models.encoders import Encoder


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Keep a module from dropping anything, and put it and its parts back as they were.

    Example:
        >>> layer = nn.Dropout(0.5)
        >>> with eval_mode(layer):
        ...     layer.training, layer(torch.ones(2)).tolist()
        (False, [1.0, 1.0])
        >>> layer.training
        True
    """
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


class Model(nn.Module):
    """Entities' embeddings from a graph, and scores of triples from embeddings.

    Args:
        encoder: gives every entity an embedding.
        decoder: scores triples of embeddings of the same width.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        if encoder.dim != decoder.dim:
            raise ValueError(f"encoder gives {encoder.dim} numbers, decoder takes {decoder.dim}")
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, messages: MessageGraph) -> Tensor:
        """The embeddings of all entities of a message graph, (n, d)."""
        return self.decoder.prepare(self.encoder(messages))

    def encode_rows(self, messages: MessageGraph, ids: Tensor, *, sparse: bool = False) -> Tensor:
        """The embeddings of some entities, (u, d); see ``Encoder.rows``."""
        return self.decoder.prepare(self.encoder.rows(messages, ids, sparse=sparse))

    def positives(self, triples: Tensor, entities: Tensor) -> Positives:
        """A batch of triples as embeddings.

        Args:
            triples: (b, 3) int64; heads and tails index the rows of ``entities``.
            entities: (n, d).
        """
        heads, relations, tails = triples.unbind(-1)
        # Both ends at once: each gathering has a gradient as large as the table.
        h, t = F.embedding(torch.cat((heads, tails)), entities).chunk(2)
        tail_query, head_query = self.decoder.ask(h, relations, t)
        return Positives(
            triples=triples,
            h=h,
            r=self.decoder.embeddings(relations),
            t=t,
            tail_query=tail_query,
            head_query=head_query,
            entities=entities,
            score_query=self.decoder.score_query,
            reciprocal=self.decoder.reciprocal,
            dot=self.decoder.dot,
            shift=self.decoder.shift,
        )

    @torch.no_grad()
    def embeddings(self, messages: MessageGraph) -> Tensor:
        """As ``encode``, for use rather than training: no dropout, no gradient."""
        with eval_mode(self):
            return self.encode(messages)
