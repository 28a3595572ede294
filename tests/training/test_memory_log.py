"""What fits is remembered in the folder of a run, and no number of the run depends on it."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from baselines import candidates
from baselines.assembly import OBJECTIVES
from dans.config.schema import RunConfig
from dans.errors import InputError
from dans.evaluation import evaluator as evaluation
from dans.memory import Budget
from dans.runs.evaluate_run import evaluate
from dans.runs.train import configure, train
from dans.seeding import OutOfMemory
from dans.training.run_folder import MEMORY, RunFolder
from tests.processes import run

CPU = torch.device("cpu")

RECIPE = """
data = "{data}"
encoder = {{ name = "lookup", dim = 8 }}
decoder = "{decoder}"
objective = "softmax"
[train]
steps = 4
batch = 10
validate_every = 2
threads = 1
"""


def entries(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / MEMORY).read_text())["entries"]
    return found


def test_a_size_found_is_read_at_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    budget = RunFolder(tmp_path).memory_budget("1MB", CPU)
    assert (budget.bytes, list(tmp_path.iterdir())) == (10**6, [])
    budget.shrink(70_000)
    assert entries(tmp_path) == [{"limit": 10**6, "device": "cpu", "found": 70_000}]
    with caplog.at_level(logging.INFO, logger="dans"):
        assert RunFolder(tmp_path).memory_budget(10**6, CPU).bytes == 70_000
    assert "continuing with 70 kB at a time" in caplog.text


@pytest.mark.parametrize(("text", "place"), [("2MB", "cpu"), ("", "cpu"), ("1MB", "meta")])
def test_what_was_found_is_for_the_same_limit_and_kind_of_device(
    tmp_path: Path, text: str, place: str
) -> None:
    RunFolder(tmp_path).memory_budget("1MB", CPU).shrink(7)
    assert RunFolder(tmp_path).memory_budget(text, torch.device(place)).found is None


def test_what_was_found_under_one_limit_outlives_what_is_found_under_another(
    tmp_path: Path,
) -> None:
    for text, size in (("1MB", 7), ("2MB", 8), ("", 9), ("1MB", 5)):
        RunFolder(tmp_path).memory_budget(text, CPU).shrink(size)
    found = [
        RunFolder(tmp_path).memory_budget(text, CPU).found for text in ("1MB", "2MB", "", "3MB")
    ]
    assert found == [5, 8, 9, None]
    assert len(entries(tmp_path)) == 3


def test_a_memory_of_one_entry_as_they_once_were_is_read(tmp_path: Path) -> None:
    (tmp_path / MEMORY).write_text('{"limit": 1000000, "device": "cpu", "found": 7}')
    assert RunFolder(tmp_path).memory_budget("1MB", CPU).found == 7
    RunFolder(tmp_path).memory_budget("2MB", CPU).shrink(8)
    assert RunFolder(tmp_path).memory_budget("1MB", CPU).found == 7


@pytest.mark.parametrize(
    "content",
    [
        '{"entries": 7}',
        '{"entries": [7, {"limit": 1000000, "device": "cpu", "found": %s}]}',
        "",
        "[]",
        "{}",
        '{"found": 7}',
        '{"limit": 1000000, "device": "cpu", "found": %s}',
    ],
)
def test_a_damaged_memory_is_none(tmp_path: Path, content: str) -> None:
    for found in ("0", "true", "-1", '"7"', "1.5", "null"):
        (tmp_path / MEMORY).write_text(content.replace("%s", found))
        assert RunFolder(tmp_path).memory_budget("1MB", CPU).bytes == 10**6


def test_a_folder_that_cannot_be_written_stops_no_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    budget = RunFolder(tmp_path / "file").memory_budget("", CPU)
    budget.shrink(7)
    assert budget.bytes == 7
    assert "not written" in caplog.text


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[[str], Path]:
    triples = tmp_path / "triples"
    triples.mkdir()
    lines = [f"e{i % 31}\tr{i % 3}\te{(i * i + 3) % 31}\n" for i in range(120)]
    for split, part in (("train", lines[:90]), ("valid", lines[93:]), ("test", lines[93:])):
        (triples / f"{split}.tsv").write_text("".join(part))

    def write(decoder: str) -> Path:
        path = tmp_path / f"{decoder}.toml"
        path.write_text(RECIPE.format(data=triples, decoder=decoder))
        return path

    return write


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    for place, knobs in ((candidates, ("TILE", "TILE_OF_ANY")), (evaluation, ("TILE",))):
        for knob in knobs:
            monkeypatch.setattr(place, knob, 100)


def tighten(monkeypatch: pytest.MonkeyPatch, rows: int, tiles: int) -> None:
    """Memory gives out above so many rows of scores, and so many tiles kept."""
    chunks, keeping = Budget.chunks, candidates.keeping

    def few(self: Budget, total: int, each: int, work: Any, **given: Any) -> Any:
        def tight(part: slice) -> Any:
            if part.stop - part.start > rows:
                raise OutOfMemory("out of memory")
            return work(part)

        return chunks(self, total, each, tight, **given)

    def fewer(budget: Budget, total: int, each: int, work: Any, **given: Any) -> Any:
        def tight(kept: int) -> Any:
            if kept > tiles:
                raise MemoryError
            return work(kept)

        return keeping(budget, total, each, tight, **given)

    monkeypatch.setattr(Budget, "chunks", few)
    monkeypatch.setattr(candidates, "keeping", fewer)


def outcome(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The weights and the metrics of a run, but for its times."""
    return RunFolder(folder).checkpoints.load("last")["model"], [
        {key: value for key, value in line.items() if key != "seconds"}
        for line in RunFolder(folder).metrics.read()
    ]


