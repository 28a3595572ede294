"""Learning curves from the lines of a run's metrics."""

import dataclasses
import json
import math
import shutil
from pathlib import Path

import pytest

from dans.errors import InputError
from dans.report.curves import (
    MEANING,
    MOST,
    Chart,
    Curve,
    begun,
    charts,
    recorded,
    steps_before,
)
from dans.report.gather import gather
from dans.report.page import continued, render
from dans.training.checkpoint import load_state, save_state
from dans.training.run_folder import RunFolder

LINES = [
    {
        "step": step,
        "both": {"mrr": 0.1 * step},
        "heads": {"mrr": 0.2 * step},
        "tails": {"mrr": 0.0},
        "train": {"loss": 1.0, "discriminator": math.nan if step == 2 else 0.5},
        "sampler": {"discriminator_auc": 0.5, "diversity_entity": 0.3, "diversity_relation": 0.4},
    }
    for step in (0, 1, 2)
]


def test_one_run_shows_its_sides_apart() -> None:
    (mrr,) = charts({"A": LINES})["validation"]
    assert [curve.name for curve in mrr.curves] == ["both", "heads", "tails"]
    assert mrr.curves[1].points == ((0, 0.0), (1, 0.2), (2, 0.4))


def test_several_runs_lie_over_each_other() -> None:
    found = charts({"A": LINES, "B": LINES[:2]})
    (mrr,) = found["validation"]
    assert [(curve.name, curve.run) for curve in mrr.curves] == [("A", 0), ("B", 1)]
    diversity = next(chart for chart in found["sampler"] if chart.title == "diversity")
    assert [curve.name for curve in diversity.curves] == [
        f"{run} · {pathway} pathway" for run in "AB" for pathway in ("entity", "relation")
    ]


#: A validation as 0.1 wrote it.
OLD = {
    "step": 0,
    "train": {"critic": 1.4, "entity_way": 0.7},
    "sampler": {"critic_auc": 0.5, "way_cosine": 0.1}
    | {f"{what}_entity": 0.3 for what in ("spread", "nearest_kept", "norm_ratio")},
}


def test_every_number_of_a_diagnosis_is_explained_in_runs_of_01_too(
    runs: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "metrics.jsonl").write_text(json.dumps(OLD) + "\n")
    titles = []
    for folder in (runs[1], tmp_path):
        found = charts({"A": recorded(RunFolder(folder))})
        titles.append({chart.title for chart in found["sampler"] if chart.note})
        assert len(titles[-1]) == len(found["sampler"])
    assert titles[0] == MEANING.keys()
    assert titles[1] == {
        *("discriminator_auc", "pathway_cosine", "diversity", "nearest_uncorrupted", "norm_ratio")
    }
    assert [chart.title for chart in found["loss"]] == ["discriminator", "entity_pathway"]


def test_what_is_no_number_is_not_drawn() -> None:
    (found,) = [chart for chart in charts({"A": LINES})["loss"] if chart.title == "discriminator"]
    assert found.curves[0].points == ((0, 0.5), (1, 0.5))


def test_long_runs_are_thinned_and_keep_their_ends() -> None:
    lines = [{"step": step, "train": {"loss": float(step)}} for step in range(5000)]
    (chart,) = charts({"A": lines})["loss"]
    points = chart.curves[0].points
    assert len(points) == MOST
    assert (points[0][0], points[-1][0]) == (0, 4999)


def test_run_without_validations_has_no_charts() -> None:
    assert charts({"A": []}) == {}


