"""Configurations become objects; runs become models again."""

import contextlib
import importlib
import json
import logging
import os
import random
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dans.analysis.inspection import compare_samplers, compare_without_model, inspect_run
from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.decoders import DECODERS, DistMult
from dans.predict.export import Embeddings
from dans.predict.predictor import Predictor
from dans.report.gather import gather
from dans.runs.build import build_evaluator, build_trainer, notices
from dans.runs.evaluate_run import evaluate, labelled_probabilities, probabilities
from dans.runs.train import configure, load, train
from dans.samplers import SAMPLERS, Mixture, Uniform
from dans.training.checkpoint import save_state
from dans.training.run_folder import RunFolder
from tests.suites.labelled import labelled_recipe
from tests.suites.toy import RECIPE, lay


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A user's own graph and a recipe for it."""
    lay(tmp_path / "triples")
    path = tmp_path / "own.toml"
    path.write_text(RECIPE.format(data=tmp_path / "triples").replace("distmult", "complex"))
    return path


def test_trained_run_comes_back_with_its_vectors(recipe: Path, tmp_path: Path) -> None:
    config = configure(recipe, [])
    train(config, tmp_path / "run")
    once, again = load(tmp_path / "run"), load(tmp_path / "run")
    assert once.config == config
    assert torch.equal(once.entities, again.entities)
    assert once.entities.shape == (7, 8)
    assert load(tmp_path / "run", which="last").step == 4


def test_run_of_a_decoder_that_no_table_has_says_how_to_open_it(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DECODERS, "hole", DistMult)
    train(configure(recipe, ["decoder.name=hole"]), tmp_path / "run")
    monkeypatch.delitem(DECODERS, "hole")
    message = rf"{tmp_path}/run/config.json: decoder.name: unknown name 'hole'; .* run it in place"
    with pytest.raises(InputError, match=message):
        evaluate(tmp_path / "run")


def test_run_that_starts_from_another_takes_over_its_weights(recipe: Path, tmp_path: Path) -> None:
    train(configure(recipe, []), tmp_path / "base")
    then = tmp_path / "then.toml"
    sampler = '[[sampler]]\nname = "dans"\npreset = "paper"\nk = 2\n'
    then.write_text(
        f'init_from = "{tmp_path / "base"}"\nloss = "logistic"\n{sampler}[train]\nsteps = 0\n'
    )
    config = configure(then, [])
    base = load(tmp_path / "base").config
    assert (config.data, config.encoder, config.decoder) == (base.data, base.encoder, base.decoder)
    train(config, tmp_path / "run")
    assert torch.equal(load(tmp_path / "run").entities, load(tmp_path / "base").entities)


