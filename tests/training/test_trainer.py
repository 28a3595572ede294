"""The trainer: what is updated when, what is counted, and where randomness comes from."""

from pathlib import Path

import pytest
import torch

from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.batch import Positives
from dans.models.decoders import Decoder
from dans.runs.build import build_trainer
from dans.samplers.base import Phase
from dans.training.run_folder import RunFolder
from dans.training.trainer import Trainer
from tests.suites.states import states_equal
from tests.suites.trainers import PLAIN, trainer


def test_two_seeds_differ(kg: KnowledgeGraph) -> None:
    one, two = trainer(kg), trainer(kg, "train.seed=1")
    one.fit(2)
    two.fit(2)
    assert not states_equal(one.model.state_dict(), two.model.state_dict())


def test_each_move_changes_its_own_parameters_only(kg: KnowledgeGraph) -> None:
    moving = trainer(kg)
    positives = moving.batch_encoder.positives(moving.model, moving.batches.next()).detach()
    for phase in moving.phase_optimizers.phases:
        before = {k: v.clone() for k, v in moving.objective.state_dict().items()}
        base = {k: v.clone() for k, v in moving.model.state_dict().items()}
        # Twice: a last layer that starts at zero holds back the gradient of the first for one move.
        moving.phase_optimizers.update(phase, positives)
        moving.phase_optimizers.update(phase, positives)
        own = {id(p) for p in phase.parameters}
        for name, parameter in moving.objective.named_parameters():
            changed = not torch.equal(parameter, before[name])
            assert changed == (id(parameter) in own), (phase.name, name)
        assert states_equal(moving.model.state_dict(), base)


def test_the_base_step_leaves_the_sampler_alone(kg: KnowledgeGraph) -> None:
    moving = trainer(kg, published=True)
    moving.phase_optimizers.phases = ()
    before = {k: v.clone() for k, v in moving.objective.named_parameters()}
    base = {k: v.clone() for k, v in moving.model.named_parameters()}
    moving.step()
    for name, parameter in moving.objective.named_parameters():
        assert torch.equal(parameter, before[name]), name
    moved = [name for name, p in moving.model.named_parameters() if not torch.equal(p, base[name])]
    assert len(moved) == len(base)


def updates_of(moving: Trainer) -> list[tuple[str, int]]:
    """Phase and number of triples of every inner update of one step."""
    seen: list[tuple[str, int]] = []
    update = moving.phase_optimizers.update

    def noted(phase: Phase, part: Positives, factor: float) -> torch.Tensor:
        seen.append((phase.name, len(part)))
        return update(phase, part, factor)

    moving.phase_optimizers.update = noted  # type: ignore[method-assign]
    moving.step()
    return seen


def test_phases_move_on_the_first_part_of_a_batch(kg: KnowledgeGraph) -> None:
    moving = trainer(kg, "phase.discriminator.batch=2", "train.batch=5")
    assert updates_of(moving) == [("entity_pathway", 5)] * 5 + [("relation_pathway", 5)] * 5 + [
        ("discriminator", 2)
    ]


def test_phases_sweep_the_parts_of_a_batch_where_the_recipe_says(kg: KnowledgeGraph) -> None:
    names = ("entity_pathway", "relation_pathway", "discriminator")
    sweep = [f"phase.{name}.{option}" for name in names for option in ("batch=2", "sweep=true")]
    moving = trainer(kg, "sampler.0.discriminator_repeats=2", *sweep, published=True)
    rounds = [
        [("entity_pathway", n), ("relation_pathway", n), *[("discriminator", n)] * 2]
        for n in (2, 2, 1)
    ]
    assert updates_of(moving) == [update for part in rounds for update in part]


def test_unknown_phase_is_refused(kg: KnowledgeGraph) -> None:
    with pytest.raises(
        InputError,
        match=r"phase.critique: .* known: entity_pathway, relation_pathway, discriminator",
    ):
        trainer(kg, "phase.critique.lr=0.1")
    with pytest.raises(InputError, match="known: none"):
        build_trainer(
            RunConfig.parse({**PLAIN, "sampler": ["uniform"], "phase": {"discriminator": {}}}),
            kg,
            None,
        )


def test_validation_leaves_the_random_state(kg: KnowledgeGraph) -> None:
    often = trainer(kg, "train.validate_every=1")
    often.fit(6)
    seldom = trainer(kg, "train.validate_every=6")
    seldom.fit(6)
    assert states_equal(often.model.state_dict(), seldom.model.state_dict())


