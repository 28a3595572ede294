"""Uniform, Bernoulli and popularity-based sampling."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.data.known_triples import KnownTriples
from dans.errors import InputError
from dans.models.batch import Positives
from dans.samplers import Bernoulli, Popularity, Uniform
from tests.suites.samplers import triples_as_embeddings

DRAWS = 100_000


def one_triple(head: int, tail: int, n: int) -> Positives:
    """One triple over n entities."""
    return Positives.of_ids(torch.tensor([[head, 0, tail]]), n)


def p_value(ids: Tensor, expected: Tensor) -> float:
    """χ²: the p-value of counts, given expected frequencies; those of zero must not occur."""
    counts = torch.bincount(ids.flatten(), minlength=len(expected)).double()
    possible = expected > 0
    assert counts[~possible].sum() == 0
    wanted = expected[possible].double() / expected.sum() * counts.sum()
    statistic = ((counts[possible] - wanted).square() / wanted).sum()
    freedom = torch.tensor((int(possible.sum()) - 1) / 2, dtype=torch.double)
    return float(torch.special.gammaincc(freedom, statistic / 2))


@pytest.mark.parametrize("exclude", [True, False])
@pytest.mark.parametrize("true", [0, 3, 5])
def test_entities_are_drawn_equally_often_the_true_one_only_where_allowed(
    true: int, exclude: bool
) -> None:
    torch.manual_seed(0)
    ids = Uniform(k=DRAWS, side="tail", exclude_true=exclude)(one_triple(1, true, 6)).ids
    expected = torch.ones(6)
    expected[true] = 1 - exclude
    assert p_value(ids, expected) > 1e-4


def test_with_one_other_entity_it_is_always_drawn() -> None:
    ids = Uniform(k=50, side="head")(one_triple(0, 1, 2)).ids
    assert ids.eq(1).all()


def test_with_no_other_entity_it_is_refused() -> None:
    with pytest.raises(InputError, match="only 1"):
        Uniform(k=1)(one_triple(0, 0, 1))


def test_mask_marks_exactly_the_known_triples(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    negatives = Uniform(k=200, filter="mask", known=kg.known())(positives)
    triples = {tuple(triple) for s in ("train", "valid", "test") for triple in kg.split(s).tolist()}
    corrupteds = negatives.triples(kg.train).flatten(0, 1).tolist()
    assert negatives.valid.flatten().tolist() == [
        tuple(corrupted) not in triples for corrupted in corrupteds
    ]
    assert not negatives.valid.all()


def test_resampling_replaces_what_is_known_and_nothing_else(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    known = kg.known()
    torch.manual_seed(3)
    masked = Uniform(k=200, filter="mask", known=known)(positives)
    torch.manual_seed(3)
    drawn = Uniform(k=200, filter="resample", known=known)(positives)
    assert drawn.valid.all()
    assert not known.is_known(drawn.triples(kg.train)).any()
    assert torch.equal(masked.ids[masked.valid], drawn.ids[masked.valid])


def test_resampling_keeps_the_draws_uniform_over_what_is_left() -> None:
    torch.manual_seed(0)
    known = KnownTriples(torch.tensor([[1, 0, 3], [1, 0, 4], [1, 0, 0]]), 6, 1)
    ids = Uniform(k=DRAWS, side="tail", filter="resample", known=known)(one_triple(1, 3, 6)).ids
    assert p_value(ids, torch.tensor([0.0, 1, 1, 0, 0, 1])) > 1e-4


def test_resampling_that_cannot_succeed_is_given_up_and_masked() -> None:
    known = KnownTriples(torch.tensor([[0, 0, e] for e in range(4)]), 4, 1)
    negatives = Uniform(k=9, side="tail", filter="resample", known=known)(one_triple(0, 2, 4))
    assert not negatives.valid.any()
    assert not negatives.ids.eq(2).any()


def test_more_rounds_leave_fewer_masked() -> None:
    known = KnownTriples(torch.tensor([[0, 0, e] for e in range(9)]), 10, 1)
    left = []
    for rounds in (1, 5):
        torch.manual_seed(0)
        sampler = Uniform(k=500, side="tail", filter="resample", known=known, rounds=rounds)
        valid = sampler(one_triple(0, 2, 10)).valid
        left.append(int((~valid).sum()))
    assert 0 < left[1] < left[0]


def counted(triples: Tensor) -> dict[int, float]:
    """Wang et al.'s head probability, counted the slow way."""
    tails, heads = defaultdict(set), defaultdict(set)
    for head, relation, tail in triples.tolist():
        tails[relation, head].add(tail)
        heads[relation, tail].add(head)
    probability = {}
    for relation in {relation for relation, _ in tails}:
        of_head = [len(found) for (r, _), found in tails.items() if r == relation]
        of_tail = [len(found) for (r, _), found in heads.items() if r == relation]
        tph, hpt = sum(of_head) / len(of_head), sum(of_tail) / len(of_tail)
        probability[relation] = tph / (tph + hpt)
    return probability


