"""One process at a time trains in a folder; whoever reads needs no lock."""

import builtins
import fcntl
import os
from pathlib import Path

import pytest

from dans.errors import InputError
from dans.training.lock import Lock


def test_a_folder_is_taken_once(tmp_path: Path) -> None:
    with Lock(tmp_path) as lock:
        assert lock.take()
        with pytest.raises(InputError, match="another process trains here"), Lock(tmp_path):
            pass
        assert list(tmp_path.iterdir()) == [], "nothing is left in the folder"
    with Lock(tmp_path) as lock:
        assert lock.take()


def test_a_folder_that_is_made_later_is_taken_then(tmp_path: Path) -> None:
    with Lock(tmp_path / "new") as lock:
        assert not lock.take()
        (tmp_path / "new").mkdir()
        assert lock.take()
        with pytest.raises(InputError, match="new: another process"), Lock(tmp_path / "new"):
            pass


def test_whoever_waits_says_for_whom_and_takes_the_folder_then(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="dans")
    with Lock(tmp_path) as other:
        # Whoever has it lets go once that is said.
        caplog.handler.addFilter(lambda _: other.__exit__() or True)
        with Lock(tmp_path).wait() as lock:
            assert lock.take()
    who = f" (process {os.getpid()})" if Path("/proc/locks").exists() else ""
    sentence = f"{tmp_path}: another process is at this run{who}; waiting until it ends"
    assert caplog.messages == [sentence]


@pytest.mark.parametrize("missing", ["fcntl", "flock"])
def test_a_system_without_locks_gets_a_sentence(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("not supported")

    real = builtins.__import__

    def without(name: str, *rest: object, **named: object) -> object:
        if name == "fcntl":
            raise ImportError("No module named 'fcntl'")
        return real(name, *rest, **named)  # type: ignore[arg-type]

    if missing == "fcntl":
        monkeypatch.setattr(builtins, "__import__", without)
    else:
        monkeypatch.setattr(fcntl, "flock", refuse)
    with Lock(tmp_path) as lock:
        assert lock.take()
    assert f"{tmp_path}: cannot be locked here" in caplog.text
