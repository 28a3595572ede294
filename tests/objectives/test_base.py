"""Objectives: the named terms, and whom their gradients reach."""

from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.softmax import SoftmaxCrossEntropy
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models import ENCODERS
from dans.models.batch import Positives
from dans.models.decoders import DistMult
from dans.models.model import Model
from dans.objectives.base import NegativeSampling
from dans.objectives.losses import Logistic, SampledSoftmax, SelfAdversarial
from dans.samplers import (
    IGAN,
    KBGAN,
    Frequency,
    Mixture,
    NegativeSampler,
    Popularity,
    SelfLoop,
    Uniform,
)
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


@pytest.mark.parametrize("reciprocal", [False, True])
@pytest.mark.parametrize("name", ["uniform", "with itself", "popularity", "mixture"])
def test_sampled_softmax_is_softmax_over_all_entities_in_the_limit(
    kg: KnowledgeGraph, name: str, reciprocal: bool
) -> None:
    torch.manual_seed(0)
    n, k = kg.num_entities, 20_000
    counts = {"triples": kg.train, "num_entities": n}
    samplers: dict[str, NegativeSampler] = {
        "uniform": Uniform(k),
        "with itself": Uniform(k, exclude_true=False),
        "popularity": Popularity(k, **counts, exponent=0.5),
        "mixture": Mixture(Uniform(k // 2), SelfLoop(5), Popularity(k // 2, **counts)),
    }
    decoder = DistMult(kg.num_relations, 4, reciprocal=reciprocal)
    model = Model(ENCODERS["lookup"](n, 4), decoder)
    positives = model.positives(kg.train, model.encode(kg.messages()))
    got = NegativeSampling(samplers[name], SampledSoftmax())(decoder, positives)["loss"]
    expected = SoftmaxCrossEntropy(
        triples=kg.train, num_entities=n, num_relations=kg.num_relations
    )(decoder, positives)["loss"]
    assert got.item() == pytest.approx(expected.item(), rel=0.01)
    assert got.item() != expected.item()


def test_sampled_softmax_masks_known_triples_and_estimates_the_others(kg: KnowledgeGraph) -> None:
    model = model_of(kg)
    known = kg.known(("train",))
    positives = model.positives(kg.train, model.encode(kg.messages()))
    objective = NegativeSampling(Uniform(20_000, filter="mask", known=known), SampledSoftmax())
    got = objective(model.decoder, positives)["loss"].item()
    total = 0.0
    train = {tuple(triple) for triple in kg.train.tolist()}
    for h, r, t in kg.train.tolist():
        for side in (0, 2):
            others = []
            for e in range(kg.num_entities):
                triple = [h, r, t]
                triple[side] = e
                if tuple(triple) not in train:
                    others.append(triple)
            triples = torch.tensor([[h, r, t], *others])
            scores = model.positives(triples, positives.entities).scores().squeeze(1)
            total += float((scores.logsumexp(0) - scores[0]).detach())
    assert got == pytest.approx(total / len(kg.train), rel=0.01)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda kg: Uniform(2, filter="resample", known=kg.known(("train",))), "resample"),
        (lambda kg: DANS(4), "DANS draws"),
        (
            lambda kg: IGAN(
                2,
                triples=kg.train,
                num_entities=kg.num_entities,
                num_relations=kg.num_relations,
                candidates=3,
                filter="none",
            ),
            "candidates: how often",
        ),
        (
            lambda kg: Mixture(
                Uniform(2),
                KBGAN(
                    2,
                    triples=kg.train,
                    num_entities=kg.num_entities,
                    num_relations=kg.num_relations,
                    filter="none",
                ),
            ),
            "KBGAN draws",
        ),
    ],
)
def test_sampled_softmax_needs_to_know_how_often_entities_are_drawn(
    kg: KnowledgeGraph, make: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        NegativeSampling(make(kg), SampledSoftmax())


class Twice(Uniform):
    """Draws in its own way, without saying how often."""

    def draw(self, positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
        """Uniform."""
        return super().draw(positives, rows, corrupt_head)


def test_probabilities_of_another_class_are_not_taken_over() -> None:
    with pytest.raises(InputError, match="Twice draws an entity is not known"):
        NegativeSampling(Twice(2), SampledSoftmax())
