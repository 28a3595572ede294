"""Files are whole or not there, and what a kill left is removed."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dans.training.files import sweep, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def dead() -> int:
    """The number of a process that is no more."""
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        process.wait()
    return process.pid


def test_new_content_replaces_the_old(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a.json"]


def test_the_one_before_is_kept(tmp_path: Path) -> None:
    path, former = tmp_path / "a", tmp_path / "b"
    for content in (b"1", b"2", b"3"):
        write_atomically(path, content, former=former)
        assert former.exists() == (content != b"1")
    assert (path.read_bytes(), former.read_bytes()) == (b"3", b"2")


@pytest.mark.parametrize("failing", ["os.fsync", "pathlib.Path.replace"])
def test_failed_write_leaves_the_old_file_and_names_it(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(failing, full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(path, b"new", former=tmp_path / "b")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.json"]


def test_what_a_killed_process_left_is_removed_and_no_more(tmp_path: Path) -> None:
    gone, alive = dead(), os.getppid()
    (tmp_path / "a").write_bytes(b"whole")
    left = [f"a.{gone}.part", f"a.{alive}.part", f"b.{gone}.part", "own.part", "a.x.part"]
    for name in left:
        (tmp_path / name).touch()
    write_atomically(tmp_path / "a", b"new")
    assert names(tmp_path) == sorted(["a", *left[1:]])
    sweep(tmp_path)
    assert names(tmp_path) == sorted(["a", left[1], *left[3:]])
    sweep(tmp_path, alone=True)
    assert names(tmp_path) == sorted(["a", *left[3:]])
