"""C functions, compiled when a process first needs them, for what torch's operations do slowly.

They stand beside the Python module that calls them, in a file of the same name, and work on a CPU's
float32 and bfloat16. Where a machine has no C compiler (``CC``, or ``cc``), and with
``DANS_COMPILE=off``, their callers do the same by torch.
"""

import ctypes
import functools
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger(__name__)

#: How they are compiled. Sums may be reordered; what is no number stays none.
FLAGS = (
    *("-O3", "-shared", "-fPIC"),
    *("-fno-math-errno", "-fno-trapping-math", "-fassociative-math", "-fno-signed-zeros"),
)

#: What lets the compiler use all instructions of this machine, where it knows the option.
THIS_MACHINE = "-march=native"

#: Neighbouring numbers that the functions take at a time.
BLOCK = 64


@functools.cache
def library(source: Path) -> ctypes.CDLL | None:
    """The functions of a C file, or None where nothing can compile them."""
    compiler = shutil.which(os.environ.get("CC") or "cc")
    if compiler is None or os.environ.get("DANS_COMPILE") == "off":
        return None
    with tempfile.TemporaryDirectory(prefix="dans-") as folder:
        out = Path(folder) / f"{source.stem}.so"
        for machine in ([THIS_MACHINE], []):
            command = [compiler, *FLAGS, *machine, str(source), "-o", str(out), "-lm"]
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=60)
                # Loaded, it needs its file no more.
                return ctypes.CDLL(str(out))
            except (OSError, subprocess.SubprocessError) as error:
                log.debug("%s: %s", " ".join(command), error)
    return None


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
