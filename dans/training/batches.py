"""Batches of triples or queries, and the encoders that give a batch its embeddings."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from dans.config.schema import TrainConfig
from dans.data.message_graph import MessageGraph
from dans.data.neighbor_sampling import IncomingMessages
from dans.data.query_index import Groups
from dans.errors import InputError
from dans.memory import Budget
from dans.models.batch import Positives, Proposal, Share, own_of, own_randomness
from dans.models.model import Model
from dans.training.state_checks import check_order, check_position


class Batches:
    """Row numbers in batches, (b,), reshuffled at each pass; its last batch may be smaller."""

    def __init__(self, rows: int, size: int) -> None:
        self.rows = rows
        self.size = min(size, rows)
        self.order = torch.empty(0, dtype=torch.int64)
        #: torch's random state before the order of this pass was drawn, and how many rows it has
        #: given; None where the order itself was resumed from
        self.drawn_from: Tensor | None = None
        self.position = 0

    def __len__(self) -> int:
        """The number of batches in a pass."""
        return -(-self.rows // self.size)

    def next(self) -> Tensor:
        """The next batch of row numbers, on the CPU."""
        if not self.left:
            self.drawn_from, self.position = torch.get_rng_state(), 0
            self.order = torch.randperm(self.rows)
        batch = self.order[self.position : self.position + self.size]
        self.position += len(batch)
        return batch

    @property
    def left(self) -> int:
        """The number of rows left in this pass."""
        return len(self.order) - self.position

    def state(self) -> dict[str, Any]:
        """The rest of this pass, for a checkpoint: what its order is drawn from, not the order."""
        if self.drawn_from is None or not self.left:
            return {"order": self.order[self.position :]}
        return {"drawn_from": self.drawn_from, "position": self.position, "rows": self.rows}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume a pass; checkpoints of 0.1 have its order."""
        if "order" in state:
            check_order(state["order"], self.rows)
            self.order, self.drawn_from, self.position = state["order"], None, 0
            return
        check_position(state, self.rows)
        self.drawn_from, self.position = state["drawn_from"], state["position"]
        self.order = torch.randperm(
            self.rows, generator=torch.Generator().set_state(self.drawn_from)
        )


