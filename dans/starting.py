"""What a run may change of the one whose weights it starts from."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from dans.config import Component, GraphConfig, RunConfig
from dans.errors import InputError
from dans.models import ENCODERS
from dans.models.decoders import DECODERS
from dans.registry import choose, options

#: What a run may set otherwise than the one it starts from, because weights keep their shapes and
#: what they mean. All else of these sections has to be the same.
FREE = {
    "graph": ("sample", "hold_out"),
    "encoder": ("dropout", "init", "initial"),
    "decoder": ("dropout", "query_dropout", "matrix_dropout", "init", "initial", "shift"),
}


def check_start(before: RunConfig, config: RunConfig) -> None:
    """Do the weights of one run mean the same in another?

    Raises:
        InputError: the other has an option that gives them another shape or meaning.
    """
    for key in RunConfig.INHERITED:
        one, other = (_settings(config, key) for config in (before, config))
        for option in [*one, *(option for option in other if option not in one)]:
            old, new = one.get(option), other.get(option)
            if old != new and option not in FREE.get(key, ()):
                name = f"{key}.{option}" if option else key
                raise InputError(f"{name}: {new!r} here, {old!r} in the run it starts from")


def _settings(config: RunConfig, key: str) -> dict[str, Any]:
    """What a section sets, with the defaults of a component that it leaves alone."""
    part = getattr(config, key)
    if isinstance(part, GraphConfig):
        return dataclasses.asdict(part)
    if not isinstance(part, Component):
        return {"": part}
    table: Mapping[str, Callable[..., Any]] = ENCODERS if key == "encoder" else DECODERS
    accepted = options(choose(table, part.name, where=f"{key}.name"))
    defaults = {
        name: parameter.default
        for name, parameter in accepted.items()
        if parameter.default is not parameter.empty
    }
    return {"name": part.name, **defaults, **part.options}
