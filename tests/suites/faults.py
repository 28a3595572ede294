"""What goes wrong in a process, made to: what ``tests.processes.Running`` calls before a script.

Nothing here is known to the library: the functions it calls are wrapped in the process.
"""

import ctypes
import errno
import io
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

#: What a checkpoint is written with.
CALLS = ((io, "open"), *((os, name) for name in ("open", "fsync", "link", "replace", "close")))


def die() -> None:
    """End as by ``kill -9``: nothing is flushed, nothing is tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)


def inside_save(number: int, begin: Callable[[], None]) -> None:
    """Call ``begin`` when a run writes its checkpoint for the ``number``-th time, from 0."""
    from dans.training.checkpoint_store import CheckpointStore

    save, seen = CheckpointStore.save, [0]

    def watched(self: CheckpointStore, *args: Any, **named: Any) -> None:
        if seen[0] == number:
            begin()
        seen[0] += 1
        save(self, *args, **named)

    CheckpointStore.save = watched  # type: ignore[method-assign]


def before_call(number: int, do: Callable[..., None]) -> None:
    """Do something at the ``number``-th of ``CALLS`` from here on, before it is carried out."""
    seen = [0]

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **named: Any) -> Any:
            if seen[0] == number:
                do(name, *args)
            seen[0] += 1
            return real(*args, **named)

        return wrapped

    for module, name in CALLS:
        setattr(module, name, wrap(name, getattr(module, name)))


def kill_in_save(save: int, call: int, *, torn: bool = False) -> None:
    """Die in the midst of writing a checkpoint, before one of the calls that write it.

    Args:
        save: which checkpoint.
        call: which call, from 0; one more than there are lets the process live.
        torn: if it is to sync a file, half of the file is lost.
    """

    def end(name: str, *args: Any) -> None:
        if torn and name == "fsync" and (size := os.fstat(args[0]).st_size):
            os.ftruncate(args[0], size // 2)
        die()

    inside_save(save, lambda: before_call(call, end))


def fail_in_save(save: int, call: int, number: int = errno.ENOSPC) -> None:
    """Let one of the calls that write a checkpoint fail, and those after it that write."""

    def fail(name: str, *_: Any) -> None:
        if name != "close":
            raise OSError(number, os.strerror(number))

    inside_save(save, lambda: before_call(call, fail))


def kill_inside(qualified: str, time: int, call: int) -> None:
    """Die in the midst of a function of ``dans.training.trainer`` or ``dans.training.phases``.

    Args:
        qualified: such as ``Trainer.evaluate``.
        time: the how-many-th time it runs, from 0.
        call: how many functions of Python it has called by then, at any depth.
    """
    state = {"time": -1, "calls": 0, "depth": 0}

    def follow(frame: FrameType, event: str, _: object) -> None:
        if event not in ("call", "return"):
            return
        # Python 3.10 knows a function by its last name only.
        name = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
        if name in (qualified, qualified.rpartition(".")[2]):
            state["depth"] += 1 if event == "call" else -1
            state["time"] += event == "call"
        if event == "call" and state["depth"] > 0 and state["time"] == time:
            state["calls"] += 1
            if state["calls"] > call:
                die()

    sys.setprofile(follow)


def interrupt_first_logger() -> None:
    """Ctrl-C while a run starts the first of its loggers."""
    from dans.training.loggers import CSV

    start = CSV.start

    def interrupted(self: CSV, *given: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        start(self, *given)

    CSV.start = interrupted  # type: ignore[method-assign]


def limit_files(size: int) -> None:
    """No file may grow beyond so many bytes: the system refuses, as it does on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def obey_modes() -> None:
    """Give up what lets root write where the mode of a folder forbids it."""
    if os.geteuid() == 0:
        header = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0))
        nothing = ctypes.create_string_buffer(24)
        if ctypes.CDLL(None, use_errno=True).capset(header, nothing):
            raise OSError(ctypes.get_errno(), "capset")


def spoil(content: bytes, how: str) -> bytes:
    """A damaged file."""
    if how == "empty":
        return b""
    if how == "cut":
        return content[: len(content) // 2]
    middle = len(content) * 3 // 4
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
