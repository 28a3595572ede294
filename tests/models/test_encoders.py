"""What every encoder promises, and the ablation without a graph."""

import pytest
import torch

from dans.data.messages import MessageGraph
from dans.models import ENCODERS
from dans.models.encoders import Lookup
from dans.registry import build
from tests.oracles_rgcn import NUM_ENTITIES, NUM_RELATIONS, TOY


def make(name, **given):
    torch.manual_seed(0)
    return build(
        ENCODERS, name, given=given, num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS, dim=4
    )


def toy():
    return MessageGraph.of(TOY, NUM_ENTITIES, NUM_RELATIONS)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_entity_gets_a_vector_of_the_promised_width(name):
    encoder = make(name)
    assert encoder(toy()).shape == (NUM_ENTITIES, encoder.dim)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_start_depends_on_the_seed_alone(name):
    one, other = make(name).eval(), make(name).eval()
    assert torch.equal(one(toy()), other(toy()))
    one.reset_parameters()
    assert not torch.equal(one(toy()), other(toy()))


@pytest.mark.parametrize("name", ENCODERS)
def test_a_checkpoint_brings_all_of_it_back(name):
    encoder, fresh = make(name).eval(), make(name).eval()
    fresh.reset_parameters()
    fresh.load_state_dict(encoder.state_dict())
    assert torch.equal(encoder(toy()), fresh(toy()))


@pytest.mark.parametrize("name", ENCODERS)
def test_init_scales_the_table(name):
    wide, narrow = make(name, init=2.0), make(name, init=0.5)
    torch.testing.assert_close(wide.entities.weight, 4 * narrow.entities.weight)


def test_a_lookup_ignores_the_graph_and_learns_its_rows():
    lookup = Lookup(NUM_ENTITIES, 4)
    nothing = toy().restrict(torch.zeros(len(TOY), dtype=torch.bool))
    assert torch.equal(lookup(toy()), lookup(nothing))
    lookup(toy())[3].sum().backward()
    grad = lookup.entities.weight.grad
    assert grad is not None
    assert grad.nonzero()[:, 0].unique().tolist() == [3]
