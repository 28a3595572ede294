"""Files are whole or not there, and what a kill left is removed."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dans.config.writing import link_atomically, sweep, whole_folder, write_atomically


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


def test_a_reader_finds_the_file_whole_at_any_instant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, former = tmp_path / "a", tmp_path / "b"
    monkeypatch.setattr(os, "fsync", lambda _: None)
    write_atomically(path, b"0" * 999)
    seen: list[bytes] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(path.read_bytes() if path.exists() else b"nothing")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(400):
            write_atomically(path, str(number % 10).encode() * 999, former=former)
    finally:
        done.set()
        reader.join()
    assert {(len(content), len(set(content))) for content in seen} == {(999, 1)}
    assert names(tmp_path) == ["a", "b"]


def test_there_is_a_file_before_every_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, former, replace = tmp_path / "a", tmp_path / "b", Path.replace
    write_atomically(path, b"1")

    def watched(self: Path, target: Path) -> Path:
        assert path.exists()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    write_atomically(path, b"2", former=former)
    # Killed between the two renames: both names have the same content.
    former.unlink()
    os.link(path, former)
    write_atomically(path, b"3", former=former)
    assert (path.read_bytes(), former.read_bytes()) == (b"3", b"2")
    assert names(tmp_path) == ["a", "b"]


def test_the_one_before_is_kept_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    path, former = tmp_path / "a", tmp_path / "b"
    for content in (b"1", b"2", b"3"):
        write_atomically(path, content, former=former)
    assert (path.read_bytes(), former.read_bytes()) == (b"3", b"2")
    assert names(tmp_path) == ["a", "b"]


def test_what_a_kill_left_of_a_second_name_is_not_written_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other, kept = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    kept.write_bytes(b"kept")
    other.write_bytes(b"new")
    # By a process of the same number as this one.
    os.link(kept, tmp_path / f"a.{os.getpid()}.part")
    link_atomically(path, other)
    assert path.samefile(other)

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    os.link(kept, tmp_path / f"a.{os.getpid()}.part")
    monkeypatch.setattr(os, "link", refused)
    other.write_bytes(b"newer")
    link_atomically(path, other)
    assert (path.read_bytes(), kept.read_bytes()) == (b"newer", b"kept")
    assert not path.samefile(other)
    assert names(tmp_path) == ["a", "b", "c"]


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


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out[1]"
    with pytest.raises(OSError, match="No such file") as caught, whole_folder(out) as folder:
        (folder / "sub" / "a").touch()
    assert caught.value.filename == str(out / "sub" / "a")
    assert names(out.parent) == []
    # By a process that is no more, and by one of the same number as this one.
    for number in (dead(), os.getpid()):
        (out.parent / f"{out.name}.{number}.part").mkdir()
    with whole_folder(out) as folder:
        (folder / "a").touch()
        assert not out.exists()
    assert (names(out.parent), names(out)) == ([out.name], ["a"])
