"""Generator, FiLM and discriminator, one by one."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dans.samplers import DANS
from dans.samplers.dans.networks import (
    Discriminator,
    FiLM,
    Generator,
    film_penalty,
    orthogonal,
)

DIM = 6


def generator(**given: Any) -> Generator:
    torch.manual_seed(0)
    return Generator(DIM, **{"output": "scaled_tanh", **given})


def draws(rows: int, k: int = 3) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(rows, k, DIM)


def size(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def test_parts_have_the_published_sizes() -> None:
    sampler = DANS(100)
    for pathway in sampler.pathways.values():
        assert size(pathway.film.parameters()) == 80_000
        # Two layers of normalisation included.
        assert size(pathway.generator.parameters()) == 30_700
    assert size(sampler.discriminator.trunk.parameters()) == 6_682


def test_a_row_does_not_depend_on_its_batch() -> None:
    network, prior = generator(), draws(5)
    together = network(prior)
    for i in range(5):
        torch.testing.assert_close(network(prior[i : i + 1])[0], together[i])


def test_film_starts_as_no_film_and_without_penalty() -> None:
    film, network, prior = FiLM(DIM), generator(), draws(4)
    modulation = film(prior)
    assert torch.equal(network(prior, modulation), network(prior))
    assert film_penalty(modulation) == 0


def test_film_adapts_every_hidden_layer_and_not_the_last() -> None:
    film, network, prior = FiLM(DIM, layers=3), generator(layers=3), draws(4)
    modulation = film(prior)
    assert len(modulation) == len(network.hidden) == 3
    plain = network(prior, modulation)
    for layer in range(3):
        changed = list(modulation)
        changed[layer] = (modulation[layer][0], modulation[layer][1] + 1)
        assert not torch.allclose(network(prior, changed), plain)
    silent = [(torch.zeros_like(a), torch.zeros_like(b)) for a, b in modulation]
    silenced = network(prior, silent)
    torch.testing.assert_close(silenced, network.last.bias.tanh().expand_as(silenced))


def test_film_is_factor_times_activation_plus_shift() -> None:
    network, prior = generator(layers=1), draws(2)
    factor, shift = torch.randn_like(prior), torch.randn_like(prior)
    linear = prior @ network.hidden[0].weight.T + network.hidden[0].bias
    hidden = nn.functional.leaky_relu(nn.functional.layer_norm(linear, (DIM,)), 0.2)
    expected = (hidden * factor + shift) @ network.last.weight.T + network.last.bias
    torch.testing.assert_close(network(prior, [(factor, shift)]), expected.tanh())


def test_the_penalty_is_what_it_says() -> None:
    a, b = torch.tensor([[3.0, 1.0], [1.0, 1.0]]), torch.tensor([[0.0, 0.0], [0.0, 4.0]])
    modulation = [(a, b), (torch.ones(2, 2), torch.zeros(2, 2))]
    assert film_penalty(modulation) == 4 / 2 + 16 / 2


def test_scaled_tanh_cannot_leave_its_range_and_residual_can() -> None:
    reach = {}
    for output in ("scaled_tanh", "residual"):
        network = generator(output=output)
        with torch.no_grad():
            network.last.bias.fill_(30.0)
            network.reach.fill_(7.0)
        reach[output] = float(network(draws(50)).detach().abs().max())
    assert 6 < reach["scaled_tanh"] <= 7
    assert reach["residual"] > 7


def test_scaled_tanh_follows_the_range_of_entities_in_training_alone() -> None:
    network, entities = generator(output="scaled_tanh"), torch.full((100, DIM), -4.0)
    for _ in range(60):
        network.observe(entities)
    assert network.reach == pytest.approx(4.0, rel=0.02)
    network.eval().observe(entities * 10)
    assert network.reach == pytest.approx(4.0, rel=0.02)


def test_the_range_moves_a_tenth_of_the_way_at_each_step() -> None:
    network = generator(output="scaled_tanh")
    assert network.reach == 1
    for _ in range(3):
        network.observe(torch.full((100, DIM), -4.0))
    assert network.reach == pytest.approx(4 - 3 * 0.9**3, rel=1e-5)


def test_the_range_leaves_out_one_number_in_a_thousand() -> None:
    network = generator(output="scaled_tanh")
    network.observe(torch.arange(1.0, 2001).view(1000, 2))
    assert network.reach == pytest.approx(1 + 0.1 * (1998 - 1), rel=1e-5)


def test_a_residual_generator_starts_near_its_prior() -> None:
    network, prior = generator(output="residual"), draws(50)
    departure = (network(prior) - prior).norm() / prior.norm()
    assert 0 < departure < 0.05


def test_orthogonal_weights_are() -> None:
    discriminator = Discriminator(DIM)
    orthogonal(discriminator)
    trunk = discriminator.trunk[2].weight
    assert isinstance(trunk, Tensor)
    torch.testing.assert_close(trunk @ trunk.T, torch.eye(32), atol=1e-5, rtol=0)
    for linear in generator(output="residual").hidden:
        torch.testing.assert_close(linear.weight @ linear.weight.T, torch.eye(DIM))


def test_a_discriminator_has_two_heads_on_one_trunk() -> None:
    discriminator, x = Discriminator(DIM), torch.randn(2, 3, DIM)
    real, which = discriminator.both(x)
    assert real.shape == which.shape == (2, 3)
    torch.testing.assert_close(discriminator(x), real)
    assert not torch.allclose(real, which)


def test_the_gradient_penalty_is_half_the_mean_squared_gradient() -> None:
    torch.manual_seed(0)
    discriminator, x = Discriminator(DIM).double(), torch.randn(5, DIM, dtype=torch.double)
    steps = 1e-6 * torch.eye(DIM, dtype=torch.double)
    slopes = torch.stack(
        [(discriminator(x + step) - discriminator(x - step)) / 2e-6 for step in steps]
    )
    expected = slopes.square().sum(0).mean() / 2
    torch.testing.assert_close(discriminator.gradient_penalty(x), expected, rtol=1e-5, atol=0)
