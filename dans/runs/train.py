"""Runs: configured, trained, and brought back."""

import hashlib
import logging
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from msgspec import structs

import dans
from dans.config.old_names import renamed_options
from dans.config.recipes import Recipe, merge, override, read_recipe
from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.data.message_graph import MessageGraph
from dans.errors import InputError
from dans.evaluation.classifier import ClassificationReport
from dans.evaluation.evaluator import EvaluationReport
from dans.memory import needing_room
from dans.models.batch import Positives
from dans.models.model import Model
from dans.objectives.base import OBJECTIVES, NegativeSampling
from dans.runs.build import Objectives, Samplers, build_model, build_objective, build_trainer
from dans.runs.init_from import check_initial, give_weights, initial_run
from dans.samplers import SAMPLERS, NegativeSampler
from dans.seeding import device, restore_random_state, seed_everything
from dans.training.files import Lock
from dans.training.run import Run, Which
from dans.training.trackers import check_trackers
from dans.training.trainer import Trainer, Watch, check_digest

log = logging.getLogger(__name__)


def configure(
    recipe: Path | Recipe, assignments: list[str], *, made: Path | None = None
) -> RunConfig:
    """A recipe and its overrides as a configuration.

    A recipe that starts from another run takes over that run's data, graph, encoder and decoder,
    but for what ``dans.runs.init_from.FREE`` lets it set itself.

    Args:
        recipe: a TOML file, or one with a setting.
        assignments: ``section.option=value``, applied last.
        made: the folder of a run that continues; what it took over is read there, where the run it
            started from is gone.

    Raises:
        InputError: the recipe, an override, or the run to start from cannot be used.
    """
    plain = renamed_options(override(read_recipe(recipe), assignments))
    if not isinstance(plain.get("train", {}), Mapping):
        raise InputError(f"{recipe}: train: expected a section, got {plain['train']!r}")
    if start := plain.get("init_from"):
        seed = plain.get("train", {}).get("seed", 0)
        for key, value, kind in (("init_from", start, str), ("train.seed", seed, int)):
            if type(value) is not kind:
                words = "a string" if kind is str else "a whole number"
                raise InputError(f"{recipe}: {key}: expected {words}, got {value!r}")
        try:
            before = initial_run(start, seed).config()
        except InputError:
            if made is None or not Run(made).exists:
                raise
            before = Run(made).config()
        inherited = {key: before.plain()[key] for key in RunConfig.INHERITED}
        config = RunConfig.parse(merge(inherited, plain), where=str(recipe))
        try:
            check_initial(before, config)
        except InputError as error:
            raise InputError(f"{recipe}: {error}; leave it out") from None
        return config
    return RunConfig.parse(plain, where=str(recipe))


def train(
    config: RunConfig,
    where: Path,
    *,
    resume: bool = False,
    track: Sequence[str] = (),
    watch: Watch | None = None,
    objectives: Objectives = OBJECTIVES,
    samplers: Samplers = SAMPLERS,
) -> EvaluationReport | ClassificationReport | None:
    """Train a run in a folder, or continue with it.

    Args:
        config: what to train.
        where: the folder.
        resume: continue from its newest checkpoint, where there is one.
        track: who is told of its numbers beside those that always are; see
            ``dans.training.trackers``.
        watch: called after each validation, its checkpoint written; what it raises ends training.
        objectives: those that can be chosen, by name.
        samplers: likewise.

    Returns:
        The last validation.

    Raises:
        InputError: the configuration or the folder cannot be used.
    """
    check_trackers(track)
    kg = KnowledgeGraph.load(config.data)
    run = Run(where)
    with Lock(where) as lock:
        there = lock.take()
        run.check(config, resume=resume)
        state = run.resume() if resume else None
        # A run that continues has weights of its own.
        fresh = structs.replace(config, init_from="") if state else config
        with needing_room(str(where), "a smaller encoder.dim may help"):
            trainer = build_trainer(fresh, kg, run, objectives, samplers)
        trainer.watch = watch
        if state:
            trainer.restore(state)
        reached = max(trainer.done, run.reached() if state else 0)
        if reached > config.train.steps:
            raise InputError(f"train.steps: {where} is at step {reached} already")
        where.mkdir(parents=True, exist_ok=True)
        lock.take()
        # Another process may have begun in a folder that was not there.
        run.begin(config, resume=resume and there)
        run.rewind(trainer.done if state else -1)
        best = trainer.best_step if trainer.evaluator is not None else trainer.done
        if state and not run.mend(best, state):
            trainer.forget_best()
        made = environment()
        if state:
            warn_of_other_bits(run, made)
        run.write_json("environment.json", made)
        return _train(trainer, run, config, track)


