"""Plans: the runs that a choice of data, model, sampler and loss stands for."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from baselines.assembly import SAMPLERS
from dans.config import old_names
from dans.config.reading import to_python
from dans.config.recipes import (
    DEFAULT_LOSS,
    RECIPES,
    SETTINGS,
    Recipe,
    assign,
    component,
    merge,
    names_first,
    run_name,
    spelled_out,
)
from dans.config.schema import ALL, COMPONENTS, GraphConfig, RunConfig
from dans.config.selection import Selection
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError, did_you_mean, shown, textual
from dans.models import ENCODERS
from dans.models.decoders import DECODERS
from dans.objectives.losses import LOSSES
from dans.registry import ADDING, choose
from dans.runs.build import MANY
from dans.runs.init_from import initial_run
from dans.runs.train import inherit
from dans.samplers.dans.sampler import PRESETS
from dans.training.run_folder import RunFolder

#: A sampler: a setting, a name with options, sections of a recipe.
SamplerChoice = str | Mapping[str, Any] | Sequence[Mapping[str, Any]]

#: The recipes for triples of one's own: ``base`` for any decoder, others for one.
OWN = RECIPES / "own"

#: Batches of such a recipe: a tenth of the training triples, but within these limits.
SMALLEST_BATCH, LARGEST_BATCH = 1000, 8192

#: For triples of one's own with many entities: shared ones, messages that are sampled for an
#: entity in each layer, and validation triples that are ranked.
SHARED, FANOUT, RANKED = 1000, 10, 5000

#: Why a sampler is refused beside a loss setting.
SETTING_ALONE = "the loss setting {} says what it is contrasted with; leave one of the two out"

#: The option of that name, of commands and in Python.
PRETRAIN_STEPS = "--pretrain-steps (in Python pretrain_steps=)"

#: Options by their full names.
OPTIONS = "--set (in Python options=)"

#: Options of a recipe that are arguments too.
ARGUMENTS = {
    "train.steps": "steps",
    "train.batch": "batch",
    "train.lr": "lr",
    "train.seed": "seed",
    "train.device": "device",
    "encoder.dim": "dim",
    "encoder.name": "encoder",
    "decoder.name": "decoder",
    "loss": "loss",
    "loss.name": "loss",
}

#: What a sampler setting changes where there is no pre-training for it to continue.
FROM_SCRATCH = ("sampler", "phase", "loss", "objective")


@dataclass(frozen=True)
class Choice:
    """What to train, by name: the arguments of ``dans.train`` of these names, which says more.

    None leaves a choice to the recipe.
    """

    recipe: str | None = None
    encoder: str | None = None
    decoder: str | None = None
    sampler: SamplerChoice | None = None
    loss: str | None = None
    steps: int | None = None
    pretrain_steps: int | None = None
    dim: int | None = None
    batch: int | None = None
    lr: float | None = None
    seed: int | None = None
    device: str | None = None
    options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            object.__setattr__(self, name, to_python(value))
        object.__setattr__(self, "options", self._spelled_out())
        if self.encoder is not None:
            choose(ENCODERS, self.encoder, where="encoder")
        if self.decoder is not None:
            choose(DECODERS, self.decoder, where="decoder")
        if self.loss is not None:
            check_setting(self.loss, "baselines", LOSSES, where="loss")
        if self.sampler is not None and self.kind == "baselines":
            raise InputError(f"sampler: {SETTING_ALONE.format(self.loss)}")

    def _spelled_out(self) -> dict[str, Any]:
        """The options by full name; one that is given twice, or as an argument, is refused."""
        given = self.options or {}
        if not isinstance(given, Mapping):
            raise InputError(f"options: expected a mapping of names to values, got {shown(given)}")
        for key in given:
            textual("options", key)
        spelled = spelled_out(given.items())
        given, keys = dict(spelled), [key for key, _ in spelled]
        by_name = {f"{key}.name" for key in COMPONENTS if isinstance(given.get(key), str)}
        repeated = {key for key in keys if keys.count(key) > 1}
        if twice := sorted(repeated) or sorted(by_name & given.keys()):
            raise InputError(f"{OPTIONS}: {twice[0]}: given twice; leave one out")
        for key, argument in ARGUMENTS.items():
            if key in {*given, *by_name} and getattr(self, argument) is not None:
                raise InputError(f"{OPTIONS}: {key}: given as {argument} already; leave one out")
        if "init_from" in given:
            raise InputError(f"{OPTIONS}: init_from: is an argument of its own; leave it out")
        return given

    @property
    def kind(self) -> str:
        """The kind of the run: ``pretrain``, ``dans`` with a sampler, ``baselines`` by a loss."""
        if self.loss in settings("baselines"):
            return "baselines"
        return "pretrain" if self.sampler is None else "dans"


@dataclass(frozen=True)
class Stage:
    """One run of a plan; ``continues``: it is initialised from the stage before it."""

    kind: str
    name: str
    config: RunConfig
    continues: bool = False


def settings(kind: str) -> list[str]:
    """The names of the settings of a kind of run, such as the samplers of ``dans``."""
    return sorted(path.stem for path in (RECIPES / SETTINGS[kind]).glob("*.toml"))


def check_setting(name: str, kind: str, components: Mapping[str, object], *, where: str) -> None:
    """Refuse what names neither a setting of a kind of run nor a component, which are listed apart.

    ``sampled-softmax`` is a setting, and ``sampled_softmax`` the loss that is a part of it.
    """
    textual(where, name)
    if name in components or name in settings(kind):
        return
    hint = did_you_mean(name, [*settings(kind), *components], repr) or ADDING
    listed = f"{SETTINGS[kind]}: {', '.join(sorted(components))}{hint}"
    both = f"settings: {', '.join(settings(kind))}; {listed}"
    raise InputError(f"{where}: unknown name {shown(name)}; {both}")


def bases() -> list[str]:
    """The names of the recipes that hold all of a run, one for a data set and a decoder."""
    return sorted(path.stem for path in (RECIPES / "bases").glob("*.toml"))


def is_recipe(what: str) -> bool:
    """Whether a name, as given to a command, is a recipe's and not that of a data set or a file.

    Example:
        >>> is_recipe("umls-distmult"), is_recipe("umls-distmult-self-loop"), is_recipe("umls")
        (True, True, False)
    """
    if Path(what).suffix == ".toml":
        return True
    if what in bases():
        return True
    return bool(named_setting(what)[1]) and not Path(what).exists()


def named_setting(recipe: str) -> tuple[str, str, str]:
    """The base, the kind of run and the setting that the name of a recipe stands for.

    Kind and setting are empty for a base alone, a file, and what names no recipe. Where a sampler
    and a loss setting have the same name, it is the sampler's.

    Example:
        >>> named_setting("umls-distmult-sce"), named_setting("umls-distmult")
        (('umls-distmult', 'baselines', 'sce'), ('umls-distmult', '', ''))
    """
    for base in () if recipe in bases() else bases():
        setting = recipe.removeprefix(f"{base}-")
        setting = old_names.SETTINGS.get(setting, setting)
        for kind in SETTINGS:
            if recipe.startswith(f"{base}-") and setting in settings(kind):
                return base, kind, setting
    return recipe, "", ""


def check_one_setting(recipe: str, sampler: SamplerChoice | None, loss: str | None) -> None:
    """Refuse a sampler, or a loss setting, beside a recipe whose name has a setting already."""
    kind = named_setting(recipe)[1]
    of_loss = is_loss_setting(loss) or (kind == "baselines" and loss is not None)
    if kind and (sampler is not None or of_loss):
        other = "loss" if sampler is None else "sampler"
        raise InputError(f"{other}: the recipe {recipe} names a setting itself; leave one out")


def is_loss_setting(loss: str | None) -> bool:
    """Whether a loss is a setting, by name or file, and not a loss over a sampler's negatives."""
    return loss is not None and (loss in settings("baselines") or Path(loss).suffix == ".toml")


