"""Runs without labelled lines get probabilities from drawn negatives, and say so."""

import json
from pathlib import Path

import pytest
import torch

import dans
from dans.cli.main import dispatch
from dans.errors import InputError
from dans.evaluation.classification import auc
from dans.evaluation.classifier import logits
from dans.evaluation.drawn_negatives import with_drawn
from dans.predict.ensemble import Ensemble
from dans.predict.output_formats import QueryOptions, Table
from dans.runs.calibrate_run import calibrate
from dans.runs.train import configure, train
from tests.suites.labelled import RECIPE, labelled_recipe, triples

#: One that holds in test.
TRIPLE = ("e0", "r0", "e2")


@pytest.fixture
def run(tmp_path: Path) -> dans.Run:
    (tmp_path / "graph").mkdir()
    for split, lines in triples().items():
        own = "".join(f"{line}\n" for line, holds in lines if holds)
        (tmp_path / "graph" / f"{split}.tsv").write_text(own)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(data=tmp_path / "graph"))
    train(configure(recipe, []), tmp_path / "run")
    return dans.Run(tmp_path / "run")


def test_probabilities_are_of_triples_and_as_many_negatives(
    run: dans.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.score([TRIPLE])[0].probability is None
    found = run.calibrate(seed=1)
    lines, holds = with_drawn(run.kg, ["valid", "test"], 1).lines("test")
    assert found["classification"]["triples"] == len(lines)
    scores = logits(run.model.decoder, run.entities, lines)
    assert found["classification"]["auc"] == pytest.approx(auc(scores, holds))
    scored = run.score([TRIPLE])[0]
    own = found["platt"]
    expected = torch.tensor(own["a"] * scored.score + own["b"]).sigmoid().item()
    assert scored.probability == pytest.approx(expected)
    assert run.check(top=1)[0].triple.probability is not None
    written = json.loads((run.path / "calibration.json").read_text())
    assert written == json.loads(json.dumps(found))
    assert (written["negatives"], written["seed"]) == ("drawn negatives", 1)
    assert "as many drawn negatives" in Table(run.predictor, QueryOptions()).head()
    assert all(one.probability >= 0.5 for one in run.missing("r0", above=0.5))
    joint = Ensemble([run.predictor, run.predictor])
    assert (joint.join, joint.calibrated) == ("z-scores", True)
    dispatch(["evaluate", str(run.path), "--calibrate", "--seed", "1"])
    out = capsys.readouterr().out
    positives = int(holds.sum())
    said = f"{positives} test triples and {len(holds) - positives} drawn negatives, seed 1\n"
    assert out.startswith(said)
    assert "the probabilities of platt" in out
    assert "optimistic" not in out
    assert json.loads((run.path / "calibration.json").read_text()) == written
    dispatch(["evaluate", str(run.path), "--calibrate", "--seed", "1", "--json"])
    assert json.loads(capsys.readouterr().out) == written
    with pytest.raises(InputError, match="memory_budget"):
        run.calibrate(memory_budget="some")
    dispatch(["evaluate", str(run.path), "--calibrate", "--split", "valid"])
    assert "optimistic: the calibrations" in capsys.readouterr().out


@pytest.mark.filterwarnings("error")
def test_calibrated_runs_answer_as_one_without_a_warning(
    run: dans.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run.calibrate()
    both = [str(run.path), str(run.save(tmp_path / "other").path)]
    query = ["--head", "e0", "--relation", "r0"]
    dispatch(["predict", *both, "--ensemble", *query])
    out = capsys.readouterr().out
    assert out.count("as many drawn negatives") == 1
    assert "probability_std" in out
    for command in (["predict", both[0], *query], ["serve", both[0]]):
        with pytest.raises(InputError, match="--ensemble: no effect on one run"):
            dispatch([*command, "--ensemble"])


def test_a_calibration_of_other_weights_is_not_used(
    run: dans.Run, caplog: pytest.LogCaptureFixture
) -> None:
    path = run.path / "calibration.json"
    path.write_text(json.dumps({**calibrate(run.path), "digest": "another"}))
    assert run.score([TRIPLE])[0].probability is None
    assert "dans evaluate --calibrate fits anew" in caplog.text


def test_labelled_runs_and_other_options_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = tmp_path / "labelled"
    train(configure(labelled_recipe(tmp_path, monkeypatch), ["train.steps=2"]), where)
    with pytest.raises(InputError, match="has labelled validation lines"):
        calibrate(where)
    for given in ("--among=domain-range", "--unseen=drop", "--most=3", "--csv"):
        name = given.split("=")[0]
        with pytest.raises(InputError, match=f"{name}: no effect with --calibrate"):
            dispatch(["evaluate", str(where), "--calibrate", given])
