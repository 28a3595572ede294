"""Configurations to objects: the only module that knows all the others."""

import dataclasses
import logging
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

import dans
from dans.batch import Positives
from dans.classifier import Classifier, Verdict
from dans.config import Component, GraphConfig, RunConfig
from dans.data.graph import KnowledgeGraph
from dans.data.messages import MessageGraph
from dans.errors import InputError
from dans.evaluation import Evaluator, Report
from dans.losses import LOSSES
from dans.memory import Budget, stated
from dans.models import ENCODERS
from dans.models.decoders import DECODERS
from dans.models.model import Model
from dans.objectives import OBJECTIVES, NegativeSampling, Objective
from dans.recipes import merge, override, read_recipe
from dans.registry import build, choose, options
from dans.regularizers import REGULARIZERS, Regularizer
from dans.samplers import SAMPLERS, Mixture, NegativeSampler
from dans.samplers.dans import PRESETS
from dans.seeding import device, restore_random_state, seed_everything
from dans.starting import check_start
from dans.training.dump import Dump
from dans.training.lock import Lock
from dans.training.remembering import run_budget
from dans.training.run import Run, Which
from dans.training.sources import WholeGraph, batches_of
from dans.training.tracking import check_trackers
from dans.training.trainer import Trainer, Watch, check_digest

log = logging.getLogger(__name__)

#: Where runs go unless they are told otherwise, by kind, recipe and seed.
RUNS = Path("runs")

#: The scripts that train, by the kind of run they make.
DOORS = {
    "pretrain": "pretrain_rgcn.py",
    "dans": "train_dans.py",
    "baselines": "train_baseline.py",
}

#: Objectives that can be chosen, by name: those of ``dans``, or a rival's beside them.
Objectives = Mapping[str, Callable[..., Objective]]


def folder(name: str, seed: int) -> Path:
    """The folder of a run by its name, such as ``pretrain/umls-distmult``."""
    return RUNS / name / f"seed{seed}"


def configure(recipe: Path, assignments: list[str]) -> RunConfig:
    """A recipe and its overrides as a configuration.

    A recipe that starts from another run takes over that run's data, graph, encoder and decoder,
    but for what ``dans.starting.FREE`` lets it set itself.

    Args:
        recipe: a TOML file.
        assignments: ``section.option=value``, applied last.

    Raises:
        InputError: the recipe, an override, or the run to start from cannot be used.
    """
    plain = override(read_recipe(recipe), assignments)
    if not isinstance(plain.get("train", {}), Mapping):
        raise InputError(f"{recipe}: train: expected a section, got {plain['train']!r}")
    if start := plain.get("start"):
        seed = plain.get("train", {}).get("seed", 0)
        for key, value, kind in (("start", start, str), ("train.seed", seed, int)):
            if type(value) is not kind:
                words = "a string" if kind is str else "a whole number"
                raise InputError(f"{recipe}: {key}: expected {words}, got {value!r}")
        before = starting_run(start, seed).config()
        inherited = {key: before.plain()[key] for key in RunConfig.INHERITED}
        config = RunConfig.parse(merge(inherited, plain), where=str(recipe))
        try:
            check_start(before, config)
        except InputError as error:
            raise InputError(f"{recipe}: {error}; leave it out") from None
        return config
    return RunConfig.parse(plain, where=str(recipe))


def starting_run(start: str, seed: int) -> Run:
    """The run whose weights another one starts from: a name under ``runs``, or a folder.

    Raises:
        InputError: it has not been made; the message says how to.
    """
    run = Run(Path(start)) if (Path(start) / "config.json").exists() else Run(folder(start, seed))
    if not run.file("best").exists():
        kind, recipe = Path(start).parent.name, Path(start).name
        raise InputError(
            f"{run.path}: the run to start from is not there; make it with: "
            f"python scripts/{DOORS.get(kind, DOORS['pretrain'])} --recipe {recipe} --seed {seed}"
        )
    return run


