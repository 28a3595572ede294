"""A link prediction model: an encoder and a decoder."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dans.data.message_graph import MessageGraph
from dans.data.neighbor_sampling import IncomingMessages, Neighborhood
from dans.memory import Budget
from dans.models.batch import Positives
from dans.models.decoders import Decoder
from dans.models.decoders.base import check_queries, check_shapes
from dans.models.encoders import Encoder


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Put a module in evaluation mode, then every part of it back in the mode it was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


class Model(nn.Module):
    """An encoder, which embeds entities, and a decoder, which scores triples of embeddings.

    Example:
        >>> from dans.models import Lookup
        >>> from dans.models.decoders import DistMult
        >>> triples = torch.tensor([[0, 0, 1], [2, 0, 1]])
        >>> model = Model(Lookup(3, dim=4), DistMult(num_relations=1, dim=4))
        >>> batch = model.encode_batch(triples, MessageGraph.of(triples, 3, 1))
        >>> batch.scores().shape, batch.entities.shape
        (torch.Size([2, 1]), torch.Size([3, 4]))
    """

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        if encoder.dim != decoder.dim:
            raise ValueError(f"encoder gives {encoder.dim} numbers, decoder takes {decoder.dim}")
        with eval_mode(decoder):
            check_shapes(decoder)
            check_queries(decoder)
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, messages: MessageGraph) -> Tensor:
        """The embeddings of all entities, (n, d)."""
        return self.decoder.prepare(self.encoder(messages))

    def encode_rows(self, messages: MessageGraph, ids: Tensor, *, sparse: bool = False) -> Tensor:
        """The embeddings of some entities, (u, d); sparse gradients where the encoder has them."""
        return self.decoder.prepare(self.encoder.rows(messages, ids, sparse=sparse))

    def encode_sampled(self, around: Neighborhood, *, sparse: bool = False) -> Tensor:
        """The embeddings of the entities around which was sampled, (u, d)."""
        return self.decoder.prepare(self.encoder.sampled(around, sparse=sparse))

    def encode_batch(self, triples: Tensor, messages: MessageGraph) -> Positives:
        """A batch of triples with embeddings, from the message graph: (b, 3) int64 ids."""
        return self.positives(triples, self.encode(messages))

    def positives(
        self,
        triples: Tensor,
        entities: Tensor,
        *,
        entity_ids: Tensor | None = None,
        num_entities: int = -1,
    ) -> Positives:
        """A batch of triples with embeddings; arguments of `Positives.from_embeddings`."""
        return Positives.from_embeddings(
            triples, entities, self.decoder, entity_ids=entity_ids, num_entities=num_entities
        )

    @torch.no_grad()
    def embeddings(self, messages: MessageGraph) -> Tensor:
        """The embeddings of all entities, (n, d), without dropout or gradient."""
        with eval_mode(self):
            return self.encode(messages)

    @torch.no_grad()
    def embeddings_in_pieces(
        self, messages: IncomingMessages, *, budget: Budget | None = None
    ) -> Tensor:
        """`embeddings`, computed some messages at a time, so that large graphs fit into memory.

        Args:
            messages: all of the graph.
            budget: for the messages computed at a time; None: a quarter of the free memory.
        """
        with eval_mode(self):
            return self.decoder.prepare(self.encoder.in_pieces(messages, budget=budget))
