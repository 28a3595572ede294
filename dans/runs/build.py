"""Builds the objects that a configuration names: the one module that knows every component."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from msgspec.structs import replace

from dans.config.schema import Component, EvaluationConfig, GraphConfig, RunConfig
from dans.config.selection import Selection
from dans.data.entity_features import EntityFeatures
from dans.data.graph import SPLITS, KnowledgeGraph
from dans.data.neighbor_sampling import IncomingMessages
from dans.errors import InputError, one_of
from dans.evaluation.candidate_sets import Restriction, candidate_sets
from dans.evaluation.classifier import Classifier
from dans.evaluation.evaluator import Evaluator
from dans.evaluation.sampled_ranking import ranking
from dans.memory import Budget, stated
from dans.models import ENCODERS
from dans.models.decoders import DECODERS, Decoder
from dans.models.embedding_tables import sharing
from dans.models.encoders import Encoder
from dans.models.features import FeatureInput
from dans.models.model import Model
from dans.objectives import OBJECTIVES, Objective
from dans.objectives.losses import LOSSES
from dans.objectives.regularizers import REGULARIZERS, Regularizer
from dans.registry import build, choose, file_options, options
from dans.runs.grown_graph import Growth
from dans.runs.init_from import initial_run, initialise_from, initialise_rows
from dans.samplers import SAMPLERS, Mixture, NegativeSampler
from dans.samplers.dans.sampler import PRESETS
from dans.seeding import find_device, seed_everything
from dans.training.batches import BatchEncoder, FullGraph, NeighborSampling, batches_of
from dans.training.distributed import World
from dans.training.negatives_log import NegativesLog
from dans.training.run_folder import SAMPLER_FILES, RunFolder
from dans.training.state_checks import meaning
from dans.training.trainer import Trainer

log = logging.getLogger(__name__)

#: Graphs with more entities are large: ``train.encode = auto`` encodes some of them in a step.
MANY = 100_000

#: Validation triples of such a graph that are more take long to rank.
MANY_RANKED = 1000

#: What can be chosen by name: that of ``dans``, or a baseline's beside it.
Objectives = Mapping[str, Callable[..., Objective]]
Samplers = Mapping[str, type[NegativeSampler]]


def build_model(config: RunConfig, kg: KnowledgeGraph) -> Model:
    """The encoder and decoder of a configuration."""
    sizes: dict[str, int] = {"num_entities": kg.num_entities, "num_relations": kg.num_relations}
    one, other = config.encoder, config.decoder
    encoder = build(
        ENCODERS,
        one.name,
        where="encoder",
        given=one.options,
        features=feature_input(config, kg),
        **sizes,
    )
    sizes["dim"] = encoder.dim
    decoder = build(DECODERS, other.name, where="decoder", given=other.options, **sizes)
    check_kind("encoder", encoder, Encoder)
    check_kind("decoder", decoder, Decoder)
    return Model(encoder, decoder)


def feature_input(config: RunConfig, kg: KnowledgeGraph) -> FeatureInput | None:
    """The features of a graph as the encoder takes them, if the configuration has them."""
    if config.features is None:
        return None
    if "features" not in options(choose(ENCODERS, config.encoder.name, where="encoder.name")):
        raise InputError(f"features: the encoder {config.encoder.name} takes none; leave them out")
    found, how = with_features(config, kg).features, config.features
    if found is None:
        return None
    return FeatureInput(found.values, found.present.any(1), how.combine, how.hidden)


def with_features(
    config: RunConfig, kg: KnowledgeGraph, *copies: EntityFeatures | None
) -> KnowledgeGraph:
    """A graph with the features of a configuration, if it has any.

    They are the first of these: copies that runs keep, those that the graph has, the files that
    the configuration names.

    Raises:
        InputError: there are none, or the run's copy is of others than the graph has.
    """
    if config.features is None:
        return kg
    kept = next((copy for copy in copies if copy is not None), None)
    if kept is not None:
        if kg.features is not None and kg.features.digest != kept.digest:
            raise InputError("features: not those that the run keeps a copy of; leave them out")
        return kg.with_features(kept)
    if kg.features is not None:
        return kg
    if not config.features.table:
        raise InputError(
            "features: there are none; name files in features.table, or give dans.train features="
        )
    return kg.with_features(config.features.table)


def build_member(
    part: Component, kg: KnowledgeGraph, dim: int, samplers: Samplers = SAMPLERS, *, where: str
) -> NegativeSampler:
    """One of the samplers; ``where`` its options come from opens every error."""
    sampler = build(
        samplers,
        part.name,
        where=where,
        given=with_preset(part, where),
        dim=dim,
        num_entities=kg.num_entities,
        num_relations=kg.num_relations,
        triples=kg.train,
        known=kg.known(("train",)),
        walks=kg.walks,
        entity_names=kg.entities,
        relation_names=kg.relations,
    )
    check_kind(where, sampler, NegativeSampler)
    return sampler


def check_kind(where: str, made: object, kind: type) -> None:
    """Refuse a component of one's own that is of another kind than its place asks for."""
    if not isinstance(made, kind):
        name = type(made).__name__
        raise InputError(f"{where}: {name} is no {kind.__name__}; expected a subclass of it")


