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
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3): step()
counts = [faults()]
for _ in range(21):
    step()
    counts.append(faults())
print(sorted(after - before for before, after in zip(counts, counts[1:]))[10])
"""


def faults(keep: str) -> int:
    """Pages faulted in by a step that frees what it allocates: the median of many.

    Once in a while the heap grows by a block, as chance lays it out; that is no step's habit.
    """
    script = STEPS.format(keep=keep)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc is told")
def test_pages_are_faulted_in_once() -> None:
    # Without it they are a hundred, or tens of thousands where the kernel gives no huge pages.
    assert faults("assert keep_freed_memory()") < 10
    assert faults("") > 50
