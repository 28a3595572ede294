"""What is watched while generators and critic learn."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dans.batch import Positives
from dans.data.graph import KnowledgeGraph
from dans.samplers.dans import PRESETS, warnings
from dans.samplers.diagnostics import auc, mean_distance, spread
from tests.suites.samplers import DIM, facts_as_vectors, offering, seeded


def test_auc_counts_pairs() -> None:
    torch.manual_seed(0)
    real, fake = torch.randint(5, (30,)).float(), torch.randint(4, (20,)).float()
    gaps = real.unsqueeze(1) - fake.unsqueeze(0)
    expected = (gaps.gt(0).double() + gaps.eq(0).double() / 2).mean()
    assert auc(real, fake) == pytest.approx(float(expected))


def test_spread_is_the_mean_over_pairs_of_one_query() -> None:
    draws = torch.tensor([[[0.0, 0.0], [3.0, 4.0]], [[9.0, 9.0], [9.0, 9.0]]])
    assert spread(draws) == 2.5


def test_distance_between_entities_leaves_out_an_entity_and_itself() -> None:
    assert mean_distance(torch.tensor([[0.0, 0.0], [3.0, 4.0]])) == 5.0


def test_every_number_of_the_issue_is_reported(kg: KnowledgeGraph) -> None:
    positives, _, _ = facts_as_vectors(kg)
    numbers = seeded(known=kg.known()).diagnose(positives)
    each = (
        "norm_ratio",
        "spread",
        "above_positive",
        "nearest_kept",
        "nearest_true",
        "nearest_known",
    )
    assert set(numbers) == {
        "critic_auc",
        "auxiliary_accuracy",
        "way_cosine",
        *(f"{name}_{way}" for name in each for way in ("entity", "relation")),
    }


def test_without_known_facts_and_a_second_way_their_numbers_are_left_out(
    kg: KnowledgeGraph,
) -> None:
    positives, _, _ = facts_as_vectors(kg)
    numbers = seeded(ways="entity").diagnose(positives)
    assert not {"auxiliary_accuracy", "way_cosine", "nearest_known_entity"} & set(numbers)


def fixed(
    monkeypatch: pytest.MonkeyPatch, kg: KnowledgeGraph, fake: Any, **given: Any
) -> dict[str, float]:
    """The diagnosis where the entity way offers what a function of facts and sides says."""
    positives, _, _ = facts_as_vectors(kg)
    sampler = seeded(known=kg.known(), **given)
    assert sampler.entity_way is not None

    def forward(facts: Positives, side: Tensor) -> tuple[Tensor, None]:
        vectors: Tensor = fake(facts, side.unsqueeze(-1))
        return vectors, None

    monkeypatch.setattr(sampler.entity_way, "forward", forward)
    return sampler.diagnose(positives)


def test_an_imitator_of_the_kept_entity_is_found_out(
    monkeypatch: pytest.MonkeyPatch, kg: KnowledgeGraph
) -> None:
    def kept(facts: Positives, side: Tensor) -> Tensor:
        return torch.where(side, facts.t.unsqueeze(1), facts.h.unsqueeze(1))

    numbers = fixed(monkeypatch, kg, kept)
    assert numbers["nearest_kept_entity"] == 1
    assert numbers["nearest_true_entity"] == 0
    assert numbers["nearest_known_entity"] == 0
    assert numbers["spread_entity"] == 0
    assert any(w.startswith("entity way: collapsed") for w in warnings(numbers))


def test_an_imitator_of_the_truth_is_found_out(
    monkeypatch: pytest.MonkeyPatch, kg: KnowledgeGraph
) -> None:
    def true(facts: Positives, side: Tensor) -> Tensor:
        return torch.where(side, facts.h.unsqueeze(1), facts.t.unsqueeze(1)) * 1.001

    numbers = fixed(monkeypatch, kg, true)
    assert numbers["nearest_true_entity"] == 1
    assert numbers["nearest_known_entity"] == 1
    assert numbers["norm_ratio_entity"] == pytest.approx(1.0, abs=0.3)


def test_fakes_that_outscore_the_fact_are_counted(
    monkeypatch: pytest.MonkeyPatch, kg: KnowledgeGraph
) -> None:
    def query(facts: Positives, side: Tensor) -> Tensor:
        wanted = torch.where(side, facts.head_query.unsqueeze(1), facts.tail_query.unsqueeze(1))
        return 1000 * wanted

    numbers = fixed(monkeypatch, kg, query)
    assert numbers["above_positive_entity"] == 1
    assert any(w.startswith("entity way: exploded") for w in warnings(numbers))


def test_opposite_ways_have_opposite_means(
    monkeypatch: pytest.MonkeyPatch, kg: KnowledgeGraph
) -> None:
    positives, _, _ = facts_as_vectors(kg)
    sampler = seeded()
    offering(monkeypatch, sampler, {"entity": 1, "relation": -2})
    assert sampler.diagnose(positives)["way_cosine"] == pytest.approx(-1)


def test_the_published_noise_is_a_collapse_and_relative_noise_is_not(  # A6
    kg: KnowledgeGraph,
) -> None:
    positives, _, _ = facts_as_vectors(kg)
    for preset, collapsed in (("paper", True), ("code", True), ("dans", False)):
        found = warnings(seeded(**PRESETS[preset]).diagnose(positives))
        assert any("collapsed" in sentence for sentence in found) == collapsed


@pytest.mark.parametrize(
    ("number", "value", "sentence"),
    [
        ("critic_auc", 0.99, "critic: tells fakes from entities"),
        ("critic_auc", 0.05, "critic: takes fakes for entities"),
        ("spread_relation", 0.01, "relation way: collapsed"),
        ("norm_ratio_relation", 1000.0, "relation way: exploded"),
        ("norm_ratio_relation", float("nan"), "norm_ratio_relation: diverged"),
    ],
)
def test_a_number_out_of_bounds_is_a_sentence(number: str, value: float, sentence: str) -> None:
    (found,) = warnings({"auxiliary_accuracy": 0.5, number: value})
    assert found.startswith(sentence)


def test_healthy_numbers_give_no_warning() -> None:
    healthy = {"critic_auc": 0.6, "spread_entity": 0.4, "norm_ratio_entity": 1.2}
    assert warnings(healthy) == []


def test_diagnosis_is_bounded_by_the_facts_given(kg: KnowledgeGraph) -> None:
    positives, _, _ = facts_as_vectors(kg)
    assert seeded().diagnose(positives.slice(0, 1))["norm_ratio_entity"] > 0
    assert positives.h.shape[1] == DIM
