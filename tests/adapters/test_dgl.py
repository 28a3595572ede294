"""DGL's own data loader, with negatives of ours."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dans.adapters.dgl import NegativeEdges, dgl, replace_invalid
from dans.data.graph import KnowledgeGraph
from dans.data.known_triples import KnownTriples
from dans.errors import InputError
from dans.models.batch import Positives
from dans.samplers import DANS, Bernoulli, Uniform
from tests.processes import succeed
from tests.suites.samplers import DIM, snapshot, triples_as_embeddings

# DGL recommends a setting of its own at every pass over a loader.
pytestmark = pytest.mark.filterwarnings("ignore:Dataloader CPU affinity")


def loader(g: Any, eids: Any, negative_sampler: Any, **given: Any) -> Any:
    sampler = dgl.dataloading.as_edge_prediction_sampler(
        dgl.dataloading.NeighborSampler([2]), negative_sampler=negative_sampler
    )
    return dgl.dataloading.DataLoader(g, eids, sampler, batch_size=4, shuffle=True, **given)


def triples(graph: Any, relation: Tensor) -> Tensor:
    """The edges of one of a loader's graphs, by the ids of the whole graph."""
    src, dst = (graph.ndata[dgl.NID][end].long() for end in graph.edges(order="eid"))
    return torch.stack((src, relation.long(), dst), dim=1)


def check(triples: Tensor, negatives: Tensor, k: int) -> None:
    """Relations are kept and one side of each has changed, k negatives after one another."""
    assert negatives.shape == (len(triples) * k, 3)
    changed = negatives != triples.repeat_interleave(k, dim=0)
    assert not changed[:, 1].any()
    assert changed.sum(1).eq(1).all()


def homogeneous(kg: KnowledgeGraph, idtype: torch.dtype = torch.int64) -> Any:
    return dgl.to_homogeneous(kg.heterograph()).astype(idtype)


def bernoulli(kg: KnowledgeGraph, **given: Any) -> Bernoulli:
    return Bernoulli(
        3, triples=kg.train, num_relations=kg.num_relations, known=kg.known(("train",)), **given
    )


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("policy", ["none", "resample"])
def test_an_epoch_on_a_homogeneous_graph(
    idtype: torch.dtype, policy: str, kg: KnowledgeGraph
) -> None:
    g = homogeneous(kg).int() if idtype == torch.int32 else homogeneous(kg)
    seen = []
    against = NegativeEdges(bernoulli(kg, filter=policy))
    for _, positive, negative, _ in loader(g, torch.arange(14, dtype=idtype), against):
        assert negative.idtype == idtype
        relation = positive.edata[dgl.ETYPE]
        given = triples(positive, relation)
        negatives = triples(negative, relation.repeat_interleave(3))
        check(given, negatives, 3)
        if policy == "resample":
            assert not kg.known(("train",)).is_known(negatives).any()
        seen.append(given)
    assert sorted(torch.cat(seen).tolist()) == sorted(kg.train.tolist())


def test_an_epoch_on_a_heterograph(kg: KnowledgeGraph) -> None:
    g = kg.heterograph()
    every = {etype: g.edges(form="eid", etype=etype) for etype in g.canonical_etypes}
    seen = []
    for _, positive, negative, _ in loader(g, every, NegativeEdges(bernoulli(kg))):
        for r, etype in enumerate(g.canonical_etypes):
            triples, negatives = (
                triples_of(part, etype, r, g.ntypes[0]) for part in (positive, negative)
            )
            check(triples, negatives, 3)
            seen.append(triples)
    assert sorted(torch.cat(seen).tolist()) == sorted(kg.train.tolist())


def triples_of(graph: Any, etype: tuple[str, str, str], r: int, ntype: str) -> Tensor:
    names = graph.nodes[ntype].data[dgl.NID]
    src, dst = (names[end] for end in graph.edges(etype=etype, order="eid"))
    return torch.stack((src, torch.full_like(src, r), dst), dim=1)


def test_one_edge_type_needs_no_relation(kg: KnowledgeGraph) -> None:
    known = KnownTriples(torch.tensor([[0, 0, e] for e in range(4)]), 5, 1)
    g = dgl.heterograph({("entity", "knows", "entity"): ([0, 1], [1, 2])}, {"entity": 5})
    against = NegativeEdges(Uniform(2, side="tail", filter="resample", known=known))
    src, dst = against(g, torch.tensor([0]))
    assert src.tolist() == [0, 0]
    assert dst.tolist() == [4, 4]
    assert len(list(loader(g, torch.arange(2), against))) == 1


def test_edge_data_of_any_name_hold_the_relations(kg: KnowledgeGraph) -> None:
    heads, relations, tails = kg.train.unbind(1)
    g = dgl.graph((heads, tails), num_nodes=kg.num_entities)
    g.edata["rel"] = relations
    against = NegativeEdges(bernoulli(kg), relation="rel")
    etype, some = g.canonical_etypes[0], torch.tensor([9, 2])
    assert torch.equal(against.triples(g, etype, some), kg.train[some])
    with pytest.raises(InputError, match="no edge data 'kind'"):
        NegativeEdges(bernoulli(kg), relation="kind")(g, some)


