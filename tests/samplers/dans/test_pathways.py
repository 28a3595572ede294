"""The two pathways: where they start, how far they draw, what they are told.

Letters and numbers in brackets are the points of the method's reference.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.decoders import DECODERS
from dans.samplers import DANS
from dans.samplers.dans.pathways import PathwayOptions, RelationPathway, pick
from tests.suites.samplers import DIM, move, named, seeded, triples_as_vectors


def test_the_pathways_start_from_the_kept_entity_and_from_the_query(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg, "complex")
    sampler = seeded()
    assert sampler.entity_pathway is not None
    assert sampler.relation_pathway is not None
    entity, relation = (pathway.centres(positives) for pathway in sampler.pathways.values())
    assert torch.equal(entity, torch.stack((positives.h, positives.t), 1))
    assert torch.equal(relation, torch.stack((positives.tail_query, positives.head_query), 1))


def test_sides_are_picked_row_by_row() -> None:
    pairs = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])
    side = torch.tensor([[False, True, True], [True, False, False]])
    assert pick(pairs, side).squeeze(-1).tolist() == [[1, 2, 2], [4, 3, 3]]


def test_one_fake_of_a_pathway_is_adapted_as_many_are(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg)
    sampler = seeded(sides="bit")
    move(named(sampler, "entity_pathway"), positives, times=3)
    pathway, side = sampler.pathways["entity"], torch.rand(len(positives), 4) < 0.5
    centres = pathway.centres(positives)
    many = pathway.modulate(centres, side)
    assert many is not None
    for j in range(4):
        one = pathway.modulate(centres, side[:, j : j + 1])
        assert one is not None
        for (factor, shift), (factors, shifts) in zip(one, many, strict=True):
            torch.testing.assert_close(factor, factors[:, j : j + 1])
            torch.testing.assert_close(shift, shifts[:, j : j + 1])


@pytest.mark.parametrize("scale", ["absolute", "relative"])
def test_draws_diversity_as_the_noise_says(scale: str, kg: KnowledgeGraph) -> None:
    _, table, _ = triples_as_vectors(kg)
    with torch.no_grad():
        table.mul_(torch.arange(1.0, DIM + 1))
    sampler = seeded(noise=0.5, noise_scale=scale)
    diversity = sampler.pathways["entity"].diversity(table.detach())
    expected = 0.5 if scale == "absolute" else 0.5 * table.detach().std(0, unbiased=False)
    torch.testing.assert_close(torch.as_tensor(diversity), torch.as_tensor(expected))


@pytest.mark.parametrize("decoder", sorted(DECODERS))
@pytest.mark.parametrize("head_query", ["decoder", "learned"])
def test_heads_start_as_far_out_as_tails(decoder: str, head_query: str, kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg, decoder, dim=32)
    sampler = DANS(32, head_query=head_query, num_relations=kg.num_relations)
    tails, heads = sampler.pathways["relation"].centres(positives).norm(dim=-1).unbind(1)
    ratio = (heads / tails).median()
    # SimplE halves what it multiplies, so its queries lie twice as near as DistMult's.
    assert 0.2 < ratio < 8


@pytest.mark.parametrize("head_query", ["decoder", "learned"])
def test_a_relation_of_zeros_gives_finite_priors_and_gradients(
    head_query: str, kg: KnowledgeGraph
) -> None:
    positives, table, scorer = triples_as_vectors(kg)
    with torch.no_grad():
        scorer.relation.weight[0, :4] = 0
    heads, relations, tails = kg.train.unbind(-1)
    r = scorer.relation(relations)
    positives = replace(
        positives,
        r=r,
        tail_query=scorer.tail_query(table[heads], r),
        head_query=scorer.head_query(r, table[tails]),
    )
    sampler = seeded(head_query=head_query, num_relations=kg.num_relations, detach=False)
    negatives = sampler(positives)
    assert negatives.embeddings.isfinite().all()
    negatives.embeddings.square().sum().backward(inputs=[table, scorer.relation.weight])
    assert table.grad is not None
    assert table.grad.isfinite().all()
    assert scorer.relation.weight.grad is not None
    assert scorer.relation.weight.grad.isfinite().all()


def pathway_of(head_query: str) -> RelationPathway:
    options = PathwayOptions(
        noise=0.01,
        noise_scale="absolute",
        film="none",
        sides="shared",
        norm="none",
        output="linear",
        init="default",
    )
    return RelationPathway(DIM, options, head_query=head_query, num_relations=3)


def test_the_published_reciprocal_throws_heads_far_out(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg)
    torch.testing.assert_close(
        pathway_of("reciprocal").centres(positives)[:, 1], positives.t / positives.r
    )
    near_zero = replace(positives, r=torch.full_like(positives.r, 1e-5))
    assert pathway_of("reciprocal").centres(near_zero)[:, 1].norm() > 1e4


def test_the_reciprocal_of_a_rotation_is_the_decoders_query(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg, "rotate")
    centres = pathway_of("reciprocal").centres(positives)
    assert torch.equal(centres[:, 1], positives.head_query)


def test_a_reciprocal_needs_a_vector_to_take_it_of(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg)
    with pytest.raises(InputError, match="reciprocal needs relation embeddings as wide"):
        pathway_of("reciprocal").centres(replace(positives, r=torch.ones(len(positives), 3)))


def test_a_learned_inverse_belongs_to_the_relation_pathway(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg)
    sampler = seeded(head_query="learned", num_relations=kg.num_relations)
    pathway = sampler.relation_pathway
    assert pathway is not None
    assert pathway.inverse is not None
    assert any(p is pathway.inverse for p in named(sampler, "relation_pathway").parameters)
    with torch.no_grad():
        pathway.inverse[int(kg.train[0, 1])] = 2.0
    torch.testing.assert_close(pathway.centres(positives)[0, 1], 2 * positives.t[0])


def test_a_side_bit_adds_its_weights_and_nothing_by_default() -> None:
    def count(**given: Any) -> int:
        return sum(parameter.numel() for parameter in seeded(**given).parameters())

    assert count() == count(sides="shared")
    assert count(sides="bit") - count() == 2 * 4 * 100


def test_only_a_side_bit_tells_heads_from_tails(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg)
    mirrored = replace(positives, t=positives.h)
    for sides, same in (("shared", True), ("bit", False)):
        sampler = seeded(sides=sides, noise=0.0)
        move(named(sampler, "entity_pathway"), positives, times=3)
        side = torch.tensor([[False, True]]).expand(len(positives), 2)
        tails, heads = sampler.pathways["entity"](mirrored, side)[0].unbind(1)
        assert torch.allclose(tails, heads, atol=1e-6) == same