def sampler_files(config: RunConfig, samplers: Samplers = SAMPLERS) -> dict[str, str]:
    """The files that the samplers read, by the sampler's number and its option."""
    return {
        f"{i}.{option}": file
        for i, part in enumerate(config.sampler)
        for option in (file_options(samplers[part.name]) if part.name in samplers else ())
        if isinstance(file := part.options.get(option), str)
    }


def with_copies(
    config: RunConfig, run: RunFolder | None, samplers: Samplers = SAMPLERS
) -> RunConfig:
    """A configuration whose samplers read the run's copies of their files, where it has them."""
    copies = {} if run is None else run.copied(SAMPLER_FILES, sampler_files(config, samplers))
    parts = list(config.sampler)
    for name, copy in copies.items():
        number, _, option = name.partition(".")
        part = parts[int(number)]
        parts[int(number)] = replace(part, options={**part.options, option: copy})
    return replace(config, sampler=tuple(parts))


def with_preset(part: Component, where: str) -> dict[str, Any]:
    """A sampler's options, on top of those of the preset that it names."""
    given = dict(part.options)
    if part.name != "dans" or "preset" not in given:
        return given
    preset = given.pop("preset")
    if preset == "code":
        write = 'write name = "published_dans" without a preset'
        raise InputError(f"{where}.preset: code is a sampler of its own; {write}")
    one_of(f"{where}.preset", preset, tuple(PRESETS))
    return {**PRESETS[preset], **given}


def build_objective(
    config: RunConfig,
    kg: KnowledgeGraph,
    dim: int,
    objectives: Objectives = OBJECTIVES,
    samplers: Samplers = SAMPLERS,
    *,
    budget: Budget | None = None,
) -> Objective:
    """The objective of a configuration, with its sampler and its loss where it takes them.

    A part that is missing, or that the objective does not use, is refused.
    """
    name = config.objective.name
    accepted = options(choose(objectives, name, where="objective.name"))
    loss, l2 = config.loss, config.train.l2
    for where, value in {"sampler": config.sampler, "loss": loss, "train.l2": l2}.items():
        used = where.removeprefix("train.") in accepted
        if value and not used:
            raise InputError(f"{where}: has no place in the objective {name}; leave it out")
        if not value and used and where != "train.l2":
            raise InputError(f"{where}: missing; the objective {name} needs it")
    members = [
        build_member(part, kg, dim, samplers, where=f"sampler.{i}")
        for i, part in enumerate(config.sampler)
    ]
    return build(
        objectives,
        name,
        where="objective",
        given=config.objective.options,
        sampler=Mixture(*members) if len(members) > 1 else next(iter(members), None),
        loss=build(LOSSES, loss.name, where="loss", given=loss.options) if loss else None,
        l2=l2,
        num_entities=kg.num_entities,
        num_relations=kg.num_relations,
        triples=kg.train,
        known=kg.known(("train",)),
        num_batches=steps_of_pass(config, kg),
        decoder=config.decoder.name,
        budget=budget,
    )


