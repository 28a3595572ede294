"""Random state: seeded, saved, restored."""

import pytest
import torch

from dans.errors import InputError
from dans.seeding import device, random_state, restore_random_state, seed_everything


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


def test_missing_device_is_refused() -> None:
    assert device("cpu").type == "cpu"
    with pytest.raises(InputError, match=r"train.device: 'abacus' cannot be used here; known: cpu"):
        device("abacus")