def with_default_loss(choice: Choice, start: Path | None = None) -> Choice:
    """A choice with `DEFAULT_LOSS`, if it names no recipe, sampler, loss or run to start from."""
    named = choice.recipe, choice.sampler, choice.loss, start
    own = {key.split(".")[0] for key in choice.options or {}} & {*FROM_SCRATCH, "init_from"}
    if any(it is not None for it in named) or own or choice.pretrain_steps is not None:
        return choice
    return replace(choice, loss=DEFAULT_LOSS)


def plan(choice: Choice, kg: KnowledgeGraph | None, *, start: Path | None = None) -> list[Stage]:
    """The runs that a choice stands for, in the order in which they are trained.

    A sampler continues from a pre-trained model, which makes two stages. The folder of a trained
    run, ``start``, takes the place of the first.

    Args:
        choice: of model, sampler, loss and options.
        kg: the triples; None: those that the recipe names.

    Raises:
        InputError: a name that is unknown, or options that contradict each other.
    """
    if kg is not None and any(key.split(".")[0] == "data" for key in choice.options or {}):
        raise InputError(f"{OPTIONS}: data: the triples are given already; leave it out")
    if choice.recipe is None and kg is not None:
        # That of a published data set and the decoder, where there is one.
        decoder = RunFolder(start).config().decoder.name if start else choice.decoder
        published = f"{kg.source}-{decoder or 'distmult'}"
        choice = replace(choice, recipe=published if published in bases() else None)
    choice = _with_setting(choice)
    base, name = _base(choice, kg, start)
    if choice.pretrain_steps is not None and (choice.kind != "dans" or start is not None):
        raise InputError(f"{PRETRAIN_STEPS}: no effect without a sampler to train with afterwards")
    if choice.kind != "dans":
        setting = choice.loss if choice.kind == "baselines" else ""
        plain = _recipe(base, choice.kind, setting).plain()
        if start is None and plain.get("init_from"):
            start = initial_run(plain["init_from"], choice.seed or 0).path
        elif start is not None:
            # Those of the model are taken over.
            plain = {key: it for key, it in plain.items() if key not in RunConfig.INHERITED}
        config = _config(plain, choice, kg, start=start)
        return [Stage(choice.kind, run_name(name, setting or ""), config)]
    setting, parts = _sampler(choice.sampler)
    members = "-".join(part["name"] for part in parts or ())
    whole = f"{name}-{members}" if members else run_name(name, setting)
    changes = _recipe(base, "dans", setting).plain()
    if parts is not None:
        changes["sampler"] = parts
    if start is not None:
        return [Stage("dans", whole, _config(changes, choice, kg, start=start))]
    plain = Recipe(base).plain()
    if choice.pretrain_steps == 0:
        plain |= {key: changes[key] for key in FROM_SCRATCH if key in changes}
        return [Stage("dans", whole, _config(plain, choice, kg))]
    options = {k: v for k, v in (choice.options or {}).items() if _of_model(k)}
    first = replace(
        choice, steps=choice.pretrain_steps, lr=None, loss=None, sampler=None, options=options
    )
    before = _config(plain, first, kg, whole=_needs_whole_graph(changes, choice.options or {}))
    config = _config(changes, choice, kg, before=before)
    return [Stage("pretrain", name, before), Stage("dans", whole, config, continues=True)]


