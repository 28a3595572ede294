"""Rivals are trained, judged, resumed and started from like everything else."""

from pathlib import Path

import pytest
import torch

from baselines.assembly import OBJECTIVES, train
from dans.assembly import configure, load
from dans.errors import InputError
from dans.judging import judge
from dans.objectives import OBJECTIVES as OWN
from dans.training.checkpoint import states_equal
from dans.training.run import Run

FACTS = "\n".join(f"e{i % 7}\tr{i % 3}\te{(i * i + 3) % 7}" for i in range(30)) + "\n"

RECIPE = """
data = "{data}"
objective = {{ name = "softmax", smoothing = 0.1 }}
encoder = {{ name = "{encoder}", dim = 8 }}
decoder = {{ name = "complex", reciprocal = true }}
regularizer = [{{ name = "n3", weight = 0.01 }}]
[train]
steps = 6
batch = 5
batch_by = "questions"
optimizer = "adagrad"
lr = 0.1
validate_every = 3
threads = 1
"""


def recipe_in(folder: Path, encoder: str = "lookup") -> Path:
    facts = folder / "facts"
    facts.mkdir(exist_ok=True)
    (facts / "train.tsv").write_text(FACTS)
    (facts / "valid.tsv").write_text("e0\tr0\te4\n")
    (facts / "test.tsv").write_text("e2\tr0\te6\n")
    path = folder / "own.toml"
    path.write_text(RECIPE.format(data=facts, encoder=encoder))
    return path


def test_the_table_holds_the_objectives_of_dans_too() -> None:
    assert OBJECTIVES.items() >= OWN.items()
    assert {"softmax"} <= OBJECTIVES.keys() - OWN.keys()


@pytest.mark.parametrize("encoder", ["lookup", "rgcn"])
def test_a_rival_is_trained_and_judged(tmp_path: Path, encoder: str) -> None:
    config = configure(recipe_in(tmp_path, encoder), [])
    train(config, tmp_path / "run")
    assert judge(tmp_path / "run").both["queries"] == 2
    last = Run(tmp_path / "run").metrics()[-1]
    assert last["train"].keys() == {"loss", "n3"}
    with pytest.raises(InputError, match="sampler: the run was trained without one, by softmax"):
        _ = load(tmp_path / "run").sampler


def test_a_rival_goes_on_to_the_bit(tmp_path: Path) -> None:
    recipe = recipe_in(tmp_path)
    train(configure(recipe, []), tmp_path / "whole")
    train(configure(recipe, ["train.steps=3"]), tmp_path / "parts")
    train(configure(recipe, []), tmp_path / "parts", resume=True)
    whole, parts = (Run(tmp_path / name).load("last") for name in ("whole", "parts"))
    assert states_equal({**whole, "seconds": 0}, {**parts, "seconds": 0})


def test_a_rival_starts_from_the_vectors_of_another_run(tmp_path: Path) -> None:
    recipe = recipe_in(tmp_path)
    train(configure(recipe, []), tmp_path / "base")
    then = tmp_path / "then.toml"
    then.write_text(
        f'start = "{tmp_path / "base"}"\nobjective = "softmax"\n'
        "[train]\nsteps = 0\nbatch_by = 'questions'\n"
    )
    train(configure(then, []), tmp_path / "run")
    assert torch.equal(load(tmp_path / "run").entities, load(tmp_path / "base").entities)


def test_a_missing_start_says_which_script_makes_it(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"make it with: python scripts/train_baseline.py --recipe far --seed 0"
    ):
        configure(recipe_in(tmp_path), ["start=baselines/far"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("objective.name=softmaxx", "objective.name: unknown name 'softmaxx'; .* did you mean"),
        ("objective.smooth=1", "objective.smooth: unknown option of softmax"),
        ("objective.smoothing=2.0", "objective.smoothing: expected a share"),
        ("objective.facts=1", "objective.facts: unknown option of softmax"),
        ("loss=logistic", "loss: has no place in the objective softmax; leave it out"),
        ("sampler=['uniform']", "sampler: has no place in the objective softmax"),
        ("train.l2=0.1", "train.l2: has no place in the objective softmax"),
        ("regularizer.0.name=n33", "regularizer.0.name: unknown name 'n33'"),
        ("regularizer.0.weight=-1.0", "regularizer.0.weight: expected at least 0"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(
    tmp_path: Path, change: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(configure(recipe_in(tmp_path), [change]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_negative_sampling_needs_its_parts_and_takes_facts(tmp_path: Path) -> None:
    recipe = recipe_in(tmp_path)
    sampling = ["objective=negative_sampling", "train.batch_by=facts"]
    with pytest.raises(InputError, match="sampler: missing; the objective negative_sampling needs"):
        train(configure(recipe, [*sampling, "loss=logistic"]), tmp_path / "run")
    whole = ["objective=negative_sampling", "loss=logistic", "sampler=['kept']"]
    with pytest.raises(InputError, match=r"train\.batch_by: questions are for objectives"):
        train(configure(recipe, whole), tmp_path / "run")
