"""The two pathways: where they start, how far they draw, what they are given."""

from dataclasses import replace

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.models.batch import Positives, Proposal
from dans.models.decoders import DECODERS
from dans.samplers import DANS
from dans.samplers.dans.pathways import modulate, pick
from tests.suites.samplers import DIM, named, seeded, triples_as_embeddings, update


def test_the_pathways_start_from_the_kept_entity_and_from_the_query(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg, "complex")
    sampler = seeded()
    entity, relation = (pathway.centres(positives) for pathway in sampler.pathways.values())
    assert torch.equal(entity, torch.stack((positives.h, positives.t), 1))
    assert torch.equal(relation, torch.stack((positives.tail_query, positives.head_query), 1))


def test_sides_are_picked_row_by_row() -> None:
    pairs = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])
    side = torch.tensor([[False, True, True], [True, False, False]])
    assert pick(pairs, side).squeeze(-1).tolist() == [[1, 2, 2], [4, 3, 3]]


def test_one_negative_of_a_pathway_is_adapted_as_many_are(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = seeded()
    update(named(sampler, "entity_pathway"), positives, times=3)
    pathway, side = sampler.pathways["entity"], torch.rand(len(positives), 4) < 0.5
    centres = pathway.centres(positives)
    many = modulate(pathway.film, centres, side)
    for j in range(4):
        one = modulate(pathway.film, centres, side[:, j : j + 1])
        for (factor, shift), (factors, shifts) in zip(one, many, strict=True):
            torch.testing.assert_close(factor, factors[:, j : j + 1])
            torch.testing.assert_close(shift, shifts[:, j : j + 1])


@pytest.mark.parametrize("scale", ["absolute", "relative"])
def test_draws_deviate_as_the_noise_says(scale: str, kg: KnowledgeGraph) -> None:
    positives, table, _ = triples_as_embeddings(kg)
    with torch.no_grad():
        table.mul_(torch.arange(1.0, DIM + 1))
    sampler = seeded(noise=0.5, noise_scale=scale)
    deviation = sampler.pathways["entity"].deviation(positives.detach())
    expected = 0.5 if scale == "absolute" else 0.5 * table.detach().std(0, unbiased=False)
    torch.testing.assert_close(torch.as_tensor(deviation), torch.as_tensor(expected))


def test_deviation_is_that_of_entities_from_all_of_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dans.samplers.dans.pathways.SAMPLED", 4)
    table = torch.arange(12.0).square().unsqueeze(1).expand(12, DIM)
    pathway = seeded(noise=0.5, noise_scale="relative").pathways["entity"]
    positives = Positives.from_embeddings(torch.tensor([[0, 0, 1]]), table)
    found = pathway.deviation(positives)
    expected = 0.5 * torch.tensor([0.0, 9.0, 36.0, 81.0]).std(unbiased=False)
    torch.testing.assert_close(found, expected.expand(DIM))
    pool = torch.tensor([0, 3, 6, 9])
    drawn = pathway.deviation(replace(positives, proposal=Proposal(shared=pool)))
    torch.testing.assert_close(drawn, expected.expand(DIM))


@pytest.mark.parametrize("decoder", sorted(DECODERS))
def test_heads_start_as_far_out_as_tails(decoder: str, kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg, decoder, dim=32)
    tails, heads = DANS(32).pathways["relation"].centres(positives).norm(dim=-1).unbind(1)
    ratio = (heads / tails).median()
    # SimplE halves what it multiplies, so its queries lie twice as near as DistMult's.
    assert 0.2 < ratio < 8
