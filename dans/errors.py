"""The one error a user is meant to read, and the checks of options that raise it."""

import math
from collections.abc import Sequence

#: Whole numbers from here on have more than 64 bits: no file holds them, and torch neither.
LARGEST = 2**63

#: Letters of a sentence at most.
LONGEST = 1200


class InputError(ValueError):
    r"""Something the user gave cannot be used: a file, a line, a key, a name, an option.

    The message is one sentence that names the place and what would have been accepted. Scripts
    print it and exit with status 2; every other exception is a defect of ours and keeps its
    traceback. Whatever keys, paths or addresses it quotes, it is one line of bounded length that
    steers no terminal.

    Example:
        >>> print(InputError("own.toml: a\nb: unknown option"))
        own.toml: a\nb: unknown option
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(bounded(visible(sentence)))


class DivergedError(FloatingPointError):
    """Training came to numbers that are none, or far too large."""


def visible(text: str) -> str:
    r"""Text on one line, without what would steer a terminal.

    Example:
        >>> visible("green\ttea \x1b[2J")
        'green\\ttea \\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def bounded(text: str, most: int = LONGEST) -> str:
    """Text, or of a long one the beginning and the end.

    Example:
        >>> bounded("x" * 500 + "y", most=5)
        'xx…xy'
    """
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}…{text[len(text) - (most - 1) // 2 :]}"


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