def build_model(config: RunConfig, kg: KnowledgeGraph) -> Model:
    """Encoder and decoder for some facts."""
    encoder = build(
        ENCODERS,
        config.encoder.name,
        where="encoder",
        given=config.encoder.options,
        num_entities=kg.num_entities,
        num_relations=kg.num_relations,
    )
    decoder = build(
        DECODERS,
        config.decoder.name,
        where="decoder",
        given=config.decoder.options,
        num_relations=kg.num_relations,
        dim=encoder.dim,
    )
    return Model(encoder, decoder)


def build_sampler(config: RunConfig, kg: KnowledgeGraph, dim: int) -> NegativeSampler:
    """The samplers of a recipe, side by side."""
    members = [
        build_member(part, kg, dim, where=f"sampler.{i}") for i, part in enumerate(config.sampler)
    ]
    return members[0] if len(members) == 1 else Mixture(*members)


def build_member(part: Component, kg: KnowledgeGraph, dim: int, *, where: str) -> NegativeSampler:
    """One sampler; ``where`` its options come from opens every error."""
    return build(
        SAMPLERS,
        part.name,
        where=where,
        given=with_preset(part, where),
        dim=dim,
        num_entities=kg.num_entities,
        num_relations=kg.num_relations,
        facts=kg.train,
        known=kg.known(("train",)),
        walks=kg.walks,
        entity_names=kg.entities,
        relation_names=kg.relations,
    )


def with_preset(part: Component, where: str) -> dict[str, Any]:
    """A sampler's options, with those of the preset it names underneath."""
    given = dict(part.options)
    if part.name != "dans" or "preset" not in given:
        return given
    preset = given.pop("preset")
    if preset not in tuple(PRESETS):
        raise InputError(f"{where}.preset: known: {', '.join(PRESETS)}; got {preset!r}")
    return {**PRESETS[preset], **given}


def build_objective(
    config: RunConfig,
    kg: KnowledgeGraph,
    dim: int,
    objectives: Objectives = OBJECTIVES,
    *,
    budget: Budget | None = None,
) -> Objective:
    """The objective of a recipe, with its sampler and its loss where it takes them.

    Args:
        config: the recipe.
        kg: the facts.
        dim: d.
        objectives: those that can be chosen, by name.
        budget: for one that scores all entities.

    Raises:
        InputError: a part is missing, has no place in this objective, or cannot be built.
    """
    name = config.objective.name
    asked = options(choose(objectives, name, where="objective.name"))
    given = {"sampler": config.sampler, "loss": config.loss, "l2": config.train.l2}
    for part, value in given.items():
        where = "train.l2" if part == "l2" else part
        if value and part not in asked:
            raise InputError(f"{where}: has no place in the objective {name}; leave it out")
        if not value and part in asked and part != "l2":
            raise InputError(f"{where}: missing; the objective {name} needs it")
    loss = config.loss
    return build(
        objectives,
        name,
        where="objective",
        given=config.objective.options,
        sampler=build_sampler(config, kg, dim) if config.sampler else None,
        loss=build(LOSSES, loss.name, where="loss", given=loss.options) if loss else None,
        l2=config.train.l2,
        num_entities=kg.num_entities,
        num_relations=kg.num_relations,
        facts=kg.train,
        known=kg.known(("train",)),
        num_batches=len(batches_of(kg.train, config.train)),
        decoder=config.decoder.name,
        budget=budget,
    )


def build_regularizers(config: RunConfig, kg: KnowledgeGraph) -> dict[str, Regularizer]:
    """The regularisers of a recipe, by name; one that is there already has its number behind."""
    found: dict[str, Regularizer] = {}
    for i, part in enumerate(config.regularizer):
        found[f"{part.name}.{i}" if part.name in found else part.name] = build(
            REGULARIZERS,
            part.name,
            where=f"regularizer.{i}",
            given=part.options,
            num_batches=len(batches_of(kg.train, config.train)),
            decoder=config.decoder.name,
        )
    return found


