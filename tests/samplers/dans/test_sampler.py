"""The method itself: what it offers, and what a model learns from it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.published_dans import PublishedDANS
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.batch import Positives
from dans.samplers import DANS
from dans.samplers.dans.sampler import PRESETS
from tests.suites.samplers import (
    DIM,
    base_loss,
    gradient,
    named,
    offering,
    recorded,
    seeded,
    triples_as_embeddings,
    update,
)


def test_a_generated_negative_for_the_head_is_made_from_the_tail_and_one_for_the_tail_from_the_head(
    kg: KnowledgeGraph,
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = seeded(film="residual")
    for phase in sampler.phases():
        update(phase, positives, times=3)

    def generated(triples: Positives) -> tuple[Tensor, Tensor]:
        torch.manual_seed(1)
        negatives = sampler(triples)
        return negatives.embeddings, negatives.corrupt_head

    before, side = generated(positives)
    other = {
        "h": replace(positives, h=positives.h + 1, tail_query=positives.tail_query + 1),
        "t": replace(positives, t=positives.t + 1, head_query=positives.head_query + 1),
    }
    for changed, affected in (("h", ~side), ("t", side)):
        after, _ = generated(other[changed])
        differs = (after != before).any(-1)
        assert torch.equal(differs, affected), changed


def test_both_pathways_are_offered_k_times_each(
    monkeypatch: pytest.MonkeyPatch, kg: KnowledgeGraph
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = seeded(k=5)
    offering(monkeypatch, sampler, {"entity": 1, "relation": 2})
    offered = sampler(positives).embeddings[..., 0]
    assert offered.eq(1).sum(1).eq(5).all()
    assert offered.eq(2).sum(1).eq(5).all()


@pytest.mark.parametrize("pathways", ["entity", "relation"])
def test_one_pathway_alone_offers_as_many(pathways: str, kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    sampler = seeded(k=5, pathways=pathways)
    assert sampler(positives).embeddings.shape[1] == 10
    assert list(sampler.pathways) == [pathways]
    assert [phase.name for phase in sampler.phases()] == [f"{pathways}_pathway", "discriminator"]
    assert sampler.discriminator.auxiliary is None
    assert set(sampler.origins(positives)) == {f"{pathways} pathway"}


def test_embeddings_of_another_width_are_refused(kg: KnowledgeGraph) -> None:
    wide = Positives.from_embeddings(kg.train, torch.randn(kg.num_entities, 6))
    with pytest.raises(InputError, match="dim: 8 of the sampler, but 6 of the embeddings"):
        DANS(dim=8)(wide)
    with pytest.raises(InputError, match="of_ids has none"):
        DANS(dim=8)(Positives.of_ids(kg.train, kg.num_entities))


def test_film_that_starts_at_one_is_the_ablation_without(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    full, plain = seeded(film="residual"), seeded(film="none")
    plain.load_state_dict({k: v for k, v in full.state_dict().items() if ".film." not in k})
    drawn = []
    for sampler in (full, plain):
        torch.manual_seed(1)
        drawn.append(sampler(positives).embeddings)
    assert torch.equal(*drawn)


@pytest.mark.parametrize(("kind", "through"), [(DANS, False), (PublishedDANS, True)])
def test_the_model_is_taught_through_the_generator_by_the_published_program_alone(
    kind: type[DANS | PublishedDANS],
    through: bool,
    monkeypatch: pytest.MonkeyPatch,
    kg: KnowledgeGraph,
) -> None:
    gradients = []
    for seed in (1, 2):
        positives, table, scorer = triples_as_embeddings(kg)
        torch.manual_seed(seed)
        sampler = kind(DIM, k=3)
        for pathway in sampler.pathways.values():
            torch.manual_seed(7)
            fixed = torch.randn(len(positives), 3, DIM)

            def forward(
                triples: Positives,
                side: Tensor,
                own: Callable[..., tuple[Tensor, Any]] = pathway.forward,
                fixed: Tensor = fixed,
            ) -> tuple[Tensor, None]:
                made, _ = own(triples, side)
                return made - made.detach() + fixed, None

            monkeypatch.setattr(pathway, "forward", forward)
        torch.manual_seed(3)
        loss = base_loss(sampler, positives)
        gradients.append(gradient(loss, [table, scorer.relation.weight]))
    assert torch.allclose(*gradients, rtol=0, atol=1e-7 if through else 0) != through


def test_generated_negatives_push_no_entity_away(
    kg: KnowledgeGraph,
) -> None:
    _, table, scorer = triples_as_embeddings(kg)
    heads, relations, tails = kg.train.unbind(-1)
    h, t = (table[ids].detach().requires_grad_() for ids in (heads, tails))
    r = scorer.relation(relations)
    queries = {"tail_query": scorer.tail_query(h, r), "head_query": scorer.head_query(r, t)}
    positives = Positives(
        kg.train, h, r, t, **queries, entities=table, score_query=scorer.score_query
    )
    negatives = seeded(k=10)(positives)
    assert negatives.embeddings.shape[1] == 20
    scores = torch.nn.functional.softplus(negatives.scores(positives))
    side = negatives.corrupt_head
    of_heads = torch.autograd.grad(scores[side].sum(), [h, t], retain_graph=True, allow_unused=True)
    of_tails = torch.autograd.grad(scores[~side].sum(), [h, t], allow_unused=True)
    for replaced, kept in ((of_heads[0], of_heads[1]), (of_tails[1], of_tails[0])):
        assert replaced is None or not replaced.any()
        assert kept.any()


def test_snapped_negatives_are_the_nearest_entities(kg: KnowledgeGraph) -> None:
    positives, table, _ = triples_as_embeddings(kg)
    drawn = []
    for decode in ("vector", "nearest"):
        sampler = seeded(decode=decode, output="residual", noise=1.0)
        torch.manual_seed(1)
        drawn.append(sampler(positives))
    distances = torch.cdist(drawn[0].embeddings, table.detach())
    assert torch.equal(drawn[1].ids, distances.argmin(-1))
    assert torch.equal(drawn[1].embeddings, table[drawn[1].ids])


def test_snapped_to_others_they_are_neither_kept_nor_true(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    ids = seeded(decode="nearest_other", output="residual")(positives).ids
    assert not (ids.unsqueeze(-1) == kg.train[:, None, [0, 2]]).any()


@pytest.mark.parametrize("decode", ["nearest", "nearest_other"])
def test_few_candidates_are_those_drawn_and_the_triples_own(
    decode: str, kg: KnowledgeGraph
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    given = {"output": "residual", "noise": 2.0, "k": 20}
    ids = seeded(decode=decode, candidates=3, **given)(positives).ids
    own = (ids.unsqueeze(-1) == kg.train[:, None, [0, 2]]).any(-1)
    assert own.any() == (decode == "nearest")
    assert len(ids[~own].unique()) <= 3
    exact = seeded(decode=decode, **given)(positives)
    all_of_them = seeded(decode=decode, candidates=kg.num_entities, **given)(positives)
    assert torch.equal(exact.ids, all_of_them.ids)


def test_snapped_negatives_that_are_known_triples_can_be_masked(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    known = kg.known()
    given = {"decode": "nearest", "output": "residual", "noise": 2.0, "k": 20}
    negatives = seeded(filter="mask", known=known, **given)(positives)
    assert torch.equal(~negatives.valid, known.is_known(negatives.triples(kg.train)))
    assert not negatives.valid.all()


def test_a_checkpoint_of_0_1_loads(kg: KnowledgeGraph) -> None:
    sampler = seeded()
    old = {**sampler.state_dict(), "steps": torch.tensor(7)}
    torch.manual_seed(1)
    other = DANS(DIM)
    other.load_state_dict(old)
    positives, _, _ = triples_as_embeddings(kg)
    drawn = []
    for which in (sampler, other):
        torch.manual_seed(5)
        drawn.append(which(positives).embeddings)
    assert torch.equal(*drawn)


#: After three steps of the toy graph: the loss of each phase, then sum and sum of squares of what
#: is offered.
RECORDED = {
    "paper": [
        0.542472,
        0.562861,
        1.45785,
        145.343,
        356.389,
        0.550143,
        0.662225,
        1.39282,
        306.204,
        725.078,
        0.601667,
        0.621196,
        1.27445,
        158.707,
        854.312,
    ],
    "dans": [
        0.555683,
        0.689048,
        1.35749,
        24.8559,
        274.569,
        0.622512,
        0.73929,
        1.29862,
        29.765,
        297.74,
        0.601292,
        0.786057,
        1.23855,
        42.8718,
        246.011,
    ],
}


def test_generators_observe_heads_and_tails_alike(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    for side in ("h", "t"):
        sampler, other = seeded(), {"h": "t", "t": "h"}[side]
        high = {side: torch.full_like(positives.h, 5.0), other: torch.zeros_like(positives.h)}
        named(sampler, "entity_pathway").loss(replace(positives, **high))
        reach = sampler.pathways["entity"].generator.reach
        assert reach.item() == pytest.approx(1 + 0.1 * (5 - 1))


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_numbers_of_a_preset_are_what_they_were(preset: str, kg: KnowledgeGraph) -> None:
    assert recorded(seeded(k=2, **PRESETS[preset]), kg) == pytest.approx(
        RECORDED[preset], rel=1e-3, abs=1e-3
    )
