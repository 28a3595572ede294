"""Losses: scores of triples and of their negatives in, a scalar out.

Every loss takes ``positive`` (b, 1) or (b, k), ``negative`` (b, k), and ``valid`` and ``weights``,
each (b, k) or None, and averages over triples. Negatives marked invalid do not count. A weight
multiplies a negative's term, and terms are counted as if there were none.

Sources name the same losses differently. With a triple's score f⁺ and N negatives' f_i:

==================  =======================================  ===============================
name                of one triple                              here
==================  =======================================  ===============================
BCE (DANS), NS      softplus(−f⁺) + Σ softplus(f_i)          ``Logistic``, balance ``sum``
BCE, RGCN programs  the same, over 1 + N                     ``Logistic``, balance ``terms``
NS mean             ½ [softplus(−f⁺) + mean softplus(f_i)]   ``Logistic``, balance ``triples``
SANS, NSSA          ½ [softplus(−f⁺) + Σ w_i softplus(f_i)]  ``SelfAdversarial``, ``triples``
margin              mean max(0, γ − f⁺ + f_i)                ``Margin``; some add up instead
==================  =======================================  ===============================

A score offset, where a source has one, is added to every f.
"""

from abc import ABC, abstractmethod
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dans.errors import finite, not_negative, one_of

#: How triples are weighed against their negatives.
Balance = Literal["terms", "triples", "sum"]


def masked_mean(values: Tensor, valid: Tensor | None) -> Tensor:
    """Mean over the last axis of what is valid; 0 where nothing is.

    Example:
        >>> valid = torch.tensor([[True, False], [False, False]])
        >>> masked_mean(torch.tensor([[1., 3.], [5., 7.]]), valid)
        tensor([1., 0.])
    """
    if valid is None:
        return values.mean(-1)
    return (values * valid).sum(-1) / valid.sum(-1).clamp(min=1)


def weighted(terms: Tensor, weights: Tensor | None) -> Tensor:
    """Terms by their weights, where there are any."""
    return terms if weights is None else weights * terms


def l2(*embeddings: Tensor) -> Tensor:
    """The sum of the mean squares of some tensors, the term that RGCN programs add to their loss.

    Example:
        >>> l2(torch.tensor([1., 3.]), torch.tensor([2.]))
        tensor(9.)
    """
    return sum((v.square().mean() for v in embeddings[1:]), start=embeddings[0].square().mean())


class Loss(nn.Module, ABC):
    """Compares the scores of triples with those of their negatives."""

    @abstractmethod
    def forward(
        self,
        positive: Tensor,
        negative: Tensor,
        valid: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """(b, 1 or k), (b, k), and twice (b, k) or None → ()."""


class Logistic(Loss):
    """Binary cross-entropy on logits: softplus(−f⁺) and softplus(f⁻).

    Source: DANS Eq. 2.

    Args:
        balance: ``terms`` averages over all 1 + k terms of a triple, as RGCN programs do, so a
            triple weighs 1 / (1 + k); ``triples`` gives the triple and its negatives one half each;
            ``sum`` adds all terms of a triple, which is Eq. 2 to the letter.
        offset: γ, added to the scores of triples and negatives alike, in this loss alone. For
            scores that are minus a distance it is the distance at which a triple is as likely as
            not.

    Raises:
        InputError: an unknown balance, or an offset that is not finite.

    Example:
        >>> loss = Logistic(balance="triples")
        >>> loss(torch.tensor([[0.]]), torch.tensor([[0., 0.]]))
        tensor(0.6931)
    """

    def __init__(self, *, balance: Balance = "terms", offset: float = 0.0) -> None:
        super().__init__()
        one_of("balance", balance, get_args(Balance))
        finite("offset", offset)
        self.balance = balance
        self.offset = offset

    def forward(
        self,
        positive: Tensor,
        negative: Tensor,
        valid: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """See ``Loss``."""
        triple = F.softplus(-self.moved(positive)).mean(-1)
        negatives = masked_mean(weighted(F.softplus(self.moved(negative)), weights), valid)
        return self.weigh(triple, negatives, negative, valid).mean()

    def moved(self, scores: Tensor) -> Tensor:
        """Scores with the offset."""
        return scores + self.offset if self.offset else scores

    def weigh(
        self, triple: Tensor, negatives: Tensor, negative: Tensor, valid: Tensor | None
    ) -> Tensor:
        """Join a triple's term and its negatives' mean, (b,) each."""
        if self.balance == "triples":
            return (triple + negatives) / 2
        count = negative.shape[1] if valid is None else valid.sum(-1)
        total = triple + count * negatives
        return total if self.balance == "sum" else total / (1 + count)


class SelfAdversarial(Logistic):
    """The logistic loss, with the harder negatives of a triple weighing more.

    Σ_i w_i softplus(γ + f_i) in place of the mean, w = softmax(α f) over the negatives of one
    triple, detached; the offset γ moves no w.

    Source: Sun et al. 2019, arXiv:1902.10197, Eq. 5–6.

    Args:
        temperature: α, an inverse temperature; 0 is the plain mean.
        balance: as for ``Logistic``. ``terms`` keeps the negatives' total weight at k, so that only
            its spread over them differs from plain cross-entropy; ``triples`` is the source's form.
        offset: as for ``Logistic``.

    Raises:
        InputError: as for ``Logistic``, or a temperature that is negative or not finite.
    """

    def __init__(
        self, *, temperature: float = 1.0, balance: Balance = "terms", offset: float = 0.0
    ) -> None:
        super().__init__(balance=balance, offset=offset)
        not_negative("temperature", temperature)
        self.temperature = temperature

    def forward(
        self,
        positive: Tensor,
        negative: Tensor,
        valid: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """See ``Loss``."""
        logits = self.temperature * negative.detach()
        if valid is not None:
            logits = logits.masked_fill(~valid, torch.finfo(logits.dtype).min)
        shares = logits.softmax(-1)
        if valid is not None:
            shares = shares * valid
        terms = weighted(F.softplus(self.moved(negative)), weights)
        triple = F.softplus(-self.moved(positive)).mean(-1)
        return self.weigh(triple, (shares * terms).sum(-1), negative, valid).mean()


class Margin(Loss):
    """A hinge on the gap: max(0, γ − f⁺ + f⁻), mean over negatives.

    Source: Bordes et al. 2013 (TransE). It takes no offset, which would cancel. A program that adds
    up the N negatives' terms has N times this loss.

    Args:
        margin: γ.

    Raises:
        InputError: a margin that is negative or not finite.

    Example:
        >>> Margin(margin=1.0)(torch.tensor([[2.]]), torch.tensor([[0., 2.]]))
        tensor(0.5000)
    """

    def __init__(self, *, margin: float = 1.0) -> None:
        super().__init__()
        not_negative("margin", margin)
        self.margin = margin

    def forward(
        self,
        positive: Tensor,
        negative: Tensor,
        valid: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """See ``Loss``."""
        gaps = F.relu(self.margin - positive + negative)
        return masked_mean(weighted(gaps, weights), valid).mean()


LOSSES: dict[str, type[Loss]] = {
    "logistic": Logistic,
    "margin": Margin,
    "self_adversarial": SelfAdversarial,
}
