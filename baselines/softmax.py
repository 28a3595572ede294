"""Softmax cross-entropy over all entities (1-vs-all), without negative sampling."""

from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.candidates import all_entities
from dans.data.query_index import Groups, QueryIndex, query_keys
from dans.errors import InputError, one_of
from dans.memory import Budget
from dans.models.batch import Positives
from dans.models.decoders import DECODERS, Decoder
from dans.models.embedding_tables import check_share
from dans.objectives.base import Objective

#: The dtype of matrix products over all entities.
Precision = Literal["float32", "bfloat16"]


class SoftmaxCrossEntropy(Objective):
    """Cross-entropy of the right answers to head and tail queries, all entities being candidates.

        Σ −log softmax(f(x, ·))[y]  over x = (h, r), y = t and x = (r, t), y = h; mean over triples

    With label smoothing λ, −[(1 − λ) log p(y|x) + λ/n Σ_y' log p(y'|x)]. With backward correction,
    a term is multiplied by #x / #y, the training triples with x over those with y on that side.

    Equal queries of a batch are scored once. Scores that do not fit in the budget are computed
    twice, with the same bits, so the loss does not depend on memory. The budget does not cover the
    model, the entity embeddings and their gradients.

    Source: Kamigaito & Hayashi 2021, arXiv:2106.07250, Eqs. 2, 16 and 17. Their program puts
    λ/(n − 1) on the other entities; it is this with λ (n − 1)/n in place of λ.

    Args:
        backward_correction: weigh the answers by #x / #y.
        precision: of the matrix products over all entities. ``bfloat16`` is up to twice as fast on
            processors that support it, with about one percent of noise in the gradients.
        budget: memory for scores; None: a quarter of what is free at the first batch.
    """

    by_query: ClassVar[bool] = True
    #: the weights of the answers
    correction: "_Correction | None"

    def __init__(
        self,
        *,
        triples: Tensor,
        num_entities: int,
        num_relations: int,
        smoothing: float = 0.0,
        backward_correction: bool = False,
        precision: Precision = "float32",
        decoder: str | None = None,
        budget: Budget | None = None,
    ) -> None:
        super().__init__()
        check_share("smoothing", smoothing)
        if smoothing and backward_correction:
            raise InputError("backward_correction: cannot be combined with smoothing")
        one_of("precision", precision, get_args(Precision))
        self.smoothing = smoothing
        self.low = precision == "bfloat16"
        self.budget = budget
        if decoder is not None:
            self._check(decoder, dot=DECODERS[decoder].dot)
        self.correction = (
            _Correction(triples, num_entities, num_relations) if backward_correction else None
        )

    def forward(self, decoder: Decoder, positives: Positives) -> dict[str, Tensor]:
        """``loss``.

        Raises:
            InputError: low precision with a decoder whose scores are no dot products, or a budget
                too small for the batch even if no score is kept.
        """
        self._check(type(decoder).__name__.lower(), dot=decoder.dot)
        keys, queries, answers, weights = self._queries(positives)
        groups = Groups.of(keys)
        query = groups.numbers
        # With dropout, all equal queries use the embedding of the first.
        distinct = F.embedding(groups.first, queries)
        worth = torch.bincount(query, weights).to(queries.dtype)
        entities = positives.entities
        right = decoder.score_query(F.embedding(query, distinct), answers)
        if self.budget is None:
            self.budget = Budget(device=entities.device)
        loss = all_entities(
            decoder,
            distinct,
            entities,
            worth,
            smoothing=self.smoothing,
            low=self.low,
            budget=self.budget,
        )
        return {"loss": loss - (1 - self.smoothing) * (weights * right).sum()}

    def _check(self, decoder: str, *, dot: bool) -> None:
        if self.low and not dot:
            raise InputError(
                f"precision: bfloat16 is for scores by matrix products, not for those of {decoder}"
            )

    def _queries(self, positives: Positives) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Both queries of every triple: a key, its embedding, its answer's embedding, a weight.

        The weights include the 1 / b of the mean over triples: as a factor of the loss it would
        cost a pass over the gradient of all entities.
        """
        triples, n = positives.triples, len(positives.entities)
        keys = query_keys(triples, n, triples[:, 1].max() + 1).T
        queries = torch.stack((positives.tail_query, positives.head_query))
        answers = torch.stack((positives.t, positives.h))
        weights = queries.new_full((2, len(triples)), 1 / len(triples))
        if self.correction is not None:
            weights = weights * self.correction(triples).to(weights.dtype)
        every = (keys, queries, answers, weights)
        if positives.is_head_query is None:
            keys, queries, answers, weights = (tensor.flatten(0, 1) for tensor in every)
            return keys, queries, answers, weights
        # One query per triple; the other is in another batch.
        side = positives.is_head_query.long()
        rows = torch.arange(len(triples), device=triples.device)
        keys, queries, answers, weights = (tensor[side, rows] for tensor in every)
        return keys, queries, answers, 2 * weights


class _Correction:
    """#x / #y of triples, for their tail queries and their head queries."""

    def __init__(self, triples: Tensor, num_entities: int, num_relations: int) -> None:
        self.index = QueryIndex(triples, num_entities, num_relations)
        numbers = self.index(triples).flatten()
        self.queries = torch.bincount(numbers, minlength=len(self.index) + 1)
        self.answers = [torch.bincount(triples[:, i], minlength=num_entities) for i in (2, 0)]

    def __call__(self, triples: Tensor) -> Tensor:
        """(2, b) weights of (b, 3) triples, float64; tail queries first."""
        local = triples.cpu()
        queries = self.queries[self.index(local)].double().unbind(1)
        answers = (counts[local[:, i]] for counts, i in zip(self.answers, (2, 0), strict=True))
        weights = [x / y for x, y in zip(queries, answers, strict=True)]
        return torch.stack(weights).to(triples.device)
