"""Discounted negatives: the weights by hand, and whom the discriminator's gradients reach."""

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
from dans.objectives.discounted import Discounted
from dans.objectives.losses import Logistic, Loss, SampledSoftmax
from dans.samplers import DANS, NegativeSampler, Uniform
from dans.training.phases import PhaseOptimizers


def batch_of(kg: KnowledgeGraph) -> tuple[Model, Positives]:
    torch.manual_seed(0)
    decoder = DistMult(kg.num_relations, 4, reciprocal=True)
    model = Model(ENCODERS["lookup"](kg.num_entities, 4), decoder)
    return model, model.positives(kg.train, model.encode(kg.messages("relation")))


def discounted(
    kg: KnowledgeGraph,
    sampler: NegativeSampler | None = None,
    loss: Loss | None = None,
    **given: Any,
) -> Discounted:
    torch.manual_seed(1)
    sizes: dict[str, Any] = {"num_entities": kg.num_entities, "num_relations": kg.num_relations}
    given = {"discount": "all", "width": 6, **given}
    return Discounted(sampler or Uniform(3), loss or Logistic(), **sizes, **given)


def scores_by_hand(objective: Discounted, triple: Tensor, entity: int, *, head: bool) -> float:
    """D of a triple with another head, by the inverse relation, or another tail."""
    own, (h, r, t) = objective.discriminator, triple.tolist()
    h, t = (entity, t) if head else (h, entity)
    row = own.decoder.embeddings(torch.tensor([r + head * own.decoder.num_relations]))
    ends = own.entities.weight[[t if head else h]], own.entities.weight[[entity]]
    x, y, z = (torch.complex(*part.double().chunk(2, -1)) for part in (ends[0], row, ends[1]))
    return float((x * y * z.conj()).real.sum().detach())


def test_weights_equal_their_formula(kg: KnowledgeGraph) -> None:
    _, positives = batch_of(kg)
    objective = discounted(kg, sharpness=3.0, margin=0.2, floor=0.01)
    with torch.no_grad():
        objective.discriminator.entities.weight.mul_(3)
    negatives = objective.draw(positives)
    assert negatives.ids is not None
    assert negatives.weights is not None
    for i, triple in enumerate(kg.train):
        for j in range(3):
            head = bool(negatives.corrupt_head[i, j])
            true = int(triple[0 if head else 2])
            gap = scores_by_hand(objective, triple, int(negatives.ids[i, j]), head=head)
            gap -= scores_by_hand(objective, triple, true, head=head)
            expected = max(0.01, float(torch.sigmoid(torch.tensor(-3.0 * (gap + 0.2)))))
            assert float(negatives.weights[i, j]) == pytest.approx(expected, rel=1e-4)


def test_weights_multiply_those_of_the_loss(kg: KnowledgeGraph) -> None:
    model, positives = batch_of(kg)
    for loss in (Logistic(balance="sum"), SampledSoftmax()):
        objective = discounted(kg, loss=loss, sharpness=0.0)
        torch.manual_seed(2)
        got = objective(model.decoder, positives)["loss"]
        torch.manual_seed(2)
        whole = NegativeSampling(objective.sampler, loss)
        negatives = whole.draw(positives)
        head = negatives.corrupt_head
        own, scores = positives.scores(head), negatives.scores(positives)
        if isinstance(loss, SampledSoftmax):
            weights, valid = whole.importance(positives, negatives)
            sides = (head, ~head)
            expected = sum(loss(own, scores, valid & side, weights / 2) for side in sides)
        else:
            expected = loss(own, scores, None, torch.full_like(scores, 0.5))
        torch.testing.assert_close(got, torch.as_tensor(expected))


def test_discriminator_minimises_softmax_over_all_entities_where_the_pool_holds_them(
    kg: KnowledgeGraph,
) -> None:
    _, positives = batch_of(kg)
    objective = discounted(kg, decay=0.5, dropout=0.0)
    own = objective.discriminator
    expected = SoftmaxCrossEntropy(
        triples=kg.train, num_entities=kg.num_entities, num_relations=kg.num_relations
    )(own.decoder, own.embed(kg.train))["loss"]
    squares = own.entities.weight.square().mean() + own.embed(kg.train).r.square().mean()
    torch.testing.assert_close(own.loss(positives), expected + 0.5 * squares)


def test_a_smaller_pool_estimates_it(kg: KnowledgeGraph) -> None:
    _, positives = batch_of(kg)
    whole = discounted(kg, dropout=0.0).discriminator.loss(positives).item()
    part = discounted(kg, pool=kg.num_entities - 2, dropout=0.0).discriminator
    drawn = [part.loss(positives).item() for _ in range(300)]
    assert len(set(drawn)) > 1
    # The logarithm of an estimate is below that of its mean.
    assert sum(drawn) / 300 == pytest.approx(whole, rel=0.05)


def test_phase_moves_the_discriminator_alone_and_the_model_does_not(kg: KnowledgeGraph) -> None:
    model, positives = batch_of(kg)
    objective = discounted(kg)
    before = {name: p.clone() for name, p in objective.discriminator.named_parameters()}
    (phase,) = objective.phases()
    losses = PhaseOptimizers([phase])(positives.detach())
    assert losses.keys() == {"query_discriminator"}
    for name, parameter in objective.discriminator.named_parameters():
        assert bool((parameter != before[name]).any())
    loss = objective(model.decoder, positives)["loss"]
    found = torch.autograd.grad(
        loss, tuple(objective.parameters()), allow_unused=True, materialize_grads=True
    )
    assert all(bool((gradient == 0).all()) for gradient in found)


def test_generated_negatives_are_refused(kg: KnowledgeGraph) -> None:
    model, positives = batch_of(kg)
    with pytest.raises(InputError, match="decode = nearest"):
        discounted(kg, DANS(4))(model.decoder, positives)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sharpness": -1.0}, "sharpness"),
        ({"floor": 1.0}, "floor"),
        ({"floor": 0.0}, "floor"),
        ({"discount": "unknown"}, "discount: unknown needs the known triples"),
        ({"pool": 0}, "pool"),
        ({"discriminator": "nothing"}, "discriminator"),
        ({"dropout": 1.0}, "dropout"),
        ({"width": 7}, "^width: complex needs an even number, got 7"),
    ],
)
def test_options_out_of_range_are_refused_by_name(
    kg: KnowledgeGraph, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        discounted(kg, **given)


def test_phases_of_a_sampler_come_after_and_have_other_names(kg: KnowledgeGraph) -> None:
    objective = discounted(kg, DANS(4, decode="nearest"))
    names = [phase.name for phase in objective.phases()]
    assert names[0] == "query_discriminator"
    assert len(set(names)) == len(names) == 4


def test_known_negatives_keep_their_weight_where_unknown_ones_are_discounted(
    kg: KnowledgeGraph,
) -> None:
    _, positives = batch_of(kg)
    known = kg.known(("train",))
    objective = discounted(kg, Uniform(40), discount="unknown", known=known, sharpness=0.0)
    negatives = objective.draw(positives)
    assert negatives.ids is not None
    assert negatives.weights is not None
    found = known.is_known_corrupted(kg.train, negatives.ids, negatives.corrupt_head)
    assert bool(found.any())
    assert torch.equal(negatives.weights, torch.where(found, 1.0, 0.5))
