"""A run starts from the embeddings of a file, and needs the file no more. Runs: test_train.py."""

from pathlib import Path

import pytest
import torch

from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.predict.export import export
from dans.runs.build import build_model, build_trainer
from dans.runs.evaluate_run import evaluate
from dans.runs.train import configure, load, train
from tests.suites.toy import RECIPE, lay

LOOKUP = RECIPE.replace('"rgcn"', '"lookup"').replace("graph = {{ hold_out_share = 1.0 }}\n", "")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A lookup for the toy graph."""
    lay(tmp_path / "triples")
    path = tmp_path / "own.toml"
    path.write_text(LOOKUP.format(data=tmp_path / "triples"))
    return path


@pytest.mark.parametrize("format", ["word2vec", "npy"])
def test_exported_embeddings_are_those_a_run_starts_from(
    recipe: Path, tmp_path: Path, format: str
) -> None:
    train(configure(recipe, []), tmp_path / "first")
    files = export(tmp_path / "first", tmp_path / "out", formats=[format])
    file = next(path for path in files if path.name.startswith("entities"))
    changes = [f"encoder.initial_from={file}", "train.seed=1"]
    train(configure(recipe, [*changes, "train.steps=0"]), tmp_path / "second")
    assert torch.equal(load(tmp_path / "second").entities, load(tmp_path / "first").entities)

    whole = configure(recipe, changes)
    train(whole, tmp_path / "whole")
    for path in files:
        path.unlink()
    with pytest.raises(InputError, match=r"encoder.initial_from: .*No such file"):
        train(whole, tmp_path / "third")
    train(whole, tmp_path / "second", resume=True)
    assert torch.equal(load(tmp_path / "second").entities, load(tmp_path / "whole").entities)
    assert evaluate(tmp_path / "second").both["queries"] == 4
    then = recipe.with_name("then.toml")
    then.write_text(
        f'init_from = "{tmp_path / "second"}"\nloss = "logistic"\nsampler = ["self_loop"]\n'
        "[train]\nsteps = 0\n"
    )
    train(configure(then, []), tmp_path / "then")
    assert torch.equal(load(tmp_path / "then").entities, load(tmp_path / "second").entities)
    with pytest.raises(InputError, match=r"encoder.initial_from: 'other' here, .*; leave it out"):
        configure(then, ["encoder.initial_from=other"])


PLAIN = {
    "data": "toy",
    "encoder": {"name": "rgcn", "dim": 4, "bases": 2},
    "decoder": "distmult",
    "loss": "logistic",
    "sampler": ["uniform"],
    "graph": {"hold_out_share": 1.0},
    "train": {"threads": 1, "steps": 1, "batch": 5},
}


def config(file: Path | str, **encoder: object) -> RunConfig:
    own = {**PLAIN["encoder"], **encoder, "initial_from": str(file)}  # type: ignore[dict-item]
    return RunConfig.parse({**PLAIN, "encoder": own})


def test_all_but_the_rows_of_the_file_are_as_drawn(
    kg: KnowledgeGraph, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "own.txt"
    file.write_text("3 4\ncy 1 2 3 4\nelsewhere 5 5 5 5\nada 5 6 7 8\n")
    caplog.set_level("INFO", "dans")
    drawn = build_trainer(config(""), kg, None).model.state_dict()
    assert "initial embeddings" not in caplog.text
    given = build_trainer(config(file), kg, None)
    assert f"{file}: initial embeddings of 2 of 8 entities" in caplog.text
    rows = [kg.entities.index("cy"), kg.entities.index("ada")]
    drawn["encoder.entities.weight"][rows] = torch.arange(1.0, 9).view(2, 4)
    found = given.model.state_dict()
    assert found.keys() == drawn.keys()
    assert all(torch.equal(found[key], drawn[key]) for key in drawn)


def test_the_rows_given_change_what_is_learned(kg: KnowledgeGraph, tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("1 4\nada 1 2 3 4\n")
    bob = kg.entities.index("bob")
    learned = []
    for one in ("", file):
        trainer = build_trainer(config(one), kg, None)
        trainer.fit(1)
        learned.append(trainer.model.state_dict()["encoder.entities.weight"][bob])
    assert not torch.equal(*learned)


def test_files_that_do_not_fit_are_refused(kg: KnowledgeGraph, tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("1 3\nada 1 2 3\n")
    with pytest.raises(
        InputError, match=r"encoder.initial_from: .*own.txt: has rows of 3 numbers, .*dim is 4"
    ):
        build_trainer(config(file), kg, None)
    file.write_text("ada 1 2 3 4\n")
    with pytest.raises(InputError, match=r"encoder.initial_from: .*own.txt:1: expected word2vec"):
        build_trainer(config(file), kg, None)
    featured = {**config(file).plain(), "features": {"combine": "only"}}
    with pytest.raises(InputError, match=r"initial_from: has no effect with features.combine"):
        build_trainer(RunConfig.parse(featured), kg.with_features({"x": {"ada": 1}}), None)


def test_features_are_beside_the_rows_given(kg: KnowledgeGraph, tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("1 4\nada 1 2 3 4\n")
    featured = {**config(file).plain(), "features": {"combine": "add"}}
    known = kg.with_features({"x": {"ada": 1}})
    trainer = build_trainer(RunConfig.parse(featured), known, None)
    table = trainer.model.state_dict()["encoder.entities.table.weight"]
    assert table[kg.entities.index("ada")].tolist() == [1, 2, 3, 4]
    drawn = build_model(RunConfig.parse(featured), known).state_dict()
    assert drawn["encoder.entities.table.weight"][kg.entities.index("ada")].tolist() != [1, 2, 3, 4]


def test_an_rgcn_starts_as_the_lookup_it_is_put_on(recipe: Path, tmp_path: Path) -> None:
    train(configure(recipe, []), tmp_path / "lookup")
    then = recipe.with_name("then.toml")
    then.write_text(
        f'init_from = "{tmp_path / "lookup"}"\nloss = "logistic"\nsampler = ["uniform"]\n'
    )
    layers = ['encoder={name="rgcn", skip=true, layers=1}', "graph.norm=node", "train.threads=1"]
    first = configure(then, [*layers, "train.steps=0"])
    assert first.encoder.options["dim"] == 8
    train(first, tmp_path / "start")
    assert torch.equal(load(tmp_path / "start").entities, load(tmp_path / "lookup").entities)
    assert evaluate(tmp_path / "start").both == evaluate(tmp_path / "lookup").both

    train(configure(then, [*layers, "train.steps=2", "train.batch=5"]), tmp_path / "more")
    weights = load(tmp_path / "more", which="last").model.state_dict()
    assert weights["encoder.layers.0.matrices"].abs().sum() > 0
    (tmp_path / "lookup").rename(tmp_path / "gone")
    assert configure(then, [*layers, "train.steps=0"], resumed=tmp_path / "start") == first


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ('{name="rgcn"}', "encoder.skip: must be true where an RGCN starts from a lookup"),
        ('{name="rgcn", skip=true, dim=4}', "encoder.dim: 4 here, 8 in the run it starts from"),
    ],
)
def test_an_rgcn_that_cannot_start_as_the_lookup_is_refused(
    recipe: Path, tmp_path: Path, encoder: str, message: str
) -> None:
    train(configure(recipe, ["train.steps=0"]), tmp_path / "lookup")
    with pytest.raises(InputError, match=message):
        configure(recipe, [f"init_from={tmp_path / 'lookup'}", f"encoder={encoder}"])
