"""Ranking among some candidates: equal to the exact ranks where they are all, else as stated."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dans.config.schema import EvaluationConfig
from dans.data.graph import KnowledgeGraph, Vocabulary
from dans.data.known_triples import KnownTriples
from dans.errors import InputError
from dans.evaluation import sampled_ranking
from dans.evaluation.evaluator import Evaluator, Ranks
from dans.evaluation.sampled_ranking import SampledEvaluator, ranking, stated
from dans.memory import Budget
from dans.models.decoders import DECODERS, Decoder
from dans.registry import build

DIM = 6


def model(kg: KnowledgeGraph, name: str = "complex", seed: int = 1) -> tuple[Decoder, Tensor]:
    torch.manual_seed(seed)
    decoder = build(DECODERS, name, num_relations=kg.num_relations, dim=DIM)
    return decoder.double(), torch.randn(kg.num_entities, DIM, dtype=torch.float64)


@pytest.fixture(scope="module")
def busy() -> KnowledgeGraph:
    """60 entities, 3 relations; heads and tails of relation 2 are few."""
    generator = torch.Generator().manual_seed(0)
    triples = torch.randint(60, (600, 3), generator=generator)
    triples[:, 1] %= 3
    few = triples[:, 1] == 2
    triples[few, 0] %= 12
    triples[few, 2] %= 5
    triples = triples.unique(dim=0)
    triples = triples[torch.randperm(len(triples), generator=generator)]
    names = Vocabulary(tuple(map(str, range(60)))), Vocabulary(("a", "b", "c"))
    return KnowledgeGraph("busy", *names, triples[:300], triples[300:350], triples[350:])


def drawn(evaluator: SampledEvaluator) -> list[tuple[Tensor, Tensor]]:
    return [evaluator.candidates_of(slice(0, len(evaluator.triples)), side) for side in (0, 1)]


def equal(one: Ranks, other: Ranks) -> bool:
    names = ("triples", "optimistic", "pessimistic", "candidates")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


@pytest.mark.parametrize("name", DECODERS)
def test_all_others_as_candidates_give_the_exact_ranks(
    busy: KnowledgeGraph, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    decoder, entities = model(busy, name)
    entities[30:] = entities[:30]  # ties
    exact = Evaluator(busy, "test").ranks(decoder, entities)
    assert not caplog.messages
    sampled = SampledEvaluator(busy, "test", candidates=59)
    assert "59 of 60 entities: each answer is ranked among all" in caplog.text
    assert equal(sampled.ranks(decoder, entities), exact)
    caplog.clear()
    SampledEvaluator(busy, "test", candidates=59, types=True)
    assert not caplog.messages
    report = sampled.report(exact)
    plain = Evaluator(busy, "test").report(exact)
    assert {k.removeprefix("sampled_"): v for k, v in report.both.items()} == plain.both


def by_hand(scores: Tensor, gold: int, others: list[int]) -> tuple[int, int]:
    above = sum(bool(scores[i] > scores[gold]) for i in others)
    equal = sum(bool(scores[i] == scores[gold]) for i in others)
    return 1 + above, 1 + above + equal


@torch.no_grad()
def ranks_by_hand(
    kg: KnowledgeGraph,
    triples: Tensor,
    others: list[list[list[int]]],
    model: tuple[Decoder, Tensor],
) -> list[list[tuple[int, int]]]:
    """Optimistic and pessimistic ranks, of heads and of tails, one query at a time."""
    decoder, entities = model
    found: list[list[tuple[int, int]]] = [[], []]
    for row, (h, r, t) in enumerate(triples.tolist()):
        relation = decoder.embeddings(torch.tensor(r))
        heads = decoder.score_query(decoder.head_query(relation, entities[t]), entities)
        tails = decoder.score_query(decoder.tail_query(entities[h], relation), entities)
        found[0].append(by_hand(heads, h, others[0][row]))
        found[1].append(by_hand(tails, t, others[1][row]))
    return found


def test_given_negatives_are_ranked_as_they_are(busy: KnowledgeGraph) -> None:
    f = len(busy.test)
    given = torch.randint(60, (f, 7)), torch.randint(60, (f, 4))
    kg = replace(busy, given_negatives={"test": given})
    decoder, entities = model(kg)
    entities[30:] = entities[:30]
    evaluator = SampledEvaluator(kg, "test", candidates="given")
    ranks = evaluator.ranks(decoder, entities)
    others = [ids.tolist() for ids in given]
    for side, expected in enumerate(ranks_by_hand(kg, kg.test, others, (decoder, entities))):
        assert ranks.optimistic[:, side].tolist() == [low for low, _ in expected]
        assert ranks.pessimistic[:, side].tolist() == [high for _, high in expected]
    assert ranks.candidates.unique(dim=0).tolist() == [[8, 5]]
    report = evaluator.report(ranks)
    assert report.protocol["filter"] == []
    assert report.both["sampled_mrr"] == pytest.approx(float((1 / ranks.realistic).mean()))
    assert "given with the data set" in report.limits()
    # A limit takes the candidates of the triples it keeps.
    some = SampledEvaluator(kg, "test", candidates="given", most=20, seed=3)
    few = some.ranks(decoder, entities)
    assert torch.equal(few.optimistic, ranks.optimistic[some.rows])
    # The seed is that of the triples, not of the candidates.
    assert some.report(few).protocol["candidates"] == report.protocol["candidates"]


def test_drawn_candidates_are_ranked_as_by_hand(busy: KnowledgeGraph) -> None:
    pair = model(busy, "rotate")
    evaluator = SampledEvaluator(busy, "test", candidates=10)
    others = [
        [row[own].tolist() for row, own in zip(ids, valid, strict=True)]
        for ids, valid in drawn(evaluator)
    ]
    ranks = evaluator.ranks(*pair)
    expected = ranks_by_hand(busy, busy.test, others, pair)
    for side in (0, 1):
        assert ranks.optimistic[:, side].tolist() == [low for low, _ in expected[side]]
        assert ranks.candidates[:, side].tolist() == [1 + len(row) for row in others[side]]


@pytest.mark.parametrize("types", [False, True])
@pytest.mark.parametrize("k", [3, 14, 40])
def test_candidates_differ_are_not_known_and_are_of_the_type(
    busy: KnowledgeGraph, k: int, types: bool
) -> None:
    known = {tuple(row) for row in torch.cat((busy.train, busy.valid, busy.test)).tolist()}
    evaluator = SampledEvaluator(busy, "test", candidates=k, types=types)
    for side, (ids, valid) in enumerate(drawn(evaluator)):
        for (h, r, t), row, own in zip(busy.test.tolist(), ids, valid, strict=True):
            chosen = row[own].tolist()
            allowed = set(range(60))
            if types:
                train = busy.train[busy.train[:, 1] == r]
                allowed = set(train[:, 2 * side].tolist())
            triple = (
                (lambda e, r=r, t=t: (e, r, t)) if side == 0 else (lambda e, h=h, r=r: (h, r, e))
            )
            free = {e for e in allowed if triple(e) not in known}
            assert len(set(chosen)) == len(chosen)
            assert set(chosen) <= free
            assert len(chosen) == min(k, len(free))


@pytest.mark.parametrize("k", [3, 20])
def test_every_candidate_is_as_likely(busy: KnowledgeGraph, k: int) -> None:
    # k = 3 draws again and again, k = 20 takes from a list.
    triple = busy.test[:1].expand(4000, -1)
    draws = sampled_ranking.Draws(busy.known(), 2, k)
    ids, valid = draws(triple, torch.Generator().manual_seed(0))
    assert valid.all()
    counts = ids.flatten().bincount(minlength=60)
    free = counts > 0
    every = torch.arange(60)
    assert torch.equal(~free, draws.is_known(triple[:1], every.unsqueeze(0))[0])
    mean = 4000 * k / int(free.sum())
    assert (counts[free] - mean).abs().max() < 5 * mean**0.5


def test_candidates_are_found_where_nearly_all_entities_are_known() -> None:
    n, free = 1000, 5
    heads = torch.tensor([0, 1]).repeat_interleave(n - free)
    tails = torch.arange(n - free).repeat(2)
    known = KnownTriples(torch.stack((heads, torch.zeros_like(heads), tails), 1), n, 1)
    rare = torch.tensor([[0, 0, 7], [1, 0, 8]])
    for k, expected in ((4, 4), (9, free)):
        ids, valid = sampled_ranking.Draws(known, 2, k)(rare, torch.Generator().manual_seed(0))
        assert valid.sum(1).tolist() == [expected] * 2
        for row, own in zip(ids, valid, strict=True):
            assert len(row[own].unique()) == expected
            assert row[own].min() >= n - free


def test_a_relation_without_training_triples_draws_from_all() -> None:
    train = torch.tensor([[0, 0, 1], [1, 0, 2]])
    test = torch.tensor([[3, 1, 4]])
    names = Vocabulary(tuple("abcdef")), Vocabulary(("x", "y"))
    kg = KnowledgeGraph("few", *names, train, test, test)
    evaluator = SampledEvaluator(kg, "test", candidates=5, types=True)
    for (ids, valid), gold in zip(drawn(evaluator), (3, 4), strict=True):
        assert sorted(ids[valid].tolist()) == [e for e in range(6) if e != gold]


def test_a_seed_draws_the_same_for_every_model_and_budget(
    busy: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampled_ranking, "MANY", 16)
    seen: list[Tensor] = []

    class Noting(SampledEvaluator):
        def candidates_of(self, block: slice, side: int) -> tuple[Tensor, Tensor]:
            ids, valid = super().candidates_of(block, side)
            seen.append(ids)
            return ids, valid

    def noted(model: tuple[Decoder, Tensor], budget: Budget | None, seed: int) -> Tensor:
        seen.clear()
        torch.manual_seed(budget is None)
        evaluator = Noting(busy, "test", candidates=9, seed=seed, budget=budget)
        ranks.append(evaluator.ranks(*model))
        return torch.cat(seen)

    ranks: list[Ranks] = []
    small = Budget(65_000)
    ids = noted(model(busy, "rotate"), None, 0)
    assert torch.equal(ids, noted(model(busy, "distmult", 5), None, 0))
    assert torch.equal(ids, noted(model(busy, "rotate"), small, 0))
    assert equal(ranks[0], ranks[2])
    assert not torch.equal(ids, noted(model(busy, "rotate"), None, 1))


def test_each_block_and_side_has_draws_of_its_own(busy: KnowledgeGraph) -> None:
    repeated = replace(busy, test=busy.test[:1].repeat(2, 1))
    evaluator = SampledEvaluator(repeated, "test", candidates=12)
    ids = [
        evaluator.candidates_of(slice(first, first + 1), side)[0].flatten().tolist()
        for first in (0, 1)
        for side in (0, 1)
    ]
    assert len(set(map(tuple, ids))) == 4


class Largest(TorchDispatchMode):
    """Notes the most numbers in a tensor that an operation makes."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and not leaf._is_view():
                self.numbers = max(self.numbers, leaf.numel())
        return out


