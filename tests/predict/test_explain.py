"""Explanations name real paths, and triples whose removal is measured."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from dans.config.schema import GraphConfig
from dans.data.graph import KnowledgeGraph, Vocabulary
from dans.data.message_graph import Norm
from dans.errors import InputError
from dans.evaluation.classifier import logits
from dans.models.decoders import DistMult
from dans.models.encoders import Lookup
from dans.models.model import Model
from dans.models.rgcn import RGCN
from dans.predict import Predictor
from dans.predict.explain import Explainer


def explainer_of(kg: KnowledgeGraph, *, lookup: bool = False, **given: object) -> Explainer:
    torch.manual_seed(0)
    n, m = kg.num_entities, kg.num_relations
    encoder = Lookup(n, 8) if lookup else RGCN(n, m, 8, **given)  # type: ignore[arg-type]
    reciprocal = bool(given) and not lookup
    model = Model(encoder, DistMult(m, 8, reciprocal=reciprocal)).double().eval()
    return Explainer(kg, model, model.embeddings(kg.messages()).clone())


def trained(kg: KnowledgeGraph) -> Explainer:
    """An RGCN that separates the training triples from all others."""
    explainer = explainer_of(kg)
    model = explainer.model
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    n, m = kg.num_entities, kg.num_relations
    every = torch.cartesian_prod(torch.arange(n), torch.arange(m), torch.arange(n))
    truth = kg.known(("train",)).is_known(every).double()
    for _ in range(60):
        scores = model.encode_batch(every, kg.messages()).scores().squeeze(1)
        loss = F.binary_cross_entropy_with_logits(scores, truth, pos_weight=torch.tensor(5.0))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return Explainer(kg, model, model.embeddings(kg.messages()).clone())


def test_paths_are_those_found_by_hand(kg: KnowledgeGraph) -> None:
    found = explainer_of(kg).explain("ada", "near", "map", top=50)
    assert found.all_paths
    # Of the two triples of ada, knows and cy any: their scores are equal, but for rounding.
    texts = [str(path).replace("<--knows--", "--knows-->") for path in found.paths]
    assert sorted(texts, key=len)[:3] == [
        "ada <--near-- map",
        "ada --knows--> cy --owns--> map",
        "ada --owns--> pot --near--> cup --near--> map",
    ]
    scores = [path.score for path in found.paths]
    assert scores == sorted(scores, reverse=True)


def test_a_path_is_scored_by_the_shares_of_its_triples(kg: KnowledgeGraph) -> None:
    explainer = explainer_of(kg)
    (path,) = explainer.explain("ada", "owns", "map", top=1).paths
    entities, decoder = explainer.entities, explainer.model.decoder
    known, total = kg.known(), 0.0
    for names in path.triples:
        places = zip(names, (kg.entities, kg.relations, kg.entities), strict=True)
        triple = torch.tensor([of.index(name) for name, of in places])
        for column in (0, 2):
            every = triple.repeat(kg.num_entities, 1)
            every[:, column] = torch.arange(kg.num_entities)
            competes = ~known.is_known(every) | (every == triple).all(1)
            scores = logits(decoder, entities, every)
            own = int(triple[column])
            total += float(scores[own] - scores[competes].logsumexp(0)) / 2
    assert path.score == pytest.approx(total)


def test_of_a_triple_and_its_reverse_a_path_has_the_better(kg: KnowledgeGraph) -> None:
    lines = [("a", "near", "b"), ("b", "near", "a"), ("b", "near", "c"), ("c", "by", "b")]
    kg = KnowledgeGraph.of([*lines, ("c", "near", "a"), ("d", "by", "a")])
    explainer = explainer_of(kg)
    found = explainer.explain("a", "by", "c", top=50).paths
    # One of the two, which the scores of a symmetric decoder choose by their rounding.
    arrow = "--near-->" if "a --near--> b" in "".join(map(str, found)) else "<--near--"
    assert {str(path) for path in found} == {
        "a <--near-- c",
        f"a {arrow} b --near--> c",
        f"a {arrow} b <--by-- c",
    }


def test_edges_of_hubs_are_left_out_first_and_that_is_said() -> None:
    spokes = [("hub", "has", f"e{i}") for i in range(30)]
    small = [("a", "to", "hub"), ("a", "to", "c"), ("c", "to", "d"), ("d", "to", "b")]
    kg = KnowledgeGraph.of([*small, *spokes, ("e3", "to", "b"), ("b", "to", "hub")])
    whole, part = (explainer_of(kg).explain("a", "to", "b", most=most) for most in (1000, 5))
    through = "a --to--> c --to--> d --to--> b"
    assert through in map(str, whole.paths)
    assert through in map(str, part.paths)
    assert whole.all_paths
    assert not part.all_paths
    assert "a --to--> hub --has--> e3 --to--> b" in map(str, whole.paths)
    assert "not all edges of hubs were looked at" in str(part)


def test_the_triple_itself_explains_nothing(kg: KnowledgeGraph) -> None:
    triple = ("ada", "knows", "bob")
    for lookup in (False, True):
        found = explainer_of(kg, lookup=lookup).explain(*triple, top=50)
        assert found.paths
        assert all(triple not in path.triples for path in found.paths)
        assert found.carried_by
        assert triple not in [support.triple for support in found.carried_by]
        assert "ada" not in [support.triple[0] for support in found.analogies]


@pytest.mark.parametrize("given", [{"bases": 0}, {"bases": 3}, {"blocks": 2}, {"skip": True}])
def test_contributions_are_gradient_times_weight(
    kg: KnowledgeGraph, given: dict[str, object]
) -> None:
    explainer = explainer_of(kg, **given)
    if given == {"skip": True}:
        for weights in explainer.model.encoder.parameters():
            torch.nn.init.normal_(weights, std=0.3)
        explainer.entities = explainer.model.embeddings(kg.messages()).clone()
    triple = kg.test[0]
    rows = explainer.around(triple)
    found = explainer.contributions(triple, rows)
    weight, step = kg.messages().weight.clone(), 1e-3
    for row, value in zip(rows.tolist(), found.tolist(), strict=True):
        mine = (explainer.messages.triple_ids == row).float()
        sides = []
        for sign in (1, -1):
            changed = explainer.messages.restrict(torch.ones(len(kg.train), dtype=torch.bool))
            object.__setattr__(changed, "weight", weight * (1 + sign * step * mine))
            entities = explainer.model.embeddings(changed)
            sides.append(float(explainer._scores(triple[None], entities)))
        assert value == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-2, abs=1e-4)
    assert float(found.abs().max()) > 1e-2


def test_effects_are_those_of_a_graph_without_the_triples(kg: KnowledgeGraph) -> None:
    explainer = explainer_of(kg)
    found = explainer.explain("ada", "owns", "map", top=3)
    assert found.basis == "gradient"
    assert found.effect is not None
    assert found.score == found.effect.before
    predictor = Predictor(kg, explainer.model.decoder, explainer.entities)
    assert found.score == pytest.approx(predictor.score([("ada", "owns", "map")])[0].score)

    def score(removed: list[tuple[str, str, str]]) -> float:
        names, n, m = kg.to_pandas("train"), kg.num_entities, kg.num_relations
        lines = list(zip(names["head"], names["relation"], names["tail"], strict=True))
        rows = [i for i, line in enumerate(lines) if line not in removed]
        assert len(rows) == len(lines) - len(removed)
        other = type(kg.messages()).of(kg.train[rows], n, m)
        ids = torch.tensor([[explainer.kg.entities.index("ada"), 1, kg.entities.index("map")]])
        return float(explainer._scores(ids, explainer.model.embeddings(other)))

    assert kg.relations.index("owns") == 1
    triples = [support.triple for support in found.carried_by]
    assert found.effect.after == pytest.approx(score(triples))
    assert found.effect.after != pytest.approx(found.effect.before, abs=1e-3)


@pytest.mark.parametrize("norm", ["relation", "node"])
def test_neighborhoods_give_the_explanations_of_the_whole_graph(
    kg: KnowledgeGraph, norm: Norm
) -> None:
    whole = explainer_of(kg, skip=True)
    for weights in whole.model.encoder.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    encode = whole.model.embeddings
    whole = Explainer(kg, whole.model, encode(kg.messages(norm)).clone(), norm=norm)
    part = Explainer(kg, whole.model, whole.entities, norm=norm, neighborhoods=True)
    part.messages = None  # type: ignore[assignment]
    for triple in (("ada", "owns", "map"), ("gus", "near", "gus"), ("ada", "knows", "bob")):
        one, two = whole.explain(*triple), part.explain(*triple)
        assert [s.triple for s in one.carried_by] == [s.triple for s in two.carried_by]
        for mine, other in zip(one.carried_by, two.carried_by, strict=True):
            assert mine.value == pytest.approx(other.value)
        assert one.effect is not None
        assert two.effect is not None
        assert one.effect.after == pytest.approx(two.effect.after)
    assert one.effect.after != pytest.approx(one.effect.before)


@pytest.mark.parametrize("fanout", [(), (4, 4)])
def test_runs_with_fanout_are_explained_by_neighborhoods(
    kg: KnowledgeGraph, fanout: tuple[int, ...]
) -> None:
    made = explainer_of(kg)
    graph = GraphConfig(norm="node", fanout=fanout)
    trained = SimpleNamespace(
        kg=kg, model=made.model, entities=made.entities, config=SimpleNamespace(graph=graph)
    )
    explainer = Explainer.of(trained)  # type: ignore[arg-type]
    assert explainer.neighborhoods == bool(fanout)
    assert explainer.norm == "node"


def test_removing_named_triples_lowers_the_score_more_than_removing_others(
    kg: KnowledgeGraph,
) -> None:
    explainer = trained(kg)
    named, others = [], []
    for triple in kg.train:
        score, (rows, _) = explainer.score(triple), explainer.carrying(triple, top=2)
        named.append(score - explainer.score_without(triple, rows))
        around = explainer.around(triple)
        for _ in range(4):
            drawn = around[torch.randperm(len(around))[: len(rows)]]
            others.append(score - explainer.score_without(triple, drawn))
    margin = sum(named) / len(named) - sum(others) / len(others)
    assert margin > 0.5


def test_a_lookup_model_names_similar_triples(kg: KnowledgeGraph) -> None:
    explainer = explainer_of(kg, lookup=True)
    h, o = kg.entities.index("ada"), kg.entities.index("cy")
    explainer.entities[o] = 2 * explainer.entities[h] + 0.01
    tea, cup = kg.entities.index("map"), kg.entities.index("tea")
    explainer.entities[cup] = 3 * explainer.entities[tea]
    found = explainer.explain("ada", "owns", "tea")
    assert found.basis == "similarity"
    assert found.effect is None
    assert found.carried_by[0].triple == ("cy", "owns", "map")
    assert found.carried_by[0].value == pytest.approx(1, abs=1e-2)
    assert found.analogies[0].triple == ("cy", "owns", "map")
    assert {support.triple[1] for support in found.analogies} == {"owns"}
    assert len({support.triple[0] for support in found.analogies}) == len(found.analogies) == 2


def test_unknown_names_are_refused_with_near_ones(kg: KnowledgeGraph) -> None:
    explainer = explainer_of(kg)
    for names, sentence in (
        (("adda", "owns", "map"), "head: unknown name 'adda'; did you mean 'ada'?"),
        (("ada", "own", "map"), "relation: unknown name 'own'; did you mean 'owns'?"),
        (("ada", "owns", "maps"), r"tail: unknown name 'maps'; did you mean 'map'"),
    ):
        with pytest.raises(InputError) as caught:
            explainer.explain(*names)
        assert str(caught.value).startswith(sentence)


def test_an_entity_without_training_triples_has_no_paths(kg: KnowledgeGraph) -> None:
    for lookup in (False, True):
        found = explainer_of(kg, lookup=lookup).explain("gus", "knows", "ada")
        assert found.paths == ()
        assert "  none" in str(found)
    assert explainer_of(kg).explain("ada", "knows", "ada").paths == ()


def test_an_explanation_is_text_json_and_a_graph(kg: KnowledgeGraph) -> None:
    found = explainer_of(kg).explain("ada", "owns", "map")
    text, plain, graph = str(found), json.loads(found.to_json()), found.to_networkx()
    assert text.startswith(f"(ada, owns, map): score {found.score:.4f}\n")
    assert str(found.paths[0]) in text
    assert plain["triple"] == ["ada", "owns", "map"]
    assert len(plain["paths"]) == len(found.paths)
    assert plain["effect"]["after"] < plain["effect"]["before"]
    assert graph.edges["ada", "map", "owns"]["roles"] == ("explained",)
    for support in found.carried_by:
        head, relation, tail = support.triple
        assert "carries" in graph.edges[head, tail, relation]["roles"]
    train = {tuple(row) for row in kg.to_pandas("train")[["head", "relation", "tail"]].values}
    edges = {(h, r, t) for h, t, r in graph.edges(keys=True)}
    assert edges - {found.triple} <= train


def test_long_names_are_cut_for_people_and_those_with_a_comma_stand_in_quotes(
    kg: KnowledgeGraph,
) -> None:
    long, comma = "x" * 5000, "bob,\tthe first"
    renamed = {"ada": long, "bob": comma}
    names = tuple(renamed.get(name, name) for name in kg.entities.names)
    kg = dataclasses.replace(kg, entities=Vocabulary(names))
    found = explainer_of(kg).explain(long, "owns", "map")
    text = str(found)
    assert text.startswith(f"({'x' * 160}…, owns, map): score ")
    assert r"'bob,\tthe first'" in text
    assert long not in text
    assert long in found.to_json()
