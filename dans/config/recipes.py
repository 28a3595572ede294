"""Recipes: TOML files as plain data, what they extend, and what is set over them."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dans.config.reading import TooLargeError, parse_toml, read_toml
from dans.config.schema import RECORDS, Component
from dans.errors import InputError, shown

#: Recipes that an error lists all.
LISTED = 20


def read_recipe(path: Path) -> dict[str, Any]:
    """A TOML file as plain data, with what it leaves open taken from the recipe it extends.

    ``extends = "umls-distmult-uniform"`` names a recipe in the same folder. Options of plain
    sections are taken over one by one, and so are those of a component that is not named anew; a
    list of components is taken over whole or not at all, and ``[]`` is a list; ``loss = ""`` is no
    loss. What a recipe is expected to give, and what a paper has in its place, is its own.

    Raises:
        InputError: no such file, or not TOML; the message names the line. Or it extends itself.
    """
    return _extended(path, ())


def _extended(path: Path, heirs: tuple[Path, ...]) -> dict[str, Any]:
    plain = _read_toml(path)
    name = plain.pop("extends", None)
    if name is None:
        return plain
    if not (isinstance(name, str) and name.isprintable() and name == Path(name).stem != ""):
        raise InputError(
            f"{path}: extends: expected the name of a recipe in the same folder, got {shown(name)}"
        )
    base = path.with_name(f"{name}.toml")
    if base in (*heirs, path):
        raise InputError(f"{path}: extends: {name} extends this recipe")
    inherited = _extended(base, (*heirs, path))
    for record in RECORDS:
        inherited.pop(record, None)
    return merge(inherited, plain)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two recipes as one: sections option by option, all else from above where given.

    A component that names itself is another one, and takes over nothing.
    """
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        under, over = below[key], above[key]
        if isinstance(under, Mapping) and isinstance(over, Mapping) and "name" not in over:
            merged[key] = merge(under, over)
    return merged


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such recipe; {_offered(path)}") from None


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
    changed: dict[str, Any] = deepcopy(dict(plain))
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise InputError(f"--set {assignment}: expected section.option=value")
        here = changed
        for depth, key in enumerate(keys[:-1]):
            here = _descend(here, key, f"--set {'.'.join(keys[: depth + 1])}")
        _put(here, keys[-1], _value(text.strip(), f"--set {path}"), f"--set {path}")
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
    if not (key.isdecimal() and len(key) < 10 and int(key) < len(here)):
        raise InputError(f"{where}: expected a number below {len(here)}, got {shown(key)}")
    return int(key)


def _value(text: str, where: str) -> Any:
    """A TOML value, or else the text as it stands; more than one value is text too."""
    try:
        plain = parse_toml(f"value = {text}", where)
    except TooLargeError:
        raise
    except InputError:
        return text
    return plain["value"] if len(plain) == 1 else text


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
        options[key] = _value(value, text)
    return Component(name.strip(), options)
