"""Studies: spaces, trials, files, and continuing after kills and mistakes."""

import csv
import dataclasses
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
import pytest

from dans.cli.main import dispatch
from dans.data.sources import load
from dans.errors import InputError, install_command
from dans.interface import planning
from dans.runs.train import configure
from dans.runs.train import load as load_run
from dans.training.checkpoint_store import CheckpointStore
from dans.training.run_folder import RunFolder
from dans.training.trainer import Trainer
from dans.tuning import Plan, Study, tune
from dans.tuning.spaces import Choices, Numbers, parse_space
from tests.processes import Running
from tests.suites.labelled import labelled_recipe
from tests.suites.toy import FACTS, RECIPE, lay

#: The toy recipe with lookup embeddings and some more steps.
OWN = (
    re.sub("graph = .*\n", "", RECIPE)
    .replace('name = "rgcn", dim = 8', 'name = "lookup", dim = 4')
    .replace("steps = 4\n", "steps = 6\nlr = 0.05\n")
)

TRIALS = 4

TWO = ("--set", "train.steps=2")

SPACE = ("train.lr=1e-3..1.0:log", "encoder.dim=2..8:step=2", "loss.balance=triples,terms")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe for a user's own small graph."""
    folder = tmp_path_factory.mktemp("user")
    lay(folder / "triples")
    path = folder / "own.toml"
    path.write_text(OWN.format(data=folder / "triples"))
    return path


@pytest.fixture(scope="module")
def whole(recipe: Path) -> Path:
    """A study that nothing disturbed; one of its trials was ended early."""
    where = recipe.parent / "whole"
    sentence = tune(plan(recipe), TRIALS, where=where)
    (where / "sentence").write_text(sentence)
    assert "pruned" in states(where)
    return where


@pytest.fixture(autouse=True)
def _no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is killed here is processes, not machines: nothing waits for the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    connect = sqlite3.connect

    def hasty(*given: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*given, **options)
        with suppress(sqlite3.Error):  # damaged: whoever reads it says so
            connection.execute("PRAGMA synchronous = OFF")
        return connection

    monkeypatch.setattr(sqlite3, "connect", hasty)


@pytest.fixture(autouse=True, scope="module")
def _migrations_are_read_once() -> Iterator[None]:
    """Optuna runs all its migrations' files whenever a study is opened, to know the last one."""
    versions: Any = optuna.storages._rdb.storage._VersionManager
    read, found = versions._create_alembic_script, []

    def once(self: Any) -> Any:
        found[:] = found or [read(self)]
        return found[0]

    with mock.patch.object(versions, "_create_alembic_script", once):
        yield


def plan(recipe: Path, *space: str, **changes: Any) -> Plan:
    given: dict[str, Any] = {"search": "tpe:startup=2", "prune": "median:startup=1,warmup=0"}
    return Plan(recipe, "pretrain", space or SPACE, **{**given, **changes})


def study_json(where: Path) -> Any:
    return json.loads((where / "study.json").read_text())


def states(where: Path) -> list[str]:
    return [trial["state"] for trial in study_json(where)["trials"]]