def _train(
    trainer: Trainer, run: Run, config: RunConfig, track: Sequence[str]
) -> EvaluationReport | ClassificationReport | None:
    """From where a trainer stands to the end, in a folder that is ours."""
    finished = False
    try:
        with trainer.saying_what_is_left():
            run.track(track, config)
        report = trainer.fit(config.train.steps)
        finished = True
    finally:
        run.close(finished=finished)
    return report


@dataclass(frozen=True)
class Trained:
    """A run brought back: its triples, its model with weights, and every entity's embedding."""

    config: RunConfig
    kg: KnowledgeGraph
    model: Model
    entities: torch.Tensor
    step: int
    #: the state of its objective; see ``sampler``
    state: Mapping[str, Any]
    #: those that can be chosen, by name
    samplers: Samplers = field(default_factory=lambda: SAMPLERS)

    @cached_property
    def sampler(self) -> NegativeSampler:
        """The sampler, as it had learnt by then.

        Raises:
            InputError: the run was trained without one.
        """
        if not self.config.sampler:
            name = self.config.objective.name
            raise InputError(f"sampler: the run was trained without one, by {name}")
        objective = build_objective(
            self.config, self.kg, self.model.encoder.dim, samplers=self.samplers
        )
        try:
            objective.load_state_dict(self.state)
        except (RuntimeError, TypeError, LookupError, AttributeError) as error:
            sentence = " ".join(str(error).split())
            raise InputError(f"checkpoint: of another objective: {sentence}") from error
        objective.to(self.entities.device)
        if not isinstance(objective, NegativeSampling):
            raise InputError(f"objective: {self.config.objective.name} offers no negatives")
        return objective.sampler

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the triples and the weights: two models with equal ones are the same."""
        digest = hashlib.sha256(self.kg.digest.encode())
        for name, weight in self.model.state_dict().items():
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            plain = weight.detach().cpu().contiguous().flatten().view(torch.uint8)
            digest.update(plain.numpy().tobytes())
        return digest.hexdigest()

    def positives(self, triples: torch.Tensor) -> Positives:
        """Triples by id, (b, 3), as the model's embeddings."""
        self.model.eval()
        return self.model.positives(triples.to(self.entities.device), self.entities)


def load(where: Path, *, which: Which = "best", samplers: Samplers = SAMPLERS) -> Trained:
    """Bring a trained run back.

    Args:
        where: its folder.
        which: its best or its last checkpoint.
        samplers: those that it can have been trained with, by name.

    Raises:
        InputError: there is no such run, or it belongs to other triples.
    """
    run = Run(where)
    config = run.config()
    kg = KnowledgeGraph.load(config.data)
    state = run.load(which)
    check_digest(state, kg)
    try:
        place = device(config.train.device)
    except InputError:
        log.warning("%s was trained on %s; continuing with the cpu", where, config.train.device)
        place = device("cpu")
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    seed_everything(config.train.seed)
    model = build_model(config, kg)
    give_weights(model, state["model"], f"{run.file(which)}: by another configuration: it")
    model.to(place).eval()
    # The same messages as those of the DGL graph, without the time its import takes; an encoder
    # that uses_graph to none needs none.
    triples = kg.train if model.encoder.uses_graph else kg.train[:0]
    messages = MessageGraph.of(triples, kg.num_entities, kg.num_relations, config.graph.norm)
    with needing_room(f"{where}: encoding all entities", "a device with more of it may help"):
        entities = model.embeddings(messages.to(place))
    try:
        restore_random_state(state["random"])
    except InputError as error:
        raise InputError(f"{run.file(which)}: {error}") from error
    return Trained(config, kg, model, entities, state["step"], state["objective"], samplers)


def warn_of_other_bits(run: Run, made: Mapping[str, Any]) -> None:
    """Warn where a run resumes with a torch or thread count that may sum in another order."""
    try:
        before = run.read_json("environment.json")
    except InputError:
        return
    changes = [
        f"{name}: {before[name]} then, {made[name]} now"
        for name in ("torch", "threads")
        if name in before and before[name] != made[name]
    ]
    if changes:
        log.warning(
            "%s: continues, though not to the same bits as one never stopped (%s)",
            run.path,
            "; ".join(changes),
        )


def environment() -> dict[str, Any]:
    """What a run was made with, for its folder."""
    return {
        "dans": dans.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
    }