def same(one: Path, other: Path) -> bool:
    (weights, metrics), (others, other_metrics) = outcome(one), outcome(other)
    return metrics == other_metrics and all(torch.equal(weights[k], others[k]) for k in weights)


def of(recipe: Path, *assignments: str) -> RunConfig:
    return configure(recipe, list(assignments))


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("decoder", ["complex", "rotate"])
def test_out_of_memory_a_run_goes_on_and_ends_the_same_and_so_does_what_resumes_it(
    recipe: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: str
) -> None:
    path, limit = recipe(decoder), 10**9 if decoder == "rotate" else ""
    free, tight = tmp_path / "free", tmp_path / "tight"
    train(of(path), free, objectives=OBJECTIVES)
    assert not (free / MEMORY).exists()
    with monkeypatch.context() as patch:
        tighten(patch, rows=7, tiles=1)
        train(of(path, "train.steps=2"), tight, objectives=OBJECTIVES)
    found = entries(tight)[0]["found"]
    assert 0 < found < 10**6
    # It continues with what was found; or, stating another limit, with that.
    last = of(path, f"train.memory_budget={limit}")
    train(last, tight, resume=True, objectives=OBJECTIVES)
    assert entries(tight)[0]["found"] == found
    assert same(tight, free)
    assert evaluate(tight) == evaluate(free)


@pytest.mark.usefixtures("small_tiles")
def test_evaluation_remembers_too(
    recipe: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(of(recipe("complex")), tmp_path / "run", objectives=OBJECTIVES)
    report = evaluate(tmp_path / "run")
    with monkeypatch.context() as patch:
        tighten(patch, rows=7, tiles=0)
        assert evaluate(tmp_path / "run", memory_budget="100MB") == report
    assert [entry["limit"] for entry in entries(tmp_path / "run")] == [10**8]
    tighten(monkeypatch, rows=7, tiles=0)
    shrunk: list[int] = []
    monkeypatch.setattr(Budget, "shrink", lambda _, to: shrunk.append(to))
    assert evaluate(tmp_path / "run", memory_budget="100MB") == report
    assert not shrunk


def test_a_budget_that_is_too_small_is_refused(
    recipe: Callable[[str], Path], tmp_path: Path
) -> None:
    path = recipe("complex")
    for given in ("train.memory_budget=tea", "train.memory_budget=-1", "train.memory_budget=1.5"):
        with pytest.raises(InputError, match=r"train\.memory_budget: expected"):
            of(path, given)
    with pytest.raises(InputError, match=r"^train\.memory_budget: expected at least"):
        train(of(path, "train.memory_budget=1kB"), tmp_path / "run", objectives=OBJECTIVES)
    train(of(path, "train.memory_budget=0"), tmp_path / "open", objectives=OBJECTIVES)
    for size, message in (("plenty", "such as 200MB or 1GiB"), ("1kB", "expected at least")):
        done = run("evaluate.py", "open", "--memory-budget", size, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert done.stderr.splitlines()[-1].startswith("error: memory_budget: expected")
        assert message in done.stderr
    assert not list((tmp_path / "open").glob("report*"))
    assert run("evaluate.py", "open", "--memory-budget", "1GiB", cwd=tmp_path).returncode == 0