def test_relations_may_be_numbered_apart_from_edge_types() -> None:
    edges = {("entity", name, "entity"): ([0], [1]) for name in ("a", "a-inverse", "b")}
    g = dgl.heterograph(edges, {"entity": 4})
    some = torch.tensor([0])
    relation = {None: 2, "given": 1}
    for kind, expected in relation.items():
        given = None if kind is None else {"a": 0, "b": 1}
        against = NegativeEdges(Uniform(2), relations=given)
        assert against.triples(g, ("entity", "b", "entity"), some)[0, 1] == expected
    with pytest.raises(InputError, match="no id for edge type 'a-inverse'"):
        against(g, {"a-inverse": some})


def test_a_known_negative_is_replaced_by_another_of_its_edge() -> None:
    torch.manual_seed(0)
    known = KnownTriples(torch.tensor([[0, 0, 2], [0, 0, 1]]), 4, 1)
    g = dgl.graph(([0], [1]), num_nodes=4)
    sampler = Uniform(50, side="tail", filter="mask", known=known)
    _, dst = NegativeEdges(sampler)(g, torch.tensor([0]))
    assert len(dst) == 50
    assert set(dst.tolist()) == {0, 3}
    _, dst = NegativeEdges(sampler, invalid="drop")(g, torch.tensor([0]))
    assert 0 < len(dst) < 50
    assert set(dst.tolist()) == {0, 3}


def test_an_edge_without_a_valid_negative_keeps_them() -> None:
    negatives = torch.arange(12).view(2, 2, 3)
    valid = torch.tensor([[False, False], [True, False]])
    replaced = replace_invalid(negatives, valid)
    assert torch.equal(replaced[0], negatives[0])
    assert torch.equal(replaced[1], negatives[1, [0, 0]])


def test_a_sampler_that_looks_at_the_model_sees_it_and_learns(kg: KnowledgeGraph) -> None:
    _, table, decoder = triples_as_embeddings(kg)
    seen = []

    def embeddings(triples: Tensor) -> Positives:
        seen.append(triples)
        return Positives.from_embeddings(triples, table, decoder)

    sampler = DANS(DIM, k=2, decode="nearest_other")
    before = snapshot(sampler)
    against = NegativeEdges(sampler, embeddings=embeddings, phases={"discriminator": {"lr": 0.01}})
    for _, positive, negative, _ in loader(homogeneous(kg), torch.arange(14), against):
        relation = positive.edata[dgl.ETYPE]
        check(triples(positive, relation), triples(negative, relation.repeat_interleave(4)), 4)
    assert sorted(torch.cat(seen).tolist()) == sorted(kg.train.tolist())
    assert all(value != before[name] for name, value in snapshot(sampler).items())
    assert table.grad is None


def test_workers_draw_but_do_not_look_at_the_model(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How long torch waits for a worker that has failed.
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.1)
    g = homogeneous(kg)
    drawn = [
        negatives.num_edges() for _, _, negatives, _ in workers(g, NegativeEdges(bernoulli(kg)))
    ]
    assert sum(drawn) == 3 * 14
    sampler = DANS(DIM, decode="nearest_other")
    with pytest.raises(InputError, match="num_workers: must be 0"):
        list(workers(g, NegativeEdges(sampler, embeddings=lambda _: triples_as_embeddings(kg)[0])))


def workers(g: Any, against: NegativeEdges) -> Iterator[Any]:
    yield from loader(g, torch.arange(14), against, num_workers=1)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: DANS(DIM, decode="nearest"), "embeddings: the sampler looks at the model"),
        (lambda: DANS(DIM), "decode: vector"),
    ],
)
def test_a_sampler_that_cannot_serve_is_refused(make: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        NegativeEdges(make())


def test_a_choice_without_effect_is_refused(kg: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match="embeddings: no effect"):
        NegativeEdges(Uniform(), embeddings=lambda _: triples_as_embeddings(kg)[0])
    with pytest.raises(InputError, match="relations: no effect beside relation"):
        NegativeEdges(Uniform(), relation="rel", relations={"a": 0})
    with pytest.raises(InputError, match=r"relations: no effect, .* '_TYPE'"):
        NegativeEdges(Uniform(), relations={"_E": 0})(homogeneous(kg), torch.tensor([0]))
    with pytest.raises(InputError, match="invalid: known: replace, drop"):
        NegativeEdges(Uniform(), invalid="keep")  # type: ignore[arg-type]


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
def test_no_edges_have_no_negatives(idtype: torch.dtype, kg: KnowledgeGraph) -> None:
    g, against = kg.heterograph().astype(idtype), NegativeEdges(bernoulli(kg))
    assert against(g, {}) == {}
    none, some = torch.empty(0, dtype=idtype), torch.tensor([1], dtype=idtype)
    first, second = g.canonical_etypes[:2]
    assert [end.tolist() for end in against(g, {first: none})[first]] == [[], []]
    both = against(g, {first: none, second: some})
    assert [len(both[etype][0]) for etype in (first, second)] == [0, 3]
    assert all(end.dtype == idtype for ends in both.values() for end in ends)


def test_graphs_it_cannot_know_are_refused(kg: KnowledgeGraph) -> None:
    two = dgl.heterograph({("user", "likes", "item"): ([0], [0])})
    with pytest.raises(InputError, match="expected one node type, got item, user"):
        NegativeEdges(Uniform())(two, torch.tensor([0]))
    with pytest.raises(InputError, match="expected edge ids by edge type"):
        NegativeEdges(Uniform())(kg.heterograph(), torch.tensor([0]))


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path) -> None:
    done = succeed("examples/dgl_link_prediction.py", "--epochs", 2, cwd=tmp_path)
    first, second = (float(line.split()[-1]) for line in done.stdout.splitlines())
    assert second < first
