"""Random state and devices: torch's generator is the only source of randomness."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from dans.errors import InputError, shown

#: What torch raises where a device has no memory left; its name before torch 2.5.
OutOfMemory: type[RuntimeError] = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)


def seed_everything(seed: int) -> None:
    """Seed torch's generators on every device."""
    torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """The state of torch's generators, by type of device; of GPUs a list, by number."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Set torch's generators to what ``random_state`` returned, those of devices that are there."""
    try:
        torch.set_rng_state(state["cpu"])
        if "cuda" in state and torch.cuda.is_available():
            there, given = torch.cuda.device_count(), state["cuda"]
            # Checkpoints of before have the state of one alone, the current device.
            alone = isinstance(given, Tensor)
            for device, one in [("cuda", given)] if alone else enumerate(given[:there]):
                torch.cuda.set_rng_state(one, device)
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"random: not the state of torch's generators: {error}") from error


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leave torch's random state and number of threads as found; also a decorator.

    Example:
        >>> _ = torch.manual_seed(1)
        >>> with undisturbed():
        ...     seed_everything(2)
        >>> torch.initial_seed()
        1
    """
    state, threads = random_state(), torch.get_num_threads()
    try:
        yield
    finally:
        restore_random_state(state)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def find_device(name: str) -> torch.device:
    """A device of this machine by its name in torch; ``meta``, which holds no values, is none."""
    try:
        with warnings.catch_warnings():
            # Torch warns of names that it is about to drop.
            warnings.simplefilter("ignore")
            torch.zeros(1, device=name).item()
            found = torch.device(name)
        # Torch takes cpu with any number for its one cpu.
        if found.type == "cpu" and found.index:
            raise ValueError("there is one cpu")
    # Of a kind of device without its module torch imports one that is not there.
    except (RuntimeError, AssertionError, ImportError, LookupError, ValueError, TypeError) as error:
        present = "cpu, cuda" if torch.cuda.is_available() else "cpu"
        raise InputError(
            f"train.device: {shown(name)} cannot be used here; known: {present}"
        ) from error
    return found


def free_on(device: torch.device) -> int | None:
    """The free bytes of a GPU, with those that torch holds in reserve; None for other devices."""
    if device.type != "cuda":
        return None
    reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + reserved
