"""Runs of a table: in which order, and which of them are finished."""

from pathlib import Path

import pytest

from dans.analysis import reproduction
from dans.analysis.reproduction import Job, jobs
from dans.analysis.tables import collect
from dans.config import papers
from dans.config.recipes import Recipe, read_recipe
from dans.runs.train import train
from tests.suites.toy import lay


def test_a_run_comes_after_what_it_starts_from_and_seed_by_seed() -> None:
    cells = papers.read("dans-2").cells
    chosen = [cells[f"dans/umls-rotate-{name}"] for name in ("uniform", "mcns")]
    places = [(job.place, job.seed) for job in jobs(chosen, 2)]
    once = ["pretrain/umls-rotate", "dans/umls-rotate-uniform", "dans/umls-rotate-mcns"]
    assert places == [(place, seed) for seed in (0, 1) for place in once]


def test_recipes_are_read_once_for_all_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Recipe | Path] = []
    monkeypatch.setattr(reproduction, "read_recipe", lambda r: read.append(r) or read_recipe(r))
    jobs([papers.read("dans-2").cells["dans/umls-rotate-uniform"]], 9)
    assert len(read) == 2, "its own, and that of its start"


def test_pre_training_with_another_loss_is_a_run_too() -> None:
    cells = papers.read("kamigaito-hayashi-3").cells
    found = jobs([cells["baselines/wn18rr-rotate-sans-from-ns-freq"]], 1)
    assert [job.name for job in found] == [
        "wn18rr-rotate-ns-freq",
        "wn18rr-rotate-sans-from-ns-freq",
    ]


def test_a_start_that_no_recipe_makes_is_no_run() -> None:
    job = Job("dans", "umls-distmult-uniform", 0, ("init_from=a/folder",))
    assert job.starts_from() is None


@pytest.mark.slow
def test_a_run_is_finished_with_its_own_options_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(tmp_path / "triples")
    monkeypatch.chdir(tmp_path)
    changes = (f"data={tmp_path / 'triples'}", "train.steps=2", "train.validate_every=1")
    cells = papers.read("dans-2").cells
    start, job = jobs([cells["dans/umls-distmult-uniform"]], 1, changes)
    assert not job.is_finished()
    for one in (start, job):
        one.run()
        assert one.is_finished()
    report = (job.where / "report.last.json").stat().st_mtime_ns
    (job.where / "sampler.json").unlink()
    assert job.is_evaluated()
    assert not job.is_finished()
    job.run()
    assert job.is_finished()
    assert (job.where / "report.last.json").stat().st_mtime_ns == report
    assert not Job(job.kind, job.name, 0, (*changes, "train.lr=0.5")).is_finished()


@pytest.mark.slow
def test_a_run_that_is_trained_further_is_evaluated_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lay(tmp_path / "triples")
    monkeypatch.chdir(tmp_path)
    changes = (f"data={tmp_path / 'triples'}", "train.validate_every=1", "train.schedule=constant")
    short, longer = (
        Job("pretrain", "umls-distmult", 0, (*changes, f"train.steps={steps}")) for steps in (2, 4)
    )
    short.run()
    assert collect(Path("runs/pretrain"))["umls-distmult"].last
    # Stopped on its way from 2 to 4, by the configuration it has the steps of the longer one.
    path = short.where / "config.json"
    path.write_text(path.read_text().replace('"steps": 2', '"steps": 4'))
    assert not longer.is_evaluated()
    train(longer.config(), longer.where, resume=True)
    assert not longer.is_evaluated()
    assert not collect(Path("runs/pretrain"))["umls-distmult"].last
    assert "report.last.json: left out: the run was trained further" in caplog.text
    longer.run()
    assert longer.is_evaluated()
    longer.where.joinpath("last.safetensors").write_bytes(b"damaged")
    assert not longer.is_evaluated()
