"""Scripts, and the command ``dans``, as processes of their own, started in milliseconds.

A server imports torch, DGL and ``dans`` once and computes nothing; every script runs in a fork of
it, with its own folder, arguments, environment and output. What runs is a real process, with a
number that signals reach.
"""

import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess

from tqdm.std import TqdmDefaultWriteLock

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts"

#: What the server imports: all that a script of ours is likely to.
PRELOAD = [
    "dans",
    "torch._dynamo",  # the first optimizer would import it
    "tensorboard.compat.proto.summary_pb2",
    "tensorboard.summary.writer.record_writer",
    "dans.data._dgl",
    "dans.cli.main",
    "dans.runs.evaluate_run",
    "dans.predict.answers",
    "dans.predict.export",
    "dans.report.page",
    "dans.analysis.tables",
    "dans.analysis.plots",
    "dans.analysis.inspection",
    "dans.tuning",
    "baselines.assembly",
    # For pictures and reports, calibration, and studies: each takes a second.
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "sklearn.isotonic",
    "sklearn.linear_model",
    "sklearn.manifold",
    "alembic.command",
    "optuna.storages._rdb.storage",
]

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(PRELOAD)


class Running:
    """A script at work. Leaving the ``with`` block kills it, if it still is.

    Args:
        script: one of ``scripts/``, by name, or ``dans``.
        arguments: what it is given.
        cwd: the folder it runs in.
        env: its environment; None: as it is now.
        given: what it reads on standard input.
        before: called in the process before the script begins, to make something go wrong there;
            see ``tests.suites.faults``.
    """

    def __init__(
        self,
        script: str,
        *arguments: object,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        given: str = "",
        before: Callable[[], object] | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        path = ROOT / "dans" / "__main__.py" if script == "dans" else SCRIPTS / script
        self.argv = [str(path), *map(str, arguments)]
        self._streams = [Path(self._folder.name, name) for name in ("in", "out", "err")]
        for path in self._streams:
            path.write_text(given if path.name == "in" else "", encoding="utf-8")
        env = dict(os.environ if env is None else env)
        self._process = _server.Process(
            target=_be_script, args=(self.argv, cwd, env, self._streams, before), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The exit status, −9 where it was killed; None while it runs."""
        return self._process.exitcode

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def says(self, text: str, timeout: float = 60) -> None:
        """Wait until it has written a text to standard error."""
        deadline = time.monotonic() + timeout
        while text not in self._streams[2].read_text("utf-8"):
            assert self.poll() is None, f"ended without saying {text}"
            assert time.monotonic() < deadline, f"has not said {text} in {timeout} s"
            time.sleep(0.01)

    def wait(self, timeout: float = 300) -> CompletedProcess[str]:
        """Its status and what it wrote, once it has ended."""
        self._process.join(timeout)
        status = self.poll()
        if status is None:
            raise TimeoutError(f"still running after {timeout} s: {self.argv}")
        out, err = (path.read_text("utf-8") for path in self._streams[1:])
        return CompletedProcess(self.argv, status, out, err)

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        if self.poll() is None:
            self._process.kill()
        self._process.join()
        self._folder.cleanup()


def run(
    script: str,
    *arguments: object,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    given: str = "",
    before: Callable[[], object] | None = None,
    timeout: float = 300,
) -> CompletedProcess[str]:
    """Run a script to its end; see ``Running``."""
    with Running(script, *arguments, cwd=cwd, env=env, given=given, before=before) as running:
        return running.wait(timeout)


def succeed(
    script: str, *arguments: object, cwd: Path, env: Mapping[str, str] | None = None
) -> CompletedProcess[str]:
    """Run a script that has to end well."""
    done = run(script, *arguments, cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    return done


def _be_script(
    argv: list[str],
    cwd: Path,
    env: dict[str, str],
    streams: list[Path],
    before: Callable[[], object] | None,
) -> None:
    """In the fork: become the script."""
    for number, path in enumerate(streams):
        file = os.open(path, os.O_WRONLY if number else os.O_RDONLY)
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding=env.get("PYTHONIOENCODING", "utf-8"), closefd=False)  # noqa: SIM115
        for number, mode in enumerate("rww")
    )
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = argv
    folder = Path(argv[0]).parent
    sys.path.insert(0, str(folder if SCRIPTS in folder.parents else SCRIPTS))
    # A lock between processes, of which a killed one would leave its semaphore.
    TqdmDefaultWriteLock.mp_lock = None
    if before is not None:
        before()
    runpy.run_path(argv[0], run_name="__main__")
