"""What a run is, as data: frozen, parsed strictly, and without torch.

A recipe is a TOML file; ``dans.config.recipes`` reads it. ``RunConfig.parse`` turns it into the
dataclasses below and refuses every key it does not know; ``RunConfig.plain`` turns it back. Options
of a component (an encoder, a loss, …) are checked later, by the component's own constructor: see
``dans.registry.build``.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from dans.config.old_names import renamed_options
from dans.errors import LARGEST, InputError, finite, one_of, shown
from dans.memory import stated

T = TypeVar("T")

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


def _within(
    name: str,
    value: float,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> None:
    """Refuse a number out of range, in words."""
    limits = {"at least": least, "above": above, "at most": most, "below": below}
    words = " and ".join(f"{word} {limit:g}" for word, limit in limits.items() if limit is not None)
    if (
        (least is not None and not value >= least)
        or (above is not None and not value > above)
        or (most is not None and not value <= most)
        or (below is not None and not value < below)
    ):
        # As a float, a whole number may be none.
        got = shown(value) if isinstance(value, int) else f"{value:g}"
        raise InputError(f"{name}: expected {words}, got {got}")


#: Sections of a recipe that say what it gives and what a paper has in its place; nothing is
#: computed from them.
RECORDS = ("expected", "paper")


@dataclass(frozen=True)
class Component:
    """A class chosen by name, and what its constructor is given."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GraphConfig:
    """How triples become the messages of an encoder."""

    #: the normaliser: ``relation`` (Eq. 1 of DANS), ``node`` (DGL's example) or ``code`` (the
    #: published program)
    norm: Literal["relation", "node", "code"] = "relation"
    #: share of the training triples that carry messages in each training step, drawn afresh
    sample: float = 1.0
    #: leave the triples being scored out of the messages
    hold_out: bool = True

    def __post_init__(self) -> None:
        """Check the ranges."""
        _within("sample", self.sample, above=0, most=1)


@dataclass(frozen=True)
class TrainConfig:
    """How parameters move."""

    #: moves of the model
    steps: int = 1000
    #: triples (or queries) per step; more than there are means all of them
    batch: int = 1000
    #: what a batch counts: ``triples``, or ``queries`` for objectives that compare all entities
    batch_by: BatchBy = "triples"
    #: what moves the model; ``adagrad`` and ``lazy_adam`` touch only the rows that a step used
    optimizer: OptimizerName = "adam"
    #: the learning rate
    lr: float = 1e-3
    #: of ``adam`` and ``lazy_adam``
    betas: tuple[float, float] = (0.9, 0.999)
    #: what ``adagrad`` takes the sum of squared gradients to be at the start
    accumulator: float = 0.0
    #: how the learning rate moves over the run
    schedule: Schedule = "constant"
    #: ``plateau`` multiplies the learning rate by this …
    decay: float = 0.95
    #: … after more validations than this without a better figure
    decay_patience: int = 5
    #: largest norm of the gradient of the model; 0 turns clipping off
    clip: float = 1.0
    #: weight of mean e² + mean r² over the encoder's output and the relation table
    l2: float = 0.0
    #: what chance starts from
    seed: int = 0
    #: steps between validations; each writes a checkpoint
    validate_every: int = 100
    #: the figure that a validation gives, and the best checkpoint is best in
    select: Select = "mrr"
    #: validations without a better figure before stopping; 0 never stops early
    patience: int = 0
    #: threads of torch; 0 leaves torch's own choice. One is the better default for graphs like UMLS
    threads: int = 0
    #: where to compute, as torch names it
    device: str = "cpu"
    #: what validation, and scoring all entities, may hold at a time beside the model and its
    #: embeddings: bytes, or a size such as ``200MB`` or ``1GiB``; empty or 0: a quarter of what is
    #: free. No result depends on it
    memory_budget: str | int = ""
    #: write down the negatives of every step, under ``negatives`` in the folder of the run
    log_negatives: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        not_negative = ("steps", "lr", "clip", "l2", "seed", "patience", "threads")
        for name in (*not_negative, "accumulator", "decay_patience"):
            _within(name, getattr(self, name), least=0)
        _within("decay", self.decay, above=0, most=1)
        _within("batch", self.batch, least=1)
        _within("validate_every", self.validate_every, least=1)
        for name in ("steps", "batch", "validate_every", "seed", "patience", "decay_patience"):
            _within(name, getattr(self, name), most=LARGEST - 1)
        _within("threads", self.threads, most=1024)
        for beta in self.betas:
            _within("betas", beta, least=0, below=1)
        stated(self.memory_budget)
        plateau = (self.schedule == "plateau", 'schedule = "plateau"')
        needs = {
            "accumulator": (self.optimizer == "adagrad", 'optimizer = "adagrad"'),
            "betas": (self.optimizer != "adagrad", 'optimizer = "adam" or "lazy_adam"'),
            "decay": plateau,
            "decay_patience": plateau,
        }
        for name, (met, what) in needs.items():
            if not met and getattr(self, name) != getattr(TrainConfig, name):
                raise InputError(f"{name}: has no effect without {what}; leave it out")