def test_the_cost_is_that_of_the_candidates() -> None:
    n = 200_000
    generator = torch.Generator().manual_seed(0)
    triples = torch.randint(n, (60, 3), generator=generator)
    triples[:, 1] = 0
    names = Vocabulary(tuple(map(str, range(n)))), Vocabulary(("r",))
    kg = KnowledgeGraph("large", *names, triples[:40], triples[40:], triples[40:])
    decoder, entities = model(kg)
    evaluator = SampledEvaluator(kg, "test", candidates=100)
    with Largest() as largest:
        evaluator.ranks(decoder, entities)
    assert 0 < largest.numbers <= 20 * 101 * DIM


@pytest.mark.parametrize("kind", ["exact", "sampled"])
def test_parts_joined_are_the_whole_to_the_bit(
    busy: KnowledgeGraph, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dans.evaluation.evaluator.MANY", 16)
    monkeypatch.setattr(sampled_ranking, "MANY", 16)
    evaluator = (
        Evaluator(busy, "test") if kind == "exact" else SampledEvaluator(busy, "test", candidates=9)
    )
    decoder, entities = model(busy)
    decoder, entities = decoder.float(), entities.float()
    whole = evaluator.ranks(decoder, entities)
    parts = [evaluator.ranks(decoder, entities, part=(i, 3)) for i in range(3)]
    assert all(0 < int((part.optimistic > 0).sum()) < 2 * len(busy.test) for part in parts)
    assert equal(Ranks.joined(parts), whole)
    with pytest.raises(ValueError, match="in one of them"):
        Ranks.joined(parts[:2])
    with pytest.raises(ValueError, match="in one of them"):
        Ranks.joined([*parts, parts[0]])
    other = replace(parts[2], triples=parts[2].triples.flip(0))
    with pytest.raises(ValueError, match="same triples"):
        Ranks.joined([*parts[:2], other])


def test_more_parts_than_blocks_join_too(busy: KnowledgeGraph) -> None:
    decoder, entities = model(busy)
    for evaluator in (Evaluator(busy, "test"), SampledEvaluator(busy, "test", candidates=9)):
        parts = [evaluator.ranks(decoder, entities, part=(i, 4)) for i in range(4)]
        assert equal(Ranks.joined(parts), evaluator.ranks(decoder, entities))


def test_a_limit_takes_the_same_triples_for_every_model(busy: KnowledgeGraph) -> None:
    decoder, entities = model(busy)
    whole = Evaluator(busy, "test").ranks(decoder, entities)
    limited = Evaluator(busy, "test", most=30, seed=4)
    assert len(limited.triples) == 30
    assert torch.equal(limited.triples, busy.test[limited.rows])
    assert torch.equal(limited.ranks(decoder, entities).optimistic, whole.optimistic[limited.rows])
    assert torch.equal(limited.rows, Evaluator(busy, "test", most=30, seed=4).rows)
    assert not torch.equal(limited.rows, Evaluator(busy, "test", most=30, seed=5).rows)
    assert torch.equal(Evaluator(busy, "test", most=10**6).triples, busy.test)


def test_reports_state_their_protocol(busy: KnowledgeGraph) -> None:
    f = len(busy.test)
    given = replace(busy, given_negatives={"test": (busy.test[:, :1], busy.test[:, :1])})
    said = []
    for chosen in (
        EvaluationConfig(),
        EvaluationConfig(most=30),
        EvaluationConfig(candidates=9, seed=2),
        EvaluationConfig(candidates=9, types=True, most=30),
        EvaluationConfig(candidates="given"),
    ):
        report = ranking(given, "test", chosen)(*model(busy))
        sampled = chosen.candidates != "all"
        assert report.limits() == stated(chosen, f)
        assert all(
            name.startswith("sampled_") == sampled for name in report.both if name != "queries"
        )
        assert ("sampled MRR" in report.summary()) == sampled
        assert (report.limits() != "") == (str(report).count("\n") > 3)
        said.append(report.limits())
    assert said[0] == ""
    assert said[1] == f"exact ranks of 30 of {f} triples, drawn by seed 0"
    assert "9 candidates drawn from all entities by seed 2, known answers left out" in said[2]
    assert "domain or range" in said[3]
    assert f"30 of {f} triples" in said[3]
    assert all("not comparable" in one for one in said[2:])


def test_what_cannot_be_ranked_is_refused(busy: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match="candidates: given: busy has no candidates of test"):
        SampledEvaluator(busy, "test", candidates="given")
    with pytest.raises(InputError, match="candidates: expected at least 1"):
        SampledEvaluator(busy, "test", candidates=0)
    with pytest.raises(InputError, match="types: has no effect"):
        SampledEvaluator(busy, "test", candidates="given", types=True)
    short = replace(busy, given_negatives={"test": (busy.test[:5], busy.test[:5])})
    with pytest.raises(InputError, match="given_negatives: test: expected"):
        SampledEvaluator(short, "test", candidates="given")
    beyond = torch.full((len(busy.test), 2), 60)
    outside = replace(busy, given_negatives={"test": (beyond, beyond)})
    with pytest.raises(InputError, match="holds an id outside of 60 entities"):
        SampledEvaluator(outside, "test", candidates="given")
    decoder, entities = model(busy)
    entities[int(busy.test[0, 0])] = torch.nan
    with pytest.raises(FloatingPointError, match="is NaN"):
        SampledEvaluator(busy, "test", candidates=9).ranks(decoder, entities)
