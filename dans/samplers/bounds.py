"""Options that are numbers, and what they must be; neither NaN nor infinity ever is."""

from math import isfinite

from dans.errors import InputError


def finite(option: str, value: float) -> None:
    """Check an option that may be any number.

    Raises:
        InputError: the value is NaN or infinite.

    Example:
        >>> finite("exponent", float("nan"))
        Traceback (most recent call last):
        dans.errors.InputError: exponent: must be a finite number, got nan
    """
    if not isfinite(value):
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