def build_trainer(
    config: RunConfig,
    kg: KnowledgeGraph,
    run: Run | None,
    objectives: Objectives = OBJECTIVES,
) -> Trainer:
    """All of a run, seeded; weights are those of ``config.start`` where it names a run."""
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    place = device(config.train.device)
    seed_everything(config.train.seed)
    model = build_model(config, kg)
    if not model.encoder.listens and config.graph != GraphConfig():
        raise InputError(
            f"graph: has no effect on the encoder {config.encoder.name}, which does not listen to "
            "messages; leave it out"
        )
    if config.start:
        start_from(model, kg, starting_run(config.start, config.train.seed))
    model.to(place)
    asked = config.train.memory_budget
    budget = run_budget(run, asked, place) if run else Budget(stated(asked), place=place)
    return Trainer(
        kg,
        model,
        build_objective(config, kg, model.encoder.dim, objectives, budget=budget).to(place),
        config=config.train,
        source=WholeGraph(
            kg.train.to(place),
            kg.messages(config.graph.norm).to(place),
            sample=config.graph.sample,
            hold_out=config.graph.hold_out,
            sparse=config.train.optimizer != "adam",
        ),
        regularizers=build_regularizers(config, kg),
        phases=config.phase,
        evaluator=build_evaluator(config, kg, budget),
        run=run,
        dump=Dump(run.path / "negatives", kg) if config.train.dump and run is not None else None,
    )


def build_evaluator(
    config: RunConfig, kg: KnowledgeGraph, budget: Budget | None = None
) -> Evaluator | Classifier | None:
    """What judges validation facts; None where there are none.

    Raises:
        InputError: it should classify them, and they are not labelled true and false.
    """
    if config.train.select == "nll":
        try:
            return Classifier(kg, "valid", budget=budget)
        except InputError as error:
            raise InputError(f"train.select: nll: {error}") from error
    return Evaluator(kg, "valid", budget=budget) if len(kg.valid) else None


def start_from(model: Model, kg: KnowledgeGraph, run: Run) -> None:
    """Give a model the best weights of another run.

    Raises:
        InputError: the run is not over, or of other facts, or its weights have other shapes.
    """
    last, config = run.load("last"), run.config().train
    waited = (last["step"] - last["best"]["step"]) // config.validate_every
    if last["step"] < config.steps and not 0 < config.patience <= waited:
        raise InputError(
            f"{run.path}: stopped at step {last['step']} of {config.steps}; "
            "go on with it first, by --resume"
        )
    state = run.load("best")
    check_digest(state, kg)
    give_weights(model, state["model"], f"start: {run.path}")
    log.info("starting from %s, step %d", run.path, state["step"])


def give_weights(model: Model, weights: Mapping[str, Any], where: str) -> None:
    """Put weights into a model.

    Args:
        model: takes them.
        weights: by name.
        where: they come from; opens the error.

    Raises:
        InputError: they are not those of such a model.
    """
    shapes, given = (
        {name: tuple(getattr(weight, "shape", ())) for name, weight in part.items()}
        for part in (model.state_dict(), weights)
    )
    for name in [*shapes, *(name for name in given if name not in shapes)]:
        if shapes.get(name) != given.get(name):
            raise InputError(
                f"{where} has {name} of shape {given.get(name)}, this model of {shapes.get(name)}"
            )
    model.load_state_dict(weights)


