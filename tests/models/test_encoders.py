"""What every encoder promises, and the ablation without a graph."""

import pytest
import torch

from dans.data.message_graph import MessageGraph
from dans.errors import InputError
from dans.models import ENCODERS
from dans.models.decoders import DistMult
from dans.models.encoders import Lookup
from dans.models.model import Model
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


def test_rows_have_the_same_gradient_sparse_or_dense():
    ids = torch.tensor([4, 0, 2])
    weights = torch.randn(3, 4)
    grads = []
    for sparse in (False, True):
        lookup = make("lookup")
        (weights * lookup.rows(toy(), ids, sparse=sparse)).sum().backward()
        grads.append(lookup.entities.weight.grad)
    dense, sparse = grads
    assert sparse.is_sparse
    assert not dense.is_sparse
    assert torch.equal(sparse.to_dense(), dense)
    assert sparse.coalesce().indices().flatten().tolist() == [0, 2, 4]


def test_rows_of_an_encoder_that_uses_the_graph_move_what_the_whole_moves():
    ids = torch.tensor([4, 0, 2])
    grads = []
    for some in (lambda e: e.rows(toy(), ids, sparse=True), lambda e: e(toy())[ids]):
        encoder = make("rgcn").eval()
        some(encoder).square().sum().backward()
        grads.append([parameter.grad for parameter in encoder.parameters()])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_lookup_starts_from_the_embeddings_given():
    torch.manual_seed(0)
    table = Lookup(500, 20, init=0.2, initial="uniform").entities.weight
    assert 0.19 < table.abs().max() <= 0.2


def test_lookup_drops_in_training_alone():
    torch.manual_seed(0)
    lookup = Lookup(NUM_ENTITIES, 400, dropout=0.25)
    table, ids = lookup.entities.weight, torch.tensor([3, 1])
    for dropped, kept in ((lookup(toy()), table), (lookup.rows(toy(), ids), table[ids])):
        gone = dropped == 0
        assert gone.float().mean().item() == pytest.approx(0.25, abs=0.06)
        torch.testing.assert_close(dropped[~gone], kept[~gone] / 0.75)
    assert not torch.equal(lookup(toy()), lookup(toy()))
    lookup.eval()
    assert torch.equal(lookup(toy()), table)
    assert torch.equal(lookup.rows(toy(), ids), table[ids])


@pytest.mark.parametrize("name", ["lookup", "rgcn"])
def test_options_out_of_range_are_refused(name):
    share = r"expected a share in \[0, 1\)"
    for wrong, words in ((-0.1, share), (1.0, share), (float("nan"), "must be a finite number")):
        with pytest.raises(InputError, match=f"dropout: {words}"):
            make(name, dropout=wrong)
    for wrong in (-0.1, float("inf"), float("nan")):
        with pytest.raises(InputError, match=f"init: must .*, got {wrong}"):
            make(name, init=wrong)


def test_lookup_draws_one_mask_for_an_entity_and_a_step():
    torch.manual_seed(0)
    lookup = Lookup(NUM_ENTITIES, 40, dropout=0.5)
    embeddings = lookup(toy())
    decoder = DistMult(1, 40)
    decoder.relation.weight.data.fill_(1.0)
    triples = torch.tensor([[3, 0, 1], [3, 0, 3], [1, 0, 3]])
    positives = Model(lookup, decoder).positives(triples, embeddings)
    masks = [
        positives.tail_query[0],
        positives.tail_query[1],
        positives.head_query[2],
        embeddings[3],
    ]
    for one in masks[1:]:
        assert torch.equal(one == 0, masks[0] == 0)
    assert 0 < (masks[0] == 0).sum() < 40
