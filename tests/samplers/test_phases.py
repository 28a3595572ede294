"""What generators and discriminator learn, each in its turn."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.samplers.dans.diagnostics import warnings
from dans.samplers.dans.networks import film_penalty
from dans.samplers.dans.pathways import modulate
from dans.samplers.dans.sampler import PRESETS
from tests.suites.samplers import (
    DIM,
    gradient,
    named,
    offering,
    seeded,
    triples_as_embeddings,
    update,
)


def test_without_an_adversary_film_returns_to_none(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = seeded(film_weight=1.0)
    film = sampler.pathways["entity"].film
    with torch.no_grad():
        for parameter in film.parameters():
            parameter.normal_(std=0.1)
        for parameter in sampler.discriminator.adversarial.parameters():
            parameter.zero_()

    def sizes() -> list[Tensor]:
        modulation = film(positives.h.detach())
        norms = ((a - 1).norm().detach() for a, _ in modulation)
        return [*norms, *(b.norm().detach() for _, b in modulation)]

    phase = named(sampler, "entity_pathway")
    optimizer = torch.optim.SGD(phase.parameters, lr=0.01)
    sizes_before = sizes()
    for _ in range(20):
        optimizer.zero_grad()
        phase.loss(positives.detach()).backward(inputs=list(phase.parameters))
        optimizer.step()
        sizes_after = sizes()
        assert all(a < b for a, b in zip(sizes_after, sizes_before, strict=True))
        sizes_before = sizes_after


def test_a_heavy_penalty_gives_the_generator_without_film(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    departures = []
    for weight in (0.0, 1e4):
        sampler = seeded(film_weight=weight)
        phase = named(sampler, "entity_pathway")
        update(phase, positives, times=100, lr=0.003)
        pathway = sampler.pathways["entity"]
        side = torch.zeros(len(positives), 1, dtype=torch.bool)
        centres = pathway.centres(positives)
        prior = centres[:, :1]
        adapted = pathway.generator(prior, modulate(pathway.film, centres, side))
        departures.append(float((adapted - pathway.generator(prior)).norm().detach()))
    assert departures[1] < 0.1 * departures[0]


def test_where_the_discriminator_wins_a_generator_still_has_a_gradient(
    kg: KnowledgeGraph,
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = seeded(film_weight=0.0)
    with torch.no_grad():
        sampler.discriminator.adversarial[0].weight.mul_(0.01)
        sampler.discriminator.adversarial[0].bias.fill_(-3.5)
    phase = named(sampler, "entity_pathway")
    torch.manual_seed(1)
    ours = gradient(phase.loss(positives), phase.parameters).norm()
    torch.manual_seed(1)
    generated, _ = sampler.pathways["entity"](positives, sampler.coins(positives, 1))
    logits = sampler.discriminator(generated)
    saturating = gradient(-torch.nn.functional.softplus(logits).mean(), phase.parameters).norm()
    probability = logits.sigmoid().mean().detach()
    assert probability < 0.05
    torch.testing.assert_close(
        ours / saturating, (1 - probability) / probability, rtol=0.05, atol=0
    )
    assert ours / saturating > 10


def test_a_generator_learns_to_pass_for_an_entity(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = seeded()
    side = torch.rand(len(positives), 20) < 0.5
    for name, pathway in sampler.pathways.items():
        before = sampler.discriminator(pathway(positives, side)[0]).mean()
        update(named(sampler, f"{name}_pathway"), positives, times=30)
        assert sampler.discriminator(pathway(positives, side)[0]).mean() > before


def test_film_learns_from_the_first_step_of_its_generator(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    for name in ("entity", "relation"):
        sampler = seeded()
        film = sampler.pathways[name].film
        before = {key: value.clone() for key, value in film.state_dict().items()}
        update(named(sampler, f"{name}_pathway"), positives)
        moved = {k for k, v in film.state_dict().items() if not torch.equal(v, before[k])}
        # Last layers start at zero, so that FiLM starts as none; those before them follow.
        assert moved == {key for key in before if key.endswith("2.weight")}
        update(named(sampler, f"{name}_pathway"), positives)
        moved = {k for k, v in film.state_dict().items() if not torch.equal(v, before[k])}
        assert moved == set(before)


def test_the_discriminator_can_learn_the_pathway_by_heart(
    monkeypatch: pytest.MonkeyPatch, kg: KnowledgeGraph
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    many = positives.slice(0, 10)
    many = replace(
        many,
        **{
            name: getattr(many, name).repeat(5, *[1] * (getattr(many, name).ndim - 1))
            for name in ("triples", "h", "r", "t", "tail_query", "head_query")
        },
    ).detach()
    sampler = seeded()
    torch.manual_seed(1)
    generated = {"entity": torch.randn(50, DIM), "relation": torch.randn(50, DIM)}
    offering(monkeypatch, sampler, generated)
    update(named(sampler, "discriminator"), many, times=150, lr=0.03)
    right = (
        sampler.discriminator.both(generated["entity"])[1] > 0,
        sampler.discriminator.both(generated["relation"])[1] <= 0,
    )
    assert torch.cat(right).double().mean() > 0.95


def test_the_discriminator_learns_to_tell_generated_from_entities(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = seeded()
    before = sampler.diagnose(positives)["discriminator_auc"]
    update(named(sampler, "discriminator"), positives, times=100)
    after = sampler.diagnose(positives)
    assert after["discriminator_auc"] > max(before, 0.9)
    assert after["auxiliary_accuracy"] > 0.8


def test_the_discriminator_draws_fresh_negatives_for_each_of_its_updates(
    kg: KnowledgeGraph,
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = seeded(noise=1.0)
    assert sampler.discriminator_loss(positives) != sampler.discriminator_loss(positives)


def test_penalty_counts_the_sides_drawn(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = seeded(film_weight=2.0, output="residual")
    update(named(sampler, "entity_pathway"), positives, times=3)
    values = []
    for weight in (0.0, 2.0):
        sampler.film_weight = weight
        torch.manual_seed(1)
        values.append(sampler.generator_loss("entity", positives))
    torch.manual_seed(1)
    side = sampler.coins(positives, 1)
    pathway = sampler.pathways["entity"]
    modulation = modulate(pathway.film, pathway.centres(positives), side)
    torch.testing.assert_close(values[1] - values[0], 2 * film_penalty(modulation))


@pytest.mark.slow
def test_our_generators_neither_collapse_nor_explode(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = seeded(**PRESETS["dans"])
    rates = {"entity_pathway": 3e-4, "relation_pathway": 3e-4, "discriminator": 1e-3}
    optimizers = {
        phase.name: torch.optim.Adam(phase.parameters, lr=rates[phase.name], betas=(0.5, 0.999))
        for phase in sampler.phases()
    }
    for _ in range(300):
        for phase in sampler.phases():
            optimizers[phase.name].zero_grad()
            phase.loss(positives.detach()).backward(inputs=list(phase.parameters))
            optimizers[phase.name].step()
    found = warnings(sampler.diagnose(positives))
    assert not any("collapsed" in line or "exploded" in line for line in found)
