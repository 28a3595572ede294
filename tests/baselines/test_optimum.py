"""Where each loss leads, on a closed world small enough to go there: theory's distributions.

Scores are free: a number for each query and each entity. So the optimum of a loss is the best
there is, and softmax over its scores is the distribution that theory names.
"""

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from baselines.sampled import SampledNegatives
from baselines.softmax import SoftmaxCrossEntropy
from dans.models.batch import Positives
from dans.models.decoders import DistMult
from dans.objectives.losses import Logistic, SelfAdversarial

ENTITIES, RELATIONS = 5, 2

#: As far as an optimum may be from theory.
CLOSE = {"rtol": 0.0, "atol": 1e-4}


def observed(counts: Tensor) -> Tensor:
    """p_d(y|x) from (queries, n) counts: where softmax and uniform negatives lead."""
    return counts / counts.sum(-1, keepdim=True)


def corrected(counts: Tensor, noise: Tensor) -> Tensor:
    """∝ p_d(y|x) / p_n(y): where backward correction and frequent negatives lead."""
    return observed(counts / noise)


def smoothed(counts: Tensor, share: float) -> Tensor:
    """(1 − λ) p_d(y|x) + λ/n: where label smoothing leads."""
    return (1 - share) * observed(counts) + share / counts.shape[-1]


@pytest.fixture
def triples() -> Tensor:
    """Every triple of five entities and two relations, each once to nine times."""
    torch.manual_seed(1)
    times = torch.randint(1, 10, (ENTITIES * RELATIONS * ENTITIES,))
    ids = torch.cartesian_prod(
        torch.arange(ENTITIES), torch.arange(RELATIONS), torch.arange(ENTITIES)
    )
    return ids.repeat_interleave(times, 0)


def queries(triples: Tensor, head: bool) -> tuple[Tensor, Tensor]:
    """Row number of each triple's query, and its answer."""
    known, relation, answer = triples[:, [2, 1, 0] if head else [0, 1, 2]].unbind(1)
    return relation * ENTITIES + known, answer


def counted(triples: Tensor, head: bool) -> Tensor:
    """How often each entity answers each query, (10, 5)."""
    rows, answer = queries(triples, head)
    counts = torch.zeros(RELATIONS * ENTITIES, ENTITIES, dtype=torch.float64)
    return counts.index_put_((rows, answer), torch.ones((), dtype=torch.float64), accumulate=True)


def optimum(cost: Callable[[Tensor], Tensor]) -> Tensor:
    """The scores that cost least, (2, 10, 5): of queries for tails and for heads."""
    shape = (2, RELATIONS * ENTITIES, ENTITIES)
    scores = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [scores],
        max_iter=500,
        tolerance_grad=1e-11,
        tolerance_change=1e-16,
        history_size=50,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = cost(scores)
        loss.backward()
        return loss

    optimizer.step(closure)
    return scores.detach()


def positives(triples: Tensor, scores: Tensor) -> Positives:
    """Triples whose queries are free scores: entities are the axes that these are read along."""
    entities = torch.eye(ENTITIES, dtype=torch.float64)
    decoder = DistMult(RELATIONS, ENTITIES).double()
    return Positives(
        triples=triples,
        h=entities[triples[:, 0]],
        r=decoder.embeddings(triples[:, 1]),
        t=entities[triples[:, 2]],
        tail_query=scores[0][queries(triples, head=False)[0]],
        head_query=scores[1][queries(triples, head=True)[0]],
        entities=entities,
        score_query=decoder.score_query,
        reciprocal=True,
        dot=True,
    )


def softmax_optimum(triples: Tensor, **options: object) -> Tensor:
    sizes = {"num_entities": ENTITIES, "num_relations": RELATIONS}
    objective = SoftmaxCrossEntropy(triples=triples, **sizes, **options)
    decoder = DistMult(RELATIONS, ENTITIES).double()
    return optimum(lambda scores: objective(decoder, positives(triples, scores))["loss"])


def frequency(triples: Tensor) -> Callable[[bool], Tensor]:
    """p_n: the share of the triples that have each entity in the queried position."""

    def noise(head: bool) -> Tensor:
        counts = torch.bincount(triples[:, 0 if head else 2], minlength=ENTITIES)
        return counts.double() / len(triples)

    return noise


def theory(triples: Tensor, of_counts: Callable[[Tensor, bool], Tensor]) -> Tensor:
    return torch.stack([of_counts(counted(triples, head), head) for head in (False, True)])


