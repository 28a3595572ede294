"""The one error a user is meant to read, and the checks of options that raise it."""

import math
from collections.abc import Sequence


class InputError(ValueError):
    """Something the user gave cannot be used: a file, a line, a key, a name, an option.

    The message is one sentence that names the place and what would have been accepted. Scripts
    print it and exit with status 2; every other exception is a defect of ours and keeps its
    traceback.
    """


def shown(value: object, most: int = 100) -> str:
    """A value as Python writes it, for an error; of a long one, the beginning.

    Example:
        >>> shown("x" * 500, most=9)
        "'xxxxxxxx…"
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        # Python writes no whole number of thousands of digits, and nothing nested so deeply.
        return f"a very large {type(value).__name__}"
    return text if len(text) <= most else f"{text[:most]}…"


def one_of(option: str, value: object, accepted: Sequence[object]) -> None:
    """Check an option that names a choice.

    Raises:
        InputError: the value is not among those accepted.

    Example:
        >>> one_of("side", "tail", ("coin", "head", "tail"))
    """
    if value not in accepted:
        raise InputError(f"{option}: known: {', '.join(map(str, accepted))}; got {shown(value)}")


def finite(option: str, value: float) -> None:
    """Check an option that may be any number, which neither NaN nor infinity is.

    Raises:
        InputError: the value is NaN or infinite.

    Example:
        >>> finite("exponent", float("nan"))
        Traceback (most recent call last):
        dans.errors.InputError: exponent: must be a finite number, got nan
    """
    if not math.isfinite(value):
        raise InputError(f"{option}: must be a finite number, got {value}")


def above_zero(option: str, value: float) -> None:
    """Check an option that divides, or is a scale.

    Raises:
        InputError: the value is not above 0, or not finite.
    """
    finite(option, value)
    if value <= 0:
        raise InputError(f"{option}: must be above 0, got {value}")


def not_negative(option: str, value: float) -> None:
    """Check an option that weighs something, and so may be zero.

    Raises:
        InputError: the value is negative, or not finite.
    """
    finite(option, value)
    if value < 0:
        raise InputError(f"{option}: must not be negative, got {value}")
