"""Runs that others start from: where they are, and what may differ from them."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from dans.config.schema import Component, GraphConfig, RunConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models import ENCODERS
from dans.models.decoders import DECODERS
from dans.models.model import Model
from dans.registry import choose, options
from dans.training.run_folder import RunFolder
from dans.training.trainer import check_digest

log = logging.getLogger(__name__)

#: Where runs go unless they are told otherwise, by kind, recipe and seed.
RUNS = Path("runs")

#: The scripts that train, by the kind of run they make.
DOORS = {
    "pretrain": "pretrain_rgcn.py",
    "dans": "train_dans.py",
    "baselines": "train_baseline.py",
}

#: What a run may set otherwise than the one it starts from, because weights keep their shapes and
#: what they mean. All else of these sections has to be the same.
FREE = {
    "graph": ("sample", "hold_out"),
    "encoder": ("dropout", "init", "initial"),
    "decoder": ("dropout", "query_dropout", "matrix_dropout", "init", "initial", "shift"),
}


def folder(name: str, seed: int) -> Path:
    """The folder of a run by its name, such as ``pretrain/umls-distmult``."""
    return RUNS / name / f"seed{seed}"


def initial_run(start: str, seed: int) -> RunFolder:
    """The run whose weights another one starts from: a name under ``runs``, or a folder.

    Raises:
        InputError: it has not been made; the message says how to.
    """
    run = RunFolder(Path(start))
    if not run.exists:
        run = RunFolder(folder(start, seed))
    if not run.checkpoints.file("best").exists():
        kind, recipe = Path(start).parent.name, Path(start).name
        raise InputError(
            f"{run.path}: the run to start from is not there; make it with: "
            f"python scripts/{DOORS.get(kind, DOORS['pretrain'])} --recipe {recipe} --seed {seed}"
        )
    return run


def check_initial(before: RunConfig, config: RunConfig) -> None:
    """Do the weights of one run mean the same in another?

    Raises:
        InputError: the other has an option that gives them another shape or meaning.
    """
    for key in RunConfig.INHERITED:
        one, other = (_settings(config, key) for config in (before, config))
        for option in [*one, *(option for option in other if option not in one)]:
            old, new = one.get(option), other.get(option)
            if old != new and option not in FREE.get(key, ()):
                name = f"{key}.{option}" if option else key
                raise InputError(f"{name}: {new!r} here, {old!r} in the run it starts from")


def _settings(config: RunConfig, key: str) -> dict[str, Any]:
    """What a section sets, with the defaults of a component that it leaves alone."""
    part = getattr(config, key)
    if isinstance(part, GraphConfig):
        return asdict(part)
    if not isinstance(part, Component):
        return {"": part}
    table: Mapping[str, Callable[..., Any]] = ENCODERS if key == "encoder" else DECODERS
    accepted = options(choose(table, part.name, where=f"{key}.name"))
    defaults = {
        name: parameter.default
        for name, parameter in accepted.items()
        if parameter.default is not parameter.empty
    }
    return {"name": part.name, **defaults, **part.options}


def initialise_from(model: Model, kg: KnowledgeGraph, run: RunFolder) -> None:
    """Give a model the best weights of another run.

    Raises:
        InputError: the run is not over, or of other triples, or its weights have other shapes.
    """
    last, config = run.checkpoints.load("last"), run.config().train
    waited = (last["step"] - last["best"]["step"]) // config.validate_every
    if last["step"] < config.steps and not 0 < config.patience <= waited:
        raise InputError(
            f"{run.path}: stopped at step {last['step']} of {config.steps}; "
            "continue with it first, by --resume"
        )
    state = run.checkpoints.load("best")
    check_digest(state, kg)
    give_weights(model, state["model"], f"init_from: {run.path}")
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