def _with_setting(choice: Choice) -> Choice:
    """A choice whose recipe is a base alone: ``umls-distmult-sce`` names a loss setting too."""
    recipe = choice.recipe
    if recipe is None or Path(recipe).suffix == ".toml" or recipe in bases():
        return choice
    base, kind, setting = named_setting(recipe)
    check_one_setting(recipe, choice.sampler, choice.loss)
    if kind == "baselines":
        return replace(choice, recipe=base, loss=setting)
    if kind:
        return replace(choice, recipe=base, sampler=setting)
    known = f"{', '.join(bases())}{did_you_mean(recipe, bases())}"
    raise InputError(f"recipe: unknown name {shown(recipe)}; known: {known}, or a .toml file")


def _base(choice: Choice, kg: KnowledgeGraph | None, start: Path | None) -> tuple[Path, str]:
    """The file of the base of a choice, and the name of its runs."""
    if choice.recipe is not None:
        file = Path(choice.recipe)
        base = file if file.suffix == ".toml" else RECIPES / "bases" / f"{choice.recipe}.toml"
        return base, base.stem
    if kg is None:
        raise InputError("data: expected triples, or a recipe that names them; got neither")
    decoder = choice.decoder or "distmult"
    if start is not None:
        decoder = RunFolder(start).config().decoder.name
    special = OWN / f"{decoder}.toml"
    name = re.sub(r"[^\w.-]+", "-", kg.name).strip(".-") or "triples"
    return special if special.exists() else OWN / "base.toml", f"{name}-{decoder}"


def _recipe(base: Path, kind: str, setting: str | None) -> Recipe:
    if not setting:
        return Recipe(base)
    folder = SETTINGS[kind]
    return Recipe(base, RECIPES / folder / f"{setting}.toml", folder)


