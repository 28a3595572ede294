"""What a run is, as data: frozen, parsed strictly, and without torch.

A recipe is a TOML file; ``dans.config.recipes`` reads it. ``RunConfig.parse`` turns it into the
structs below and refuses every key it does not know; ``RunConfig.plain`` turns it back. Options of
a component (an encoder, a loss, …) are checked later, by the component's own constructor: see
``dans.registry.build``.
"""

import sys
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct, structs

from dans.config.old_names import renamed_options
from dans.config.reading import convert
from dans.errors import InputError, shown
from dans.memory import stated

#: How the learning rate moves over a run.
Schedule = Literal["constant", "cosine", "linear", "plateau"]

#: What moves the parameters of a model; see ``dans.training.optimizers``.
OptimizerName = Literal["adam", "adagrad", "lazy_adam"]

#: What a batch counts: triples, each asked for its head and its tail; or queries, each with all
#: triples that answer it.
BatchBy = Literal["triples", "queries"]

#: The validation figure that chooses the best checkpoint: filtered MRR; or the NLL of lines
#: labelled true and false, where a data set has such.
Select = Literal["mrr", "nll"]

#: Numbers with limits; the largest float keeps infinity out.
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
Share = Annotated[float, Meta(gt=0, le=1)]
Beta = Annotated[float, Meta(ge=0, lt=1)]

#: Sections of a recipe that say what it gives and what a paper has in its place; nothing is
#: computed from them.
RECORDS = ("expected", "paper")


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """Options by name, none but those declared; ``convert`` checks types and limits."""


class Component(Section, frozen=True):
    """A class chosen by name, and what its constructor is given."""

    name: str
    options: dict[str, Any] = {}


class GraphConfig(Section, frozen=True):
    """How triples become the messages of an encoder."""

    #: the normaliser: ``relation`` (Eq. 1 of DANS), ``node`` (DGL's example) or ``code`` (the
    #: published program)
    norm: Literal["relation", "node", "code"] = "relation"
    #: share of the training triples that carry messages in each training step, drawn afresh
    sample: Share = 1.0
    #: leave the triples being scored out of the messages
    hold_out: bool = True


class TrainConfig(Section, frozen=True):
    """How parameters move."""

    #: moves of the model
    steps: Count = 1000
    #: triples (or queries) per step; more than there are means all of them
    batch: Positive = 1000
    #: what a batch counts: ``triples``, or ``queries`` for objectives that compare all entities
    batch_by: BatchBy = "triples"
    #: what moves the model; ``adagrad`` and ``lazy_adam`` touch only the rows that a step used
    optimizer: OptimizerName = "adam"
    #: the learning rate
    lr: NotNegative = 1e-3
    #: of ``adam`` and ``lazy_adam``
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    #: what ``adagrad`` takes the sum of squared gradients to be at the start
    accumulator: NotNegative = 0.0
    #: how the learning rate moves over the run
    schedule: Schedule = "constant"
    #: ``plateau`` multiplies the learning rate by this …
    decay: Share = 0.95
    #: … after more validations than this without a better figure
    decay_patience: Count = 5
    #: largest norm of the gradient of the model; 0 turns clipping off
    clip: NotNegative = 1.0
    #: weight of mean e² + mean r² over the encoder's output and the relation table
    l2: NotNegative = 0.0
    #: what chance starts from
    seed: Count = 0
    #: steps between validations; each writes a checkpoint
    validate_every: Positive = 100
    #: the figure that a validation gives, and the best checkpoint is best in
    select: Select = "mrr"
    #: validations without a better figure before stopping; 0 never stops early
    patience: Count = 0
    #: threads of torch; 0 leaves torch's own choice. One is the better default for graphs like UMLS
    threads: Annotated[int, Meta(ge=0, le=1024)] = 0
    #: where to compute, as torch names it
    device: str = "cpu"
    #: what validation, and scoring all entities, may hold at a time beside the model and its
    #: embeddings: bytes, or a size such as ``200MB`` or ``1GiB``; empty or 0: a quarter of what is
    #: free. No result depends on it
    memory_budget: str | int = ""
    #: write down the negatives of every step, under ``negatives`` in the folder of the run
    log_negatives: bool = False

    def __post_init__(self) -> None:
        """Check the size of the budget, and that each option has an effect."""
        stated(self.memory_budget)
        plateau = (self.schedule == "plateau", 'schedule = "plateau"')
        needs = {
            "accumulator": (self.optimizer == "adagrad", 'optimizer = "adagrad"'),
            "betas": (self.optimizer != "adagrad", 'optimizer = "adam" or "lazy_adam"'),
            "decay": plateau,
            "decay_patience": plateau,
        }
        defaults = dict(zip(self.__struct_fields__, self.__struct_defaults__, strict=True))
        for name, (met, what) in needs.items():
            if not met and getattr(self, name) != defaults[name]:
                raise InputError(f"{name}: has no effect without {what}; leave it out")


