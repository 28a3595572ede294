"""Every named choice of DANS.

Letters and numbers in brackets are the points of the method's reference.
"""

from typing import Any

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.samplers import DANS
from dans.samplers.dans.sampler import PRESETS
from tests.suites.samplers import DIM, move, seeded, triples_as_vectors


def test_defaults_are_the_papers_and_every_preset_can_be_built(kg: KnowledgeGraph) -> None:
    assert PRESETS["paper"] == {}
    for given in PRESETS.values():
        DANS(DIM, num_relations=kg.num_relations, **given)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_repeats_are_those_of_the_preset(preset: str) -> None:
    repeats = {phase.name: phase.repeats for phase in seeded(**PRESETS[preset]).phases()}
    expected = {"paper": (5, 1), "code": (1, 10), "dans": (1, 1)}[preset]
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
        ("film", "code"),
        ("head_query", "reciprocal"),
        ("head_query", "learned"),
        ("output", "linear"),
        ("output", "tanh"),
        ("output", "residual"),
        ("norm", "batch"),
        ("norm", "batch_code"),
        ("norm", "none"),
        ("init", "orthogonal"),
        ("pathways", "entity"),
        ("pathways", "relation"),
        ("pathways", "relation_twice"),
        ("decode", "nearest"),
        ("decode", "nearest_other"),
        ("generator_loss", "saturating"),
        ("film_penalty", "norm"),
        ("film_weight", 10.0),
        ("sides", "bit"),
        ("heads", "stacked"),
        ("auxiliary", "constant"),
        ("auxiliary", "none"),
        ("aux_in_generator", 3.0),
        ("r1", 5.0),
    ],
)
def test_every_option_changes_something(option: str, value: Any, kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg)
    drawn = []
    for given in ({}, {option: value}):
        base = {"num_relations": kg.num_relations, "noise": 0.3, "film_weight": 1.0}
        sampler = seeded(**{**base, **given})
        for _ in range(3):
            for phase in sampler.phases():
                torch.manual_seed(1)
                move(phase, positives)
        torch.manual_seed(1)
        drawn.append(sampler(positives).embeddings)
    assert not torch.equal(*drawn)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"film": "yes"}, "film: known: residual, code, none; got 'yes'"),
        ({"output": "relu"}, "output: known: residual, linear, tanh, scaled_tanh"),
        ({"k": 0}, "k: must be at least 1"),
        ({"discriminator_repeats": 0}, "discriminator_repeats: must be at least 1"),
        ({"noise": -0.1}, "noise: must be at least 0"),
        ({"head_query": "learned"}, "learned needs num_relations"),
        ({"sides": "bit", "film": "none"}, "sides: bit is part of FiLM's condition"),
        ({"filter": "mask"}, "filter: generated embeddings have no ids"),
        ({"filter": "mask", "decode": "nearest"}, "filter: mask needs the known triples"),
        ({"detach": False, "decode": "nearest"}, "detach: false needs decode = vector"),
        ({"aux_in_generator": 1.0, "pathways": "entity"}, "aux_in_generator: needs"),
        ({"aux_in_generator": 1.0, "auxiliary": "constant"}, "aux_in_generator: needs"),
    ],
)
def test_wrong_options_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DANS(DIM, **given)
