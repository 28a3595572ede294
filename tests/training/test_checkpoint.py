"""Checkpoints: what goes in comes out, whole files or none, no pickle."""

import json
import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.torch import save_file

from dans.data.tensor_file import read_tensors
from dans.errors import InputError
from dans.training import checkpoint
from dans.training.checkpoint import DamagedError, load_state, save_state, write_state
from dans.training.checkpoint_store import CheckpointStore
from tests.suites.states import states_equal

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


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, later = tmp_path / "best", [{"step": 10, "w": torch.ones(5), "v": torch.zeros(2)}]
    new = dict(later[0])

    def replaced(path: Path) -> dict[str, torch.Tensor]:
        if later:
            save_state(path, later.pop())
        return read_tensors(path)

    save_state(path, {"step": 9, "w": torch.zeros(7)})
    monkeypatch.setattr(checkpoint, "read_tensors", replaced)
    assert states_equal(load_state(path), new)


def test_what_is_no_plain_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot hold a PosixPath"):
        save_state(tmp_path / "a.safetensors", {"path": tmp_path})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 40, b"[1, 2]", b"PK\x03\x04", b"\xff" * 8 + b"{}"]
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.safetensors: not a checkpoint"):
        load_state(path)


def test_a_file_of_safetensors_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors")
    with pytest.raises(DamagedError, match=r"not a checkpoint.*its header is none of ours"):
        load_state(tmp_path / "a.safetensors")


def test_checkpoint_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_state(path, STATE)
    whole = path.read_bytes()
    for length in [*range(20), *range(20, len(whole), 101), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedError, match=r"a\.safetensors: .*damaged"):
            load_state(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(DamagedError, match="damaged"):
        load_state(path)


def test_checkpoint_with_any_bit_flipped_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_state(path, {"w": torch.arange(3.0), "step": 7, "name": "a"})
    whole = path.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        with pytest.raises(DamagedError, match="damaged"):
            load_state(path)
    path.write_bytes(whole)
    assert load_state(path)["step"] == 7


def test_checkpoint_of_the_first_layout_is_read_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.safetensors"
    skeleton = {"step": 3, "w": {"__tensor__": "/w"}}
    save_file({"/w": torch.ones(2)}, path, {"state": json.dumps(skeleton)})
    with caplog.at_level("INFO", "dans"):
        assert states_equal(load_state(path), {"step": 3, "w": torch.ones(2)})
    assert "a.safetensors: of an earlier version, without a digest" in caplog.text


def test_checkpoint_of_a_later_layout_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    monkeypatch.setattr(checkpoint, "VERSION", 3)
    save_state(path, STATE)
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"a\.safetensors: layout 3, of a later version"):
        load_state(path)


def test_a_folder_in_place_of_a_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").mkdir()
    with pytest.raises(InputError, match=r"a\.safetensors: .*Is a directory"):
        load_state(tmp_path / "a.safetensors")


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.safetensors: no such checkpoint"):
        load_state(tmp_path / "nowhere.safetensors")


class Addresses(BytesIO):
    """A file that keeps where in memory the parts were that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def write(self, part: Any) -> int:
        if isinstance(part, memoryview):
            self.seen.add(np.frombuffer(part, dtype=np.uint8).ctypes.data)
        return super().write(part)


def test_tensors_are_written_from_where_they_are() -> None:
    state = {"a": torch.arange(6.0), "b": [torch.tensor([True]), torch.tensor(7)]}
    file = Addresses()
    write_state(file, state)
    tensors = [state["a"], *state["b"]]
    assert file.seen == {tensor.data_ptr() for tensor in tensors}
    found = safetensors.torch.load(file.getvalue())
    assert torch.equal(found["/a"], torch.arange(6.0))
    assert found["/b/1"].shape == ()


def test_tensors_of_one_memory_and_of_parts_of_it_come_back(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    state = {"whole": whole, "part": whole[:, 1], "turned": whole.T, "none": whole[:0]}
    save_state(tmp_path / "a.safetensors", state)
    found = load_state(tmp_path / "a.safetensors")
    assert all(torch.equal(found[name], state[name]) for name in state)


RUN_STATE = {
    **{"step": 4, "best": {"mrr": 0.5, "step": 4}, "seconds": 1.0, "digest": ""},
    **{part: {} for part in ("model", "objective", "optimizers", "batches", "random")},
}


@pytest.mark.parametrize("links", [True, False])
def test_the_best_is_not_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    store = CheckpointStore(tmp_path)
    store.save(RUN_STATE, best=True)
    best, last = store.file("best"), store.file("last")
    assert best.samefile(last) == links
    assert best.read_bytes() == last.read_bytes()
    store.save({**RUN_STATE, "step": 8}, best=False)
    assert (load_state(best)["step"], load_state(last)["step"]) == (4, 8)
    assert load_state(store.previous)["step"] == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{name}.safetensors" for name in ("best", "last", "previous")
    ]
