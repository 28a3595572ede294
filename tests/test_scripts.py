"""The scripts: their help, the whole way from training to plots, and continuing runs."""

import json
import logging
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from dans.analysis.diversity import GENERATED, TRUTH
from dans.errors import InputError
from dans.training.checkpoint import load_state
from tests.processes import SCRIPTS, Running, run, succeed
from tests.suites.labelled import labelled_recipe
from tests.suites.states import states_equal
from tests.suites.toy import RECIPE, TRAIN_DANS, lay

NAMES = sorted(path.name for path in SCRIPTS.glob("*.py"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own graph, a recipe for it and a trained run."""
    folder = tmp_path_factory.mktemp("user")
    lay(folder / "triples")
    (folder / "own.toml").write_text(RECIPE.format(data=folder / "triples"))
    done = succeed("pretrain_rgcn.py", "--recipe", "own.toml", "--out", "base", cwd=folder)
    assert "valid MRR" in done.stdout
    assert done.stderr == "", "quiet when not on a terminal"
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_help_says_what_a_script_does(name: str, tmp_path: Path) -> None:
    done = succeed(name, "--help", cwd=tmp_path)
    assert "python scripts/" in done.stdout, "an example"
    assert "options:" in done.stdout


def test_reader_that_has_read_enough_is_no_error(tmp_path: Path) -> None:
    listing = f"{sys.executable} {SCRIPTS / 'fetch_datasets.py'} --list | true"
    done = subprocess.run(listing, shell=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == ""


@pytest.mark.slow
def test_the_main_job_end_to_end(folder: Path) -> None:
    (folder / "dans.toml").write_text(TRAIN_DANS.format(start=folder / "base"))
    succeed("train_dans.py", "--recipe", "dans.toml", "--out", "dans", cwd=folder)
    done = succeed("evaluate.py", "dans", cwd=folder)
    report = json.loads((folder / "dans" / "report.json").read_text())
    assert report["split"] == "test"
    assert {"filter", "ties", "unseen_entities"} <= report["protocol"].keys()
    for side, queries in {"both": 4, "heads": 2, "tails": 2}.items():
        assert report[side]["queries"] == queries
        assert 0 < report[side]["mrr"] <= 1
        assert {"mean_rank", "hits@1", "hits@3", "hits@10", "ndcg@5"} <= report[side].keys()
    assert f"{report['both']['mrr']:.4f}" in done.stdout
    succeed("plot_diversity.py", "dans", "--relation", "r0", cwd=folder)
    assert (folder / "dans" / "tsne-r0.png").stat().st_size > 10_000
    groups = json.loads((folder / "dans" / "diversity-r0.json").read_text())["groups"]
    pathways = [
        f"{which} pathway{end}" for which in ("entity", "relation") for end in ("", GENERATED)
    ]
    assert {TRUTH, "uniform", *pathways} == groups.keys()
    done = succeed("inspect_sampler.py", "dans", "--sampler", "self_loop:k=3", cwd=folder)
    assert (folder / "dans" / "samplers.png").stat().st_size > 10_000
    samplers = json.loads((folder / "dans" / "samplers.json").read_text())
    assert list(samplers) == ["dans (run)", "uniform (run)", "self_loop:k=3"]
    assert all(name in done.stdout for name in samplers)


@pytest.mark.slow
def test_labelled_lines_are_classified_and_plotted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = labelled_recipe(tmp_path, monkeypatch)
    for out, steps in (("one", 20), ("two", 60)):
        options = ["--recipe", recipe, "--out", out, "--set", f"train.steps={steps}"]
        done = succeed("pretrain_rgcn.py", *options, "--set", "train.select=nll", cwd=tmp_path)
        assert "valid NLL" in done.stdout
    done = succeed("evaluate.py", "two", cwd=tmp_path)
    assert "isotonic" in done.stdout
    assert "platt" in json.loads((tmp_path / "two" / "calibration.json").read_text())
    succeed("plot_calibration.py", "one", "two", "--out", "drawn.png", cwd=tmp_path)
    assert (tmp_path / "drawn.png").stat().st_size > 10_000
    numbers = json.loads((tmp_path / "drawn.json").read_text())
    assert list(numbers) == ["one", "two"]
    assert len(numbers["two"]["density"]["true"]["histogram"]) == 50
    assert sum(numbers["one"]["reliability"]["platt"]["counts"]) == 112


@pytest.mark.slow
def test_samplers_are_inspected_on_triples_alone(folder: Path) -> None:
    options = ["--dataset", folder / "triples", "--sampler", "uniform", "--out", "looked"]
    succeed("inspect_sampler.py", *options, cwd=folder)
    numbers = json.loads((folder / "looked" / "samplers.json").read_text())
    assert numbers["uniform"]["harder"] is None
    assert 0 < numbers["uniform"]["false_negatives"]["any"] < 1
    assert not (folder / "looked" / "samplers.png").exists()


@pytest.mark.slow
def test_reproducing_makes_missing_runs_and_no_more(folder: Path, tmp_path: Path) -> None:
    changes = [f"data={folder / 'triples'}", "train.steps=2", "train.validate_every=1"]
    options = [option for change in changes for option in ("--set", change)]
    options += ["pretrain", "--match", "umls-distmult", "--seeds", "1"]
    made = tmp_path / "runs" / "pretrain" / "umls-distmult" / "seed0"
    succeed("reproduce.py", *options, cwd=tmp_path)
    report = (made / "report.last.json").stat().st_mtime_ns
    sampler = made / "sampler.json"
    assert json.loads(sampler.read_text())["seconds_per_step"] > 0
    sampler.unlink()
    succeed("reproduce.py", *options, cwd=tmp_path)
    assert (made / "report.last.json").stat().st_mtime_ns == report
    assert sampler.exists()
    done = run("tabulate.py", "runs/pretrain", "--json", "numbers.json", cwd=tmp_path)
    assert "harder than the triple" in done.stdout
    assert "sampler" in json.loads((tmp_path / "numbers.json").read_text())["umls-distmult"]


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1, 4])
def test_killed_run_ends_equal_to_one_never_killed(folder: Path, lines: int) -> None:
    options = ["--recipe", "own.toml", "--set", "train.steps=60", "--set", "train.validate_every=5"]
    whole, killed = folder / f"whole{lines}", folder / f"killed{lines}"
    succeed("pretrain_rgcn.py", *options, "--out", whole, cwd=folder)
    metrics = killed / "metrics.jsonl"
    with Running("pretrain_rgcn.py", *options, "--out", killed, cwd=folder) as running:
        while running.poll() is None:
            if metrics.exists() and len(metrics.read_text().splitlines()) >= lines:
                running.send(signal.SIGKILL)
                break
            time.sleep(0.002)
    succeed("pretrain_rgcn.py", *options, "--out", killed, "--resume", cwd=folder)
    for name in ("last", "best"):
        states = [load_state(path / f"{name}.safetensors") for path in (whole, killed)]
        for state in states:
            del state["seconds"]
        assert states_equal(*states), name
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert steps == list(range(0, 61, 5))


@pytest.mark.slow
def test_a_finished_run_resumes_to_more_steps(folder: Path) -> None:
    options = ["--recipe", "own.toml", "--out", "longer"]
    succeed("pretrain_rgcn.py", *options, cwd=folder)
    succeed("pretrain_rgcn.py", *options, "--resume", "--set", "train.steps=6", cwd=folder)
    lines = (folder / "longer" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 2, 4, 6]


def test_a_run_continues_without_the_one_it_started_from(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "base", tmp_path / "base")
    (tmp_path / "then.toml").write_text(TRAIN_DANS.format(start=tmp_path / "base"))
    options = ["--recipe", "then.toml", "--out", "then"]
    succeed("train_dans.py", *options, cwd=tmp_path)
    shutil.rmtree(tmp_path / "base")
    longer = ["--resume", "--set", "train.steps=4"]
    succeed("train_dans.py", *options, *longer, cwd=tmp_path)
    assert load_state(tmp_path / "then" / "last.safetensors")["step"] == 4
    done = run("train_dans.py", *options[:2], "--out", "anew", cwd=tmp_path)
    assert done.returncode == 2
    assert "the run to start from is not there" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "objective",
    [
        'objective = "softmax"\n',
        'objective = { name = "stay_positive", weight = 0.01 }\n',
        'objective = { name = "sampled", heads = 2, tails = 3 }\nloss = "self_adversarial"\n',
    ],
    ids=["softmax", "stay_positive", "sampled"],
)
def test_baselines_are_trained_and_evaluated(folder: Path, tmp_path: Path, objective: str) -> None:
    (tmp_path / "baseline.toml").write_text(
        f'data = "{folder / "triples"}"\n{objective}encoder = {{ name = "lookup", dim = 8 }}\n'
        'decoder = "simple"\n[train]\nsteps = 4\nbatch = 10\nvalidate_every = 2\n'
        'optimizer = "adagrad"\nthreads = 1\n'
    )
    done = succeed("train_baseline.py", "--recipe", "baseline.toml", "--out", "run", cwd=tmp_path)
    assert "valid MRR" in done.stdout
    succeed("evaluate.py", "run", cwd=tmp_path)
    done = run("inspect_sampler.py", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert "trained without one" in done.stderr


@pytest.mark.slow
def test_theory_is_plotted(folder: Path, tmp_path: Path) -> None:
    succeed("plot_theory.py", "--out", "theory", "--data", folder / "triples", cwd=tmp_path)
    assert (tmp_path / "theory" / "theory.png").stat().st_size > 10_000
    numbers = json.loads((tmp_path / "theory" / "theory.json").read_text())
    assert numbers.keys() == {"bregman", "divergence", "order", "reduction"}


def warn_of_escapes() -> None:
    """Let other libraries warn and log with a name that steers a terminal."""
    from dans.data.graph import KnowledgeGraph

    def load(*_: object) -> None:
        warnings.warn("Glyph of '\x1b[31mred\x07'", UserWarning, stacklevel=2)
        logging.getLogger("another").warning("a\x1b[2Jb\nsecond line")
        raise InputError("enough")

    KnowledgeGraph.load = load  # type: ignore[assignment,method-assign]


def test_messages_of_other_libraries_steer_no_terminal(folder: Path) -> None:
    given = ["--recipe", "own.toml", "--out", "new"]
    done = run("pretrain_rgcn.py", *given, cwd=folder, before=warn_of_escapes)
    assert done.stderr.endswith("error: enough\n")
    assert "\x1b" not in done.stderr
    assert r"'\x1b[31mred\x07'" in done.stderr
    assert "a\\x1b[2Jb\nsecond line" in done.stderr
