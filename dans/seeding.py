"""Chance has one source, torch's generator; this is where it is seeded, saved and put back."""

import torch
from torch import Tensor

from dans.errors import InputError


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
    """Put back what ``random_state`` returned."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def device(name: str) -> torch.device:
    """A device by name, checked to be there.

    Raises:
        InputError: no such device on this machine.
    """
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        present = "cpu, cuda" if torch.cuda.is_available() else "cpu"
        raise InputError(f"train.device: {name!r} cannot be used here; known: {present}") from error
    return torch.device(name)