def _sampler(given: SamplerChoice | None) -> tuple[str, list[dict[str, Any]] | None]:
    """The setting of a sampler, and the sections in place of the setting's own samplers."""
    if isinstance(given, str) and given in settings("dans"):
        return given, None
    if isinstance(given, str):
        # Without spaces a plus joins where a name follows: in 1e+3 it is of the number.
        texts = [
            component(text)
            for text in re.split(r"\s\+\s|\s*\+\s*(?=[A-Za-z][\w-]*\s*(?:[:+]|$))", given)
        ]
        sections: list[Any] = [{"name": part.name, **part.options} for part in texts]
    else:
        if not isinstance(given, (Mapping, Sequence)):
            raise InputError(f"sampler: expected a name, options or several, got {shown(given)}")
        sections = [given] if isinstance(given, Mapping) else list(given)
    if not sections:
        raise InputError("sampler: expected at least one, got none")
    for i, section in enumerate(sections):
        where = "sampler" if len(sections) == 1 else f"sampler.{i}"
        if not isinstance(section, Mapping) or not isinstance(section.get("name"), str):
            raise InputError(f"{where}: expected options with a name, got {shown(section)}")
        name = section["name"]
        check_setting(name, "dans", SAMPLERS, where=where)
        if name not in SAMPLERS:
            alone = "is a setting, which stands alone and takes no options"
            raise InputError(f"{where}: {name} {alone}; samplers: {', '.join(sorted(SAMPLERS))}")
    return "uniform", [deepcopy(dict(section)) for section in sections]


def _config(
    plain: dict[str, Any],
    choice: Choice,
    kg: KnowledgeGraph | None,
    *,
    start: Path | None = None,
    before: RunConfig | None = None,
    whole: bool = False,
) -> RunConfig:
    """The configuration of a recipe with what was chosen over it.

    ``start``: the folder of the run that it is initialised from; ``before``: the configuration of
    such a run, which is trained first; ``whole``: what follows needs the whole message graph.
    """
    given = choice.options or {}
    sampled = choice.kind != "baselines" or bool(plain.get("sampler"))
    own = kg if choice.recipe is None and sampled else None
    many = own is not None and own.num_entities > MANY
    if own is not None:
        plain = merge(plain, {"train": {"batch": _batch_of(len(own.train))}})
    if many:
        plain = _for_many(plain, given)
    if start is not None:
        before = RunFolder(start).config()
        _check_model(choice, before)
        plain = {**plain, "init_from": os.path.abspath(start)}
        if choice.encoder not in (None, before.encoder.name):
            plain["encoder"] = {"name": choice.encoder, "skip": True}
        if kg is not None:
            plain["data"] = kg.source or kg.name
    if before is None:
        plain = _with_model(plain, choice, kg)
        if many and not whole:
            plain = _with_neighbors(plain, given)
    plain = _with_training(plain, choice)
    if choice.recipe is None and before is None:
        plain = _with_fanout(plain, given)
    for key, value in names_first(given.items()):
        if before is None or start is not None or not _of_model(key):
            plain = assign(plain, key, value)
    config = RunConfig.parse(plain) if before is None else inherit(plain, before)
    table = config.features is not None and config.features.table
    if table and kg is not None and kg.features is not None and before is None:
        raise InputError("features.table: the triples come with features; leave one of them out")
    return config