def test_bernoulli_probabilities_are_those_counted_by_hand(kg: KnowledgeGraph) -> None:
    sampler = Bernoulli(triples=kg.train, num_relations=kg.num_relations)
    for relation, probability in counted(kg.train).items():
        assert sampler.head_probability[relation] == pytest.approx(probability)


def test_bernoulli_counts_a_repeated_triple_once() -> None:
    triples = torch.tensor([[0, 0, 1], [0, 0, 2], [3, 0, 1]])
    once = Bernoulli(triples=triples, num_relations=1)
    twice = Bernoulli(triples=torch.cat((triples, triples[:2])), num_relations=1)
    assert torch.equal(once.head_probability, twice.head_probability)


def test_bernoulli_replaces_heads_as_often_as_it_says() -> None:
    torch.manual_seed(0)
    triples = torch.tensor([[1, 0, 0], [1, 0, 2], [1, 0, 3]])
    sampler = Bernoulli(k=DRAWS, triples=triples, num_relations=1)
    share = float(sampler(one_triple(1, 3, 6)).corrupt_head.double().mean())
    assert abs(share - 0.75) < 4 * math.sqrt(0.75 * 0.25 / DRAWS)


def test_bernoulli_has_a_fair_coin_for_a_relation_without_triples() -> None:
    sampler = Bernoulli(triples=torch.zeros(0, 3, dtype=torch.int64), num_relations=2)
    assert sampler.head_probability.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("exponent", [0.0, 0.75, 1.0])
@pytest.mark.parametrize("true", [0, 4, 7, None])
def test_popularity_follows_the_counts(
    exponent: float, true: int | None, kg: KnowledgeGraph
) -> None:
    """``true`` is left out of the draw; None: nothing is."""
    torch.manual_seed(0)
    mentions = Counter(kg.train[:, [0, 2]].flatten().tolist())
    weights = torch.tensor([(mentions[e] + 1.0) ** exponent for e in range(8)])
    if true is not None:
        weights[true] = 0
    given = {"triples": kg.train, "num_entities": kg.num_entities, "exponent": exponent}
    sampler = Popularity(k=DRAWS, side="tail", exclude_true=true is not None, **given)
    ids = sampler(one_triple(1, 3 if true is None else true, 8)).ids
    assert p_value(ids, weights) > 1e-4


def test_without_smoothing_an_unmentioned_entity_is_never_drawn(kg: KnowledgeGraph) -> None:
    unmentioned = int((~kg.seen).nonzero()[0])
    drawn = []
    for smoothing in (0.0, 1.0):
        sampler = Popularity(
            k=DRAWS, triples=kg.train, num_entities=8, smoothing=smoothing, exponent=0.0
        )
        ids = sampler(one_triple(1, 3, 8)).ids
        drawn.append(bool(ids.eq(unmentioned).any()))
    assert drawn == [False, True]


def test_popularity_refuses_counts_of_other_entities(kg: KnowledgeGraph) -> None:
    sampler = Popularity(triples=kg.train, num_entities=kg.num_entities)
    with pytest.raises(InputError, match="of 8 entities, not 5"):
        sampler(one_triple(0, 1, 5))


def test_popularity_refuses_what_leaves_nothing_to_draw() -> None:
    with pytest.raises(InputError, match="fewer than two entities"):
        Popularity(triples=torch.tensor([[0, 0, 0]]), num_entities=3, smoothing=0.0)
    with pytest.raises(InputError, match="must not be negative"):
        Popularity(triples=torch.tensor([[0, 0, 1]]), num_entities=3, smoothing=-1.0)
    with pytest.raises(InputError, match="exponent: must be a finite number, got nan"):
        Popularity(triples=torch.tensor([[0, 0, 1]]), num_entities=3, exponent=float("nan"))


@pytest.mark.parametrize(
    "wrong", [lambda ids: ids[:, 0], lambda ids: ids.float(), lambda ids: None]
)
def test_a_draw_of_another_shape_or_type_is_named(
    wrong: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Uniform, "draw", lambda self, *_: wrong(torch.zeros(1, 2).long()))
    with pytest.raises(InputError, match=r"sampler: draw of uniform: expected \(1, 2\) ids, int64"):
        Uniform(k=2)(Positives.of_ids(torch.tensor([[0, 0, 1]]), 3))


def test_a_draw_of_another_shape_is_named_where_known_triples_are_drawn_again(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The true answer at first, and then one entity whatever is asked for.
    tails = kg.train[:, 2:].expand(-1, 2)
    answers = iter((tails, torch.zeros(1).long()))
    monkeypatch.setattr(Uniform, "draw", lambda self, *_: next(answers))
    sampler = Uniform(k=2, side="tail", filter="resample", known=kg.known(("train",)))
    expected = rf"draw of uniform: expected \({tails.numel()},\) ids, int64; got \(1,\), int64"
    with pytest.raises(InputError, match=expected):
        sampler(Positives.of_ids(kg.train, kg.num_entities))
