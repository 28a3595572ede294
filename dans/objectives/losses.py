"""Losses of the scores of triples and of their negatives.

A loss takes ``positive`` (b, 1) or (b, k), ``negative`` (b, k), and ``valid`` and ``weights``,
(b, k) or None, and averages over triples. Negatives that are not valid do not count. A weight
multiplies a negative's term; terms are counted without weights.

Sources name the same losses differently. With a triple's score f⁺ and N negatives' f_i:

==================  =======================================  ===============================
name                of one triple                              here
==================  =======================================  ===============================
BCE (DANS), NS      softplus(−f⁺) + Σ softplus(f_i)          ``Logistic``, balance ``sum``
BCE, RGCN programs  the same, over 1 + N                     ``Logistic``, balance ``terms``
NS mean             ½ [softplus(−f⁺) + mean softplus(f_i)]   ``Logistic``, balance ``triples``
SANS, NSSA          ½ [softplus(−f⁺) + Σ w_i softplus(f_i)]  ``SelfAdversarial``, ``triples``
margin              mean max(0, γ − f⁺ + f_i)                ``Margin``; some programs sum
sampled softmax     log(1 + Σ w_i exp(f_i − f⁺))             ``SampledSoftmax``
==================  =======================================  ===============================

A score offset, if a source has one, is added to every f.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dans.errors import InputError, not_negative, number, one_of

#: How a triple is weighed against its negatives.
Balance = Literal["terms", "triples", "sum"]


def masked_mean(values: Tensor, valid: Tensor | None) -> Tensor:
    """Mean of the valid values over the last axis; 0 if there are none.

    Example:
        >>> valid = torch.tensor([[True, False], [False, False]])
        >>> masked_mean(torch.tensor([[1., 3.], [5., 7.]]), valid)
        tensor([1., 0.])
    """
    if valid is None:
        return values.mean(-1)
    return (values * valid).sum(-1) / valid.sum(-1).clamp(min=1)


class Loss(nn.Module, ABC):
    """A loss of the scores of triples and of their negatives."""

    #: does it estimate a sum over all entities of a side? The sides are then given apart, with the
    #: weights 1 / expected count of each negative.
    estimates_sum: ClassVar[bool] = False

    def __call__(
        self,
        positive: Tensor,
        negative: Tensor,
        valid: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """``forward``, once there are scores to compare: a mean over none is NaN.

        Raises:
            InputError: no triple, no negative, or shapes that do not fit, such as (b,) scores.
        """
        b, k = negative.shape if negative.ndim == 2 else (0, 0)
        if not b * k:
            got = tuple(negative.shape)
            raise InputError(f"negative: expected (b, k) scores, b and k at least 1; got {got}")
        if positive.shape not in ((b, 1), (b, k)):
            got = tuple(positive.shape)
            raise InputError(f"positive: expected ({b}, 1) or ({b}, {k}) scores, got {got}")
        every = {"valid": valid, "weights": weights}
        given = {name: values for name, values in every.items() if values is not None}
        for name, values in given.items():
            if values.shape != negative.shape and not (name == "weights" and values.ndim == 0):
                raise InputError(f"{name}: expected ({b}, {k}), got {tuple(values.shape)}")
        loss: Tensor = super().__call__(positive, negative, **given)
        return loss

    @abstractmethod
    def forward(
        self,
        positive: Tensor,
        negative: Tensor,
        valid: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """A scalar from (b, 1 or k), (b, k), and twice (b, k) or None."""


class Logistic(Loss):
    """Binary cross-entropy on logits: softplus(−f⁺) and softplus(f⁻).

    Source: DANS Eq. 2.

    Args:
        balance: ``terms`` averages over all 1 + k terms of a triple, as RGCN programs do;
            ``triples`` gives the positive and the mean of its negatives one half each; ``sum`` adds
            all terms, which is Eq. 2.
        offset: γ, added to all scores, in this loss only. For scores that are negative distances it
            is the distance at which a triple has probability one half.
    """

    def __init__(self, *, balance: Balance = "terms", offset: float = 0.0) -> None:
        super().__init__()
        one_of("balance", balance, get_args(Balance))
        number("offset", offset)
        self.balance = balance
        self.offset = offset

    def forward(
        self,
        positive: Tensor,
        negative: Tensor,
        valid: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """A scalar from (b, 1 or k), (b, k), and twice (b, k) or None."""
        terms = F.softplus(negative + self.offset if self.offset else negative)
        terms = terms if weights is None else weights * terms
        negatives = self.mean(terms, negative, valid)
        triple = F.softplus(-(positive + self.offset if self.offset else positive)).mean(-1)
        if self.balance == "triples":
            return ((triple + negatives) / 2).mean()
        count = negative.shape[1] if valid is None else valid.sum(-1)
        total = triple + count * negatives
        return (total if self.balance == "sum" else total / (1 + count)).mean()

    def mean(self, terms: Tensor, negative: Tensor, valid: Tensor | None) -> Tensor:
        """The mean of the negatives' terms, (b,) from (b, k) terms and their scores."""
        return masked_mean(terms, valid)


