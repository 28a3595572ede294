"""Search spaces: the options of a recipe that vary, and the values they may take."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dans.config.reading import parse_toml
from dans.errors import InputError

#: How a part of a space is written.
SYNTAX = "KEY=LOW..HIGH, KEY=LOW..HIGH:log, KEY=LOW..HIGH:step=STEP or KEY=CHOICE,CHOICE"

#: Options that are never searched, and why.
FIXED = {
    "data": "they would be of other problems",
    "train.select": "they would be of other kinds",
    "train.seed": "they would differ by the random state alone",
    "train.steps": "the longest would win, and pruning compares trials at a share of the steps",
    "train.validate_every": "more validations give more checkpoints to choose from, and pruning "
    "compares trials at one step",
}


@dataclass(frozen=True)
class Numbers:
    """A range of numbers, integers where both ends are."""

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @property
    def whole(self) -> bool:
        """Whether these are integers."""
        return isinstance(self.low, int)

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Values that a recipe must accept."""
        return self.low, self.high


@dataclass(frozen=True)
class Choices:
    """A few values, by the text that Optuna stores for each."""

    values: dict[str, Any]

    @property
    def extremes(self) -> tuple[Any, ...]:
        """Values that a recipe must accept."""
        return tuple(self.values.values())


#: The values of one option.
Part = Numbers | Choices


def parse_space(texts: Sequence[str]) -> dict[str, Part]:
    """The parts of a search space, by option, from texts as in ``SYNTAX``.

    ``0..1`` is 0 or 1, ``0.0..1.0`` any number between. Choices are TOML values, or else strings.

    Example:
        >>> space = parse_space(["train.lr=1e-4..1e-1:log", "encoder.layers=1..3", "loss.name=a,b"])
        >>> space["train.lr"], space["encoder.layers"].whole
        (Numbers(low=0.0001, high=0.1, log=True, step=None), True)
        >>> space["loss.name"]
        Choices(values={'a': 'a', 'b': 'b'})
    """
    space: dict[str, Part] = {}
    for text in texts:
        key, equals, values = (part.strip() for part in text.partition("="))
        where = f"--space {text}"
        if not (equals and values and all(key.split("."))):
            raise InputError(f"{where}: expected {SYNTAX}")
        if key in space:
            raise InputError(f"{where}: {key} is searched already; give each option once")
        if key in FIXED:
            raise InputError(
                f"{where}: {key} is not searched; results would not be comparable: {FIXED[key]}"
            )
        space[key] = _numbers(values, where) if ".." in values else _choices(values, where)
    if not space:
        raise InputError(f"--space: missing; expected {SYNTAX}")
    return space


def _numbers(text: str, where: str) -> Numbers:
    ends, _, scale = text.partition(":")
    low, high = (_number(end, where) for end in ends.split("..", 1))
    if not (isinstance(low, int) and isinstance(high, int)):
        low, high = float(low), float(high)
    if not low < high:
        raise InputError(f"{where}: expected a lower and a higher end, got {low} and {high}")
    name, _, stride = scale.partition("=")
    step = _number(stride, where) if name == "step" else None
    if scale and scale != "log" and step is None:
        raise InputError(f"{where}: expected log or step=STEP after the colon, got {scale}")
    if scale == "log" and low <= 0:
        raise InputError(f"{where}: expected ends above 0 for log, got {low}")
    if step is not None:
        if isinstance(low, int) and not isinstance(step, int):
            raise InputError(f"{where}: expected a whole step between whole numbers, got {step}")
        if not 0 < step <= high - low:
            raise InputError(f"{where}: expected a step above 0 and up to {high - low}, got {step}")
        steps = (high - low) / step
        if abs(steps - round(steps)) > 1e-9:
            raise InputError(f"{where}: expected a step that leads from {low} to {high}")
    return Numbers(low, high, scale == "log", step)


def _number(text: str, where: str) -> int | float:
    text = text.strip()
    try:
        value = int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else float(text)
    except ValueError:
        raise InputError(f"{where}: expected a number, got {text!r}") from None
    if not math.isfinite(value):
        raise InputError(f"{where}: expected a finite number, got {text!r}")
    return value


def _choices(text: str, where: str) -> Choices:
    try:
        values = parse_toml(f"values = [{text}]", where)["values"]
    except InputError:
        values = [_choice(part.strip(), where) for part in text.split(",")]
    named = {}
    for value in values:
        try:
            named[value if isinstance(value, str) else written(value)] = value
        except (TypeError, ValueError):
            raise InputError(
                f"{where}: expected strings, numbers, true or false, or lists of them, got {value}"
            ) from None
    if len(named) < len(values) or len(named) < 2:
        raise InputError(f"{where}: expected at least two values, each of them once")
    return Choices(named)


def _choice(text: str, where: str) -> Any:
    """A TOML value or a string; a part of a list is neither."""
    if not text or text[0] in "[{\"'":
        raise InputError(f"{where}: expected TOML values with commas between them, got {text!r}")
    try:
        return parse_toml(f"value = {text}", where)["value"]
    except InputError:
        return text


def written(value: Any) -> str:
    """A string, finite number, truth value or list of them as TOML on one line.

    Example:
        >>> written([1e-5, True, "umls"])
        '[1e-05, true, "umls"]'
    """
    if isinstance(value, dict):
        raise TypeError("a mapping is no TOML value on one line")
    # JSON and TOML agree on these values, but for one character that TOML wants escaped.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
