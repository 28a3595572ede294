"""Uniform negatives, and a contrast between entities of one type beside them."""

import math
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.batch import Positives
from dans.registry import build
from dans.samplers import SAMPLERS, SMiLE
from dans.samplers.entity_types import Concepts, pseudo_types
from dans.samplers.smile import LogSum, clustered, log_sums
from tests.samplers.test_entity_types import occurrences
from tests.suites.samplers import DIM, triples_as_embeddings, update


def smile(kg: KnowledgeGraph, *, seed: int = 0, **given: object) -> SMiLE:
    torch.manual_seed(seed)
    return build(
        SAMPLERS,
        "smile",
        given=given,
        dim=DIM,
        triples=kg.train,
        num_entities=kg.num_entities,
        num_relations=kg.num_relations,
        known=kg.known(("train",)),
    )


def random_graph(n: int = 40, m: int = 3, f: int = 300) -> KnowledgeGraph:
    torch.manual_seed(1)
    ids = torch.stack([torch.randint(size, (f,)) for size in (n, m, n)], dim=1)
    triples = [(f"e{h}", f"r{r}", f"e{t}") for h, r, t in ids.tolist()]
    return KnowledgeGraph.of(name="random", train=triples)


Sets = dict[int, set[int]]


def by_hand(sampler: SMiLE, kg: KnowledgeGraph, batch: Tensor, frequent: float) -> dict[str, Sets]:
    """Each anchor's positives and negatives of both kinds, loop by loop."""
    types = sampler.types.tolist()
    triples = {tuple(triple) for triple in kg.train.tolist()}
    count = Counter((types[h], r, types[t]) for h, r, t in triples)
    schema = {typed for typed, c in count.items() if c >= frequent * len(triples)}
    does = defaultdict(set)
    for h, r, t in triples:
        typed = (types[h], r, types[t])
        if typed in schema:
            does[h].add((typed, "head"))
            does[t].add((typed, "tail"))
    near: Sets = defaultdict(set)
    for h, r, t in batch.tolist():
        if (types[h], r, types[t]) in schema and h != t:
            near[h].add(t)
            near[t].add(h)
    found: dict[str, Sets] = {"positive": dict(near), "inter": {}, "intra": {}}
    for anchor, positives in near.items():
        everyone = [e for e in range(kg.num_entities) if e != anchor and e not in positives]
        fellows = {p: [e for e in everyone if types[e] == types[p]] for p in positives}
        found["inter"][anchor] = {e for p in positives for e in fellows[p] if does[e] != does[p]}
        found["intra"][anchor] = {e for p in positives for e in fellows[p] if does[e] == does[p]}
    return found


def loss_by_hand(sampler: SMiLE, sets: dict[str, Sets], kind: str, table: Tensor) -> float:
    """−log Σ_P / Σ_{P ∪ N}, an anchor at a time."""
    with torch.no_grad():
        z = sampler.projections[kind](table).double()
    losses = []
    for anchor, positives in sets["positive"].items():
        negatives = sets[kind][anchor]
        if not negatives:
            continue

        def mass(e: int, anchor: int = anchor) -> float:
            cosine = float(torch.cosine_similarity(z[anchor], z[e], dim=0))
            return math.exp(cosine / sampler.temperature)

        above = sum(map(mass, positives))
        losses.append(-math.log(above / (above + sum(map(mass, negatives)))))
    return sum(losses) / max(len(losses), 1)


SETTINGS = [(1, 0.0), (1, 0.2), (2, 0.1), (3, 0.0), (10, 0.01), (10, 0.12)]