def test_classified_runs_show_their_nll() -> None:
    lines = [{"step": 0, "classification": {"nll": 0.69, "auc": 0.5}}]
    assert [chart.title for chart in charts({"A": lines})["validation"]] == ["nll", "auc"]


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"seconds": "x"}, "seconds: expected a number, got 'x'"),
        ({"seconds": None}, "seconds: expected a number, got None"),
        ({"train": {"loss": "low"}}, "train.loss: expected a number, got 'low'"),
        ({"both": {"mrr": [1]}}, r"both.mrr: expected a number, got \[1\]"),
        (
            {"sampler": {"norm_ratio_entity": None}},
            "sampler.norm_ratio_entity: expected a number, got None",
        ),
    ],
)
def test_line_with_something_else_for_a_number_is_named(
    tmp_path: Path, part: dict[str, object], place: str
) -> None:
    lines = [{"step": 0}, {"step": 1, **part}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(InputError, match=rf"metrics\.jsonl:2: {place}"):
        recorded(RunFolder(tmp_path))


def test_numbers_that_no_axis_holds_are_read_and_not_drawn(tmp_path: Path) -> None:
    text = '{"step": 0, "train": {"loss": 1e308, "l2": 1}}\n{"step": 1, "train": {"loss": NaN}}\n'
    (tmp_path / "metrics.jsonl").write_text(text)
    found = charts({"A": recorded(RunFolder(tmp_path))})
    assert [chart.title for chart in found["loss"]] == ["l2"]


def test_axis_starts_where_a_curve_says_something() -> None:
    late = Curve("A", ((0, 0.7), (10, 0.71), (20, 0.72), (30, 0.73)))
    scratch = Curve("B", ((0, 0.01), (10, 0.6), (20, 0.7), (30, 0.72)))
    chart = begun(Chart("mrr", "", (late, scratch)))
    assert [curve.points[0][0] for curve in chart.curves] == [10, 10]
    assert chart.note == "Not drawn: 0.0100 to 0.7000 at step 0."
    explained = begun(Chart("mrr", "Higher is better", (late, scratch)))
    assert explained.note == "Higher is better. Not drawn: 0.0100 to 0.7000 at step 0."
    even, short = (Chart("mrr", "", (curve,)) for curve in (late, Curve("", scratch.points[:3])))
    assert begun(even) == even
    assert begun(short) == short


def test_curves_of_a_continued_run_start_where_it_continued(
    runs: list[Path], tmp_path: Path
) -> None:
    first, second = (Path(shutil.copytree(run, tmp_path / run.name)) for run in runs)
    last = load_state(first / "last.safetensors")
    last["best"]["step"] = last["step"]
    save_state(first / "best.safetensors", last)
    config = json.loads((second / "config.json").read_text())
    (second / "config.json").write_text(json.dumps({**config, "init_from": str(first)}))
    assert [steps_before(RunFolder(folder)) for folder in (first, second)] == [0, 4]
    page = gather([first, second], triples=12)
    (mrr,) = [chart for chart in page.charts["validation"] if chart.title == "mrr"]
    assert [[step for step, _ in curve.points] for curve in mrr.curves] == [[0, 2, 4], [4, 6, 8]]
    assert "B continues from step 4 of " in render(page)
    assert ", evaluated above, is step " in render(page)
    untrained = dataclasses.replace(page.runs[1], step=0)
    said = continued(untrained, several=True)
    assert said.endswith("evaluated above, is the model it started from.")
    # No letter is introduced on a page of one run.
    assert "This run continues from step 4 of " in render(gather([second], triples=12))


def test_steps_are_unknown_where_the_run_before_is_gone(runs: list[Path], tmp_path: Path) -> None:
    shutil.copytree(runs[1], tmp_path / "dans")
    config = json.loads((tmp_path / "dans" / "config.json").read_text())
    config["init_from"] = str(tmp_path / "gone")
    (tmp_path / "dans" / "config.json").write_text(json.dumps(config))
    assert steps_before(RunFolder(tmp_path / "dans")) is None
    assert charts({"A": LINES}, {"A": None})["loss"][0].curves[0].points[0][0] == 0


def test_runs_that_continue_each_other_in_a_ring_have_no_number_of_steps(
    runs: list[Path], tmp_path: Path
) -> None:
    shutil.copytree(runs[1], tmp_path / "ring")
    config = json.loads((tmp_path / "ring" / "config.json").read_text())
    config["init_from"] = str(tmp_path / "ring")
    (tmp_path / "ring" / "config.json").write_text(json.dumps(config))
    assert steps_before(RunFolder(tmp_path / "ring")) is None
