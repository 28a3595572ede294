"""What a run remembers of memory: the size that was found to fit, in ``memory.json``."""

import logging

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
    stating another limit, or deleting ``memory.json``, forgets it.

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
            run.write_json(NAME, {**own, "found": size})
        except OSError as error:
            log.warning("%s: not remembered: %s", run.path / NAME, error.strerror or error)

    return Budget(limit, place=place, found=_found(run, own), remember=remember)


def _found(run: Run, own: dict[str, int | str | None]) -> int | None:
    if not (run.path / NAME).exists():
        return None
    try:
        kept = run.read_json(NAME)
    except InputError as error:
        log.warning("%s; it is taken as not there", error)
        return None
    found = kept.pop("found", None)
    if kept != own or type(found) is not int or found < 1:
        return None
    log.info("%s: going on with %s at a time", run.path / NAME, show_bytes(found))
    return found
