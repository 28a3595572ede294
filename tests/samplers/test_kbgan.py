"""KBGAN: candidates, the two ways to score them, and what rewards change."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.data.known_triples import KnownTriples
from dans.errors import InputError
from dans.models.batch import Positives
from dans.models.decoders import DECODERS
from dans.registry import build
from dans.samplers import KBGAN, reinforce
from tests.samplers.test_uniform import p_value
from tests.suites.samplers import gradient, make, triples_as_embeddings, update

N = 6


def small(**given: Any) -> KBGAN:
    """A generator over six entities, always from the same seed."""
    torch.manual_seed(0)
    options = {"width": 4, "pretrain": 0, "l2": 0.0, "side": "tail", "filter": "none", **given}
    return KBGAN(num_entities=N, num_relations=1, triples=torch.tensor([[1, 0, 3]]), **options)


def repeated(b: int) -> Positives:
    """One triple b times, over six entities that score 0 to 5 as its tails, 5 to 0 as its heads."""
    entities = torch.stack((torch.arange(N) / 1.0, 5 - torch.arange(N) / 1.0), dim=1)
    triples = torch.tensor([[1, 0, 3]]).expand(b, 3)
    as_tail, as_head = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    return Positives(
        triples,
        h=entities[triples[:, 0]],
        r=as_tail.expand(b, 2),
        t=entities[triples[:, 2]],
        tail_query=as_tail.expand(b, 2),
        head_query=as_head.expand(b, 2),
        entities=entities,
        score_query=lambda query, entity: (query * entity).sum(-1),
    )


def fixed(monkeypatch: pytest.MonkeyPatch, sampler: KBGAN, candidates: list[int]) -> None:
    """Let the candidates of every query be the same."""

    def uniform(triples: Tensor, _: Tensor) -> Tensor:
        return torch.tensor(candidates).expand(len(triples), -1)

    monkeypatch.setattr(sampler, "uniform", uniform)


def probabilities(sampler: KBGAN, candidates: list[int]) -> Tensor:
    """G's probabilities of candidates for the tail of the one triple."""
    triples, side = repeated(1).triples, torch.tensor([False])
    ids = torch.tensor([candidates])
    log_p, _ = sampler.log_softmax(triples, side, ids, torch.ones_like(ids, dtype=torch.bool))
    return log_p.exp()[0]