def batch_limit(config: RunConfig, kg: KnowledgeGraph) -> int | None:
    """The most triples that a batch may have, by ``graph.hold_out_share``; None: any number."""
    encoder = choose(ENCODERS, config.encoder.name, where="encoder.name")
    if not (config.graph.hold_out and encoder.uses_graph):
        return None
    return max(1, int(config.graph.hold_out_share * len(kg.train)))


def steps_of_pass(config: RunConfig, kg: KnowledgeGraph) -> int:
    """The number of steps of a pass over the training triples."""
    return len(batches_of(kg.train, config.train, batch_limit(config, kg)))


def build_regularizers(config: RunConfig, kg: KnowledgeGraph) -> dict[str, Regularizer]:
    """The regularisers of a configuration, by name; a repeated name gets its number behind."""
    found: dict[str, Regularizer] = {}
    for i, part in enumerate(config.regularizer):
        found[f"{part.name}.{i}" if part.name in found else part.name] = build(
            REGULARIZERS,
            part.name,
            where=f"regularizer.{i}",
            given=part.options,
            num_batches=steps_of_pass(config, kg),
            decoder=config.decoder.name,
        )
    return found


def build_trainer(
    config: RunConfig,
    kg: KnowledgeGraph,
    run: RunFolder | None,
    objectives: Objectives = OBJECTIVES,
    samplers: Samplers = SAMPLERS,
    world: World | None = None,
    *,
    said: set[str] | None = None,
) -> Trainer:
    """The trainer of a configuration, seeded; its weights are those of the run ``init_from``.

    Without one, initial embeddings are those of ``encoder.initial_from``, as far as it has them.
    Notices in ``said`` are not said again, and those said are added.
    """
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    device = find_device(config.train.device)
    seed_everything(config.train.seed)
    with sharing(world):
        model = build_model(config, kg)
    if not model.encoder.uses_graph and config.graph != GraphConfig():
        encoder = f"the encoder {config.encoder.name}, which does not use the graph"
        raise InputError(f"graph: has no effect on {encoder}; leave it out")
    levels, growth = initialise(config, kg, model)
    model.to(device)
    size, option = config.train.memory_budget, "train.memory_budget"
    if run is None:
        budget = Budget(stated(size), device=device, option=option)
    else:
        budget = run.memory_budget(size, device, option=option)
    batch_encoder = build_batch_encoder(config, kg, model, device, budget)
    own, logged = with_copies(config, run, samplers), config.train.log_negatives
    objective = build_objective(own, kg, model.encoder.dim, objectives, samplers, budget=budget)
    choose_encoded(config, kg, model, objective)
    if world is not None:
        check_shared(config, kg, model, objective, world)
    trainer = Trainer(
        kg,
        model,
        objective.to(device),
        config=config.train,
        batch_encoder=batch_encoder,
        regularizers=build_regularizers(config, kg),
        phases=config.phase,
        evaluator=build_evaluator(config, kg, budget, run),
        meaning=meaning(config),
        run=run,
        negatives_log=NegativesLog(run.path / "negatives", kg) if run and logged else None,
        world=world,
    )
    trainer.start_counts = growth is None or not growth.has_new
    # Whatever is refused is refused above, before anything is logged.
    said = set() if said is None else said
    # The size is often a recipe's, and not one that a user asked for.
    levels |= dict.fromkeys(limits_of_batch(config, kg), logging.INFO)
    levels |= dict.fromkeys(notices(config, kg), logging.WARNING)
    for notice, level in levels.items():
        if notice not in said:
            log.log(level, "%s", notice)
        said.add(notice)
    return trainer


