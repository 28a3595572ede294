"""Choosing a component by name: a plain dict and one function."""

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from dans.errors import InputError

T = TypeVar("T")


def choose(table: Mapping[str, T], name: str, *, where: str) -> T:
    """Look a name up in a table.

    Args:
        table: names to values.
        name: the one wanted.
        where: how the user would find it, such as ``decoder.name``; opens the error.

    Raises:
        InputError: the table has no such name; the message lists those it has.

    Example:
        >>> choose({"distmult": 1, "complex": 2}, "distmult", where="decoder.name")
        1
    """
    if name not in table:
        near = get_close_matches(name, table, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{where}: unknown name {name!r}; known: {', '.join(sorted(table))}{hint}")
    return table[name]


def options(factory: Callable[..., object]) -> dict[str, inspect.Parameter]:
    """The parameters a factory accepts, by name and in order."""
    return dict(inspect.signature(factory).parameters)


def build(
    table: Mapping[str, Callable[..., T]],
    name: str,
    *,
    where: str = "component",
    given: Mapping[str, object] | None = None,
    **known: object,
) -> T:
    """Build a component by name, checking its options against its own constructor.

    Args:
        table: names to classes.
        name: the one to build.
        where: the section the options come from; opens every error.
        given: what the user asked for. Each key must be a parameter of the constructor.
        known: what the caller can supply (sizes, tensors). What the constructor does not ask for is
            left out, so one call serves a whole family.

    Raises:
        InputError: an unknown name, an unknown option, or an option the constructor refuses.

    Example:
        >>> build({"complex": complex}, "complex", given={"imag": 2.0}, real=1.0, colour="red")
        (1+2j)
    """
    factory = choose(table, name, where=f"{where}.name")
    accepted = options(factory)
    supplied = {key: value for key, value in known.items() if key in accepted}
    settable = [key for key in accepted if key not in supplied]
    for key in given or {}:
        if key not in settable:
            raise InputError(
                f"{where}.{key}: unknown option of {name}; known: {', '.join(settable) or 'none'}"
            )
    try:
        return factory(**supplied, **(given or {}))
    except InputError as error:
        raise InputError(f"{where}.{error}") from error
    except TypeError as error:
        raise InputError(f"{where}: {name} cannot be built: {error}") from error