@dataclass(frozen=True)
class PhaseConfig:
    """How the parameters of one phase of a sampler move."""

    #: the learning rate
    lr: float = 1e-3
    #: of its Adam
    betas: tuple[float, float] = (0.5, 0.999)
    #: triples per inner move, the first of the batch; 0 takes all of it
    batch: int = 0
    #: move on every part of the batch before the model's one step, not on the first alone; the
    #: published DANS program nests its loops so
    sweep: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        _within("lr", self.lr, least=0)
        _within("batch", self.batch, least=0)
        for beta in self.betas:
            _within("betas", beta, least=0, below=1)
        if self.sweep and not self.batch:
            raise InputError("sweep: needs a batch to sweep in parts of; set batch too")


@dataclass(frozen=True)
class RunConfig:
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
    phase: dict[str, PhaseConfig] = field(default_factory=dict)
    #: the run whose weights this one starts from, as ``pretrain/umls-distmult``; empty: from
    #: scratch
    init_from: str = ""

    #: What a run that starts from another one takes over from it.
    INHERITED = ("data", "graph", "encoder", "decoder")

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
        plain = {key: value for key, value in plain.items() if key not in RECORDS}
        try:
            return _section(cls, plain, "")
        except InputError as error:
            raise InputError(f"{where}: {error}" if where else str(error)) from None

    def plain(self) -> dict[str, Any]:
        """The same as nested plain data: ``parse(plain())`` is this config."""
        sections = {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return {key: value for key, value in sections.items() if value not in ("", {}, [], None)}

    def replace(self, **changes: Any) -> "RunConfig":
        """A copy with some options of ``train`` changed."""
        return dataclasses.replace(self, train=dataclasses.replace(self.train, **changes))


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, (list, tuple)) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Component):
        return {"name": value.name, **_copy(value.options)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _parse(kind: Any, plain: Any, path: str) -> Any:
    """Plain data as an instance of a type hint."""
    origin = get_origin(kind)
    if kind is Component:
        return _component(plain, path)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _section(kind, plain, path)
    if kind == str | int:
        _expect(type(plain) in (str, int), path, "a string or a whole number", plain)
        return plain
    if origin in (Union, UnionType):
        # TOML has no word for nothing: an heir drops what it inherits by an empty string.
        return None if plain in (None, "") else _parse(get_args(kind)[0], plain, path)
    if origin is Literal:
        one_of(path, plain, get_args(kind))
        return plain
    if origin is tuple:
        return _sequence(get_args(kind), plain, path)
    if origin is dict:
        _expect(isinstance(plain, Mapping), path, "a section", plain)
        return {
            key: _parse(get_args(kind)[1], item, f"{path}.{key}") for key, item in plain.items()
        }
    return _scalar(kind, plain, path)


def _section(kind: type[T], plain: Any, path: str) -> T:
    _expect(isinstance(plain, Mapping), path or "recipe", "a section", plain)
    hints = {f.name: get_type_hints(kind)[f.name] for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    dot = f"{path}." if path else ""
    for key in plain:
        if key not in hints:
            near = get_close_matches(str(key), hints, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"{dot}{key}: unknown option; known: {', '.join(hints)}{hint}")
    given = {key: _parse(hints[key], plain[key], f"{dot}{key}") for key in plain}
    required = [
        f.name
        for f in dataclasses.fields(kind)  # type: ignore[arg-type]
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    for key in required:
        if key not in given:
            raise InputError(f"{dot}{key}: missing")
    try:
        return kind(**given)
    except InputError as error:
        raise InputError(f"{dot}{error}") from None


def _component(plain: Any, path: str) -> Component:
    if isinstance(plain, str):
        return Component(plain)
    _expect(isinstance(plain, Mapping), path, "a name or a section", plain)
    if "name" not in plain:
        raise InputError(f"{path}.name: missing")
    _expect(isinstance(plain["name"], str), f"{path}.name", "a string", plain["name"])
    given = {key: value for key, value in plain.items() if key != "name"}
    _check_sizes(given, path)
    return Component(plain["name"], _copy(given))


def _check_sizes(value: Any, path: str) -> None:
    """Refuse whole numbers that no file could keep."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_sizes(item, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _check_sizes(item, f"{path}.{i}")
    elif isinstance(value, int):
        _expect(-LARGEST <= value < LARGEST, path, "a whole number below 2^63", value)


def _sequence(kinds: tuple[Any, ...], plain: Any, path: str) -> tuple[Any, ...]:
    _expect(isinstance(plain, (list, tuple)), path, "a list", plain)
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(plain)
    _expect(len(plain) == len(kinds), path, f"{len(kinds)} values", plain)
    return tuple(
        _parse(k, item, f"{path}.{i}") for i, (k, item) in enumerate(zip(kinds, plain, strict=True))
    )


def _scalar(kind: type, plain: Any, path: str) -> Any:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
    if kind is float and isinstance(plain, int) and not isinstance(plain, bool):
        _expect(abs(plain) < LARGEST, path, "a number below 2^63", plain)
        return float(plain)
    _expect(type(plain) is kind, path, words[kind], plain)
    if kind is float:
        finite(path, plain)
    return plain


def _expect(holds: bool, path: str, what: str, got: Any) -> None:
    if not holds:
        raise InputError(f"{path}: expected {what}, got {shown(got)}")