@pytest.mark.parametrize("baseline", ["epoch", "batch"])
def test_the_mean_of_many_draws_is_the_gradient_of_the_expected_reward(
    baseline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = [0, 1, 2, 4, 5]
    sampler = small(baseline=baseline).eval()
    fixed(monkeypatch, sampler, candidates)
    if baseline == "epoch":
        sampler.baseline.mean.fill_(1.3)
    drawn = -gradient(sampler.loss(repeated(40_000)), sampler.parameters())
    rewards = torch.tensor(candidates).float()
    p = probabilities(sampler, candidates)
    exact = gradient(p @ rewards, sampler.parameters())
    if baseline == "batch":
        deviation = (p @ rewards.square() - (p @ rewards).square()).sqrt().detach()
        exact = exact / deviation
    assert (drawn - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_negatives_are_drawn_by_the_softmax_over_the_candidates(
    temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = small(k=100_000, temperature=temperature)
    with torch.no_grad():
        sampler.entities.mul_(3)
    fixed(monkeypatch, sampler, [0, 2, 5])
    ids = sampler(repeated(1)).ids
    expected = torch.zeros(N)
    logits = (sampler.entities[[0, 2, 5]] * sampler.entities[1] * sampler.relations[0]).sum(-1)
    expected[[0, 2, 5]] = (logits / temperature).softmax(0).detach()
    assert expected.max() > 0.4
    assert p_value(ids, expected) > 1e-4


def test_candidates_are_uniform_over_the_other_entities() -> None:
    sampler = small(candidates=100_000)
    triples, side = repeated(1).triples, torch.tensor([False])
    assert p_value(sampler.uniform(triples, side), torch.tensor([1.0, 1, 1, 0, 1, 1])) > 1e-4


def test_a_query_has_one_set_of_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = small(k=500, candidates=2, side="coin")
    negatives = sampler(repeated(30))
    for ids, side in zip(negatives.ids, negatives.corrupt_head, strict=True):
        assert len(ids[side].unique()) <= 2
        assert len(ids[~side].unique()) <= 2
    assert len(negatives.ids.unique()) == N


@pytest.mark.parametrize("policy", ["mask", "resample"])
def test_known_triples_are_not_picked_where_there_is_a_choice(
    policy: str, kg: KnowledgeGraph
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = make("kbgan", kg, filter=policy, candidates=40)
    negatives = sampler(positives)
    assert not kg.known(("train",)).is_known(negatives.triples(kg.train)).any()
    assert negatives.valid.all()


def test_where_all_candidates_are_known_only_resampling_finds_others() -> None:
    known = KnownTriples(torch.tensor([[1, 0, e] for e in (0, 2, 3, 4)]), N, 1)
    shares = {}
    for policy in ("mask", "resample"):
        sampler = small(k=5, candidates=2, filter=policy, known=known)
        negatives = sampler(repeated(200))
        assert torch.equal(
            negatives.valid, ~known.is_known(negatives.triples(repeated(200).triples))
        )
        shares[policy] = float(negatives.valid.double().mean())
    # A pair of candidates out of five has at least one unknown with probability 1 − .6²
    assert abs(shares["mask"] - 0.64) < 0.12
    assert shares["resample"] == 1


def test_triples_without_a_choice_do_not_dilute_those_with_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = KnownTriples(torch.tensor([[1, 0, e] for e in (0, 2, 3)]), N, 1)
    sampler = small(known=known, filter="mask", baseline="epoch")
    fixed(monkeypatch, sampler, [0, 2])
    update(sampler.phases()[0], repeated(4))
    assert sampler.baseline.count == 0
    fixed(monkeypatch, sampler, [4, 4])
    sampler.loss(repeated(4))
    assert sampler.baseline.mean == 4


@pytest.mark.parametrize("generator", ["distmult", "complex"])
@pytest.mark.parametrize("head", [True, False])
def test_the_generator_scores_as_the_decoder_of_its_name(
    generator: str, head: bool, kg: KnowledgeGraph
) -> None:
    sampler = make("kbgan", kg, generator=generator, width=10, filter="none")
    decoder = build(DECODERS, generator, num_relations=kg.num_relations, dim=10)
    heads, relations, tails = kg.train.unbind(-1)
    r, everyone = sampler.relations[relations], torch.arange(8).expand(len(heads), -1)
    if head:
        query = decoder.head_query(r, sampler.entities[tails])
    else:
        query = decoder.tail_query(sampler.entities[heads], r)
    expected = decoder.score_query(query.unsqueeze(1), sampler.entities).log_softmax(-1)
    allowed = torch.ones_like(everyone, dtype=torch.bool)
    log_p, _ = sampler.log_softmax(kg.train, torch.full_like(heads, head).bool(), everyone, allowed)
    torch.testing.assert_close(log_p, expected)


@pytest.mark.parametrize("head", [True, False])
def test_the_reward_is_the_models_score_of_the_negative(head: bool) -> None:
    ids, side = torch.arange(N), torch.full((N,), head)
    rewards = small().reward(repeated(N), ids, side)
    assert rewards.tolist() == ([5, 4, 3, 2, 1, 0] if head else [0, 1, 2, 3, 4, 5])


def test_parts_draw_what_the_whole_would(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = make("kbgan", kg, filter="mask", candidates=3)
    sizes: list[int] = []
    choose = sampler.choose

    def counted(triples: Tensor, *rest: Any) -> Any:
        sizes.append(len(triples))
        return choose(triples, *rest)

    monkeypatch.setattr(sampler, "choose", counted)
    sampler(positives)
    monkeypatch.setattr(reinforce, "ELEMENTS", 2 * sampler.cost)
    negatives = sampler(positives)
    assert sizes[0] > 2
    assert sizes[1:] == [2] * (sum(sizes[1:]) // 2) + [1] * (sum(sizes[1:]) % 2)
    known = kg.known(("train",)).is_known(negatives.triples(kg.train))
    assert torch.equal(negatives.valid, ~known)


def test_scores_of_a_new_generator_spread_as_in_the_program() -> None:
    for generator, expected in (("distmult", 0.2), ("complex", 0.2 * 2**0.5)):
        torch.manual_seed(0)
        triples = torch.stack(
            (torch.arange(500), torch.arange(500) % 50, torch.zeros(500).long()), 1
        )
        sampler = KBGAN(
            num_entities=500,
            num_relations=50,
            triples=triples,
            generator=generator,
            candidates=100,
            filter="none",
        )
        ids = torch.randint(500, (500, 100))
        log_p, _ = sampler.log_softmax(triples, triples[:, 0] < 0, ids, ids >= 0)
        assert float(log_p.detach().std(1).square().mean().sqrt()) == pytest.approx(
            expected, rel=0.1
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"generator": "transe"}, "generator: known: distmult, complex; got 'transe'"),
        ({"generator": "complex", "width": 5}, "width: complex needs an even number, got 5"),
        ({"candidates": 1}, "candidates: expected at least 2"),
        ({"temperature": 0.0}, "temperature: must be above 0"),
        ({"baseline": "none"}, "baseline: known: epoch, batch; got 'none'"),
    ],
)
def test_wrong_options_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        small(**given)
