"""What a run remembers of memory: the sizes that were found to fit, in ``memory.json``."""

import logging
from typing import Any

import torch

from dans.errors import InputError
from dans.memory import Budget, show_bytes, stated
from dans.training.run import Run

log = logging.getLogger(__name__)

#: The file in the folder of a run.
NAME = "memory.json"


def run_budget(run: Run, text: str | int, place: torch.device) -> Budget:
    """The budget of a run, with what its folder remembers of it, and remembers from here on.

    What was found after an allocation failed holds for the same limit on the same kind of device;
    deleting ``memory.json`` forgets it.

    Args:
        run: its folder.
        text: as ``train.memory_budget`` has it.
        place: where the work is done.

    Raises:
        InputError: the text is no size.
    """
    limit = stated(text)
    own = {"limit": limit, "device": place.type}

    def remember(size: int) -> None:
        try:
            others = [entry for entry in _entries(run) if not own.items() <= entry.items()]
            run.write_json(NAME, {"entries": [*others, {**own, "found": size}]})
        except OSError as error:
            log.warning("%s: not remembered: %s", run.path / NAME, error.strerror or error)

    return Budget(limit, place=place, found=_found(run, own), remember=remember)


def _found(run: Run, own: dict[str, int | str | None]) -> int | None:
    for entry in _entries(run):
        found = entry.get("found")
        if own.items() <= entry.items() and type(found) is int and found > 0:
            log.info("%s: continuing with %s at a time", run.path / NAME, show_bytes(found))
            return found
    return None


def _entries(run: Run) -> list[dict[str, Any]]:
    """What is remembered, by limit and device; nothing, where the file cannot be used."""
    if not (run.path / NAME).exists():
        return []
    try:
        content = run.read_json(NAME)
    except InputError as error:
        log.warning("%s; it is taken as not there", error)
        return []
    # The first files were one entry.
    entries = content.get("entries", [content])
    entries = entries if isinstance(entries, list) else []
    return [entry for entry in entries if isinstance(entry, dict)]
