"""What a run is, as data: frozen, parsed strictly, and without torch.

A recipe is a TOML file. ``RunConfig.parse`` turns it into the dataclasses below and refuses every
key it does not know; ``RunConfig.plain`` turns it back. Options of a component (an encoder, a loss,
…) are checked later, by the component's own constructor: see ``dans.registry.build``.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from dans.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

#: How the learning rate moves over a run.
Schedule = Literal["constant", "cosine", "linear", "plateau"]

#: What moves the parameters of a model; see ``dans.training.optimizers``.
OptimizerName = Literal["adam", "adagrad", "lazy_adam"]

#: What a batch counts: facts, each asked for its head and its tail; or questions, each with all
#: facts that answer it.
BatchBy = Literal["facts", "questions"]

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
        raise InputError(f"{name}: expected {words}, got {value:g}")


#: Sections of a recipe that say what it gives and what a paper has in its place; nothing is
#: computed from them.
RECORDS = ("expected", "paper")

#: Recipes that an error lists all.
LISTED = 20


@dataclass(frozen=True)
class Component:
    """A class chosen by name, and what its constructor is given."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GraphConfig:
    """How facts become the messages of an encoder."""

    #: the normaliser: ``relation`` (Eq. 1 of DANS), ``node`` (DGL's example) or ``code`` (the
    #: published program)
    norm: Literal["relation", "node", "code"] = "relation"
    #: share of the training facts that carry messages in each training step, drawn afresh
    sample: float = 1.0
    #: leave the facts being scored out of the messages
    hold_out: bool = True

    def __post_init__(self) -> None:
        """Check the ranges."""
        _within("sample", self.sample, above=0, most=1)


@dataclass(frozen=True)
class TrainConfig:
    """How parameters move."""

    steps: int = 1000
    #: facts (or questions) per step; more than there are means all of them
    batch: int = 1000
    #: what a batch counts: ``facts``, or ``questions`` for objectives that compare all entities
    batch_by: BatchBy = "facts"
    optimizer: OptimizerName = "adam"
    lr: float = 1e-3
    #: of ``adam`` and ``lazy_adam``
    betas: tuple[float, float] = (0.9, 0.999)
    #: what ``adagrad`` takes the sum of squared gradients to be at the start
    accumulator: float = 0.0
    schedule: Schedule = "constant"
    #: ``plateau`` multiplies the learning rate by this …
    decay: float = 0.95
    #: … after more validations than this without a better figure
    decay_patience: int = 5
    #: largest norm of the gradient of the model; 0 turns clipping off
    clip: float = 1.0
    #: weight of mean e² + mean r² over the encoder's output and the relation table
    l2: float = 0.0
    seed: int = 0
    #: steps between validations; each writes a checkpoint
    validate_every: int = 100
    #: the figure that a validation gives, and the best checkpoint is best in
    select: Select = "mrr"
    #: validations without a better figure before stopping; 0 never stops early
    patience: int = 0
    #: threads of torch; 0 leaves torch's own choice. One is the better default for graphs like UMLS
    threads: int = 0
    device: str = "cpu"
    #: write down the rivals of every step, under ``negatives`` in the folder of the run
    dump: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        not_negative = ("steps", "lr", "clip", "l2", "seed", "patience", "threads")
        for name in (*not_negative, "accumulator", "decay_patience"):
            _within(name, getattr(self, name), least=0)
        _within("decay", self.decay, above=0, most=1)
        _within("batch", self.batch, least=1)
        _within("validate_every", self.validate_every, least=1)
        _within("seed", self.seed, most=2**63 - 1)
        for beta in self.betas:
            _within("betas", beta, least=0, below=1)
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

    lr: float = 1e-3
    betas: tuple[float, float] = (0.5, 0.999)
    #: facts per inner move, the first of the batch; 0 takes all of it
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

    data: str
    encoder: Component
    decoder: Component
    #: what is minimised; of those in ``dans``, rivals from samplers under a loss
    objective: Component = Component("negative_sampling")
    loss: Component | None = None
    sampler: tuple[Component, ...] = ()
    #: terms beside the objective's
    regularizer: tuple[Component, ...] = ()
    graph: GraphConfig = GraphConfig()
    train: TrainConfig = TrainConfig()
    phase: dict[str, PhaseConfig] = field(default_factory=dict)
    #: the run whose weights this one starts from, as ``pretrain/umls-distmult``; empty: from
    #: scratch
    start: str = ""

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


def component(text: str) -> Component:
    """A component in one string: its name, and its options after a colon.

    Raises:
        InputError: an option without a name or a value.

    Example:
        >>> component("uniform:k=5,filter=mask")
        Component(name='uniform', options={'k': 5, 'filter': 'mask'})
    """
    name, _, given = text.partition(":")
    options = {}
    for option in given.split(",") if given else ():
        key, equals, value = (part.strip() for part in option.partition("="))
        if not (key and equals and value):
            raise InputError(f"{text}: expected NAME or NAME:OPTION=VALUE,OPTION=VALUE")
        options[key] = _value(value)
    return Component(name.strip(), options)


