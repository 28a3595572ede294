"""What a report shows of runs, and the runs it refuses."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from baselines.assembly import OBJECTIVES
from dans.errors import InputError, install_command
from dans.evaluation.calibration import CALIBRATIONS
from dans.memory import Budget
from dans.report.comparison import compare
from dans.report.gather import Page, compared, fitted_of, gather, short_names
from dans.report.page import render
from dans.runs.evaluate_run import evaluate
from dans.runs.train import configure, load, train
from tests.suites.labelled import labelled_recipe
from tests.suites.toy import RECIPE, lay


def test_metrics_are_those_of_the_folders_own_report(page: Page, runs: list[Path]) -> None:
    for of, folder in zip(page.runs, runs, strict=True):
        kept = json.loads((folder / "report.json").read_text())
        assert of.report.both == pytest.approx(kept["both"])
        assert of.agrees
        assert of.agreement == "Ranked anew for this page, and equal to report.json."
    assert (page.split, page.which) == ("test", "best")
    assert [run.letter for run in page.runs] == ["A", "B"]


def test_report_that_says_something_else_is_named(runs: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(runs[0], folder)
    kept = json.loads((folder / "report.json").read_text())
    kept["both"]["mrr"] = 0.999
    (folder / "report.json").write_text(json.dumps(kept))
    (of,) = gather([folder], triples=2).runs
    assert not of.agrees
    assert "report.json has mrr of both 0.999" in of.agreement
    assert 'class="warning"' in render(gather([folder], triples=2))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_report_without_a_number_does_not_agree(
    runs: list[Path], page: Page, tmp_path: Path, value: float | None
) -> None:
    kept = json.loads((runs[0] / "report.json").read_text())
    kept["heads"]["amri"] = value
    if value is None:
        del kept["heads"]["amri"]
    (tmp_path / "report.json").write_text(json.dumps(kept))
    agrees, said = compared(tmp_path, page.runs[0].report, split="test", which="best")
    assert not agrees
    assert "amri of heads" in said


def test_run_without_scikit_learn_is_classified_by_thresholds_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = labelled_recipe(tmp_path, monkeypatch)
    train(configure(recipe, ["train.steps=1"]), tmp_path / "run")
    trained = load(tmp_path / "run")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    fitted = fitted_of(tmp_path / "run", trained, "best", Budget())
    assert fitted is not None
    assert (fitted.calibrations, len(fitted.thresholds)) == ({}, 2)
    assert install_command("calibration") in caplog.text


def test_one_run_never_evaluated_is_named_and_the_page_warns(
    runs: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(runs[0], folder)
    (folder / "report.json").unlink()
    page = gather([runs[1], folder], triples=2)
    assert (page.split, page.unevaluated) == ("valid", ("B",))
    assert f"{folder}: not evaluated on test yet" in caplog.text
    (results,) = re.findall(r'<section id="results".*?<table', render(page), re.DOTALL)
    assert 'class="warning">These numbers are of validation' in results
    assert "Not evaluated on test yet: B." in results
    assert "These numbers are of validation" not in render(gather([runs[1]], triples=2))


def test_run_never_evaluated_is_ranked_on_validation(runs: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(runs[0], folder)
    (folder / "report.json").unlink()
    page = gather([folder], triples=2)
    assert page.split == "valid"
    assert page.runs[0].agreement == "Ranked for this page; the folder keeps no report.valid.json."
    assert gather([folder], split="test", which="last", triples=2).runs[0].step == 4


@pytest.mark.parametrize(
    "section", ['among = "domain-range"', 'among = "{names}"', "candidates = 3"]
)
def test_the_evaluation_by_a_runs_own_recipe_is_found_and_named(
    tmp_path: Path, section: str
) -> None:
    lay(tmp_path / "triples")
    (tmp_path / "names.txt").write_text("e1\ne4\ne6\n")
    section = section.format(names=tmp_path / "names.txt")
    recipe = f"{RECIPE.format(data=tmp_path / 'triples')}[evaluation]\n{section}\n"
    (tmp_path / "recipe.toml").write_text(recipe)
    run = tmp_path / "run"
    train(configure(tmp_path / "recipe.toml", []), run)
    assert gather([run], triples=2).unevaluated == ("A",)
    report = evaluate(run)
    page = gather([run], triples=2)
    assert (page.split, page.unevaluated) == ("test", ())
    said = page.runs[0].agreement
    if "candidates" in section:
        assert said == "Ranked anew for this page, and equal to report.json."
        return
    ranked = report.protocol["candidates"]
    name = f"report.among-{ranked['among']}.json"
    assert f"{name}, as the recipe says, among {ranked['about']}" in said
    assert f"restricted MRR, {report.selection_metric:.4f}, is not comparable" in said
    evaluate(run, among="all")
    assert "equal to report.json. This page ranks among all" in gather([run]).runs[0].agreement


def test_later_runs_are_compared_with_the_first(page: Page) -> None:
    (gaps,) = page.pairs.values()
    first, second = (run.report.both for run in page.runs)
    for gap in gaps:
        assert gap.test.mean == pytest.approx(second[gap.metric] - first[gap.metric])
    assert list(page.pairs) == ["B"]


def test_parts_add_up_to_all_queries(page: Page) -> None:
    queries = page.runs[0].report.both["queries"]
    for parts in (page.classes, page.degrees, page.relations):
        assert sum(part.queries for part in parts) == queries


@pytest.mark.slow
def test_labelled_run_shows_its_calibration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = labelled_recipe(tmp_path, monkeypatch)
    folder = tmp_path / "run"
    train(configure(recipe, []), folder)
    early = gather([folder], triples=2, split="test").runs[0]
    evaluate(folder)
    page = gather([folder], triples=2)
    (of,) = page.runs
    assert (early.reliability, early.classification) == (of.reliability, of.classification)
    kept = json.loads((folder / "report.json").read_text())
    assert of.classification == kept["classification"]
    (section,) = re.findall(r'<section id="classification".*?</section>', render(page), re.DOTALL)
    assert "test · 112 labelled lines, " in section
    assert "by relation" in section
    for numbers in (kept["classification"], *(kept["classification"][k] for k in CALIBRATIONS)):
        for measure in ("auc", "nll", "brier", "ece"):
            assert f"{numbers[measure]:.4f}" in section
    assert f"{kept['classification']['accuracy']:.4f}" in section
    assert list(of.reliability) == ["uncalibrated", "platt", "isotonic"]
    assert sum(of.reliability["platt"].counts) == 112
    assert all(0 <= (one.probability or 0) <= 1 for one in of.missing)
    assert "Expected calibration error" in render(page)


def test_run_without_a_sampler_has_a_sentence_for_a_picture(
    runs: list[Path], tmp_path: Path
) -> None:
    recipe = tmp_path / "softmax.toml"
    data = json.loads((runs[0] / "config.json").read_text())["data"]
    recipe.write_text(
        f'data = "{data}"\nobjective = "softmax"\nencoder = {{ name = "lookup", dim = 4 }}\n'
        'decoder = "distmult"\n[train]\nsteps = 2\nbatch = 12\nvalidate_every = 2\nthreads = 1\n'
    )
    train(configure(recipe, []), tmp_path / "run", objectives=OBJECTIVES)
    page = gather([tmp_path / "run"])
    assert page.runs[0].embedding_plot == (
        "There is no picture: sampler: the run was trained without one, by softmax."
    )
    assert "trained without one" in render(page)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A run of other triples."""
    (tmp_path / "triples").mkdir()
    for split in ("train", "valid", "test"):
        (tmp_path / "triples" / f"{split}.tsv").write_text("a\tr\tb\nb\tr\tc\n")
    (tmp_path / "recipe.toml").write_text(
        f'data = "{tmp_path / "triples"}"\nencoder = {{ name = "lookup", dim = 4 }}\n'
        'decoder = "distmult"\nloss = "logistic"\nsampler = ["uniform"]\n[train]\nsteps = 1\n'
    )
    train(configure(tmp_path / "recipe.toml", []), tmp_path / "other")
    return tmp_path / "other"


