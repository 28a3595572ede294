"""Configurations to objects: the only module that knows all the others."""

import dataclasses
import logging
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

import dans
from dans.analysis.samplers import Inspection, inspect, members, warm_up
from dans.batch import Positives
from dans.classification import classification
from dans.config import Component, RunConfig, component, override, read_recipe
from dans.data.graph import KnowledgeGraph, Split
from dans.errors import InputError
from dans.evaluation import Evaluator, Report, Unseen
from dans.losses import LOSSES
from dans.models import ENCODERS
from dans.models.decoders import DECODERS
from dans.models.model import Model
from dans.objectives import NegativeSampling, Objective
from dans.registry import build, choose
from dans.samplers import SAMPLERS, Mixture, NegativeSampler
from dans.samplers.dans import PRESETS
from dans.seeding import device, seed_everything
from dans.training.dump import Dump
from dans.training.run import Run, Which
from dans.training.sources import WholeGraph
from dans.training.trainer import Trainer, check_digest

log = logging.getLogger(__name__)

#: Where runs go unless they are told otherwise, by kind, recipe and seed.
RUNS = Path("runs")

#: Lines classified at a time.
CLASSIFIED = 8192


def folder(name: str, seed: int) -> Path:
    """The folder of a run by its name, such as ``pretrain/umls-distmult``."""
    return RUNS / name / f"seed{seed}"


