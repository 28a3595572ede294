"""IGAN: a distribution over all entities, in bounded memory, and what rewards change."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.data.known_triples import KnownTriples
from dans.errors import InputError
from dans.models.batch import Positives
from dans.samplers import IGAN, igan, reinforce
from tests.samplers.test_uniform import p_value
from tests.suites.samplers import gradient, make, triples_as_embeddings

N = 6
TAIL, HEAD = torch.tensor([False]), torch.tensor([True])


def small(**given: Any) -> IGAN:
    """A generator over six entities, unlike a uniform one, always from the same seed."""
    torch.manual_seed(0)
    options = {"width": 4, "l2": 0.0, "side": "tail", "filter": "none", **given}
    sampler = IGAN(num_entities=N, num_relations=2, triples=torch.tensor([[1, 0, 3]]), **options)
    with torch.no_grad():
        sampler.output.weight.mul_(4)
    return sampler


def repeated(b: int) -> Positives:
    """The triple (1, 0, 3) b times, six entities: 0 to 1 as its tails, 0 to −1 as its heads."""
    entities = torch.linspace(0, 1, N).unsqueeze(1)
    one = torch.ones(b, 1)
    triples = torch.tensor([[1, 0, 3]]).expand(b, 3)
    h, t = entities[triples[:, 0]], entities[triples[:, 2]]
    return Positives(
        triples, h, one, t, one, -one, entities, lambda x, y: (x * y).sum(-1), reciprocal=True
    )


def probabilities(sampler: IGAN, triples: Tensor, corrupt_head: Tensor) -> Tensor:
    """Those of all entities, (q, n), from the formula."""
    rows, outputs = [], sampler.output.weight
    for (head, relation, tail), is_head in zip(
        triples.tolist(), corrupt_head.tolist(), strict=True
    ):
        given = tail if is_head else head
        r = relation if is_head else relation + sampler.num_relations
        condition = torch.cat((sampler.entities[given], sampler.relations[r]))
        layer = sampler.hidden.weight @ condition + sampler.hidden.bias
        logits = outputs @ layer.clamp(min=0) + sampler.output.bias
        logits = logits.clone()
        logits[head if is_head else tail] = -torch.inf
        rows.append(logits.softmax(0))
    return torch.stack(rows)


@pytest.mark.parametrize("side", ["head", "tail"])
def test_negatives_are_drawn_by_the_softmax_and_the_true_entity_never(side: str) -> None:
    sampler = small(k=100_000, side=side)
    ids = sampler(repeated(1)).ids
    expected = probabilities(sampler, repeated(1).triples, HEAD if side == "head" else TAIL)[0]
    assert expected[1 if side == "head" else 3] == 0
    assert expected.max() > 2 / N
    assert p_value(ids, expected.detach()) > 1e-4


def test_the_true_entity_is_never_drawn_in_training_either(kg: KnowledgeGraph) -> None:
    sampler = make("igan", kg, filter="none")
    side = torch.arange(len(kg.train)) % 2 == 0
    true = torch.where(side, kg.train[:, 0], kg.train[:, 2]).unsqueeze(1)
    choice = sampler.choose(kg.train, side, 2000)
    assert not choice.ids.eq(true).any()
    assert all(len(ids.unique()) == 7 for ids in choice.ids)


def test_log_probabilities_are_those_of_the_softmax(kg: KnowledgeGraph) -> None:
    sampler = make("igan", kg, filter="none")
    side = torch.arange(len(kg.train)) % 2 == 0
    choice = sampler.choose(kg.train, side, 9)
    expected = probabilities(sampler, kg.train, side).gather(1, choice.ids).log()
    torch.testing.assert_close(choice.log_p, expected)
    with torch.no_grad():
        choice = sampler.choose(kg.train, side, 9)
    expected = probabilities(sampler, kg.train, side).gather(1, choice.ids).log()
    torch.testing.assert_close(choice.log_p, expected)


def test_known_answers_are_left_out_before_the_softmax() -> None:
    known = KnownTriples(torch.tensor([[1, 0, 0], [1, 0, 3], [1, 0, 5], [2, 0, 3]]), N, 2)
    for side, closed in (("tail", [0, 3, 5]), ("head", [1, 2])):
        sampler = small(k=50_000, side=side, filter="mask", known=known)
        expected = probabilities(sampler, repeated(1).triples, HEAD if side == "head" else TAIL)[0]
        expected = expected.detach()
        expected[closed] = 0
        negatives = sampler(repeated(1))
        assert p_value(negatives.ids, expected) > 1e-4
        assert negatives.valid.all()


def test_where_nothing_else_is_left_known_triples_are_drawn_and_marked() -> None:
    known = KnownTriples(torch.tensor([[1, 0, e] for e in range(N)]), N, 2)
    negatives = small(k=100, filter="mask", known=known)(repeated(3))
    assert not negatives.valid.any()
    assert sorted(negatives.ids.unique().tolist()) == [0, 1, 2, 4, 5]


def test_the_last_unknown_entity_is_found() -> None:
    for left_out in ([4], [4, 3]):
        triples = [[1, 0, e] for e in range(N) if e not in left_out]
        negatives = small(filter="mask", known=KnownTriples(torch.tensor(triples), N, 2))(
            repeated(3)
        )
        assert negatives.ids.eq(4).all()


@pytest.mark.parametrize("side", ["head", "tail"])
@pytest.mark.parametrize("masked", [False, True])
def test_of_few_candidates_the_softmax_is_over_those_drawn(side: str, masked: bool) -> None:
    known = KnownTriples(torch.tensor([[1, 0, 0], [1, 0, 3], [1, 0, 5], [2, 0, 3]]), N, 2)
    filtered = {"filter": "mask", "known": known} if masked else {}
    positives, is_head = repeated(1), HEAD if side == "head" else TAIL
    for seed in range(6):
        sampler = small(side=side, candidates=4, **filtered)
        torch.manual_seed(seed)
        drawn = torch.randperm(N)[:4]
        torch.manual_seed(seed)
        choice = sampler.choose(positives.triples, is_head, 20_000)
        expected = probabilities(sampler, positives.triples, is_head)[0].detach()
        expected = torch.where(torch.isin(torch.arange(N), drawn), expected, 0)
        if masked:
            expected[[1, 2] if side == "head" else [0, 3, 5]] = 0
        expected /= expected.sum()
        frequency = torch.bincount(choice.ids[0], minlength=N) / 20_000
        assert (frequency - expected).abs().max() < 0.02
        assert not frequency[expected == 0].any()
        torch.testing.assert_close(choice.log_p[0], expected[choice.ids[0]].log())


def test_as_many_candidates_as_entities_are_all(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    found = []
    for candidates in (0, kg.num_entities):
        sampler = make("igan", kg, candidates=candidates)
        torch.manual_seed(3)
        loss = sampler.loss(positives)
        found.append((sampler(positives).ids, gradient(loss, sampler.parameters())))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_of_known_candidates_alone_one_is_drawn_and_marked() -> None:
    known = KnownTriples(torch.tensor([[1, 0, e] for e in range(N - 1)]), N, 2)
    sampler = small(k=20, candidates=2, filter="mask", known=known)
    found = set()
    for seed in range(20):
        torch.manual_seed(seed)
        negatives = sampler(repeated(2))
        assert torch.equal(negatives.valid, negatives.ids == N - 1)
        assert not negatives.ids.eq(3).any()
        found |= set(negatives.ids.flatten().tolist())
        assert sampler.loss(repeated(2)).isfinite()
    assert found == {0, 1, 2, 4, 5}


def test_pretraining_leaves_other_known_answers_out() -> None:
    known = KnownTriples(torch.tensor([[1, 0, 3], [1, 0, 5]]), N, 2)
    sampler = small(filter="mask", known=known)
    choice = sampler.imitate(repeated(1).triples, TAIL)
    assert choice.ids.tolist() == [[3]]
    condition = torch.cat((sampler.entities[1], sampler.relations[2]))
    logits = sampler.output(sampler.hidden(condition).relu())[[3, 0, 1, 2, 4]]
    torch.testing.assert_close(choice.log_p[0, 0], logits.log_softmax(0)[0])


@pytest.mark.parametrize("baseline", ["none", "batch"])
@pytest.mark.parametrize("pretrain", [0, 5])
def test_parts_agree_with_the_whole(
    baseline: str, pretrain: int, kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = make("igan", kg, baseline=baseline, pretrain=pretrain, filter="mask").eval()
    parts: list[int] = []
    logits = igan.masked_logits

    def counted(hidden: Tensor, *rest: Any) -> Tensor:
        parts.append(len(hidden))
        return logits(hidden, *rest)

    monkeypatch.setattr(igan, "masked_logits", counted)

    def results() -> tuple[Tensor, Tensor, Tensor]:
        torch.manual_seed(3)
        loss = sampler.loss(positives)
        ids = sampler(positives).ids
        return ids, loss.detach(), gradient(loss, sampler.parameters())

    whole = results()
    assert max(parts) >= len(positives)
    parts.clear()
    for module in (reinforce, igan):
        monkeypatch.setattr(module, "ELEMENTS", 3 * kg.num_entities)
    split = results()
    assert set(parts) <= {1, 2, 3}
    assert torch.equal(whole[0], split[0])
    torch.testing.assert_close(whole[1:], split[1:])


def test_nothing_as_large_as_the_probabilities_is_kept_for_the_gradient(
    kg: KnowledgeGraph,
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = make("igan", kg, l2=0, width=3, filter="none")
    kept: list[tuple[int, ...]] = []

    def pack(saved: Tensor) -> Tensor:
        kept.append(tuple(saved.shape))
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        sampler.phases()[0].loss(positives)
    assert (len(positives), 3) in kept
    assert (len(positives), kg.num_entities) not in kept


def test_the_gradient_of_the_softmax_is_the_numerical_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(igan, "ELEMENTS", 2 * N)
    torch.manual_seed(0)
    given = torch.tensor([[0, 1], [2, 2], [5, 0], [4, 1], [3, 2]])

    def closed(part: slice) -> tuple[Tensor, Tensor]:
        rows = torch.arange(len(given[part]))
        return rows, torch.tensor([3, 4, 1, 0, 5])[part]

    def log_p(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        found: Tensor = igan.Softmax.apply(hidden, weight, bias, closed, given, 2)[1]
        return found

    shapes = ((5, 3), (N, 3), (N,))
    arguments = [torch.randn(s, dtype=torch.double, requires_grad=True) for s in shapes]
    assert torch.autograd.gradcheck(log_p, arguments)


@pytest.mark.parametrize("baseline", ["none", "batch"])
def test_the_mean_of_many_draws_is_the_gradient_of_the_expected_reward(baseline: str) -> None:
    sampler = small(baseline=baseline)
    drawn = -gradient(sampler.loss(repeated(40_000)), sampler.parameters())
    p = probabilities(sampler, repeated(1).triples, TAIL)[0]
    rewards = torch.tanh(1 + torch.linspace(0, 1, N) - 0.6)
    exact = gradient(p @ rewards, sampler.parameters())
    if baseline == "batch":
        exact = exact / (p @ rewards.square() - (p @ rewards).square()).sqrt().detach()
    assert (drawn - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("margin", [0.0, 2.0])
@pytest.mark.parametrize("head", [True, False])
def test_the_reward_is_positive_where_a_hinge_loss_is(margin: float, head: bool) -> None:
    positives, ids = repeated(N), torch.arange(N)
    rewards = small(margin=margin).reward(positives, ids, torch.full((N,), head))
    scores = torch.linspace(0, 1, N) * (-1 if head else 1)
    gap = margin + scores - scores[1 if head else 3]
    torch.testing.assert_close(rewards, torch.tanh(gap))
    assert torch.equal(rewards > 0, gap > 0)


def test_a_relation_has_an_embedding_for_each_side() -> None:
    for side, row in (("head", 0), ("tail", 2)):
        sampler = small(side=side)
        (moved,) = torch.autograd.grad(sampler.loss(repeated(4)), [sampler.relations])
        assert moved.abs().sum(1).nonzero().flatten().tolist() == [row]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"baseline": "epoch"}, "baseline: known: none, batch; got 'epoch'"),
        ({"filter": "resample"}, "filter: known: none, mask; got 'resample'"),
        ({"candidates": 1}, "candidates: expected at least 2, got 1"),
        ({"margin": float("nan")}, "margin: must be a finite number, got nan"),
    ],
)
def test_wrong_options_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        small(**given)
