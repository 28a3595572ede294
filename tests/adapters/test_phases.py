"""A sampler that learns on in a loop that knows nothing of it."""

import pytest
import torch
from torch import Tensor

from dans.adapters.phases import Learner
from dans.batch import Negatives, Positives
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.samplers import DANS, Mixture, NegativeSampler, Uniform
from tests.suites.samplers import DIM, facts_as_vectors, snapshot


def dans(**given: object) -> DANS:
    torch.manual_seed(0)
    return DANS(DIM, decode="nearest_other", **given)  # type: ignore[arg-type]


class Weighing(Uniform):
    def forward(self, positives: Positives) -> Negatives:
        rivals = super().forward(positives)
        weights = torch.ones(rivals.replaces_head.shape)
        return Negatives(rivals.vectors, rivals.replaces_head, rivals.ids, None, weights)


class Regularized(Uniform):
    def terms(self, positives: Positives) -> dict[str, Tensor]:
        return {"extra": positives.h.sum()}


def test_a_draw_moves_every_phase_and_never_the_model(kg: KnowledgeGraph) -> None:
    positives, table, _ = facts_as_vectors(kg)
    sampler = dans()
    before, vectors = snapshot(sampler), table.detach().clone()
    rivals = Learner(sampler).draw(positives)
    assert rivals.ids is not None
    moved = {name for name, value in snapshot(sampler).items() if value != before[name]}
    assert moved == before.keys()
    assert table.grad is None
    assert torch.equal(table, vectors)


def test_phases_learn_where_gradients_are_switched_off(kg: KnowledgeGraph) -> None:
    sampler = dans()
    before = snapshot(sampler)
    with torch.no_grad():
        Learner(sampler).draw(facts_as_vectors(kg)[0])
    assert snapshot(sampler) != before


def test_nothing_learns_in_evaluation(kg: KnowledgeGraph) -> None:
    sampler = dans()
    sampler.eval()
    before = snapshot(sampler)
    Learner(sampler).draw(facts_as_vectors(kg)[0])
    assert snapshot(sampler) == before


def test_a_phase_moves_as_it_is_told(kg: KnowledgeGraph) -> None:
    sampler = dans()
    before = snapshot(sampler)
    Learner(sampler, {"critic": {"lr": 0.0}}).draw(facts_as_vectors(kg)[0])
    moved = {name for name, value in snapshot(sampler).items() if value != before[name]}
    assert moved == {name for name in before if not name.startswith("critic")} != before.keys()


@pytest.mark.parametrize(("move", "sizes"), [({}, [14]), ({"batch": 6}, [6])])
def test_a_phase_sees_the_first_part_of_a_batch(
    move: dict[str, int], sizes: list[int], kg: KnowledgeGraph
) -> None:
    assert seen(kg, move) == sizes


def test_a_sweep_sees_all_parts_of_a_batch(kg: KnowledgeGraph) -> None:
    assert seen(kg, {"batch": 6, "sweep": True}) == [6, 6, 2]


def seen(kg: KnowledgeGraph, move: dict[str, int]) -> list[int]:
    sampler, sizes = dans(), []
    loss = sampler.loss_of_critic

    def watched(positives: Positives) -> Tensor:
        sizes.append(len(positives))
        return loss(positives)

    sampler.loss_of_critic = watched  # type: ignore[method-assign]
    Learner(sampler, {"critic": move}).draw(facts_as_vectors(kg)[0])
    return sizes


def test_a_loss_that_is_no_number_stops_it(kg: KnowledgeGraph) -> None:
    sampler = dans()
    with torch.no_grad():
        next(sampler.critic.parameters()).fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="phase entity_way"):
        Learner(sampler).draw(facts_as_vectors(kg)[0])


@pytest.mark.parametrize(
    ("sampler", "sentence"),
    [
        (lambda: DANS(DIM), "decode: vector gives rivals without ids"),
        (lambda: dans(warmup=3), "warmup: marks all rivals"),
        (lambda: Regularized(), "adds a term to the model's loss"),
        (lambda: Mixture(Uniform(), Mixture(DANS(DIM))), "decode: vector"),
    ],
)
def test_what_only_our_trainer_can_do_is_refused(sampler: object, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Learner(sampler())  # type: ignore[operator]


def test_weights_are_refused(kg: KnowledgeGraph) -> None:
    sampler: NegativeSampler = Weighing()
    with pytest.raises(InputError, match="weighs its rivals"):
        Learner(sampler).draw(Positives.of_ids(kg.train, kg.num_entities))


@pytest.mark.parametrize(
    ("phases", "sentence"),
    [
        ({"crtic": {}}, "phases.crtic: this sampler has no such phase; known: entity_way"),
        ({"critic": {"learning_rate": 1.0}}, "phases.critic.learning_rate: unknown option"),
        ({"critic": {"lr": "high"}}, "phases.critic.lr: expected a number"),
    ],
)
def test_wrong_phases_are_named(phases: dict[str, dict[str, object]], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Learner(dans(), phases)
