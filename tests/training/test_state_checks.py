"""A checkpoint is bound to the triples and the configuration that give it meaning."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dans.errors import InputError
from dans.predict.predictor import Predictor
from dans.runs.evaluate_run import evaluate
from dans.runs.train import configure, load, train
from dans.training.checkpoint import load_state, save_state
from dans.training.checkpoint_store import CheckpointStore
from tests.suites.toy import RECIPE, lay

OPTIONS: dict[str, list[str]] = {
    "base": [],
    "decoder": ["decoder.name=complex"],
    "seed": ["train.seed=1"],
    "rate": ["train.lr=0.5"],
    "negatives": ["sampler.0.k=2"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that differ in one option each, beside the recipe."""
    folder = tmp_path_factory.mktemp("bound")
    lay(folder / "triples")
    (folder / "own.toml").write_text(RECIPE.format(data=folder / "triples"))
    for name, changes in OPTIONS.items():
        train(configure(folder / "own.toml", changes), folder / name)
    return folder


@pytest.fixture
def run(runs: Path, tmp_path: Path) -> Path:
    """A copy of the first run."""
    shutil.copytree(runs / "base", tmp_path / "base")
    return tmp_path / "base"


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("decoder", "decoder.name: 'complex' then, 'distmult' now"),
        ("seed", "train.seed: 1 then, 0 now"),
        ("rate", r"train.lr: 0.5 then, 0.001 now"),
        ("negatives", "sampler: "),
    ],
)
def test_checkpoint_of_another_run_is_refused_wherever_it_is_read(
    runs: Path, run: Path, name: str, option: str
) -> None:
    for which in ("best", "last"):
        shutil.copy(runs / name / f"{which}.safetensors", run)
    for reads in (load, Predictor.load, evaluate):
        with pytest.raises(InputError, match=f"made by another configuration than .*: {option}"):
            reads(run)
    with pytest.raises(InputError, match=f"made by another configuration than .*: {option}"):
        train(configure(runs / "own.toml", ["train.steps=8"]), run, resume=True)