def read_recipe(path: Path) -> dict[str, Any]:
    """A TOML file as plain data, with what it leaves open taken from the recipe it extends.

    ``extends = "umls-distmult-uniform"`` names a recipe in the same folder. Options of plain
    sections are taken over one by one, and so are those of a component that is not named anew; a
    list of components is taken over whole or not at all; what a recipe is expected to give, and
    what a paper has in its place, is its own.

    Raises:
        InputError: no such file, or not TOML; the message names the line. Or it extends itself.
    """
    return _extended(path, ())


def _extended(path: Path, heirs: tuple[Path, ...]) -> dict[str, Any]:
    plain = _read_toml(path)
    name = plain.pop("extends", None)
    if name is None:
        return plain
    plain_name = isinstance(name, str) and name == Path(name).stem != ""
    _expect(plain_name, f"{path}: extends", "the name of a recipe in the same folder", name)
    base = path.with_name(f"{name}.toml")
    if base in (*heirs, path):
        raise InputError(f"{path}: extends: {name} extends this recipe")
    inherited = _extended(base, (*heirs, path))
    for record in RECORDS:
        inherited.pop(record, None)
    return _merge(inherited, plain)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two recipes as one: sections option by option, all else from above where given.

    A component that names itself is another one, and takes over nothing.
    """
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        under, over = below[key], above[key]
        if isinstance(under, Mapping) and isinstance(over, Mapping) and "name" not in over:
            merged[key] = _merge(under, over)
    return merged


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such recipe; {_offered(path)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a TOML file: {error}") from None


def _offered(path: Path) -> str:
    """The recipes of a folder; where they are many, those of a name much like the one asked for."""
    names = sorted(other.stem for other in path.parent.glob("*.toml"))
    if len(names) <= LISTED:
        return f"known: {', '.join(names) or 'none in that folder'}"
    near = get_close_matches(path.stem, names, n=5)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    return f"{hint}{len(names)} are in {path.parent}"


def override(plain: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Apply ``key.path=value`` assignments to plain data; the original stays as it was.

    Values are TOML; what is not TOML is taken as a string. Members of a list are reached by number.
    A component given by its name alone becomes a section when an option of it is set.

    Raises:
        InputError: an assignment without ``=``, or through something that is not a section.

    Example:
        >>> override({"train": {"lr": 0.1}}, ["train.lr=0.01", "decoder.name=rotate"])
        {'train': {'lr': 0.01}, 'decoder': {'name': 'rotate'}}
    """
    changed: dict[str, Any] = _copy(plain)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise InputError(f"--set {assignment}: expected section.option=value")
        here = changed
        for depth, key in enumerate(keys[:-1]):
            here = _descend(here, key, f"--set {'.'.join(keys[: depth + 1])}")
        _put(here, keys[-1], _value(text.strip()), f"--set {path}")
    return changed


def _descend(here: Any, key: str, where: str) -> Any:
    place: Any = _number(here, key, where) if isinstance(here, list) else key
    if isinstance(here, dict):
        here.setdefault(key, {})
    if isinstance(here[place], str):
        here[place] = {"name": here[place]}
    if not isinstance(here[place], (dict, list)):
        raise InputError(f"{where}: is a value, not a section")
    return here[place]


def _put(here: Any, key: str, value: Any, where: str) -> None:
    if isinstance(here, list):
        here[_number(here, key, where)] = value
    else:
        here[key] = value


def _number(here: list[Any], key: str, where: str) -> int:
    if not key.isdecimal() or int(key) >= len(here):
        raise InputError(f"{where}: expected a number below {len(here)}, got {key!r}")
    return int(key)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


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
    if origin in (Union, UnionType):
        return None if plain is None else _parse(get_args(kind)[0], plain, path)
    if origin is Literal:
        if plain not in get_args(kind):
            raise InputError(f"{path}: known: {', '.join(map(str, get_args(kind)))}; got {plain!r}")
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
    if not isinstance(plain.get("name"), str):
        raise InputError(f"{path}.name: missing")
    return Component(plain["name"], {k: _copy(v) for k, v in plain.items() if k != "name"})


def _sequence(kinds: tuple[Any, ...], plain: Any, path: str) -> tuple[Any, ...]:
    _expect(isinstance(plain, (list, tuple)), path, "a list", plain)
    if kinds[-1] is Ellipsis:
        _expect(len(plain) > 0, path, "at least one", plain)
        kinds = (kinds[0],) * len(plain)
    _expect(len(plain) == len(kinds), path, f"{len(kinds)} values", plain)
    return tuple(
        _parse(k, item, f"{path}.{i}") for i, (k, item) in enumerate(zip(kinds, plain, strict=True))
    )


def _scalar(kind: type, plain: Any, path: str) -> Any:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a string"}
    if kind is float and isinstance(plain, int) and not isinstance(plain, bool):
        return float(plain)
    _expect(type(plain) is kind, path, words[kind], plain)
    return plain


def _expect(holds: bool, path: str, what: str, got: Any) -> None:
    if not holds:
        raise InputError(f"{path}: expected {what}, got {got!r}")
