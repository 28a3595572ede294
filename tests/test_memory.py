"""Budgets of memory: free bytes, rows at a time, and failed allocations."""

import subprocess
import sys
import weakref
from itertools import chain
from pathlib import Path

import pytest
import torch

from dans import memory
from dans.errors import InputError
from dans.memory import (
    Budget,
    free,
    is_out_of_memory,
    parse_bytes,
    rest_of_group,
    show_bytes,
    stated,
)
from tests.processes import run


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *(("200MB", 200_000_000), ("1GiB", 2**30), (" 1.5 gib ", 3 * 2**29), ("0.25kB", 250)),
        *(("7b", 7), ("4096", 4096), (4096, 4096), ("2TiB", 2**41)),
    ],
)
def test_sizes_are_read(text: str | int, size: int) -> None:
    assert parse_bytes(text) == stated(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", "MB", "-1", -1, "0", 0, "0.4", "1e9", "inf", "nan", "10 pounds", "1,5GB", "1.GB"),
        *(".5GB", True, "٣MB", "9" * 30, "99999999TB", "1 GB 2", "0x10"),
    ],
)
def test_other_texts_are_not_sizes(text: str | int) -> None:
    with pytest.raises(InputError, match="memory_budget: expected"):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["", 0])
def test_a_size_may_be_left_open(text: str | int) -> None:
    assert stated(text) is None
    with pytest.raises(InputError):
        stated(False)


@pytest.mark.parametrize("size", [1, 999, 1000, 999_499, 999_900, 10**9 - 1, 10**9, 10**13])
def test_a_size_shown_is_nearly_the_size(size: int) -> None:
    assert parse_bytes(show_bytes(size)) == pytest.approx(size, rel=0.01)


def test_the_default_is_a_quarter_of_the_free_memory_at_the_first_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = iter([4000, 8])
    monkeypatch.setattr(memory, "free", lambda device: next(left))
    budget = Budget()
    assert budget.bytes == budget.bytes == 1000
    assert Budget(device=torch.device("cpu")).bytes == 2


def test_this_machine_has_memory() -> None:
    assert 2**20 < free() == pytest.approx(free(torch.device("cpu")), rel=0.5)


def test_rows_fit_beside_the_fixed_bytes() -> None:
    budget = Budget(1000)
    assert budget.rows(100) == 10
    assert budget.rows(100, fixed=950) == budget.rows(100, fixed=5000) == 1
    assert budget.rows(100, fixed=501) == 4
    assert budget.rows(100, most=3) == 3
    assert budget.rows(100, most=0) == 1


def test_chunks_cover_all_rows_once_and_in_order() -> None:
    def work(part: slice) -> list[int]:
        return list(range(10)[part])

    for limit in (1, 3, 4, 10, 99):
        parts = list(Budget(limit).chunks(10, 1, work))
        assert list(chain(*parts)) == list(range(10))
        assert {len(part) for part in parts[:-1]} <= {limit}
    assert list(Budget(5).chunks(0, 100, work)) == []
    assert [len(part) for part in Budget(9).chunks(10, 1, work, most=4, fixed=2)] == [4, 4, 2]


FAILURES = [
    MemoryError(),
    getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)("CUDA out of memory"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 1 byte"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried 1 byte"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_failed_work_is_halved_and_the_size_is_remembered(failure: Exception) -> None:
    sizes, remembered = [], []

    def work(part: slice) -> list[int]:
        sizes.append(part.stop - part.start)
        if sizes[-1] > 3:
            raise failure
        return list(range(part.start, part.stop))

    budget = Budget(1000, remember=remembered.append)
    parts = list(budget.chunks(20, 10, work, most=16, fixed=7))
    assert list(chain(*parts)) == list(range(20))
    assert sizes[:3] == [16, 8, 4]
    assert set(sizes[3:]) == {2}
    assert remembered == [87, 47, 27]
    assert budget.found == budget.bytes == 27
    # The size found holds for other work, and for a budget that is given it.
    assert budget.rows(10, fixed=7) == Budget(1000, found=27).rows(10, fixed=7) == 2
    assert Budget(20, found=27).bytes == 20


def test_a_failure_frees_its_memory_before_the_next_attempt() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def work(part: slice) -> int:
        assert not held or held[-1]() is None
        scores = torch.empty(part.stop - part.start)
        held.append(weakref.ref(scores))
        if len(scores) > 1:
            raise MemoryError
        return len(scores)

    assert sum(Budget(100).chunks(9, 10, work)) == 9


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes"), ValueError("no"), KeyboardInterrupt(), OSError("disk")]
)
def test_other_errors_are_raised(error: BaseException) -> None:
    def work(part: slice) -> None:
        raise error

    assert not is_out_of_memory(error)
    with pytest.raises(type(error)):
        list(Budget(100).chunks(9, 10, work))


