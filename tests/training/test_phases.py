"""Who optimizers, on which part of a batch, how far, and when it stops."""

import pytest
import torch
from torch import Tensor, nn

from dans.config.schema import PhaseConfig
from dans.errors import InputError
from dans.models.batch import Positives
from dans.samplers.base import Phase
from dans.training.phases import PhaseOptimizers

FIVE = Positives.of_ids(torch.tensor([[e, 0, e + 1] for e in range(5)]), 6)


class Watched:
    """Two phases that pull a weight each, the first twice, and write down what they see."""

    def __init__(self) -> None:
        self.weights = {name: nn.Parameter(torch.ones(1)) for name in ("one", "two")}
        self.seen: list[tuple[str, int]] = []
        self.phases = (
            Phase("one", (self.weights["one"],), lambda triples: self.loss("one", triples), 2),
            Phase("two", (self.weights["two"],), lambda triples: self.loss("two", triples)),
        )

    def loss(self, name: str, triples: Positives) -> Tensor:
        self.seen.append((name, len(triples)))
        # Touches both weights: only one may move.
        return self.weights[name].sum() + (self.weights["one"] * self.weights["two"]).sum()

    def moved(self) -> dict[str, float]:
        return {name: 1 - weight.item() for name, weight in self.weights.items()}


def test_phases_move_in_order_as_often_as_they_ask_on_the_whole_batch() -> None:
    watched = Watched()
    logged = PhaseOptimizers(watched.phases)(FIVE)
    assert watched.seen == [("one", 5), ("one", 5), ("two", 5)]
    assert list(logged) == ["one", "two"]


def test_a_batch_is_the_first_part_and_a_sweep_is_every_part() -> None:
    first = Watched()
    PhaseOptimizers(first.phases, {"one": PhaseConfig(batch=2)})(FIVE)
    assert first.seen == [("one", 2), ("one", 2), ("two", 5)]
    swept = Watched()
    PhaseOptimizers(swept.phases, {"two": PhaseConfig(batch=2, sweep=True)})(FIVE)
    assert swept.seen == [("one", 5), ("one", 5), ("two", 2), ("two", 2), ("two", 1)]


def test_a_move_changes_its_own_parameters_only() -> None:
    watched = Watched()
    PhaseOptimizers(watched.phases).update(watched.phases[1], FIVE)
    assert watched.moved()["one"] == 0 < watched.moved()["two"]


def test_rates_are_multiplied_and_do_not_add_up() -> None:
    # Adam's step is its learning rate, where the gradient does not change.
    watched = Watched()
    optimizers = PhaseOptimizers(watched.phases, {"two": PhaseConfig(lr=0.25)})
    for factor in (0.5, 0.5):
        optimizers(FIVE, factor=factor)
    assert optimizers.optimizers["two"].param_groups[0]["lr"] == 0.125
    assert watched.moved()["two"] == pytest.approx(0.25, rel=0.01)
    still = Watched()
    PhaseOptimizers(still.phases)(FIVE, factor=0.0)
    assert set(still.moved().values()) == {0.0}


def test_phases_move_where_gradients_are_switched_off() -> None:
    watched = Watched()
    with torch.no_grad():
        PhaseOptimizers(watched.phases)(FIVE)
    assert min(watched.moved().values()) > 0


def test_a_loss_that_is_no_number_stops_it_before_it_moves() -> None:
    weight = nn.Parameter(torch.ones(1))
    bad = Phase("bad", (weight,), lambda _: weight.sum() * torch.nan)
    with pytest.raises(FloatingPointError, match="phase bad: its loss is nan"):
        PhaseOptimizers([bad])(FIVE)
    assert weight.item() == 1


def test_a_phase_there_is_not_is_named() -> None:
    with pytest.raises(InputError, match=r"^phase\.three: .* known: one, two"):
        PhaseOptimizers(Watched().phases, {"three": PhaseConfig()})
    with pytest.raises(InputError, match=r"^own\.three: .* known: none"):
        PhaseOptimizers((), {"three": PhaseConfig()}, where="own")
