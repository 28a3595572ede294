"""Input embeddings from features: their formulas, on every way to compute them."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from dans.config.schema import Combine
from dans.data.message_graph import MessageGraph
from dans.data.neighbor_sampling import IncomingMessages
from dans.errors import InputError
from dans.models.encoders import Encoder, Lookup
from dans.models.features import FeaturedTable, FeatureInput
from dans.models.rgcn import RGCN

N, F, D, M = 12, 5, 4, 2
COMBINE: tuple[Combine, ...] = get_args(Combine)
WAYS = [(combine, hidden) for combine in COMBINE for hidden in (0, 7)]


def given(combine: Combine = "add", hidden: int = 0, *, scale: float = 1.0) -> FeatureInput:
    values = scale * torch.randn(N, F, generator=torch.Generator().manual_seed(1))
    present = torch.arange(N) != 3
    return FeatureInput(values * present[:, None], present, combine, hidden)


def table(combine: Combine, hidden: int = 0, **more: Any) -> FeaturedTable:
    torch.manual_seed(0)
    made = FeaturedTable(D, given(combine, hidden, **more))
    made.draw("normal", 1.0)
    return made


def triples() -> Tensor:
    torch.manual_seed(2)
    return torch.stack(
        (torch.randint(N, (30,)), torch.randint(M, (30,)), torch.randint(N, (30,))), 1
    )


@pytest.mark.parametrize(("combine", "hidden"), WAYS)
def test_rows_are_those_of_the_whole_and_all_parameters_move(combine: Combine, hidden: int) -> None:
    made, ids = table(combine, hidden), torch.tensor([3, 0, 7])
    torch.testing.assert_close(made.rows(ids), made.whole()[ids])
    weights = torch.randn(N, D)
    parameters = dict(made.named_parameters())
    grads = torch.autograd.grad((made.whole() * weights).sum(), list(parameters.values()))
    for name, grad in zip(parameters, grads, strict=True):
        assert bool(grad.any()), name


@pytest.mark.parametrize("combine", COMBINE)
def test_the_formulas(combine: Combine) -> None:
    made, x = table(combine), given().values
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    p = x @ made.projection + made.bias
    if combine == "only":
        assert made.missing is not None
        p[3] = made.missing
        expected = p
    else:
        assert made.table is not None
        e = made.table.whole()
        if combine == "add":
            expected = e + p
        elif combine == "concat":
            expected = torch.cat((e, x), 1) @ torch.cat((made.mixing, made.projection)) + made.bias
        else:
            z = torch.sigmoid(torch.cat((e, p), 1) @ made.mixing + made.gate_bias)
            expected = z * p + (1 - z) * e
    torch.testing.assert_close(made.whole(), expected)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("hidden", [0, 200])
def test_the_projection_starts_as_wide_as_a_table_whatever_the_scale(
    scale: float, hidden: int
) -> None:
    torch.manual_seed(0)
    made = FeaturedTable(400, given("only", hidden, scale=scale))
    made.draw("normal", 0.5)
    rows = made.whole()[made.present]
    assert rows.square().mean().sqrt().item() == pytest.approx(0.5, rel=0.15)


@pytest.mark.parametrize("combine", COMBINE)
@pytest.mark.parametrize("kind", [RGCN, Lookup])
def test_the_full_graph_some_rows_and_sampled_neighbors_agree(
    kind: type[Encoder], combine: Combine
) -> None:
    torch.manual_seed(0)
    sizes = {"num_relations": M} if kind is RGCN else {}
    encoder: Any = kind(num_entities=N, dim=D, features=given(combine), **sizes)  # type: ignore[call-arg]
    encoder = encoder.double().eval()
    encoder.entities.values = encoder.entities.values.double()
    graph, ids = (triples(), N, M, "relation"), torch.tensor([1, 3, 8])
    full = encoder(MessageGraph.of(*graph))
    torch.testing.assert_close(encoder.rows(MessageGraph.of(*graph), ids), full[ids])
    if kind is RGCN:
        messages = IncomingMessages(*graph)
        torch.testing.assert_close(encoder.sampled(messages.sample(ids, [0, 0])), full[ids])
        torch.testing.assert_close(encoder.in_pieces(messages), full)


def test_sparse_gradients_go_into_the_learned_rows() -> None:
    made = table("gate")
    assert made.table is not None
    made.rows(torch.tensor([2, 5]), sparse=True).sum().backward()
    grad = made.table.weight.grad
    assert grad is not None
    assert grad.is_sparse
    assert grad.coalesce().indices().flatten().tolist() == [2, 5]


@pytest.mark.parametrize("combine", COMBINE)
def test_other_entities_are_embedded_from_their_features(combine: Combine) -> None:
    made = table(combine)
    x = torch.randn(3, F)
    found = made.extended(x).whole()[N:]
    assert found.shape == (3, D)
    assert not torch.allclose(found, made.extended(2 * x).whole()[N:])
    if combine == "only":
        again = made.extended(given().values, given().present).whole()
        torch.testing.assert_close(again, made.whole().repeat(2, 1))
        without = made.extended(x, torch.tensor([True, False, True])).whole()
        assert torch.equal(without[N + 1 : N + 2], made.missing)
    with pytest.raises(InputError, match=r"expected \(u, 5\) numbers, got \(3, 4\)"):
        made.extended(x[:, 1:])


@pytest.mark.parametrize("combine", COMBINE)
@pytest.mark.parametrize("unseen", [0.0, 0.5, None])
def test_an_extended_encoder_has_the_rows_of_new_entities(
    combine: Combine, unseen: float | None
) -> None:
    """Those of a larger one whose learned rows are zeros, or learned; ``None``: of a lookup."""
    torch.manual_seed(0)
    if combine == "only" and unseen:
        with pytest.raises(InputError, match=r"unseen: has no effect with features.combine = only"):
            RGCN(N, M, D, features=given(combine), unseen=unseen)
        return
    known = given(combine)
    encoder: Any = Lookup(N, D, features=known)
    if unseen is not None:
        encoder = RGCN(N, M, D, features=known, unseen=unseen)
        for parameter in encoder.layers.parameters():
            parameter.data.normal_()
    if unseen:
        encoder.unseen_row.data.normal_()
    assert encoder.embeds_new
    before = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    x, present = torch.randn(3, F), torch.tensor([True, False, True])
    x[1] = 0
    found = encoder.extended(x, present).eval()
    both = FeatureInput(torch.cat((known.values, x)), torch.cat((known.present, present)), combine)
    larger = type(encoder)(N + 3, *[M] * (unseen is not None), D, features=both)
    row = encoder.unseen_row.data if unseen else torch.zeros(D)
    weights = {name: weight for name, weight in before.items() if name != "unseen_row"}
    if combine != "only":
        table = before["entities.table.weight"]
        weights["entities.table.weight"] = torch.cat((table, row.expand(3, -1)))
    larger.load_state_dict(weights)
    graph = torch.cat((triples(), torch.tensor([[N, 0, 2], [1, 1, N + 1]]))), N + 3, M, "relation"
    full = found(MessageGraph.of(*graph))
    torch.testing.assert_close(full, larger.eval()(MessageGraph.of(*graph)))
    if unseen is not None:
        ids, messages = torch.tensor([1, N, N + 2]), IncomingMessages(*graph)
        torch.testing.assert_close(found.in_pieces(messages), full)
        torch.testing.assert_close(found.sampled(messages.sample(ids, [0, 0])), full[ids])
    with torch.no_grad():
        for weight in found.state_dict().values():
            weight.add_(1)
    after = encoder.state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    assert len(encoder.entities.whole()) == N


def test_features_of_hidden_entities_stay() -> None:
    torch.manual_seed(0)
    encoder = RGCN(N, M, D, features=given("add"), unseen=1 - 1e-12)
    made = encoder.entities
    assert encoder.unseen_row is not None
    encoder.unseen_row.data.fill_(5.0)
    hidden = made.whole(encoder._hidden)
    torch.testing.assert_close(hidden, 5 + made.whole() - made.table.whole())
    ids = torch.tensor([4, 1])
    torch.testing.assert_close(made.rows(ids, hide=encoder._hidden), hidden[ids])
    assert torch.equal(made.rows(ids, hide=encoder.eval()._hidden), made.rows(ids))


def test_an_encoder_without_features_takes_none_of_new_entities() -> None:
    encoder = Lookup(N, D)
    assert not encoder.embeds_new
    with pytest.raises(InputError, match="features: the Lookup was built without; leave them out"):
        encoder.extended(torch.randn(1, F), torch.tensor([True]))


def test_checkpoints_hold_no_features() -> None:
    names = set(table("only").state_dict())
    assert names == {"missing", "projection", "bias"}


def test_options_are_checked() -> None:
    with pytest.raises(InputError, match=r"features.combine: known: add, .*; got 'sum'"):
        FeaturedTable(D, given("sum"))  # type: ignore[arg-type]
