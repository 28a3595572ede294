"""Objectives: the named terms, and whom their gradients reach."""

import torch

from dans.data.graph import KnowledgeGraph
from dans.models import ENCODERS
from dans.models.decoders import DistMult
from dans.models.model import Model
from dans.objectives.base import NegativeSampling
from dans.objectives.losses import Logistic, SelfAdversarial
from dans.samplers import Uniform
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
