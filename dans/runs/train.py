"""Configures, trains and loads runs."""

import hashlib
import logging
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

import dans
from dans.compiled import compiler_version
from dans.config.old_names import renamed_options
from dans.config.reading import convert
from dans.config.recipes import Recipe, merge, override, read_recipe
from dans.config.schema import RunConfig
from dans.data.entity_features import EntityFeatures
from dans.data.graph import KnowledgeGraph
from dans.data.message_graph import MessageGraph
from dans.data.neighbor_sampling import IncomingMessages
from dans.data.progress import heartbeat
from dans.errors import InputError
from dans.evaluation.classifier import ClassificationReport
from dans.evaluation.evaluator import EvaluationReport
from dans.memory import needing_room
from dans.models.batch import Positives
from dans.models.model import Model
from dans.objectives import OBJECTIVES, NegativeSampling
from dans.runs.build import (
    Objectives,
    Samplers,
    build_model,
    build_objective,
    build_trainer,
    sampler_files,
    with_copies,
    with_features,
)
from dans.runs.grown_graph import features_as_in, is_of
from dans.runs.init_from import OF_TABLES, check_initial, initial_run, without_initial
from dans.samplers import SAMPLERS, NegativeSampler
from dans.seeding import find_device, restore_random_state, seed_everything, undisturbed
from dans.training.checkpoint_store import Which
from dans.training.distributed import World, join
from dans.training.lock import Lock, LockedError
from dans.training.loggers import check_loggers
from dans.training.run_folder import AMONG, PLACE, SAMPLER_FILES, RunFolder, restricting
from dans.training.state_checks import check_config, check_counts, check_digest, check_like
from dans.training.trainer import Watch, explain_interruption

log = logging.getLogger(__name__)


def configure(
    recipe: Path | Recipe, assignments: list[str], *, resumed: Path | None = None
) -> RunConfig:
    """The configuration of a recipe and its overrides.

    A recipe with ``init_from`` takes over that run's data, graph, encoder and decoder, except for
    the options in ``dans.runs.init_from.FREE``.

    Args:
        assignments: ``section.option=value``, applied last.
        resumed: the folder of a run that resumes; what it took over is read there if the run it was
            initialised from no longer exists.
    """
    plain = renamed_options(override(read_recipe(recipe), assignments))
    if not isinstance(plain.get("train", {}), Mapping):
        raise InputError(f"{recipe}: train: expected a section, got {plain['train']!r}")
    if not plain.get("init_from"):
        return RunConfig.parse(plain, where=str(recipe))
    start = convert(plain["init_from"], str, f"{recipe}: ", "init_from")
    seed = convert(plain.get("train", {}).get("seed", 0), int, f"{recipe}: ", "train.seed")
    try:
        before = initial_run(start, seed).config()
    except InputError:
        if resumed is None or not RunFolder(resumed).exists:
            raise
        before = RunFolder(resumed).config()
    return inherit(plain, before, where=str(recipe))


def inherit(plain: Mapping[str, Any], before: RunConfig, where: str = "") -> RunConfig:
    """The configuration of a recipe that takes over data, graph, encoder and decoder of a run.

    An encoder that is named anew takes over the width.

    Raises:
        InputError: it changes an option of the model that the run's weights depend on.
    """
    inherited = {key: value for key, value in before.plain().items() if key in RunConfig.INHERITED}
    merged = merge(inherited, plain)
    if isinstance(merged["encoder"], Mapping):
        # One that resumes finds them in its own folder, where the lookup may be gone.
        shared = {key: it for key, it in before.encoder.options.items() if key in OF_TABLES}
        merged["encoder"] = {**shared, **merged["encoder"]}
    config = RunConfig.parse(merged, where=where)
    try:
        check_initial(before, config)
    except InputError as error:
        raise InputError(f"{where}{': ' * bool(where)}{error}") from None
    return config