def test_a_row_that_does_not_fit_ends_in_a_sentence() -> None:
    def work(part: slice) -> None:
        raise MemoryError

    with pytest.raises(InputError, match=r"memory: expected about 10 B, which.* are free"):
        list(Budget(100).chunks(9, 10, work))
    with pytest.raises(InputError, match=r"expected at least 1 kB, which.* got 100 B"):
        list(Budget(100).chunks(9, 500, work, fixed=500))
    with pytest.raises(InputError, match="at least 1 byte, got 0"):
        Budget(0)


def test_the_limit_of_a_control_group_counts(tmp_path: Path) -> None:
    def group(folder: str, **files: object) -> None:
        path = tmp_path / folder
        path.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (path / name.replace("__", ".")).write_text(f"{content}\n", encoding="utf-8")

    (tmp_path / "proc/self").mkdir(parents=True)
    membership = tmp_path / "proc/self/cgroup"
    assert rest_of_group(tmp_path) is None
    membership.write_text("4:cpu,memory:/job\n1:cpu:/\n0::/a/b\n", encoding="utf-8")
    assert rest_of_group(tmp_path) is None
    stat = "anon 5\ninactive_file 100\ntotal_inactive_file 300\n"
    group("sys/fs/cgroup/a/b", memory__max="max", memory__current=500, memory__stat=stat)
    assert rest_of_group(tmp_path) is None
    group("sys/fs/cgroup/a", memory__max=2000, memory__current=500, memory__stat=stat)
    assert rest_of_group(tmp_path) == 1600
    old = {"memory__usage_in_bytes": 500, "memory__stat": stat}
    group("sys/fs/cgroup/memory/job", memory__limit_in_bytes=2**63 - 4096, **old)
    assert rest_of_group(tmp_path) == 1600
    group("sys/fs/cgroup/memory", memory__limit_in_bytes=700, **old)
    assert rest_of_group(tmp_path) == 500
    group("sys/fs/cgroup/memory", memory__limit_in_bytes=100, **old)
    assert rest_of_group(tmp_path) == 0


def test_the_smaller_of_machine_and_group_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "rest_of_group", lambda: 17)
    assert free() == 17


REAL = """
import resource, sys, torch
from dans.memory import Budget

asked, sizes = [], []

def work(part):
    asked.append(part.stop - part.start)
    return torch.zeros(asked[-1], 2**18, dtype=torch.uint8).sum(1)

room = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + 50 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (room, room))
budget = Budget(2**40, remember=sizes.append)
total = sum(len(part) for part in budget.chunks(1024, 2**18, work))
print(total, asked[0], 1 < max(asked[-2:]) < 256, sizes[-1] == budget.found)
"""


def test_a_real_allocation_that_fails_is_halved(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text(REAL, encoding="utf-8")
    done = run(str(script), cwd=tmp_path)
    assert done.stdout.split() == ["1024", "1024", "True", "True"], done.stderr
    assert "out of memory; continuing with" in done.stderr


STEPS = """
import resource, torch
from dans.memory import keep_freed_memory
torch.set_num_threads(1)
step = lambda: [torch.ones(12_000_000) for _ in range(4)]
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def median():
    for _ in range(3): step()
    counts = [faults()]
    for _ in range(9):
        step()
        counts.append(faults())
    return sorted(after - before for before, after in zip(counts, counts[1:]))[4]
before = median()
assert keep_freed_memory()
print(before, median())
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_pages_are_faulted_in_once() -> None:
    """Pages faulted in by a step that frees what it allocates: the median of many steps."""
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    # Before it they are a hundred, or tens of thousands where the kernel gives no huge pages.
    assert after < 10
    assert before > 50
