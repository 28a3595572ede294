"""Generator, FiLM and discriminator, one by one."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dans.models.embedding_tables import freeze
from dans.samplers import DANS
from dans.samplers.dans.networks import (
    BatchNorm,
    Discriminator,
    FiLM,
    Generator,
    SideNorm,
    norm_penalty,
    squared_penalty,
)
from dans.samplers.dans.sampler import PRESETS

DIM = 6


def generator(**given: Any) -> Generator:
    torch.manual_seed(0)
    return Generator(DIM, **{"norm": "layer", "output": "linear", "init": "default", **given})


def draws(rows: int, k: int = 3) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(rows, k, DIM), torch.rand(rows, k) < 0.5


def size(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def test_parts_have_the_published_sizes() -> None:
    sampler = DANS(100, **PRESETS["code"])
    for pathway in sampler.pathways.values():
        assert size(pathway.generator.parameters()) == 30_700
        assert pathway.film is not None
        assert size(pathway.film.buffers()) == 80_000
    assert size(sampler.discriminator.trunk.parameters()) == 6_682
    assert size(sampler.discriminator.adversarial.parameters()) == 673
    assert sampler.discriminator.auxiliary is not None
    assert size(sampler.discriminator.auxiliary.buffers()) == 673


def test_the_published_film_is_kept_and_never_trained() -> None:
    sampler = DANS(DIM, **PRESETS["code"])
    assert not any("film" in name for name, _ in sampler.named_parameters())
    assert any("film" in name for name in sampler.state_dict())


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
def test_a_row_does_not_depend_on_its_batch_in_evaluation(norm: str) -> None:
    network = generator(norm=norm)
    prior, side = draws(5)
    network(prior, side)
    network.eval()
    together = network(prior, side)
    for i in range(5):
        torch.testing.assert_close(network(prior[i : i + 1], side[i : i + 1])[0], together[i])


def test_the_published_norm_makes_it_depend() -> None:
    network = generator(norm="batch_code").eval()
    prior, side = draws(5)
    alone = network(prior[:1], side[:1])[0]
    assert not torch.allclose(alone, network(prior, side)[0], atol=1e-3)


def test_the_published_norm_is_batch_norm_of_each_side_with_its_epsilon() -> None:
    x, side = torch.randn(40, DIM) * 3 + 1, torch.arange(40) % 3 == 0
    theirs = nn.BatchNorm1d(DIM, eps=0.8)
    ours = SideNorm(DIM)(x, side)
    for which in (side, ~side):
        torch.testing.assert_close(ours[which], theirs(x[which]))


def test_batch_norm_takes_one_row() -> None:
    norm = BatchNorm(DIM)
    norm(torch.randn(20, DIM))
    x = torch.randn(1, DIM)
    training = norm(x)
    assert torch.equal(training, norm.eval()(x))


def test_film_starts_as_no_film_and_without_penalty() -> None:
    film, network = FiLM(DIM, DIM, residual=True), generator()
    prior, side = draws(4)
    modulation = film(prior)
    assert torch.equal(network(prior, side, modulation), network(prior, side))
    assert squared_penalty(modulation) == 0
    assert norm_penalty(modulation) == 0


def test_the_published_film_starts_far_from_no_film() -> None:
    torch.manual_seed(0)
    factor, _ = FiLM(100, 100, residual=False)(torch.randn(500, 100) * 0.6)[0]
    assert 0.0 < factor.mean() < 0.2


def test_film_adapts_every_hidden_layer_and_not_the_last() -> None:
    film, network = FiLM(DIM, DIM, layers=3, residual=True), generator(layers=3, output="linear")
    prior, side = draws(4)
    modulation = film(prior)
    assert len(modulation) == len(network.hidden) == 3
    plain = network(prior, side, modulation)
    for layer in range(3):
        changed = list(modulation)
        changed[layer] = (modulation[layer][0], modulation[layer][1] + 1)
        assert not torch.allclose(network(prior, side, changed), plain)
    silent = [(torch.zeros_like(a), torch.zeros_like(b)) for a, b in modulation]
    silenced = network(prior, side, silent)
    torch.testing.assert_close(silenced, network.last.bias.expand_as(silenced))


def test_film_is_factor_times_activation_plus_shift() -> None:
    network = generator(norm="none", layers=1)
    prior, side = draws(2)
    factor, shift = torch.randn_like(prior), torch.randn_like(prior)
    hidden = nn.functional.leaky_relu(
        prior @ network.hidden[0].weight.T + network.hidden[0].bias, 0.2
    )
    expected = (hidden * factor + shift) @ network.last.weight.T + network.last.bias
    torch.testing.assert_close(network(prior, side, [(factor, shift)]), expected)


def test_penalties_are_what_they_say() -> None:
    a, b = torch.tensor([[3.0, 1.0], [1.0, 1.0]]), torch.tensor([[0.0, 0.0], [0.0, 4.0]])
    modulation = [(a, b), (torch.ones(2, 2), torch.zeros(2, 2))]
    assert squared_penalty(modulation) == 4 / 2 + 16 / 2
    assert norm_penalty(modulation) == (2 + 4) / 4


def test_penalties_have_finite_gradients_where_they_vanish() -> None:
    for penalty in (squared_penalty, norm_penalty):
        film = FiLM(DIM, DIM, residual=True)
        penalty(film(torch.randn(4, DIM))).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in film.parameters())


def test_tanh_cannot_leave_its_box_and_the_others_can() -> None:
    prior, side = draws(50)
    reach = {}
    for output in ("tanh", "scaled_tanh", "linear", "residual"):
        network = generator(output=output)
        with torch.no_grad():
            network.last.bias.fill_(30.0)
            network.reach.fill_(7.0)
        reach[output] = float(network(prior, side).detach().abs().max())
    assert reach["tanh"] <= 1
    assert 6 < reach["scaled_tanh"] <= 7
    assert reach["linear"] > 7
    assert reach["residual"] > 7


def test_scaled_tanh_follows_the_range_of_entities_in_training_alone() -> None:
    network, entities = generator(output="scaled_tanh"), torch.full((100, DIM), -4.0)
    for _ in range(60):
        network.observe(entities)
    assert network.reach == pytest.approx(4.0, rel=0.02)
    network.eval().observe(entities * 10)
    assert network.reach == pytest.approx(4.0, rel=0.02)


def test_a_residual_generator_starts_near_its_prior() -> None:
    network = generator(output="residual", init="orthogonal")
    prior, side = draws(50)
    departure = (network(prior, side) - prior).norm() / prior.norm()
    assert 0 < departure < 0.05


def test_orthogonal_weights_are() -> None:
    for linear in generator(init="orthogonal").hidden:
        torch.testing.assert_close(linear.weight @ linear.weight.T, torch.eye(DIM))


def test_freezing_keeps_the_function_and_drops_the_parameters() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    x = torch.randn(4, 2)
    before = network(x)
    freeze(network)
    assert not list(network.parameters())
    assert torch.equal(network(x), before)
    assert not network(x).requires_grad


@pytest.mark.parametrize("stacked", [False, True])
def test_a_discriminator_asks_both_queries_of_one_trunk(stacked: bool) -> None:
    discriminator, x = Discriminator(DIM, stacked=stacked), torch.randn(2, 3, DIM)
    real, which = discriminator.both(x)
    assert real.shape == which.shape == (2, 3)
    torch.testing.assert_close(discriminator(x), real)
    assert not torch.allclose(real, which)


def test_stacked_heads_are_one_linear_map() -> None:
    head = Discriminator(DIM, stacked=True).adversarial
    x, y = torch.randn(2, 5, 32)
    torch.testing.assert_close(head(x) + head(y), head(x + y) + head(torch.zeros(5, 32)))


def test_the_gradient_penalty_is_half_the_mean_squared_gradient() -> None:
    torch.manual_seed(0)
    discriminator, x = Discriminator(DIM).double(), torch.randn(5, DIM, dtype=torch.double)
    steps = 1e-6 * torch.eye(DIM, dtype=torch.double)
    slopes = torch.stack(
        [(discriminator(x + step) - discriminator(x - step)) / 2e-6 for step in steps]
    )
    expected = slopes.square().sum(0).mean() / 2
    torch.testing.assert_close(discriminator.gradient_penalty(x), expected, rtol=1e-5, atol=0)


def test_the_gradient_penalty_moves_the_discriminator() -> None:
    discriminator = Discriminator(DIM, auxiliary=False)
    discriminator.gradient_penalty(torch.randn(5, DIM)).backward()
    weight = discriminator.trunk[0].weight
    assert isinstance(weight, Tensor)
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0