def train(
    config: RunConfig,
    where: Path,
    *,
    kg: KnowledgeGraph | None = None,
    resume: bool = False,
    loggers: Sequence[str] = (),
    watch: Watch | None = None,
    objectives: Objectives = OBJECTIVES,
    samplers: Samplers = SAMPLERS,
    lock: Lock | None = None,
    said: set[str] | None = None,
) -> EvaluationReport | ClassificationReport | None:
    """Train a run in a folder, or resume it; returns the last validation.

    Args:
        kg: the triples; None: those that the run, or the run it is initialised from, keeps a copy
            of, or else those that the configuration names. A graph that was in memory, or read
            from a single file, is kept in the run's folder.
        resume: from the newest checkpoint, where there is one.
        loggers: keys of ``dans.training.loggers.LOGGERS``, beside those of every run.
        watch: called after each validation, its checkpoint written; an exception in it ends
            training.
        objectives: those that can be chosen, by name; ``samplers`` likewise.
        lock: the folder's, of a caller who has more to do there; it keeps it.
        said: notices that are not to be said again; those said are added.
    """
    check_loggers(loggers)
    run = RunFolder(where)
    world = join(find_device(config.train.device))
    leads, run.checkpoints.world = world is None or world.leads, world
    kg = _triples(config, run, kg, world, resume=resume)
    own_lock = Lock(where) if leads and lock is None else nullcontext(lock)
    with own_lock as lock, ExitStack() as undoing:
        # Is the folder there, and no other process in it?
        found = lock is not None and lock.take()
        run.check(config, resume=resume)
        state = run.checkpoints.resume() if resume else None
        if resume and state is None and leads:
            run.tell_if_lost()
        # A run that continues has weights of its own.
        fresh = without_initial(config) if state else config
        with needing_room(str(where), "a smaller encoder.dim may help"):
            trainer = build_trainer(fresh, kg, run, objectives, samplers, world, said=said)
        trainer.watch = watch
        if state:
            check_config(state, config)
            trainer.restore(state)
        reached = max(trainer.done, run.checkpoints.best_step() if state else 0)
        if reached > config.train.steps:
            raise InputError(f"train.steps: {where} is at step {reached} already")
        if world is not None:
            # What others have yet to look at must not change.
            world.wait()
        if lock is not None:
            _begin(run, config, lock, undoing, resume=resume, found=found)
            run.metrics.rewind(trainer.done if state else -1)
        best = trainer.best_step if trainer.evaluator is not None else trainer.done
        if state and not run.checkpoints.mend_best(best, state):
            trainer.forget_best()
        current = environment()
        if state:
            log.info("%s: %s", where, trainer.resumption(config.train.steps))
            warn_of_other_bits(run, current)
        if leads:
            run.write_json("environment.json", current)
            _keep_inputs(run, config, kg, samplers)
        finished = False
        try:
            if leads:
                with explain_interruption(trainer):
                    run.metrics.start(loggers, config.plain())
            report = trainer.fit(config.train.steps)
            finished = True
        finally:
            if leads:
                run.metrics.close(finished=finished)
        return report


def _triples(
    config: RunConfig,
    run: RunFolder,
    kg: KnowledgeGraph | None,
    world: World | None,
    *,
    resume: bool,
) -> KnowledgeGraph:
    """The triples given, with the run's features, or those it names; the same in all processes."""
    if kg is not None:
        kg = features_of(config, run, kg, resume=resume)
    else:
        # The first process alone downloads and converts.
        if world is not None and not world.leads:
            world.wait()
        kg = graph_of(config, run, resume=resume)
        if world is not None and world.leads:
            world.wait()
    if world is not None:
        world.check_equal("the triples", kg.digest)
        world.check_equal("the configuration", config.plain())
    return kg


def _begin(
    run: RunFolder, config: RunConfig, lock: Lock, undoing: ExitStack, *, resume: bool, found: bool
) -> None:
    """Make the folder a run's, unless another process did so since it was not ``found``.

    ``undoing`` takes it back where training fails before its first checkpoint.
    """
    made = [path for path in (run.path, *run.path.parents) if not path.exists()]
    run.path.mkdir(parents=True, exist_ok=True)
    lock.take()
    if resume and run.exists and not found:
        raise LockedError(f"{run.path}: another process made this run meanwhile; try again")
    undoing.enter_context(run.undone_unless_saved(made))
    # Another process may have begun in a folder that was not there.
    run.begin(config, resume=resume and found)


def _keep_inputs(run: RunFolder, config: RunConfig, kg: KnowledgeGraph, samplers: Samplers) -> None:
    """Keep in the folder what the run reads: triples, features, files; or where they are."""
    if Path(kg.source).is_absolute():
        # A folder of triples is not copied.
        run.write_json(PLACE, {"data": config.data, "triples": kg.source})
    if not kg.source and not run.graph.exists():
        kg.with_features(None).save(run.graph)
    if config.features is not None and kg.features is not None:
        kg.features.save(run.features)
    run.copy(AMONG, restricting(config.evaluation))
    run.copy(SAMPLER_FILES, sampler_files(config, samplers))