def test_best_of_another_run_is_made_again(
    runs: Path, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(runs / "rate" / "best.safetensors", run)
    train(configure(runs / "own.toml", ["train.steps=8"]), run, resume=True)
    assert "best.safetensors: of another run: train.lr: 0.5 then" in caplog.text
    load(run)


def test_options_without_meaning_for_the_weights_may_differ(runs: Path, run: Path) -> None:
    before = load(run).entities
    config = (run / "config.json").read_text()
    (run / "config.json").write_text(config.replace('"patience": 0', '"patience": 7'))
    assert torch.equal(load(run).entities, before)


def test_checkpoint_of_an_earlier_version_is_taken_as_it_is(run: Path, caplog: Any) -> None:
    state = load_state(run / "best.safetensors")
    del state["config"]
    save_state(run / "best.safetensors", state)
    with caplog.at_level("INFO"):
        load(run)
    assert "of an earlier version, without its configuration" in caplog.text


def put(value: object, *path: str) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        for key in path[:-1]:
            state = state[key]
        state[path[-1]] = value

    return change


def moment(
    change: Callable[[torch.Tensor], object], name: str = "exp_avg"
) -> Callable[[dict[str, Any]], None]:
    def changed(state: dict[str, Any]) -> None:
        # The best may be that of step 0, before there are any.
        for moments in state["optimizers"]["model"]["state"].values():
            moments[name] = change(moments[name])

    return changed


def option(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda state: state["optimizers"]["model"]["param_groups"][0].update({key: value})


def weight(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[dict[str, Any]], None]:
    def changed(state: dict[str, Any]) -> None:
        name = "encoder.entities.weight"
        state["model"][name] = change(state["model"][name])

    return changed


MEANINGLESS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "step as text": (put("4", "step"), "it has no step, or one that is none"),
    "step as a fraction": (put(4.5, "step"), "it has no step, or one that is none"),
    "best as text": (put("0.5", "best", "mrr"), "best.mrr: expected a number, got '0.5'"),
    "seconds as text": (put("1", "seconds"), "it has no seconds, or one that is none"),
    "plateau as text": (put("1", "plateau", "factor"), "plateau.factor: expected a number"),
    "first loss as text": (put("1", "first_terms", "loss"), "first_terms.loss: expected a number"),
    "betas as text": (option("betas", ["0.9", "0.999"]), r"betas is \['0.9', '0.999'\]; expected"),
    "betas not finite": (option("betas", [float("nan"), 0.9]), "betas is "),
    "rate as text": (option("lr", "0.1"), "lr is '0.1'; expected"),
    "epsilon as text": (option("eps", "1"), "eps is '1'; expected"),
    "a switch as text": (option("amsgrad", "no"), "amsgrad is 'no'; expected"),
    "another optimizer": (option("amsgrad", True), "amsgrad is True; expected such as False"),
    "steps uphill": (option("maximize", True), "maximize is True; expected such as False"),
    "another decay": (option("weight_decay", 1), "weight_decay is 1; expected such as 0"),
    "other betas": (option("betas", [0.5, 0.5]), r"betas is \[0.5, 0.5\]; expected such as"),
    "parameters in another order": (
        lambda state: state["optimizers"]["model"]["param_groups"][0]["params"].reverse(),
        r"params is \[9, 8.*; expected 0 to 9 in order",
    ),
    "no groups": (put([], "optimizers", "model", "param_groups"), "expected 1, got 0"),
    "negative squares": (
        moment(lambda m: -m.abs() - 1, "exp_avg_sq"),
        "exp_avg_sq of parameter 0 is negative",
    ),
    "step as a truth": (put(True, "step"), "it has no step, or one that is none"),
    "best beyond 1": (put(7.0, "best", "mrr"), "best.mrr: expected from 0 to 1, got 7.0"),
    "parameters as text": (option("params", "all"), "params is 'all'; expected"),
    "negative step": (put(-5, "step"), "step: expected at least 0, got -5"),
    "best beyond": (put(9, "best", "step"), "best.step: expected from 0 to step 4, got 9"),
    "endless": (put(float("inf"), "seconds"), "seconds: expected at least 0, got inf"),
    "best of text": (put("high", "best", "mrr"), "best.mrr: expected a number, got 'high'"),
    "plateau that is none": (put([], "plateau"), r"plateau: expected an object, got \[\]"),
    "factor not a number": (put(float("nan"), "plateau", "factor"), "plateau.factor: expected"),
    "configuration of text": (put("all", "config"), "config: expected options, got 'all'"),
    "configuration of nothing known": (put({"a": 1}, "config"), "checkpoint: config: "),
    "repeated rows": (put(torch.tensor([1, 1]), "batches", "order"), "expected distinct rows"),
    "rows beyond": (
        put(torch.tensor([99]), "batches", "order"),
        "expected distinct rows from 0 to",
    ),
    "rows as fractions": (put(torch.tensor([0.5]), "batches", "order"), "expected distinct rows"),
    "moment of another shape": (moment(lambda m: m.flatten()[:1]), "expected floats of shape"),
    "moment of whole numbers": (moment(lambda m: m.long()), "expected floats of shape"),
    "moment not finite": (moment(lambda m: m / 0), "exp_avg of parameter 0 is not finite"),
    "moment as text": (moment(lambda m: "much"), "exp_avg of parameter 0 is 'much'"),
    "whole weights": (weight(lambda w: w.long()), r"weight is int64 .* there, and float32"),
    "complex weights": (weight(lambda w: w * 1j), r"weight is complex64 .* there, and float32"),
    "weights missing": (put({}, "model"), r"is missing there, and float32"),
}


@pytest.mark.parametrize("name", MEANINGLESS)
def test_state_without_meaning_is_refused(runs: Path, run: Path, name: str) -> None:
    change, sentence = MEANINGLESS[name]
    for which in ("best", "last"):
        state = load_state(run / f"{which}.safetensors")
        change(state)
        save_state(run / f"{which}.safetensors", state)
    with pytest.raises(InputError, match=sentence) as caught:
        train(configure(runs / "own.toml", ["train.steps=8"]), run, resume=True)
    assert "\n" not in str(caught.value)


def test_a_step_beyond_the_configuration_is_refused(run: Path) -> None:
    state = load_state(run / "last.safetensors")
    save_state(run / "last.safetensors", {**state, "step": 99})
    with pytest.raises(InputError, match=r"last.safetensors: checkpoint: step: 99, of a run of 4"):
        load(run, which="last")


@pytest.mark.parametrize("name", ["negative step", "whole weights", "complex weights"])
def test_a_run_is_not_initialised_from_a_state_without_meaning(
    runs: Path, run: Path, tmp_path: Path, name: str
) -> None:
    change, sentence = MEANINGLESS[name]
    state = load_state(run / "best.safetensors")
    change(state)
    save_state(run / "best.safetensors", state)
    config = configure(runs / "own.toml", [f"init_from={run}"])
    with pytest.raises(InputError, match=f"init_from: {run}/best.safetensors: .*{sentence}"):
        train(config, tmp_path / "then")


def test_a_run_is_not_initialised_from_the_checkpoint_of_another(
    runs: Path, run: Path, tmp_path: Path
) -> None:
    shutil.copy(runs / "decoder" / "best.safetensors", run)
    config = configure(runs / "own.toml", [f"init_from={run}"])
    with pytest.raises(InputError, match=r"made by another configuration .*: decoder.name"):
        train(config, tmp_path / "then")


def test_the_sampler_of_another_shape_is_refused(run: Path) -> None:
    state = load_state(run / "best.safetensors")
    state["objective"]["extra"] = torch.zeros(2)
    save_state(run / "best.safetensors", state)
    with pytest.raises(InputError, match="objective: extra is float32"):
        _ = load(run).sampler


def test_the_newest_checkpoint_is_not_taken_for_the_best(runs: Path, run: Path) -> None:
    step = load(run).step
    assert step != load(run, which="last").step, "nothing to confuse"
    shutil.copy(run / "last.safetensors", run / "best.safetensors")
    sentence = rf"best.safetensors: of step 4, while the best was of step {step}; .*--resume"
    for reads in (load, Predictor.load, evaluate):
        with pytest.raises(InputError, match=sentence):
            reads(run)


def test_a_folder_in_place_of_a_checkpoint_is_not_named_as_one(run: Path) -> None:
    store = CheckpointStore(run)
    assert store.resume() is not None
    for name in ("last", "previous"):
        (run / f"{name}.safetensors").unlink(missing_ok=True)
        (run / f"{name}.safetensors").mkdir()
    assert store.describe_newest().endswith("last.safetensors is no file, so training starts anew")
