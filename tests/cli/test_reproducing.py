"""The command that makes runs: which of them it makes, and what it refuses."""

import json
import signal
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path

import pytest

from dans.cli import reproducing
from dans.cli.main import run_command
from dans.config import papers
from dans.errors import InputError, Terminated
from dans.training.lock import Lock
from tests.processes import Running, succeed
from tests.suites.toy import lay


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "expected a table or a kind; dans reproduce --list has the tables"),
        (["dans-5"], r"'dans-5': no such table or kind; known: .*pretrain.*; did you mean dans-"),
        (["dans-2", "--match", "umls-*"], "--match is of kinds of runs; the table dans-2 takes"),
        (["dans", "--cells", "umls-*"], "--cells is of tables; runs of dans take --match"),
        (["dans-2", "--cells", "umls-distmult-unifrom"], "did you mean umls-distmult-uniform"),
        (["dans-2", "--cells", "?"], "'\\?' matches no cell of dans-2; it has wn18rr-distmult to "),
        (["--list", "dans-2"], "--list lists all tables; leave it out: 'dans-2'"),
        (["--list", "--cells", "a"], "--list lists all tables; leave --cells out: 'a'"),
        (["dans", "--match", "nothing"], "--match: 'nothing' matches no name; known: kinship"),
    ],
)
def test_what_cannot_be_made_is_refused_in_a_sentence(given: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_command("reproduce", given)


def test_one_process_makes_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="torchrun: reproduce takes one process; dans train takes"):
        run_command("reproduce", ["dans-2"])


def test_cells_are_chosen_by_recipe_or_by_kind_and_recipe() -> None:
    table = papers.read("dans-2")
    for pattern, places in (
        ("umls-rotate", ["pretrain/umls-rotate", "dans/umls-rotate"]),
        ("pretrain/umls-*", [f"pretrain/umls-{d}" for d in ("distmult", "rotate", "complex")]),
        (
            "*-mcns",
            [
                f"dans/{base}-mcns"
                for base in dict.fromkeys(c.base for g in table.groups for c in g.cells)
            ],
        ),
    ):
        assert [cell.place for cell in reproducing.chosen(table, pattern)] == places
    assert len(reproducing.chosen(table, "*")) == len(table.cells)


def options(folder: Path) -> list[str]:
    """Options of runs with one seed and two steps, on a toy graph that is laid in a folder."""
    lay(folder / "triples")
    changes = (f"data={folder / 'triples'}", "train.steps=2", "train.validate_every=1")
    return ["--seeds", "1", *(option for change in changes for option in ("--set", change))]


@pytest.mark.slow
def test_a_table_is_made_and_what_is_finished_is_not_made_again(tmp_path: Path) -> None:
    few = options(tmp_path)
    given = ["reproduce", "dans-2", "--cells", "umls-distmult-uniform", *few]
    done = succeed("dans", *given, cwd=tmp_path)
    made = ["runs/pretrain/umls-distmult/seed0", "runs/dans/umls-distmult-uniform/seed0"]
    first, *folders = done.stdout.splitlines()
    assert first.startswith("DANS, Table 2: 0 of 2 runs are finished; 2 left: about ")
    assert folders == made
    assert done.stderr.endswith(
        "the results: dans tabulate runs/dans --expected\n"
        "the results: dans tabulate runs/pretrain --expected\n"
    )
    again = succeed("dans", *given, cwd=tmp_path)
    assert again.stdout == "DANS, Table 2: 2 of 2 runs are finished\n"
    listed = succeed("dans", "reproduce", "--list", *few, cwd=tmp_path).stdout
    (line,) = (line for line in listed.splitlines() if line.startswith("dans-2"))
    n = len(papers.read("dans-2").cells)
    assert f" of {n} cells are recorded; here, 2 of {n} runs are finished; {n - 2} left" in line
    assert [line.split()[0] for line in listed.splitlines()] == papers.names()


def test_an_interrupted_run_is_continued_by_the_same_command() -> None:
    class Job:
        where = Path("runs/seed0")

        def run(self, *, loggers: list[str]) -> None:
            raise Terminated("in step 3; --resume continues from there")

    with pytest.raises(Terminated, match=r"^in runs/seed0; the same command continues$"):
        reproducing.work([Job()], Namespace(loggers=[]))  # type: ignore[list-item]


@pytest.mark.slow
def test_a_run_that_another_process_makes_is_waited_for(tmp_path: Path) -> None:
    given = ("reproduce", "dans-2", *options(tmp_path), "--cells", "umls-distmult-uniform")
    start = Path("runs/pretrain/umls-distmult/seed0")
    (tmp_path / start).mkdir(parents=True)
    waits = f"{start}: another process is at this run"
    with ExitStack() as every:
        with Lock(tmp_path / start):
            stopped, waiting = (
                every.enter_context(Running("dans", *given, cwd=tmp_path)) for _ in range(2)
            )
            stopped.says(waits)
            stopped.send(signal.SIGINT)
            done = stopped.wait()
            said = f"error: interrupted in {start}; the same command continues"
            assert (done.returncode, done.stderr.splitlines()[1:]) == (130, [said])
            waiting.says(waits)
        done = waiting.wait()
    assert not done.returncode, done.stderr
    assert done.stdout.splitlines()[1:] == [str(start), "runs/dans/umls-distmult-uniform/seed0"]


@pytest.mark.slow
def test_commands_that_share_a_run_make_it_once(tmp_path: Path) -> None:
    given = ("reproduce", "dans-2", *options(tmp_path), "--cells")
    with ExitStack() as every:
        cells = ("umls-distmult-uniform", "umls-distmult-mcns")
        both = [every.enter_context(Running("dans", *given, name, cwd=tmp_path)) for name in cells]
        for done in [one.wait() for one in both]:
            assert not done.returncode, done.stderr
    metrics = tmp_path / "runs/pretrain/umls-distmult/seed0/metrics.jsonl"
    steps = [json.loads(line).get("step") for line in metrics.read_text().splitlines()]
    assert len(steps) == len(set(steps))
