"""C functions are compiled where something can, and callers do without where nothing can."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dans import compiled
from dans.compiled import BLOCK, call, compiler, compiler_version, library, shares

SOURCE = """
#include <stddef.h>
void scaled(const float *from, float *to, ptrdiff_t length, float factor)
{
    for (ptrdiff_t i = 0; i < length; i++)
        to[i] = factor * from[i];
}
"""


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """Each test looks for a compiler itself."""
    for kept in (library, compiler_version):
        kept.cache_clear()
    yield
    for kept in (library, compiler_version):
        kept.cache_clear()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "scaled.c"
    path.write_text(SOURCE)
    return path


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize("threads", [1, 3])
def test_functions_work_on_the_shares_of_threads(
    threads: int, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    given, found = torch.arange(300.0), torch.zeros(300)
    parts = shares(len(given))
    assert len(parts) == threads
    lengths = [part.stop - part.start for part in parts]
    lists = [(given[p], found[p], length, 2.5) for p, length in zip(parts, lengths, strict=True)]
    call(library(source).scaled, lists)  # type: ignore[union-attr]
    assert torch.equal(found, 2.5 * given)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_library_is_compiled_once_and_leaves_nothing_behind(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert library(source) is library(source) is not None
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("why", ["no compiler", "a compiler that fails", "switched off", "no C"])
def test_what_cannot_be_compiled_is_not_there(
    why: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"no compiler": ("CC", "no-such-cc"), "a compiler that fails": ("CC", "false")}
    if why == "no C":
        source.write_text("this is no C")
    else:
        monkeypatch.setenv(*names.get(why, ("DANS_COMPILE", "off")))
    assert library(source) is None


def test_a_folder_that_cannot_be_written_is_no_error(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "not there"))
    assert library(source) is None


@pytest.mark.skipif(os.name == "nt", reason="the compiler is a shell script")
def test_a_compiler_that_hangs_is_stopped(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("CC", str(slow))
    monkeypatch.setattr(compiled, "PATIENCE", 0.2)
    caplog.set_level("INFO")
    assert library(source) is None
    assert "scaled.c: is not compiled, so torch does its work" in caplog.text


def test_a_compiler_may_come_with_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: name if name == "gcc" else None)
    monkeypatch.setenv("CC", "gcc -O2")
    assert compiler() == ["gcc", "-O2"]
    monkeypatch.setenv("DANS_COMPILE", "off")
    assert compiler() == []
    assert compiler_version() == "none"


@pytest.mark.parametrize("length", [1, 63, 64, 65, 1000])
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_threads_share_all_in_whole_blocks(
    length: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    parts = shares(length)
    assert [x for part in parts for x in range(part.start, part.stop)] == list(range(length))
    assert len(parts) <= threads
    assert all(part.start % BLOCK == 0 for part in parts)