class TestSpaces:
    def test_each_kind_of_part_is_read(self) -> None:
        space = parse_space(
            ["a=1e-4..1:log", "b.c=1..9", "d=0.0..0.5:step=0.1", "e=1,2.5,x", "f=[1, 2],[3, 4]"]
        )
        assert space == {
            "a": Numbers(1e-4, 1.0, log=True),
            "b.c": Numbers(1, 9),
            "d": Numbers(0.0, 0.5, step=0.1),
            "e": Choices({"1": 1, "2.5": 2.5, "x": "x"}),
            "f": Choices({"[1, 2]": [1, 2], "[3, 4]": [3, 4]}),
        }
        assert [space["b.c"].extremes, space["e"].extremes] == [(1, 9), (1, 2.5, "x")]

    @pytest.mark.parametrize(
        ("texts", "sentence"),
        [
            ([], "--space: missing; expected KEY=LOW..HIGH"),
            (["train.lr"], "--space train.lr: expected KEY=LOW..HIGH"),
            (["train..lr=1..2"], "expected KEY=LOW..HIGH"),
            (["=1..2"], "expected KEY=LOW..HIGH"),
            (["a=2..1"], "--space a=2..1: expected a lower and a higher end, got 2 and 1"),
            (["a=1..x"], "a=1..x: expected a number, got 'x'"),
            (["a=1..inf"], "expected a finite number, got 'inf'"),
            (["a=nan..1"], "expected a finite number, got 'nan'"),
            (["a=0..1:log"], "expected ends above 0 for log, got 0"),
            (["a=1..2:lin"], "expected log or step=STEP after the colon, got lin"),
            (["a=1..2:step="], "expected a number, got ''"),
            (["a=1..5:step=0.5"], "expected a whole step between whole numbers, got 0.5"),
            (["a=0.0..1.0:step=2"], "expected a step above 0 and up to 1.0, got 2"),
            (["a=0.0..1.0:step=0.3"], "expected a step that leads from 0.0 to 1.0"),
            (["a=x"], "expected at least two values, each of them once"),
            (["a=x,y,x"], "expected at least two values, each of them once"),
            (["a=x,,y"], "expected TOML values with commas between them, got ''"),
            (["a=[1,x],[2,y]"], "expected TOML values with commas between them, got '[1'"),
            (["a=2020-01-01,2020-01-02"], "or lists of them, got 2020-01-01"),
            (["a=1..2", "a=3..4"], "a is searched already; give each option once"),
            (["data=umls,nations"], "data is not searched; results would not be comparable"),
            (["train.seed=1..9"], "train.seed is not searched"),
            (["train.steps=1..9"], "not searched; results would not be comparable: the longest"),
            (["train.validate_every=1..9"], "more validations give more checkpoints to choose"),
        ],
    )
    def test_a_bad_part_is_refused_by_name(self, texts: list[str], sentence: str) -> None:
        with pytest.raises(InputError) as refused:
            parse_space(texts)
        assert sentence in str(refused.value)


def test_a_study_lists_its_trials_and_writes_the_best_as_a_recipe(
    recipe: Path, whole: Path
) -> None:
    study = study_json(whole)
    trials = study["trials"]
    assert len({json.dumps(trial["params"]) for trial in trials}) == TRIALS, "options vary"
    best = trials[study["best"]]
    assert best["value"] == max(t["value"] for t in trials if t["state"] == "complete")
    run = RunFolder(whole / f"trial-{best['number']:04d}")
    assert run.checkpoints.load("best")["best"] == {"mrr": best["value"], "step": best["step"]}
    assert configure(whole / "best.toml", []) == plan(recipe).config(best["params"]) == run.config()
    command = f"dans pretrain {whole / 'best.toml'} --out runs/pretrain/whole-tuned/seed0"
    assert (whole / "sentence").read_text().endswith(f"train it with: {command}")
    rows = list(csv.DictReader((whole / "trials.csv").read_text().splitlines()))
    assert [row["train.lr"] for row in rows] == [str(t["params"]["train.lr"]) for t in trials]
    assert [row["state"] for row in rows] == states(whole)


def test_same_seed_same_trials_and_another_seed_others(
    recipe: Path, whole: Path, tmp_path: Path
) -> None:
    for name, seed in (("b", 0), ("c", 1)):
        tune(plan(recipe, assignments=(f"train.seed={seed}",)), 3, where=tmp_path / name)
    a, b, c = (study_json(folder)["trials"] for folder in (whole, tmp_path / "b", tmp_path / "c"))
    assert a[:3] == b
    assert not {str(t["params"]) for t in a} & {str(t["params"]) for t in c}


def test_hopeless_trial_is_pruned_and_its_run_is_whole(recipe: Path, tmp_path: Path) -> None:
    where = tmp_path / "study"
    # One finished trial, and none can be better than the best hundredth of one.
    tune(plan(recipe, prune="percentile:percent=1,startup=1,warmup=2"), 4, where=where)
    ended = [trial for trial in study_json(where)["trials"] if trial["state"] == "pruned"]
    assert ended
    for trial in ended:
        run = RunFolder(where / f"trial-{trial['number']:04d}")
        steps = [line["step"] for line in run.metrics.read()]
        assert trial["reason"] == f"pruned at step {steps[-1]}"
        assert 2 <= steps[-1] < 6, "neither in the warm-up, nor with nothing left to save"
        assert run.checkpoints.load("last")["step"] == steps[-1]
        rows = list(csv.DictReader((run.path / "metrics.csv").read_text().splitlines()))
        assert [int(row["step"]) for row in rows] == steps
        assert [int(step) for step in trial["metrics"]] == steps