def configure(recipe: Path, assignments: list[str]) -> RunConfig:
    """A recipe and its overrides as a configuration.

    A recipe that starts from another run takes over that run's data, graph, encoder and decoder.

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
        before = starting_run(str(start), seed).config().plain()
        for key in RunConfig.INHERITED:
            if plain.setdefault(key, before.get(key)) != before.get(key):
                raise InputError(
                    f"{recipe}: {key}: the run it starts from, {start}, has another; leave it out"
                )
    return RunConfig.parse(plain, where=str(recipe))


def starting_run(start: str, seed: int) -> Run:
    """The run whose weights another one starts from: a name under ``runs``, or a folder.

    Raises:
        InputError: it has not been made; the message says how to.
    """
    run = Run(Path(start)) if (Path(start) / "config.json").exists() else Run(folder(start, seed))
    if not run.file("best").exists():
        recipe = Path(start).name
        raise InputError(
            f"{run.path}: the run to start from is not there; make it with: "
            f"python scripts/pretrain_rgcn.py --recipe {recipe} --seed {seed}"
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


def build_objective(config: RunConfig, kg: KnowledgeGraph, dim: int) -> Objective:
    """Sampler and loss of a recipe."""
    return NegativeSampling(
        build_sampler(config, kg, dim),
        build(LOSSES, config.loss.name, where="loss", given=config.loss.options),
        l2=config.train.l2,
    )


def build_trainer(config: RunConfig, kg: KnowledgeGraph, run: Run | None) -> Trainer:
    """All of a run, seeded; weights are those of ``config.start`` where it names a run."""
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    place = device(config.train.device)
    seed_everything(config.train.seed)
    model = build_model(config, kg)
    if config.start:
        start_from(model, kg, starting_run(config.start, config.train.seed))
    model.to(place)
    return Trainer(
        kg,
        model,
        build_objective(config, kg, model.encoder.dim).to(place),
        config=config.train,
        source=WholeGraph(
            kg.train.to(place),
            kg.messages(config.graph.norm).to(place),
            sample=config.graph.sample,
            hold_out=config.graph.hold_out,
        ),
        phases=config.phase,
        evaluator=Evaluator(kg, "valid") if len(kg.valid) else None,
        run=run,
        dump=Dump(run.path / "negatives", kg) if config.train.dump and run is not None else None,
    )


def start_from(model: Model, kg: KnowledgeGraph, run: Run) -> None:
    """Give a model the best weights of another run."""
    last, config = run.load("last"), run.config().train
    waited = (last["step"] - last["best"]["step"]) // config.validate_every
    if last["step"] < config.steps and not 0 < config.patience <= waited:
        raise InputError(
            f"{run.path}: stopped at step {last['step']} of {config.steps}; "
            "go on with it first, by --resume"
        )
    state = run.load("best")
    check_digest(state, kg)
    log.info("starting from %s, step %d", run.path, state["step"])
    model.load_state_dict(state["model"])


def train(config: RunConfig, where: Path, *, resume: bool = False) -> Report | None:
    """Train a run in a folder, or go on with it.

    Returns:
        The last validation.

    Raises:
        InputError: the configuration or the folder cannot be used.
    """
    kg = KnowledgeGraph.load(config.data)
    run = Run(where)
    goes_on = resume and run.file("last").exists()
    # A run that goes on has weights of its own.
    trainer = build_trainer(dataclasses.replace(config, start="") if goes_on else config, kg, run)
    if goes_on:
        trainer.restore(run.load("last"))
    if trainer.done > config.train.steps:
        raise InputError(f"train.steps: {where} is at step {trainer.done} already")
    run.begin(config, resume=resume)
    run.rewind(trainer.done if goes_on else -1)
    run.write_json("environment.json", environment())
    try:
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
    sampler: NegativeSampler
    entities: torch.Tensor
    step: int

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
    here = dataclasses.replace(config, start="")
    try:
        device(config.train.device)
    except InputError:
        log.warning("%s was trained on %s; going on with the cpu", where, config.train.device)
        here = here.replace(device="cpu")
    trainer = build_trainer(here, kg, None)
    trainer.restore(state)
    if not isinstance(trainer.objective, NegativeSampling):
        raise InputError(f"{where}: trained without negatives")
    return Trained(
        config,
        kg,
        trainer.model,
        trainer.objective.sampler,
        trainer.source.entities(trainer.model),
        trainer.done,
    )


def judge(
    where: Path, *, split: Split = "test", which: Which = "best", unseen: Unseen = "rank"
) -> Report:
    """Evaluate a run on a split and keep the report in its folder.

    ``report.json`` is the best model on the test split; any other choice is in the file's name. A
    split whose lines are labelled true or false is classified too.
    """
    trained = load(where, which=which)
    if not len(trained.kg.split(split)):
        raise InputError(f"{trained.kg.name}: has no {split} facts")
    report = Evaluator(trained.kg, split, unseen=unseen)(trained.model.decoder, trained.entities)
    usual = {"split": "test", "which": "best", "unseen": "rank"}
    asked = {"split": split, "which": which, "unseen": unseen}
    names = ["report", *(value for key, value in asked.items() if value != usual[key])]
    content: dict[str, Any] = {"model": which, "step": trained.step}
    content["seed"] = trained.config.train.seed
    if split in trained.kg.labelled:
        content["classification"] = classify(trained, split)
    Run(where).write_json(f"{'.'.join(names)}.json", {**report.to_json(), **content})
    return report


def inspect_run(where: Path, *, which: Which = "last", facts: int = 1000) -> dict[str, Any]:
    """Look at what a run's sampler offers, and keep the numbers in its ``sampler.json``.

    By default after the last step: the best model may be the one that training began with, and the
    sampler beside it has learnt nothing.

    Returns:
        What ``dans.analysis.samplers.inspect`` says of it; the same of its ``members``, where there
        are several; and ``seconds_per_step`` of the run.
    """
    trained = load(where, which=which)
    parts = members(trained.sampler, [part.name for part in trained.config.sampler])
    look = partial(inspect, trained.kg, positives=trained.positives, facts=facts)
    last = Run(where).metrics()[-1]
    content: dict[str, Any] = {"model": which, "step": trained.step}
    content |= {"seed": trained.config.train.seed, **look(trained.sampler).numbers}
    content["seconds_per_step"] = last["seconds"] / last["step"] if last["step"] else None
    if len(parts) > 1:
        content["members"] = {name: look(part).numbers for name, part in parts.items()}
    Run(where).write_json("sampler.json", content)
    return content


def compare_samplers(
    where: Path,
    given: Sequence[str],
    *,
    which: Which = "last",
    facts: int = 1000,
    passes: int = 3,
) -> dict[str, Inspection]:
    """Inspect a run's own samplers, as it trained them, beside others made anew.

    Of those, samplers that look at the model learn on it first, while it stands still; one that has
    never learnt offers little more than chance. By default the run is taken as after its last step:
    see ``inspect_run``.

    Args:
        where: the run's folder.
        given: the others, as ``dans.config.component`` reads them.
        which: the run's best or its last checkpoint.
        facts: training facts to draw rivals for.
        passes: how often the others that look at the model go over the training facts beforehand
            (see ``dans.analysis.samplers.warm_up``); 0 inspects them as they are built.

    Returns:
        By name, with ``(run)`` after the run's own, and after others that look at the model how
        many passes they have learnt for, as in ``nscaching (3 passes)``.

    Raises:
        InputError: no such run, a sampler that cannot be built, or a negative number of passes.
    """
    trained = load(where, which=which)
    kg, dim, seed = trained.kg, trained.model.encoder.dim, trained.config.train.seed
    own = members(trained.sampler, [part.name for part in trained.config.sampler])
    samplers = {f"{name} (run)": sampler for name, sampler in own.items()}
    learnt = f" ({passes} pass{'' if passes == 1 else 'es'})"
    for text in given:
        seed_everything(seed)
        made = build_member(component(text), kg, dim, where=f"--sampler {text}")
        made.to(trained.entities.device)
        if made.adaptive:
            warm_up(kg, made, trained.positives, passes=passes, seed=seed)
        samplers[f"{text}{learnt}" if made.adaptive else text] = made
    return {
        name: inspect(kg, sampler, trained.positives, facts=facts)
        for name, sampler in samplers.items()
    }


def compare_without_model(
    data: str, given: Sequence[str], *, facts: int = 1000
) -> dict[str, Inspection]:
    """Inspect samplers that look at no model, on facts alone.

    Args:
        data: a data set, or a folder.
        given: the samplers, as ``dans.config.component`` reads them.
        facts: training facts to draw rivals for.

    Raises:
        InputError: no such data, no sampler, one that cannot be built, or one that needs a model.
    """
    kg, found = KnowledgeGraph.load(data), {}
    blind = sorted(name for name, sampler in SAMPLERS.items() if not sampler.adaptive)
    if not given:
        raise InputError(f"--sampler: expected at least one; known: {', '.join(blind)}")
    for text in given:
        part, where = component(text), f"--sampler {text}"
        if choose(SAMPLERS, part.name, where=where).adaptive:
            raise InputError(
                f"{where}: looks at the model, so it needs the folder of a run; "
                f"on facts alone: {', '.join(blind)}"
            )
        # No vectors, so no width: one stands in for it where a constructor asks.
        sampler = build_member(part, kg, 1, where=where)
        positives = partial(Positives.of_ids, num_entities=kg.num_entities)
        found[text] = inspect(kg, sampler, positives, facts=facts)
    return found


def classify(trained: Trained, split: Split) -> dict[str, float]:
    """How well a model tells the true lines of a labelled split from the false ones."""
    lines, holds = trained.kg.lines(split)
    place = trained.entities.device
    with torch.no_grad():
        parts = [
            trained.model.positives(part, trained.entities).scores().squeeze(1)
            for part in lines.to(place).split(CLASSIFIED)
        ]
    return classification(torch.cat(parts), holds.to(place))


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
