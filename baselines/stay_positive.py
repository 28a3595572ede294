"""Stay Positive: training without negatives, by a regularizer of the sum of all scores."""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from dans.errors import InputError, not_negative, one_of
from dans.models.batch import Positives, Proposal
from dans.models.decoders import DECODERS, Decoder, Multilinear
from dans.objectives.base import Objective

#: Entities and relations whose triples are regularised.
Over = Literal["batch", "all"]

#: Are the terms sums, as in the source, or means?
Reduce = Literal["sum", "mean"]


class StayPositive(Objective):
    """Logistic loss of the triples, and a penalty on the sum of the scores of all triples.

        loss  = Σ_{triples} softplus(−(φ + ψ))
        total = λ / batches · |Σ_{h,r,t} φ(h, r, t)|^p

    The second sum is over all u² v triples of a batch's entities and relations, and costs (u + v) d
    with a `Multilinear` decoder. ψ is ``decoder.shift``, the bound I on scores ``decoder.bound``,
    dropout of the products ``decoder.query_dropout``. The decoder's shift and dropout are not in
    the second term; an encoder's dropout is in both.

    The effect of λ depends on the batch size, except with ``reduce = "mean"``: then the loss is a
    mean over triples, and the second term λ |mean φ|^p. With reciprocal relations, both scores of a
    triple count in both terms.

    Source: Hajimoradlou & Kazemi 2022, Stay Positive, §4.

    Args:
        power: p, 1 or 2.
        over: the entities and relations of the second term: those of the ``batch``, so that no
            other row has a gradient, or ``all``.
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

    @property
    def needs_all_entities(self) -> str:
        """Its sum is over all, or over those of the batch."""
        return "" if self.over == "batch" else "the sum over all triples is over all entities"

    def propose(self, positives: Positives) -> Proposal | None:
        """No entities besides those of the batch, or all."""
        return Proposal() if self.over == "batch" else None

    def forward(self, decoder: Decoder, positives: Positives) -> dict[str, Tensor]:
        """``loss``, and ``total`` if it has a weight.

        Raises:
            ValueError: ``positives`` holds all entities, though only the batch's are needed.
        """
        if not isinstance(decoder, Multilinear) or not has_sum(type(decoder)):
            raise InputError(_no_sum(type(decoder).__name__.lower()))
        if self.over == "batch" and positives.entity_ids is None:
            raise ValueError(
                "entity_ids: over = 'batch' needs a batch that holds its own entities only; "
                "encode those that propose names, as a trainer does"
            )
        scores = positives.scores()
        if positives.reciprocal:
            scores = torch.cat(
                (scores, positives.score_query(positives.head_query, positives.h)[:, None])
            )
        losses = F.softplus(-scores)
        terms = {"loss": losses.sum() if self.reduce == "sum" else losses.mean()}
        if self.weight:
            terms["total"] = self.penalty(decoder, positives)
        return terms

    def penalty(self, decoder: Multilinear, positives: Positives) -> Tensor:
        """λ |Σ φ|^p / batches, or λ |mean φ|^p."""
        relations = positives.triples[:, 1].unique() if self.over == "batch" else None
        total = decoder.total(positives.entities, relations)
        if self.reduce == "sum":
            return self.weight / self.num_batches * total.abs().pow(self.power)
        count = decoder.num_relations if relations is None else len(relations)
        triples = len(positives.entities) ** 2 * count * (1 + decoder.reciprocal)
        return self.weight * (total / triples).abs().pow(self.power)


def _no_sum(decoder: str) -> str:
    return (
        "name: stay_positive needs scores with a closed sum over all triples, those of "
        f"{', '.join(summable())}; got {decoder}"
    )


def summable() -> list[str]:
    """The names of the multilinear decoders, without subclasses of other queries or scores."""
    return [name for name, kind in DECODERS.items() if has_sum(kind)]


def has_sum(kind: type[Decoder]) -> bool:
    """Are the scores of a decoder those whose sum `Multilinear.total` is?"""
    return issubclass(kind, Multilinear) and kind.score_relations is Multilinear.score_relations