def test_every_trial_comes_to_its_end_without_a_pruner(recipe: Path, tmp_path: Path) -> None:
    tune(plan(recipe, prune="none", search="random"), 3, where=tmp_path / "study")
    assert states(tmp_path / "study") == ["complete"] * 3


def test_divergence_ends_a_trial_and_not_the_study(recipe: Path, tmp_path: Path) -> None:
    where = tmp_path / "study"
    space = plan(recipe, "train.lr=0.01,1e15", assignments=("train.clip=0.0",), search="random")
    tune(space, 6, where=where)
    diverged = [t for t in study_json(where)["trials"] if t["params"]["train.lr"] == 1e15]
    assert diverged
    assert all(t["state"] == "pruned" and t["reason"].startswith("diverged: ") for t in diverged)
    assert study_json(where)["trials"][study_json(where)["best"]]["params"]["train.lr"] == 0.01


def test_a_combination_that_is_refused_ends_a_trial(recipe: Path, tmp_path: Path) -> None:
    where = tmp_path / "study"
    base = ("loss.name=self_adversarial",)
    space = ("loss.name=self_adversarial,logistic", "loss.temperature=0.5..1.0")
    searched = plan(recipe, *space, assignments=base, search="random")
    tune(searched, 6, where=where)
    for trial in study_json(where)["trials"]:
        bad = trial["params"]["loss.name"] == "logistic"
        assert trial["reason"].startswith("refused: loss.temperature: unknown option") is bad
        assert (trial["state"] == "pruned") is bad
        assert (where / f"trial-{trial['number']:04d}").exists() is not bad
    assert set(states(where)) == {"pruned", "complete"}


@pytest.mark.parametrize("call", [2, 5])
def test_trial_that_does_not_fit_into_memory_is_ended_and_not_the_study(
    call: int, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, calls = Trainer.step, 0

    def short(self: Trainer) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls == call:
            raise MemoryError
        return step(self)

    monkeypatch.setattr(Trainer, "step", short)
    where = tmp_path / "study"
    tune(plan(recipe, "train.lr=0.01,0.02", prune="none"), 2, where=where)
    assert states(where) == ["pruned", "complete"]
    assert re.match(
        rf"out of memory: step {call}: .*, of step", study_json(where)["trials"][0]["reason"]
    )


def test_study_without_a_finished_trial_says_so(recipe: Path, tmp_path: Path) -> None:
    space = plan(recipe, "train.lr=1e14,1e15", assignments=("train.clip=0.0",))
    with pytest.raises(InputError, match=r"none of 2 trials came to its end; study\.json says"):
        tune(space, 2, where=tmp_path / "study")
    assert not (tmp_path / "study" / "best.toml").exists()


def test_a_metric_of_which_less_is_better_is_minimised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = tmp_path / "study"
    sets = ("train.select=nll", "train.steps=4", "train.validate_every=2")
    searched = Plan(
        labelled_recipe(tmp_path, monkeypatch), "pretrain", ("train.lr=1e-5..0.5:log",), sets
    )
    tune(searched, 3, where=where)
    trials = study_json(where)["trials"]
    assert trials[study_json(where)["best"]]["value"] == min(t["value"] for t in trials)
    assert all(t["value"] == min(t["metrics"].values()) for t in trials)


def test_a_trial_on_a_graph_that_grew_has_the_value_of_its_best_checkpoint(
    recipe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dispatch(["pretrain", str(recipe), "--steps", "30", "--out", str(tmp_path / "run")])
    lay(tmp_path / "grown")
    with (tmp_path / "grown" / "train.tsv").open("a") as file:
        file.write("e0\tr0\tnew\n")
    own = Path(shutil.copy(recipe, tmp_path / "grown.toml"))
    own.write_text(f'init_from = "{tmp_path / "run"}"\n{own.read_text()}')
    grown = (f"data={tmp_path / 'grown'}", "train.steps=4")
    # Every trial makes the model worse.
    searched = plan(own, "train.lr=5.0,9.0", assignments=grown, prune="none")
    with caplog.at_level("INFO"):
        tune(searched, 2, where=tmp_path / "study")
    said = [one.getMessage() for one in caplog.records]
    for opening in ("starting from ", "the graph grew: "):
        assert len([text for text in said if text.startswith(opening)]) == 1
    for trial in study_json(tmp_path / "study")["trials"]:
        run = RunFolder(tmp_path / "study" / f"trial-{trial['number']:04d}")
        before, *after = (line["both"]["mrr"] for line in run.metrics.read())
        assert before > max(after)
        best = {"mrr": trial["value"], "step": trial["step"]}
        assert run.checkpoints.load("best")["best"] == best


def test_a_study_continues_to_more_trials_and_not_to_fewer(
    recipe: Path, whole: Path, tmp_path: Path
) -> None:
    for trials in (1, TRIALS, TRIALS):
        tune(plan(recipe), trials, where=tmp_path)
    assert study_json(tmp_path) == study_json(whole)
    with pytest.raises(InputError, match=rf"--trials: expected at least {TRIALS}, .* got 3"):
        tune(plan(recipe), 3, where=tmp_path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"assignments": ("train.l2=0.5",)}, r"config\.train\.l2: 0\.0 then, 0\.5 now"),
        (
            {"space": ("train.lr=1e-3..0.5", *SPACE[1:])},
            r"space\.train\.lr: '1e-3\.\.1\.0:log' then",
        ),
        ({"prune": "none"}, "prune: 'median:startup=1,warmup=0' then, 'none' now"),
    ],
)
def test_another_search_in_the_same_folder_is_refused(
    changes: dict[str, Any], sentence: str, recipe: Path, whole: Path
) -> None:
    searched = dataclasses.replace(plan(recipe), **changes)
    with pytest.raises(InputError, match=f"{sentence}.*--out names another folder"):
        tune(searched, TRIALS, where=whole)


