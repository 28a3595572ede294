"""How our docstrings are read for the site.

An ``Example:`` is an interpreter's session, and the ``Args:`` of a NamedTuple, which has no
constructor to read, are its attributes.
"""

import re
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
