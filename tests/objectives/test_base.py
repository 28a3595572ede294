"""Objectives: the named terms, and whom their gradients reach."""

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.models import ENCODERS
from dans.models.decoders import DistMult
from dans.models.model import Model
from dans.objectives.base import NegativeSampling
from dans.objectives.losses import Logistic, SelfAdversarial
from dans.samplers import Frequency, Uniform
from dans.samplers.dans.sampler import DANS


def model_of(kg: KnowledgeGraph) -> Model:
    torch.manual_seed(0)
    return Model(ENCODERS["lookup"](kg.num_entities, 4), DistMult(kg.num_relations, 4))


def test_terms_are_named_and_l2_only_where_it_weighs(kg: KnowledgeGraph) -> None:
    model = model_of(kg)
    positives = model.positives(kg.train, model.encode(kg.messages("relation")))
    plain = NegativeSampling(Uniform(k=2), Logistic())
    assert plain(model.decoder, positives).keys() == {"loss"}
    weighed = NegativeSampling(Uniform(k=2), Logistic(), l2=0.5)
    terms = weighed(model.decoder, positives)
    expected = positives.entities.square().mean() + model.decoder.relation.weight.square().mean()
    torch.testing.assert_close(terms["l2"], 0.5 * expected)


def test_loss_is_that_of_triples_against_the_samplers_negatives(kg: KnowledgeGraph) -> None:
    model = model_of(kg)
    positives = model.positives(kg.train, model.encode(kg.messages("relation")))
    sampler = Uniform(k=3)
    objective = NegativeSampling(sampler, SelfAdversarial())
    torch.manual_seed(1)
    terms = objective(model.decoder, positives)
    torch.manual_seed(1)
    negatives = sampler(positives)
    expected = SelfAdversarial()(positives.scores(), negatives.scores(positives))
    torch.testing.assert_close(terms["loss"], expected)


def test_triples_are_scored_on_the_side_of_their_negatives_and_weights_count(
    kg: KnowledgeGraph,
) -> None:
    torch.manual_seed(0)
    decoder = DistMult(kg.num_relations, 4, reciprocal=True)
    model = Model(ENCODERS["lookup"](kg.num_entities, 4), decoder)
    positives = model.positives(kg.train, model.encode(kg.messages()))
    sampler = Frequency(k=3, triples=kg.train, num_entities=kg.num_entities, noise="weighted")
    torch.manual_seed(1)
    terms = NegativeSampling(sampler, Logistic())(decoder, positives)
    torch.manual_seed(1)
    negatives = sampler(positives)
    assert negatives.weights is not None
    assert negatives.weights.ne(1).any()
    own = positives.scores(negatives.corrupt_head)
    assert not torch.allclose(own, positives.scores())
    expected = Logistic()(own, negatives.scores(positives), None, negatives.weights)
    torch.testing.assert_close(terms["loss"], expected)


def test_terms_of_the_sampler_are_added(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, sampler = model_of(kg), Uniform(k=2)
    positives = model.positives(kg.train, model.encode(kg.messages()))
    monkeypatch.setattr(sampler, "terms", lambda batch: {"own": batch.scores().sum()})
    terms = NegativeSampling(sampler, Logistic())(model.decoder, positives)
    assert terms["own"] == positives.scores().sum()


def test_one_valid_negative_is_remembered() -> None:
    objective = NegativeSampling(Uniform(k=2), Logistic())
    none, some = torch.zeros(2, 2, dtype=torch.bool), torch.eye(2, dtype=torch.bool)
    seen = []
    for valid in (none, some, none):
        objective.note_valid(valid)
        seen.append(objective.has_valid_negatives)
    assert seen == [False, True, True]
    without_filter = NegativeSampling(Uniform(k=2), Logistic())
    without_filter.note_valid(None)
    assert without_filter.has_valid_negatives is True


def test_phases_and_diagnosis_are_the_samplers(kg: KnowledgeGraph) -> None:
    model = model_of(kg)
    positives = model.positives(kg.train, model.embeddings(kg.messages("relation")))
    objective = NegativeSampling(DANS(4, k=2), Logistic())
    assert [phase.name for phase in objective.phases()] == [
        "entity_pathway",
        "relation_pathway",
        "discriminator",
    ]
    assert "discriminator_auc" in objective.diagnose(positives)
    assert NegativeSampling(Uniform(k=2), Logistic()).diagnose(positives) == {}