def train(
    config: RunConfig,
    where: Path,
    *,
    resume: bool = False,
    track: Sequence[str] = (),
    watch: Watch | None = None,
    objectives: Objectives = OBJECTIVES,
) -> Report | Verdict | None:
    """Train a run in a folder, or go on with it.

    Args:
        config: what to train.
        where: the folder.
        resume: go on from its newest checkpoint, where there is one.
        track: who is told of its numbers beside those that always are; see
            ``dans.training.tracking``.
        watch: called after each validation, its checkpoint written; what it raises ends training.
        objectives: those that can be chosen, by name.

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
        # A run that goes on has weights of its own.
        fresh = dataclasses.replace(config, start="") if state else config
        trainer = build_trainer(fresh, kg, run, objectives)
        trainer.watch = watch
        if state:
            trainer.restore(state)
        if trainer.done > config.train.steps:
            raise InputError(f"train.steps: {where} is at step {trainer.done} already")
        where.mkdir(parents=True, exist_ok=True)
        lock.take()
        # Another process may have begun in a folder that was not there.
        run.begin(config, resume=resume and there)
        run.rewind(trainer.done if state else -1)
        best = trainer.best_step if trainer.evaluator is not None else trainer.done
        if state and not run.mend(best, state):
            trainer.forget_best()
        return _train(trainer, run, config, track)


def _train(
    trainer: Trainer, run: Run, config: RunConfig, track: Sequence[str]
) -> Report | Verdict | None:
    """From where a trainer stands to the end, in a folder that is ours."""
    run.write_json("environment.json", environment())
    finished = False
    try:
        run.track(track, config)
        report = trainer.fit(config.train.steps)
        finished = True
    finally:
        run.close(finished=finished)
    return report


@dataclass(frozen=True)
class Trained:
    """A run brought back: its facts, its model with weights, and every entity's vector."""

    config: RunConfig
    kg: KnowledgeGraph
    model: Model
    entities: torch.Tensor
    step: int
    #: the state of its objective; see ``sampler``
    state: Mapping[str, Any]

    @cached_property
    def sampler(self) -> NegativeSampler:
        """The sampler, as it had learnt by then.

        Raises:
            InputError: the run was trained without one.
        """
        if not self.config.sampler:
            name = self.config.objective.name
            raise InputError(f"sampler: the run was trained without one, by {name}")
        objective = build_objective(self.config, self.kg, self.model.encoder.dim)
        try:
            objective.load_state_dict(self.state)
        except (RuntimeError, TypeError, LookupError, AttributeError) as error:
            sentence = " ".join(str(error).split())
            raise InputError(f"checkpoint: of another objective: {sentence}") from error
        objective.to(self.entities.device)
        if not isinstance(objective, NegativeSampling):
            raise InputError(f"objective: {self.config.objective.name} offers no rivals")
        return objective.sampler

    def positives(self, triples: torch.Tensor) -> Positives:
        """Facts by id, (b, 3), as the model's vectors."""
        self.model.eval()
        return self.model.positives(triples.to(self.entities.device), self.entities)


def load(where: Path, *, which: Which = "best") -> Trained:
    """Bring a trained run back.

    Args:
        where: its folder.
        which: its best or its last checkpoint.

    Raises:
        InputError: there is no such run, or it belongs to other facts.
    """
    run = Run(where)
    config = run.config()
    kg = KnowledgeGraph.load(config.data)
    state = run.load(which)
    check_digest(state, kg)
    try:
        place = device(config.train.device)
    except InputError:
        log.warning("%s was trained on %s; going on with the cpu", where, config.train.device)
        place = device("cpu")
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    seed_everything(config.train.seed)
    model = build_model(config, kg)
    give_weights(model, state["model"], f"{run.file(which)}: by another configuration: it")
    model.to(place).eval()
    # The same messages as those of the DGL graph, without the time its import takes; an encoder
    # that listens to none needs none.
    facts = kg.train if model.encoder.listens else kg.train[:0]
    messages = MessageGraph.of(facts, kg.num_entities, kg.num_relations, config.graph.norm)
    entities = model.vectors(messages.to(place))
    try:
        restore_random_state(state["random"])
    except InputError as error:
        raise InputError(f"{run.file(which)}: {error}") from error
    return Trained(config, kg, model, entities, state["step"], state["objective"])


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
