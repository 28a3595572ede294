"""RGCN: its formula, its options, and that DGL's layer agrees."""

import math

import pytest
import torch
from torch.nn import functional as F

from dans.data.message_graph import MessageGraph
from dans.data.neighbor_sampling import IncomingMessages
from dans.errors import InputError
from dans.models.rgcn import RGCN, RGCNLayer
from tests import oracles_rgcn as oracle
from tests.oracles_rgcn import NUM_ENTITIES, NUM_RELATIONS, TOY


def toy(norm="relation"):
    return MessageGraph.of(TOY, NUM_ENTITIES, NUM_RELATIONS, norm)


def make(seed=0, cls=RGCN, dim=6, **options):
    torch.manual_seed(seed)
    return cls(NUM_ENTITIES, NUM_RELATIONS, dim, **options).eval()


def slow(encoder, norm):
    """Eq. 1, layer after layer, in double precision."""
    x = encoder.entities.weight.double()
    for depth, layer in enumerate(encoder.layers):
        coefficients = None if layer.coefficients is None else layer.coefficients.double()
        aggregated = oracle.propagate(
            x, TOY, NUM_RELATIONS, norm, layer.matrices.double(), coefficients
        )
        x = aggregated + x @ layer.self_loop.double() + layer.bias.double()
        if depth + 1 < len(encoder.layers):
            x = F.relu(x)
    return x


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layers": 1},
        {"layers": 3, "bases": 2},
        {"bases": 1},
        {"bases": 0},
        {"blocks": 1},
        {"blocks": 3},
    ],
    ids=str,
)
def test_vectors_and_gradients_are_those_of_the_equation(options):
    encoder = make(**options)
    direction = torch.randn(NUM_ENTITIES, 6)
    found, expected = encoder(toy("code")), slow(encoder, "code")
    torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-5)
    parameters = list(encoder.parameters())
    ours = torch.autograd.grad(found, parameters, direction)
    theirs = torch.autograd.grad(expected, parameters, direction.double())
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "regularizer", "num_bases"),
    [({"bases": 3}, "basis", 3), ({"blocks": 2}, "bdd", 2), ({"bases": 0}, None, None)],
    ids=["bases", "blocks", "full"],
)
@pytest.mark.parametrize("norm", ["relation", "node", "code"])
def test_a_layer_is_dgls_relgraphconv(options, regularizer, num_bases, norm):
    from dans.data._dgl import dgl

    torch.manual_seed(0)
    messages = toy(norm)
    ours = RGCNLayer(2 * NUM_RELATIONS, 6, 4, **options)
    theirs = dgl.nn.RelGraphConv(6, 4, 2 * NUM_RELATIONS, regularizer, num_bases)
    with torch.no_grad():
        theirs.linear_r.W.copy_(ours.matrices.view_as(theirs.linear_r.W))
        if ours.coefficients is not None:
            theirs.linear_r.coeff.copy_(ours.coefficients)
        theirs.loop_weight.copy_(ours.self_loop)
        theirs.h_bias.copy_(ours.bias)
    graph = dgl.graph((messages.sources, messages.targets), num_nodes=NUM_ENTITIES)
    x = torch.randn(NUM_ENTITIES, 6, requires_grad=True)
    # DGL multiplies the messages, (e, d_out), by the normaliser, which must therefore be (e, 1)
    expected = theirs(graph, x, messages.etype, messages.weight[:, None], presorted=True)
    found = ours(x, messages)
    torch.testing.assert_close(found, expected)
    direction = torch.randn_like(found)
    torch.testing.assert_close(
        torch.autograd.grad(found, (x, ours.matrices), direction)[1].flatten(),
        torch.autograd.grad(expected, (x, theirs.linear_r.W), direction)[1].flatten(),
        rtol=1e-4,
        atol=1e-5,
    )


def test_umls_has_the_published_number_of_parameters():
    n, m, d = 135, 46, 100
    encoder = RGCN(n, m, d, bases=4)
    number = sum(parameter.numel() for parameter in encoder.parameters())
    assert number == n * d + 2 * (4 * d**2 + 2 * m * 4 + d**2 + d)
    assert number + m * d == 119_036  # with DistMult's relation table


@pytest.mark.parametrize(
    ("options", "fan"),
    [({"bases": 4}, 4 * 60), ({"bases": 0}, 60), ({"blocks": 6}, 60)],
    ids=["bases", "full", "blocks"],
)
def test_weights_start_uniform_within_the_published_bound(options, fan):
    layer = make(dim=60, **options).layers[0]
    bound = 1 / math.sqrt(fan)
    for weights in layer.parameters():
        assert weights.abs().max() <= bound
    assert layer.matrices.abs().max() > 0.99 * bound
    assert abs(layer.matrices.mean()) < 0.05 * bound


def test_the_table_starts_standard_normal():
    table = RGCN(2000, 1, 50).entities.weight
    assert abs(table.mean()) < 0.02
    assert abs(table.std() - 1) < 0.02
    assert abs(RGCN(2000, 1, 50, init=0.3).entities.weight.std() - 0.3) < 0.006


