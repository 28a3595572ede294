"""Every named choice of DANS."""

from typing import Any

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.samplers import DANS
from dans.samplers.dans.sampler import PRESETS
from tests.suites.samplers import DIM, seeded, triples_as_embeddings, update


def test_defaults_are_the_papers_and_every_preset_can_be_built() -> None:
    assert PRESETS["paper"] == {}
    for given in PRESETS.values():
        DANS(DIM, **given)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_repeats_are_those_of_the_preset(preset: str) -> None:
    repeats = {phase.name: phase.repeats for phase in seeded(**PRESETS[preset]).phases()}
    expected = {"paper": (5, 1), "dans": (1, 1)}[preset]
    assert repeats == {
        "entity_pathway": expected[0],
        "relation_pathway": expected[0],
        "discriminator": expected[1],
    }


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("noise", 1.0),
        ("noise_scale", "relative"),
        ("film", "none"),
        ("output", "residual"),
        ("pathways", "entity"),
        ("pathways", "relation"),
        ("decode", "nearest"),
        ("decode", "nearest_other"),
        ("film_weight", 10.0),
        ("r1", 5.0),
    ],
)
def test_every_option_changes_something(option: str, value: Any, kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    drawn = []
    for given in ({}, {option: value}):
        sampler = seeded(**{"noise": 0.3, "film_weight": 1.0, **given})
        for _ in range(3):
            for phase in sampler.phases():
                torch.manual_seed(1)
                update(phase, positives)
        torch.manual_seed(1)
        drawn.append(sampler(positives).embeddings)
    assert not torch.equal(*drawn)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"film": "yes"}, "film: known: residual, none; got 'yes'"),
        ({"output": "relu"}, "output: known: residual, scaled_tanh; got"),
        ({"k": 0}, "k: expected at least 1"),
        ({"discriminator_repeats": 0}, "discriminator_repeats: expected at least 1"),
        ({"noise": -0.1}, "noise: must not be negative"),
        ({"noise": 1e12}, "noise: expected at most 1e\\+06"),
        ({"candidates": 5}, "candidates: has no effect on generated embeddings"),
        ({"candidates": -1, "decode": "nearest"}, "candidates: expected at least 0"),
        ({"candidates": 2, "decode": "nearest_other"}, "candidates: expected at least 3"),
        ({"filter": "mask"}, "filter: generated embeddings have no ids"),
        ({"filter": "mask", "decode": "nearest"}, "filter: mask needs the known triples"),
    ],
)
def test_wrong_options_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DANS(DIM, **given)
