"""Where a training step gets its triples and its embeddings from."""

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from dans.config.schema import TrainConfig
from dans.data.message_graph import MessageGraph
from dans.data.query_index import Groups
from dans.models.batch import Positives
from dans.models.model import Model


class Batches:
    """Every row once in a fresh order, then again: (b,) row numbers at a time.

    Args:
        rows: how many there are.
        size: how many a batch takes; more than there are means all. The last batch of a pass may be
            smaller.
    """

    def __init__(self, rows: int, size: int) -> None:
        self.rows = rows
        self.size = min(size, rows)
        self.order = torch.empty(0, dtype=torch.int64)

    def __len__(self) -> int:
        """How many batches make a pass."""
        return -(-self.rows // self.size)

    def next(self) -> Tensor:
        """The next batch of row numbers, on the CPU."""
        if not len(self.order):
            self.order = torch.randperm(self.rows)
        batch, self.order = self.order[: self.size], self.order[self.size :]
        return batch

    def state(self) -> dict[str, Tensor]:
        """What is left of this pass."""
        return {"order": self.order}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on with what was left."""
        self.order = state["order"]


class QueryBatches(Batches):
    """Every query once in a fresh order, each with all triples that answer it.

    LabelledTriple i asks two queries: row i stands for (h, r, ?), row f + i for (?, r, t). One row
    of scores serves all answers of a query, so that a pass over FB15k-237 compares all entities a
    quarter as often as a pass over its triples.

    Args:
        triples: (f, 3).
        size: how many queries a batch takes.
    """

    def __init__(self, triples: Tensor, size: int) -> None:
        h, r, t = triples.unbind(-1)
        n, m = triples[:, [0, 2]].max() + 1, r.max() + 1
        # Tail queries in the order of (h, r), then head queries in that of (r, t).
        self.queries = Groups.of(torch.cat((h * m + r, n * m + r * n + t)))
        super().__init__(len(self.queries), size)

    def next(self) -> Tensor:
        """The next batch of rows, those of one query side by side."""
        return self.queries.take(super().next())


def batches_of(triples: Tensor, config: TrainConfig) -> Batches:
    """What a pass over (f, 3) triples is made of; its length is how many batches make a pass."""
    if config.batch_by == "queries":
        return QueryBatches(triples, config.batch)
    return Batches(len(triples), config.batch)


class BatchEncoder(Protocol):
    """Encodes a batch of triples, and every entity for evaluation.

    ``FullGraph`` is one. Encoding only the neighbourhood of a batch, or one part of a graph spread
    over machines, would be others, and the trainer would not notice.
    """

    def triples(self, rows: Tensor) -> Tensor:
        """The triples of (b,) rows, (b, 3), on the device of the model."""

    def positives(self, model: Model, rows: Tensor, wanted: Tensor | None = None) -> Positives:
        """Triples by their (b,) rows, as embeddings the model has for them in this step."""

    def entities(self, model: Model) -> Tensor:
        """Every entity's embedding, (n, d)."""


class FullGraph:
    """Encodes at every step from all messages, or from a fresh share of them.

    Args:
        train: (f, 3) the training triples, on the device of the model.
        messages: their message graph, likewise.
        sample: share of the triples that carry messages in a step.
        hold_out: keep the triples being scored from carrying messages.
        sparse: where only some entities are wanted, of an encoder that has them at hand, let
            gradients be sparse: no pass over the rows of the others.
    """

    def __init__(
        self,
        train: Tensor,
        messages: MessageGraph,
        *,
        sample: float = 1.0,
        hold_out: bool = True,
        sparse: bool = False,
    ) -> None:
        self.train = train
        self.messages = messages
        self.sample = sample
        self.hold_out = hold_out
        self.sparse = sparse

    def triples(self, rows: Tensor) -> Tensor:
        """The triples of (b,) rows, (b, 3); from row f on they are the same, asked for the head."""
        return self.train[rows.to(self.train.device) % len(self.train)]

    def positives(self, model: Model, rows: Tensor, wanted: Tensor | None = None) -> Positives:
        """Triples as embeddings the model has for them in this step.

        Args:
            model: encodes and asks.
            rows: (b,) row numbers of the training triples, or of queries; see ``QueryBatches``.
            wanted: (p,) ids of the entities an objective looks at beside the triples' own; it then
                sees no others, and ids of triples and pool are rows of what it sees. None: all.
        """
        triples, messages = (
            self.triples(rows),
            self.messages_for(rows, uses_graph=model.encoder.uses_graph),
        )
        if wanted is None:
            return model.encode_batch(triples, messages)
        ends = triples[:, [0, 2]]
        ids, place = torch.cat((ends.flatten(), wanted)).unique(return_inverse=True)
        of_triples, pool = place[: ends.numel()].view(-1, 2), place[ends.numel() :]
        local = torch.stack((of_triples[:, 0], triples[:, 1], of_triples[:, 1]), dim=1)
        entities = model.encode_rows(messages, ids, sparse=self.sparse)
        return replace(model.positives(local, entities), shared_negatives=pool)

    def messages_for(self, rows: Tensor, *, uses_graph: bool = True) -> MessageGraph:
        """The message graph of a step that scores some triples, for an encoder that uses_graph."""
        if not uses_graph or (self.sample >= 1 and not self.hold_out):
            return self.messages
        triples = len(self.train)
        keep = torch.ones(triples, dtype=torch.bool)
        if self.sample < 1:
            keep[torch.randperm(triples)[round(self.sample * triples) :]] = False
        if self.hold_out:
            keep[rows % triples] = False
        return self.messages.restrict(keep.to(self.train.device))

    def entities(self, model: Model) -> Tensor:
        """Every entity's embedding, for evaluation: (n, d)."""
        return model.embeddings(self.messages)