def _batch_of(triples: int) -> int:
    """The batch of a recipe for triples of one's own."""
    batch = min(LARGEST_BATCH, max(SMALLEST_BATCH, triples // 10))
    # A larger share of the triples would not be held out of the messages.
    return min(batch, max(1, int(GraphConfig().hold_out_share * triples)))


def _with_training(plain: dict[str, Any], choice: Choice) -> dict[str, Any]:
    """A recipe with the numbers, device and loss that were chosen; the seed, if none was, is 0."""
    chosen = {key: getattr(choice, key) for key in ("steps", "batch", "lr", "seed", "device")}
    if choice.seed is None and "train.seed" not in (choice.options or {}):
        chosen["seed"] = 0
    for key, value in chosen.items():
        if value is not None:
            plain = assign(plain, f"train.{key}", value)
    return assign(plain, "loss", {"name": choice.loss}) if choice.loss in LOSSES else plain


def _with_model(plain: dict[str, Any], choice: Choice, kg: KnowledgeGraph | None) -> dict[str, Any]:
    """A recipe with the triples, encoder and decoder that were chosen."""
    if kg is not None:
        plain = {**plain, "data": kg.source or kg.name}
        if kg.features is not None and "features" not in plain:
            plain["features"] = {}
    encoder = _section(plain, "encoder")
    if choice.encoder not in (None, encoder.get("name")):
        plain = {**plain, "encoder": {"name": choice.encoder, "dim": encoder.get("dim", 100)}}
        if not ENCODERS[str(choice.encoder)].uses_graph:
            plain.pop("graph", None)
    if choice.decoder not in (None, _section(plain, "decoder").get("name")):
        plain = {**plain, "decoder": {"name": choice.decoder}}
    return plain if choice.dim is None else assign(plain, "encoder.dim", choice.dim)


def _for_many(plain: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe for triples of one's own with many entities: steps that cost what their batch does.

    Negatives are shared by the batch, as are the candidates of DANS, and the optimizer touches the
    rows of a step; validation ranks some triples among some entities. What contradicts a given
    option is left out.
    """
    train = {"optimizer": "lazy_adam", "l2": 0.0}
    plain = merge(plain, {"train": train})
    if not Selection(str(given.get("train.select", "mrr"))).labelled:
        # Candidates are drawn or restricted, not both.
        restricted = given.get("evaluation.among", "") not in ("", ALL)
        drawn = {} if restricted else {"candidates": SHARED}
        plain = merge(plain, {"evaluation": {**drawn, "most": RANKED}})
    samplers = [dict(part) for part in plain.get("sampler", ())]
    for part in samplers:
        preset = PRESETS.get(str(part.get("preset")), {})
        if part["name"] in ("uniform", "bernoulli"):
            part.setdefault("shared_negatives", SHARED)
        elif part["name"] == "dans" and {**preset, **part}.get("decode", "vector") != "vector":
            part.setdefault("candidates", SHARED)
    return {**plain, "sampler": samplers} if samplers else plain


def _with_neighbors(plain: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe whose encoder, if it takes messages, samples ten for each entity and layer.

    Not where a given option, or a sampler that scans all entities, needs the whole message graph.
    """
    encoder = _section(plain, "encoder")
    if _needs_whole_graph(plain, given) or not ENCODERS[str(encoder["name"])].uses_graph:
        return plain
    graph = {key: value for key, value in plain.get("graph", {}).items() if key != "sample"}
    layers = given.get("encoder.layers", encoder.get("layers", 2))
    # What is no number is refused with the other options.
    layers = layers if isinstance(layers, int) else 2
    return {**plain, "graph": {**graph, "fanout": [FANOUT] * layers}}


def _needs_whole_graph(plain: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Does a given option, or a sampler that scans all entities, need the whole message graph?"""
    scans = any(part["name"] in ("igan", "mcns", "smile") for part in plain.get("sampler", ()))
    return scans or "graph.sample" in given or given.get("train.encode") == "all"


def _with_fanout(plain: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe of ours whose share of the messages makes way for a fanout, if that is chosen."""
    if not given.get("graph.fanout") or "graph.sample" in given:
        return plain
    graph = {key: value for key, value in _section(plain, "graph").items() if key != "sample"}
    return {**plain, "graph": graph}


def _section(plain: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = plain.get(key, {})
    return section if isinstance(section, Mapping) else {"name": section}


def _of_model(key: str) -> bool:
    """Whether an option is one that a run takes over from the run it is initialised from."""
    return key.split(".")[0] in RunConfig.INHERITED


def _check_model(choice: Choice, before: RunConfig) -> None:
    """Refuse to continue a run with another model, but for layers on top of a lookup."""
    wanted = {"encoder": choice.encoder, "decoder": choice.decoder, "dim": choice.dim}
    if (choice.encoder, before.encoder.name) == ("rgcn", "lookup"):
        del wanted["encoder"]
    there: dict[str, Any] = {"encoder": before.encoder.name, "decoder": before.decoder.name}
    there["dim"] = before.encoder.options.get("dim", choice.dim)
    for key, value in wanted.items():
        if value not in (None, there[key]):
            raise InputError(f"{key}: {value!r} here, {there[key]!r} in the run it starts from")
