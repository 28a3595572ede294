"""Triple classification of a labelled split by a model's scores."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph, Split
from dans.errors import InputError
from dans.evaluation.classification import both_kinds, classification
from dans.memory import Budget
from dans.models.decoders.base import Decoder
from dans.models.decoders.costs import query_cost
from dans.models.model import eval_mode

#: Numbers of the embeddings of heads that are scored at a time, at most.
NUMBERS = 2**16


@dataclass(frozen=True)
class ClassificationReport:
    """The metrics of ``classification`` of the uncalibrated scores of one split."""

    split: str
    numbers: dict[str, float]

    @property
    def selection_metric(self) -> float:
        """The NLL, which summaries name."""
        return self.numbers["nll"]

    def metrics(self) -> dict[str, dict[str, float]]:
        """The metrics to log."""
        return {"classification": self.numbers}

    def summary(self) -> str:
        """Split, NLL and AUC in a phrase."""
        return f"{self.split} NLL {self.selection_metric:.4f}, AUC {self.numbers['auc']:.4f}"


class Classifier:
    """Scores the labelled triples of a split and compares with their labels.

    ``budget``: memory for scoring; None: a quarter of what is free.
    """

    def __init__(self, kg: KnowledgeGraph, split: Split, *, budget: Budget | None = None) -> None:
        self.split, self.budget = split, budget
        self.lines, self.holds = kg.lines(split)
        if not both_kinds(self.holds):
            kinds = "lines labelled true and lines labelled false"
            raise InputError(f"{kg.name}: {split}: {kinds} are needed")

    def __call__(self, decoder: Decoder, entities: Tensor) -> ClassificationReport:
        """The metrics of the split, given a decoder and (n, d) entity embeddings."""
        scores = self.scores(decoder, entities)
        return ClassificationReport(self.split, classification(scores, self.holds))

    def scores(self, decoder: Decoder, entities: Tensor) -> Tensor:
        """The logits of the split's triples, (f,) on the CPU."""
        return logits(decoder, entities, self.lines, budget=self.budget)


@torch.no_grad()
def logits(
    decoder: Decoder, entities: Tensor, triples: Tensor, *, budget: Budget | None = None
) -> Tensor:
    """The scores of triples, (f,) on the CPU, without dropout.

    With reciprocal relations a triple has two scores, and this is their mean. Scores do not depend
    on the budget, except those of RESCAL and TuckER by rounding, because triples share products.
    The work is done on the device of the entities; ``budget`` None: a quarter of what is free.
    """
    lines, width, size = triples.to(entities.device), entities.shape[1], entities.element_size()
    most = max(1, NUMBERS // width)
    fixed = 2 * query_cost(decoder, most) * size
    budget = budget or Budget(device=entities.device)

    def work(part: slice) -> Tensor:
        return _scores(decoder, entities, lines[part])

    with eval_mode(decoder):
        parts = budget.chunks(len(lines), (3 * width + 8) * size, work, most=most, fixed=fixed)
        return torch.cat([entities.new_empty(0), *parts]).cpu()


def _scores(decoder: Decoder, entities: Tensor, lines: Tensor) -> Tensor:
    heads, relations, tails = lines.unbind(-1)
    h, t = entities[heads], entities[tails]
    as_tail = decoder.score_query(decoder.tail_queries(h, relations), t)
    if not decoder.reciprocal:
        return as_tail
    return (as_tail + decoder.score_query(decoder.head_queries(relations, t), h)) / 2
