"""Where a training step gets its facts and its vectors from."""

from typing import Protocol

import torch
from torch import Tensor

from dans.batch import Positives
from dans.data.messages import MessageGraph
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


class Source(Protocol):
    """A strategy: what a batch of facts looks like as vectors, and every entity for judging.

    ``WholeGraph`` is one. Encoding only the neighbourhood of a batch, or one part of a graph spread
    over machines, would be others, and the trainer would not notice.
    """

    def positives(self, model: Model, rows: Tensor) -> Positives:
        """Facts by their (b,) row numbers, as vectors the model has for them in this step."""

    def entities(self, model: Model) -> Tensor:
        """Every entity's vector, (n, d)."""


class WholeGraph:
    """Encodes all entities at every step, from all messages or a fresh share of them.

    Args:
        train: (f, 3) the training facts, on the device of the model.
        messages: their message graph, likewise.
        sample: share of the facts that carry messages in a step.
        hold_out: keep the facts being scored from carrying messages.
    """

    def __init__(
        self, train: Tensor, messages: MessageGraph, *, sample: float = 1.0, hold_out: bool = True
    ) -> None:
        self.train = train
        self.messages = messages
        self.sample = sample
        self.hold_out = hold_out

    def positives(self, model: Model, rows: Tensor) -> Positives:
        """Facts as vectors the model has for them in this step.

        Args:
            model: encodes and asks.
            rows: (b,) row numbers of the training facts.
        """
        entities = model.encode(self.messages_for(rows))
        return model.positives(self.train[rows.to(self.train.device)], entities)

    def messages_for(self, rows: Tensor) -> MessageGraph:
        """The message graph of a step that scores some facts."""
        if self.sample >= 1 and not self.hold_out:
            return self.messages
        facts = len(self.train)
        keep = torch.ones(facts, dtype=torch.bool)
        if self.sample < 1:
            keep[torch.randperm(facts)[round(self.sample * facts) :]] = False
        if self.hold_out:
            keep[rows] = False
        return self.messages.restrict(keep.to(self.train.device))

    def entities(self, model: Model) -> Tensor:
        """Every entity's vector, for judging: (n, d)."""
        return model.vectors(self.messages)
