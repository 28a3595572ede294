"""Where recorded numbers are met to the digit: on the build and processor that made them."""

from pathlib import Path

import torch

#: The records of ``scripts/results`` were made with this, on one thread.
TORCH, PROCESSOR, CAPABILITY = "2.13.0", "AMD EPYC", "AVX512"


def made_here() -> bool:
    """Is this the build of torch and the kind of processor of the records?"""
    cpus = Path("/proc/cpuinfo")
    text = cpus.read_text("utf-8") if cpus.exists() else ""
    return (
        torch.__version__.split("+")[0] == TORCH
        and torch.backends.cpu.get_cpu_capability() == CAPABILITY
        and PROCESSOR in text
    )


def tolerance(exact: float) -> float:
    """``exact`` where the records were made; elsewhere twice the deviation between seeds."""
    return exact if made_here() else 0.02
