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
from dans.errors import InputError
from dans.evaluation import Evaluator, Report
from dans.losses import LOSSES
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
from dans.training.run import Run, Which
from dans.training.sources import WholeGraph, batches_of
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
        before = starting_run(str(start), seed).config()
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
    if preset not in PRESETS:
        raise InputError(f"{where}.preset: known: {', '.join(PRESETS)}; got {preset!r}")
    return {**PRESETS[preset], **given}


def build_objective(
    config: RunConfig, kg: KnowledgeGraph, dim: int, objectives: Objectives = OBJECTIVES
) -> Objective:
    """The objective of a recipe, with its sampler and its loss where it takes them.

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
    return Trainer(
        kg,
        model,
        build_objective(config, kg, model.encoder.dim, objectives).to(place),
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
        evaluator=build_evaluator(config, kg),
        run=run,
        dump=Dump(run.path / "negatives", kg) if config.train.dump and run is not None else None,
    )


def build_evaluator(config: RunConfig, kg: KnowledgeGraph) -> Evaluator | Classifier | None:
    """What judges validation facts; None where there are none.

    Raises:
        InputError: it should classify them, and they are not labelled true and false.
    """
    if config.train.select == "nll":
        try:
            return Classifier(kg, "valid")
        except InputError as error:
            raise InputError(f"train.select: nll: {error}") from error
    return Evaluator(kg, "valid") if len(kg.valid) else None


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
    shapes, given = (
        {name: tuple(weight.shape) for name, weight in weights.items()}
        for weights in (model.state_dict(), state["model"])
    )
    for name in [*shapes, *(name for name in given if name not in shapes)]:
        if shapes.get(name) != given.get(name):
            raise InputError(
                f"start: {run.path} has {name} of shape {given.get(name)}, this model of "
                f"{shapes.get(name)}"
            )
    log.info("starting from %s, step %d", run.path, state["step"])
    model.load_state_dict(state["model"])


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
    kg = KnowledgeGraph.load(config.data)
    run = Run(where)
    run.check(config, resume=resume)
    goes_on = resume and run.file("last").exists()
    # A run that goes on has weights of its own.
    fresh = dataclasses.replace(config, start="") if goes_on else config
    trainer = build_trainer(fresh, kg, run, objectives)
    trainer.watch = watch
    if goes_on:
        trainer.restore(run.load("last"))
    if trainer.done > config.train.steps:
        raise InputError(f"train.steps: {where} is at step {trainer.done} already")
    run.begin(config, resume=resume)
    step = trainer.done if goes_on else -1
    run.rewind(step)
    run.write_json("environment.json", environment())
    try:
        run.track(track, config, step)
        report = trainer.fit(config.train.steps)
    finally:
        run.close()
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
        objective.load_state_dict(self.state)
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
    model.load_state_dict(state["model"])
    model.to(place).eval()
    entities = model.vectors(kg.messages(config.graph.norm).to(place))
    restore_random_state(state["random"])
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
