"""The numbers of the diversity picture, on points where they are known."""

import math
import re
from typing import Any

import pytest
import torch

from dans.analysis.diversity import (
    GENERATED,
    TRUTH,
    Group,
    caption,
    diversity,
    file_part,
    gather,
    measure,
    project,
    separability,
)
from dans.analysis.diversity import diversity_within_query as within
from dans.data.graph import KnowledgeGraph
from dans.models import ENCODERS
from dans.models.decoders import DistMult
from dans.models.model import Model
from dans.samplers import Mixture, Uniform
from dans.samplers.dans.sampler import DANS


def group(points: torch.Tensor, queries: list[int] | None = None) -> Group:
    return Group(points, torch.tensor(queries or list(range(len(points)))), ())


def test_diversity_is_the_mean_distance() -> None:
    points = torch.tensor([[0.0, 0.0], [0.0, 3.0], [4.0, 0.0]])
    assert diversity(points) == pytest.approx((3 + 4 + 5) / 3)
    assert diversity(points[:1]) == 0


def test_diversity_within_a_query_looks_at_one_query_at_a_time() -> None:
    points = torch.tensor([[0.0], [1.0], [100.0], [103.0], [7.0]])
    assert within(group(points, [0, 0, 1, 1, 2])) == pytest.approx(2.0)
    assert within(group(points)) == 0


def test_collapsed_group_is_separated_from_a_diverse_one() -> None:
    torch.manual_seed(0)
    truth = torch.randn(30, 4)
    groups = {
        TRUTH: group(truth),
        "collapsed": group(torch.full((40, 4), 9.0)),
        "diverse": group(torch.randn(40, 4)),
    }
    numbers = measure(groups)
    assert numbers["collapsed"]["distinct"] == 1 / 40
    assert numbers["collapsed"]["diversity"] == 0
    assert numbers["diverse"]["distinct"] == 1
    assert numbers["diverse"]["diversity"] > 1
    assert numbers[TRUTH]["to_nearest_true_tail"] == pytest.approx(0, abs=1e-3)
    assert (
        numbers["collapsed"]["to_nearest_true_tail"]
        > 3 * numbers["diverse"]["to_nearest_true_tail"]
    )
    assert numbers["collapsed"][f"auc_{TRUTH}"] == pytest.approx(1.0)
    assert numbers["diverse"][f"auc_{TRUTH}"] < 0.75
    assert numbers["diverse"]["auc_collapsed"] == numbers["collapsed"]["auc_diverse"]


def test_probe_needs_five_points() -> None:
    assert separability(torch.zeros(3, 2), torch.ones(50, 2)) is None


def test_projection_keeps_groups_and_counts() -> None:
    torch.manual_seed(0)
    groups = {TRUTH: group(torch.randn(12, 5)), "far": group(torch.randn(9, 5) + 50)}
    places = project(groups)
    assert {name: place.shape for name, place in places.items()} == {TRUTH: (12, 2), "far": (9, 2)}
    assert all(math.isfinite(x) for place in places.values() for x in place.flatten())


def test_gathered_groups_are_tails_of_the_relation(kg: KnowledgeGraph) -> None:
    torch.manual_seed(0)
    model = Model(ENCODERS["lookup"](kg.num_entities, 6), DistMult(kg.num_relations, 6))
    entities = model.embeddings(kg.messages("relation"))
    sampler = Mixture(DANS(6, k=3), Uniform(k=4))
    relation = int(kg.train[0, 1])
    triples = kg.train[kg.train[:, 1] == relation]
    groups = gather(kg, model, sampler, entities, relation, queries=2)
    assert groups.keys() == {TRUTH, "entity pathway", "relation pathway", "uniform"}
    truth = triples[:, 2].unique()
    assert torch.equal(groups[TRUTH].embeddings, entities[truth])
    assert groups[TRUTH].names == tuple(kg.entities[i] for i in truth.tolist())
    assert groups["entity pathway"].names == ()
    assert all(set(g.queries.tolist()) <= {0, 1} for name, g in groups.items() if name != TRUTH)
    for name, vector in zip(groups["uniform"].names, groups["uniform"].embeddings, strict=True):
        assert torch.equal(entities[kg.entities.index(name)], vector)


def test_equal_embeddings_share_a_place() -> None:
    torch.manual_seed(0)
    points = torch.randn(9, 4)
    places = project({TRUTH: group(points), "again": group(points[[2, 2, 5]])})
    assert (places["again"] == places[TRUTH][[2, 2, 5]]).all()


def drawn(kg: KnowledgeGraph, **options: Any) -> tuple[dict[str, Group], torch.Tensor]:
    """Groups of DANS and of uniform negatives for a relation of the toy graph; the entities."""
    torch.manual_seed(0)
    model = Model(ENCODERS["lookup"](kg.num_entities, 6), DistMult(kg.num_relations, 6))
    entities = model.embeddings(kg.messages("relation"))
    sampler = Mixture(DANS(6, k=20, known=kg.known(), **options), Uniform(k=4))
    return gather(kg, model, sampler, entities, int(kg.train[0, 1])), entities


def test_what_is_offered_is_apart_from_what_is_generated(kg: KnowledgeGraph) -> None:
    options = {"decode": "nearest", "filter": "mask", "output": "residual", "noise": 2.0}
    groups, entities = drawn(kg, **options)
    triples = kg.train[kg.train[:, 1] == kg.train[0, 1]]
    for pathway in ("entity pathway", "relation pathway"):
        offered, generated = groups[pathway], groups[f"{pathway}{GENERATED}"]
        assert generated.names == ()
        # The same draws: the nearest entity of each, but for those that make known triples.
        ids = torch.cdist(generated.embeddings, entities).argmin(1)
        h, r, _ = triples[generated.queries].unbind(1)
        new = ~kg.known().is_known(torch.stack((h, r, ids), 1))
        assert 0 < new.sum() < len(ids)
        assert offered.names == tuple(kg.entities[i] for i in ids[new].tolist())
        assert torch.equal(offered.queries, generated.queries[new])
    said = caption(groups, relation="knows", triples=6, of=6, kept="step 2")
    sizes = [len(groups[f"entity pathway{end}"].queries) for end in ("", GENERATED)]
    assert "(head, knows, ?) of 6 of its 6 training triples, drawn at step 2" in said
    assert f"leaves {sizes[0]} of {sizes[1]} (entity pathway) and " in said
    assert "6-dimensional embeddings" in said


def test_embeddings_that_are_offered_as_generated_are_one_group(kg: KnowledgeGraph) -> None:
    groups, _ = drawn(kg)
    assert not [name for name in groups if name.endswith(GENERATED)]
    said = caption(groups, relation="knows", triples=6, of=6, kept="step 2")
    assert "What is generated is offered as it is, and no entity." in said
    del groups["entity pathway"], groups["relation pathway"]
    assert "generated" not in caption(groups, relation="knows", triples=6, of=6, kept="step 2")


def test_files_of_relations_do_not_overwrite_each_other() -> None:
    names = ["isa", "/film/genre", "film genre", "film-genre", "..", "日本", "x" * 300, "x" * 299]
    parts = [file_part(name, i) for i, name in enumerate(names)]
    assert len(set(parts)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,70}", part) for part in parts)
