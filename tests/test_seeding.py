"""Random state: seeded, saved, restored."""

import re

import pytest
import torch

from dans.errors import InputError
from dans.seeding import find_device, random_state, restore_random_state, seed_everything


def test_a_seed_repeats_its_draws() -> None:
    seed_everything(3)
    first = torch.rand(4)
    seed_everything(3)
    assert torch.equal(torch.rand(4), first)
    seed_everything(4)
    assert not torch.equal(torch.rand(4), first)


def test_state_is_restored() -> None:
    state = random_state()
    first = torch.rand(4)
    restore_random_state(state)
    assert torch.equal(torch.rand(4), first)


def test_states_of_all_gpus_that_are_there_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {number: torch.tensor([number], dtype=torch.uint8) for number in range(3)}
    gpus = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: len(states),
        "get_rng_state_all": lambda: list(states.values()),
        "set_rng_state": lambda state, device="cuda": states.update({device: state}),
    }
    for name, answer in gpus.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    kept, current = random_state(), {"cuda": torch.tensor([7], dtype=torch.uint8)}
    states = {0: current["cuda"], 1: current["cuda"]}
    restore_random_state(kept)
    assert states == {0: kept["cuda"][0], 1: kept["cuda"][1]}
    # Checkpoints of before have the state of the current device.
    restore_random_state({**kept, **current})
    assert states["cuda"] is current["cuda"]


def test_missing_device_is_refused() -> None:
    assert find_device("cpu").type == "cpu"
    with pytest.raises(InputError, match=r"train.device: 'abacus' cannot be used here; known: cpu"):
        find_device("abacus")


def test_every_name_that_torch_knows_and_cannot_use_is_refused_in_a_sentence() -> None:
    with pytest.raises(RuntimeError) as unknown:
        torch.device("abacus")
    listed = re.search("one of (.*) device type", str(unknown.value))
    assert listed
    kinds = set(listed[1].split(", "))
    assert {"cpu", "privateuseone", "meta"} < kinds
    usable = {"cpu", *["cuda"] * torch.cuda.is_available()}
    odd = (
        "",
        " ",
        "cpu:-1",
        "cpu:7",
        "cuda:x",
        "cuda:99",
        f"cuda:{10**30}",
        "1",
        "a\0b",
        "c" * 10**5,
    )
    for name in [*(kinds - usable), *(f"{kind}:3" for kind in kinds - usable), *odd]:
        try:
            find_device(name)
        except InputError as error:
            refused = str(error)
        else:
            refused = ""
        assert refused.startswith("train.device: "), name
        assert len(refused) < 200, name
