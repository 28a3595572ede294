"""Chance has one source, torch's generator; this is where it is seeded, saved and put back.

What else depends on the kind of a device is here too.
"""

import torch
from torch import Tensor

from dans.errors import InputError

#: What torch raises where a device has no memory left; its name before torch 2.5.
OutOfMemory: type[RuntimeError] = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)


def seed_everything(seed: int) -> None:
    """Seed torch's generators, on every device."""
    torch.manual_seed(seed)


def random_state() -> dict[str, Tensor]:
    """The state of torch's generators, by device."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: dict[str, Tensor]) -> None:
    """Put back what ``random_state`` returned.

    Raises:
        InputError: it is something else.
    """
    try:
        torch.set_rng_state(state["cpu"])
        if "cuda" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"random: not the state of torch's generators: {error}") from error


def device(name: str) -> torch.device:
    """A device by name, checked to be there.

    Raises:
        InputError: no such device on this machine.
    """
    try:
        # Of its own: `meta` is a device too, and holds nothing.
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        present = "cpu, cuda" if torch.cuda.is_available() else "cpu"
        raise InputError(f"train.device: {name!r} cannot be used here; known: {present}") from error
    return torch.device(name)


def free_on(place: torch.device) -> int | None:
    """The bytes free on a device, what torch has put by for itself among them.

    None: it has no memory of its own, or says nothing of it.
    """
    if place.type != "cuda":
        return None
    idle = torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)
    return int(torch.cuda.mem_get_info(place)[0]) + idle
