"""Checkpoints: nested state in one safetensors file, without pickle.

Tensors go into the file as they are; everything around them (numbers, strings, lists, dictionaries)
goes into its header as JSON. A file is written beside its target, flushed and renamed, so a reader
sees the old one or the new one and never a part.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dans.errors import InputError

#: Marks, in the JSON header, where a tensor stood and where a dictionary had keys that are no
#: strings.
TENSOR, ITEMS = "__tensor__", "__items__"


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write nested state to a file, whole or not at all.

    Args:
        path: the target; its folder exists.
        state: dictionaries, lists, tensors, strings, numbers, booleans and None.

    Raises:
        TypeError: something else is in the state.
    """
    tensors: dict[str, Tensor] = {}
    skeleton = _strip(state, "", tensors)
    write_atomically(path, save(tensors, {"state": json.dumps(skeleton)}))


def load_state(path: Path) -> dict[str, Any]:
    """Read what ``save_state`` wrote; tensors come back on the CPU.

    Raises:
        InputError: no such file, or not a checkpoint of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            skeleton = json.loads((file.metadata() or {})["state"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path}: no such checkpoint") from None
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise InputError(f"{path}: not a checkpoint, or a damaged one: {error}") from None
    state: dict[str, Any] = _fill(skeleton, tensors)
    return state


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file by new content so that no reader ever sees half of it."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _strip(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Move tensors out of nested state, leaving their names."""
    if isinstance(value, Tensor):
        # A clone: safetensors refuses tensors that share memory.
        tensors[path] = value.detach().to("cpu", copy=True).contiguous()
        return {TENSOR: path}
    if isinstance(value, Mapping):
        items = [(key, _strip(item, f"{path}/{key}", tensors)) for key, item in value.items()]
        if all(isinstance(key, str) for key, _ in items):
            return dict(items)
        return {ITEMS: [list(item) for item in items]}
    if isinstance(value, (list, tuple)):
        return [_strip(item, f"{path}/{i}", tensors) for i, item in enumerate(value)]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"{path}: a checkpoint cannot hold a {type(value).__name__}")


def _fill(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Put tensors back where ``_strip`` took them."""
    if isinstance(value, list):
        return [_fill(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {TENSOR}:
        return tensors[value[TENSOR]]
    if value.keys() == {ITEMS}:
        return {key: _fill(item, tensors) for key, item in value[ITEMS]}
    return {key: _fill(item, tensors) for key, item in value.items()}


def states_equal(a: Any, b: Any) -> bool:
    """Are two nested states the same, to the bit?

    Example:
        >>> states_equal({"w": torch.ones(2)}, {"w": torch.ones(2)})
        True
    """
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return (
            isinstance(a, Tensor)
            and isinstance(b, Tensor)
            and a.dtype == b.dtype
            and torch.equal(a, b)
        )
    if isinstance(a, Mapping):
        return (
            isinstance(b, Mapping)
            and a.keys() == b.keys()
            and all(states_equal(a[key], b[key]) for key in a)
        )
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(states_equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)