def test_dropout_acts_between_layers_and_in_training_alone():
    encoder = make(dropout=0.5)
    assert torch.equal(encoder(toy()), encoder(toy()))
    encoder.train()
    assert not torch.equal(encoder(toy()), encoder(toy()))
    alone = make(dropout=0.5, layers=1).train()
    assert torch.equal(alone(toy()), alone(toy()))


def test_without_messages_an_entity_is_embedded_by_itself():
    encoder, nothing = make(layers=1), toy().restrict(torch.zeros(len(TOY), dtype=torch.bool))
    layer = encoder.layers[0]
    alone = encoder.entities.weight @ layer.self_loop + layer.bias
    torch.testing.assert_close(encoder(toy())[7], alone[7])
    torch.testing.assert_close(encoder(nothing), alone)


def trained_for_a_moment(encoder):
    """The encoder with a last layer that no longer is as it started."""
    with torch.no_grad():
        for weights in encoder.layers[-1].parameters():
            weights.normal_(std=0.1)
    return encoder


def test_with_a_skip_training_starts_from_a_lookup():
    encoder = make(skip=True, dropout=0.5).train()
    assert torch.equal(encoder(toy()), encoder.entities.weight)
    encoder(toy()).square().sum().backward()
    last = encoder.layers[-1]
    # Every factor but the coefficients, whose matrices are zero, starts to learn at once.
    for weights in (last.matrices, last.self_loop, last.bias):
        assert weights.grad.abs().max() > 0


@pytest.mark.parametrize("options", [{}, {"layers": 1}, {"blocks": 3}], ids=str)
def test_with_a_skip_the_input_embeddings_are_added(options):
    encoder = trained_for_a_moment(make(skip=True, **options))
    plain = make(**options)
    plain.load_state_dict(encoder.state_dict())
    direction = torch.randn(NUM_ENTITIES, 6)
    found, expected = encoder(toy()), plain(toy()) + plain.entities.weight
    torch.testing.assert_close(found, expected)
    ours = torch.autograd.grad(found, list(encoder.parameters()), direction)
    theirs = torch.autograd.grad(expected, list(plain.parameters()), direction)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.allclose(found, encoder.entities.weight)


def test_double_precision_is_kept():
    assert make().double()(toy()).dtype == torch.float64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 0}, "layers: expected at least 1, got 0"),
        ({"bases": 4, "blocks": 2}, "blocks: cannot be combined with bases"),
        ({"bases": -1}, "bases: expected at least 0, got -1"),
        ({"blocks": 4}, "blocks: expected a divisor of dim = 6, got 4"),
        ({"dropout": 1.0}, r"dropout: expected a share in \[0, 1\), got 1"),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(options, message):
    with pytest.raises(InputError, match=message):
        make(**options)


def test_unseen_hides_the_rows_of_a_share_in_training_alone():
    plain, encoder = make(), make(unseen=0.5)
    assert plain.unseen_row is None
    assert set(plain.state_dict()) | {"unseen_row"} == set(encoder.state_dict())
    assert torch.equal(plain(toy()), encoder(toy())), "the same draws, and nothing hidden"
    seen = []
    encoder.layers[0].register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    encoder.train()
    encoder.unseen_row.data.fill_(7.0)
    for _ in range(40):
        encoder(toy())
    hidden = torch.stack(seen).eq(7).all(-1)
    assert hidden.any(0).all()
    assert not hidden.all(0).any()
    assert 0.3 < hidden.float().mean() < 0.7
    rows = torch.stack(seen)[~hidden]
    assert torch.equal(rows, encoder.entities.weight.expand(40, -1, -1)[~hidden])
    encoder(toy()).sum().backward()
    assert encoder.unseen_row.grad.any()


@pytest.mark.parametrize("options", [{}, {"unseen": 0.2}, {"skip": True}], ids=str)
def test_entities_beyond_the_table_share_a_row(options):
    encoder = make(**options)
    if options.get("skip"):
        torch.nn.init.normal_(encoder.layers[-1].matrices)
    more = torch.cat((TOY, torch.tensor([[NUM_ENTITIES, 0, 1]])))
    graph = MessageGraph.of(more, NUM_ENTITIES + 2, NUM_RELATIONS)
    found = encoder(graph)
    wide = make(**options)
    table = encoder.entities.weight
    shared = table.mean(0) if encoder.unseen_row is None else encoder.unseen_row
    wide.load_state_dict(encoder.state_dict())
    wide.entities.weight.data = torch.cat((table, shared.expand(2, -1))).detach()
    torch.testing.assert_close(found, wide(graph))
    pieces = IncomingMessages(more, NUM_ENTITIES + 2, NUM_RELATIONS)
    torch.testing.assert_close(encoder.in_pieces(pieces), found.detach())
    assert not torch.equal(found[-1], found[-2]), "one of them has a message"
