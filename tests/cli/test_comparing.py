"""The command that compares runs."""

import shutil
from argparse import ArgumentParser
from pathlib import Path

import pytest

from dans.cli import comparing, parsing
from dans.errors import InputError
from dans.runs.train import configure, train
from tests.suites.toy import RECIPE, lay


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in a folder like that of a recipe."""
    folder = tmp_path_factory.mktemp("compared")
    lay(folder / "triples")
    (folder / "own.toml").write_text(RECIPE.format(data=folder / "triples"))
    where = folder / "runs" / "dans" / "toy" / "seed0"
    train(configure(folder / "own.toml", []), where)
    return where


def call(*arguments: object) -> None:
    parser = ArgumentParser()
    comparing.add_options(parser)
    comparing.run(parser.parse_args(list(map(str, arguments))))


@pytest.mark.parametrize(("value", "holds"), [(0.5, True), (3.0, False)])
def test_records_are_held_against_the_run(
    run: Path,
    value: float,
    holds: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = {"metric": "mrr", "split": "test", "value": value, "tolerance": 0.5, "seeds": 1}
    monkeypatch.setattr(parsing, "records", lambda kind, section: {"toy": expected})
    other = run.parents[1] / "another" / "seed0"
    shutil.copytree(run, other, dirs_exist_ok=True)
    if holds:
        call(run, other, "--expected")
    else:
        with pytest.raises(InputError, match=r"seed0: not what is recorded$"):
            call(run, other, "--expected")
        call(run, other)
    out = capsys.readouterr().out
    assert "B (dans/another/seed0) and A (dans/toy/seed0) have the same test MRR" in out
    assert out.count("recorded are") == 1
    assert ("missed" in out) is not holds


def test_a_record_of_another_split_is_not_held(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "records", lambda kind, section: {"toy": {"split": "test"}})
    with pytest.raises(InputError, match="recorded is test alone"):
        call(run, "--split", "valid", "--expected")


def test_a_run_without_a_record_is_said_to_have_none(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parsing, "records", lambda kind, section: {})
    with pytest.raises(InputError, match="nothing is recorded that these runs could be held"):
        call(run, "--expected")
    assert "dans/toy/seed0: nothing is recorded for a run of this name." in capsys.readouterr().out


def test_a_record_of_labelled_lines_or_of_the_best_checkpoint_is_held_against_no_other(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = {"metric": "nll", "split": "test", "value": 0.5, "tolerance": 0.5, "seeds": 1}
    monkeypatch.setattr(parsing, "records", lambda kind, section: {"toy": expected})
    with pytest.raises(InputError, match="nothing is recorded that these runs could be held"):
        call(run, "--expected")
    assert "recorded is NLL of labelled lines, which dans evaluate shows" in capsys.readouterr().out
    with pytest.raises(InputError, match="recorded are the best checkpoints; leave --model out"):
        call(run, "--expected", "--model", "last")
    assert not capsys.readouterr().out, "refused before ranking"
