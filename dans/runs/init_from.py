"""What a run starts from: another run, or a file of embeddings."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import asdict, replace

from dans.config.recipes import COMMANDS
from dans.config.schema import Component, FeaturesConfig, GraphConfig, RunConfig
from dans.data.embedding_files import read_embeddings
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models import ENCODERS
from dans.models.decoders import DECODERS
from dans.models.embedding_tables import EntityTable
from dans.models.model import Model
from dans.models.rgcn import RGCN
from dans.registry import choose, options
from dans.runs.grown_graph import Growth, graph_before
from dans.training.run_folder import RunFolder
from dans.training.shards import cut_weights
from dans.training.state_checks import check_config, check_counts, check_like

log = logging.getLogger(__name__)

#: Options of a lookup that an RGCN which starts from it has too.
OF_TABLES = ("dim", "initial_from")

#: Default folder of runs, which lie there by kind, recipe and seed.
RUNS = Path("runs")

#: Options in which a run may differ from the one it is initialised from: they change neither the
#: shapes of weights nor their meaning. All others of these sections must be equal.
FREE = {
    "graph": ("sample", "fanout", "hold_out", "hold_out_share"),
    "encoder": ("dropout", "init", "initial"),
    "decoder": ("dropout", "query_dropout", "matrix_dropout", "init", "initial", "shift"),
}


def folder(name: str, seed: int) -> Path:
    """The default folder of a run, whose name is such as ``pretrain/umls-distmult``."""
    return RUNS / name / f"seed{seed}"


def initial_run(start: str, seed: int) -> RunFolder:
    """The run to initialise from: a name under ``runs``, or a folder."""
    run = RunFolder(Path(start))
    if not run.exists:
        run = RunFolder(folder(start, seed))
    if not run.checkpoints.file("best").exists():
        kind, recipe = Path(start).parent.name, Path(start).name
        command = COMMANDS.get(kind, COMMANDS["pretrain"])
        raise InputError(
            f"{run.path.absolute()}: the run to start from is not there; make it with: "
            f"dans {command} {recipe} --seed {seed}, or give init_from the folder of one elsewhere"
        )
    return run


def check_initial(before: RunConfig, config: RunConfig) -> None:
    """Refuse to initialise a run from another whose weights have another shape or meaning.

    Triples may be others, and the files of their features with them: whether the graph grew is
    seen when it is there. An RGCN with ``skip`` may start from a lookup, whose table and decoder
    it takes over: its last layer starts at zero, so that it embeds what the lookup does.
    """
    adds_layers = (before.encoder.name, config.encoder.name) == ("lookup", "rgcn")
    if adds_layers and not _settings(config, "encoder")["skip"]:
        raise InputError("encoder.skip: must be true where an RGCN starts from a lookup")
    for key in (key for key in RunConfig.INHERITED if key != "data"):
        if adds_layers and key == "graph":
            continue
        one, other = (_settings(config, key) for config in (before, config))
        for option in OF_TABLES if adds_layers and key == "encoder" else one | other:
            old, new = one.get(option), other.get(option)
            follows = (key, option) == ("features", "table") and before.data != config.data
            if old != new and option not in FREE.get(key, ()) and not follows:
                name = f"{key}.{option}" if option else key
                found = f"{new!r} here, {old!r} in the run it starts from"
                raise InputError(f"{name}: {found}; leave it out")


def _settings(config: RunConfig, key: str) -> dict[str, Any]:
    """The options of a section, with the defaults of its component."""
    part = getattr(config, key)
    if isinstance(part, (FeaturesConfig, GraphConfig)):
        return asdict(part)
    if not isinstance(part, Component):
        return {"": part}
    table: Mapping[str, Callable[..., Any]] = ENCODERS if key == "encoder" else DECODERS
    accepted = options(choose(table, part.name, where=f"{key}.name"))
    defaults = {name: one.default for name, one in accepted.items() if one.default is not one.empty}
    return {"name": part.name, **defaults, **part.options}


def initialise_from(model: Model, kg: KnowledgeGraph, run: RunFolder) -> tuple[int, Growth | None]:
    """Initialise a model with the best weights of another run, if finished and of this model.

    Where the run is of other triples, rows of entities and relations are taken over by name; those
    of new names stay as they were drawn.

    Returns the step they are of, and what is new in the graph; None: it is the same graph.
    """
    last = run.checkpoints.load("last")
    if not run.is_over(last):
        stopped = f"stopped at step {last['step']} of {run.config().train.steps}"
        raise InputError(f"{run.path}: {stopped}; continue with it first, by --resume")
    state = run.checkpoints.load("best")
    try:
        growth = None
        if state["digest"] != kg.digest:
            growth = Growth.of(graph_before(run, state["digest"]), kg)
        check_config(state, run.config())
        check_counts(state)
        if isinstance(model.encoder, RGCN) and run.config().encoder.name == "lookup":
            # A lookup has the table; layers, and a row of unseen entities, are those drawn here.
            drawn = model.encoder.state_dict().items()
            own = {f"encoder.{key}": one for key, one in drawn if not key.startswith("entities.")}
            state = {**state, "model": {**own, **state["model"]}}
        if growth is not None:
            state = {**state, "model": growth.weights(state["model"], model)}
        else:
            state = cut_weights(state, model)
        check_like(state["model"], model, "checkpoint: model")
    except InputError as error:
        raise InputError(f"init_from: {run.checkpoints.file('best')}: {error}") from error
    model.load_state_dict(state["model"])
    return int(state["step"]), growth


def initialise_rows(model: Model, kg: KnowledgeGraph) -> int:
    """Set the initial rows of a model's table to those of the file ``encoder.initial_from``.

    Entities that the file lacks keep theirs. Returns how many it has.
    """
    path, where = Path(model.encoder.initial_from), "encoder.initial_from"
    tables = [part for part in model.encoder.modules() if isinstance(part, EntityTable)]
    if not tables:
        raise InputError(f'{where}: has no effect with features.combine = "only"; leave it out')
    try:
        ids, rows = read_embeddings(path, kg.entities)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    given, width = rows.shape[1], model.encoder.dim
    if given != width:
        raise InputError(f"{where}: {path}: has rows of {given} numbers, encoder.dim is {width}")
    tables[0].put(ids, rows)
    return len(ids)


def without_initial(config: RunConfig) -> RunConfig:
    """A configuration of a run that has weights of its own: it names nothing to start from."""
    kept = {key: one for key, one in config.encoder.options.items() if key != "initial_from"}
    return replace(config, init_from="", encoder=replace(config.encoder, options=kept))
