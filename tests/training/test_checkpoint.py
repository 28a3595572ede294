"""Checkpoints: what goes in comes out, whole files or none, no pickle."""

import pickle
from pathlib import Path

import pytest
import torch

from dans.errors import InputError
from dans.training.checkpoint import load_state, save_state, states_equal, write_atomically

STATE = {
    "step": 3,
    "best": {"mrr": 0.25, "name": "ü", "none": None, "yes": True},
    "optimizer": {
        "state": {0: {"step": torch.tensor(3.0), "m": torch.randn(2, 3)}, 7: {}},
        "groups": [{"lr": 0.1, "betas": [0.5, 0.9], "params": [0, 7]}],
    },
    "random": torch.get_rng_state(),
    "empty": torch.empty(0, 4, dtype=torch.int64),
    "mask": torch.tensor([True, False]),
    "half": torch.tensor([1.5], dtype=torch.bfloat16),
    "list": [torch.ones(1), [1, "a"]],
}


def test_state_comes_back_to_the_bit(tmp_path: Path) -> None:
    save_state(tmp_path / "a.safetensors", STATE)
    assert states_equal(load_state(tmp_path / "a.safetensors"), STATE)


def test_tensors_that_share_memory_are_kept(tmp_path: Path) -> None:
    base = torch.arange(6.0)
    state = {"whole": base, "part": base[2:4], "turned": base.view(2, 3).T}
    save_state(tmp_path / "a.safetensors", state)
    assert states_equal(load_state(tmp_path / "a.safetensors"), state)


@pytest.mark.parametrize(
    "change",
    [
        {"step": 4},
        {"random": torch.zeros(3)},
        {"extra": 1},
        {"half": torch.tensor([1.5])},
        {"list": [torch.ones(1)]},
    ],
)
def test_states_that_differ_are_told_apart(change: dict[str, object]) -> None:
    assert not states_equal(STATE, {**STATE, **change})


def test_what_is_no_plain_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot hold a PosixPath"):
        save_state(tmp_path / "a.safetensors", {"path": tmp_path})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 40, pickle.dumps({"step": 1}), b"\xff" * 8 + b"{}"]
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.safetensors: not a checkpoint"):
        load_state(path)


def test_cut_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_state(path, STATE)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="damaged"):
        load_state(path)


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.safetensors: no such checkpoint"):
        load_state(tmp_path / "nowhere.safetensors")


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