class PhaseConfig(Section, frozen=True):
    """How the parameters of one phase of a sampler move."""

    #: the learning rate
    lr: NotNegative = 1e-3
    #: of its Adam
    betas: tuple[Beta, Beta] = (0.5, 0.999)
    #: triples per inner move, the first of the batch; 0 takes all of it
    batch: Count = 0
    #: move on every part of the batch before the model's one step, not on the first alone; the
    #: published DANS program nests its loops so
    sweep: bool = False

    def __post_init__(self) -> None:
        """Check that parts have a size."""
        if self.sweep and not self.batch:
            raise InputError("sweep: needs a batch to sweep in parts of; set batch too")


class RunConfig(Section, frozen=True):
    """Everything that decides what a run computes."""

    #: the triples: a data set's name, a folder, or a card
    data: str
    #: gives entities their embeddings
    encoder: Component
    #: scores triples
    decoder: Component
    #: what is minimised; of those in ``dans``, negatives from samplers under a loss
    objective: Component = Component("negative_sampling")
    #: compares scores; of objectives that have negatives
    loss: Component | None = None
    #: where negatives come from, side by side
    sampler: tuple[Component, ...] = ()
    #: terms beside the objective's
    regularizer: tuple[Component, ...] = ()
    #: how triples become messages
    graph: GraphConfig = GraphConfig()
    #: how parameters move
    train: TrainConfig = TrainConfig()
    #: by the name of a sampler's phase, how its parameters move
    phase: dict[str, PhaseConfig] = {}
    #: the run whose weights this one starts from, as ``pretrain/umls-distmult``; empty: from
    #: scratch
    init_from: str = ""

    #: What a run that starts from another one takes over from it.
    INHERITED: ClassVar = ("data", "graph", "encoder", "decoder")

    @classmethod
    def parse(cls, plain: Mapping[str, Any], *, where: str = "") -> "RunConfig":
        """Read nested plain data, as a recipe or ``config.json`` holds it.

        Args:
            plain: sections to options.
            where: the file it came from; opens every error.

        Raises:
            InputError: an unknown key, a missing one, or a value of the wrong kind.

        Example:
            >>> RunConfig.parse({"train": {"learning_rate": 0.001}})
            Traceback (most recent call last):
            dans.errors.InputError: train.learning_rate: unknown option; known: steps, ...
        """
        plain = renamed_options(plain)
        where = f"{where}: " if where else ""
        sections = {
            key: _opened(key, value, where) for key, value in plain.items() if key not in RECORDS
        }
        return convert(sections, cls, where)

    def plain(self) -> dict[str, Any]:
        """The same as nested plain data: ``parse(plain())`` is this config."""
        sections = {key: _closed(value) for key, value in structs.asdict(self).items()}
        return {key: value for key, value in sections.items() if value not in ("", {}, [], None)}

    def replace(self, **changes: Any) -> "RunConfig":
        """A copy with some options of ``train`` changed."""
        train = convert({**structs.asdict(self.train), **changes}, TrainConfig, path="train")
        return structs.replace(self, train=train)


def _opened(key: str, value: Any, where: str) -> Any:
    """A section of a recipe, with each component in it as a name and options."""
    if key in ("sampler", "regularizer") and isinstance(value, (list, tuple)):
        return [_component(part, f"{where}{key}.{i}") for i, part in enumerate(value)]
    if key == "loss" and value in (None, ""):
        # TOML has no word for nothing: an heir drops what it inherits by an empty string.
        return None
    chosen = key in ("encoder", "decoder", "objective", "loss")
    return _component(value, f"{where}{key}") if chosen else value


def _component(value: Any, place: str) -> dict[str, Any]:
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, Mapping):
        raise InputError(f"{place}: expected a name or a section, got {shown(value)}")
    options = {key: _closed(part) for key, part in value.items() if key != "name"}
    return {"name": value["name"], "options": options} if "name" in value else {"options": options}


def _closed(value: Any) -> Any:
    """A value as plain data: a copy, of lists and dicts, where a component is one section."""
    if isinstance(value, Component):
        return {"name": value.name, **_closed(value.options)}
    if isinstance(value, Struct):
        value = structs.asdict(value)
    if isinstance(value, Mapping):
        return {key: _closed(item) for key, item in value.items()}
    return [_closed(item) for item in value] if isinstance(value, (list, tuple)) else value