@pytest.mark.parametrize(
    ("space", "changes", "sentence"),
    [
        ("encoder.dims=1..2", {}, "--space encoder.dims=1..2: 1 is refused: encoder.dims: unknown"),
        ("lr=0.1..0.2", {}, "--space lr=0.1..0.2: 0.1 is refused: "),
        ("train.lr=-1.0..1.0", {}, "-1.0 is refused: "),
        ("loss.name=logistic,logisitc", {}, "did you mean 'logistic'"),
        ("sampler.5.k=1..2", {}, "sampler"),
        ("train.lr=0..1", {}, "train.lr takes fractions; write 0.0..1.0"),
        ("train.lr=0.1..1.0", {"search": "tpo"}, "search.name: unknown name 'tpo'; known: random"),
        ("train.lr=0.1..1.0", {"search": "tpe:seed=3"}, "search.seed: unknown option of tpe"),
        ("train.lr=0.1..1.0", {"prune": "median:warmup=x"}, "prune.warmup: expected a whole"),
        ("train.lr=0.1..1.0", {"prune": "median:startup=-1"}, "prune.startup: must not be neg"),
        ("train.lr=0.1..1.0", {"prune": "percentile:percent=100"}, "prune.percent: expected betw"),
        ("train.lr=0.1..1.0", {"assignments": ("train.dum=1",)}, "train.dum: unknown option"),
    ],
)
def test_an_invalid_plan_is_refused_before_anything_is_written(
    space: str, changes: dict[str, Any], sentence: str, recipe: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as refused:
        tune(plan(recipe, space, **changes), 3, where=tmp_path / "study")
    assert sentence in str(refused.value)
    assert not (tmp_path / "study").exists()


def test_a_folder_of_something_else_is_left_alone(recipe: Path) -> None:
    triples = recipe.parent / "triples"
    with pytest.raises(InputError, match="holds something else than a study"):
        tune(plan(recipe), 1, where=triples)
    assert {path.name for path in triples.iterdir()} == {f"{split}.tsv" for split in FACTS}


def test_a_folder_of_any_name_will_do(recipe: Path, tmp_path: Path) -> None:
    where = tmp_path / "what? 100%#x"
    tune(plan(recipe, SPACE[0]), 1, where=where)
    tune(plan(recipe, SPACE[0]), 2, where=where.rename(tmp_path / "moved"))
    assert len(states(tmp_path / "moved")) == 2


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("study.db", b"no database", "study.db: .*not a database"),
        ("study.db", b"", "study.db: expected one study of Optuna's, got 0"),
        ("study.json", b"{", "study.json: not a JSON file"),
        ("study.json", b"{}", "study.json: damaged: what the study searches is missing"),
    ],
)
def test_a_damaged_study_is_named(
    name: str, content: bytes, sentence: str, recipe: Path, whole: Path, tmp_path: Path
) -> None:
    for file in ("study.json", "study.db"):
        (tmp_path / file).write_bytes((whole / file).read_bytes())
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence) as refused:
        tune(plan(recipe), TRIALS, where=tmp_path)
    assert "\n" not in str(refused.value)


