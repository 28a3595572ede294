"""Where a training step gets its facts and its vectors from."""

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from dans.batch import Positives
from dans.config import TrainConfig
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


class QuestionBatches(Batches):
    """Every question once in a fresh order, each with all facts that answer it.

    Fact i asks two questions: row i stands for (h, r, ?), row f + i for (?, r, t). One row of
    scores serves all answers of a question, so that a pass over FB15k-237 compares all entities a
    quarter as often as a pass over its facts.

    Args:
        facts: (f, 3).
        size: how many questions a batch takes.
    """

    def __init__(self, facts: Tensor, size: int) -> None:
        h, r, t = facts.unbind(-1)
        # A number for each question: rows of two are sorted fifty times slower.
        tails = (h * (r.max() + 1) + r).unique(return_inverse=True)[1]
        heads = (r * (t.max() + 1) + t).unique(return_inverse=True)[1]
        asked = torch.cat((tails, heads + tails.max() + 1))
        self.by_question = asked.argsort(stable=True)
        counts = torch.bincount(asked)
        self.counts, self.starts = counts, counts.cumsum(0) - counts
        super().__init__(len(counts), size)

    def next(self) -> Tensor:
        """The next batch of rows, those of one question side by side."""
        questions = super().next()
        counts = self.counts[questions]
        before = counts.cumsum(0) - counts
        first = (self.starts[questions] - before).repeat_interleave(counts)
        return self.by_question[first + torch.arange(len(first))]


def batches_of(facts: Tensor, config: TrainConfig) -> Batches:
    """What a pass over (f, 3) facts is made of; its length is how many batches make a pass."""
    if config.batch_by == "questions":
        return QuestionBatches(facts, config.batch)
    return Batches(len(facts), config.batch)


class Source(Protocol):
    """A strategy: what a batch of facts looks like as vectors, and every entity for judging.

    ``WholeGraph`` is one. Encoding only the neighbourhood of a batch, or one part of a graph spread
    over machines, would be others, and the trainer would not notice.
    """

    def facts(self, rows: Tensor) -> Tensor:
        """The facts of (b,) rows, (b, 3), on the device of the model."""

    def positives(self, model: Model, rows: Tensor, wanted: Tensor | None = None) -> Positives:
        """Facts by their (b,) rows, as vectors the model has for them in this step."""

    def entities(self, model: Model) -> Tensor:
        """Every entity's vector, (n, d)."""


class WholeGraph:
    """Encodes at every step from all messages, or from a fresh share of them.

    Args:
        train: (f, 3) the training facts, on the device of the model.
        messages: their message graph, likewise.
        sample: share of the facts that carry messages in a step.
        hold_out: keep the facts being scored from carrying messages.
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

    def facts(self, rows: Tensor) -> Tensor:
        """The facts of (b,) rows, (b, 3); from row f on they are the same, asked for the head."""
        return self.train[rows.to(self.train.device) % len(self.train)]

    def positives(self, model: Model, rows: Tensor, wanted: Tensor | None = None) -> Positives:
        """Facts as vectors the model has for them in this step.

        Args:
            model: encodes and asks.
            rows: (b,) row numbers of the training facts, or of questions; see ``QuestionBatches``.
            wanted: (p,) ids of the entities an objective looks at beside the facts' own; it then
                sees no others, and ids of facts and pool are rows of what it sees. None: all.
        """
        facts, messages = self.facts(rows), self.messages_for(rows, listens=model.encoder.listens)
        if wanted is None:
            return model.positives(facts, model.encode(messages))
        ends = facts[:, [0, 2]]
        ids, place = torch.cat((ends.flatten(), wanted)).unique(return_inverse=True)
        of_facts, pool = place[: ends.numel()].view(-1, 2), place[ends.numel() :]
        local = torch.stack((of_facts[:, 0], facts[:, 1], of_facts[:, 1]), dim=1)
        entities = model.encode_rows(messages, ids, sparse=self.sparse)
        return replace(model.positives(local, entities), pool=pool)

    def messages_for(self, rows: Tensor, *, listens: bool = True) -> MessageGraph:
        """The message graph of a step that scores some facts, for an encoder that listens."""
        if not listens or (self.sample >= 1 and not self.hold_out):
            return self.messages
        facts = len(self.train)
        keep = torch.ones(facts, dtype=torch.bool)
        if self.sample < 1:
            keep[torch.randperm(facts)[round(self.sample * facts) :]] = False
        if self.hold_out:
            keep[rows % facts] = False
        return self.messages.restrict(keep.to(self.train.device))

    def entities(self, model: Model) -> Tensor:
        """Every entity's vector, for judging: (n, d)."""
        return model.vectors(self.messages)
