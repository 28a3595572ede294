"""Filtered ranking, against a slow version written from the definition."""

import json
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from dans.data.graph import SPLITS, KnowledgeGraph
from dans.errors import InputError
from dans.evaluation import competitors as queries
from dans.evaluation import evaluator as evaluation
from dans.evaluation import ranking
from dans.evaluation.evaluator import EvaluationReport, Evaluator, Ranks
from dans.evaluation.ranking import rank
from dans.memory import Budget
from dans.models.decoders import DECODERS, Decoder, DistMult
from dans.registry import build
from dans.seeding import OutOfMemory
from tests.live import Live

DIM = 6

KINDS = (torch.float32, torch.bfloat16)


def model(
    kg: KnowledgeGraph, name: str, reciprocal: bool = False, dtype: torch.dtype = torch.float64
) -> tuple[Decoder, Tensor]:
    torch.manual_seed(1)
    decoder = build(
        DECODERS, name, given={"reciprocal": reciprocal}, num_relations=kg.num_relations, dim=DIM
    )
    return decoder.to(dtype), torch.randn(kg.num_entities, DIM, dtype=dtype)


def triples(kg: KnowledgeGraph, splits: Iterable[str]) -> set[tuple[int, ...]]:
    return {tuple(triple) for split in splits for triple in kg.split(split).tolist()}


@torch.no_grad()
def brute_force(
    kg: KnowledgeGraph, split: str, decoder: Decoder, entities: Tensor
) -> list[tuple[float, float, int, int]]:
    """Per triple: rank of head, rank of tail, candidates of each; one triple at a time."""
    known = triples(kg, SPLITS)
    rows = []
    for h, r, t in kg.split(split).tolist():
        ranks, sizes = [], []
        for side, gold in ((0, h), (2, t)):
            scores = {}
            for entity in range(kg.num_entities):
                triple = (entity, r, t) if side == 0 else (h, r, entity)
                if triple in known and entity != gold:
                    continue
                if side == 0 and decoder.reciprocal:
                    inverse = decoder.relation.weight[r + kg.num_relations]
                    scores[entity] = decoder.score(entities[t], inverse, entities[entity]).item()
                else:
                    embeddings = (
                        entities[triple[0]],
                        decoder.relation.weight[r],
                        entities[triple[2]],
                    )
                    scores[entity] = decoder.score(*embeddings).item()
            better = sum(s > scores[gold] + 1e-9 for s in scores.values())
            equal = sum(abs(s - scores[gold]) <= 1e-9 for s in scores.values()) - 1
            ranks.append(1 + better + equal / 2)
            sizes.append(len(scores))
        rows.append((*ranks, *sizes))
    return rows


@pytest.mark.parametrize("split", ["train", "valid", "test"])
@pytest.mark.parametrize("reciprocal", [False, True])
@pytest.mark.parametrize("name", DECODERS)
def test_ranks_are_those_of_the_definition(
    kg: KnowledgeGraph, name: str, reciprocal: bool, split: str
) -> None:
    decoder, entities = model(kg, name, reciprocal)
    ranks = Evaluator(kg, split)(decoder, entities), Evaluator(kg, split).ranks(decoder, entities)
    expected = torch.tensor(brute_force(kg, split, decoder, entities), dtype=torch.float64)
    assert torch.equal(ranks[1].realistic, expected[:, :2])
    assert torch.equal(ranks[1].candidates.double(), expected[:, 2:])
    assert ranks[0].both["mrr"] == pytest.approx((1 / expected[:, :2]).mean().item())