@pytest.fixture
def then(recipe: Path, tmp_path: Path) -> Path:
    """A recipe that starts from a run of the other one."""
    train(configure(recipe, []), tmp_path / "base")
    path = tmp_path / "then.toml"
    path.write_text(
        f'init_from = "{tmp_path / "base"}"\nloss = "logistic"\nsampler = ["self_loop"]\n'
    )
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("graph.norm=node", "graph.norm: 'node' here, 'relation' in the run it starts from"),
        ("encoder.dim=4", "encoder.dim: 4 here, 8 in the run it starts from"),
        ("encoder.layers=1", "encoder.layers: 1 here, 2 in"),
        ("encoder.bases=0", "encoder.bases: 0 here, None in"),
        ("encoder={name='lookup', dim=8}", "encoder.name: 'lookup' here, 'rgcn' in"),
        ("decoder=rotate", "then.toml: decoder.name: 'rotate' here, 'complex' in"),
        ("decoder.reciprocal=true", "decoder.reciprocal: True here, False in"),
        ("decoder.bound=5.0", "decoder.bound: 5.0 here, None in"),
    ],
)
def test_run_that_starts_from_another_cannot_change_the_model(
    then: Path, change: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        configure(then, [change])


def test_run_that_starts_from_another_may_change_how_it_is_trained(
    then: Path, tmp_path: Path
) -> None:
    changes = ["graph.sample=0.5", "encoder.dropout=0.5", "encoder.init=0.1", "encoder.layers=2"]
    changes += ["decoder={name='complex', query_dropout=0.3, initial='normal', shift=-1.0}"]
    config = configure(then, [*changes, "train.steps=0"])
    assert (config.graph.sample, config.graph.norm) == (0.5, "relation")
    assert config.encoder.options == {"dim": 8, "dropout": 0.5, "init": 0.1, "layers": 2}
    train(config, tmp_path / "run")
    assert torch.equal(load(tmp_path / "run").entities, load(tmp_path / "base").entities)


def test_weights_of_another_shape_are_no_start(then: Path, tmp_path: Path) -> None:
    plain = configure(then, []).plain()
    plain["encoder"] = {"name": "rgcn", "dim": 4}
    message = (
        r"init_from: .*: encoder.entities.weight is float32 \[7, 8\] there, and float32 \[7, 4\]"
    )
    with pytest.raises(InputError, match=message):
        train(RunConfig.parse(plain), tmp_path / "run")
    plain["encoder"] = {"name": "rgcn", "dim": 8, "layers": 1}
    with pytest.raises(InputError, match=r"init_from: .* encoder.layers.1.* and missing here"):
        train(RunConfig.parse(plain), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_unfinished_run_is_no_start(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "base"
    train(configure(recipe, []), run)
    state = RunFolder(run).checkpoints.load("last")
    save_state(RunFolder(run).checkpoints.file("last"), {**state, "step": 3})
    then = tmp_path / "then.toml"
    then.write_text(f'init_from = "{run}"\nloss = "logistic"\nsampler = ["self_loop"]\n')
    with pytest.raises(InputError, match=r"stopped at step 3 of 4; continue with it first"):
        train(configure(then, []), tmp_path / "run")


def test_run_cannot_go_back(recipe: Path, tmp_path: Path) -> None:
    train(configure(recipe, []), tmp_path / "run")
    with pytest.raises(InputError, match=r"train.steps: .* is at step 4 already"):
        train(configure(recipe, ["train.steps=2"]), tmp_path / "run", resume=True)
    assert load(tmp_path / "run").config.train.steps == 4


@pytest.mark.parametrize("change", ["train.select=nll", "train.lr=0.5", "encoder.dim=4"])
def test_run_goes_on_as_it_was_made(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = labelled_recipe(tmp_path, monkeypatch)
    usual = ["train.steps=2", "train.validate_every=1"]
    train(configure(recipe, usual), tmp_path / "run")
    option = change.split("=")[0]
    with pytest.raises(InputError, match=rf"another configuration \({option}: .* then, .* now\)"):
        train(configure(recipe, [*usual, change]), tmp_path / "run", resume=True)
    assert RunFolder(tmp_path / "run").checkpoints.load("last")["step"] == 2


def test_finished_run_resumed_says_where_it_stands(recipe: Path, tmp_path: Path) -> None:
    first = train(configure(recipe, []), tmp_path / "run")
    assert train(configure(recipe, []), tmp_path / "run", resume=True) == first


def test_missing_start_says_how_to_make_it(recipe: Path) -> None:
    with pytest.raises(InputError, match=r"make it with: dans pretrain far"):
        configure(recipe, ["init_from=pretrain/far"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("encoder.name=rcgn", "encoder.name: unknown name 'rcgn'; known: .*; did you mean 'rgcn'"),
        ("encoder.dims=3", "encoder.dims: unknown option of rgcn"),
        ("encoder.num_entities=3", "encoder.num_entities: unknown option of rgcn"),
        ("decoder.gamma=3", "decoder.gamma: unknown option of complex"),
        ("encoder.dim=7", "decoder.dim: complex needs an even number, got 7"),
        ("loss.name=logit", "loss.name: unknown name 'logit'"),
        ("sampler.0.name=nscaching,loss.name=sampled_softmax", "^loss: SampledSoftmax weighs each"),
        ("sampler.0.name=unifrom", "sampler.0.name: unknown name 'unifrom'"),
        ("sampler.0.n=3", "sampler.0.n: unknown option of uniform"),
        ("sampler.0.k=0", "sampler.0.k"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(
    recipe: Path, tmp_path: Path, change: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(configure(recipe, change.split(",")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("error", [InputError, KeyboardInterrupt, OSError])
def test_a_run_that_fails_before_its_first_checkpoint_is_not_in_the_way(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(*_: object) -> None:
        raise error("full")

    kept = tmp_path / "own" / "pretrain" / "notes.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("tea")
    with monkeypatch.context() as patch:
        patch.setattr("dans.training.trainer.Trainer.evaluate", fail)
        for where in (tmp_path / "new" / "a" / "b", tmp_path / "own"):
            with pytest.raises(InputError if error is OSError else error):
                train(configure(recipe, []), where)
    assert not (tmp_path / "new").exists()
    assert list((tmp_path / "own").rglob("*.*")) == [kept]
    train(configure(recipe, ["train.steps=2"]), tmp_path / "own")


def test_a_run_that_fails_after_its_first_checkpoint_is_kept(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise InputError("full")

    with monkeypatch.context() as patch:
        patch.setattr("dans.training.trainer.Trainer.step", fail)
        with pytest.raises(InputError, match="full"):
            train(configure(recipe, []), tmp_path / "run")
    with pytest.raises(InputError, match="already holds a run"):
        train(configure(recipe, []), tmp_path / "run")
    train(configure(recipe, []), tmp_path / "run", resume=True)


def test_unknown_preset_is_refused(recipe: Path, tmp_path: Path) -> None:
    changes = ["sampler.0.name=dans", "sampler.0.preset=best"]
    with pytest.raises(InputError, match=r"sampler\.0\.preset: known: paper, dans; got 'best'"):
        train(configure(recipe, changes), tmp_path / "run")


def test_the_preset_of_the_published_program_says_what_to_write(
    recipe: Path, tmp_path: Path
) -> None:
    changes = ["sampler.0.name=dans", "sampler.0.preset=code"]
    with pytest.raises(InputError, match='write name = "published_dans" without a preset'):
        train(configure(recipe, changes), tmp_path / "run")


def test_options_win_over_their_preset(recipe: Path, tmp_path: Path) -> None:
    changes = ["sampler.0.name=dans", "sampler.0.preset=dans", "sampler.0.decode=vector"]
    train(configure(recipe, [*changes, "train.steps=1"]), tmp_path / "run")
    assert load(tmp_path / "run").sampler.decode == "vector"


def test_several_samplers_are_mixed(recipe: Path, tmp_path: Path) -> None:
    config = configure(recipe, [])
    plain = config.plain()
    plain["sampler"] = [{"name": "uniform", "k": 2}, {"name": "self_loop", "k": 1}]
    train(RunConfig.parse(plain), tmp_path / "run")
    sampler = load(tmp_path / "run").sampler
    assert isinstance(sampler, Mixture)
    assert isinstance(sampler.samplers[0], Uniform)
    assert sampler.k == 3


def test_what_a_run_offers_is_kept_beside_it(recipe: Path, tmp_path: Path) -> None:
    plain = configure(recipe, []).plain()
    plain["sampler"] = [{"name": "uniform", "k": 2}, {"name": "self_loop", "k": 1}]
    train(RunConfig.parse(plain), tmp_path / "run")
    content = inspect_run(tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "sampler.json").read_text())
    assert kept == content
    assert content["negatives"] == 21 * 3
    assert (content["model"], content["seed"]) == ("last", 0)
    assert list(content["members"]) == ["uniform", "self_loop"]
    assert content["members"]["self_loop"]["negatives"] == 21
    last = RunFolder(tmp_path / "run").metrics.read()[-1]
    assert content["seconds_per_step"] == pytest.approx(last["seconds"] / 4)


def test_samplers_made_anew_stand_beside_a_run_own(recipe: Path, tmp_path: Path) -> None:
    train(configure(recipe, []), tmp_path / "run")
    found = compare_samplers(tmp_path / "run", ["uniform", "dans:k=2", "uniform:k=5"], triples=9)
    names = ["uniform (run)", "uniform", "dans:k=2 (3 passes)", "uniform:k=5"]
    assert list(found) == names
    assert [one.numbers["negatives"] for one in found.values()] == [27, 180, 36, 45]
    assert found[names[2]].numbers["generated"] == 1
    with pytest.raises(InputError, match=r"--sampler uniform:n=5.n: unknown option of uniform"):
        compare_samplers(tmp_path / "run", ["uniform:n=5"])


def test_samplers_made_anew_learn_before_they_are_compared(recipe: Path, tmp_path: Path) -> None:
    train(configure(recipe, []), tmp_path / "run")
    cached = "nscaching:size=1,fresh=3,update=top,filter=none"
    found = [
        compare_samplers(tmp_path / "run", [cached, "uniform"], passes=passes)
        for passes in (0, 1, 5, 5)
    ]
    names = [list(one)[1:] for one in found]
    words = ("0 passes", "1 pass", "5 passes", "5 passes")
    assert names == [[f"{cached} ({word})", "uniform"] for word in words]
    harder = [one[own[0]].numbers["harder"] for one, own in zip(found, names, strict=True)]
    assert harder[0] < harder[2] == harder[3]
    assert found[0]["uniform"].numbers["harder"] == found[2]["uniform"].numbers["harder"]
    with pytest.raises(InputError, match="passes must not be negative, got -1"):
        compare_samplers(tmp_path / "run", [cached], passes=-1)


def test_runs_are_compared_as_after_their_last_step(recipe: Path, tmp_path: Path) -> None:
    plain = configure(recipe, []).plain()
    plain["sampler"] = [{"name": "nscaching", "size": 1, "fresh": 3, "filter": "none"}]
    train(RunConfig.parse(plain), tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    found = compare_samplers(run.path, [], which="last")["nscaching (run)"].numbers
    run.checkpoints.file("best").unlink()
    default = compare_samplers(run.path, [])["nscaching (run)"].numbers
    assert default["score_gap"] == found["score_gap"]


def test_negatives_of_a_run_can_be_written_down_and_trained_on(
    recipe: Path, tmp_path: Path
) -> None:
    train(configure(recipe, ["train.log_negatives=true"]), tmp_path / "run")
    negatives = tmp_path / "run" / "negatives"
    assert sorted(path.name for path in negatives.iterdir()) == [
        "step-000000.tsv.gz",
        "step-000002.tsv.gz",
    ]
    changes = ["sampler.0.name=listed", f"sampler.0.file={negatives}"]
    train(configure(recipe, changes), tmp_path / "then")
    assert load(tmp_path / "then").sampler.negatives.numel() > 0


def world() -> dict[str, object]:
    """What a caller may rely on, and reading a run must leave as it was."""
    names = [None, *logging.root.manager.loggerDict]
    return {
        "torch": torch.get_rng_state().tolist(),
        "python": random.getstate(),
        "numpy": [int(number) for number in np.random.get_state()[1]],  # noqa: NPY002
        "threads": torch.get_num_threads(),
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
        ),
        "precision": (torch.get_default_dtype(), torch.get_float32_matmul_precision()),
        "gradients": torch.is_grad_enabled(),
        "errors": np.geterr(),
        "warnings": list(warnings.filters),
        "levels": {name: logging.getLogger(name).level for name in names},
        "handlers": list(logging.root.handlers),
        "signals": [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)],
        "folder": os.getcwd(),
        "path": list(sys.path),
    }


@pytest.mark.parametrize(
    ("sampler", "path"),
    [("typed:types=", "types.tsv"), ("cake:concepts=", "types.tsv"), ("listed:file=", "lists")],
)
def test_a_run_of_relative_paths_continues_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    lay(Path("triples"))
    Path("types.tsv").write_text("".join(f"e{i}\tt{i % 2}\n" for i in range(7)))
    Path("lists").mkdir()
    Path("lists", "one.tsv").write_text("e0\tr0\te3\ttail\te5\n")
    Path("lists", "unread.txt").write_text("")
    Path("own.toml").write_text(RECIPE.format(data="triples"))
    name, option = sampler.rstrip("=").split(":")
    own = [f'sampler=[{{name="{name}", {option}="{path}"}}]']
    config, run = configure(tmp_path / "own.toml", own), tmp_path / "run"
    train(config.replace(steps=2), run)
    (tmp_path / "types.tsv").unlink()
    shutil.rmtree(tmp_path / "lists")
    (tmp_path / "away").mkdir()
    monkeypatch.chdir("away")
    train(RunFolder(run).config().replace(steps=4), run, resume=True)
    assert type(load(run).sampler) is SAMPLERS[name]
    assert evaluate(run).split == "test"
    assert not list((run / "samplers").rglob("*.txt"))


def test_a_run_and_its_folder_of_triples_are_moved_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "before").mkdir()
    monkeypatch.chdir(tmp_path / "before")
    lay(Path("triples"))
    Path("own.toml").write_text(RECIPE.format(data="triples"))
    config = configure(Path("own.toml").absolute(), [])
    train(config.replace(steps=2), Path("run"))
    monkeypatch.chdir(tmp_path)
    Path("before").rename("after")
    monkeypatch.chdir("after")
    assert evaluate(Path("run")).split == "test"
    train(config.replace(steps=4), Path("run"), resume=True)


def test_reading_a_run_changes_nothing_of_the_world_around_it(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    changes = ["encoder={name='lookup', dim=8}", "train.threads=1"]
    plain = RECIPE.replace("graph = {{ hold_out_share = 1.0 }}\n", "")
    recipe.write_text(plain.format(data=tmp_path / "triples"))
    train(configure(recipe, changes), run)
    readers: dict[str, Callable[[], object]] = {
        "load": lambda: load(run).sampler,
        "predictor": lambda: Predictor.load(run).tails("e0", "r0"),
        "evaluate": lambda: evaluate(run),
        "inspect": lambda: inspect_run(run),
        "compare": lambda: compare_samplers(run, ["uniform", "nscaching"], passes=1),
        "export": lambda: Embeddings.of(run),
        "report": lambda: gather([run], split="test", which="best", triples=5),
    }
    assert_undisturbed(readers)
    trained = load(run)
    weights = trained.model.encoder.state_dict()["entities.weight"].clone()
    np.asarray(trained.entities)[:] = 0
    assert torch.equal(trained.model.encoder.state_dict()["entities.weight"], weights)


def test_a_learning_rate_of_zero_is_noticed(
    recipe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(configure(recipe, ["train.lr=0.001", "train.steps=1"]), tmp_path / "moves")
    assert "train.lr" not in caplog.text
    train(configure(recipe, ["train.lr=0", "train.steps=1"]), tmp_path / "stays")
    assert "train.lr = 0: the model keeps its weights; only a sampler can learn" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    ["sampler.0.k=0", "loss.nosuch=1", "train.batch_by=queries", "regularizer=[{name='lp', p=-1}]"],
)
def test_nothing_is_logged_of_what_is_refused(
    wrong: str, recipe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "triples" / "valid.tsv").unlink()
    noticed = ["graph.hold_out_share=0.5", "train.lr=0"]
    train(configure(recipe, [*noticed, "train.steps=1"]), tmp_path / "run")
    assert [line.partition(":")[0] for line in caplog.messages[:2]] == ["train.lr = 0", "triples"]
    caplog.clear()
    started = [*noticed, f"init_from={tmp_path / 'run'}", wrong]
    with pytest.raises(InputError):
        train(configure(recipe, started), tmp_path / "refused")
    assert not caplog.messages


def test_training_needs_neither_validation_nor_test_triples(
    recipe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for split in ("valid", "test"):
        (tmp_path / "triples" / f"{split}.tsv").unlink()
    assert train(configure(recipe, []), tmp_path / "run") is None
    assert "validation triples: there are none, so nothing is ranked, and the newest" in caplog.text
    assert load(tmp_path / "run").step == 4
    with pytest.raises(InputError, match="has no test triples"):
        evaluate(tmp_path / "run")


def test_validation_lines_that_are_all_false_are_said() -> None:
    kg = KnowledgeGraph.of([("a", "r", "b"), ("b", "r", "c")], [("a", "r", "c")])
    lines = kg.valid, torch.tensor([False])
    kg = replace(kg, valid=kg.valid[:0], labelled={"valid": lines})
    config = RunConfig.parse({"data": "toy", "encoder": "lookup", "decoder": "distmult"})
    assert build_evaluator(config, kg) is None
    assert any("all 1 lines are labelled false" in notice for notice in notices(config, kg))


def test_reading_a_classifier_changes_nothing_of_the_world_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    train(configure(labelled_recipe(tmp_path, monkeypatch), []), run)
    triples = torch.tensor([[0, 0, 1]])

    def fitted() -> object:
        (run / "calibration.json").unlink(missing_ok=True)
        return Predictor.load(run)

    assert_undisturbed(
        {
            "predictor": fitted,
            "evaluate": lambda: evaluate(run),
            "calibrated": lambda: Predictor.load(run).tails("e0", "r0"),
            "labelled": lambda: labelled_probabilities(run),
            "probabilities": lambda: probabilities(run, triples),
            "compare": lambda: compare_without_model(load(run).config.data, ["uniform"]),
            "report": lambda: gather([run]),
        }
    )


def test_a_refused_run_changes_nothing_of_the_world_around_it(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(configure(recipe, []), run)
    config = (run / "config.json").read_text()
    (run / "config.json").write_text(config.replace("complex", "distmult"))

    def refused() -> None:
        with pytest.raises(InputError):
            Predictor.load(run)

    assert_undisturbed({"refused": refused})


def assert_undisturbed(readers: Mapping[str, Callable[[], object]]) -> None:
    """Reading leaves the world as it was found, whatever it draws and sets in between."""
    # Its first import brings filters of warnings.
    with contextlib.suppress(ImportError):
        importlib.import_module("sklearn.manifold")
    threads = torch.get_num_threads()
    try:
        for name, read in readers.items():
            torch.set_num_threads(2)
            random.seed(7)
            np.random.seed(7)  # noqa: NPY002
            torch.manual_seed(7)
            before = world()
            read()
            after = world()
            changed = [key for key in before if before[key] != after[key] and key != "levels"]
            assert not changed, name
            levels = before["levels"]
            assert isinstance(levels, dict)
            assert levels == {key: logging.getLogger(key).level for key in levels}, name
    finally:
        torch.set_num_threads(threads)


def test_a_lookup_builds_no_messages_and_an_unfiltered_sampler_no_filter_set() -> None:
    kg = KnowledgeGraph.of([("a", "r", "b"), ("b", "r", "c")])
    config = RunConfig.parse(
        {
            **{"data": "toy", "encoder": {"name": "lookup", "dim": 4}, "decoder": "distmult"},
            **{"sampler": [{"name": "uniform"}], "loss": "logistic"},
        }
    )
    trainer = build_trainer(config, kg, None)
    trainer.step()
    assert not kg._messages
    assert all(known._by_head is None for known in kg._known.values())
    known = kg.known(("train",))
    assert known is kg.known(("train",))
    assert known.is_known(kg.train).all()


@pytest.mark.parametrize("seed", range(3))
def test_neighbourhoods_of_random_walks_come_back_whatever_a_new_walk_finds(
    seed: int, recipe: Path, tmp_path: Path
) -> None:
    walking = ['sampler=[{name = "sans", k = 2, walks_per_entity = 2}]', f"train.seed={seed}"]
    train(configure(recipe, walking), tmp_path / "run")
    found = load(tmp_path / "run").sampler.get_extra_state()
    written = load(tmp_path / "run").state["sampler._extra_state"]
    assert torch.equal(found, written)