@pytest.mark.parametrize(("clusters", "frequent"), SETTINGS)
@pytest.mark.parametrize("size", ["toy", "random"])
def test_the_contrast_is_that_of_the_loop(
    clusters: int, frequent: float, size: str, kg: KnowledgeGraph
) -> None:
    kg = kg if size == "toy" else random_graph()
    frequent = frequent if size == "toy" else frequent / 4
    sampler = smile(kg, clusters=clusters, frequent=frequent, balance=0.6, weight=0.5)
    positives, table, _ = triples_as_embeddings(kg)
    positives = positives.slice(2, 12)
    sets = by_hand(sampler, kg, positives.triples, frequent)
    inter = loss_by_hand(sampler, sets, "inter", table)
    intra = loss_by_hand(sampler, sets, "intra", table)
    numbers = sampler.diagnose(positives)
    assert numbers["contrast_inter"] == pytest.approx(inter, rel=1e-4)
    assert numbers["contrast_intra"] == pytest.approx(intra, rel=1e-4)
    wanted = 0.6 * inter + 0.4 * intra
    assert float(sampler.terms(positives)["contrast"].detach()) == pytest.approx(
        wanted / 2, rel=1e-4
    )
    assert float(sampler.loss(positives.detach()).detach()) == pytest.approx(wanted, rel=1e-4)


def test_the_settings_meet_negatives_of_both_kinds(kg: KnowledgeGraph) -> None:
    met = Counter()
    for clusters, frequent in SETTINGS:
        sampler = smile(kg, clusters=clusters, frequent=frequent)
        sets = by_hand(sampler, kg, kg.train, frequent)
        for kind in ("inter", "intra"):
            met[kind, any(sets[kind].values())] += 1
    assert met["inter", True] > 1
    assert met["intra", True] > 1


