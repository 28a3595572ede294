"""Signals, closed streams and full disks end a command in one sentence and a status of theirs."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dans.cli.command import run_main
from dans.errors import InputError, Terminated
from tests.processes import ROOT, SCRIPTS

#: Commands that import torch; tabulating runs takes no long import.
COMMANDS = [
    *(path for path in SCRIPTS.glob("*.py") if path.name != "tabulate.py"),
    *SCRIPTS.glob("examples/*.py"),
    ROOT / "dans" / "__main__.py",
]

#: What a command needs before it imports what takes long, where it needs anything.
GIVEN = {
    "__main__.py": "evaluate run",
    "compare.py": "run",
    "evaluate.py": "run",
    "check_triples.py": "run",
    "explain_triple.py": "run --head a --relation b --tail c",
    "export_vectors.py": "run --out new",
    "plot_calibration.py": "run --out new.png",
    "plot_diversity.py": "run",
    "predict.py": "run --head a --relation b",
    "report.py": "run",
    "reproduce.py": "pretrain",
    "split_triples.py": "no-such-data --out new",
    "serve_run.py": "run",
    "tune.py": "--recipe umls-distmult",
}

#: An import during which the process gets a signal, and which hides what that raises.
SLOW = """
import os, time
try:
    os.kill(os.getpid(), {number})
    time.sleep(5)
except BaseException as error:
    raise ImportError("cannot be loaded") from error
"""


def launch(
    code: str, how: str = "", *, before: str = "", script: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command, with redirections of a shell; ``code`` is its main function."""
    text = f"from dans.cli.command import run_main\ndef main():\n    {code}\nrun_main(main)"
    call = [str(script), *GIVEN.get(script.name, "").split()] if script else ["-c", text]
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["bash", "-c", f'{before} "$0" "$@" {how}', sys.executable, *call],
        env=buffered,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("number", "status", "commands"),
    [(signal.SIGINT, 130, COMMANDS[::2]), (signal.SIGTERM, 143, COMMANDS[1::2])],
)
def test_a_signal_during_the_imports_of_any_command_is_one_line(
    number: int, status: int, commands: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text(SLOW.format(number=int(number)))
    # Away from the folders of runs that a checkout may hold.
    monkeypatch.chdir(tmp_path)
    root = str(SCRIPTS.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), root]))
    for script in commands:
        done = launch("", script=script)
        assert (done.stderr, done.stdout) == ("error: interrupted\n", ""), script.name
        assert done.returncode == status, script.name


@pytest.mark.parametrize(
    ("number", "kind", "status"),
    [(signal.SIGINT, KeyboardInterrupt, 130), (signal.SIGTERM, Terminated, 143)],
)
def test_a_signal_ends_in_the_sentence_of_what_was_at_work(
    number: signal.Signals,
    kind: type[BaseException],
    status: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def main() -> None:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt as stop:
            found.append(type(stop))
            raise type(stop)("in step 3; nothing was saved") from None

    found: list[type[BaseException]] = []
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    level = logging.getLogger("dans").level
    try:
        with pytest.raises(SystemExit) as ended:
            run_main(main)
    finally:
        after = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
        logging.getLogger("dans").setLevel(level)
    assert found == [kind]
    assert ended.value.code == status
    assert capsys.readouterr().err == "error: interrupted in step 3; nothing was saved\n"
    # The signal that came ends the process at once if it comes again; the other is as before.
    came = [signal.SIGINT, signal.SIGTERM].index(number)
    assert after[came] is signal.SIG_DFL
    assert after[1 - came] == before[1 - came]


def test_a_signal_that_the_caller_ignores_stays_ignored() -> None:
    code = "import signal; signal.raise_signal(2); signal.raise_signal(15); print('done')"
    done = launch(code, before="trap '' INT TERM; exec")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.parametrize("code", ["print('much ' * 99999)", "print('little')"])
@pytest.mark.parametrize(
    ("how", "status", "sentence"),
    [
        (">&-", 2, "error: standard output is closed, so there is no place for the answer\n"),
        (">/dev/full", 2, "standard output: No space left on device\n"),
        ("| true; exit ${PIPESTATUS[0]}", 141, ""),
    ],
)
def test_an_answer_that_nobody_got_is_not_status_0(
    code: str, how: str, status: int, sentence: str
) -> None:
    wait = "import time; time.sleep(.3); " if "true" in how else ""
    done = launch(wait + code, how)
    assert done.returncode == status
    assert done.stderr.endswith(sentence)
    assert done.stderr.count("\n") == bool(sentence)


@pytest.mark.parametrize("code", ["print('done')", "raise SystemExit(0)"])
def test_closed_standard_input_and_error_change_nothing(code: str) -> None:
    done = launch(f"open('/dev/null').fileno() > 2 or print('taken'); {code}", "<&- 2>&-")
    assert done.returncode == 0
    assert "taken" not in done.stdout


def test_an_error_keeps_its_sentence_where_the_output_is_gone() -> None:
    name = InputError.__name__
    code = f"from dans.errors import {name}; print('a'); raise {name}('no such run')"
    done = launch(code, ">/dev/full")
    assert (done.returncode, done.stderr) == (2, "error: no such run\n")


def test_a_signal_during_a_late_import_reaches_who_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dgl.py").write_text("import signal; signal.raise_signal(15)\n")
    root = str(SCRIPTS.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), root]))
    code = """
    from dans.data.graph import KnowledgeGraph
    try:
        KnowledgeGraph.of([("a", "r", "b")]).heterograph()
    except KeyboardInterrupt as stop:
        raise type(stop)("in step 3; nothing was saved") from None
    """
    done = launch(code.strip())
    assert (done.returncode, done.stderr) == (
        143,
        "error: interrupted in step 3; nothing was saved\n",
    )
