"""Freed memory is kept: steps do not fault their pages in again."""

import subprocess
import sys

import pytest

STEPS = """
import resource, torch
from dans.allocator import keep_freed_memory
{keep}
torch.set_num_threads(1)
step = lambda: [torch.ones(12_000_000) for _ in range(4)]
for _ in range(3): step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20): step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: str) -> int:
    """Pages faulted in by twenty steps that free what they allocate."""
    script = STEPS.format(keep=keep)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc is told")
def test_pages_are_faulted_in_once() -> None:
    # Without it they are some two thousand, where the kernel has no huge pages to give.
    assert faults("assert keep_freed_memory()") < 200
