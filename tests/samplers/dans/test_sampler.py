"""The method itself: what it offers, and what a model learns from it.

Letters and numbers in brackets are the points of the method's reference.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.models.batch import Positives
from dans.samplers import DANS
from dans.samplers.dans.sampler import PRESETS
from tests.suites.samplers import (
    DIM,
    base_loss,
    gradient,
    move,
    offering,
    seeded,
    triples_as_vectors,
)


def test_a_fake_for_the_head_is_made_from_the_tail_and_one_for_the_tail_from_the_head(
    kg: KnowledgeGraph,
) -> None:
    positives, _, _ = triples_as_vectors(kg)
    sampler = seeded(film="residual")
    for phase in sampler.phases():
        move(phase, positives, times=3)

    def generated(triples: Positives) -> tuple[Tensor, Tensor]:
        torch.manual_seed(1)
        negatives = sampler(triples)
        return negatives.embeddings, negatives.replaces_head

    before, side = generated(positives)
    other = {
        "h": replace(positives, h=positives.h + 1, tail_query=positives.tail_query + 1),
        "t": replace(positives, t=positives.t + 1, head_query=positives.head_query + 1),
    }
    for changed, affected in (("h", ~side), ("t", side)):
        after, _ = generated(other[changed])
        differs = (after != before).any(-1)
        assert torch.equal(differs, affected), changed


def test_both_pathways_are_offered_k_times_each(  # C3
    monkeypatch: pytest.MonkeyPatch, kg: KnowledgeGraph
) -> None:
    positives, _, _ = triples_as_vectors(kg)
    sampler = seeded(k=5)
    offering(monkeypatch, sampler, {"entity": 1, "relation": 2})
    offered = sampler(positives).embeddings[..., 0]
    assert offered.eq(1).sum(1).eq(5).all()
    assert offered.eq(2).sum(1).eq(5).all()


def test_the_published_program_offers_the_relation_pathway_twice(  # C3
    monkeypatch: pytest.MonkeyPatch, kg: KnowledgeGraph
) -> None:
    positives, _, _ = triples_as_vectors(kg)
    sampler = seeded(k=5, **PRESETS["code"])
    negatives = sampler(positives)
    assert torch.equal(negatives.embeddings[:, :5], negatives.embeddings[:, 5:])
    assert torch.equal(negatives.replaces_head[:, :5], negatives.replaces_head[:, 5:])
    offering(monkeypatch, sampler, {"entity": 1, "relation": 2})
    assert sampler(positives).embeddings.eq(2).all()


@pytest.mark.parametrize("pathways", ["entity", "relation"])
def test_one_pathway_alone_offers_as_many(pathways: str, kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg)
    sampler = seeded(k=5, pathways=pathways)
    assert sampler(positives).embeddings.shape[1] == 10
    assert list(sampler.pathways) == [pathways]
    assert [phase.name for phase in sampler.phases()] == [f"{pathways}_pathway", "discriminator"]
    assert sampler.discriminator.auxiliary is None
    assert set(sampler.origins(positives)) == {f"{pathways} pathway"}


def test_film_that_starts_at_one_is_the_ablation_without(kg: KnowledgeGraph) -> None:  # A3
    positives, _, _ = triples_as_vectors(kg)
    full, plain = seeded(film="residual"), seeded(film="none")
    plain.load_state_dict({k: v for k, v in full.state_dict().items() if ".film." not in k})
    drawn = []
    for sampler in (full, plain):
        torch.manual_seed(1)
        drawn.append(sampler(positives).embeddings)
    assert torch.equal(*drawn)


@pytest.mark.parametrize(("detach", "same"), [(True, True), (False, False)])
def test_only_undetached_fakes_teach_the_model_through_the_generator(  # C5
    detach: bool, same: bool, monkeypatch: pytest.MonkeyPatch, kg: KnowledgeGraph
) -> None:
    gradients = []
    for seed in (1, 2):
        positives, table, scorer = triples_as_vectors(kg)
        torch.manual_seed(seed)
        sampler = DANS(DIM, k=3, detach=detach)
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
    assert torch.allclose(*gradients, atol=1e-7) == same


def test_fakes_push_no_entity_away_in_the_place_they_take(kg: KnowledgeGraph) -> None:  # A12
    _, table, scorer = triples_as_vectors(kg)
    heads, relations, tails = kg.train.unbind(-1)
    h, t = (table[ids].detach().requires_grad_() for ids in (heads, tails))
    r = scorer.relation(relations)
    queries = {"tail_query": scorer.query_tails(h, r), "head_query": scorer.query_heads(r, t)}
    positives = Positives(
        kg.train, h, r, t, **queries, entities=table, score_query=scorer.score_query
    )
    negatives = seeded(k=10)(positives)
    assert negatives.embeddings.shape[1] == 20
    scores = torch.nn.functional.softplus(negatives.scores(positives))
    side = negatives.replaces_head
    of_heads = torch.autograd.grad(scores[side].sum(), [h, t], retain_graph=True, allow_unused=True)
    of_tails = torch.autograd.grad(scores[~side].sum(), [h, t], allow_unused=True)
    for replaced, kept in ((of_heads[0], of_heads[1]), (of_tails[1], of_tails[0])):
        assert replaced is None or not replaced.any()
        assert kept is not None
        assert kept.any()


def test_snapped_fakes_are_the_nearest_entities(kg: KnowledgeGraph) -> None:
    positives, table, _ = triples_as_vectors(kg)
    drawn = []
    for decode in ("vector", "nearest"):
        sampler = seeded(decode=decode, output="residual", noise=1.0)
        torch.manual_seed(1)
        drawn.append(sampler(positives))
    distances = torch.cdist(drawn[0].embeddings, table.detach())
    assert drawn[1].ids is not None
    assert torch.equal(drawn[1].ids, distances.argmin(-1))
    assert torch.equal(drawn[1].embeddings, table[drawn[1].ids])


def test_snapped_to_others_they_are_neither_kept_nor_true(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg)
    ids = seeded(decode="nearest_other", output="residual")(positives).ids
    assert ids is not None
    assert not (ids.unsqueeze(-1) == kg.train[:, None, [0, 2]]).any()


def test_snapped_fakes_that_are_known_triples_can_be_masked(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg)
    known = kg.known()
    given = {"decode": "nearest", "output": "residual", "noise": 2.0, "k": 20}
    negatives = seeded(filter="mask", known=known, **given)(positives)
    assert negatives.valid is not None
    assert torch.equal(~negatives.valid, known.is_known(negatives.triples(kg.train)))
    assert not negatives.valid.all()


def test_fakes_are_withheld_until_the_warm_up_is_over(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg)
    sampler = seeded(warmup=2)
    offered = [sampler(positives).valid for _ in range(4)]
    assert [bool(valid.all()) for valid in offered if valid is not None] == [
        False,
        False,
        True,
        True,
    ]
    assert not torch.stack([valid for valid in offered[:2] if valid is not None]).any()


def test_the_warm_up_is_neither_seen_nor_shortened_in_evaluation(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg)
    sampler = seeded(warmup=1).eval()
    assert [sampler(positives).valid for _ in range(3)] == [None] * 3
    valid = sampler.train()(positives).valid
    assert valid is not None
    assert not valid.any()


def test_a_resumed_warm_up_goes_on_where_it_stood(kg: KnowledgeGraph) -> None:
    positives, _, _ = triples_as_vectors(kg)
    sampler, other = seeded(warmup=2), seeded(warmup=2)
    sampler(positives)
    sampler(positives)
    other.load_state_dict(sampler.state_dict())
    valid = other(positives).valid
    assert valid is not None
    assert valid.all()