def test_diagnosis_leaves_the_random_state(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = trainer(kg)
    entities = moving.model.embeddings(kg.messages())
    drawn: list[float] = []

    def diagnose(positives: Positives) -> dict[str, float]:
        drawn.append(float(torch.rand(())))
        return {"drawn": drawn[-1]}

    monkeypatch.setattr(moving.objective, "diagnose", diagnose)
    for _ in range(2):
        torch.manual_seed(3)
        before = torch.get_rng_state()
        assert moving.diagnosis.diagnose(0, entities) == {"sampler": {"drawn": drawn[-1]}}
        assert torch.equal(torch.get_rng_state(), before)
    assert drawn[0] == drawn[1]


def test_model_and_objective_train_in_a_step_and_rest_in_a_diagnosis(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving, seen = trainer(kg), []
    forward, diagnose = moving.objective.forward, moving.objective.diagnose

    def step(decoder: Decoder, positives: Positives) -> dict[str, torch.Tensor]:
        seen.append((moving.model.training, moving.objective.training))
        return forward(decoder, positives)

    def rest(positives: Positives) -> dict[str, float]:
        seen.append((moving.model.training, moving.objective.training))
        return diagnose(positives)

    monkeypatch.setattr(moving.objective, "forward", step)
    monkeypatch.setattr(moving.objective, "diagnose", rest)
    for _ in range(2):
        moving.step()
        moving.validate()
    assert seen == [(True, True), (False, False)] * 2


def test_each_kind_of_warning_is_given_once(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    moving = trainer(kg)
    entities = moving.model.embeddings(kg.messages())
    found = iter([["far, 3"], ["far, 4"], ["near, 1"]])
    monkeypatch.setattr("dans.training.callbacks.warnings", lambda _: next(found))
    for step in (1, 2, 3):
        moving.diagnosis.diagnose(step, entities)
    assert caplog.messages == ["step 1: far, 3", "step 3: near, 1"]


def test_gradient_of_a_step_is_its_own_and_no_longer_than_the_clip(kg: KnowledgeGraph) -> None:
    def norms(*changes: str) -> list[float]:
        moving, found = trainer(kg, "train.lr=0.0", "train.batch=14", *changes), []
        for _ in range(3):
            # The same loss at each step: a gradient that were not reset would grow.
            torch.manual_seed(0)
            moving.phase_optimizers.phases = ()
            moving.step()
            grads = [p.grad for p in moving.model.parameters() if p.grad is not None]
            found.append(float(torch.cat([grad.flatten() for grad in grads]).norm()))
        return found

    free = norms()
    assert free == pytest.approx([free[0]] * 3, rel=1e-5)
    assert norms(f"train.clip={free[0] / 4}") == pytest.approx([free[0] / 4] * 3, rel=1e-4)
    assert norms(f"train.clip={free[0] * 4}") == pytest.approx(free, rel=1e-5)


def test_patience_stops_a_run_that_does_not_improve(kg: KnowledgeGraph) -> None:
    still = trainer(kg, "train.lr=0.0", "train.patience=2", "train.validate_every=1")
    still.fit(6)
    assert still.done == 2


def test_steps_are_counted_and_the_best_is_kept(kg: KnowledgeGraph, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    done = trainer(kg, run=run)
    done.fit(6)
    run.metrics.close()
    lines = run.metrics.read()
    assert [line["step"] for line in lines] == [0, 3, 6]
    assert run.checkpoints.load("last")["step"] == 6
    best = max(lines, key=lambda line: line["both"]["mrr"])
    assert run.checkpoints.load("best")["step"] == done.best_step == best["step"]
    assert {"entity_pathway", "relation_pathway", "discriminator", "loss", "l2"} <= lines[-1][
        "train"
    ].keys()
    assert lines[-1]["sampler"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_cpu_and_cuda_agree(kg: KnowledgeGraph) -> None:
    on_cpu, on_gpu = trainer(kg), trainer(kg, "train.device=cuda")
    on_gpu.model.load_state_dict(on_cpu.model.state_dict())
    rows = torch.arange(5)
    whole = kg.messages("relation")
    on_cpu.batch_encoder.messages_for = lambda _, uses_graph: whole  # type: ignore[method-assign]
    on_gpu.batch_encoder.messages_for = lambda _, uses_graph: whole.to(torch.device("cuda"))  # type: ignore[method-assign]
    scores = [
        side.batch_encoder.positives(side.model.eval(), rows).scores().cpu()
        for side in (on_cpu, on_gpu)
    ]
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-4, atol=1e-5)
