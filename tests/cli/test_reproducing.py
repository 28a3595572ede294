"""The command that makes runs: which of them it makes, and what it refuses."""

from pathlib import Path

import pytest

from dans.cli import reproducing
from dans.cli.main import run_command
from dans.config import papers
from dans.errors import InputError
from tests.processes import succeed
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


@pytest.mark.slow
def test_a_table_is_made_and_what_is_finished_is_not_made_again(tmp_path: Path) -> None:
    lay(tmp_path / "triples")
    changes = (f"data={tmp_path / 'triples'}", "train.steps=2", "train.validate_every=1")
    options = [option for change in changes for option in ("--set", change)]
    given = ["reproduce", "dans-2", "--cells", "umls-distmult-uniform", "--seeds", "1", *options]
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
    listed = succeed("dans", "reproduce", "--list", "--seeds", "1", *options, cwd=tmp_path).stdout
    (line,) = (line for line in listed.splitlines() if line.startswith("dans-2"))
    n = len(papers.read("dans-2").cells)
    assert f" of {n} cells are recorded; here, 2 of {n} runs are finished; {n - 2} left" in line
    assert [line.split()[0] for line in listed.splitlines()] == papers.names()