def test_as_it_comes_the_toy_graph_gives_both_contrasts(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    assert all(value > 0 for value in smile(kg).diagnose(positives).values())


@pytest.mark.parametrize("kind", ["inter", "intra"])
def test_no_more_negatives_than_allowed_and_each_as_often(kind: str) -> None:
    kg = random_graph()
    sampler = smile(kg, clusters=2, frequent=0.05, negatives=7)
    pairs = sampler.pairs(kg.train)
    sets = by_hand(sampler, kg, kg.train, 0.05)[kind]
    met = 0
    for anchor in sets:
        mine = pairs[pairs[:, 0] == anchor]
        starts = (torch.arange(1000).double() + 0.5) / 1000
        ids, counts = sampler.own_negatives(
            kind,
            torch.full((1000,), anchor),
            mine.repeat(1000, 1),
            torch.arange(1000).repeat_interleave(len(mine)),
            starts,
        )
        assert counts.shape[1] <= 7
        assert all(len(set(row.tolist())) == len(row) for row in ids[:20])
        shares = torch.bincount(ids[counts], minlength=kg.num_entities) / 1000
        assert set(shares.nonzero().flatten().tolist()) == sets[anchor]
        if sets[anchor]:
            some = shares[shares > 0]
            assert float(some.max() - some.min()) < 0.01
            met += bool(some.max() < 1)
    assert met


@pytest.mark.parametrize("part", [2**20, 100])
def test_among_all_candidates_the_contrast_is_that_of_all_negatives(
    part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dans.samplers.smile.PART", part)
    kg = random_graph()
    positives, table, _ = triples_as_embeddings(kg)
    positives = positives.slice(10, 90)
    found = []
    for candidates in (0, kg.num_entities):
        sampler = smile(kg, clusters=3, frequent=0.02, candidates=candidates)
        term, loss = sampler.terms(positives)["contrast"], sampler.loss(positives.detach())
        (of_model,) = torch.autograd.grad(term, table, retain_graph=True)
        of_projections = torch.autograd.grad(loss, list(sampler.projections.parameters()))
        found.append((term.detach(), loss.detach(), of_model, *of_projections))
    assert found[0][0] > 0
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("kind", ["inter", "intra"])
def test_of_drawn_candidates_those_of_the_loop_are_negatives(kind: str) -> None:
    kg = random_graph()
    sampler = smile(kg, clusters=2, frequent=0.05)
    pairs = sampler.pairs(kg.train)
    anchors, rows = torch.unique(pairs[:, 0], return_inverse=True)
    drawn = torch.randperm(kg.num_entities)[:15].sort().values
    valid = sampler.negatives_among(drawn, anchors, pairs, rows)[kind].T
    sets = by_hand(sampler, kg, kg.train, 0.05)[kind]
    for anchor, row in zip(anchors.tolist(), valid, strict=True):
        assert set(drawn[row].tolist()) == sets[anchor] & set(drawn.tolist())
    assert valid.any()


def test_the_gradient_of_the_sum_over_drawn_candidates_is_the_numerical_one() -> None:
    torch.manual_seed(0)
    a, y = (torch.randn(size, 3, dtype=torch.double, requires_grad=True) for size in (4, 6))
    valid = torch.rand(6, 4) < 0.5
    valid[:, 1] = False
    expected = (a @ y.T).masked_fill(~valid.T, -torch.inf).logsumexp(1)
    found = LogSum.apply(a, y, valid)
    torch.testing.assert_close(found[valid.any(0)], expected[valid.any(0)])
    assert found[1] < -1e30
    assert torch.autograd.gradcheck(lambda a, y: LogSum.apply(a, y, valid)[[0, 2, 3]], (a, y))


@pytest.mark.slow
def test_parts_of_the_anchors_are_one_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    kg = random_graph()
    sampler = smile(kg, clusters=3, negatives=5)
    positives, table, _ = triples_as_embeddings(kg)
    found = []
    for elements in (2**24, 100):
        monkeypatch.setattr("dans.samplers.entity_types.ELEMENTS", elements)
        torch.manual_seed(0)
        term = sampler.terms(positives)["contrast"]
        (gradient,) = torch.autograd.grad(term, table)
        found.append((term.detach(), gradient))
    torch.testing.assert_close(*found)


def test_terms_move_the_model_and_no_projection(kg: KnowledgeGraph) -> None:
    sampler, (positives, table, _) = smile(kg), triples_as_embeddings(kg)
    sampler.terms(positives)["contrast"].backward()
    anchors = sampler.pairs(kg.train)[:, 0].unique()
    assert table.grad[anchors].abs().sum(-1).gt(0).all()
    assert all(parameter.grad is None for parameter in sampler.parameters())


def total(numbers: dict[str, float]) -> float:
    return 0.8 * numbers["contrast_inter"] + 0.2 * numbers["contrast_intra"]


def test_both_updates_lower_the_contrast(kg: KnowledgeGraph) -> None:
    sampler, (positives, table, _) = smile(kg), triples_as_embeddings(kg)
    before = sampler.diagnose(positives)
    (gradient,) = torch.autograd.grad(sampler.terms(positives)["contrast"], table)
    moved = replace(positives, entities=(table - 0.1 * gradient).detach())
    closer = sampler.diagnose(moved)
    assert total(closer) < total(before)
    update(sampler.phases()[0], positives, times=5)
    assert total(sampler.diagnose(positives)) < total(before)


@pytest.mark.parametrize(
    "given",
    [
        {"weight": 0.5},
        {"balance": 0.1},
        {"temperature": 0.1},
        {"clusters": 2},
        {"frequent": 0.14},
        {"negatives": 1},
        {"candidates": 4},
    ],
)
def test_every_option_changes_the_contrast(given: dict[str, float], kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    plain, turned = smile(kg), smile(kg, **given)
    assert not torch.isclose(
        plain.terms(positives)["contrast"], turned.terms(positives)["contrast"]
    )


@pytest.mark.parametrize("candidates", [0, 1, 4])
def test_an_anchor_without_negatives_adds_nothing(candidates: int) -> None:
    triples = torch.tensor([[0, 0, 1], [2, 1, 3]])
    sizes = {"num_entities": 4, "num_relations": 2}
    sampler = SMiLE(dim=4, triples=triples, candidates=candidates, **sizes)
    table = torch.randn(4, 4, requires_grad=True)
    h, t = table[triples[:, 0]], table[triples[:, 2]]
    positives = Positives(triples, h, h, t, h, t, table, lambda x, y: (x * y).sum(-1))
    term = sampler.terms(positives)["contrast"]
    term.backward()
    assert float(term.detach()) == 0
    assert not table.grad.any()
    update(sampler.phases()[0], positives)
    assert all(parameter.isfinite().all() for parameter in sampler.parameters())


def test_triples_outside_the_schema_have_no_anchor(kg: KnowledgeGraph) -> None:
    sampler = smile(kg, frequent=0.12)
    inside = torch.isin(sampler.typed(kg.train), sampler.schema)
    assert 0 < int(inside.sum()) < len(kg.train)
    assert len(sampler.pairs(kg.train[inside]))
    assert not len(sampler.pairs(kg.train[~inside]))
    loop = torch.tensor([[0, 0, 0]])
    assert not len(smile(kg, frequent=0.0).pairs(loop))


@pytest.mark.parametrize("candidates", [0, 6])
@pytest.mark.parametrize("temperature", [1e-3, 1e3])
def test_extreme_temperatures_stay_finite(
    temperature: float, candidates: int, kg: KnowledgeGraph
) -> None:
    sampler = smile(kg, temperature=temperature, candidates=candidates)
    positives, table, _ = triples_as_embeddings(kg)
    term = sampler.terms(positives)["contrast"]
    (gradient,) = torch.autograd.grad(term, table)
    assert term.isfinite()
    assert gradient.isfinite().all()


def test_negatives_are_uniform_and_need_no_embeddings(kg: KnowledgeGraph) -> None:
    sampler = smile(kg, k=500, side="tail")
    ids = sampler(Positives.of_ids(kg.train, kg.num_entities)).ids
    assert not ids.eq(kg.train[:, 2:]).any()
    assert all(len(row.unique()) == kg.num_entities - 1 for row in ids)


def test_entities_that_occur_alike_have_one_type(kg: KnowledgeGraph) -> None:
    slots = occurrences(kg)
    concepts = pseudo_types(kg.train, kg.num_entities, kg.num_relations)
    for clusters in (1, 2, 3, 10):
        types = clustered(concepts, clusters).tolist()
        seen = {types[e] for e in slots if slots[e]}
        assert 1 <= len(seen) <= clusters
        assert {types[e] for e in slots if not slots[e]} == {len(seen)}
        for a in slots:
            for b in slots:
                assert types[a] == types[b] or slots[a] != slots[b]


def test_types_are_the_same_on_every_run(kg: KnowledgeGraph) -> None:
    assert torch.equal(smile(kg, seed=0).types, smile(kg, seed=1).types)


def test_clusters_that_lie_apart_are_found() -> None:
    torch.manual_seed(0)
    blocks = torch.zeros(60, 12, dtype=torch.bool)
    for block in range(3):
        part = torch.rand(20, 4) < 0.7
        part[:, 0] = True
        blocks[20 * block : 20 * block + 20, 4 * block : 4 * block + 4] = part
    types = clustered(Concepts(blocks.nonzero(), 60, 12), 3).view(3, 20)
    assert (types == types[:, :1]).all()
    assert len(types[:, 0].unique()) == 3


def test_a_sum_of_exponentials_neither_overflows_nor_vanishes() -> None:
    scores = torch.tensor([1e4, 1e4, -1e4])
    found = log_sums(scores, torch.tensor([0, 0, 1]), 2)
    torch.testing.assert_close(found, torch.tensor([1e4 + math.log(2), -1e4]))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"weight": -1.0}, "weight: must not be negative, got -1.0"),
        ({"temperature": 0.0}, "temperature: must be above 0"),
        ({"weight": float("nan")}, "weight: must be a finite number, got nan"),
        ({"temperature": float("inf")}, "temperature: must be a finite number, got inf"),
        ({"balance": 1.5}, "balance: must be between 0 and 1, got 1.5"),
        ({"frequent": -0.1}, "frequent: must be between 0 and 1"),
        ({"frequent": 0.9}, "frequent: no typed triple has 0.9 of all triples; the most frequent"),
        ({"clusters": 0}, "clusters: expected at least 1"),
        ({"candidates": -1}, "candidates: expected at least 0"),
        ({"negatives": 0}, "negatives: expected at least 1"),
    ],
)
def test_wrong_options_are_named(
    given: dict[str, object], sentence: str, kg: KnowledgeGraph
) -> None:
    with pytest.raises(InputError, match=sentence):
        smile(kg, **given)
