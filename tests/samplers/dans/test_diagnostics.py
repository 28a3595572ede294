"""What is watched while generators and discriminator learn."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.models.batch import Positives
from dans.samplers.dans.diagnostics import distance_within_query, mean_distance, warnings
from dans.samplers.dans.sampler import PRESETS
from tests.suites.samplers import DIM, offering, seeded, triples_as_embeddings


def test_distance_within_a_query_is_the_mean_over_its_pairs() -> None:
    draws = torch.tensor([[[0.0, 0.0], [3.0, 4.0]], [[9.0, 9.0], [9.0, 9.0]]])
    assert distance_within_query(draws) == 2.5


def test_distance_between_entities_leaves_out_an_entity_and_itself() -> None:
    assert mean_distance(torch.tensor([[0.0, 0.0], [3.0, 4.0]])) == 5.0


def test_every_number_of_the_issue_is_reported(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    numbers = seeded(known=kg.known()).diagnose(positives)
    each = (
        "norm_ratio",
        "diversity",
        "above_positive",
        "nearest_uncorrupted",
        "nearest_true",
        "nearest_known",
    )
    assert set(numbers) == {
        "discriminator_auc",
        "auxiliary_accuracy",
        "pathway_cosine",
        *(f"{name}_{pathway}" for name in each for pathway in ("entity", "relation")),
    }


def test_without_known_triples_and_a_second_pathway_their_numbers_are_left_out(
    kg: KnowledgeGraph,
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    numbers = seeded(pathways="entity").diagnose(positives)
    assert not {"auxiliary_accuracy", "pathway_cosine", "nearest_known_entity"} & set(numbers)


def fixed(
    monkeypatch: pytest.MonkeyPatch, kg: KnowledgeGraph, generated: Any, **given: Any
) -> dict[str, float]:
    """The diagnosis where the entity pathway offers what a function of triples and sides says."""
    positives, _, _ = triples_as_embeddings(kg)
    sampler = seeded(known=kg.known(), **given)

    def forward(triples: Positives, side: Tensor) -> tuple[Tensor, None]:
        embeddings: Tensor = generated(triples, side.unsqueeze(-1))
        return embeddings, None

    monkeypatch.setattr(sampler.entity_pathway, "forward", forward)
    return sampler.diagnose(positives)


def test_an_imitator_of_the_kept_entity_is_found_out(
    monkeypatch: pytest.MonkeyPatch, kg: KnowledgeGraph
) -> None:
    def kept(triples: Positives, side: Tensor) -> Tensor:
        return torch.where(side, triples.t.unsqueeze(1), triples.h.unsqueeze(1))

    numbers = fixed(monkeypatch, kg, kept)
    assert numbers["nearest_uncorrupted_entity"] == 1
    assert numbers["nearest_true_entity"] == 0
    assert numbers["nearest_known_entity"] == 0
    assert numbers["diversity_entity"] == 0
    assert any(w.startswith("entity pathway: collapsed") for w in warnings(numbers))


def test_an_imitator_of_the_truth_is_found_out(
    monkeypatch: pytest.MonkeyPatch, kg: KnowledgeGraph
) -> None:
    def true(triples: Positives, side: Tensor) -> Tensor:
        return torch.where(side, triples.h.unsqueeze(1), triples.t.unsqueeze(1)) * 1.001

    numbers = fixed(monkeypatch, kg, true)
    assert numbers["nearest_true_entity"] == 1
    assert numbers["nearest_known_entity"] == 1
    assert numbers["norm_ratio_entity"] == pytest.approx(1.0, abs=0.3)


def test_generated_negatives_that_outscore_the_triple_are_counted(
    monkeypatch: pytest.MonkeyPatch, kg: KnowledgeGraph
) -> None:
    def query(triples: Positives, side: Tensor) -> Tensor:
        wanted = torch.where(side, triples.head_query.unsqueeze(1), triples.tail_query.unsqueeze(1))
        return 1000 * wanted

    numbers = fixed(monkeypatch, kg, query)
    assert numbers["above_positive_entity"] == 1
    assert any(w.startswith("entity pathway: exploded") for w in warnings(numbers))


def test_opposite_pathways_have_opposite_means(
    monkeypatch: pytest.MonkeyPatch, kg: KnowledgeGraph
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = seeded()
    offering(monkeypatch, sampler, {"entity": 1, "relation": -2})
    assert sampler.diagnose(positives)["pathway_cosine"] == pytest.approx(-1)


def test_the_published_noise_is_a_collapse_and_relative_noise_is_not(
    kg: KnowledgeGraph,
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    for preset, collapsed in (("paper", True), ("dans", False)):
        found = warnings(seeded(**PRESETS[preset]).diagnose(positives))
        assert any("collapsed" in sentence for sentence in found) == collapsed


@pytest.mark.parametrize(
    ("number", "value", "sentence"),
    [
        ("discriminator_auc", 0.99, "discriminator: tells generated from real"),
        ("discriminator_auc", 0.05, "discriminator: takes generated for real"),
        ("diversity_relation", 0.01, "relation pathway: collapsed"),
        ("norm_ratio_relation", 1000.0, "relation pathway: exploded"),
        ("norm_ratio_relation", float("nan"), "norm_ratio_relation: diverged"),
    ],
)
def test_a_number_out_of_bounds_is_a_sentence(number: str, value: float, sentence: str) -> None:
    (found,) = warnings({"auxiliary_accuracy": 0.5, number: value})
    assert found.startswith(sentence)


def test_healthy_numbers_give_no_warning() -> None:
    healthy = {"discriminator_auc": 0.6, "diversity_entity": 0.4, "norm_ratio_entity": 1.2}
    assert warnings(healthy) == []


def test_diagnosis_is_bounded_by_the_triples_given(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    assert seeded().diagnose(positives.slice(0, 1))["norm_ratio_entity"] > 0
    assert positives.h.shape[1] == DIM