@dataclass(frozen=True)
class Trained:
    """A trained run: its triples, its model with weights, and every entity's embedding."""

    config: RunConfig
    kg: KnowledgeGraph
    model: Model
    entities: torch.Tensor
    step: int
    #: of its objective
    state: Mapping[str, Any]
    samplers: Samplers = field(default_factory=lambda: SAMPLERS)
    #: its folder, with copies of the files that its samplers read
    run: RunFolder | None = None

    @cached_property
    @undisturbed()
    def sampler(self) -> NegativeSampler:
        """The sampler, with what it had learnt at the checkpoint."""
        name, dim = self.config.objective.name, self.model.encoder.dim
        if not self.config.sampler:
            raise InputError(f"sampler: the run was trained without one, by {name}")
        config = with_copies(self.config, self.run, self.samplers)
        objective = build_objective(config, self.kg, dim, samplers=self.samplers)
        check_like(self.state, objective, "checkpoint: objective")
        try:
            objective.load_state_dict(self.state)
        except (RuntimeError, TypeError, LookupError, AttributeError) as error:
            sentence = " ".join(str(error).split())
            raise InputError(f"checkpoint: of another objective: {sentence}") from error
        objective.to(self.entities.device)
        if not isinstance(objective, NegativeSampling):
            raise InputError(f"objective: {name} offers no negatives")
        return objective.sampler

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the triples, the features and the weights."""
        digest = hashlib.sha256(self.kg.digest.encode())
        if self.config.features is not None and self.kg.features is not None:
            digest.update(self.kg.features.digest.encode())
        for name, weight in self.model.state_dict().items():
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            plain = weight.detach().cpu().contiguous().flatten().view(torch.uint8)
            digest.update(plain.numpy().tobytes())
        return digest.hexdigest()

    def positives(self, triples: torch.Tensor) -> Positives:
        """The embeddings of (b, 3) triples."""
        self.model.eval()
        return self.model.positives(triples.to(self.entities.device), self.entities)


def restore(where: Path, *, which: Which = "best", samplers: Samplers = SAMPLERS) -> Trained:
    """Load a trained run, with torch's random state and number of threads as at its checkpoint."""
    run = RunFolder(where)
    config = run.config()
    kg = graph_of(config, run)
    state, file = run.checkpoints.load(which), run.checkpoints.file(which)
    try:
        check_digest(state, kg)
        check_config(state, config)
        check_counts(state, config.train.steps)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    try:
        device = find_device(config.train.device)
    except InputError:
        log.warning("%s was trained on %s; continuing with the cpu", where, config.train.device)
        device = find_device("cpu")
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    seed_everything(config.train.seed)
    try:
        model = build_model(config, kg)
    except InputError as error:
        raise InputError(f"{where}/config.json: {error}") from error
    check_like(state["model"], model, f"{file}: model")
    model.load_state_dict(state["model"])
    model.to(device).eval()
    encoding = f"{where}: encoding all entities"
    with heartbeat(encoding), needing_room(encoding, "a device with more of it may help"):
        entities = embeddings_of(config, kg, model)
    try:
        restore_random_state(state["random"])
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    return Trained(config, kg, model, entities, state["step"], state["objective"], samplers, run)


def embeddings_of(config: RunConfig, kg: KnowledgeGraph, model: Model) -> torch.Tensor:
    """Every entity's embedding, (n, d), from the messages of all training triples."""
    # Not those that the graph keeps: they are of no use once everything is encoded.
    triples = kg.train if model.encoder.uses_graph else kg.train[:0]
    graph = triples, kg.num_entities, kg.num_relations, config.graph.norm
    if config.graph.fanout:
        return model.embeddings_in_pieces(IncomingMessages(*graph))
    # A copy: those of a lookup encoder are its weights, which are not the caller's to change.
    messages = MessageGraph.of(*graph).to(model.decoder.relation.weight.device)
    return model.embeddings(messages).detach().clone()


@undisturbed()
def load(where: Path, *, which: Which = "best", samplers: Samplers = SAMPLERS) -> Trained:
    """Load a trained run from its folder, at its best or its last checkpoint.

    Torch's random state and number of threads are left as found.
    """
    return restore(where, which=which, samplers=samplers)


def graph_of(config: RunConfig, run: RunFolder, *, resume: bool = True) -> KnowledgeGraph:
    """The triples of a run, with the features that it has."""
    return features_of(config, run, triples_of(config, run, resume=resume), resume=resume)


def triples_of(config: RunConfig, run: RunFolder, *, resume: bool = True) -> KnowledgeGraph:
    """The triples of a run: its own copy, that of the run it starts from, or as it names them."""
    where: str | Path = config.data
    if resume and run.exists:
        where = run.triples(config.data)
    elif config.init_from and not run.exists:
        before = initial_run(config.init_from, config.train.seed)
        if config.data == before.config().data:
            where = before.triples(config.data)
    return KnowledgeGraph.load(where)


def features_of(
    config: RunConfig, run: RunFolder, kg: KnowledgeGraph, *, resume: bool
) -> KnowledgeGraph:
    """A graph with the features of a run: its own copy, or likewise; in its columns if it grew."""
    if config.features is None:
        return kg
    places = [run.features] if resume else []
    if config.init_from and not run.exists:
        before = initial_run(config.init_from, config.train.seed)
        if not is_of(before, kg):
            tables = config.features.table if kg.features is None else {}
            return features_as_in(before, kg, tables)
        places.append(before.features)
    return with_features(config, kg, *(EntityFeatures.load(p) for p in places if p.exists()))


def warn_of_other_bits(run: RunFolder, current: Mapping[str, Any]) -> None:
    """Warn if a run resumes with another version of torch, number of threads or C compiler."""
    try:
        before = run.read_json("environment.json")
    except InputError:
        return
    changed = [
        name
        for name in ("torch", "threads", "compiler")
        if before.get(name, current[name]) != current[name]
    ]
    if changed:
        changes = "; ".join(f"{name}: {before[name]} then, {current[name]} now" for name in changed)
        sentence = "%s: continues, though not to the same bits as one never stopped (%s)"
        log.warning(sentence, run.path, changes)


def environment() -> dict[str, Any]:
    """Versions and hardware that a run is trained with."""
    return {
        "dans": dans.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "compiler": compiler_version(),
        "cores": os.cpu_count(),
    }
