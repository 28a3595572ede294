"""The fast sum over messages, against one edge at a time."""

import pytest
import torch

from dans.data.message_graph import MessageGraph
from dans.models import message_passing as module
from dans.models.message_passing import (
    Plan,
    basis_first_dense,
    basis_first_sparse,
    estimate,
    grouped,
    propagate,
)
from tests import oracles_rgcn as oracle
from tests.oracles_rgcn import NUM_ENTITIES, NUM_RELATIONS, TOY

FORMS = [grouped, basis_first_dense, basis_first_sparse]
GRAPHS = {
    "toy": (TOY, NUM_ENTITIES, NUM_RELATIONS),
    "one relation": (TOY[:5], NUM_ENTITIES, 1),
    "one triple": (TOY[:1], 2, 1),
    "one entity": (torch.tensor([[0, 0, 0], [0, 1, 0]]), 1, 2),
    "hubs on both sides": (torch.tensor([[0, 0, 1], [2, 0, 3], [1, 1, 0], [1, 1, 2]]), 4, 2),
    "only self-loops": (torch.arange(40)[:, None] * torch.tensor([1, 0, 1]), 40, 1),
}


def leaf(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def weights(num_relations, kind, dtype=torch.float64):
    """Inputs' width 6, outputs' width 4: matrices and coefficients."""
    if kind == "bases":
        return leaf(3, 1, 6, 4, dtype=dtype), leaf(2 * num_relations, 3, dtype=dtype)
    blocks = {"blocks": 2, "full": 1}[kind]
    return leaf(2 * num_relations, blocks, 6 // blocks, 4 // blocks, dtype=dtype), None


def compare(form, graph, kind, norm):
    torch.manual_seed(0)
    triples, n, m = graph
    x = leaf(n, 6)
    matrices, coefficients = weights(m, kind)
    inputs = [t for t in (x, matrices, coefficients) if t is not None]
    found = form(x, MessageGraph.of(triples, n, m, norm), matrices, coefficients)
    expected = oracle.propagate(x, triples, m, norm, matrices, coefficients)
    # normalisers are single precision
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    direction = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(found, inputs, direction),
        torch.autograd.grad(expected, inputs, direction),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("norm", ["relation", "node", "code"])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_order_of_work_equals_a_loop_over_edges(form, norm):
    compare(form, GRAPHS["toy"], "bases", norm)


@pytest.mark.parametrize("kind", ["blocks", "full"])
def test_blocks_and_full_matrices_equal_a_loop_over_edges(kind):
    compare(propagate, GRAPHS["toy"], kind, "code")


@pytest.mark.parametrize("form", [*FORMS, propagate], ids=lambda form: form.__name__)
@pytest.mark.parametrize("graph", GRAPHS)
def test_unusual_graphs_equal_a_loop_over_edges(graph, form):
    compare(form, GRAPHS[graph], "bases", "relation")


def random_graph(seed=0, triples=3000, entities=200, relations=30):
    """Triples whose relations and entities follow a power law, as in real graphs."""
    torch.manual_seed(seed)
    skewed = torch.rand(triples, 3).pow(3) * torch.tensor([entities, relations, entities])
    return skewed.long(), entities, relations


@pytest.mark.parametrize("form", FORMS[1:], ids=lambda form: form.__name__)
def test_orders_of_work_agree_on_a_larger_graph_in_single_precision(form):
    triples, n, m = random_graph()
    messages = MessageGraph.of(triples, n, m)
    x = leaf(n, 16, dtype=torch.float32)
    matrices = leaf(4, 1, 16, 16, dtype=torch.float32)
    coefficients = leaf(2 * m, 4, dtype=torch.float32)
    results = []
    for each in (grouped, form):
        out = each(x, messages, matrices, coefficients)
        grads = torch.autograd.grad(out.square().sum(), (x, matrices, coefficients))
        results.append([out.detach(), *grads])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


def test_the_cheapest_order_of_work_is_taken(monkeypatch):
    triples, n, m = random_graph()
    messages = MessageGraph.of(triples, n, m)
    costs = estimate(messages, 4, 16, 16)
    assert set(costs) == set(FORMS)
    taken = []
    for chosen in FORMS:

        def record(x, *rest, name=chosen.__name__):
            taken.append(name)
            return x

        prices = {form: 2.0 for form in FORMS if form is not chosen} | {record: 1.0}
        monkeypatch.setattr(module, "estimate", lambda *_, prices=prices: prices)
        propagate(torch.zeros(n, 16), messages, torch.zeros(4, 1, 16, 16), torch.zeros(2 * m, 4))
    assert taken == [form.__name__ for form in FORMS]


def test_dense_is_for_small_graphs_and_sparse_for_very_many_relations():
    def cheapest(triples, entities, relations, width=100):
        graph = MessageGraph.of(*random_graph(0, triples, entities, relations))
        costs = estimate(graph, 4, width, width)
        return min(costs, key=costs.get)

    assert cheapest(5000, 135, 46) is basis_first_dense
    assert cheapest(20000, 5000, 20) is grouped
    assert cheapest(5000, 2000, 3000) is basis_first_sparse


def test_rows_number_the_smaller_side_of_each_relation():
    # relation 0 has two tails, 1 two of each, 2 nothing, 3 two heads; the gap is padding
    plan = Plan.make(MessageGraph.of(TOY, NUM_ENTITIES, NUM_RELATIONS), torch.float32)
    rows = (plan.collect.pointers.diff() > 0).sum()
    assert rows == 2 * (2 + 2 + 0 + 2)


def test_padding_stays_within_an_eighth_or_eight_rows_a_type():
    triples, n, m = random_graph(triples=20000, entities=3000)
    plan = Plan.make(MessageGraph.of(triples, n, m), torch.float32)
    filled = plan.collect.pointers.diff() > 0
    for bucket in plan.buckets:
        by_type = filled[bucket.rows].view(bucket.etypes.stop - bucket.etypes.start, -1)
        length = by_type.shape[1]
        assert (length - by_type.sum(1) <= max(8, length // 8)).all()


def test_a_plan_is_made_once():
    messages = MessageGraph.of(TOY, NUM_ENTITIES, NUM_RELATIONS)
    assert Plan.of(messages, torch.float32) is Plan.of(messages, torch.float32)


@pytest.mark.parametrize("kind", ["bases", "full"])
def test_no_messages_leave_zeros(kind):
    matrices, coefficients = weights(2, kind)
    nothing = MessageGraph.of(torch.empty(0, 3, dtype=torch.int64), 5, 2)
    out = propagate(leaf(5, 6), nothing, matrices, coefficients)
    assert torch.equal(out, torch.zeros(5, 4, dtype=torch.float64))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is present")
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_cuda_gives_what_cpu_gives(form):
    triples, n, m = random_graph()
    results = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        inputs = [
            torch.randn(shape, dtype=torch.float64).to(device).requires_grad_()
            for shape in ((n, 16), (4, 1, 16, 16), (2 * m, 4))
        ]
        messages = MessageGraph.of(triples, n, m).to(device)
        out = form(inputs[0], messages, *inputs[1:])
        grads = torch.autograd.grad(out.square().sum(), inputs)
        results.append([t.detach().cpu() for t in (out, *grads)])
    for cpu, cuda in zip(*results, strict=True):
        torch.testing.assert_close(cpu, cuda)