def test_each_side_has_the_metrics_of_its_own_ranks_and_candidates(kg: KnowledgeGraph) -> None:
    decoder, entities = model(kg, "complex")
    report = Evaluator(kg, "test")(decoder, entities)
    rows = torch.tensor(brute_force(kg, "test", decoder, entities), dtype=torch.float64)
    assert (rows[:, 0] - 1).sum() != (rows[:, 1] - 1).sum()
    assert rows[:, 2].sum() != rows[:, 3].sum()
    sides = [(report.heads, [0]), (report.tails, [1]), (report.both, [0, 1])]
    for numbers, columns in sides:
        ranks, others = rows[:, columns], rows[:, [2 + column for column in columns]] - 1
        assert numbers["mrr"] == pytest.approx((1 / ranks).mean().item())
        assert numbers["amri"] == pytest.approx(1 - 2 * ((ranks - 1).sum() / others.sum()).item())
        assert numbers["queries"] == ranks.numel()


@pytest.fixture
def busy() -> KnowledgeGraph:
    """Queries with one answer in test, with a few, and with more than `MANY`."""
    generator = torch.Generator().manual_seed(0)
    n = 40
    triples = torch.randint(n, (300, 3), generator=generator)
    triples[:, 1] %= 2
    triples[:60, :2] = torch.tensor([0, 1])
    triples[60:120, 1:] = torch.tensor([0, 3])
    names = [(f"e{h}", f"r{r}", f"e{t}") for h, r, t in triples.unique(dim=0).tolist()]
    order = torch.randperm(len(names), generator=generator).tolist()
    names = [names[i] for i in order]
    return KnowledgeGraph.of(names[:30], names[30:60], names[60:])


class Table(DistMult):
    """A decoder whose scores are rounded, so that ties abound."""

    def score_all(self, queries: Tensor, entities: Tensor) -> Tensor:
        return super().score_all(queries, entities).round()


class Contiguous(DistMult):
    """The same scores as DistMult, laid out query by query."""

    def score_all(self, queries: Tensor, entities: Tensor) -> Tensor:
        return super().score_all(queries, entities).contiguous()


def placed(ranks: Ranks) -> list[Tensor]:
    return [ranks.optimistic, ranks.pessimistic, ranks.candidates]


def same(one: Ranks, other: Ranks) -> bool:
    return all(torch.equal(a, b) for a, b in zip(placed(one), placed(other), strict=True))


class Rows(Budget):
    """A budget of some rows, whatever they take; ``limit`` is how many."""

    def rows(self, bytes_each: int, *, most: int | None = None, fixed: int = 0) -> int:
        return self.limit or 0

    def chunks(self, total: int, bytes_each: int, work: Any, **_: Any) -> Iterator[Any]:
        return super().chunks(total, 0, work)


@pytest.mark.parametrize("rows", [1, 6, 10**6])
def test_queries_with_many_answers_are_ranked_alike(busy: KnowledgeGraph, rows: int) -> None:
    decoder, entities = model(busy, "distmult")
    counts = busy.test[:, :2].unique(dim=0, return_counts=True)[1]
    assert counts.max() > queries.MANY
    assert counts.min() == 1
    ranks = Evaluator(busy, "test", budget=Rows(rows)).ranks(decoder, entities)
    expected = torch.tensor(brute_force(busy, "test", decoder, entities), dtype=torch.float64)
    assert torch.equal(ranks.realistic, expected[:, :2])
    assert torch.equal(ranks.candidates.double(), expected[:, 2:])


