"""Stay Positive: a bound on what all triples score together, where others draw negatives."""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from dans.errors import InputError, not_negative, one_of
from dans.models.batch import Positives
from dans.models.decoders import DECODERS, Decoder, Multilinear
from dans.objectives.base import Objective

#: Whose triples are bounded: those of a batch's entities and relations, or of all.
Over = Literal["batch", "all"]

#: How terms are joined: added up, as the source has it, or averaged.
Reduce = Literal["sum", "mean"]


class StayPositive(Objective):
    """How unlikely the triples are, and how far the scores of all triples are from adding up to 0.

        loss  = Σ_{triples} softplus(−(φ + ψ))
        total = λ / batches · |Σ_{h,r,t} φ(h, r, t)|^p

    The second sum is over all triples of a batch's entities and relations, u² v of them, and costs
    (u + v) d: a multilinear score of all triples is one score of sums. ψ is ``decoder.shift``, the
    bound I on scores ``decoder.bound``, dropout of the products ``decoder.query_dropout``; neither
    shift nor dropout of the decoder has a part in the second term, and dropout of an encoder's
    embeddings has one in both.

    λ means another thing for every batch size. With ``reduce = "mean"`` it does not: the loss is a
    mean over triples, and the second term λ |mean φ|^p.

    Where the two queries of a triple have two scores, both count in both terms, as if every
    inverse were a relation with triples of its own.

    Source: Hajimoradlou & Kazemi 2022, Stay Positive, §4. Their program has p = 1 or 2, adds up,
    and divides the second term by the batches of a pass.

    Args:
        num_batches: how many batches make a pass.
        weight: λ.
        power: p, 1 or 2.
        over: the entities and relations whose triples are bounded: those of the ``batch``, so that
            no other row has a gradient, or ``all``.
        reduce: ``sum`` or ``mean``.
        decoder: the name of the decoder whose scores these are; None: not checked before.

    Raises:
        InputError: an option out of range, or a decoder whose scores have no closed sum.
    """

    def __init__(
        self,
        *,
        num_batches: int,
        weight: float = 0.1,
        power: int = 1,
        over: Over = "batch",
        reduce: Reduce = "sum",
        decoder: str | None = None,
    ) -> None:
        super().__init__()
        not_negative("weight", weight)
        one_of("power", power, (1, 2))
        one_of("over", over, get_args(Over))
        one_of("reduce", reduce, get_args(Reduce))
        if decoder is not None and decoder not in summable():
            raise InputError(_no_sum(decoder))
        self.num_batches = num_batches
        self.weight = weight
        self.power = power
        self.over = over
        self.reduce = reduce

    def entities_needed(self, triples: Tensor) -> Tensor | None:
        """None beside the batch's own, or all."""
        return triples.new_empty(0) if self.over == "batch" else None

    def forward(self, decoder: Decoder, positives: Positives) -> dict[str, Tensor]:
        """``loss``, and ``total`` where it has a weight.

        Raises:
            InputError: the scores of this decoder have no closed sum.
            ValueError: not told which entities are the batch's, when those alone are bounded.
        """
        if not isinstance(decoder, Multilinear):
            raise InputError(_no_sum(type(decoder).__name__.lower()))
        if self.over == "batch" and positives.shared_negatives is None:
            raise ValueError(
                "pool: over = 'batch' bounds the triples of positives.entities, which are all "
                "there are; ask a source for those that wants returns, as a trainer does"
            )
        scores = positives.scores()
        if positives.reciprocal:
            scores = torch.cat(
                (scores, positives.score_query(positives.head_query, positives.h)[:, None])
            )
        losses = F.softplus(-scores)
        terms = {"loss": losses.sum() if self.reduce == "sum" else losses.mean()}
        if self.weight:
            terms["total"] = self.bound(decoder, positives)
        return terms

    def bound(self, decoder: Multilinear, positives: Positives) -> Tensor:
        """How far the sum of all scores, or their mean, is from 0."""
        relations = positives.triples[:, 1].unique() if self.over == "batch" else None
        total = decoder.total(positives.entities, relations)
        if self.reduce == "sum":
            return self.weight / self.num_batches * total.abs().pow(self.power)
        asked = decoder.num_relations if relations is None else len(relations)
        triples = len(positives.entities) ** 2 * asked * (1 + decoder.reciprocal)
        return self.weight * (total / triples).abs().pow(self.power)


def _no_sum(decoder: str) -> str:
    return (
        "name: stay_positive needs scores with a closed sum over all triples, those of "
        f"{', '.join(summable())}; got {decoder}"
    )


def summable() -> list[str]:
    """The decoders it works with, by name.

    Example:
        >>> {"complex", "distmult"} <= set(summable())
        True
    """
    return [name for name, kind in DECODERS.items() if issubclass(kind, Multilinear)]
