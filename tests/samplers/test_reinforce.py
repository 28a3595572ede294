"""REINFORCE: baselines, pre-training, and what the generator learns from rewards."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.samplers import IGAN, KBGAN
from dans.samplers.reinforce import EpochMean, Reinforced, Standardised
from tests.suites.samplers import changed, gradient, make, triples_as_embeddings, update

BOTH = ["igan", "kbgan"]


def built(name: str, kg: KnowledgeGraph, **given: Any) -> Reinforced:
    """KBGAN or IGAN for the toy graph, always from the same seed."""
    return make(name, kg, **given)


def test_the_first_epoch_has_no_baseline_and_the_next_the_mean_of_the_one_before() -> None:
    baseline = EpochMean(length=4)
    rewards = torch.tensor([[1.0, 3.0], [5.0, 7.0], [9.0, 9.0], [1.0, 1.0], [2.0, 2.0]])
    means = []
    for part in rewards:
        means.append(part - baseline(part))
    assert torch.stack(means)[:, 0].tolist() == [0, 0, 4, 4, 5]


def test_an_epoch_ends_with_the_batch_that_completes_it() -> None:
    baseline = EpochMean(length=4)
    baseline(torch.full((3,), 2.0))
    assert baseline.mean == 0
    baseline(torch.full((3,), 6.0))
    assert baseline.mean == 4
    assert baseline.total == baseline.count == 0


def test_no_epoch_passes_in_evaluation() -> None:
    baseline = EpochMean(length=2).eval()
    baseline(torch.ones(5))
    assert baseline.mean == baseline.total == baseline.count == 0


def test_standardised_rewards_have_no_scale() -> None:
    rewards = torch.tensor([1.0, 4.0, -2.0, 8.0])
    advantages = Standardised()(rewards)
    torch.testing.assert_close(advantages, Standardised()(1000 * rewards - 7))
    torch.testing.assert_close(advantages.mean(), torch.tensor(0.0), atol=1e-6, rtol=0)


@pytest.mark.parametrize("rewards", [[], [5.0], [2.0, 2.0, 2.0]])
def test_equal_rewards_have_no_advantage(rewards: list[float]) -> None:
    assert Standardised()(torch.tensor(rewards)).tolist() == [0.0] * len(rewards)


@pytest.mark.parametrize("name", BOTH)
def test_rewards_count_from_the_update_after_the_last_of_pretraining(
    name: str, kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = built(name, kg, pretrain=3)
    rewarded: list[int] = []

    def reward(*_: Any) -> Tensor:
        rewarded.append(int(sampler.updates))
        return torch.zeros(len(positives))

    monkeypatch.setattr(sampler, "reward", reward)
    update(sampler.phases()[0], positives, times=5)
    assert rewarded == [3, 4]
    assert sampler.updates == 5


@pytest.mark.parametrize("name", BOTH)
def test_pretraining_raises_the_probability_of_the_true_entity(
    name: str, kg: KnowledgeGraph
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = built(name, kg, pretrain=1000)
    side = torch.arange(len(positives)) % 2 == 0

    @torch.no_grad()
    def probability() -> float:
        torch.manual_seed(0)
        return float(sampler.imitate(positives.triples, side).log_p.exp().mean())

    before = probability()
    update(sampler.phases()[0], positives, times=60, lr=0.02)
    assert probability() > 2 * before


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("igan", {"baseline": "none"}),
        ("igan", {"baseline": "batch"}),
        ("kbgan", {"baseline": "epoch"}),
        ("kbgan", {"baseline": "batch"}),
        ("kbgan", {"baseline": "batch", "generator": "complex"}),
    ],
)
def test_against_a_frozen_model_the_best_candidate_becomes_likely(
    name: str, given: dict[str, Any], kg: KnowledgeGraph
) -> None:
    positives = changed(triples_as_embeddings(kg)[0], lambda embeddings: embeddings)
    sampler = built(name, kg, k=2000, side="tail", filter="none", pretrain=0, **given)
    scores = positives.score_query(positives.tail_query.unsqueeze(1), positives.entities)
    best = scores.scatter(1, kg.train[:, 2:], -torch.inf).argmax(1, keepdim=True)

    def measure() -> tuple[float, float]:
        ids = sampler(positives).ids
        return float(ids.eq(best).double().mean()), float(scores.gather(1, ids).mean())

    start = measure()
    update(sampler.phases()[0], positives, times=20, lr=0.01)
    soon = measure()
    update(sampler.phases()[0], positives, times=60, lr=0.01)
    late = measure()
    assert start[0] < soon[0] < late[0]
    assert late[0] > 1.5 * start[0]
    assert start[1] < soon[1] < late[1]


@pytest.mark.parametrize("name", BOTH)
def test_six_updates_are_three_and_three_more_after_a_restart(
    name: str, kg: KnowledgeGraph
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    baseline = "epoch" if name == "kbgan" else "none"

    def start() -> tuple[Reinforced, torch.optim.Optimizer]:
        sampler = built(name, kg, pretrain=2, baseline=baseline)
        return sampler, torch.optim.Adam(sampler.parameters(), lr=0.01)

    def go(sampler: Reinforced, optimizer: torch.optim.Optimizer, times: int) -> None:
        for _ in range(times):
            optimizer.zero_grad()
            sampler.loss(positives.slice(0, 9)).backward()
            optimizer.step()

    whole = start()
    torch.manual_seed(1)
    go(*whole, times=6)
    first, again = start(), start()
    torch.manual_seed(1)
    go(*first, times=3)
    for part, other in zip(again, first, strict=True):
        part.load_state_dict(deepcopy(other.state_dict()))
    go(*again, times=3)
    expected = whole[0].state_dict()
    assert all(torch.equal(v, expected[name]) for name, v in again[0].state_dict().items())


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("pretrain", [0, 9])
def test_the_gradient_stops_before_the_model(name: str, pretrain: int, kg: KnowledgeGraph) -> None:
    positives, table, scorer = triples_as_embeddings(kg)
    sampler = built(name, kg, pretrain=pretrain)
    sampler.loss(positives).backward()
    assert table.grad is None
    assert all(parameter.grad is None for parameter in scorer.parameters())
    assert all(parameter.grad is not None for parameter in sampler.parameters())


@pytest.mark.parametrize("name", BOTH)
def test_a_triple_without_unknown_negatives_gives_no_gradient(
    name: str, kg: KnowledgeGraph
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    triples = torch.tensor([[h, 0, t] for h in range(8) for t in range(8)])
    known = type(kg.known())(triples, 8, kg.num_relations)
    sampler_of = {"igan": IGAN, "kbgan": KBGAN}[name]
    sampler = sampler_of(
        num_entities=8,
        num_relations=kg.num_relations,
        triples=kg.train,
        known=known,
        filter="mask",
        pretrain=0,
        l2=0,
    )
    where = (kg.train[:, 1] == 0).nonzero().squeeze(1)
    assert len(where) > 1
    batch = positives.slice(int(where[0]), int(where[-1]) + 1)
    assert batch.triples[:, 1].eq(0).all()
    assert gradient(sampler.loss(batch), sampler.parameters()).eq(0).all()
    negatives = sampler(batch)
    assert not negatives.valid.any()
    true = torch.where(negatives.corrupt_head, batch.triples[:, :1], batch.triples[:, 2:])
    assert not negatives.ids.eq(true).any()


@pytest.mark.parametrize("name", BOTH)
def test_weight_decay_shrinks_parameters(name: str, kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    lengths = []
    for weight in (0.0, 100.0):
        sampler = built(name, kg, l2=weight)
        update(sampler.phases()[0], positives, times=20)
        lengths.append(float(sum(p.detach().norm() for p in sampler.parameters())))
    assert lengths[1] < 0.9 * lengths[0]


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(("side", "head"), [("head", 1.0), ("tail", 0.0), ("coin", 0.5)])
def test_a_side_can_be_chosen(name: str, side: str, head: float, kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    share = built(name, kg, side=side, k=200)(positives).corrupt_head.double().mean()
    assert abs(float(share) - head) < 0.05 * (side == "coin") + 1e-9


@pytest.mark.parametrize("name", BOTH)
def test_heads_of_one_to_many_relations_are_replaced_more(name: str, kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    replaced = built(name, kg, k=400)(positives).corrupt_head.double().mean(1)
    owns = kg.train[:, 1] == kg.relations.index("owns")
    assert replaced[owns].mean() > replaced[~owns].mean() + 0.04


@pytest.mark.parametrize("name", BOTH)
def test_other_entities_than_the_generator_has_are_refused(name: str, kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = {"igan": IGAN, "kbgan": KBGAN}[name](
        num_entities=9, num_relations=kg.num_relations, triples=kg.train, filter="none"
    )
    with pytest.raises(InputError, match="chooses among 9 entities, not 8"):
        sampler(positives)
    with pytest.raises(InputError, match="chooses among 9 entities, not 8"):
        sampler.loss(positives)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"side": "both"}, "side: known: bernoulli, coin, head, tail; got 'both'"),
        ({"repeats": 0}, "repeats: expected at least 1"),
        ({"pretrain": -1}, "pretrain: must not be negative, got -1"),
        ({"l2": -0.5}, "l2: must not be negative"),
        ({"l2": float("nan")}, "l2: must be a finite number, got nan"),
        ({"width": 0}, "width: expected at least 1"),
        ({"k": 0}, "k: expected at least 1"),
        ({"baseline": "moving"}, "baseline: known: "),
        ({"filter": "mask", "known": None}, "needs the known triples"),
        ({"num_entities": 1}, "num_entities: a negative must be another entity"),
    ],
)
def test_wrong_options_are_named(
    name: str, given: dict[str, Any], message: str, kg: KnowledgeGraph
) -> None:
    sizes: dict[str, Any] = {"num_entities": 8, "num_relations": 3, "triples": kg.train}
    sizes["filter"] = "none"
    with pytest.raises(InputError, match=message):
        {"igan": IGAN, "kbgan": KBGAN}[name](**{**sizes, **given})


@pytest.mark.parametrize("name", BOTH)
def test_updates_per_step_are_the_phases(name: str, kg: KnowledgeGraph) -> None:
    phases = built(name, kg, repeats=4).phases()
    assert [(phase.name, phase.repeats) for phase in phases] == [(name, 4)]


@pytest.mark.parametrize("name", BOTH)
def test_diagnosis_reports_mean_reward_and_entropy(
    name: str, kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = built(name, kg)
    monkeypatch.setattr(sampler, "reward", lambda *_: torch.full((len(positives),), 2.5))
    numbers = sampler.diagnose(positives)
    assert numbers["reward"] == 2.5
    most = torch.tensor(20.0 if name == "kbgan" else 7.0).log()
    assert 0.9 * most < numbers["entropy"] < 1.1 * most


@pytest.mark.parametrize("name", BOTH)
def test_diagnosis_leaves_the_random_state(name: str, kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = built(name, kg)
    before = torch.get_rng_state()
    sampler.diagnose(positives)
    assert torch.equal(torch.get_rng_state(), before)
