"""Components by name: a dict from names to classes, and one function that builds from it."""

import inspect
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar, get_args, get_type_hints

from dans.config.reading import convert, to_python
from dans.errors import InputError, did_you_mean, shown, textual
from dans.memory import is_out_of_memory

T = TypeVar("T")

#: The type of an option that is the path of a file, or of a folder of files.
File: TypeAlias = Annotated[str, "file"]

#: Types that are checked before the constructor is called; it checks all others itself.
PLAIN = (bool, int, float, str, type(None))

#: Types of one path, or of several, which options give as text.
PATHS = (Path, type(None), Ellipsis)

#: ``*args`` and ``**kwargs``, which no option can name.
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

#: How a name that is in no table may come into one: the end of a message.
ADDING = (
    "; one of your own is entered by a program: import it first, or end it with "
    "dans.cli.main.main() and run it in place of dans, as in: python PROGRAM evaluate RUN_DIR"
)


def choose(table: Mapping[str, T], name: str, *, where: str) -> T:
    """The value of a name in a table; ``where``, such as ``decoder.name``, opens the error."""
    textual(where, name)
    if name not in table:
        names = f"{', '.join(sorted(table))}{did_you_mean(name, table, repr) or ADDING}"
        raise InputError(f"{where}: unknown name {shown(name)}; known: {names}")
    return table[name]


def options(factory: Callable[..., object]) -> dict[str, inspect.Parameter]:
    """The parameters of a factory that have a name, in order: not ``*args`` or ``**kwargs``."""
    every = inspect.signature(factory).parameters
    return {name: one for name, one in every.items() if one.kind not in VARIADIC}


def build(
    table: Mapping[str, Callable[..., T]],
    name: str,
    *,
    where: str = "component",
    given: Mapping[str, object] | None = None,
    **known: object,
) -> T:
    """A component by name, its options checked against its constructor.

    Args:
        table: names to classes.
        name: of the component.
        where: the section of the options; opens every error.
        given: options of the user; each must be a parameter of the constructor.
        known: arguments of the caller (sizes, tensors); those that the constructor does not take
            are left out, so that one call serves a whole family.

    Example:
        >>> build({"complex": complex}, "complex", given={"imag": 2.0}, real=1.0, colour="red")
        (1+2j)
    """
    factory = choose(table, name, where=f"{where}.name")
    accepted = options(factory)
    supplied = {key: value for key, value in known.items() if key in accepted}
    settable = [key for key in accepted if key not in supplied]
    given = dict(to_python(given or {}))
    for key in given:
        if key not in settable:
            raise InputError(
                f"{where}.{key}: unknown option of {name}; known: {', '.join(settable) or 'none'}"
            )
    declared = hints(factory)
    for key, value in given.items():
        kind: Any = declared.get(key)
        parts = get_args(kind) or (kind,)
        if all(part in PLAIN for part in parts):
            convert(value, kind, f"{where}.", key)
        elif all(part in PATHS for part in parts):
            given[key] = convert(value, kind, f"{where}.", key)
        if isinstance(value, str) and "\0" in value:
            raise InputError(f"{where}.{key}: expected a string without NUL, got {shown(value)}")
    for key in settable:
        if accepted[key].default is inspect.Parameter.empty and key not in given:
            raise InputError(f"{where}.{key}: missing; {name} needs it")
    try:
        return factory(**supplied, **given)
    except InputError as error:
        # A loss or a sampler that the caller gave has a section of its own.
        about = str(error).partition(":")[0]
        opening = "" if about in supplied and about in ("loss", "sampler") else f"{where}."
        raise InputError(f"{opening}{error}") from error
    except (TypeError, RuntimeError, MemoryError) as error:
        # Torch reports sizes beyond 64 bits as an overflow.
        too_large = is_out_of_memory(error) or "overflow" in str(error)
        if isinstance(error, TypeError) or too_large:
            sentence = str(error).partition("\n")[0]
            if len(inspect.signature(factory).parameters) > len(accepted):
                sentence += "; it is given what its constructor names, not *args or **kwargs"
            raise InputError(f"{where}: {name} cannot be built: {sentence}") from error
        raise


def derivation(kind: type, names: Set[str]) -> int:
    """How far up the bases of a class one of some methods is defined; 0: in the class itself.

    Example:
        >>> class Loud(dict):
        ...     def pop(self, key): ...
        >>> derivation(Loud, {"pop", "keys"}), derivation(Loud, {"keys"})
        (0, 1)
    """
    bases = enumerate(kind.__mro__)
    return next(i for i, base in bases if not names.isdisjoint(vars(base)))


def hints(factory: Callable[..., object]) -> dict[str, Any]:
    """The declared types of a factory's parameters, where they can be read."""
    return _hints(factory, extras=False)


def file_options(factory: Callable[..., object]) -> list[str]:
    """The parameters of a factory that are paths, those declared as ``File``.

    Example:
        >>> def read(names: File | None = None, k: int = 1) -> None: ...
        >>> file_options(read)
        ['names']
    """
    declared = _hints(factory, extras=True).items()
    return [name for name, kind in declared if File in (kind, *get_args(kind))]


def _hints(factory: Callable[..., object], *, extras: bool) -> dict[str, Any]:
    try:
        there = factory.__init__ if inspect.isclass(factory) else factory
        return get_type_hints(there, include_extras=extras)
    except (NameError, TypeError):
        return {}
