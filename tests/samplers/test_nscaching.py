"""Caches of hard negatives."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.errors import InputError
from dans.models.batch import Positives
from dans.samplers import NSCaching
from tests.samplers.test_mcns import frozen
from tests.samplers.test_uniform import p_value


def sampler_for(positives: Positives, k: int = 5, **given: Any) -> NSCaching:
    """A sampler of a graph with these triples alone, unfiltered by default."""
    return NSCaching(
        k,
        triples=positives.triples,
        num_entities=len(positives.entities),
        num_relations=1,
        **{"filter": "none", **given},
    )


def cached_scores(sampler: NSCaching, scores: Tensor) -> Tensor:
    """The scores of all that is cached."""
    return scores[sampler.cache[sampler.cache >= 0].long()]


def test_caches_get_better_and_saturate_above_nine_tenths_of_all() -> None:
    torch.manual_seed(0)
    scores = torch.randn(500)
    positives = frozen(scores)
    sampler = sampler_for(positives, size=20, fresh=20)
    means = [float(cached_scores(sampler, scores).mean())]
    for _ in range(4):
        for _ in range(50):
            sampler(positives)
        means.append(float(cached_scores(sampler, scores).mean()))
    assert abs(means[0]) < 0.5
    assert means[1] > means[0] + 1
    assert min(means[2:]) > float(scores.quantile(0.9))
    assert max(means[2:]) - min(means[2:]) < 0.3


def test_top_comes_to_the_very_best() -> None:
    torch.manual_seed(0)
    scores = torch.randn(200)
    positives = frozen(scores)
    sampler = sampler_for(positives, size=10, fresh=20, update="top")
    for _ in range(120):
        sampler(positives)
    best = set(scores.topk(10).indices.tolist())
    assert [set(row) for row in sampler.cache[:-1].tolist()] == [best, best]


def test_importance_keeps_one_by_softmax() -> None:
    torch.manual_seed(0)
    triples = torch.stack((torch.arange(4000) % 8, torch.arange(4000), torch.full((4000,), 7)), 1)
    scores = torch.tensor([0.0, 1.0, -1.0, 2.0, 0.5, 0.0, 1.5, -2.0])
    positives = frozen(scores, triples)
    sampler = NSCaching(
        1,
        triples=triples,
        num_entities=8,
        num_relations=4000,
        size=1,
        fresh=200,
        temperature=2.0,
        filter="none",
    )
    sampler(positives)
    assert p_value(sampler.cache[:-1].long(), (scores / 2).softmax(0)) > 1e-3
    assert p_value(sampler.cache[:-1].long(), scores.softmax(0)) < 1e-6


def test_importance_draws_without_replacement() -> None:
    torch.manual_seed(0)
    weights = torch.tensor([4.0, 3.0, 2.0, 1.0])
    triples = torch.stack((torch.zeros(5000), torch.arange(5000), torch.ones(5000)), 1).long()
    positives = frozen(weights.log(), triples)
    sampler = NSCaching(
        1, triples=triples, num_entities=4, num_relations=5000, size=2, fresh=60, filter="none"
    )
    sampler(positives)
    share = weights / weights.sum()
    pairs = torch.zeros(16)
    for first in range(4):
        for second in set(range(4)) - {first}:
            pairs[4 * first + second] = share[first] * share[second] / (1 - share[first])
    kept = sampler.cache[:-1].long()
    assert p_value(4 * kept[:, 0] + kept[:, 1], pairs) > 1e-3


@pytest.mark.parametrize("update", ["importance", "top"])
def test_no_entity_is_cached_twice(update: str) -> None:
    torch.manual_seed(0)
    positives = frozen(torch.randn(30))
    sampler = sampler_for(positives, size=12, fresh=40, update=update)
    for _ in range(30):
        rows = sampler.cache[:-1]
        for row in rows.tolist():
            ids = [entity for entity in row if entity >= 0]
            assert len(ids) == len(set(ids))
        sampler(positives)
    assert sampler.cache[:-1].ge(0).all()


def test_a_cache_larger_than_the_graph_holds_what_there_is() -> None:
    positives = frozen(torch.randn(6))
    sampler = sampler_for(positives, k=400, size=50, fresh=50, side="tail")
    ids = [sampler(positives).ids for _ in range(5)][-1]
    assert p_value(ids, torch.tensor([1.0, 0, 1, 1, 1, 1])) > 1e-4
    # Of a tail query the cache has all six, the triple's own entity too.
    assert sorted(sampler.cache[0].tolist())[-6:] == [0, 1, 2, 3, 4, 5]


def test_draws_are_uniform_over_the_cache_and_leave_the_true_entity_out() -> None:
    torch.manual_seed(0)
    positives = frozen(torch.zeros(9))
    sampler = sampler_for(positives, k=20_000, size=4, side="tail").eval()
    sampler.cache[0] = torch.tensor([8, 1, 3, -1])
    ids = sampler(positives).ids
    assert p_value(ids, torch.tensor([0.0, 0, 0, 1, 0, 0, 0, 0, 1])) > 1e-4


def test_an_empty_cache_and_a_query_without_one_give_any_other_entity() -> None:
    torch.manual_seed(0)
    positives = frozen(torch.zeros(6))
    sampler = sampler_for(positives, k=10_000, size=3, side="tail").eval()
    sampler.cache[0] = torch.tensor([1, -1, -1])
    elsewhere = frozen(torch.zeros(6), torch.tensor([[4, 0, 1]]))
    for batch in (positives, elsewhere):
        ids = sampler(batch).ids
        assert p_value(ids, torch.tensor([1.0, 0, 1, 1, 1, 1])) > 1e-4


def test_a_query_without_a_cache_leaves_none_behind() -> None:
    sampler = sampler_for(frozen(torch.zeros(6)))
    before = sampler.cache.clone()
    sampler(frozen(torch.zeros(6), torch.tensor([[4, 0, 3]])))
    assert torch.equal(sampler.cache, before)


@pytest.mark.parametrize("policy", ["mask", "resample"])
def test_known_triples_are_kept_out(policy: str) -> None:
    torch.manual_seed(0)
    scores = torch.linspace(1, 5, 40)
    known = KnownTriples(torch.tensor([[0, 0, e] for e in range(1, 40, 2)]), 40, 1)
    positives = frozen(scores)
    sampler = sampler_for(
        positives, size=10, fresh=30, side="tail", filter=policy, known=known, update="top"
    )
    for _ in range(40):
        negatives = sampler(positives)
    assert sorted(sampler.cache[0].tolist()) == list(range(20, 40, 2))
    assert negatives.valid.all()
    unfiltered = sampler_for(positives, size=10, fresh=30, side="tail", update="top")
    for _ in range(40):
        unfiltered(positives)
    assert sorted(unfiltered.cache[0].tolist()) == list(range(30, 40))


def test_what_a_cache_knows_from_the_start_is_marked() -> None:
    known = KnownTriples(torch.tensor([[0, 0, 3], [0, 0, 1]]), 5, 1)
    positives = frozen(torch.zeros(5))
    sampler = sampler_for(positives, size=2, side="tail", filter="mask", known=known)
    sampler.cache[0] = torch.tensor([3, 2])
    negatives = sampler(positives)
    assert torch.equal(negatives.valid, negatives.ids != 3)


def test_resampling_draws_from_the_cache_again() -> None:
    known = KnownTriples(torch.tensor([[0, 0, 3], [0, 0, 1]]), 5, 1)
    positives = frozen(torch.zeros(5))
    sampler = sampler_for(
        positives, k=50, size=2, side="tail", filter="resample", known=known, rounds=60
    )
    sampler.cache[0] = torch.tensor([3, 2])
    negatives = sampler(positives)
    assert negatives.ids.eq(2).all()


def test_triples_that_share_a_query_update_its_cache_once(monkeypatch: pytest.MonkeyPatch) -> None:
    triples = torch.tensor([[0, 0, 1], [0, 0, 2], [0, 0, 3], [4, 0, 3]])
    positives = frozen(torch.zeros(6), triples)
    sampler = sampler_for(positives)
    updated = []
    plain = sampler.updated

    def counting(scorer: Any, candidates: Tensor, rows: Tensor, head: Tensor) -> Tensor:
        numbers = sampler.queries(triples)[rows, head.long()]
        updated.extend(numbers.tolist())
        # What its cache holds is among the candidates.
        held = sampler.cache[numbers].unsqueeze(2) == candidates.unsqueeze(1)
        assert (held.any(2) | (sampler.cache[numbers] < 0)).all()
        return plain(scorer, candidates, rows, head)

    monkeypatch.setattr(sampler, "updated", counting)
    sampler(positives)
    assert sorted(updated) == list(range(len(sampler.queries)))


def test_parts_update_the_same_caches_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    triples = torch.tensor([[0, 0, 1], [0, 0, 2], [5, 0, 3], [4, 0, 3]])
    positives = frozen(torch.randn(6), triples)
    caches = []
    for part in (2**20, 30):
        torch.manual_seed(0)
        sampler = sampler_for(positives, size=2, fresh=60, update="top")
        monkeypatch.setattr("dans.samplers.nscaching.PART", part)
        sampler(positives)
        caches.append(sampler.cache.sort(1).values)
    assert torch.equal(*caches)


def test_lazy_caches_stay_as_they_are_for_that_many_epochs() -> None:
    triples = torch.tensor([[0, 0, 1], [2, 0, 3]])
    positives = frozen(torch.randn(50), triples)
    sampler = sampler_for(positives, size=5, fresh=30, lazy=2)
    changed = []
    for step in range(14):
        before = sampler.cache.clone()
        sampler(positives.slice(step % 2, step % 2 + 1))
        changed.append(not torch.equal(sampler.cache, before))
    assert changed == [True, True, False, False, False, False] * 2 + [True, True]


def test_sides_follow_the_relations_unless_fixed() -> None:
    triples = torch.tensor([[0, 0, t] for t in range(1, 10)])
    positives = frozen(torch.zeros(10), triples)
    torch.manual_seed(0)
    share = sampler_for(positives, k=2000)(positives).corrupt_head.double().mean()
    assert abs(float(share) - 0.9) < 0.02
    share = sampler_for(positives, k=2000, side="coin")(positives).corrupt_head.double().mean()
    assert abs(float(share) - 0.5) < 0.02
    assert sampler_for(positives, side="head")(positives).corrupt_head.all()


def test_the_gap_is_that_between_caches_and_triples() -> None:
    scores = torch.tensor([0.0, 1.0, 5.0, 7.0])
    positives = frozen(scores)
    sampler = sampler_for(positives, size=3)
    sampler.cache[0] = torch.tensor([2, 3, -1])
    sampler.cache[1] = torch.tensor([2, -1, -1])
    # The triple itself scores 1 in both queries.
    assert sampler.diagnose(positives)["cache_gap"] == pytest.approx((4 + 6 + 4) / 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 0}, "size: expected at least 1"),
        ({"fresh": 0}, "fresh: expected at least 1"),
        ({"update": "best"}, "update: known: importance, top; got 'best'"),
        ({"temperature": 0.0}, "temperature: must be above 0, got 0.0"),
        ({"temperature": float("inf")}, "temperature: must be a finite number, got inf"),
        ({"temperature": 1.0, "update": "top"}, "temperature: update = top has none; leave it out"),
        ({"lazy": -1}, "lazy: must not be negative, got -1"),
        ({"side": "both"}, "side: known: bernoulli, coin, head, tail"),
        ({"filter": "mask"}, "filter: mask needs the known triples"),
    ],
)
def test_wrong_options_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sampler_for(frozen(torch.zeros(4)), **given)


def test_caches_of_other_entities_are_refused() -> None:
    sampler = sampler_for(frozen(torch.zeros(4)))
    with pytest.raises(InputError, match="caches are of 4 entities, not 5"):
        sampler(frozen(torch.zeros(5)))
