"""Runs are evaluated: ranked, and where lines are labelled told apart and calibrated."""

import json
import logging
import shutil
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.evaluation.calibration import Fitted, Platt
from dans.evaluation.classification import accuracy, auc, brier, nll, thresholds
from dans.runs.evaluate_run import (
    classification_table,
    evaluate,
    fit,
    kept_or_fitted,
    labelled_probabilities,
    probabilities,
    report_name,
)
from dans.runs.train import Trained, configure, load, train
from dans.training.checkpoint import save_state
from dans.training.run_folder import RunFolder
from tests.suites.labelled import RECIPE, labelled_recipe


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return labelled_recipe(tmp_path, monkeypatch)


@pytest.fixture
def run(recipe: Path, tmp_path: Path) -> Path:
    train(configure(recipe, []), tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def no_scikit_learn(monkeypatch: pytest.MonkeyPatch, run: Path) -> None:
    """Not before the run is there: it may be calibrated with it, and used without."""
    for name in ("sklearn", "sklearn.isotonic", "sklearn.linear_model"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def calibrated(run: Path) -> Path:
    evaluate(run)
    return run


def scores_of(trained: Trained, lines: Tensor) -> Tensor:
    return trained.positives(lines).scores().squeeze(1).detach()


def kept(run: Path, name: str = "report.json") -> dict[str, object]:
    return json.loads((run / name).read_text())


def test_report_is_kept_beside_the_run_and_repeats(run: Path) -> None:
    report = evaluate(run)
    assert kept(run)["both"] == report.both
    assert [kept(run)[key] for key in ("model", "seed", "split")] == ["best", 0, "test"]
    evaluate(run, split="valid", which="last")
    other = kept(run, report_name(split="valid", which="last"))
    assert (other["split"], other["step"]) == ("valid", 60)
    assert evaluate(run) == report


def test_reports_of_other_protocols_have_files_and_metrics_of_their_own(run: Path) -> None:
    exact = evaluate(run)
    sampled = evaluate(run, candidates=3, types=True, seed=2)
    some = evaluate(run, most=20)
    assert kept(run)["both"] == exact.both
    assert kept(run, "report.sampled3.types.seed2.json")["both"] == sampled.both
    assert "mrr" not in sampled.both
    assert kept(run, "report.most20.json")["protocol"]["triples"]["ranked"] == 20
    assert some.both["queries"] == 40 < exact.both["queries"]
    assert evaluate(run, candidates=3, types=True, seed=2) == sampled
    assert evaluate(run, candidates=3, types=True, seed=3) != sampled
    with pytest.raises(InputError, match=r"candidates: given: .* has no candidates of test"):
        evaluate(run, candidates="given")
    for wrong in ({"candidates": 0}, {"candidates": "some"}, {"types": True}, {"most": -1}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            evaluate(run, **wrong)  # type: ignore[arg-type]


def test_a_run_keeps_what_its_recipe_restricts_candidates_to(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, steps = tmp_path / "names.txt", ["train.steps=2", "train.validate_every=2"]
    names.write_text("e0\ne1\ne2\n")
    monkeypatch.chdir(tmp_path)
    chosen = [*steps, "evaluation.among=names.txt"]
    train(configure(recipe, chosen), tmp_path / "run")
    report = evaluate(tmp_path / "run")
    assert report.protocol["candidates"]["about"] == "a list of 3 entities"
    # The file is another, or not there; the run is elsewhere, and is trained further.
    names.write_text("e4\n")
    assert evaluate(tmp_path / "run") == report
    names.unlink()
    (tmp_path / "away").mkdir()
    moved = (tmp_path / "run").rename(tmp_path / "away" / "run")
    monkeypatch.chdir(tmp_path / "away")
    assert evaluate(moved) == report
    again = train(configure(recipe, [*chosen, "train.steps=4"]), moved, resume=True)
    assert again is not None
    assert again.protocol["candidates"]["about"] == "a list of 3 entities"
    # A run of before has no copy.
    shutil.rmtree(moved / "among")
    with pytest.raises(InputError, match=r"away/run: the recipe's .*names.txt.*; --among all"):
        evaluate(moved)
    assert "mrr" in evaluate(moved, among="all").both


def test_a_restriction_is_read_first_where_nothing_is_validated(tmp_path: Path) -> None:
    (tmp_path / "triples").mkdir()
    (tmp_path / "triples" / "train.tsv").write_text("a\tr\tb\nb\tr\tc\n")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(data=tmp_path / "triples"))
    chosen = ["train.steps=1", "evaluation.among=nowhere.txt"]
    with pytest.raises(InputError, match=r"evaluation\.among: .* there is no file .nowhere.txt"):
        train(configure(recipe, chosen), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_keeps_the_types_of_its_recipe(recipe: Path, tmp_path: Path) -> None:
    types = tmp_path / "types.tsv"
    types.write_text("e0\tleft\ne1\tleft\ne2\tright\n")
    chosen = ["train.steps=2", "evaluation.among=type:left", f"evaluation.entity_types={types}"]
    train(configure(recipe, [*chosen, "train.validate_every=2"]), tmp_path / "run")
    types.unlink()
    report = evaluate(tmp_path / "run")
    assert report.protocol["candidates"]["about"] == "2 entities of type left"


def test_labelled_lines_are_classified_as_they_are_and_calibrated(run: Path) -> None:
    evaluate(run)
    section = kept(run)["classification"]
    trained = load(run)
    lines, labels = trained.kg.lines("test")
    scores = scores_of(trained, lines)
    assert section["triples"] == len(lines) == 112
    for name, measure in {"auc": auc, "brier": brier, "nll": nll}.items():
        assert section[name] == pytest.approx(measure(scores, labels)), name
    assert section["platt"]["auc"] == section["auc"]
    assert section["platt"]["nll"] < section["nll"]
    assert section["isotonic"]["brier"] < section["brier"]
    assert section["platt"]["ece"] < section["ece"]


def test_what_validation_says_is_kept_for_predictions(run: Path) -> None:
    evaluate(run)
    trained = load(run)
    fitted = Fitted.from_json(kept(run, "calibration.json"))
    assert (fitted.step, fitted.digest) == (trained.step, trained.digest)
    held, truth = trained.kg.lines("valid")
    lines, labels = trained.kg.lines("test")
    scores = scores_of(trained, lines)
    section = kept(run)["classification"]
    for name, calibration in fitted.calibrations.items():
        assert type(calibration).fit(scores_of(trained, held), truth) == calibration
        assert nll(calibration.logits(scores), labels) == pytest.approx(section[name]["nll"])
    cuts = torch.tensor(fitted.thresholds)[lines[:, 1]]
    assert section["accuracy"] == pytest.approx(accuracy(scores, labels, cuts))
    assert section["threshold"] == "by relation"
    evaluate(run, which="last")
    assert kept(run, "calibration.last.json")["step"] == 60


def test_shift_of_a_decoder_is_in_its_probabilities(run: Path) -> None:
    predicted, truth = labelled_probabilities(run)
    trained = load(run)
    lines, labels = trained.kg.lines("test")
    product = scores_of(trained, lines) + 0.5
    assert trained.model.decoder.shift == -0.5
    torch.testing.assert_close(predicted["uncalibrated"], (product - 0.5).double().sigmoid())
    assert list(predicted) == ["uncalibrated", "platt", "isotonic"]
    assert torch.equal(truth, labels)


def test_data_without_labels_has_no_section_and_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = labelled_recipe(tmp_path, monkeypatch, labelled=[])
    run = tmp_path / "run"
    train(configure(recipe, []), run)
    evaluate(run)
    assert "classification" not in kept(run)
    assert not (run / "calibration.json").exists()
    with pytest.raises(InputError, match="labelled"):
        labelled_probabilities(run)
    with pytest.raises(InputError, match="labelled"):
        probabilities(run, torch.tensor([[0, 0, 1]]))


def test_without_labelled_validation_nothing_is_calibrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = labelled_recipe(tmp_path, monkeypatch, labelled=["test"])
    run = tmp_path / "run"
    train(configure(recipe, []), run)
    evaluate(run)
    section = kept(run)["classification"]
    assert section["threshold"] == "zero"
    assert not {"platt", "isotonic"} & set(section)
    with pytest.raises(InputError, match="valid: lines labelled true and lines"):
        labelled_probabilities(run)


@pytest.mark.usefixtures("no_scikit_learn")
def test_evaluation_needs_no_scikit_learn(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "dans"):
        evaluate(run)
    assert "scikit-learn is missing" in caplog.text
    section = kept(run)["classification"]
    assert not {"platt", "isotonic"} & set(section)
    trained = load(run)
    held = trained.kg.lines("valid")
    lines, labels = trained.kg.lines("test")
    before, scores = scores_of(trained, held[0]), scores_of(trained, lines)
    cuts = thresholds(before, held[1], held[0][:, 1], trained.kg.num_relations)
    assert kept(run, "calibration.json")["thresholds"] == cuts.tolist()
    assert section["threshold"] == "by relation"
    assert section["accuracy"] == pytest.approx(accuracy(scores, labels, cuts[lines[:, 1]]))
    assert section["accuracy"] != pytest.approx(accuracy(scores, labels))
    with pytest.raises(InputError, match="scikit-learn is missing"):
        labelled_probabilities(run)
    with pytest.raises(InputError, match="scikit-learn is missing"):
        probabilities(run, lines)


def test_thresholds_alone_are_fitted_with_the_rest_once_that_can_be_done(
    calibrated: Path,
) -> None:
    whole = kept(calibrated, "calibration.json")
    alone = {key: value for key, value in whole.items() if key != "platt"}
    (calibrated / "calibration.json").write_text(json.dumps(alone))
    assert kept_or_fitted(calibrated, load(calibrated)) == Fitted.from_json(whole)


@pytest.mark.usefixtures("calibrated", "no_scikit_learn")
def test_what_is_kept_needs_no_scikit_learn(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = (run / "calibration.json").read_text()
    assert set(labelled_probabilities(run)[0]) == {"uncalibrated", "platt", "isotonic"}
    with caplog.at_level(logging.WARNING, "dans"):
        evaluate(run)
    assert "scikit-learn" not in caplog.text
    assert {"platt", "isotonic"} <= set(kept(run)["classification"])
    assert (run / "calibration.json").read_text() == before
    with pytest.raises(InputError, match="scikit-learn is missing"):
        labelled_probabilities(run, which="last")


@pytest.mark.parametrize("change", [{"step": 61}, {"digest": "of other triples"}])
def test_what_was_fitted_on_another_checkpoint_is_fitted_anew(
    calibrated: Path, change: dict[str, object]
) -> None:
    trained = load(calibrated)
    own = kept_or_fitted(calibrated, trained)
    content = {**kept(calibrated, "calibration.json"), "platt": {"a": 0.0, "b": 0.0}}
    path = calibrated / "calibration.json"
    path.write_text(json.dumps(content))
    assert kept_or_fitted(calibrated, trained).calibrations["platt"] == Platt(0.0, 0.0)
    path.write_text(json.dumps({**content, **change}))
    assert kept_or_fitted(calibrated, trained) == own


def test_what_was_fitted_before_a_run_was_trained_anew_is_fitted_anew(
    calibrated: Path, recipe: Path, tmp_path: Path
) -> None:
    before = kept_or_fitted(calibrated, load(calibrated))
    again = tmp_path / "again"
    train(configure(recipe, ["train.seed=1"]), again)
    # The same triples, and the same step.
    save_state(
        RunFolder(again).checkpoints.file("best"),
        {**RunFolder(again).checkpoints.load("best"), "step": before.step},
    )
    (again / "calibration.json").write_bytes((calibrated / "calibration.json").read_bytes())
    assert kept_or_fitted(again, load(again)) == fit(load(again)) != before
    assert load(calibrated).digest == load(calibrated).digest == before.digest


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_triples_have_the_probabilities_of_their_lines(calibrated: Path, method: str) -> None:
    lines, _ = load(calibrated).kg.lines("test")
    found = probabilities(calibrated, lines, method=method)
    assert torch.equal(found, labelled_probabilities(calibrated)[0][method])
    assert torch.equal(probabilities(calibrated, lines[3:5], method=method), found[3:5])


def test_triples_without_probabilities_are_refused(calibrated: Path) -> None:
    with pytest.raises(InputError, match=r"method: unknown name 'plat'; .* did you mean 'platt'"):
        probabilities(calibrated, torch.tensor([[0, 0, 1]]), method="plat")
    for wrong in ([16, 0, 1], [0, 2, 1], [0, 0, -1]):
        with pytest.raises(InputError, match=r"triples: row 1: .* 16 entities and 2 relations"):
            probabilities(calibrated, torch.tensor([[0, 0, 1], wrong]))
    with pytest.raises(ValueError, match=r"triples: expected whole numbers \(f, 3\), got"):
        probabilities(calibrated, torch.tensor([0, 0, 1]))


def test_classification_report_is_a_table_of_before_and_after(run: Path) -> None:
    evaluate(run)
    lines = classification_table(kept(run)["classification"])
    assert [line.split()[0] for line in lines[:4]] == ["calibration", "as", "platt", "isotonic"]
    assert lines[0].split()[1:] == ["auc", "nll", "brier", "ece"]
    assert f"{kept(run)['classification']['platt']['nll']:.4f}" in lines[2]
    assert classification_table(None) == []


def test_classification_of_the_lines_that_calibrations_were_fitted_to_is_called_optimistic(
    run: Path,
) -> None:
    for split in ("valid", "test"):
        found = evaluate(run, split=split).details["classification"]
        optimistic = any(line.startswith("optimistic") for line in classification_table(found))
        assert optimistic == found.get("optimistic", False) == (split == "valid")


def test_best_checkpoint_can_be_that_of_the_least_nll(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    report = train(configure(recipe, ["train.select=nll"]), run)
    lines = RunFolder(run).metrics.read()
    assert all("both" not in line for line in lines), "no entity is ranked"
    best = min(lines, key=lambda line: line["classification"]["nll"])
    state = RunFolder(run).checkpoints.load("best")
    assert state["step"] == best["step"]
    assert state["best"] == {"nll": best["classification"]["nll"], "step": best["step"]}
    assert report is not None
    assert report.metrics() == {"classification": lines[-1]["classification"]}
    trained = load(run)
    triples, labels = trained.kg.lines("valid")
    scores = scores_of(trained, triples)
    assert nll(scores, labels) == pytest.approx(best["classification"]["nll"])


def test_least_nll_stops_a_run_that_waits(recipe: Path, tmp_path: Path) -> None:
    changes = ["train.select=nll", "train.lr=0", "train.patience=2"]
    train(configure(recipe, changes), tmp_path / "run")
    assert [line["step"] for line in RunFolder(tmp_path / "run").metrics.read()] == [0, 20, 40]


def test_run_chosen_by_nll_goes_on_where_it_stood(recipe: Path, tmp_path: Path) -> None:
    changes = ["train.select=nll"]
    train(configure(recipe, changes), tmp_path / "whole")
    train(configure(recipe, [*changes, "train.steps=20"]), tmp_path / "run")
    train(configure(recipe, changes), tmp_path / "run", resume=True)
    states = [RunFolder(tmp_path / name).checkpoints.load("last") for name in ("whole", "run")]
    assert states[0]["best"] == states[1]["best"]
    tables = [state["model"]["decoder.relation.weight"] for state in states]
    assert torch.equal(*tables)


def test_nll_needs_labelled_validation_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = labelled_recipe(tmp_path, monkeypatch, labelled=[])
    with pytest.raises(InputError, match=r"train\.select: nll: .* valid: lines labelled true"):
        train(configure(recipe, ["train.select=nll"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_lines_of_wn11_are_classified(tmp_path: Path) -> None:
    try:
        KnowledgeGraph.load("wn11")
    except InputError as error:
        pytest.skip(f"WN11 is not here: {error}")
    recipe = tmp_path / "wn11.toml"
    recipe.write_text(
        'data = "wn11"\nencoder = { name = "lookup", dim = 4 }\ndecoder = "distmult"\n'
        'loss = "logistic"\nsampler = ["self_loop"]\n[train]\nsteps = 1\nselect = "nll"\n'
    )
    train(configure(recipe, []), tmp_path / "run")
    evaluate(tmp_path / "run", split="valid")
    report = kept(tmp_path / "run", "report.valid.json")
    assert report["classification"]["triples"] == 5218
    assert report["both"]["queries"] == 5218
    assert 0 < report["classification"]["auc"] < 1


def test_a_file_of_ones_own_is_ranked_and_classified_like_a_split(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = evaluate(run)
    kg = load(run).kg
    lines, labels = kg.lines("test")
    path = tmp_path / "mine.tsv"
    path.write_text(
        "".join(
            f"{kg.entities[h]}\t{kg.relations[r]}\t{kg.entities[t]}\t{1 if holds else -1}\n"
            for (h, r, t), holds in zip(lines.tolist(), labels.tolist(), strict=True)
        )
    )
    own = evaluate(run, triples=path)
    assert (own.both, own.split) == (whole.both, "own-mine")
    content = kept(run, "report.own-mine.json")
    assert content["classification"] == kept(run)["classification"]
    assert content["protocol"]["filter"] == ["train", "valid", "test", "own_triples"]
    assert content["protocol"]["own_triples"]["lines"] == len(lines)
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "mine.tsv"
    other.write_text("".join(path.read_text().splitlines(keepends=True)[:40]))
    before = (run / "report.own-mine.json").read_bytes()
    reports = [evaluate(run, triples=one) for one in (other, path, other)]
    assert reports[0] == reports[2] != reports[1]
    assert (run / "report.own-mine.json").read_bytes() == before
    (second,) = run.glob("report.own-mine.*.json")
    assert kept(run, second.name)["protocol"] == reports[0].protocol
    assert f"this one is in {second.name}" in caplog.text
    with pytest.raises(InputError, match="split: valid: has no effect"):
        evaluate(run, split="valid", triples=path)
    with pytest.raises(InputError, match="unknown: has no effect without triples"):
        evaluate(run, unknown="drop")
    for wrong in (0, "x"):
        with pytest.raises(InputError, match=r"candidates: expected .* or 'all' or 'given', got"):
            evaluate(run, candidates=wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"among: expected .* got 5"):
        evaluate(run, among=5)  # type: ignore[arg-type]
