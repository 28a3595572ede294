"""Losses: scores of facts and of their rivals in, a scalar out.

Every loss takes ``positive`` (b, 1) or (b, k), ``negative`` (b, k), and ``valid`` and ``weights``,
each (b, k) or None, and averages over facts. Rivals marked invalid do not count. A weight
multiplies a rival's term, and terms are counted as if there were none.

Sources name the same losses differently. With a fact's score f⁺ and N rivals' f_i:

==================  =======================================  ===============================
name                of one fact                              here
==================  =======================================  ===============================
BCE (DANS), NS      softplus(−f⁺) + Σ softplus(f_i)          ``Logistic``, balance ``sum``
BCE, RGCN programs  the same, over 1 + N                     ``Logistic``, balance ``terms``
NS mean             ½ [softplus(−f⁺) + mean softplus(f_i)]   ``Logistic``, balance ``facts``
SANS, NSSA          ½ [softplus(−f⁺) + Σ w_i softplus(f_i)]  ``SelfAdversarial``, ``facts``
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

#: How facts are weighed against their rivals.
Balance = Literal["terms", "facts", "sum"]


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


def l2(*vectors: Tensor) -> Tensor:
    """The sum of the mean squares of some tensors, the term that RGCN programs add to their loss.

    Example:
        >>> l2(torch.tensor([1., 3.]), torch.tensor([2.]))
        tensor(9.)
    """
    return sum((v.square().mean() for v in vectors[1:]), start=vectors[0].square().mean())


class Loss(nn.Module, ABC):
    """Compares the scores of facts with those of their rivals."""

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
        balance: ``terms`` averages over all 1 + k terms of a fact, as RGCN programs do, so a fact
            weighs 1 / (1 + k); ``facts`` gives the fact and its rivals one half each; ``sum`` adds
            all terms of a fact, which is Eq. 2 to the letter.
        offset: γ, added to the scores of facts and rivals alike, in this loss alone. For scores
            that are minus a distance it is the distance at which a triple is as likely as not.

    Raises:
        InputError: an unknown balance, or an offset that is not finite.

    Example:
        >>> loss = Logistic(balance="facts")
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
        fact = F.softplus(-self.moved(positive)).mean(-1)
        rivals = masked_mean(weighted(F.softplus(self.moved(negative)), weights), valid)
        return self.weigh(fact, rivals, negative, valid).mean()

    def moved(self, scores: Tensor) -> Tensor:
        """Scores with the offset."""
        return scores + self.offset if self.offset else scores

    def weigh(self, fact: Tensor, rivals: Tensor, negative: Tensor, valid: Tensor | None) -> Tensor:
        """Join a fact's term and its rivals' mean, (b,) each."""
        if self.balance == "facts":
            return (fact + rivals) / 2
        count = negative.shape[1] if valid is None else valid.sum(-1)
        total = fact + count * rivals
        return total if self.balance == "sum" else total / (1 + count)


class SelfAdversarial(Logistic):
    """The logistic loss, with the harder rivals of a fact weighing more.

    Σ_i w_i softplus(γ + f_i) in place of the mean, w = softmax(α f) over the rivals of one fact,
    detached; the offset γ moves no w.

    Source: Sun et al. 2019, arXiv:1902.10197, Eq. 5–6.

    Args:
        temperature: α, an inverse temperature; 0 is the plain mean.
        balance: as for ``Logistic``. ``terms`` keeps the rivals' total weight at k, so that only
            its spread over them differs from plain cross-entropy; ``facts`` is the source's form.
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
        fact = F.softplus(-self.moved(positive)).mean(-1)
        return self.weigh(fact, (shares * terms).sum(-1), negative, valid).mean()


class Margin(Loss):
    """A hinge on the gap: max(0, γ − f⁺ + f⁻), mean over rivals.

    Source: Bordes et al. 2013 (TransE). It takes no offset, which would cancel. A program that adds
    up the N rivals' terms has N times this loss.

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