@pytest.fixture(scope="module")
def crowd() -> KnowledgeGraph:
    """Enough entities and queries for several blocks of several tiles."""
    generator = torch.Generator().manual_seed(0)
    triples = torch.randint(997, (900, 3), generator=generator)
    triples[:, 1] %= 3
    names = [(f"e{h}", f"r{r}", f"e{t}") for h, r, t in triples.tolist()]
    return KnowledgeGraph.of(names, [], names[:60])


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "MAX_BYTES", 2**17)
    monkeypatch.setattr(evaluation, "TILE", 2**12)
    monkeypatch.setattr(evaluation, "TILE_ELSEWHERE", 2**12)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(
    ("name", "dtype"),
    # Torch has no distances in bfloat16.
    [(name, kind) for name in DECODERS for kind in KINDS if (name, kind) != ("transe", KINDS[1])],
)
def test_no_rank_depends_on_the_budget_and_equal_entities_tie(
    crowd: KnowledgeGraph, name: str, dtype: torch.dtype
) -> None:
    decoder, entities = model(crowd, name, dtype=torch.float32)
    decoder, entities = decoder.to(dtype), entities.to(dtype)
    half = crowd.num_entities // 2
    entities[half : 2 * half] = entities[:half].clone()
    whole = Evaluator(crowd, "test").ranks(decoder, entities)
    for rows in (1, 3, 10):
        part = Evaluator(crowd, "test", budget=Rows(rows)).ranks(decoder, entities)
        assert same(part, whole)
    # Every entity is there twice, so that competitors come in pairs, except filtered ones.
    assert (whole.pessimistic > whole.optimistic).float().mean() > 0.9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", DECODERS)