def initialise(
    config: RunConfig, kg: KnowledgeGraph, model: Model
) -> tuple[dict[str, int], Growth | None]:
    """Give a model the weights of ``init_from``, or the rows of ``encoder.initial_from``, if any.

    Returns notices of it with their levels, and how the graph grew since the run ``init_from``.
    """
    if not config.init_from:
        if not (file := model.encoder.initial_from):
            return {}, None
        counts = f"{initialise_rows(model, kg)} of {kg.num_entities} entities"
        return {f"{file}: initial embeddings of {counts}": logging.INFO}, None
    start = initial_run(config.init_from, config.train.seed)
    step, growth = initialise_from(model, kg, start)
    levels = {f"starting from {start.path}, step {step}": logging.INFO}
    if growth is not None:
        levels[f"the graph grew: {growth}; the optimizer starts anew"] = logging.INFO
        for split in SPLITS[1:]:
            if known := growth.trained_on(split):
                levels[
                    f"{known} of the {len(kg.split(split))} triples of {split} were in train "
                    "of the run to start from, so their metrics are too good; run.grow keeps "
                    "the splits"
                ] = logging.WARNING
    return levels, growth


def probe(
    config: RunConfig,
    kg: KnowledgeGraph,
    objectives: Objectives = OBJECTIVES,
    samplers: Samplers = SAMPLERS,
) -> Trainer:
    """`build_trainer` without a folder and without notices, to see whether anything is refused."""
    logger = logging.getLogger("dans")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        return build_trainer(config, kg, None, objectives, samplers)
    finally:
        logger.setLevel(level)


def build_batch_encoder(
    config: RunConfig, kg: KnowledgeGraph, model: Model, device: torch.device, budget: Budget
) -> BatchEncoder:
    """What embeds the entities of a step: the full message graph, or neighbor sampling."""
    graph, most = config.graph, batch_limit(config, kg)
    if not graph.hold_out and graph.hold_out_share != GraphConfig().hold_out_share:
        raise InputError("graph.hold_out_share: has no effect without graph.hold_out; leave it out")
    triples, sparse = kg.train.to(device), config.train.optimizer != "adam"
    if not graph.fanout:
        return FullGraph(
            triples,
            kg.messages(graph.norm, used=model.encoder.uses_graph).to(device),
            sample=graph.sample,
            hold_out=graph.hold_out,
            most=most,
            sparse=sparse,
        )
    layers = model.encoder.num_layers
    if not layers:
        raise InputError(
            f"graph.fanout: has no place with the encoder {config.encoder.name}, which embeds all "
            "entities at once; leave it out"
        )
    if len(graph.fanout) != layers:
        raise InputError(
            f"graph.fanout: expected {layers} numbers, one for each layer of the encoder, "
            f"got {len(graph.fanout)}"
        )
    return NeighborSampling(
        triples,
        IncomingMessages(kg.train, kg.num_entities, kg.num_relations, graph.norm),
        graph.fanout,
        hold_out=graph.hold_out,
        most=most,
        sparse=sparse,
        budget=budget,
    )


def choose_encoded(
    config: RunConfig, kg: KnowledgeGraph, model: Model, objective: Objective
) -> None:
    """Let an objective encode some entities in a step, if the configuration says so.

    A full message graph gives all embeddings or none, so there it saves nothing; neighbor sampling
    is for some.
    """
    encode, refusal = config.train.encode, objective.needs_all_entities
    if config.graph.fanout:
        needs = (
            f"regularizer: {part.name}"
            for part in config.regularizer
            if REGULARIZERS[part.name].all_entities
        )
        refusal = refusal or next((f"{name} compares all entities" for name in needs), "")
        if refusal or encode == "all":
            reason = refusal or "train.encode: all"
            raise InputError(f"graph.fanout: embeds only the entities that a step needs; {reason}")
        encode = "some"
    if encode == "some" and refusal:
        raise InputError(f"train.encode: some: {refusal}")
    large = kg.num_entities > MANY and not model.encoder.uses_graph
    if encode == "some" or (encode == "auto" and large and not refusal):
        objective.encode_some()


