"""Optimizers move the rows a step touches, with the numbers of torch's dense ones."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dans.config.schema import TrainConfig
from dans.data.message_graph import MessageGraph
from dans.errors import InputError
from dans.models import RGCN, Lookup
from dans.models.decoders import DistMult
from dans.models.model import Model
from dans.training.checkpoint import load_state, save_state
from dans.training.optimizers import (
    LazyAdam,
    MeanAdagrad,
    RowAdagrad,
    build_optimizer,
    clip,
    groups_of,
)
from dans.training.optimizers import descend as descend_once
from tests.suites.states import states_equal

Parameters = Iterable[nn.Parameter]

#: Which rows each step touches: some in every step, some with rests of one or more, one never.
STEPS = [[0, 2, 5], [0, 1], [0, 5, 6], [0], [0, 1, 2], [0, 2, 5, 6]]
ROWS, WIDTH = 8, 5


def adagrad(parameters: Parameters) -> torch.optim.Optimizer:
    return RowAdagrad(parameters, lr=0.3, accumulator=0.1)


def lazy_adam(parameters: Parameters) -> torch.optim.Optimizer:
    return LazyAdam(parameters, lr=0.3, betas=(0.8, 0.95))


def torch_adagrad(parameters: Parameters) -> torch.optim.Optimizer:
    return torch.optim.Adagrad(parameters, lr=0.3, initial_accumulator_value=0.1)


def mean_adagrad(parameters: Parameters) -> torch.optim.Optimizer:
    return MeanAdagrad(parameters, lr=0.3, accumulator=0.1)


def torch_adam(parameters: Parameters) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=0.3, betas=(0.8, 0.95))


Make = Callable[[Parameters], torch.optim.Optimizer]
OURS_AND_TORCHS = [(adagrad, torch_adagrad), (lazy_adam, torch_adam)]


def table(seed: int = 0) -> nn.Parameter:
    torch.manual_seed(seed)
    return nn.Parameter(torch.randn(ROWS, WIDTH))


def weights(step: int, rows: int) -> Tensor:
    torch.manual_seed(100 + step)
    return torch.randn(rows, WIDTH)


def descend(
    weight: nn.Parameter,
    optimizer: torch.optim.Optimizer,
    *,
    sparse: bool,
    steps: Iterable[int] = range(len(STEPS)),
) -> None:
    """Steps whose gradients are zero but in the rows they touch."""
    for step in steps:
        ids = STEPS[step]
        optimizer.zero_grad()
        embeddings = F.embedding(torch.tensor(ids), weight, sparse=sparse)
        # Of very different sizes, as gradients are.
        (embeddings * weights(step, len(ids)) * 10.0**-step).sum().backward()
        assert weight.grad is not None
        assert weight.grad.is_sparse == sparse
        optimizer.step()


@pytest.mark.parametrize(("ours", "torchs"), OURS_AND_TORCHS)
@pytest.mark.parametrize("shape", [(), (7,), (8, 5), (2, 3, 4, 5)])
def test_dense_gradients_move_as_under_torch(
    ours: Make, torchs: Make, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    one = nn.Parameter(torch.randn(shape))
    other = nn.Parameter(one.detach().clone())
    moving, expected = ours([one]), torchs([other])
    for _ in range(5):
        one.grad = torch.randn(shape)
        other.grad = one.grad.clone()
        moving.step()
        expected.step()
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_sparse_adagrad_equals_the_dense_one_everywhere() -> None:
    rows, all_of_it = table(), table()
    sparse, dense = adagrad([rows]), torch_adagrad([all_of_it])
    descend(rows, sparse, sparse=True)
    descend(all_of_it, dense, sparse=False)
    torch.testing.assert_close(rows, all_of_it, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(
        sparse.state[rows]["sum"], dense.state[all_of_it]["sum"], rtol=1e-6, atol=0
    )


def test_mean_adagrad_has_one_number_for_each_row() -> None:
    rows, whole = table(), table()
    ours, torchs = mean_adagrad([rows]), torch_adagrad([whole])
    expected, sums = rows.detach().clone(), torch.full((ROWS,), 0.1)
    for step, ids in enumerate(STEPS):
        gradient = torch.zeros(ROWS, WIDTH).index_add(
            0, torch.tensor(ids), weights(step, len(ids)) * 10.0**-step
        )
        sums += gradient.square().mean(1)
        expected -= 0.3 * gradient / (sums.sqrt().unsqueeze(1) + 1e-10)
    descend(rows, ours, sparse=True)
    torch.testing.assert_close(rows.detach(), expected)
    assert ours.state[rows]["sum"].shape == (ROWS, 1)
    # Of dense gradients it is Adagrad.
    dense = table()
    descend(dense, mean_adagrad([dense]), sparse=False)
    descend(whole, torchs, sparse=False)
    torch.testing.assert_close(dense, whole)


def test_lazy_moments_are_those_of_adam_on_touched_rows() -> None:
    rows, all_of_it = table(), table()
    sparse, dense = lazy_adam([rows]), torch_adam([all_of_it])
    descend(rows, sparse, sparse=True)
    descend(all_of_it, dense, sparse=False)
    last = STEPS[-1]
    ours, theirs = sparse.state[rows], dense.state[all_of_it]
    torch.testing.assert_close(ours["mean"][last], theirs["exp_avg"][last], rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(
        ours["square"][last], theirs["exp_avg_sq"][last], rtol=1e-5, atol=1e-12
    )
    # A row at rest keeps its moments until it is touched: they are those of its last touch.
    assert not torch.allclose(ours["mean"][1], theirs["exp_avg"][1], rtol=1e-3)
    assert ours["touched"].flatten().tolist() == [6, 5, 6, 0, 0, 6, 6, 0]


def test_a_row_touched_in_every_step_goes_the_way_of_adam() -> None:
    rows, all_of_it = table(), table()
    descend(rows, lazy_adam([rows]), sparse=True)
    descend(all_of_it, torch_adam([all_of_it]), sparse=False)
    torch.testing.assert_close(rows[0], all_of_it[0], rtol=1e-6, atol=1e-7)
    assert not torch.allclose(rows[1], all_of_it[1], rtol=1e-3)


@pytest.mark.parametrize("ours", [adagrad, mean_adagrad, lazy_adam])
def test_untouched_rows_stay_to_the_bit(ours: Make) -> None:
    rows = table()
    optimizer = ours([rows])
    for step, ids in enumerate(STEPS):
        before = rows.detach().clone()
        kept = {k: v.clone() for k, v in optimizer.state[rows].items() if isinstance(v, Tensor)}
        optimizer.zero_grad()
        embeddings = F.embedding(torch.tensor(ids), rows, sparse=True)
        (embeddings * weights(step, len(ids))).sum().backward()
        optimizer.step()
        resting = [row for row in range(ROWS) if row not in ids]
        assert torch.equal(rows[resting], before[resting])
        assert bool((rows[ids] != before[ids]).all())
        for name, old in kept.items():
            assert torch.equal(optimizer.state[rows][name][resting], old[resting])


@pytest.mark.parametrize("ours", [adagrad, lazy_adam])
@pytest.mark.parametrize("ids", [[6, 1, 3], [3, 3, 1], [2, 2, 2]])
def test_rows_may_come_in_any_order_and_twice(ours: Make, ids: list[int]) -> None:
    # In the first step no row has rested, so that the dense method is the same one.
    rows, all_of_it = table(), table()
    for weight, sparse in ((rows, True), (all_of_it, False)):
        optimizer = ours([weight])
        embeddings = F.embedding(torch.tensor(ids), weight, sparse=sparse)
        (embeddings * weights(0, len(ids))).sum().backward()
        optimizer.step()
    touched = sorted(set(ids))
    torch.testing.assert_close(rows[touched], all_of_it[touched], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("ours", [adagrad, mean_adagrad, lazy_adam])
def test_gradients_that_share_their_memory_are_taken(ours: Make) -> None:
    rows = table()
    before = rows.detach().clone()
    optimizer = ours([rows])
    # The gradient of a sum is one number, seen as many.
    F.embedding(torch.tensor([1, 2]), rows, sparse=True).sum().backward()
    clip([rows], 1.0)
    optimizer.step()
    moved = (rows - before)[[1, 2]]
    assert bool((moved < -0.1).all())
    torch.testing.assert_close(moved, moved[0, 0].expand_as(moved))


def test_after_a_rest_a_dense_gradient_finds_the_moments_of_adam() -> None:
    rows, all_of_it = table(), table()
    sparse, dense = lazy_adam([rows]), torch_adam([all_of_it])
    descend(rows, sparse, sparse=True)
    descend(all_of_it, dense, sparse=False)
    for weight, optimizer in ((rows, sparse), (all_of_it, dense)):
        weight.grad = weights(7, ROWS)
        optimizer.step()
    ours, theirs = sparse.state[rows], dense.state[all_of_it]
    torch.testing.assert_close(ours["mean"], theirs["exp_avg"], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(ours["square"], theirs["exp_avg_sq"], rtol=1e-5, atol=1e-8)
    assert bool((ours["touched"] == 7).all())


def test_without_memory_a_rest_leaves_nothing_behind() -> None:
    weight = table()
    descend(weight, LazyAdam([weight], lr=0.1, betas=(0.0, 0.0)), sparse=True)
    assert bool(weight.isfinite().all())


@pytest.mark.parametrize("ours", [adagrad, mean_adagrad, lazy_adam])
@pytest.mark.parametrize("stop", [0, 3])
def test_optimizers_go_on_from_a_file_to_the_bit(ours: Make, stop: int, tmp_path: Path) -> None:
    whole = table()
    unbroken = ours([whole])
    descend(whole, unbroken, sparse=True)

    first = table()
    before = ours([first])
    descend(first, before, sparse=True, steps=range(stop))
    save_state(tmp_path / "state", {"optimizer": before.state_dict(), "weight": first})
    state = load_state(tmp_path / "state")
    assert states_equal(state["optimizer"], before.state_dict())

    second = nn.Parameter(state["weight"])
    after = ours([second])
    after.load_state_dict(state["optimizer"])
    assert states_equal(after.state_dict(), before.state_dict())
    descend(second, after, sparse=True, steps=range(stop, len(STEPS)))
    assert torch.equal(second, whole)
    assert states_equal(after.state_dict(), unbroken.state_dict())


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("largest", [0.1, 1e6])
def test_clipping_is_that_of_torch_on_dense_gradients(largest: float, sparse: bool) -> None:
    def made(sparse: bool) -> list[nn.Parameter]:
        one, other, unused = table(), table(1), table(2)
        # Row 2 twice: the norm is that of the sum.
        embeddings = F.embedding(torch.tensor([2, 7, 2]), one, sparse=sparse)
        (embeddings.square().sum() + other.square().sum()).backward()
        return [one, other, unused]

    ours, theirs = made(sparse), made(False)
    clip(ours, largest)
    nn.utils.clip_grad_norm_(theirs, largest)
    for a, b in zip(ours[:2], theirs[:2], strict=True):
        assert a.grad is not None
        assert b.grad is not None
        grad = a.grad.to_dense() if a.grad.is_sparse else a.grad
        torch.testing.assert_close(grad, b.grad, rtol=1e-6 if sparse else 0, atol=0)
    assert ours[0].grad is not None
    assert ours[0].grad.is_sparse == sparse
    assert ours[2].grad is None


def test_each_descent_is_down_the_gradient_of_its_own_loss() -> None:
    weight = nn.Parameter(torch.tensor([3.0, -4.0]))
    optimizer = torch.optim.SGD([weight], lr=9.0)

    def refuse(norm: Tensor) -> None:
        raise AssertionError(norm)

    for factor, lr, expected in ((1.0, 0.5, [2.5, -4.5]), (2.0, 0.25, [2.0, -5.0])):
        descend_once(optimizer, factor * weight.sum(), lr=lr, check=refuse)
        assert weight.tolist() == expected
    # A gradient of (3, 4) has norm 5.
    loss = (weight * torch.tensor([3.0, 4.0])).sum()
    descend_once(optimizer, loss, lr=1.0, check=refuse, largest=2.5)
    assert weight.tolist() == pytest.approx([0.5, -7.0], rel=1e-5)


def test_a_descent_leaves_no_gradient_on_other_parameters() -> None:
    own, other = table(), table(1)
    optimizer = torch.optim.SGD([own], lr=1.0)
    descend_once(optimizer, (own * other).sum(), lr=1.0, check=lambda _: None)
    assert own.grad is not None
    assert other.grad is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("adam", torch.optim.Adam),
        ("adagrad", RowAdagrad),
        ("mean_adagrad", MeanAdagrad),
        ("lazy_adam", LazyAdam),
    ],
)
def test_a_configuration_names_an_optimizer(name: Any, kind: type) -> None:
    weight = table()
    assert type(build_optimizer([weight], TrainConfig(optimizer=name))) is kind


@pytest.mark.parametrize("name", ["adam", "adagrad", "lazy_adam"])
def test_layers_move_by_their_share_of_a_step(name: Any) -> None:
    messages = MessageGraph.of(torch.tensor([[0, 0, 1], [2, 0, 1]]), 3, 1)
    torch.manual_seed(0)
    start = Model(RGCN(3, 1, 4, dropout=0.0), DistMult(1, 4))

    def moved(factor: float) -> dict[str, Tensor]:
        """By how much each parameter moves in a step of rate .5."""
        model = deepcopy(start)
        optimizer = build_optimizer(groups_of(model, factor), TrainConfig(optimizer=name))
        loss = model.encode(messages).square().sum() + model.decoder.relation.weight.sum()
        descend_once(optimizer, loss, lr=0.5, check=lambda _: None)
        return {key: part - start.state_dict()[key] for key, part in model.state_dict().items()}

    alike, apart = moved(1.0), moved(0.125)
    assert sum("layers" in key for key in alike) == 8
    for key, before in alike.items():
        expected = 0.125 * before if "layers" in key else before
        torch.testing.assert_close(apart[key], expected, rtol=1e-4, atol=1e-6)
        assert before.abs().max() > 0


def test_a_rate_for_the_layers_of_a_lookup_is_refused() -> None:
    model = Model(Lookup(3, 4), DistMult(1, 4))
    assert groups_of(model, 1.0) == list(model.parameters())
    with pytest.raises(InputError, match=r"layer_lr: has no effect"):
        groups_of(model, 0.5)


def test_options_reach_the_optimizer() -> None:
    weight = table()
    adagrad = build_optimizer(
        [weight], TrainConfig(optimizer="adagrad", lr=0.5, accumulator=0.25)
    ).param_groups[0]
    assert (adagrad["lr"], adagrad["accumulator"]) == (0.5, 0.25)
    config = TrainConfig(optimizer="lazy_adam", lr=0.5, betas=(0.1, 0.2))
    lazy = build_optimizer([weight], config).param_groups[0]
    assert (lazy["lr"], lazy["betas"]) == (0.5, (0.1, 0.2))
