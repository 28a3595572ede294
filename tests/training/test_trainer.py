"""The trainer: who moves when, to the bit after a resume, and never past a NaN."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dans.batch import Positives
from dans.building import build_trainer
from dans.config import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.decoders import Decoder
from dans.models.encoders import Lookup
from dans.objectives import Objective
from dans.recipes import override
from dans.samplers import SAMPLERS
from dans.samplers.base import Phase
from dans.training.checkpoint import states_equal
from dans.training.run import Run
from dans.training.sources import WholeGraph
from dans.training.trainer import Trainer, factor
from tests.suites.samplers import listing

PLAIN = {
    "data": "toy",
    "graph": {"sample": 0.7},
    "encoder": {"name": "rgcn", "dim": 6, "bases": 2},
    "decoder": {"name": "complex"},
    "loss": {"name": "self_adversarial"},
    "sampler": [{"name": "dans", "preset": "paper", "k": 2}, {"name": "uniform", "k": 3}],
    "train": {"steps": 6, "batch": 5, "validate_every": 3, "l2": 0.01, "threads": 1},
}


def trainer(kg: KnowledgeGraph, *changes: str, run: Run | None = None) -> Trainer:
    return build_trainer(RunConfig.parse(override(PLAIN, list(changes))), kg, run)


def without_clock(state: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in state.items() if key != "seconds"}


def halfway(make: Callable[[Run | None], Trainer], folder: Path) -> Trainer:
    """A trainer that took over at step 3 from one that was stopped there, and chance moved on."""
    first = make(Run(folder))
    first.fit(3)
    torch.manual_seed(12345)
    second = make(None)
    second.restore(Run(folder).load("last"))
    assert states_equal(without_clock(second.state()), without_clock(first.state()))
    return second


def assert_ends_like_one_never_stopped(
    second: Trainer, make: Callable[[Run | None], Trainer]
) -> None:
    second.fit(6)
    whole = make(None)
    whole.fit(6)
    assert states_equal(without_clock(second.state()), without_clock(whole.state()))


@pytest.mark.parametrize("preset", ["paper", "code", "dans"])
@pytest.mark.parametrize("decoder", ["distmult", "complex", "rotate"])
def test_resumed_run_equals_one_never_stopped(
    kg: KnowledgeGraph, tmp_path: Path, preset: str, decoder: str
) -> None:
    def make(run: Run | None) -> Trainer:
        return trainer(kg, f"sampler.0.preset={preset}", f"decoder.name={decoder}", run=run)

    assert_ends_like_one_never_stopped(halfway(make, tmp_path), make)


#: Options small enough for the toy graph, and chosen so that what changes at some step does so.
SMALL: dict[str, dict[str, object]] = {
    "dans": {"k": 2},
    "igan": {"pretrain": 4},
    "kbgan": {"candidates": 3, "pretrain": 4},
    "nscaching": {"size": 3, "fresh": 3, "lazy": 1},
}


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_resumed_run_equals_one_never_stopped_with_every_sampler(
    name: str, kg: KnowledgeGraph, tmp_path: Path
) -> None:
    own = {"file": listing(kg, tmp_path)} if name == "listed" else {}
    plain = {**PLAIN, "sampler": [{"name": name, "k": 3, **own, **SMALL.get(name, {})}]}

    def made() -> Trainer:
        return build_trainer(RunConfig.parse(plain), kg, None)

    whole = made()
    whole.fit(6)
    first = made()
    start = deepcopy(first.state())
    first.fit(3)
    middle = deepcopy(first.state())
    second = made()
    torch.manual_seed(12345)
    second.restore(middle)
    assert states_equal(second.state(), middle)
    second.fit(6)

    assert states_equal(without_clock(second.state()), without_clock(whole.state()))
    # What a sampler keeps is in the checkpoint: it changed, and came back.
    changed = not states_equal(middle["objective"], start["objective"])
    assert changed == SAMPLERS[name].adaptive


def test_two_seeds_differ(kg: KnowledgeGraph) -> None:
    one, two = trainer(kg), trainer(kg, "train.seed=1")
    one.fit(2)
    two.fit(2)
    assert not states_equal(one.model.state_dict(), two.model.state_dict())


def test_each_move_changes_its_own_parameters_only(kg: KnowledgeGraph) -> None:
    moving = trainer(kg)
    positives = moving.source.positives(moving.model, moving.batches.next()).detach()
    for phase in moving.moves.phases:
        before = {k: v.clone() for k, v in moving.objective.state_dict().items()}
        base = {k: v.clone() for k, v in moving.model.state_dict().items()}
        # Twice: a last layer that starts at zero holds back the gradient of the first for one move.
        moving.moves.move(phase, positives)
        moving.moves.move(phase, positives)
        own = {id(p) for p in phase.parameters}
        for name, parameter in moving.objective.named_parameters():
            changed = not torch.equal(parameter, before[name])
            assert changed == (id(parameter) in own), (phase.name, name)
        assert states_equal(moving.model.state_dict(), base)


def test_the_base_step_leaves_the_sampler_alone(kg: KnowledgeGraph) -> None:
    moving = trainer(kg, "sampler.0.preset=code")
    moving.moves.phases = ()
    before = {k: v.clone() for k, v in moving.objective.named_parameters()}
    base = {k: v.clone() for k, v in moving.model.named_parameters()}
    moving.step()
    for name, parameter in moving.objective.named_parameters():
        assert torch.equal(parameter, before[name]), name
    moved = [name for name, p in moving.model.named_parameters() if not torch.equal(p, base[name])]
    assert len(moved) == len(base)


def moves_of(moving: Trainer) -> list[tuple[str, int]]:
    """Phase and number of facts of every inner move of one step."""
    seen: list[tuple[str, int]] = []
    move = moving.moves.move

    def noted(phase: Phase, part: Positives, factor: float) -> torch.Tensor:
        seen.append((phase.name, len(part)))
        return move(phase, part, factor)

    moving.moves.move = noted  # type: ignore[method-assign]
    moving.step()
    return seen


def test_phases_move_on_the_first_part_of_a_batch(kg: KnowledgeGraph) -> None:
    moving = trainer(kg, "phase.critic.batch=2", "train.batch=5")
    assert moves_of(moving) == [("entity_way", 5)] * 5 + [("relation_way", 5)] * 5 + [("critic", 2)]


def test_phases_sweep_the_parts_of_a_batch_where_they_are_told(kg: KnowledgeGraph) -> None:
    names = ("entity_way", "relation_way", "critic")
    sweep = [f"phase.{name}.{option}" for name in names for option in ("batch=2", "sweep=true")]
    moving = trainer(kg, "sampler.0.preset=code", "sampler.0.critic_repeats=2", *sweep)
    rounds = [[("entity_way", n), ("relation_way", n), *[("critic", n)] * 2] for n in (2, 2, 1)]
    assert moves_of(moving) == [move for moves in rounds for move in moves]


def test_unknown_phase_is_refused(kg: KnowledgeGraph) -> None:
    with pytest.raises(
        InputError, match=r"phase.critique: .* known: entity_way, relation_way, critic"
    ):
        trainer(kg, "phase.critique.lr=0.1")
    with pytest.raises(InputError, match="known: none"):
        build_trainer(
            RunConfig.parse({**PLAIN, "sampler": ["uniform"], "phase": {"critic": {}}}), kg, None
        )


def test_infinite_loss_stops_before_it_spoils_a_parameter(kg: KnowledgeGraph) -> None:
    moving = trainer(kg)
    before = {k: v.clone() for k, v in moving.model.state_dict().items()}
    bad = torch.tensor(float("nan"), requires_grad=True)
    moving.objective.forward = lambda decoder, positives: {"loss": bad}  # type: ignore[method-assign]
    with pytest.raises(FloatingPointError, match="step 1: loss is nan"):
        moving.step()
    assert states_equal(moving.model.state_dict(), before)


def test_gradient_that_is_no_number_stops_before_it_spoils_a_parameter(
    kg: KnowledgeGraph,
) -> None:
    moving = trainer(kg)
    before = {k: v.clone() for k, v in moving.model.state_dict().items()}
    weight = moving.model.decoder.relation.weight

    def bad(decoder: Decoder, positives: Positives) -> dict[str, Tensor]:
        # The root of 0 is 0, and its slope is infinite.
        return {"loss": (weight * 0).sum().abs().sqrt()}

    moving.objective.forward = bad  # type: ignore[method-assign]
    with pytest.raises(FloatingPointError, match=r"step 1: the gradient is (nan|inf)"):
        moving.step()
    assert states_equal(moving.model.state_dict(), before)


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_gradient_of_a_phase_that_is_no_number_stops_likewise(
    clip: float, kg: KnowledgeGraph
) -> None:
    moving = trainer(kg, f"train.clip={clip}")
    first = moving.moves.phases[0]
    weight = first.parameters[0]
    bad = replace(first, loss=lambda positives: (weight * 0).sum().abs().sqrt())
    moving.moves.phases = (bad, *moving.moves.phases[1:])
    before = {k: v.clone() for k, v in moving.objective.state_dict().items()}
    with pytest.raises(FloatingPointError, match="step 1: the gradient of entity_way is"):
        moving.step()
    assert states_equal(moving.objective.state_dict(), before)


def exploding(moving: Trainer, at: int, value: float) -> None:
    """Let the loss be of another size at a step; its gradient stays as it is."""
    forward = moving.objective.forward

    def scaled(decoder: Decoder, positives: Positives) -> dict[str, Tensor]:
        terms = forward(decoder, positives)
        return {**terms, "loss": terms["loss"] + value} if moving.done + 1 == at else terms

    moving.objective.forward = scaled  # type: ignore[method-assign]


def test_loss_that_explodes_stops_with_what_is_left(kg: KnowledgeGraph, tmp_path: Path) -> None:
    moving = trainer(kg, "train.validate_every=2", run=Run(tmp_path))
    exploding(moving, 5, 1e9)
    left = rf"{tmp_path}/last.safetensors, of step 4; a lower learning rate may help"
    with pytest.raises(FloatingPointError, match=rf"step 5: loss is 1e\+09, more than .*{left}"):
        moving.fit(6)
    assert moving.done == 4
    # The run that goes on from there knows what is too much.
    again = trainer(kg, "train.validate_every=2")
    again.restore(Run(tmp_path).load("last"))
    exploding(again, 5, 1e9)
    with pytest.raises(FloatingPointError, match=r"step 5: loss is 1e\+09"):
        again.fit(6)


@pytest.mark.parametrize(("at", "value"), [(1, 1e9), (5, 1e5)])
def test_loss_that_is_only_large_goes_on(at: int, value: float, kg: KnowledgeGraph) -> None:
    moving = trainer(kg, "train.validate_every=2")
    exploding(moving, at, value)
    moving.fit(6)
    assert moving.done == 6


def test_weights_that_are_no_numbers_reach_no_checkpoint(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    for part in ("model", "sampler"):
        (tmp_path / part).mkdir()
        moving = trainer(kg, run=Run(tmp_path / part))
        moving.fit(3)
        owner = moving.model if part == "model" else moving.objective
        name, parameter = list(owner.named_parameters())[-1]
        with torch.no_grad():
            parameter.view(-1)[0] = float("nan")
        with pytest.raises(FloatingPointError, match=f"step 3: {name} of the {part} has weights"):
            moving.validate()
        last = Run(tmp_path / part).load("last")
        where = last["model"] if part == "model" else last["objective"]
        assert all(weights.isfinite().all() for weights in where.values())


def test_a_run_that_goes_on_from_its_start_is_not_judged_there_again(
    kg: KnowledgeGraph, tmp_path: Path
) -> None:
    trainer(kg, run=Run(tmp_path)).fit(0)
    second = trainer(kg, run=Run(tmp_path))
    second.restore(Run(tmp_path).load("last"))
    second.fit(6)
    assert [line["step"] for line in Run(tmp_path).metrics()] == [0, 3, 6]


def test_checkpoint_of_another_configuration_is_refused_in_a_sentence(kg: KnowledgeGraph) -> None:
    state = trainer(kg, "encoder.dim=8").state()
    with pytest.raises(InputError, match="checkpoint: made by another configuration: ") as caught:
        trainer(kg).restore(state)
    assert "\n" not in str(caught.value)


def test_checkpoint_of_other_facts_is_refused(kg: KnowledgeGraph) -> None:
    other = KnowledgeGraph.of(train=[("a", "r", "b")] * 3, name="other")
    state = trainer(kg).state()
    with pytest.raises(InputError, match="made for other facts"):
        trainer(other).restore(state)


def test_validation_does_not_disturb_chance(kg: KnowledgeGraph) -> None:
    often = trainer(kg, "train.validate_every=1")
    often.fit(6)
    seldom = trainer(kg, "train.validate_every=6")
    seldom.fit(6)
    assert states_equal(often.model.state_dict(), seldom.model.state_dict())


def test_patience_stops_a_run_that_does_not_improve(kg: KnowledgeGraph) -> None:
    still = trainer(kg, "train.lr=0.0", "train.patience=2", "train.validate_every=1")
    still.fit(6)
    assert still.done == 2


def test_steps_are_counted_and_the_best_is_kept(kg: KnowledgeGraph, tmp_path: Path) -> None:
    run = Run(tmp_path)
    done = trainer(kg, run=run)
    done.fit(6)
    run.close()
    lines = run.metrics()
    assert [line["step"] for line in lines] == [0, 3, 6]
    assert run.load("last")["step"] == 6
    best = max(lines, key=lambda line: line["both"]["mrr"])
    assert run.load("best")["step"] == done.best_step == best["step"]
    assert {"entity_way", "relation_way", "critic", "loss", "l2"} <= lines[-1]["train"].keys()
    assert lines[-1]["sampler"]


def test_learning_rate_follows_its_schedule(kg: KnowledgeGraph) -> None:
    moving = trainer(kg, "train.schedule=linear", "train.lr=0.5")
    moving.fit(3)
    assert moving.optimizers["model"].param_groups[0]["lr"] == pytest.approx(0.5 * (1 - 2 / 6))
    assert factor("constant", 5, 6) == 1


class Pooled(Objective):
    """Facts against three entities drawn for the whole batch; of a model with free vectors."""

    by_question: ClassVar[bool] = True

    def __init__(self, *, num_entities: int) -> None:
        super().__init__()
        self.num_entities = num_entities
        self.seen: list[Positives] = []

    def wants(self, triples: Tensor) -> Tensor:
        return torch.randint(self.num_entities, (3,))

    def forward(self, decoder: Decoder, positives: Positives) -> dict[str, Tensor]:
        self.seen.append(positives)
        rivals = decoder.match_all(positives.tail_query, positives.entities[positives.pool])
        return {"loss": (rivals - positives.scores()).exp().sum()}


def pooled(kg: KnowledgeGraph, *changes: str, run: Run | None = None) -> Trainer:
    plain = {
        "data": "toy",
        "objective": "pooled",
        "encoder": {"name": "lookup", "dim": 6},
        "decoder": {"name": "complex"},
        "train": {"steps": 6, "batch": 3, "validate_every": 3, "threads": 1, "lr": 0.1},
    }
    return build_trainer(
        RunConfig.parse(override(plain, list(changes))), kg, run, {"pooled": Pooled}
    )


@pytest.mark.parametrize("batch_by", ["facts", "questions"])
@pytest.mark.parametrize("optimizer", ["adam", "adagrad", "lazy_adam"])
def test_resumed_run_equals_one_never_stopped_with_every_optimizer(
    optimizer: str, batch_by: str, kg: KnowledgeGraph, tmp_path: Path
) -> None:
    changes = [f"train.optimizer={optimizer}", f"train.batch_by={batch_by}"]

    def make(run: Run | None) -> Trainer:
        return pooled(kg, *changes, run=run)

    assert_ends_like_one_never_stopped(halfway(make, tmp_path), make)


@pytest.mark.parametrize("clip", [0.0, 0.01])
def test_row_wise_adagrad_trains_as_the_dense_one(clip: float, kg: KnowledgeGraph) -> None:
    changes = ["train.optimizer=adagrad", "train.accumulator=0.1", f"train.clip={clip}"]
    models = []
    for sparse in (True, False):
        trained = pooled(kg, *changes)
        assert isinstance(trained.source, WholeGraph)
        trained.source.sparse = sparse
        for _ in range(6):
            trained.step()
            assert isinstance(trained.model.encoder, Lookup)
            grad = trained.model.encoder.entities.weight.grad
            assert grad is not None
            assert grad.is_sparse == sparse
        models.append(trained.model.state_dict())
    for name, parameter in models[0].items():
        torch.testing.assert_close(parameter, models[1][name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adagrad", "lazy_adam"])
def test_a_step_leaves_the_rows_alone_that_nobody_wanted(
    optimizer: str, kg: KnowledgeGraph
) -> None:
    trained = pooled(kg, f"train.optimizer={optimizer}", "train.batch=1")
    encoder = trained.model.encoder
    assert isinstance(encoder, Lookup)
    for _ in range(4):
        before = encoder.entities.weight.detach().clone()
        trained.step()
        grad = encoder.entities.weight.grad
        assert grad is not None
        reached = grad._indices()[0].tolist()
        moved = (encoder.entities.weight != before).any(1)
        assert len(reached) < kg.num_entities
        assert set(moved.nonzero().flatten().tolist()) <= set(reached)
        assert bool(moved.any())


@pytest.mark.parametrize("optimizer", ["adam", "adagrad", "lazy_adam"])
def test_clipping_shortens_the_gradient_of_the_model(optimizer: str, kg: KnowledgeGraph) -> None:
    def norm(clip: float) -> float:
        trained = pooled(kg, f"train.optimizer={optimizer}", f"train.clip={clip}")
        trained.step()
        grads = [p.grad for p in trained.model.parameters() if p.grad is not None]
        assert any(grad.is_sparse for grad in grads) == (optimizer != "adam")
        dense = [grad.to_dense() if grad.is_sparse else grad for grad in grads]
        return float(torch.cat([grad.flatten() for grad in dense]).norm())

    assert norm(0.0) > 1
    assert norm(1e6) == pytest.approx(norm(0.0))
    assert norm(0.25) == pytest.approx(0.25, rel=1e-4)


def test_batches_of_questions_say_which_side_they_ask_for(kg: KnowledgeGraph) -> None:
    trained = pooled(kg, "train.batch_by=questions", "train.batch=4")
    rows = trained.batches.next()
    positives = trained.positives(rows)
    assert positives.asks_head is not None
    assert positives.asks_head.tolist() == (rows >= len(kg.train)).tolist()
    assert len(trained.batches) == -(-trained.batches.rows // 4)
    f = len(kg.train)
    edges = trained.positives(torch.tensor([0, f - 1, f, f + 1]))
    assert edges.asks_head is not None
    assert edges.asks_head.tolist() == [False, False, True, True]
    by_facts = pooled(kg)
    assert by_facts.positives(by_facts.batches.next()).asks_head is None


def test_an_objective_sees_the_entities_it_wants(kg: KnowledgeGraph) -> None:
    trained = pooled(kg)
    trained.step()
    assert isinstance(trained.objective, Pooled)
    (seen,) = trained.objective.seen
    assert seen.pool is not None
    assert len(seen.pool) == 3
    assert len(seen.entities) <= 3 + 2 * 3
    assert torch.equal(seen.h, F.embedding(seen.triples[:, 0], seen.entities))


def test_questions_are_refused_by_an_objective_of_facts(kg: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match=r"train.batch_by: questions are for objectives that"):
        trainer(kg, "train.batch_by=questions")


def by_hand(p: int, *tables: Tensor) -> float:
    """Σ |x|^p."""
    return sum(abs(x) ** p for table in tables for x in table.flatten().tolist())


REGULARIZED = (
    "decoder={name='distmult', reciprocal=true, bound=3.0}",
    "encoder={name='lookup', dim=4}",
    "train.batch=100",
)


def test_a_logged_regulariser_is_of_the_vectors_that_facts_are_scored_with(
    kg: KnowledgeGraph,
) -> None:
    lp = "regularizer=[{name='lp', p=3, entities=0.3, relations=0.7}]"
    trained = pooled(kg, *REGULARIZED, lp)
    e = trained.model.encoder.entities.weight.detach().clone().tanh()  # type: ignore[union-attr]
    r = trained.model.decoder.relation.weight.detach().clone().tanh() * 3 / 4
    heads, relations, tails = kg.train.unbind(1)
    entities = by_hand(3, e[heads], e[tails]) / len(kg.train)
    # Both questions of a fact ask with a vector of their own.
    both = by_hand(3, r[relations], r[relations + kg.num_relations]) / (2 * len(kg.train))
    expected = 0.3 / 3 * entities + 0.7 / 3 * both
    assert trained.step()["lp"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
@pytest.mark.parametrize("batch_by", ["facts", "questions"])
def test_a_table_is_held_whole_whatever_the_objective_looks_at(
    batch_by: str, optimizer: str, kg: KnowledgeGraph
) -> None:
    table = "regularizer=[{name='table', p=2, entities=0.3, relations=0.7}]"
    changes = (f"train.optimizer={optimizer}", f"train.batch_by={batch_by}", "train.batch=3")
    trained = pooled(kg, *REGULARIZED, table, *changes)
    weight = trained.model.encoder.entities.weight  # type: ignore[union-attr]
    before = weight.detach().clone()
    r = trained.model.decoder.relation.weight.detach().clone().tanh() * 3 / 4
    assert len(trained.batches) == {"facts": 5, "questions": 7}[batch_by]
    expected = (0.3 * by_hand(2, before.tanh()) + 0.7 * by_hand(2, r)) / 2 / len(trained.batches)
    assert trained.step()["table"] == pytest.approx(expected, rel=1e-5)
    assert bool((weight != before).any(1).all())
    (seen,) = trained.objective.seen  # type: ignore[union-attr]
    assert len(seen.entities) < kg.num_entities


@pytest.mark.parametrize("encoder", ["lookup", "rgcn"])
def test_relations_can_be_predicted_beside_any_objective(encoder: str, kg: KnowledgeGraph) -> None:
    term = "regularizer=[{name='relation_prediction', weight=0.5}]"
    trained = pooled(kg, f"encoder.name={encoder}", term)
    assert trained.step()["relation_prediction"] > 0
    trained = trainer(kg, term)
    assert trained.step()["relation_prediction"] > 0


def test_rivals_that_there_are_none_of_cannot_be_written_down(kg: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match=r"train.dump: this objective holds facts against no"):
        pooled(kg, "train.dump=true")
    assert trainer(kg, "train.dump=true").objective.has_rivals


PLATEAU = ("train.schedule=plateau", "train.decay=0.5", "train.decay_patience=1")


def test_plateau_slows_down_after_too_many_validations_without_a_gain(kg: KnowledgeGraph) -> None:
    slowing = trainer(kg, *PLATEAU, "train.lr=0.25")
    factors = []
    for better in (True, False, False, False, True, False, False, False, False, True):
        slowing.slow_down(better=better)
        factors.append(slowing.plateau["factor"])
    # One without a gain is borne; the second slows down, and the count begins anew; so does a gain.
    assert factors == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    slowing.step()
    assert slowing.optimizer.param_groups[0]["lr"] == 0.25 * 0.125
    for optimizer in slowing.moves.optimizers.values():
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.001 * 0.125)


def test_plateau_counts_the_validations_of_a_run(kg: KnowledgeGraph) -> None:
    # Nothing moves, so that no validation after the first is a gain.
    still = trainer(kg, *PLATEAU, "train.lr=0.0", "train.validate_every=1")
    still.fit(5)
    assert still.plateau == {"factor": 0.25, "waited": 1}


def test_other_schedules_know_no_plateau(kg: KnowledgeGraph) -> None:
    still = trainer(kg, "train.lr=0.0", "train.validate_every=1")
    still.fit(6)
    assert still.plateau == {"factor": 1, "waited": 0}


def test_plateau_is_kept_by_checkpoints(kg: KnowledgeGraph, tmp_path: Path) -> None:
    # Facts against entities of any kind, known answers too: nothing is gained by that.
    def make(run: Run | None) -> Trainer:
        return pooled(kg, *PLATEAU, "train.validate_every=1", run=run)

    second = halfway(make, tmp_path)
    assert second.plateau == {"factor": 0.5, "waited": 1}
    assert_ends_like_one_never_stopped(second, make)


def test_checkpoints_from_before_there_was_a_plateau_are_read(kg: KnowledgeGraph) -> None:
    old = trainer(kg).state()
    del old["plateau"]
    later = trainer(kg)
    later.plateau = {"factor": 0.5, "waited": 3}
    later.restore(old)
    assert later.plateau == {"factor": 1, "waited": 0}


def test_plateau_needs_validation_facts(kg: KnowledgeGraph) -> None:
    blind = KnowledgeGraph.of(train=[("a", "r", "b"), ("b", "r", "c")], name="blind")
    plain = {**PLAIN, "sampler": ["uniform"]}
    with pytest.raises(InputError, match=r"train.schedule: plateau needs validation facts"):
        build_trainer(RunConfig.parse(override(plain, list(PLATEAU))), blind, None)
    build_trainer(RunConfig.parse(plain), blind, None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_cpu_and_cuda_agree(kg: KnowledgeGraph) -> None:
    on_cpu, on_gpu = trainer(kg), trainer(kg, "train.device=cuda")
    on_gpu.model.load_state_dict(on_cpu.model.state_dict())
    rows = torch.arange(5)
    whole = kg.messages("relation")
    on_cpu.source.messages_for = lambda _, listens: whole  # type: ignore[method-assign]
    on_gpu.source.messages_for = lambda _, listens: whole.to(torch.device("cuda"))  # type: ignore[method-assign]
    scores = [
        side.source.positives(side.model.eval(), rows).scores().cpu() for side in (on_cpu, on_gpu)
    ]
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-4, atol=1e-5)
