"""Runs a command: signals, streams and errors, from before the first slow import to the end."""

import io
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from dans.errors import DivergedError, InputError, Terminated, bounded, visible

#: Where ``dans`` and its commands lie.
COMMANDS = str(Path(__file__).resolve().parent) + os.sep
PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep

#: What ends a command, and what it raises there. The exit status is 128 and the signal's number.
SIGNALS: dict[signal.Signals, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


class Printable(logging.Formatter):
    """Messages of any library with control characters escaped, line by line."""

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record."""
        return "\n".join(map(visible, super().format(record).rstrip("\n").split("\n")))


def set_encoding(stream: object) -> None:
    """Let a file or a pipe be UTF-8, and a terminal show escapes of what it cannot write."""
    if isinstance(stream, io.TextIOWrapper):
        encoding = stream.encoding if stream.isatty() else "utf-8"
        stream.reconfigure(encoding=encoding, errors="backslashreplace")


def run_main(main: Callable[[], object]) -> None:
    """Run a command; errors of the user end in one sentence and status 2.

    What takes long to import is imported in ``main``, once the options are parsed.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        # Ignored under nohup, and in the background of a shell: that is the user's choice.
        if handler is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        status = _status(main)
    finally:
        for number, handler in before.items():
            # After a signal, a second one ends what is left of the process at once.
            if signal.getsignal(number) is _stop:
                signal.signal(number, handler)
        _drop_output_that_fails()
    if status:
        sys.exit(status)


def _stop(number: int, frame: FrameType | None) -> None:
    """End the command; at once in the middle of an import before it has begun.

    There an exception would surface as another one, or be swallowed. Once a function below the
    commands works, a late import is interrupted as everything else is, so that what was saved is
    named.
    """
    signal.signal(number, signal.SIG_DFL)
    importing = begun = False
    while frame is not None:
        code = frame.f_code
        importing = importing or code.co_filename.startswith("<frozen importlib")
        ours = code.co_filename.startswith(PACKAGE) and code.co_name != "<module>"
        begun = begun or (ours and not code.co_filename.startswith(COMMANDS))
        frame = frame.f_back
    if importing and not begun:
        os.write(2, b"error: interrupted\n")
        os._exit(128 + number)
    raise SIGNALS[signal.Signals(number)]


def _status(main: Callable[[], object]) -> int:
    """Run a command to its exit status, after the sentence that says what went wrong."""
    try:
        _prepare()
        try:
            main()
        except SystemExit:
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except InputError as error:
        return _refuse(str(error))
    except BrokenPipeError:
        # The reader of our output has closed it, as `head` does: quiet, but not status 0.
        return 128 + signal.SIGPIPE
    except OSError as error:
        nameless = "standard output" if _drop_output_that_fails() else "a file or standard output"
        return _refuse(f"{error.filename or nameless}: {error.strerror or error}")
    except DivergedError as error:
        return _refuse(f"training diverged: {error}")
    except FloatingPointError as error:
        return _refuse(str(error))
    except KeyboardInterrupt as stop:
        number = signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT
        return _refuse(" ".join(["interrupted", *map(str, stop.args)]), status=128 + number)
    return 0


def _prepare() -> None:
    """Streams, log and import path of a command."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # A file that is opened later would take the number, and with it what is printed.
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        raise InputError("standard output is closed, so there is no place for the answer")
    for stream in (sys.stdout, sys.stderr):
        set_encoding(stream)
    # Python puts a script's own folder first on its path, where torch would import tabulate.py
    # instead of the package of that name.
    script = Path(sys.argv[0]).resolve()
    if script.is_file():
        sys.path[:] = [path for path in sys.path if Path(path).resolve() != script.parent]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Printable("%(message)s"))
    logging.basicConfig(handlers=[handler])
    # Warnings of other libraries quote names and paths as they are.
    logging.captureWarnings(True)
    logging.getLogger("dans").setLevel(logging.INFO if leads() else logging.ERROR)
    if not leads():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    from dans.memory import keep_freed_memory

    keep_freed_memory()


def leads() -> bool:
    """Is this the only process of the command, or the first of those that torchrun started?"""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


def _drop_output_that_fails() -> bool:
    """Whether standard output cannot be written; if so, Python would report it at exit again."""
    if sys.stdout is None:
        return False
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _refuse(sentence: str, *, status: int = 2) -> int:
    """Say what went wrong; of several processes, the first says what all of them find."""
    distributed = sys.modules.get("dans.training.distributed")
    if leads():
        sys.stderr.write(f"error: {bounded(visible(sentence))}\n")
    elif distributed is not None and distributed.joined():
        process = f"process {os.environ.get('RANK', '')}"
        sys.stderr.write(f"error: {process}: {bounded(visible(sentence))}\n")
    return status
