"""How our docstrings are read for the site.

An ``Example:`` is an interpreter's session, the ``Args:`` of a NamedTuple, which has no
constructor to read, are its attributes, and the ``#:`` lines above an attribute are its docstring.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import griffe

#: The heading of a section, alone on its line.
EXAMPLE = re.compile(r"^([ ]*)Example:[ ]*$", re.MULTILINE)
ARGS = re.compile(r"^([ ]*)Args:[ ]*$", re.MULTILINE)


class OurStyle(griffe.Extension):
    """Name sections as griffe's Google style does."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(r"\1Examples:", obj.docstring.value)
            if isinstance(obj, griffe.Class) and "NamedTuple" in map(str, obj.bases):
                obj.docstring.value = ARGS.sub(r"\1Attributes:", obj.docstring.value)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Called for every attribute, a module's constants among them."""
        if attr.docstring is None and attr.lineno and isinstance(attr.filepath, Path):
            lines = attr.lines_collection[attr.filepath]
            if said := above(lines, attr.lineno):
                attr.docstring = griffe.Docstring(said, parent=attr)


def above(lines: Sequence[str], number: int) -> str:
    """What the ``#:`` lines directly above a line say; the first line's number is 1."""
    said: list[str] = []
    for line in reversed(lines[: number - 1]):
        if not line.strip().startswith("#:"):
            break
        said.insert(0, line.strip().removeprefix("#:").strip())
    return " ".join(said)
