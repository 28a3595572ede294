"""The import of DGL, made to work with current torch; all modules import it from here."""

import os
import sys
from importlib.metadata import version
from types import ModuleType

# Without a backend DGL prompts, and writes a file into the user's home.
os.environ.setdefault("DGLBACKEND", "pytorch")

# The compiled half of graphbolt exists for a few torch versions only, and dgl 2 refuses to be
# imported without it. Nothing here uses it, so an empty module stands in.
_NEEDS_STAND_IN = int(version("dgl").split(".")[0]) >= 2
if _NEEDS_STAND_IN:
    sys.modules.setdefault("dgl.graphbolt", ModuleType("dgl.graphbolt"))

import dgl  # noqa: E402

if _NEEDS_STAND_IN:
    dgl.graphbolt = sys.modules["dgl.graphbolt"]

__all__ = ["dgl"]