#: What other releases, other programs and bad disks may leave in a study.
DAMAGES = {
    "an unknown schema": "UPDATE alembic_version SET version_num = 'v99'",
    "an unknown state": "UPDATE trials SET state = 'LOST'",
    "failed": "UPDATE trials SET state = 'FAIL' WHERE number = 1",
    "set back": "UPDATE trials SET state = 'RUNNING' WHERE number = 0",
    "all set back": "UPDATE trials SET state = 'RUNNING'",
    "no number": "UPDATE trials SET number = NULL",
    "another number": "UPDATE trials SET number = 7 WHERE number = 1",
    "no trial": "DELETE FROM trials WHERE number = 1",
    "no values": "DELETE FROM trial_values",
    "a value of text": "UPDATE trial_values SET value = 'much'",
    "a value of nothing": "UPDATE trial_values SET value = NULL",
    "no metrics": "DELETE FROM trial_intermediate_values",
    "metrics of text": "UPDATE trial_intermediate_values SET intermediate_value = 'good'",
    "metrics of nothing": "UPDATE trial_intermediate_values SET intermediate_value = NULL",
    "unknown metrics": "UPDATE trial_intermediate_values SET intermediate_value_type = 'X'",
    "infinite metrics": "UPDATE trial_intermediate_values SET intermediate_value_type = 'INF_POS'",
    "bad JSON": "UPDATE trial_params SET distribution_json = '{'",
    "JSON of another kind": "UPDATE trial_params SET distribution_json = '[]'",
    "no distribution": "UPDATE trial_params SET distribution_json = NULL",
    "an unknown distribution": "UPDATE trial_params SET distribution_json = "
    """'{"name": "ZetaDistribution", "attributes": {}}'""",
    "a renamed option": "UPDATE trial_params SET param_name = 'train.rate' "
    "WHERE param_name = 'train.lr'",
    "an option less": "DELETE FROM trial_params WHERE param_name = 'train.lr'",
    "an option beyond": "UPDATE trial_params SET param_value = 1e9 WHERE param_name = 'train.lr'",
    "an option of text": "UPDATE trial_params SET param_value = 'x'",
    "an option of nothing": "UPDATE trial_params SET param_value = NULL",
    "a choice beyond": "UPDATE trial_params SET param_value = 7 WHERE param_name = 'loss.balance'",
    "another direction": "UPDATE study_directions SET direction = 'MINIMIZE'",
    "no direction": "DELETE FROM study_directions",
    "an unknown direction": "UPDATE study_directions SET direction = 'UP'",
    "a reason of bad JSON": "UPDATE trial_user_attributes SET value_json = '{'",
    "a reason of no text": "UPDATE trial_user_attributes SET value_json = '7'",
    "no dates": "UPDATE trials SET datetime_start = NULL, datetime_complete = NULL",
    "no table": "DROP TABLE trial_params",
    "no study": "DELETE FROM studies",
}


def test_a_study_of_another_release_or_damaged_is_refused_in_a_sentence(
    recipe: Path, whole: Path, tmp_path: Path
) -> None:
    for name, statement in DAMAGES.items():
        where = tmp_path / name
        where.mkdir()
        for file in ("study.json", "study.db"):
            (where / file).write_bytes((whole / file).read_bytes())
        with closing(sqlite3.connect(where / "study.db")) as database:
            assert database.execute(statement).rowcount, name
            database.commit()
        with pytest.raises(InputError) as refused:
            tune(plan(recipe), TRIALS + 1, where=where)
        assert str(refused.value).startswith(f"{where / 'study.db'}: "), (name, refused.value)
        assert "\n" not in str(refused.value), name