def test_the_distributions_compared_are_far_apart(triples: Tensor) -> None:
    noise = frequency(triples)
    found = [
        theory(triples, lambda counts, head: observed(counts)),
        theory(triples, lambda counts, head: corrected(counts, noise(head))),
        theory(triples, lambda counts, head: smoothed(counts, 0.3)),
    ]
    for i, one in enumerate(found):
        torch.testing.assert_close(one.sum(-1), torch.ones_like(one.sum(-1)))
        assert all((one - other).abs().max() > 0.02 for other in found[:i])


def test_softmax_leads_to_the_observed_distribution(triples: Tensor) -> None:
    expected = theory(triples, lambda counts, head: observed(counts))
    torch.testing.assert_close(softmax_optimum(triples).softmax(-1), expected, **CLOSE)


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_label_smoothing_leads_a_share_of_the_way_to_uniform(triples: Tensor, share: float) -> None:
    expected = theory(triples, lambda counts, head: smoothed(counts, share))
    found = softmax_optimum(triples, smoothing=share).softmax(-1)
    torch.testing.assert_close(found, expected, **CLOSE)


def test_backward_correction_divides_by_the_unigram(triples: Tensor) -> None:
    noise = frequency(triples)
    expected = theory(triples, lambda counts, head: corrected(counts, noise(head)))
    found = softmax_optimum(triples, backward_correction=True).softmax(-1)
    torch.testing.assert_close(found, expected, **CLOSE)


def exact_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws are exactly as expected: every entity as often, every quantile once a side."""

    def randint(high: int, size: tuple[int], **place: object) -> Tensor:
        return torch.arange(size[0]) % high

    def rand(size: int, *, dtype: torch.dtype, **place: object) -> Tensor:
        return ((torch.arange(size // 2, dtype=dtype) + 0.5) / (size // 2)).repeat(2)

    monkeypatch.setattr(torch, "randint", randint)
    monkeypatch.setattr(torch, "rand", rand)


@pytest.mark.parametrize(
    ("noise", "balance"),
    [*product(("uniform", "frequency", "weighted"), ("sum", "triples")), ("published", "sum")],
)
def test_the_objective_leads_where_theory_says_under_every_noise(
    triples: Tensor, noise: str, balance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """f = log(p_d / (v p_n)), with v draws that weigh one; of NS mean, v = 1."""
    size = len(triples) if noise == "frequency" else ENTITIES
    objective = SampledNegatives(
        Logistic(balance=balance),  # type: ignore[arg-type]
        triples=triples,
        num_entities=ENTITIES,
        heads=size,
        tails=size,
        noise=noise,  # type: ignore[arg-type]
    ).double()
    exact_draws(monkeypatch)
    decoder = DistMult(RELATIONS, ENTITIES).double()
    found = optimum(lambda scores: objective(decoder, positives(triples, scores))["loss"])
    unigram, uniform = frequency(triples), torch.full((ENTITIES,), 1 / ENTITIES).double()
    p_n = (lambda head: uniform) if noise == "uniform" else unigram
    draws = {"published": 1}.get(noise, size) if balance == "sum" else 1
    goal = theory(triples, lambda counts, head: observed(counts) / (draws * p_n(head)))
    torch.testing.assert_close(found, goal.log(), rtol=0.0, atol=1e-3)
    shape = theory(triples, lambda counts, head: observed(observed(counts) / p_n(head)))
    torch.testing.assert_close(found.softmax(-1), shape, **CLOSE)


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_self_adversarial_weights_flatten_the_distribution(
    triples: Tensor, temperature: float
) -> None:
    """With every entity a negative, they rest at p ∝ p_d^(1 / (1 + α)): between p_d and uniform."""
    counts = counted(triples, head=False)
    flat = observed(observed(counts) ** (1 / (1 + temperature)))
    # f = log(p_d / w) with w = softmax(α f).
    log_flat = observed(counts).log() / (1 + temperature)
    scores = log_flat + (temperature * log_flat).logsumexp(1, keepdim=True)
    torch.testing.assert_close(scores.softmax(-1), flat)
    scores.requires_grad_()
    rows, answers = queries(triples, head=False)
    negatives = scores[rows]
    loss = SelfAdversarial(temperature=temperature, balance="triples")
    loss(negatives.gather(1, answers[:, None]), negatives).backward()
    assert scores.grad is not None
    assert scores.grad.abs().max() < 1e-12

    def entropy(p: Tensor) -> Tensor:
        return -(p * p.log()).sum(-1)

    if temperature:
        assert (entropy(flat) > entropy(observed(counts))).all()
    else:
        torch.testing.assert_close(flat, observed(counts))