def test_neither_block_nor_tile_changes_a_rank(
    busy: KnowledgeGraph, name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder, entities = model(busy, name, dtype=dtype)
    whole = Evaluator(busy, "test").ranks(decoder, entities)
    monkeypatch.setattr(ranking, "COMPARED", 16)
    monkeypatch.setattr(queries, "MASKED", 7)
    assert same(Evaluator(busy, "test").ranks(decoder, entities), whole)
    monkeypatch.setattr(evaluation, "MAX_BYTES", 3000)
    monkeypatch.setattr(evaluation, "TILE", 160)
    assert same(Evaluator(busy, "test").ranks(decoder, entities), whole)


def test_layout_of_the_scores_changes_no_rank(busy: KnowledgeGraph) -> None:
    decoder, entities = model(busy, "distmult")
    other = Contiguous(busy.num_relations, DIM).double()
    other.load_state_dict(decoder.state_dict())
    evaluator = Evaluator(busy, "test")
    assert same(evaluator.ranks(other, entities), evaluator.ranks(decoder, entities))


def test_ties_count_half_and_are_reported(busy: KnowledgeGraph) -> None:
    _, entities = model(busy, "distmult")
    decoder = Table(busy.num_relations, DIM).double()
    evaluator = Evaluator(busy, "test")
    ranks = evaluator.ranks(decoder, entities)
    expected = torch.tensor(rounded_ranks(busy, decoder, entities), dtype=torch.float64)
    assert torch.equal(ranks.realistic, expected)
    tied = (ranks.optimistic != ranks.pessimistic).double().mean()
    assert 0 < evaluator(decoder, entities).tie_rate == tied < 1


def columns(known: Iterable[bool]) -> tuple[Tensor, Tensor]:
    """Where the one row of a filter is true."""
    row, column = torch.tensor([list(known)]).nonzero(as_tuple=True)
    return row, column


@torch.no_grad()
def rounded_ranks(kg: KnowledgeGraph, decoder: Decoder, entities: Tensor) -> list[list[float]]:
    """By the pure function, a query at a time."""
    known, n = triples(kg, SPLITS), kg.num_entities
    rows = []
    for h, r, t in kg.test.tolist():
        heads = decoder.score_all(
            decoder.head_queries(torch.tensor([r]), entities[t, None]), entities
        )
        tails = decoder.score_all(
            decoder.tail_queries(entities[h, None], torch.tensor([r])), entities
        )
        rows.append(
            [
                rank(heads, torch.tensor([h]), columns((e, r, t) in known for e in range(n))),
                rank(tails, torch.tensor([t]), columns((h, r, e) in known for e in range(n))),
            ]
        )
    return [[float(x) for x in row] for row in rows]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_constant_model_is_in_the_middle(kg: KnowledgeGraph, dtype: torch.dtype) -> None:
    decoder, entities = model(kg, "distmult", dtype=dtype)
    evaluator = Evaluator(kg, "test")
    report = evaluator(decoder, torch.zeros_like(entities))
    candidates = evaluator.ranks(decoder, entities).candidates
    assert report.both["amri"] == pytest.approx(0)
    assert report.both["mean_rank"] == pytest.approx(((candidates + 1) / 2).mean().item())
    assert report.both["mrr"] == pytest.approx((2 / (candidates + 1)).mean().item())
    assert report.tie_rate == 1


def test_names_of_the_ids_change_nothing(kg: KnowledgeGraph) -> None:
    decoder, entities = model(kg, "complex")
    order = torch.randperm(kg.num_entities)
    back = order.argsort()

    def renamed(triples: Tensor) -> Tensor:
        return torch.stack((back[triples[:, 0]], triples[:, 1], back[triples[:, 2]]), 1)

    moved = replace(kg, **{split: renamed(kg.split(split)) for split in SPLITS})
    report = Evaluator(moved, "test")(decoder, entities[order])
    assert report == Evaluator(kg, "test")(decoder, entities)


def test_order_relations_hold(busy: KnowledgeGraph) -> None:
    decoder, entities = model(busy, "rotate")
    evaluator = Evaluator(busy, "test", ks=(1, 5))
    report, ranks = evaluator(decoder, entities), evaluator.ranks(decoder, entities)
    for side in (report.both, report.heads, report.tails):
        assert side["hits@1"] <= side["ndcg@5"] <= side["hits@5"]
        assert side["hits@1"] <= side["mrr"]
    assert (ranks.optimistic <= ranks.realistic).all()
    assert (ranks.realistic <= ranks.pessimistic).all()
    assert (ranks.pessimistic <= ranks.candidates).all()
    assert report.both["queries"] == 2 * len(busy.test)
    halves = (report.heads["mrr"] + report.tails["mrr"]) / 2
    assert report.both["mrr"] == pytest.approx(halves)


class Given(DistMult):
    """Scores that are given: (n, n), by the id in the last place of a query."""

    def __init__(self, kg: KnowledgeGraph, scores: Tensor) -> None:
        super().__init__(kg.num_relations, 1)
        self.scores = scores

    def tail_queries(self, h: Tensor, relations: Tensor) -> Tensor:
        return h

    def head_queries(self, relations: Tensor, t: Tensor) -> Tensor:
        return t

    def score_all(self, queries: Tensor, entities: Tensor) -> Tensor:
        return self.scores[queries[:, 0].long()]


def ids(kg: KnowledgeGraph) -> Tensor:
    return torch.arange(kg.num_entities)[:, None].float()


def test_infinite_scores_have_ranks(kg: KnowledgeGraph) -> None:
    n = kg.num_entities
    generator = torch.Generator().manual_seed(0)
    levels = torch.tensor([-torch.inf, -1e9, 0, 1e9, torch.inf])
    scores = levels[torch.randint(5, (n, n), generator=generator)]
    decoder = Given(kg, scores)
    ranks = Evaluator(kg, "test").ranks(decoder, ids(kg))
    assert ranks.realistic.tolist() == rounded_ranks(kg, decoder, ids(kg))


def test_competitors_at_minus_infinity_are_still_competitors(kg: KnowledgeGraph) -> None:
    scores = torch.full((kg.num_entities, kg.num_entities), -torch.inf)
    ranks = Evaluator(kg, "test").ranks(Given(kg, scores), ids(kg))
    assert torch.equal(ranks.optimistic, torch.ones_like(ranks.optimistic))
    assert torch.equal(ranks.pessimistic, ranks.candidates)


@pytest.mark.parametrize("entity", range(8))
def test_nan_is_refused_wherever_it_is(kg: KnowledgeGraph, entity: int) -> None:
    decoder, entities = model(kg, "distmult")
    entities[entity, 0] = torch.nan
    with pytest.raises(
        FloatingPointError, match=r"relation '\w+': the score of entity '\w+' is NaN"
    ):
        Evaluator(kg, "test")(decoder, entities)


def test_the_message_names_the_entity_that_is_nan(kg: KnowledgeGraph) -> None:
    scores = torch.randn(kg.num_entities, kg.num_entities)
    cup = kg.entities.index("cup")
    scores[:, cup] = torch.nan
    with pytest.raises(FloatingPointError, match="entity 'cup' is NaN"):
        Evaluator(kg, "valid")(Given(kg, scores), ids(kg))


def test_triples_with_unseen_entities_are_ranked_or_dropped(kg: KnowledgeGraph) -> None:
    decoder, entities = model(kg, "distmult")
    ranked = Evaluator(kg, "test").ranks(decoder, entities)
    dropping = Evaluator(kg, "test", unseen="drop")
    dropped = dropping.ranks(decoder, entities)
    seen = (kg.test != kg.entities.index("gus"))[:, [0, 2]].all(1)
    assert 0 < seen.sum() < len(seen)
    assert torch.equal(dropped.triples, kg.test[seen])
    assert torch.equal(dropped.realistic, ranked.realistic[seen])
    assert dropping(decoder, entities).protocol["unseen_entities"] == "dropped"


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("name", DECODERS)
def test_ranking_never_holds_more_than_the_budget(crowd: KnowledgeGraph, name: str) -> None:
    torch.manual_seed(0)
    decoder = build(DECODERS, name, num_relations=3, dim=64)
    entities = torch.randn(crowd.num_entities, 64)
    evaluator, least = Evaluator(crowd, "test"), 10**5
    while True:
        try:
            evaluator.budget = Budget(least)
            evaluator.ranks(decoder, entities)
            break
        except InputError:
            least = int(least * 1.1)
    for limit in (least, int(1.2 * least)):
        evaluator.budget = Budget(limit)
        with Live(entities, *decoder.parameters(), evaluator.triples) as live:
            evaluator.ranks(decoder, entities)
        assert 0.2 * limit < live.most < limit


@pytest.mark.usefixtures("small_tiles")
def test_out_of_memory_ranking_continues_with_less_and_the_same_ranks(
    crowd: KnowledgeGraph,
) -> None:
    decoder, entities = model(crowd, "complex", dtype=torch.float32)
    expected = Evaluator(crowd, "test").ranks(decoder, entities)
    monkey, made = pytest.MonkeyPatch(), queries.query_competitors
    found: list[int] = []

    def count(scores: Tensor, side: queries.Queries, first: int) -> Tensor:
        if len(scores) > 9:
            raise OutOfMemory("out of memory")
        return made(scores, side, first)

    budget = Budget(10**9, remember=found.append)
    with monkey.context() as patch:
        patch.setattr(evaluation, "query_competitors", count)
        ranks = Evaluator(crowd, "test", budget=budget).ranks(decoder, entities)
    assert same(ranks, expected)
    assert found
    assert budget.found == found[-1] < 10**9


def test_a_budget_that_no_query_fits_in_is_refused(crowd: KnowledgeGraph) -> None:
    decoder, entities = model(crowd, "complex", dtype=torch.float32)
    with pytest.raises(InputError, match=r"memory_budget: expected at least \d.* got 50 kB"):
        Evaluator(crowd, "test", budget=Budget(50_000)).ranks(decoder, entities)


@pytest.mark.usefixtures("small_tiles")
def test_only_one_tile_exists(crowd: KnowledgeGraph) -> None:
    last: list[weakref.ref[Tensor]] = []

    class Watched(DistMult):
        def score_all(self, queries: Tensor, entities: Tensor) -> Tensor:
            assert not last or last[-1]() is None
            scores = super().score_all(queries, entities).contiguous()
            last.append(weakref.ref(scores))
            return scores

    _, entities = model(crowd, "distmult", dtype=torch.float32)
    Evaluator(crowd, "test")(Watched(crowd.num_relations, DIM), entities)
    assert len(last) > 10


def test_equal_queries_are_scored_once(busy: KnowledgeGraph) -> None:
    scored: list[int] = []

    class Watched(DistMult):
        def score_all(self, queries: Tensor, entities: Tensor) -> Tensor:
            scored.append(len(queries))
            return super().score_all(queries, entities)

    _, entities = model(busy, "distmult", dtype=torch.float32)
    Evaluator(busy, "test")(Watched(busy.num_relations, DIM), entities)
    distinct = len(busy.test[:, :2].unique(dim=0)) + len(busy.test[:, 1:].unique(dim=0))
    assert sum(scored) == distinct < 2 * len(busy.test)


def test_nothing_is_learnt_and_nothing_overwritten(kg: KnowledgeGraph) -> None:
    decoder, entities = model(kg, "rotate")
    entities.requires_grad_()
    before = entities.detach().clone(), decoder.relation.weight.detach().clone()
    report = Evaluator(kg, "test")(decoder, entities)
    assert entities.grad is None
    assert torch.equal(entities, before[0])
    assert torch.equal(decoder.relation.weight, before[1])
    assert Evaluator(kg, "test")(decoder, entities) == report


def test_a_report_survives_json(kg: KnowledgeGraph) -> None:
    report = Evaluator(kg, "valid")(*model(kg, "complex"))
    again = EvaluationReport(**json.loads(json.dumps(report.to_json())))
    assert again == report
    assert report.protocol == {
        "filter": ["train", "valid", "test"],
        "ties": "realistic",
        "unseen_entities": "ranked",
    }
    names = ["mrr", "mean_rank", "hits@1", "hits@3", "hits@10", "ndcg@5", "amri", "queries"]
    assert list(report.both) == list(report.heads) == list(report.tails) == names


def test_the_table_has_a_line_for_each_side(kg: KnowledgeGraph) -> None:
    report = Evaluator(kg, "valid")(*model(kg, "complex"))
    lines = report.table()
    assert [line.split()[0] for line in lines] == ["valid", "both", "heads", "tails"]
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split()[1:] == list(report.both)
    assert lines[1].split()[1] == f"{report.both['mrr']:.4f}"
    assert lines[1].split()[-1] == "6"


def test_what_cannot_be_ranked_is_refused(kg: KnowledgeGraph) -> None:
    empty = KnowledgeGraph.of(train=[("a", "r", "b")], test=[("a", "r", "c")])
    with pytest.raises(InputError, match="valid: the split has no triple"):
        Evaluator(empty, "valid")
    with pytest.raises(InputError, match="test: the split has no triple"):
        Evaluator(empty, "test", unseen="drop")
    with pytest.raises(InputError, match="unseen: known: rank, drop; got 'forget'"):
        Evaluator(kg, "test", unseen="forget")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="ks"):
        Evaluator(kg, "test", ks=(0, 1))
    decoder, entities = model(kg, "distmult")
    with pytest.raises(ValueError, match="expected 8 rows, got 7"):
        Evaluator(kg, "test")(decoder, entities[:-1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", DECODERS)
def test_cuda_agrees_with_cpu(busy: KnowledgeGraph, name: str) -> None:
    decoder, entities = model(busy, name)
    evaluator = Evaluator(busy, "test")
    expected = evaluator.ranks(decoder, entities)
    assert same(evaluator.ranks(decoder.cuda(), entities.cuda()), expected)


def test_a_decoder_that_trains_is_ranked_without_dropout_and_keeps_training(
    kg: KnowledgeGraph,
) -> None:
    torch.manual_seed(0)
    decoder = DistMult(kg.num_relations, 40, dropout=0.5, query_dropout=0.5)
    entities = torch.randn(kg.num_entities, 40)
    evaluator = Evaluator(kg, "train")
    expected = evaluator.ranks(decoder.eval(), entities)
    assert not decoder.training
    assert same(evaluator.ranks(decoder.train(), entities), expected)
    assert decoder.training
    with pytest.raises(FloatingPointError):
        evaluator.ranks(decoder, entities * torch.nan)
    assert decoder.training