def test_triples_are_searched_as_they_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.tsv").write_text("".join(f"e{i % 7}\tr{i % 3}\te{i * i % 5}\n" for i in range(35)))
    brief = ["--set", "train.steps=2", "--set", "encoder.dim=4", "--trials", "1"]
    dispatch(["tune", "mine.tsv", "--space", "train.lr=0.01,0.1", *brief])
    where = Path("runs/tune/baselines/mine-distmult-sampled-softmax-self-loop")
    assert states(where) == ["complete"]
    best = configure(where / "best.toml", [])
    (stage,) = planning.plan(planning.with_default_loss(planning.Choice()), load("mine.tsv"))
    expected = stage.config
    assert best.data == str(tmp_path / "mine.tsv")
    assert (best.loss, best.sampler) == (expected.loss, expected.sampler)
    with pytest.raises(InputError, match="--kind dans: expected a recipe"):
        dispatch(["tune", "mine.tsv", "--space", "train.lr=0.01,0.1", "--kind", "dans"])
    with pytest.raises(InputError, match="expected what to train, as in: dans tune umls-distmult"):
        dispatch(["tune", "--space", "train.lr=0.01,0.1"])


def test_a_study_of_a_relative_path_continues_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(tmp_path / "triples")
    (tmp_path / "own.toml").write_text(OWN.format(data="triples"))
    space, steps = "train.lr=0.01,0.1", ["--set", "train.steps=2"]
    given = [str(tmp_path / "own.toml"), "--space", space, *steps, "--out", str(tmp_path / "study")]
    monkeypatch.chdir(tmp_path)
    dispatch(["tune", *given, "--trials", "1"])
    assert study_json(tmp_path / "study")["plan"]["config"]["data"] == "triples"
    (tmp_path / "away").mkdir()
    monkeypatch.chdir("away")
    load_run(tmp_path / "study" / "trial-0000")
    again = ["--set", f"data={tmp_path / 'triples'}"]
    dispatch(["tune", *given, *again, "--trials", "2"])
    assert states(tmp_path / "study") == ["complete", "complete"]


def project(folder: Path, data: str) -> Path:
    """A folder with triples, and a recipe that names them."""
    lay(folder / "triples")
    (folder / "own.toml").write_text(OWN.format(data=data))
    return folder


