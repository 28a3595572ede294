"""Every option of a recipe, and every recipe, as tables: read from the classes and the files."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from docstrings import above
from msgspec import NODEFAULT, Struct, structs

from baselines.assembly import OBJECTIVES, SAMPLERS
from dans.config import schema as config
from dans.config.recipes import RECIPES, SETTINGS
from dans.models import ENCODERS
from dans.models.decoders import DECODERS
from dans.objectives.losses import LOSSES
from dans.objectives.regularizers import REGULARIZERS
from dans.registry import hints, options
from dans.samplers.dans.sampler import PRESETS

#: Classes that a recipe chooses by name, by the section that does.
CHOSEN: dict[str, Mapping[str, Callable[..., Any]]] = {
    "encoder": ENCODERS,
    "decoder": DECODERS,
    "objective": OBJECTIVES,
    "loss": LOSSES,
    "sampler": SAMPLERS,
    "regularizer": REGULARIZERS,
}

#: What constructors ask for and a recipe does not say: it follows from the triples, or from another
#: section.
GIVEN = {
    *("num_entities", "num_relations", "num_batches", "triples", "known", "walks", "entity_names"),
    *("relation_names", "budget", "features"),
}
GIVEN_TO = {
    "encoder": GIVEN,
    "decoder": GIVEN | {"dim"},
    "objective": GIVEN | {"decoder", "loss", "sampler", "l2"},
    "loss": GIVEN,
    "sampler": GIVEN | {"dim"},
    "regularizer": GIVEN | {"decoder"},
}

#: Types by the names that a recipe's reader knows.
WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text"}


def tables(pages: Mapping[str, str]) -> str:
    """All of them.

    Args:
        pages: modules to their pages, from the root of the site.
    """
    parts = ["## The file itself", section(config.RunConfig)]
    sections = {
        "features": config.FeaturesConfig,
        "graph": config.GraphConfig,
        "train": config.TrainConfig,
    }
    for name, kind in {**sections, "evaluation": config.EvaluationConfig}.items():
        parts += [f"## `[{name}]`", section(kind)]
    parts += ["## `[features.table.NAME]`", section(config.FeatureTable)]
    parts += ["## `[phase.NAME]`", section(config.PhaseConfig)]
    for name, table in CHOSEN.items():
        mark = f"[[{name}]]" if name in ("sampler", "regularizer") else f"[{name}]"
        parts += [f"## `{mark}`", chosen(name, table, pages)]
    for folder in ("bases", *SETTINGS.values()):
        parts += [f"## `dans/recipes/{folder}`", files(folder)]
    return "\n\n".join(parts)


def files(folder: str) -> str:
    """The bases, or the settings of a kind, each with the first line of its file."""
    rows = ["| name | what |", "|---|---|"]
    for path in sorted((RECIPES / folder).glob("*.toml")):
        first = path.read_text("utf-8").splitlines()[0].removeprefix("# ")
        rows.append(f"| `{path.stem}` | {first} |")
    return "\n".join(rows)


def section(kind: type[Any]) -> str:
    """The options of a section, a row each."""
    source, first = inspect.getsourcelines(kind)
    file = Path(inspect.getfile(kind)).read_text("utf-8").splitlines()
    rows = ["| option | kind | default | what |", "|---|---|---|---|"]
    for field in structs.fields(kind):
        opens = f"    {field.name}: "
        number = first + next(i for i, line in enumerate(source) if line.startswith(opens))
        hint = get_type_hints(kind)[field.name]
        cells = [f"`{field.name}`", words(hint), default(field), above(file, number)]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def chosen(name: str, table: Mapping[str, Callable[..., Any]], pages: Mapping[str, str]) -> str:
    """The classes of a section by name, with what their constructors take and its defaults."""
    rows = ["| name | options and defaults |", "|---|---|"]
    for key, kind in sorted(table.items()):
        known = hints(kind)
        taken = [
            f"`{option.name}"
            + (f" = {shown(option.default)}`" if has(option) else "`")
            + (f" ({words(known[option.name])})" if not plain(known.get(option.name)) else "")
            for option in options(kind).values()
            if option.name not in GIVEN_TO[name]
        ]
        if name == "sampler" and key == "dans":
            taken.insert(0, f"`preset` ({', '.join(f'`{one}`' for one in PRESETS)})")
        place = f"{pages[kind.__module__]}#{kind.__module__}.{kind.__qualname__}"
        cells = [f"[`{key}`]({place})", ", ".join(taken)]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def has(option: inspect.Parameter) -> bool:
    """Has it a default that a recipe could say?"""
    return option.default not in (inspect.Parameter.empty, None)


def plain(hint: Any) -> bool:
    """Does the default, or the name, say its kind well enough?"""
    return get_origin(hint) is not Literal


def default(field: structs.FieldInfo) -> str:
    """What an option is if it is left out."""
    if field.default_factory is not NODEFAULT:
        return "none"
    if field.required:
        return "has to be said"
    value = field.default
    if isinstance(value, Struct):
        return f"`{value.name}`" if isinstance(value, config.Component) else "see below"
    return "none" if value in ((), None, "") else f"`{shown(value)}`"


def shown(value: Any) -> str:
    """A value as TOML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(shown, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else f"{value:.5g}"


def words(hint: Any) -> str:
    """A type in words."""
    parts = [part for part in get_args(hint) if part not in (type(None), Ellipsis)]
    if get_origin(hint) is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if hint in WORDS:
        return WORDS[hint]
    if hint is config.Component:
        return "a name, or a section with one"
    if get_origin(hint) is dict:
        return "sections"
    if isinstance(hint, type) and issubclass(hint, Struct):
        return "section"
    if get_origin(hint) is tuple:
        several = len(parts) == 1
        return f"list: {words(parts[0])}" if several else f"list of {len(parts)} numbers"
    return " or ".join(words(part) for part in parts)
