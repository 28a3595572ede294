"""Negatives are trained, evaluated, resumed and started from like everything else."""

from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from baselines.assembly import OBJECTIVES, SAMPLERS, train
from baselines.stay_positive import StayPositive
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.objectives import OBJECTIVES as OWN
from dans.runs.build import build_trainer
from dans.runs.evaluate_run import evaluate
from dans.runs.train import configure, load
from dans.samplers import SAMPLERS as OWN_SAMPLERS
from dans.training.run_folder import RunFolder
from tests.suites.states import states_equal

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
batch_by = "queries"
optimizer = "adagrad"
lr = 0.1
validate_every = 3
threads = 1
"""


def recipe_in(folder: Path, encoder: str = "lookup") -> Path:
    triples = folder / "triples"
    triples.mkdir(exist_ok=True)
    (triples / "train.tsv").write_text(FACTS)
    (triples / "valid.tsv").write_text("e0\tr0\te4\n")
    (triples / "test.tsv").write_text("e2\tr0\te6\n")
    path = folder / "own.toml"
    path.write_text(RECIPE.format(data=triples, encoder=encoder))
    return path


def test_the_table_holds_the_objectives_of_dans_too() -> None:
    assert OBJECTIVES.items() >= OWN.items()
    assert OBJECTIVES.keys() - OWN.keys() == {"sampled", "softmax", "stay_positive"}


def test_a_class_entered_in_the_tables_of_dans_later_is_known() -> None:
    with patch.dict(OWN_SAMPLERS, late=OWN_SAMPLERS["uniform"]), patch.dict(OWN, late=StayPositive):
        assert "late" in SAMPLERS
        assert "late" in OBJECTIVES


@pytest.mark.parametrize("encoder", ["lookup", "rgcn"])
def test_a_negative_is_trained_and_evaluated(tmp_path: Path, encoder: str) -> None:
    config = configure(recipe_in(tmp_path, encoder), [])
    train(config, tmp_path / "run")
    assert evaluate(tmp_path / "run").both["queries"] == 2
    last = RunFolder(tmp_path / "run").metrics.read()[-1]
    assert last["train"].keys() == {"loss", "n3"}
    with pytest.raises(InputError, match="sampler: the run was trained without one, by softmax"):
        _ = load(tmp_path / "run").sampler


#: What a recipe sets for another negative than softmax.
OTHERS = {
    "sampled": [
        "objective={name='sampled', heads=2, tails=3, noise='frequency', filter='mask'}",
        "loss={name='self_adversarial', balance='triples'}",
        "train.batch_by=triples",
    ],
    "stay_positive": [
        "objective={name='stay_positive', power=2}",
        "decoder={name='complex', bound=2.0, query_dropout=0.2}",
        "train.batch_by=triples",
    ],
}


@pytest.mark.parametrize("negative", ["softmax", *OTHERS])
def test_a_negative_goes_on_to_the_bit(tmp_path: Path, negative: str) -> None:
    recipe, own = recipe_in(tmp_path), OTHERS.get(negative, [])
    train(configure(recipe, own), tmp_path / "whole")
    train(configure(recipe, [*own, "train.steps=3"]), tmp_path / "parts")
    assert RunFolder(tmp_path / "parts").checkpoints.load("last")["step"] == 3
    train(configure(recipe, own), tmp_path / "parts", resume=True)
    whole, parts = (
        RunFolder(tmp_path / name).checkpoints.load("last") for name in ("whole", "parts")
    )
    assert load(tmp_path / "whole").config.objective.name == negative
    assert states_equal({**whole, "seconds": 0}, {**parts, "seconds": 0})


#: The two halves of Kamigaito & Hayashi's pre-training, Table 3: NS to SANS, SCE to SCE w/ LS.
SAMPLED = 'objective = "sampled"\nloss = { name = "NAME", balance = "triples" }\n'
SOFTMAX = 'objective = { name = "softmax", smoothing = SHARE }\n'
BY = '[train]\nsteps = 6\nvalidate_every = 3\nbatch = 5\nbatch_by = "BY"\n'
PAIRS = {
    "sampled": (
        [*OTHERS["sampled"][:1], "loss=logistic", "train.batch_by=triples"],
        SAMPLED.replace("NAME", "self_adversarial") + BY.replace("BY", "triples"),
    ),
    "softmax": (
        ["objective.smoothing=0.0"],
        SOFTMAX.replace("SHARE", "0.1") + BY.replace("BY", "queries"),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_negative_starts_from_the_vectors_of_another_run(tmp_path: Path, name: str) -> None:
    before, after = PAIRS[name]
    train(configure(recipe_in(tmp_path), before), tmp_path / "base")
    then = tmp_path / "then.toml"
    then.write_text(f'init_from = "{tmp_path / "base"}"\n{after}')
    train(configure(then, ["train.steps=0"]), tmp_path / "still")
    assert torch.equal(load(tmp_path / "still").entities, load(tmp_path / "base").entities)
    # With dropout of its own, which moves no weight.
    train(configure(then, ["encoder.dropout=0.3"]), tmp_path / "run")
    run = load(tmp_path / "run", which="last")
    assert run.config.encoder.options == {"dim": 8, "dropout": 0.3}
    assert run.step == 6
    assert not torch.equal(run.entities, load(tmp_path / "base").entities)


def test_a_missing_start_says_which_script_makes_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"make it with: dans baseline far --seed 0"):
        configure(recipe_in(tmp_path), ["init_from=baselines/far"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("objective.name=softmaxx", "objective.name: unknown name 'softmaxx'; .* did you mean"),
        ("objective.smooth=1", "objective.smooth: unknown option of softmax"),
        ("objective.smoothing=2.0", "objective.smoothing: expected a share"),
        ("objective.triples=1", "objective.triples: unknown option of softmax"),
        ("loss=logistic", "loss: has no place in the objective softmax; leave it out"),
        ("sampler=['uniform']", "sampler: has no place in the objective softmax"),
        ("train.l2=0.1", "train.l2: has no place in the objective softmax"),
        ("regularizer.0.name=n33", "regularizer.0.name: unknown name 'n33'"),
        ("regularizer.0.weight=-1.0", "regularizer.0.weight: must not be negative"),
        ("train.log_negatives=true", "train.log_negatives: this objective has no negatives"),
        (
            "objective={name='softmax', precision='bfloat16'}",
            "objective.precision: bfloat16 is for scores by matrix products, not .* of transe",
        ),
        ("objective=stay_positive", "objective.name: stay_positive needs scores .*; got transe"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(
    tmp_path: Path, change: str, message: str
) -> None:
    changes = [change]
    if message.endswith("transe"):
        changes += ["decoder=transe", "regularizer=[]", "train.batch_by=triples"]
    with pytest.raises(InputError, match=message):
        train(configure(recipe_in(tmp_path), changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_negative_sampling_needs_its_parts_and_takes_triples(tmp_path: Path) -> None:
    recipe = recipe_in(tmp_path)
    sampling = ["objective=negative_sampling", "train.batch_by=triples"]
    with pytest.raises(InputError, match="sampler: missing; the objective negative_sampling needs"):
        train(configure(recipe, [*sampling, "loss=logistic"]), tmp_path / "run")
    whole = ["objective=negative_sampling", "loss=logistic", "sampler=['kept']"]
    with pytest.raises(InputError, match=r"train\.batch_by: queries are for objectives"):
        train(configure(recipe, whole), tmp_path / "run")


@pytest.mark.parametrize(("batch", "batches"), [(5, 5), (21, 1), (1000, 1)])
def test_stay_positive_knows_how_many_batches_make_a_pass(
    tmp_path: Path, batch: int, batches: int
) -> None:
    changes = [*OTHERS["stay_positive"], f"train.batch={batch}"]
    config = configure(recipe_in(tmp_path), changes)
    trainer = build_trainer(config, KnowledgeGraph.load(config.data), None, OBJECTIVES)
    assert isinstance(trainer.objective, StayPositive)
    assert trainer.objective.num_batches == len(trainer.batches) == batches


def test_an_heir_drops_the_loss_that_it_has_no_place_for(tmp_path: Path) -> None:
    recipe = recipe_in(tmp_path)
    recipe.with_name("base.toml").write_text(recipe.read_text() + '[loss]\nname = "logistic"\n')
    recipe.write_text('extends = "base"\nloss = ""\nregularizer = []\n')
    train(configure(recipe, []), tmp_path / "run")
    assert RunFolder(tmp_path / "run").metrics.read()[-1]["train"].keys() == {"loss"}
