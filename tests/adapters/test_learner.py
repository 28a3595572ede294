"""A sampler that learns in the training loop of another library."""

import pytest
import torch
from torch import Tensor

from dans.adapters.learner import Learner
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.batch import Negatives, Positives
from dans.samplers import DANS, Mixture, NegativeSampler, Uniform
from tests.suites.samplers import DIM, snapshot, triples_as_embeddings


def dans(**given: object) -> DANS:
    torch.manual_seed(0)
    return DANS(DIM, decode="nearest_other", **given)  # type: ignore[arg-type]


class Weighing(Uniform):
    def forward(self, positives: Positives) -> Negatives:
        negatives = super().forward(positives)
        weights = torch.ones(negatives.corrupt_head.shape)
        return Negatives(negatives.embeddings, negatives.corrupt_head, negatives.ids, None, weights)


class Regularized(Uniform):
    def terms(self, positives: Positives) -> dict[str, Tensor]:
        return {"extra": positives.h.sum()}


def test_a_draw_updates_every_phase_and_never_the_model(kg: KnowledgeGraph) -> None:
    positives, table, _ = triples_as_embeddings(kg)
    sampler = dans()
    before, embeddings = snapshot(sampler), table.detach().clone()
    negatives = Learner(sampler).draw(positives)
    assert negatives.ids is not None
    moved = {name for name, value in snapshot(sampler).items() if value != before[name]}
    assert moved == before.keys()
    assert table.grad is None
    assert torch.equal(table, embeddings)


def test_phases_learn_where_gradients_are_switched_off(kg: KnowledgeGraph) -> None:
    sampler = dans()
    before = snapshot(sampler)
    with torch.no_grad():
        Learner(sampler).draw(triples_as_embeddings(kg)[0])
    assert snapshot(sampler) != before


def test_nothing_learns_in_evaluation(kg: KnowledgeGraph) -> None:
    sampler = dans()
    sampler.eval()
    before = snapshot(sampler)
    Learner(sampler).draw(triples_as_embeddings(kg)[0])
    assert snapshot(sampler) == before


def test_a_phase_is_updated_with_its_options(kg: KnowledgeGraph) -> None:
    sampler = dans()
    before = snapshot(sampler)
    Learner(sampler, {"discriminator": {"lr": 0.0}}).draw(triples_as_embeddings(kg)[0])
    moved = {name for name, value in snapshot(sampler).items() if value != before[name]}
    assert (
        moved == {name for name in before if not name.startswith("discriminator")} != before.keys()
    )


@pytest.mark.parametrize(("options", "sizes"), [({}, [14]), ({"batch": 6}, [6])])
def test_a_phase_sees_the_first_part_of_a_batch(
    options: dict[str, int], sizes: list[int], kg: KnowledgeGraph
) -> None:
    assert seen(kg, options) == sizes


def test_a_sweep_sees_all_parts_of_a_batch(kg: KnowledgeGraph) -> None:
    assert seen(kg, {"batch": 6, "sweep": True}) == [6, 6, 2]


def seen(kg: KnowledgeGraph, options: dict[str, int]) -> list[int]:
    sampler, sizes = dans(), []
    loss = sampler.discriminator_loss

    def watched(positives: Positives) -> Tensor:
        sizes.append(len(positives))
        return loss(positives)

    sampler.discriminator_loss = watched  # type: ignore[method-assign]
    Learner(sampler, {"discriminator": options}).draw(triples_as_embeddings(kg)[0])
    return sizes


def test_a_loss_that_is_no_number_stops_it(kg: KnowledgeGraph) -> None:
    sampler = dans()
    with torch.no_grad():
        next(sampler.discriminator.parameters()).fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="phase entity_pathway"):
        Learner(sampler).draw(triples_as_embeddings(kg)[0])


@pytest.mark.parametrize(
    ("sampler", "sentence"),
    [
        (lambda: DANS(DIM), "decode: vector gives negatives without ids"),
        (lambda: Regularized(), "adds a term to the model's loss"),
        (lambda: Mixture(Uniform(), Mixture(DANS(DIM))), "decode: vector"),
    ],
)
def test_what_only_our_trainer_can_do_is_refused(sampler: object, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Learner(sampler())  # type: ignore[operator]


def test_weights_are_refused(kg: KnowledgeGraph) -> None:
    sampler: NegativeSampler = Weighing()
    with pytest.raises(InputError, match="weighs its negatives"):
        Learner(sampler).draw(Positives.of_ids(kg.train, kg.num_entities))


@pytest.mark.parametrize(
    ("phases", "sentence"),
    [
        ({"crtic": {}}, "phases.crtic: this sampler has no such phase; known: entity_pathway"),
        (
            {"discriminator": {"learning_rate": 1.0}},
            "phases.discriminator.learning_rate: unknown option",
        ),
        ({"discriminator": {"lr": "high"}}, "phases.discriminator.lr: expected a number"),
    ],
)
def test_wrong_phases_are_named(phases: dict[str, dict[str, object]], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Learner(dans(), phases)
