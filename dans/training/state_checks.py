"""Checks that the state in a checkpoint is of these triples and this configuration, and whole."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dans.config.old_names import renamed_options
from dans.config.reading import convert
from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError, shown

log = logging.getLogger(__name__)

#: Options that change neither the meaning of weights nor the steps that led to them.
FREE = (
    *(f"train.{name}" for name in ("steps", "memory_budget", "device", "threads")),
    *(f"train.{name}" for name in ("validate_every", "patience", "log_negatives")),
    "data",
    "init_from",
    "encoder.initial_from",
)


def check_digest(state: Mapping[str, Any], kg: KnowledgeGraph) -> None:
    """Refuse a checkpoint of other triples: its digest is not that of ``kg``."""
    if state["digest"] != kg.digest:
        raise InputError(
            f"checkpoint: made for other triples (digest {state['digest'][:12]}…) than {kg.name} "
            f"({kg.digest[:12]}…)"
        )


def meaning(config: RunConfig) -> dict[str, Any]:
    """The options that give weights their meaning, as plain values."""
    plain = config.plain()
    sections = {key: value for key, value in plain.items() if key not in FREE}
    for name in ("train", "encoder"):
        sections[name] = {
            key: value for key, value in plain[name].items() if f"{name}.{key}" not in FREE
        }
    return sections


def check_config(state: Mapping[str, Any], config: RunConfig) -> None:
    """Refuse a checkpoint of another configuration than that of its run.

    The state holds the configuration that it was made with: one digest would say that something
    differs, this says what. Checkpoints of 0.1 have none, and are taken as they are.
    """
    stored = state.get("config")
    if not stored:
        log.info("checkpoint: of an earlier version, without its configuration; taken as it is")
        return
    if not isinstance(stored, Mapping):
        raise InputError(f"checkpoint: config: expected options, got {shown(stored)}")
    plain = renamed_options({"data": config.data, **stored})
    before = RunConfig.parse(plain, where="checkpoint: config")
    if found := difference(meaning(before), meaning(config)):
        raise InputError(f"checkpoint: made by another configuration than config.json: {found}")


def difference(
    before: Mapping[str, Any], now: Mapping[str, Any], *, free: tuple[str, ...] = (), path: str = ""
) -> str:
    """The first option in which two configurations differ, in words; empty where none does."""
    for key in [*before, *(key for key in now if key not in before)]:
        old, new = before.get(key), now.get(key)
        if old == new or f"{path}{key}" in free:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            if found := difference(old, new, free=free, path=f"{path}{key}."):
                return found
            continue
        return f"{path}{key}: {old!r} then, {new!r} now"
    return ""


def other_run(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """In what the states of two checkpoints are not of one run, in words; or empty."""
    if one["digest"] != other["digest"]:
        return "trained on other triples"
    before, now = one.get("config"), other.get("config")
    return difference(before, now) if before and now else ""


def check_counts(state: Mapping[str, Any], steps: float = math.inf) -> None:
    """Refuse counts that no training of at most so many steps leaves behind."""
    numbers: dict[str, Any] = {}
    for name in ("best", "plateau", "first_terms"):
        values = convert(state.get(name, {}), dict[str, Any], "checkpoint: ", name)
        numbers |= {f"{name}.{key}": value for key, value in values.items()}
    for name, number in numbers.items():
        whole = isinstance(number, int) or not name.endswith("step")
        if not _is_number(number) or math.isnan(number) or not whole:
            raise InputError(f"checkpoint: {name}: expected a number, got {shown(number)}")
    if not 0 <= numbers.get("best.mrr", 0) <= 1:
        raise InputError(f"checkpoint: best.mrr: expected from 0 to 1, got {numbers['best.mrr']}")
    step, best, seconds = state["step"], state["best"]["step"], state["seconds"]
    if step < 0:
        raise InputError(f"checkpoint: step: expected at least 0, got {step}")
    if step > steps:
        raise InputError(f"checkpoint: step: {step}, of a run of {steps} steps")
    if not 0 <= best <= step:
        raise InputError(f"checkpoint: best.step: expected from 0 to step {step}, got {best}")
    if not 0 <= seconds < math.inf:
        raise InputError(f"checkpoint: seconds: expected at least 0, got {seconds}")


def check_order(order: Any, rows: int) -> None:
    """Refuse the rest of a pass that is not a list of distinct rows, of ``rows``."""
    fits = isinstance(order, Tensor) and order.dtype == torch.int64 and order.ndim == 1
    if not fits or len(order.unique()) != len(order) or bool(((order < 0) | (order >= rows)).any()):
        raise InputError(f"checkpoint: batches.order: expected distinct rows from 0 to {rows - 1}")


def check_position(batches: Mapping[str, Any], rows: int) -> None:
    """Refuse a place in a pass over other rows, or one that is none."""
    state, position = batches["drawn_from"], batches["position"]
    size = len(torch.get_rng_state())
    if not (isinstance(state, Tensor) and state.dtype == torch.uint8 and state.shape == (size,)):
        raise InputError("checkpoint: batches.drawn_from: expected a random state of torch")
    if batches["rows"] != rows:
        raise InputError(f"checkpoint: batches.rows: {batches['rows']} there, and {rows} here")
    if type(position) is not int or not 0 <= position <= rows:
        raise InputError(f"checkpoint: batches.position: expected 0 to {rows}, got {position!r}")


def check_like(given: Mapping[str, Any], module: nn.Module, where: str) -> None:
    """Refuse weights of other names, shapes or types than a module's; ``where`` they come from.

    An extra state may have another length, such as the neighbours that random walks happened to
    find: its module checks it when it is loaded.
    """
    own = module.state_dict()
    for name in [*own, *(name for name in given if name not in own)]:
        parts = [part.get(name) for part in (given, own)]
        if name.endswith("_extra_state"):
            parts = [x[:0] if isinstance(x, Tensor) and x.ndim == 1 else x for x in parts]
        old, new = map(_kind, parts)
        if name not in own or old != new:
            raise InputError(f"{where}: {name} is {old} there, and {new} here")


#: Of what an optimizer keeps, the moments that may be negative: the means of gradients.
SIGNED = ("exp_avg", "mean")

#: Options of an optimizer that may differ from its own: of the step that is next, or without a
#: meaning for what it computes.
UNBOUND = ("lr", "capturable", "differentiable", "foreach", "fused")


def check_moments(state: Mapping[str, Any], optimizer: torch.optim.Optimizer, what: str) -> None:
    """Refuse moments of other shapes or types than those of an optimizer's parameters.

    Each tensor of a parameter has its shape, or a row for each of its rows, or is one number.
    """
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    for i, moments in state["state"].items():
        if not 0 <= int(i) < len(parameters):
            raise InputError(f"checkpoint: {what}: parameter {i} of {len(parameters)}")
        shape = tuple(parameters[int(i)].shape)
        allowed = {shape, (*shape[:1], *[1] * (len(shape) - 1)), ()}
        for name, moment in moments.items():
            if not isinstance(moment, Tensor):
                if type(moment) is not int or moment < 0:
                    raise InputError(f"checkpoint: {what}: {name} of parameter {i} is {moment!r}")
            elif tuple(moment.shape) not in allowed or not moment.is_floating_point():
                wanted = f"expected floats of shape {list(shape)}"
                found = f"{name} of parameter {i} is {_kind(moment)}"
                raise InputError(f"checkpoint: {what}: {found}; {wanted}")
            elif not bool(moment.isfinite().all()):
                raise InputError(f"checkpoint: {what}: {name} of parameter {i} is not finite")
            elif name not in SIGNED and bool((moment < 0).any()):
                raise InputError(f"checkpoint: {what}: {name} of parameter {i} is negative")


def check_options(state: Mapping[str, Any], optimizer: torch.optim.Optimizer, what: str) -> None:
    """Refuse options of an optimizer, such as its betas, that are not its own.

    The learning rate is set anew in each step, and how torch carries a step out depends on the
    device; those may differ, in number.
    """
    if len(state["param_groups"]) != len(optimizer.param_groups):
        groups = f"{len(optimizer.param_groups)}, got {len(state['param_groups'])}"
        raise InputError(f"checkpoint: {what}: groups of parameters: expected {groups}")
    for saved, own in zip(
        state["param_groups"], optimizer.state_dict()["param_groups"], strict=True
    ):
        for key, value in saved.items():
            if key == "params" and value != own[key]:
                wanted = f"{own[key][0]} to {own[key][-1]} in order"
                raise InputError(f"checkpoint: {what}: params is {shown(value)}; expected {wanted}")
            if key in own and not (_alike if key in UNBOUND else _equal)(value, own[key]):
                raise InputError(
                    f"checkpoint: {what}: {key} is {shown(value)}; expected such as {own[key]!r}"
                )


def _equal(value: Any, own: Any) -> bool:
    """Whether a value from a file is another one, a list from a file standing for a tuple."""
    one, other = (list(x) if isinstance(x, tuple) else x for x in (value, own))
    return _alike(value, own) and bool(one == other)


def _alike(value: Any, own: Any) -> bool:
    """Whether a value from a file can stand for another: numbers for numbers, one by one."""
    if isinstance(own, (tuple, list)) and isinstance(value, (tuple, list)):
        return len(value) == len(own) and all(map(_alike, value, own))
    if _is_number(own):
        return _is_number(value) and math.isfinite(value)
    return type(value) is type(own)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