def test_runs_of_other_triples_are_refused(runs: list[Path], other: Path) -> None:
    with pytest.raises(InputError, match=r"other: trained on other triples than .*plain; expected"):
        gather([runs[0], other], triples=2)


@pytest.mark.parametrize(("split", "other"), [("valid", "test"), ("test", "valid")])
def test_the_split_that_has_triples_is_ranked_and_the_notice_says_which(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, split: str, other: str
) -> None:
    lay(tmp_path / "triples")
    (tmp_path / "triples" / f"{other}.tsv").unlink()
    (tmp_path / "recipe.toml").write_text(RECIPE.format(data=tmp_path / "triples"))
    train(configure(tmp_path / "recipe.toml", []), tmp_path / "run")
    page = gather([tmp_path / "run"], triples=2)
    assert (page.split, page.runs[0].report.both["queries"]) == (split, 4)
    assert f"has no {other} triples; every run is ranked on {split}" in caplog.text
    assert "not evaluated on test yet" not in f"{caplog.text}{render(page)}".lower()
    with pytest.raises(InputError, match=f"without {other} triples, .* --split {split} ranks"):
        gather([tmp_path / "run"], split=other, triples=2)  # type: ignore[arg-type]


def test_an_evaluation_without_unseen_entities_is_one(runs: list[Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(runs[0], tmp_path / "run"))
    (folder / "report.json").rename(folder / "report.drop.json")
    assert gather([folder], triples=2).split == "test"


def test_a_run_without_held_out_triples_is_refused(tmp_path: Path) -> None:
    (tmp_path / "triples").mkdir()
    (tmp_path / "triples" / "train.tsv").write_text("a\tr\tb\nb\tr\tc\n")
    (tmp_path / "recipe.toml").write_text(
        f'data = "{tmp_path / "triples"}"\nencoder = {{ name = "lookup", dim = 4 }}\n'
        'decoder = "distmult"\nloss = "logistic"\nsampler = ["uniform"]\n[train]\nsteps = 1\n'
    )
    train(configure(tmp_path / "recipe.toml", []), tmp_path / "run")
    said = "run: trained on a graph without valid and test triples, which are ranked; dans evaluate"
    with pytest.raises(InputError, match=said):
        gather([tmp_path / "run"])
    with pytest.raises(InputError, match="run: trained on a graph without test triples, which"):
        compare([tmp_path / "run"])


@pytest.mark.parametrize(
    ("number", "triples", "message"),
    [
        (0, 2, "RUN: expected 1 to 8 folders of runs, got 0"),
        (9, 2, "RUN: expected 1 to 8 folders of runs, got 9"),
        (2, 2, "RUN: expected each folder once"),
        (1, 0, "--triples: expected at least 1, got 0"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    runs: list[Path], number: int, triples: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        gather([runs[0]] * number, triples=triples)


def test_no_run_is_loaded_before_all_are_there(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere is not the folder of a run"):
        gather([runs[0], tmp_path / "nowhere"])


def test_names_say_nothing_of_the_machine(tmp_path: Path) -> None:
    paths = [tmp_path / "runs" / kind / "umls" / "seed0" for kind in ("dans", "pretrain")]
    assert short_names(paths) == ["dans/umls/seed0", "pretrain/umls/seed0"]
    assert short_names([tmp_path / "mine"]) == ["mine"]