class QueryBatches(Batches):
    """Queries in batches, each query with all triples that answer it, reshuffled at each pass.

    Row i is triple i as an answer of its tail query (h, r, ?), row f + i as one of its head query
    (?, r, t). One row of scores serves all answers of a query: a pass over FB15k-237 scores all
    entities a quarter as often as a pass over its triples.
    """

    def __init__(self, triples: Tensor, size: int, most: int | None = None) -> None:
        h, r, t = triples.unbind(-1)
        n, m = triples[:, [0, 2]].max() + 1, r.max() + 1
        # Tail queries in the order of (h, r), then head queries in that of (r, t).
        self.queries = Groups.of(torch.cat((h * m + r, n * m + r * n + t)), most)
        self.most = most
        super().__init__(len(self.queries), size)

    def next(self) -> Tensor:
        """The rows of the next batch, those of one query side by side."""
        batch = super().next()
        if self.most is not None:
            fit = int((self.queries.counts[batch].cumsum(0) <= self.most).sum())
            self.position -= len(batch) - fit
            batch = batch[:fit]
        return self.queries.take(batch)

    def __len__(self) -> int:
        """The number of batches in a pass.

        At least that number where batches are cut at ``most`` triples: how many there are then
        depends on the order of a pass.
        """
        whole, rows = super().__len__(), len(self.queries.numbers)
        return whole if self.most is None else max(whole, -(-rows // self.most))


def batches_of(triples: Tensor, config: TrainConfig, most: int | None = None) -> Batches:
    """Batches of (f, 3) triples, or of their queries, of at most ``most`` triples."""
    if config.batch_by == "queries":
        return QueryBatches(triples, config.batch, most)
    return Batches(len(triples), config.batch if most is None else min(config.batch, most))


@dataclass(eq=False, repr=False)
class BatchEncoder(ABC):
    """The batch encoder: the one seam by which a training step meets the graph.

    Which entity has which row of embeddings, the ``Positives`` it returns know; all else has ids.

    Args:
        train: (f, 3) the training triples, on the device of the model.
        hold_out: no messages of the triples of the batch.
        most: triples in a batch; None: any number.
        sparse: sparse gradients for a table of embeddings of which a step needs some rows.
    """

    #: the name of its number in the log
    statistic: ClassVar[str]

    train: Tensor
    _: KW_ONLY
    hold_out: bool = True
    most: int | None = None
    sparse: bool = False
    #: what `statistics` is the mean of, by step since the last validation
    noted: list[float] = field(default_factory=list, init=False)

    def triples(self, rows: Tensor) -> Tensor:
        """The triples of (b,) rows, (b, 3); row f + i is triple i as a head query."""
        return self.train[rows.to(self.train.device) % len(self.train)]

    @abstractmethod
    def positives(
        self,
        model: Model,
        rows: Tensor,
        proposal: Proposal | None = None,
        share: Share | None = None,
    ) -> Positives:
        """The triples of (b,) rows with embeddings for this step.

        Of the entities of the triples and those of the proposal; without one, of all. Of a batch
        that several processes share, those of the part; messages of the whole batch are held out.
        """

    @abstractmethod
    def entities(self, model: Model) -> Tensor:
        """Every entity's embedding, (n, d), for evaluation."""

    def statistics(self) -> dict[str, float]:
        """The mean of what was noted in the steps since the last call, by its name, for the log."""
        noted, self.noted = self.noted, []
        return {self.statistic: sum(noted) / len(noted)} if noted else {}


def part(triples: Tensor, proposal: Proposal, share: Share | None) -> tuple[Tensor, Proposal]:
    """The part of a batch of triples, and of what is proposed for them, that is computed here."""
    if share is None:
        return triples, proposal
    return triples[share.start : share.stop], proposal.slice(share.start, share.stop)


def needed(triples: Tensor, proposal: Proposal, n: int) -> Tensor:
    """The entities of (b, 3) triples and of a proposal, of n there are: (u,) rising ids."""
    ids: Tensor = torch.cat((triples[:, [0, 2]].flatten(), *proposal.entities())).unique()
    low, high = ids[[0, -1]].tolist()
    if low < 0 or high >= n:
        raise InputError(f"negatives: expected ids from 0 to {n - 1}, got {low} to {high}")
    return ids


@dataclass(eq=False, repr=False)
class FullGraph(BatchEncoder):
    """Encodes over the full message graph, or a random share of its triples, at every step.

    Logged is the share of the training triples that sent messages, if some did not. Other arguments
    are those of `BatchEncoder`.

    Args:
        messages: the message graph of the training triples, on the device of the model.
        sample: share of the triples that carry messages in a step.
    """

    statistic = "message_share"

    messages: MessageGraph
    _: KW_ONLY
    sample: float = 1.0

    def positives(
        self,
        model: Model,
        rows: Tensor,
        proposal: Proposal | None = None,
        share: Share | None = None,
    ) -> Positives:
        """The triples of (b,) rows with embeddings for this step."""
        triples = self.triples(rows)
        messages = self.messages_for(rows, uses_graph=model.encoder.uses_graph)
        if proposal is None:
            return model.encode_batch(triples, messages)
        triples, proposal = part(triples, proposal, share)
        ids = needed(triples, proposal, self.messages.num_entities)
        with own_randomness(share):
            entities = model.encode_rows(messages, ids, sparse=self.sparse)
            positives = model.positives(
                triples, entities, entity_ids=ids, num_entities=messages.num_entities
            )
        return replace(positives, proposal=proposal, share=share)

    def messages_for(self, rows: Tensor, *, uses_graph: bool = True) -> MessageGraph:
        """The message graph of a step that scores the triples of (b,) rows."""
        if not uses_graph or (self.sample >= 1 and not self.hold_out):
            return self.messages
        triples = len(self.train)
        keep = torch.ones(triples, dtype=torch.bool)
        if self.sample < 1:
            keep[torch.randperm(triples)[round(self.sample * triples) :]] = False
        if self.hold_out:
            keep[rows % triples] = False
        self.noted.append(int(keep.sum()) / triples)
        return self.messages.restrict(keep.to(self.train.device))

    def entities(self, model: Model) -> Tensor:
        """Every entity's embedding, (n, d)."""
        return model.embeddings(self.messages)


@dataclass(eq=False, repr=False)
class NeighborSampling(BatchEncoder):
    """Encodes the entities that a step needs, from a few messages drawn for each in each layer.

    Logged is the number of messages drawn. Other arguments are those of `BatchEncoder`.

    Args:
        messages: all that the training triples send.
        fanout: of each layer; see `IncomingMessages.sample`.
        budget: of memory, for the embeddings of all entities.
    """

    statistic = "messages"

    messages: IncomingMessages
    fanout: Sequence[int]
    _: KW_ONLY
    budget: Budget | None = None

    def positives(
        self,
        model: Model,
        rows: Tensor,
        proposal: Proposal | None = None,
        share: Share | None = None,
    ) -> Positives:
        """The triples of (b,) rows with embeddings for this step."""
        triples, n = self.triples(rows), self.messages.num_entities
        ids = torch.arange(n) if proposal is None else needed(triples, proposal, n)
        # Several processes encode a part each of what the whole batch needs, not what their own
        # triples need: much of that is the same.
        encoded, place = (ids, ids) if share is None else own_of(ids, share.shard)
        held_out = rows % len(self.train) if self.hold_out else None
        # From the random state that several processes have in common.
        seed = int(torch.randint(2**31 - 1, ())) + (0 if share is None else share.start)
        around = self.messages.sample(encoded, self.fanout, exclude=held_out, seed=seed)
        self.noted.append(sum(map(len, around.blocks)))
        with own_randomness(share):
            entities = model.encode_sampled(around.to(triples.device), sparse=self.sparse)
            if proposal is None:
                return model.positives(triples, entities)
            if share is not None:
                triples, proposal = part(triples, proposal, share)
                every, ids = ids, needed(triples, proposal, n)
                place = place[torch.searchsorted(every, ids)]
                entities = share.shard.fetch(entities, place, sparse=False)
            positives = model.positives(triples, entities, entity_ids=ids, num_entities=n)
        return replace(positives, proposal=proposal, share=share)

    def entities(self, model: Model) -> Tensor:
        """Every entity's embedding, (n, d), from all messages, for evaluation."""
        return model.embeddings_in_pieces(self.messages, budget=self.budget)
