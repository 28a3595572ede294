"""Models to verdicts: how well the labelled lines of a split are told apart."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph, Split
from dans.errors import InputError
from dans.evaluation.classification import both_kinds, classification
from dans.memory import Budget
from dans.models.decoders.base import Decoder
from dans.models.model import eval_mode

#: Numbers of the heads of the lines scored at a time, at the most.
NUMBERS = 2**16


@dataclass(frozen=True)
class ClassificationReport:
    """How well true lines were told from false ones.

    Args:
        split: whose lines.
        numbers: see ``dans.evaluation.classification.classification``; nothing is calibrated.
    """

    split: str
    numbers: dict[str, float]

    @property
    def selection_metric(self) -> float:
        """What checkpoints are chosen by: the NLL."""
        return self.numbers["nll"]

    def is_better(self, best: float) -> bool:
        """Is it better than the best figure so far?"""
        return self.selection_metric < best

    def metrics(self) -> dict[str, dict[str, float]]:
        """What is recorded at a validation."""
        return {"classification": self.numbers}

    def summary(self) -> str:
        """Half a line."""
        return f"{self.split} NLL {self.selection_metric:.4f}, AUC {self.numbers['auc']:.4f}"


class Classifier:
    """Scores every line of a labelled split, true or false; of no entity but theirs.

    Args:
        kg: the graph.
        split: the lines to score.
        budget: as for ``logits``.

    Raises:
        InputError: the split has no labels, or lines of one kind only.
    """

    def __init__(self, kg: KnowledgeGraph, split: Split, *, budget: Budget | None = None) -> None:
        lines, holds = kg.lines(split)
        if not both_kinds(holds):
            raise InputError(
                f"{kg.name}: {split}: lines labelled true and lines labelled false are needed"
            )
        self.split = split
        self.budget = budget
        self.lines = lines
        self.holds = holds

    def __call__(self, decoder: Decoder, entities: Tensor) -> ClassificationReport:
        """Score the split and compare with its labels.

        Args:
            decoder: asked for query embeddings.
            entities: (n, d) their embeddings; the work is done on their device.

        Raises:
            FloatingPointError: a score is NaN.
        """
        scores = self.scores(decoder, entities)
        return ClassificationReport(self.split, classification(scores, self.holds))

    def scores(self, decoder: Decoder, entities: Tensor) -> Tensor:
        """The logit of each line, (f,); see ``logits``.

        Args:
            decoder: as for a verdict.
            entities: (n, d).
        """
        return logits(decoder, entities, self.lines, budget=self.budget)


@torch.no_grad()
def logits(
    decoder: Decoder, entities: Tensor, triples: Tensor, *, budget: Budget | None = None
) -> Tensor:
    """The logit of each triple, (f,) on the CPU; the shift of the decoder is in it.

    With reciprocal relations a triple has two scores; its logit is the mean of both. Nothing is
    dropped, whatever mode the decoder is in.

    A line's logit is the same however many are scored at a time; but for RESCAL and TuckER, whose
    lines share products, where it may differ by what rounding does.

    Args:
        decoder: asked for query embeddings.
        entities: (n, d) their embeddings; the work is done on their device.
        triples: (f, 3) ids.
        budget: what may be held at a time beside them; None: a quarter of what is free.

    Raises:
        InputError: not even one line fits in the budget.
    """
    lines = triples.to(entities.device)
    most = max(1, NUMBERS // entities.shape[1])
    held, each = decoder.asking(most), 3 * entities.shape[1] + 8
    size = entities.element_size()
    budget = budget or Budget(device=entities.device)
    with eval_mode(decoder):
        parts = budget.chunks(
            len(lines),
            each * size,
            lambda part: _scores(decoder, entities, lines[part]),
            most=most,
            fixed=2 * held * size,
        )
        return torch.cat([entities.new_empty(0), *parts]).cpu()


def _scores(decoder: Decoder, entities: Tensor, lines: Tensor) -> Tensor:
    heads, relations, tails = lines.unbind(-1)
    h, t = entities[heads], entities[tails]
    as_tail = decoder.score_query(decoder.tail_queries(h, relations), t)
    if not decoder.reciprocal:
        return as_tail
    return (as_tail + decoder.score_query(decoder.head_queries(relations, t), h)) / 2