def check_shared(
    config: RunConfig, kg: KnowledgeGraph, model: Model, objective: Objective, world: World
) -> None:
    """Refuse what several processes cannot share."""
    size = steps_size(config, kg)
    few = len(kg.train) % size
    batch = next((name for name, phase in config.phase.items() if phase.batch), None)
    reasons = {
        "graph.fanout: missing; a message graph as a whole is not shared": (
            model.encoder.uses_graph and not config.graph.fanout
        ),
        "train.encode: some is needed": not objective.encodes_some,
        objective.needs_whole_batch: bool(objective.needs_whole_batch),
        "regularizer: of all entities is not shared": any(
            REGULARIZERS[part.name].all_entities for part in config.regularizer
        ),
        "features: are not shared": config.features is not None,
        "train.log_negatives: has no place here": config.train.log_negatives,
        f"phase.{batch}.batch: has no place here": batch is not None,
        f"train.batch: a batch of {size} has fewer triples": size < world.size,
        f"train.batch: the last of a pass has {few} triples": 0 < few < world.size,
    }
    for reason, holds in reasons.items():
        if holds:
            raise InputError(f"{world.size} processes: {reason}")


def steps_size(config: RunConfig, kg: KnowledgeGraph) -> int:
    """The triples of a batch."""
    return batches_of(kg.train, config.train, batch_limit(config, kg)).size


def limits_of_batch(config: RunConfig, kg: KnowledgeGraph) -> list[str]:
    """A sentence where batches are smaller than ``train.batch``."""
    if steps_of_pass(config, kg) <= len(batches_of(kg.train, config.train)):
        return []
    limit = f"a batch has at most {batch_limit(config, kg)} of the {len(kg.train)} training"
    return [
        f"train.batch: {limit} triples, so that the others send messages (graph.hold_out_share)"
    ]


def notices(config: RunConfig, kg: KnowledgeGraph) -> list[str]:
    """What a user should be warned of in a configuration that is accepted, one sentence each."""
    found = []
    if kg.num_entities > MANY:
        found += notices_of_size(config, kg)
    if not config.train.lr:
        found.append("train.lr = 0: the model keeps its weights; only a sampler can learn")
    if not Selection(config.train.select).labelled and not len(kg.valid):
        false = len(kg.lines("valid")[0])
        lines = f"all {false:,} lines are labelled false" if false else "there are none"
        so = "so nothing is ranked, and the newest checkpoint counts as the best"
        found.append(f"{kg.name}: validation triples: {lines}, {so}")
    return found


def notices_of_size(config: RunConfig, kg: KnowledgeGraph) -> list[str]:
    """What makes the steps of a large graph slow."""
    found, large = [], f"{kg.num_entities:,} entities"
    if config.train.optimizer == "adam":
        found.append(
            f"train.optimizer: adam updates all of {large} in each step; lazy_adam and adagrad "
            "update those that the step used"
        )
    encoder = config.encoder.name
    if choose(ENCODERS, encoder, where="encoder.name").uses_graph and not config.graph.fanout:
        found.append(
            f"encoder: {encoder} embeds all of {large} in each step; graph.fanout, such as "
            "[10, 10] for two layers, embeds those that the step needs"
        )
    ranked = not Selection(config.train.select).labelled
    exact = ranked and config.evaluation == EvaluationConfig()
    if exact and len(kg.valid) > MANY_RANKED:
        found.append(
            f"evaluation: each validation ranks {len(kg.valid):,} triples among all of {large}; "
            "evaluation.most = 1000 ranks some of them, evaluation.candidates = 500 among some"
        )
    return found


def build_evaluator(
    config: RunConfig,
    kg: KnowledgeGraph,
    budget: Budget | None = None,
    run: RunFolder | None = None,
) -> Evaluator | Classifier | None:
    """The evaluator of the validation triples; None where there are none."""
    select = config.train.select
    if Selection(select).labelled:
        if config.evaluation != EvaluationConfig():
            what = f'evaluation: has no effect with train.select = "{select}"; leave it out'
            raise InputError(what)
        try:
            return Classifier(kg, "valid", budget=budget)
        except InputError as error:
            raise InputError(f"train.select: {select}: {error}") from error
    try:
        chosen = run.restricted(config.evaluation) if run else config.evaluation
        # Without validation too: evaluation of the run has this restriction.
        sets = candidate_sets(Restriction.of(chosen), kg)
        return ranking(kg, "valid", chosen, sets=sets, budget=budget) if len(kg.valid) else None
    except InputError as error:
        ours = str(error).startswith(("among", "candidates", "types"))
        raise InputError(f"{'evaluation.' * ours}{error}") from error
