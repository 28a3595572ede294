"""C functions, compiled when a process first needs them, for what torch's operations do slowly.

They stand beside the Python module that calls them, in a file of the same name, and work on a CPU's
float32 and bfloat16. Where a machine has no C compiler (``CC``, or ``cc``), and with
``DANS_COMPILE=off``, their callers do the same by torch.
"""

import ctypes
import functools
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger(__name__)

#: How they are compiled. What is no number stays none.
FLAGS = ("-O3", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math")

#: What else lets a compiler change the order of sums.
REORDERED = ("-fassociative-math", "-fno-signed-zeros")

#: What lets the compiler use all instructions of this machine, where it knows the option.
THIS_MACHINE = "-march=native"

#: Neighbouring numbers that the functions take at a time.
BLOCK = 64

#: Seconds that a compiler may take; these files take a fraction of one.
PATIENCE = 60


def compiler() -> list[str]:
    """The command of the C compiler: ``CC``, else ``cc``; empty where there is none to be used."""
    named = shlex.split(os.environ.get("CC", ""))
    command = named or ["cc"]
    if os.environ.get("DANS_COMPILE") == "off" or shutil.which(command[0]) is None:
        return []
    # Without the developer tools, macOS has a cc that asks in a window whether to install them.
    if sys.platform == "darwin" and not named and not _succeeds(["xcode-select", "-p"]):
        return []
    return command


@functools.cache
def compiler_version() -> str:
    """What the compiler says it is, in a line; "none" where there is none to be used."""
    command = compiler()
    if not command:
        return "none"
    try:
        said = subprocess.run(
            [*command, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return "none"
    return next(iter(said.stdout.decode(errors="replace").splitlines()), command[0])


@functools.cache
def library(source: Path, flags: tuple[str, ...] = ()) -> ctypes.CDLL | None:
    """The functions of a C file, or None where nothing can compile them."""
    command = compiler()
    if not command:
        return None
    try:
        # Windows keeps the file of a loaded library.
        with tempfile.TemporaryDirectory(prefix="dans-", ignore_cleanup_errors=True) as folder:
            out = Path(folder) / f"{source.stem}.so"
            given = [*FLAGS, *flags, f"-DBLOCK={BLOCK}", str(source), "-o", str(out), "-lm"]
            if _succeeds([*command, THIS_MACHINE, *given]) or _succeeds([*command, *given]):
                # Loaded, it needs its file no more.
                return ctypes.CDLL(str(out))
    except (OSError, subprocess.TimeoutExpired) as error:
        log.info("%s: is not compiled, so torch does its work: %s", source.name, error)
        return None
    log.info("%s: %s cannot compile it, so torch does its work", source.name, command[0])
    return None


def _succeeds(command: list[str]) -> bool:
    """Run a command without input or output; it is stopped with all that it started if it hangs."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(PATIENCE) == 0
    except subprocess.TimeoutExpired:
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def shares(length: int) -> list[slice]:
    """Divide a length among torch's threads, in whole blocks."""
    blocks = -(-length // BLOCK)
    size = BLOCK * -(-blocks // min(blocks, torch.get_num_threads()))
    return [slice(left, min(left + size, length)) for left in range(0, length, size)]


def call(function: Any, given: Sequence[Sequence[Tensor | int | float]]) -> None:
    """Call a C function with each of some lists of arguments, each in a thread of its own.

    Tensors are passed as pointers, whole numbers as ``ptrdiff_t``, others as ``float``.
    """
    calls = [[_converted(argument) for argument in arguments] for arguments in given]
    if len(calls) == 1:
        function(*calls[0])
        return
    # Python's lock is free while a C function runs.
    with ThreadPoolExecutor(len(calls)) as pool:
        list(pool.map(lambda arguments: function(*arguments), calls))


def _converted(argument: Tensor | int | float) -> Any:
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    return ctypes.c_float(argument) if isinstance(argument, float) else ctypes.c_ssize_t(argument)