@pytest.mark.parametrize("by", ["typed", "absolute"])
def test_a_study_of_a_folder_that_was_moved_is_read_and_continues(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    # An absolute path is what earlier studies hold.
    project(before, "triples" if by == "typed" else str(before / "triples"))
    monkeypatch.chdir(before)
    searched = plan(Path("own.toml"), "train.lr=0.01,0.1")
    with monkeypatch.context() as patch:
        dies = dying(CheckpointStore.save, 2, after=True)
        patch.setattr(CheckpointStore, "save", dies)
        with pytest.raises(Killed):
            tune(searched, 1, where=Path("study"))
    if by == "typed":
        written = [*Path("study").glob("*.*"), *Path("study").rglob("config.json")]
        assert not any(str(before).encode() in file.read_bytes() for file in written)
    before.rename(after)
    monkeypatch.chdir(after)
    Path("own.toml").write_text(OWN.format(data="triples"))
    tune(searched, 2, where=Path("study"))
    assert len(states(Path("study"))) == 2
    first, second = (load_run(Path(f"study/trial-000{i}")).kg.digest for i in (0, 1))
    assert first == second == load("triples").digest


@pytest.mark.parametrize(
    ("then", "now", "known"),
    [
        ("triples", "triples", "digest"),
        ("triples", "triples", "checkpoint"),
        ("{}/before/triples", "{}/after/triples", "digest"),
        ("{}/before/triples/", "{}/after/others/", "digest"),
        ("umls", "./umls", "digest"),
    ],
)
def test_a_study_does_not_continue_with_other_triples(
    then: str, now: str, known: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    then, now = then.format(tmp_path), now.format(tmp_path)
    monkeypatch.chdir(project(tmp_path / "before", then))
    searched = plan(Path("own.toml"), "train.lr=0.01,0.1", assignments=("train.steps=2",))
    where = tmp_path / "study"
    tune(searched, 1, where=where)
    if known == "checkpoint":
        # Earlier studies hold none.
        content = study_json(where)
        del content["digest"]
        (where / "study.json").write_text(json.dumps(content))
    after = project(tmp_path / "after", now)
    with (after / "triples" / "train.tsv").open("a") as file:
        file.write("e0\tr0\tnew\n")
    for name in ("others", "umls"):
        shutil.copytree(after / "triples", after / name)
    shutil.rmtree(tmp_path / "before")
    monkeypatch.chdir(after)
    with pytest.raises(InputError) as refused:
        tune(searched, 2, where=where)
    sentence = str(refused.value)
    assert sentence.startswith(f"{where / 'study.json'}: this study ")
    assert f"{then!r}" in sentence
    assert f"{now!r}" in sentence
    assert len(states(where)) == 1


@pytest.mark.parametrize("there", [True, False])
def test_each_trial_of_a_file_keeps_its_own_triples(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project(tmp_path, "mine.tsv"))
    lines = [line for split in FACTS.values() for line in split]
    Path("mine.tsv").write_text("\n".join(lines) + "\n")
    searched = plan(Path("own.toml"), "train.lr=0.01,0.1", assignments=("train.steps=2",))
    tune(searched, 1, where=Path("study"))
    digest = load_run(Path("study/trial-0000")).kg.digest
    if not there:
        Path("mine.tsv").unlink()
    tune(searched, 2, where=Path("study"))
    shutil.rmtree("study/trial-0000")
    assert load_run(Path("study/trial-0001")).kg.digest == digest


@pytest.mark.parametrize("data", ["triples", "mine.tsv", "umls"])
def test_the_best_recipe_trains_from_any_working_folder(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project(tmp_path, data))
    Path("mine.tsv").write_text("\n".join(FACTS["train"] * 2) + "\n")
    tune(plan(Path("own.toml"), "train.lr=0.01,0.1", assignments=("train.steps=2",)), 1)
    (best,) = Path.cwd().glob("runs/tune/*/*/best.toml")
    assert study_json(best.parent)["plan"]["config"]["data"] == data
    (tmp_path / "away").mkdir()
    monkeypatch.chdir("away")
    dispatch(["pretrain", str(best), "--out", "run"])
    assert load_run(Path("run")).kg.digest == study_json(best.parent)["digest"]
    assert configure(best, []).data == (data if data == "umls" else str(tmp_path / data))


def test_the_best_recipe_finds_its_run_and_files_from_any_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project(tmp_path, "triples"))
    (tmp_path / "away").mkdir()
    own = Path("own.toml").read_text()
    table = 'kind = "categories"\nfile = "rows.csv"\n'
    Path("featured.toml").write_text(f"{own}\n[features.table.age]\n{table}")
    Path("rows.csv").write_text("name,what\ne0,old\ne1,new\n")
    Path("among.txt").write_text("".join(f"e{i}\n" for i in range(5)))
    few = ("train.steps=2", "evaluation.among=among.txt")
    Path("types.tsv").write_text("e0\tman\ne1\tman\ne2\tdog\n")
    typed = (*few, "sampler.0.name=typed", "sampler.0.types=types.tsv")
    tune(plan(Path("featured.toml"), "train.lr=0.01,0.1", assignments=typed), 1, where=Path("a"))
    dispatch(["pretrain", "featured.toml", "--steps", "2", "--out", "base"])
    Path("later.toml").write_text(f'init_from = "base"\n{own}')
    tune(plan(Path("later.toml"), "train.lr=0.01,0.1", assignments=few), 1, where=Path("b"))
    # A name is that of a run of each seed.
    dispatch(["pretrain", "own.toml", "--steps", "2", "--seed", "1"])
    Path("named.toml").write_text(f'init_from = "pretrain/own"\n{own}')
    seeded = (*few, "train.seed=1")
    tune(plan(Path("named.toml"), "train.lr=0.01,0.1", assignments=seeded), 1, where=Path("c"))
    assert 'init_from = "pretrain/own"' in Path("c/best.toml").read_text()
    monkeypatch.chdir("away")
    for study in ("a", "b"):
        dispatch(["pretrain", str(tmp_path / study / "best.toml"), "--out", study])
        assert load_run(Path(study)).kg.features is not None
    absent = re.escape(f"{tmp_path}/away/runs/pretrain/own/seed1: the run to start from is not")
    with pytest.raises(InputError, match=f"{absent} there; make it with: .* --seed 1, or give"):
        configure(tmp_path / "c" / "best.toml", [])


def test_a_study_reads_its_triples_once_and_says_each_notice_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(project(tmp_path, "triples"))
    with Path("triples/train.tsv").open("a") as file:
        file.write("Head\trelation\ttail \n")
    tune(plan(Path("own.toml"), "train.lr=0.0,0.1", "train.batch=2..4"), 4, where=Path("study"))
    warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert any("start or end with a space" in text for text in warnings)
    assert len(warnings) == len(set(warnings))
    caplog.clear()
    dispatch(["tune", "triples", *TWO, "--trials", "2", "--space", "train.l2=0.0,0.1"])
    warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert any("start or end with a space" in text for text in warnings)
    assert len(warnings) == len(set(warnings))
    with pytest.raises(InputError, match="--set data: triples is given already; leave one out"):
        dispatch(["tune", "triples", "--set", "data=umls", "--space", "train.l2=0.0,0.1"])


def test_missing_optuna_is_named(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=re.escape(install_command("tune"))):
        tune(plan(recipe), 1, where=tmp_path / "study")


class Killed(BaseException):
    """A kill at this point, which nothing catches."""


def dying(function: Callable[..., Any], call: int, *, after: bool) -> Callable[..., Any]:
    """A function that kills whoever calls it for the ``call``-th time."""
    calls = 0

    def die(*given: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            raise Killed
        result = function(*given, **options)
        if calls == call:
            raise Killed
        return result

    return die


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name", "call", "after"),
    [
        (Study, "open", 1, True),
        (optuna.Study, "add_trial", 4, True),  # the proposers' own calls count too
        (optuna.trial.Trial, "report", 3, True),
        (optuna.trial.Trial, "report", 6, False),
        (optuna.trial.Trial, "should_prune", 4, True),
        (optuna.storages.RDBStorage, "set_trial_user_attr", 1, True),
        (optuna.Study, "tell", 2, True),
        (CheckpointStore, "save", 6, True),
    ],
)
def test_killed_between_two_writes_it_ends_as_without_the_kill(
    owner: Any,
    name: str,
    call: int,
    after: bool,
    recipe: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dying(getattr(owner, name), call, after=after))
        with pytest.raises(Killed):
            tune(plan(recipe), TRIALS, where=tmp_path)
    tune(plan(recipe), TRIALS, where=tmp_path)
    assert study_json(tmp_path) == study_json(whole)
    assert (tmp_path / "best.toml").read_text() == (whole / "best.toml").read_text()


def lines(where: Path) -> int:
    """What all runs of a study have recorded."""
    return sum(path.read_bytes().count(b"\n") for path in where.glob("trial-*/metrics.jsonl"))


@pytest.mark.slow
def test_study_killed_at_random_moments_is_that_of_one_never_killed(
    recipe: Path, tmp_path: Path
) -> None:
    options = ["tune.py", "--recipe", recipe, "--trials", "5", "--search", "tpe:startup=2"]
    options += ["--prune", "median:startup=1,warmup=10", "--set", "train.steps=30"]
    options += [word for part in SPACE for word in ("--space", part)]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with Running(*options, "--out", whole, cwd=tmp_path) as running:
        done = running.wait()
    assert done.returncode == 0, done.stderr
    rng = random.Random(time.time_ns())
    # Spread over the study; the moment between two lines is random.
    for third in range(3):
        moment = lines(whole) * third // 3 + rng.randrange(1, 12)
        with Running(*options, "--out", killed, cwd=tmp_path) as running:
            while running.poll() is None and lines(killed) < moment:
                time.sleep(0.001)
            time.sleep(rng.random() / 20)
            assert running.poll() is None, "killed at work"
            running.send(signal.SIGKILL)
            assert running.wait().returncode == -signal.SIGKILL
    with Running(*options, "--out", killed, cwd=tmp_path) as running:
        done = running.wait()
    assert done.returncode == 0, done.stderr
    assert len(study_json(whole)["trials"]) == 5
    assert study_json(killed) == study_json(whole)


@pytest.mark.slow
def test_interrupted_study_says_how_to_continue(recipe: Path, tmp_path: Path) -> None:
    options = ["tune.py", "--recipe", recipe, "--out", "study", "--set", "train.steps=100000"]
    with Running(*options, "--space", SPACE[0], cwd=tmp_path) as running:
        while running.poll() is None and lines(tmp_path / "study") < 2:
            time.sleep(0.005)
        running.send(signal.SIGINT)
        done = running.wait()
    assert done.returncode == 130
    assert done.stderr == "error: interrupted in study; the same command continues\n"