class SelfAdversarial(Logistic):
    """The logistic loss with the weights w = softmax(α f) on the negatives of a triple.

    Σ_i w_i softplus(γ + f_i) replaces the mean; w has no gradient and does not depend on γ.

    Source: Sun et al. 2019, arXiv:1902.10197, Eq. 5–6.

    Args:
        temperature: α, an inverse temperature; 0 is the plain mean.
        balance: as for `Logistic`; ``triples`` is the form of the source. With ``terms`` the
            weights of the negatives add up to k.
    """

    def __init__(
        self, *, temperature: float = 1.0, balance: Balance = "terms", offset: float = 0.0
    ) -> None:
        super().__init__(balance=balance, offset=offset)
        not_negative("temperature", temperature)
        self.temperature = temperature

    def mean(self, terms: Tensor, negative: Tensor, valid: Tensor | None) -> Tensor:
        """The weighted mean of the negatives' terms, (b,) from (b, k) terms and their scores."""
        logits = self.temperature * negative.detach()
        if valid is not None:
            logits = logits.masked_fill(~valid, torch.finfo(logits.dtype).min)
        shares = logits.softmax(-1)
        if valid is not None:
            shares = shares * valid
        return (shares * terms).sum(-1)


class Margin(Loss):
    """The margin ranking loss: max(0, γ − f⁺ + f⁻), mean over negatives.

    Source: Bordes et al. 2013 (TransE). Programs that sum over N negatives have N times this loss.

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
        """A scalar from (b, 1 or k), (b, k), and twice (b, k) or None."""
        terms = F.relu(self.margin - positive + negative)
        return masked_mean(terms if weights is None else weights * terms, valid).mean()


class SampledSoftmax(Loss):
    """Softmax cross-entropy whose sum over entities is estimated from the negatives.

        log(1 + Σ_i w_i exp(f_i − f⁺)),  summed over the two sides, mean over triples

    With w_i = 1 / expected count of negative i, which is 1 / (N·q_i) for N draws from q, the
    inner sum has the expectation Σ_{e ≠ true} exp(f(e) − f⁺) over all entities that can be drawn:
    the loss is that of softmax over them in the limit of many negatives, and below it on average.
    With the filter ``mask`` known triples are left out of that sum. N is the number on a negative's
    side; a side without any adds 0, and so do the entities that only one sampler of a mixture draws
    where it has none on that side. This matters with few negatives or uneven sides alone: of k
    fair coins, 2^(−k) of all sides have none.

    The sampler must know how often it draws an entity: ``NegativeSampler.expected_counts``.

    Source: Bengio & Senécal 2008; Jean et al. 2015, arXiv:1412.2007, Eq. 10 and following.

    Example:
        >>> loss = SampledSoftmax()
        >>> negative = torch.tensor([[0., 0., 0.]])
        >>> loss(torch.tensor([[0.]]), negative, None, torch.tensor([[2., 3., 2.]])).exp()
        tensor(8.)
    """

    estimates_sum: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()

    def forward(
        self,
        positive: Tensor,
        negative: Tensor,
        valid: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        """A scalar from (b, 1 or k), (b, k), and twice (b, k) or None; the term of one side."""
        gaps = negative - positive
        if weights is not None:
            gaps = gaps + weights.log()
        if valid is not None:
            gaps = gaps.masked_fill(~valid, torch.finfo(gaps.dtype).min)
        return F.softplus(gaps.logsumexp(-1)).mean()


LOSSES: dict[str, type[Loss]] = {
    "logistic": Logistic,
    "margin": Margin,
    "sampled_softmax": SampledSoftmax,
    "self_adversarial": SelfAdversarial,
}
