"""Checkpoints that are damaged, somebody else's, or no checkpoints."""

import pickle
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from dans.training.checkpoint import load_state, save_state
from tests.malformed.case import Case, Content

EVALUATE = "evaluate.py run"
BEST, LAST, BEFORE = (f"run/{name}.safetensors" for name in ("best", "last", "previous"))
RESUME = "pretrain_rgcn.py --recipe own.toml --out run --resume --set train.steps=4"
MODEL = "encoder.entities.weight"


def best(name: str, content: Content, *words: str) -> Case:
    """Something else in place of the best checkpoint."""
    return Case(name, EVALUATE, f"{BEST}: ", *words, files={BEST: content})


def bent(name: str, change: Callable[[bytes], bytes], *words: str) -> Case:
    """The best checkpoint, with its bytes changed."""

    def spoil(world: Path) -> None:
        (world / BEST).write_bytes(change((world / BEST).read_bytes()))

    return Case(name, EVALUATE, f"{BEST}: ", *words, change=spoil)


def made(
    name: str, change: Callable[[dict[str, Any]], object], *words: str, command: str = EVALUATE
) -> Case:
    """A whole checkpoint with something else in it, in place of all there are."""

    def rewrite(world: Path) -> None:
        state = load_state(world / LAST)
        # One state in all places has to be the best, too.
        state["best"]["step"] = state["step"]
        change(state)
        for path in (BEST, LAST, BEFORE):
            save_state(world / path, state)

    return Case(name, command, *words, change=rewrite)


def flip(at: float) -> Callable[[bytes], bytes]:
    """Turn one bit, so far into the file."""

    def change(data: bytes) -> bytes:
        place = int(at * (len(data) - 1))
        return data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :]

    return change


def torch_saved() -> bytes:
    buffer = BytesIO()
    torch.save({"model": {"w": torch.ones(2)}}, buffer)
    return buffer.getvalue()


def everywhere(content: bytes) -> Callable[[Path], None]:
    def change(world: Path) -> None:
        for path in (LAST, BEFORE):
            (world / path).write_bytes(content)

    return change


def weights(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[dict[str, Any]], None]:
    def apply(state: dict[str, Any]) -> None:
        state["model"][MODEL] = change(state["model"][MODEL])

    return apply


def without(*keys: str) -> Callable[[dict[str, Any]], None]:
    def apply(state: dict[str, Any]) -> None:
        part = state
        for key in keys[:-1]:
            part = part[key]
        del part[keys[-1]]

    return apply


def putting(value: object, *keys: str) -> Callable[[dict[str, Any]], None]:
    def apply(state: dict[str, Any]) -> None:
        part = state
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = value

    return apply


DAMAGED = "damaged"
CASES = [
    Case("best missing", EVALUATE, f"{BEST}: no such checkpoint", files={BEST: None}),
    best(
        "a pickle",
        pickle.dumps({"model": [1.0, 2.0]}),
        "a pickle, which is never loaded",
        "safetensors",
    ),
    best("what torch saves", torch_saved(), "a pickle, which is never loaded", "safetensors"),
    best("another program's tensors", save({"w": torch.ones(2)}), "none of ours"),
    best(
        "a header as long as it says, and no longer",
        (10**12).to_bytes(8, "little") + b"{}",
        DAMAGED,
    ),
    bent("cut to half", lambda data: data[: len(data) // 2], DAMAGED),
    bent("a hole of zeros", lambda data: data[:-900] + bytes(800) + data[-100:], "digest"),
    bent("a bit of the header", flip(0.01), DAMAGED),
    bent(
        "a later version", lambda data: data.replace(b'"version":"2"', b'"version":"9"', 1), DAMAGED
    ),
    Case("a folder for a checkpoint", EVALUATE, f"{BEST}: ", files={BEST: None, f"{BEST}/x": ""}),
    Case(
        "the checkpoint of another model",
        EVALUATE,
        "checkpoint: made for other triples",
        change=lambda world: (world / BEST).write_bytes(
            (world / "evaluated/best.safetensors").read_bytes()
        ),
    ),
    made("step of text", putting("two", "step"), "step"),
    made("a random state that is none", putting(torch.zeros(3), "random", "cpu"), "random"),
    made("a weight missing", without("model", MODEL), MODEL),
    made("weights of another width", weights(lambda w: w[:, :4]), MODEL),
    made("weights NaN", weights(lambda w: w * float("nan")), "NaN"),
    made(
        "the last, of another optimizer",
        putting({}, "optimizers", "model"),
        "checkpoint: ",
        command=RESUME,
    ),
    made(
        "the last, beyond the end",
        putting(9, "step"),
        "train.steps: run is at step 9 already",
        command=RESUME,
    ),
    Case(
        "all there are, pickles",
        RESUME,
        f"{LAST}: ",
        "a pickle, which is never loaded",
        change=everywhere(pickle.dumps([1.0] * 99)),
    ),
    Case(
        "to start from, damaged",
        "train_dans.py --recipe bad.toml --out new",
        "run/",
        DAMAGED,
        files={
            "bad.toml": 'init_from = "run"\nloss = "logistic"\nsampler = ["uniform"]\n',
            BEST: b"{}",
            LAST: b"{}",
        },
    ),
    Case(
        "to start from, not over",
        "train_dans.py --recipe bad.toml --out new",
        "run: stopped at step",
        "--resume",
        files={"bad.toml": 'init_from = "run"\nloss = "logistic"\nsampler = ["uniform"]\n'},
        change=lambda world: longer(world),
    ),
]


def longer(world: Path) -> None:
    path = world / "run/config.json"
    path.write_text(path.read_text().replace('"steps": 2', '"steps": 8'))
