"""The published program, its departures from the paper included.

Letters and numbers are those of the departures that ``baselines.published_dans`` lists.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines import assembly
from baselines.published_dans import (
    FrozenFiLM,
    PublishedDANS,
    SideNorm,
    StackedDiscriminator,
    freeze,
    relation_centres,
)
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.runs.train import configure, load
from dans.samplers.dans.diagnostics import warnings
from tests.suites.samplers import (
    DIM,
    named,
    offering,
    recorded,
    triples_as_embeddings,
    update,
)
from tests.suites.toy import RECIPE, lay


def published(**given: Any) -> PublishedDANS:
    """The sampler, always with the same weights."""
    torch.manual_seed(0)
    return PublishedDANS(DIM, **given)


def size(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def test_the_numbers_are_what_they_were_as_an_option_of_dans(kg: KnowledgeGraph) -> None:
    # The loss of each phase, then sum and sum of squares of what is offered.
    steps = [
        [0.645012, 0.649363, 0.053156, 24.1195, 37.3953],
        [2.61994, 3.44811, 3.23668e-06, 19.7275, 41.7408],
        [22.0536, 25.4691, 8.00088e-10, 24.8621, 44.023],
    ]
    expected = [number for step in steps for number in step]
    assert recorded(published(k=2), kg) == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_parts_have_the_published_sizes() -> None:
    sampler = PublishedDANS(100)
    for pathway in sampler.pathways.values():
        assert size(pathway.parameters()) == 30_700
        assert size(pathway.film.buffers()) == 80_000
    assert size(sampler.discriminator.trunk.parameters()) == 6_682
    assert size(sampler.discriminator.adversarial.parameters()) == 673
    assert sampler.discriminator.auxiliary is not None
    assert size(sampler.discriminator.auxiliary.buffers()) == 673


def test_one_update_of_a_generator_to_ten_of_the_discriminator() -> None:  # A11
    repeats = {phase.name: phase.repeats for phase in published().phases()}
    assert repeats == {"entity_pathway": 1, "relation_pathway": 1, "discriminator": 10}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"k": 0}, "k: expected at least 1"),
        ({"discriminator_repeats": 0}, "discriminator_repeats: expected at least 1"),
        ({"noise": -0.1}, "noise: must not be negative"),
        ({"noise": 1e12}, "noise: expected at most 1e\\+06"),
    ],
)
def test_wrong_options_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        published(**given)


def test_film_is_kept_and_never_trained() -> None:  # C2
    sampler = published()
    assert not any("film" in name for name, _ in sampler.named_parameters())
    assert any("film" in name for name in sampler.state_dict())


def test_film_starts_far_from_no_film() -> None:  # C2
    torch.manual_seed(0)
    factor, _ = FrozenFiLM(100)(torch.randn(500, 100) * 0.6)[0]
    assert 0.0 < factor.mean() < 0.2


def test_the_relation_pathway_is_offered_twice(  # C3
    monkeypatch: pytest.MonkeyPatch, kg: KnowledgeGraph
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = published(k=5)
    negatives = sampler(positives)
    assert torch.equal(negatives.embeddings[:, :5], negatives.embeddings[:, 5:])
    assert torch.equal(negatives.corrupt_head[:, :5], negatives.corrupt_head[:, 5:])
    assert set(sampler.origins(positives)) == {"relation pathway"}
    offering(monkeypatch, sampler, {"entity": 1, "relation": 2})
    assert sampler(positives).embeddings.eq(2).all()


def test_the_pathway_is_never_learnt_and_halves_the_loss_of_generated_negatives(  # C4
    monkeypatch: pytest.MonkeyPatch, kg: KnowledgeGraph
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = published()
    offering(monkeypatch, sampler, {"entity": 1, "relation": 2})
    before = {k: v.clone() for k, v in sampler.discriminator.state_dict().items()}
    update(named(sampler, "discriminator"), positives, times=3)
    after = sampler.discriminator.state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved == {key for key in before if not key.startswith("auxiliary")}
    real = torch.cat((positives.h, positives.t))
    logits = sampler.discriminator(torch.tensor([[1.0] * DIM, [2.0] * DIM]))
    softplus = torch.nn.functional.softplus
    expected = softplus(-sampler.discriminator(real)).mean() / 2 + softplus(logits).mean() / 4
    torch.testing.assert_close(sampler.discriminator_loss(positives), expected)


def test_the_norm_makes_a_row_depend_on_its_batch_in_evaluation_too() -> None:  # C6
    norm, x, side = SideNorm(DIM).eval(), torch.randn(5, 3, DIM), torch.rand(5, 3) < 0.5
    assert not torch.allclose(norm(x[:1], side[:1])[0], norm(x, side)[0], atol=1e-3)


def test_the_norm_is_batch_norm_of_each_side_with_its_epsilon() -> None:  # C6
    x, side = torch.randn(20, 2, DIM) * 3 + 1, (torch.arange(40) % 3 == 0).view(20, 2)
    theirs = nn.BatchNorm1d(DIM, eps=0.8)
    ours = SideNorm(DIM)(x, side)
    for which in (side, ~side):
        torch.testing.assert_close(ours[which], theirs(x[which]))


def test_generators_cannot_leave_the_box_of_tanh(kg: KnowledgeGraph) -> None:  # A7
    positives, _, _ = triples_as_embeddings(kg)
    sampler = published()
    with torch.no_grad():
        sampler.relation_pathway.last.bias.fill_(30.0)
    assert sampler(positives).embeddings.abs().max() <= 1


def test_the_noise_is_a_collapse(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    assert any("collapsed" in line for line in warnings(published().diagnose(positives)))


def test_stacked_heads_are_one_linear_map() -> None:
    head = StackedDiscriminator(DIM).adversarial
    x, y = torch.randn(2, 5, 32)
    torch.testing.assert_close(head(x) + head(y), head(x + y) + head(torch.zeros(5, 32)))


def test_the_reciprocal_throws_heads_far_out(kg: KnowledgeGraph) -> None:  # A4
    positives, _, _ = triples_as_embeddings(kg)
    torch.testing.assert_close(relation_centres(positives)[:, 1], positives.t / positives.r)
    near_zero = replace(positives, r=torch.full_like(positives.r, 1e-5))
    assert relation_centres(near_zero)[:, 1].norm() > 1e4


def test_the_reciprocal_of_a_rotation_is_the_decoders_query(kg: KnowledgeGraph) -> None:  # A4
    positives, _, _ = triples_as_embeddings(kg, "rotate")
    assert torch.equal(relation_centres(positives)[:, 1], positives.head_query)


def test_a_reciprocal_needs_an_embedding_to_take_it_of(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    with pytest.raises(InputError, match="needs relation embeddings as wide"):
        relation_centres(replace(positives, r=torch.ones(len(positives), 3)))


def test_a_recipe_chooses_it_where_baselines_are_given(tmp_path: Path) -> None:
    lay(tmp_path / "data")
    recipe = tmp_path / "own.toml"
    recipe.write_text(RECIPE.format(data=tmp_path / "data"))
    config = configure(recipe, ["sampler.0.name=published_dans"])
    assembly.train(config, tmp_path / "run")
    assert isinstance(load(tmp_path / "run", samplers=assembly.SAMPLERS).sampler, PublishedDANS)
    with pytest.raises(InputError, match="unknown name 'published_dans'"):
        _ = load(tmp_path / "run").sampler


def test_freezing_keeps_the_function_and_drops_the_parameters() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    x = torch.randn(4, 2)
    before = network(x)
    freeze(network)
    assert not list(network.parameters())
    assert torch.equal(network(x), before)
    assert not network(x).requires_grad
