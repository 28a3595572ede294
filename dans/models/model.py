"""One encoder and one decoder."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dans.batch import Positives
from dans.data.messages import MessageGraph
from dans.models.decoders import Decoder
from dans.models.encoders import Encoder


class Model(nn.Module):
    """Entities' vectors from a graph, and scores of triples from vectors.

    Args:
        encoder: gives every entity a vector.
        decoder: scores triples of vectors of the same width.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        if encoder.dim != decoder.dim:
            raise ValueError(f"encoder gives {encoder.dim} numbers, decoder takes {decoder.dim}")
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, messages: MessageGraph) -> Tensor:
        """The vectors of all entities of a message graph, (n, d)."""
        vectors: Tensor = self.encoder(messages)
        return vectors

    def positives(self, triples: Tensor, entities: Tensor) -> Positives:
        """A batch of facts as vectors.

        Args:
            triples: (b, 3) int64; heads and tails index the rows of ``entities``.
            entities: (n, d).
        """
        heads, relations, tails = triples.unbind(-1)
        h, t = F.embedding(heads, entities), F.embedding(tails, entities)
        return Positives(
            triples=triples,
            h=h,
            r=self.decoder.relation(relations),
            t=t,
            tail_query=self.decoder.ask_tails(h, relations),
            head_query=self.decoder.ask_heads(relations, t),
            entities=entities,
            match=self.decoder.match,
            reciprocal=self.decoder.reciprocal,
            dot=self.decoder.dot,
        )

    @torch.no_grad()
    def vectors(self, messages: MessageGraph) -> Tensor:
        """As ``encode``, for use rather than training: no dropout, no gradient."""
        training = self.training
        self.eval()
        entities = self.encode(messages)
        self.train(training)
        return entities
