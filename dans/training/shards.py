"""Checkpoints of a run of several processes: a file of rows from each, and one of all else.

The file of all else names the others, which are written before it: so a checkpoint is there whole
or not at all. Any number of processes can read it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dans.errors import InputError
from dans.models.embedding_tables import Shard
from dans.training.checkpoint import DamagedError, load_state, peek, save_state
from dans.training.distributed import World, tables_of

#: Marks, in the file of all else, a tensor whose rows the processes keep.
ROWS = "__rows__"

#: The names of the files of rows.
FILE = "rows-{token}-{rank}-of-{size}.safetensors"
PATTERN = re.compile(r"rows-([0-9a-f]+)-\d+-of-\d+\.safetensors")

#: Where a tensor is in nested state.
Place = tuple[str | int, ...]


def places(
    state: Mapping[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer
) -> list[Place]:
    """Where the state of a trainer has rows that a single process keeps: weights and moments."""
    tables = {id(table.weight) for table in tables_of(model)}
    found = weights(model)
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    for i, kept in state["optimizers"]["model"]["state"].items():
        if id(parameters[int(i)]) in tables:
            # A number of steps has no rows.
            named = (name for name, one in kept.items() if isinstance(one, Tensor) and one.ndim)
            found += [("optimizers", "model", "state", i, name) for name in named]
    return found


def weights(model: nn.Module) -> list[Place]:
    """`places` of a model's weights, frozen or not."""
    shared = set(map(id, tables_of(model)))
    return [("model", f"{name}.weight") for name, m in model.named_modules() if id(m) in shared]


def cut_weights(state: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """A state whose weights are those that a model has, which may be one of several processes'."""
    for table in tables_of(model):
        if table.shard is not None:
            return cut(state, weights(model), table.shard, table.num_entities)
    return state


def put(
    folder: Path, state: Mapping[str, Any], where: Iterable[Place], world: World, n: int
) -> dict[str, Any]:
    """Write this process's rows; the state with marks in their place. All call it together."""
    token = world.tell(os.urandom(4).hex())
    rows = {"/".join(map(str, place)): _at(state, place) for place in where}
    name = FILE.format(token=token, rank=world.rank, size=world.size)
    save_state(folder / name, {"rows": rows})
    marked = _changed(state, (), {place: {ROWS: "/".join(map(str, place))} for place in where})
    world.wait()
    return {**marked, "shards": {"token": token, "size": world.size, "rows": n}}


def take(folder: Path, state: dict[str, Any], world: World | None) -> dict[str, Any]:
    """The state with the rows of all processes in place of the marks, or with those of one.

    Raises:
        DamagedError: the file of a process is missing or damaged.
    """
    if "shards" not in state:
        return state
    token, size, n = (state["shards"][key] for key in ("token", "size", "rows"))
    own = range(n) if world is None else range(world.rank, n, world.size)
    rows: dict[str, Tensor] = {}
    for rank in range(size):
        path = folder / FILE.format(token=token, rank=rank, size=size)
        theirs = torch.arange(rank, n, size)
        mine = (theirs - own.start) % own.step == 0
        try:
            kept = load_state(path)["rows"]
        except InputError as error:
            raise DamagedError(str(error)) from error
        for name, part in kept.items():
            if len(part) != len(theirs):
                raise DamagedError(f"{path}: {name}: expected {len(theirs)} rows, got {len(part)}")
            whole = rows.setdefault(name, part.new_empty(len(own), *part.shape[1:]))
            whole[(theirs[mine] - own.start) // own.step] = part[mine]
    return {key: _filled(item, rows) for key, item in state.items() if key != "shards"}


def cut(state: dict[str, Any], where: Iterable[Place], world: Shard, n: int) -> dict[str, Any]:
    """The state of a single process as that of one of several: its own rows of what all share."""
    own = {}
    for place in where:
        with suppress(LookupError):
            whole = _at(state, place)
            if isinstance(whole, Tensor) and len(whole) == n:
                own[place] = whole[world.rank :: world.size].clone()
    found: dict[str, Any] = _changed(state, (), own)
    return found


def sweep_rows(folder: Path, checkpoints: Iterable[Path]) -> None:
    """Remove the files of rows that no checkpoint names; none while one cannot be read."""
    named = set()
    try:
        for path in checkpoints:
            if path.exists():
                named.add(peek(path).get("shards", {}).get("token"))
    except InputError:
        return
    for path in folder.glob("rows-*.safetensors"):
        match = PATTERN.fullmatch(path.name)
        if match and match[1] not in named:
            path.unlink(missing_ok=True)


def _at(state: Any, place: Place) -> Any:
    for key in place:
        state = state[key]
    return state


def _changed(state: Any, here: Place, values: Mapping[Place, Any]) -> Any:
    """A copy of nested dictionaries with some values changed."""
    if here in values:
        return values[here]
    if isinstance(state, Mapping) and any(place[: len(here)] == here for place in values):
        return {key: _changed(item, (*here, key), values) for key, item in state.items()}
    return state


def _filled(state: Any, rows: Mapping[str, Tensor]) -> Any:
    if not isinstance(state, Mapping):
        return state
    if state.keys() == {ROWS}:
        return rows[state[ROWS]]
    return {key: _filled(item, rows) for key, item in state.items()}
