"""Tables: means, deviations and paired differences by hand; nothing made up."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from dans.analysis.tables import (
    Results,
    across,
    beside,
    collect,
    compare,
    gap,
    holm,
    markdown,
    summarise,
    to_json,
)
from dans.errors import InputError
from dans.training.checkpoint import save_state


def results(values: dict[int, float]) -> Results:
    reports = {
        s: {"mrr": v, "hits@1": v, "hits@3": v, "hits@10": v, "ndcg@5": v}
        for s, v in values.items()
    }
    return Results(reports, {}, dict.fromkeys(values, 2.0))


def keep(root: Path, recipe: str, seed: int, mrr: float, *, last: float | None = None) -> None:
    folder = root / recipe / f"seed{seed}"
    folder.mkdir(parents=True)
    both = {"mrr": mrr, "hits@1": 0.1, "hits@3": 0.2, "hits@10": 0.3, "ndcg@5": 0.15}
    content = {"seed": seed, "step": 0 if seed else 50, "both": both}
    (folder / "report.json").write_text(json.dumps(content))
    (folder / "metrics.jsonl").write_text('{"step": 1, "seconds": 4.0}\n')
    if last is not None:
        (folder / "report.last.json").write_text(json.dumps({"both": {**both, "mrr": last}}))


def test_differences_are_paired_by_seed() -> None:
    ours, theirs = results({0: 0.5, 1: 0.7, 2: 0.6}), results({2: 0.5, 0: 0.4, 1: 0.5, 9: 0.0})
    difference = compare(ours, theirs, "mrr")
    assert difference.count == 3
    assert difference.mean == pytest.approx((0.1 + 0.2 + 0.1) / 3)
    assert difference.error == pytest.approx(math.sqrt(0.01 / 3) / math.sqrt(3))
    # t = .13333 / .03333 = 4 with two degrees of freedom
    assert difference.p == pytest.approx(0.0572, abs=1e-4)


def test_one_seed_has_no_p_value() -> None:
    difference = compare(results({0: 0.5}), results({0: 0.4}), "mrr")
    assert math.isnan(difference.p)
    assert gap(difference) == "+.100"


def test_equal_differences_are_not_tested_by_their_rounding() -> None:
    difference = compare(results({0: 0.1, 1: 0.15}), results({0: 0.05, 1: 0.1}), "mrr")
    assert math.isnan(difference.p)


def test_equal_runs_do_not_differ() -> None:
    difference = compare(results({0: 0.5, 1: 0.6}), results({0: 0.5, 1: 0.6}), "mrr")
    assert (difference.mean, difference.p) == (0.0, 1.0)


def test_equal_differences_are_no_test() -> None:
    difference = compare(results({0: 0.5, 1: 0.625}), results({0: 0.25, 1: 0.375}), "mrr")
    assert math.isnan(difference.p)
    found = {"b-uniform": results({0: 0.25, 1: 0.375}), "b-more": results({0: 0.5, 1: 0.625})}
    assert "↑" not in across(found, ["b"], reference="uniform")


@pytest.mark.parametrize("values", [[0.5], [0.5, math.nan], [0.5, 0.6, 0.7]])
def test_records_that_are_not_one_number_a_seed_are_refused(
    values: list[float], tmp_path: Path
) -> None:
    plain = summarise({"one": results({0: 0.5, 1: 0.6})})
    plain["one"]["best"]["mrr"]["values"] = values
    (tmp_path / "dans.json").write_text(to_json(plain))
    with pytest.raises(InputError, match=r"dans.json: one: best.mrr: "):
        collect(tmp_path / "dans.json")


def test_no_seed_in_common_is_refused() -> None:
    with pytest.raises(InputError, match="no seed in common"):
        compare(results({0: 0.5}), results({1: 0.5}), "mrr")


def test_runs_are_collected_and_tabulated(tmp_path: Path) -> None:
    keep(tmp_path, "one", 0, 0.5, last=0.4)
    keep(tmp_path, "one", 1, 0.7, last=0.6)
    keep(tmp_path, "two", 0, 0.6)
    (tmp_path / "unjudged" / "seed0").mkdir(parents=True)
    found = collect(tmp_path)
    assert found.keys() == {"one", "two"}
    table = markdown(found, reference="two")
    assert "| one | .600 ± .141 | .500 ± .141 | 1 of 2 |" in table
    assert "| two | .600 | – | 0 of 1 |" in table
    assert "−.100" in table
    plain = summarise(found)
    assert plain["one"]["best"]["mrr"] == {"mean": 0.6, "std": 0.1414, "values": [0.5, 0.7]}
    assert plain["one"]["last"]["mrr"]["mean"] == 0.5
    assert "last" in plain["two"]
    assert plain["two"]["last"] == {}


def test_a_best_step_that_is_the_last_has_its_numbers(tmp_path: Path) -> None:
    for recipe, step in (("one", 50), ("two", 60)):
        keep(tmp_path, recipe, 0, 0.5)
        save_state(tmp_path / recipe / "seed0" / "last.safetensors", {"step": step})
    keep(tmp_path, "three", 0, 0.5)
    report = tmp_path / "three" / "seed0" / "report.json"
    content = json.loads(report.read_text())
    del content["step"]
    report.write_text(json.dumps(content))
    found = collect(tmp_path)
    last = [found[name].values("mrr", last=True) for name in ("one", "two", "three")]
    assert last == [[0.5], [], []]


def test_two_runs_of_one_seed_are_refused(tmp_path: Path) -> None:
    keep(tmp_path, "one", 0, 0.5)
    (tmp_path / "one" / "seed0").rename(tmp_path / "one" / "seed1")
    keep(tmp_path, "one", 0, 0.6)
    with pytest.raises(InputError, match=r"seed1: has seed 0, as .*seed0 has; .* another --seed"):
        collect(tmp_path)


def test_rows_are_held_to_what_recipes_expect(tmp_path: Path) -> None:
    keep(tmp_path, "one", 0, 0.6)
    keep(tmp_path, "two", 0, 0.6)
    found = collect(tmp_path)
    values = {"one": 0.58, "two": 0.5}
    expected = {
        name: {"metric": "mrr", "value": value, "tolerance": 0.03} for name, value in values.items()
    }
    table = markdown(found, expected=expected)
    assert table.count("| .580 ± .030 |") == 1
    assert "| .500 ± .030, missed |" in table


def test_a_recipe_may_expect_another_metric() -> None:
    classified = {0: {"platt.nll": 0.57}, 1: {"platt.nll": 0.61}}
    found = {
        "far": replace(results({0: 0.1, 1: 0.1}), classified=classified),
        "near": replace(results({0: 0.1, 1: 0.1}), classified=classified),
        "plain": results({0: 0.1}),
    }
    values = {"far": 0.57, "near": 0.585, "plain": 0.1}
    expected = {
        name: {"metric": "platt.nll", "value": value, "tolerance": 0.01}
        for name, value in values.items()
    }
    lines = markdown(found, expected=expected).splitlines()[2:]
    assert [line.split(" | ")[-1] for line in lines] == [
        "platt.nll .570 ± .010, missed |",
        "platt.nll .585 ± .010 |",
        "platt.nll .100 ± .010, not evaluated |",
    ]


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no evaluated run"):
        collect(tmp_path)


def test_what_samplers_offer_is_tabulated_where_it_is_known(tmp_path: Path) -> None:
    keep(tmp_path, "one", 0, 0.5)
    keep(tmp_path, "one", 1, 0.7)
    keep(tmp_path, "two", 0, 0.6)
    plain = markdown(collect(tmp_path))
    assert "s/step" not in plain
    assert all("sampler" not in numbers for numbers in summarise(collect(tmp_path)).values())
    for seed, (step, false, harder) in enumerate([(0.01, 0.15, 0.3), (0.03, 0.17, 0.5)]):
        content = {
            "seconds_per_step": step,
            "false_negatives": {"train": 0.1, "any": false},
            "harder": harder,
        }
        path = tmp_path / "one" / f"seed{seed}" / "sampler.json"
        path.write_text(json.dumps(content))
    table = markdown(collect(tmp_path), reference="two")
    assert "| seeds | s | s/step | false negatives | harder than the triple | MRR − two |" in table
    assert "| 2 | 4 | 0.02 | 16.0 % | 40.0 % |" in table
    assert "| 1 | 4 | – | – | – |" in table
    assert len({line.count("|") for line in table.splitlines()}) == 1
    numbers = summarise(collect(tmp_path))
    assert "sampler" not in numbers["two"]
    assert numbers["one"]["sampler"]["false_negatives"]["mean"] == 0.16
    assert numbers["one"]["sampler"]["seconds_per_step"]["values"] == [0.01, 0.03]


def test_what_is_of_a_checkpoint_that_was_replaced_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tmp_path, "one", 0, 0.5, last=0.4)
    keep(tmp_path, "two", 0, 0.6)
    (tmp_path / "one" / "seed0" / "sampler.json").write_text('{"model": "last", "step": 50}')
    save_state(tmp_path / "one" / "seed0" / "last.safetensors", {"step": 60})
    save_state(tmp_path / "two" / "seed0" / "best.safetensors", {"step": 60})
    found = collect(tmp_path)
    assert found.keys() == {"one"}
    assert not found["one"].sampler
    for name, command in (("sampler", "inspect"), ("report", "evaluate")):
        assert f"{name}.json: left out: the run was trained further; make it" in caplog.text
        assert f"anew with: dans {command} {tmp_path}" in caplog.text


def test_run_of_no_step_has_no_time_of_a_step(tmp_path: Path) -> None:
    keep(tmp_path, "one", 0, 0.5)
    content = {"seconds_per_step": None, "false_negatives": {"any": 0.0}, "harder": 0.5}
    (tmp_path / "one" / "seed0" / "sampler.json").write_text(json.dumps(content))
    table = markdown(collect(tmp_path))
    assert "s/step" not in table
    assert "| 0.0 % | 50.0 % |" in table


def test_samplers_are_rows_and_models_columns() -> None:
    found = {
        "umls-rotate-uniform": results({0: 0.5, 1: 0.6, 2: 0.7}),
        "umls-rotate-self-loop": results({0: 0.61, 1: 0.7, 2: 0.8}),
        "umls-rotate": results({0: 0.4, 1: 0.49, 2: 0.6}),
        "umls-complex-uniform": results({0: 0.9}),
        "umls-complex-self-loop": results({0: 0.95}),
        "other-uniform": results({0: 0.1}),
    }
    table = across(
        found, ["umls-rotate", "umls-complex"], reference="uniform", unnamed="dans"
    ).splitlines()
    titles = ["sampler", "seeds"]
    for column in ("umls-rotate", "umls-complex"):
        titles += [f"{column}: best", "last step", "best at step 0"]
    assert table[0] == f"| {' | '.join(titles)} |"
    # p = .009 for DANS, doubled by Holm's method; for the control .027, which is above .05 / 2
    # only where there are more comparisons.
    assert table[2:] == [
        "| uniform | 3/1 | .600 ± .100 | – |  | .900 | – |  |",
        "| dans | 3 | .497 ± .100 ↓ .001 | – |  | – | – | – |",
        "| self-loop | 3/1 | .703 ± .095 ↑ .001 | – |  | .950 | – |  |",
    ]
    nested = {**found, "umls-uniform": results({5: 0.2}), "umls-late": results({7: 0.3})}
    table = across(nested, ["umls", "umls-rotate"], reference="uniform", unnamed="dans")
    assert table.splitlines()[2] == "| uniform | 1/3 | .200 | – |  | .600 ± .100 | – |  |"
    assert "| late | 1 | .300 | – |  | – | – | – |" in table
    with pytest.raises(InputError, match="--reference mcns: not a row of umls-rotate; known: dans"):
        across(found, ["umls-rotate"], reference="mcns", unnamed="dans")


def test_arrows_in_brackets_do_not_survive_the_number_of_comparisons() -> None:
    def noisy(*values: float) -> Results:
        return results(dict(enumerate(values)))

    found = {"b-uniform": noisy(0.5, 0.5, 0.5, 0.5)}
    # Differences with p = .003, .030 and .80.
    found["b-sure"] = noisy(0.6, 0.61, 0.62, 0.66)
    found["b-maybe"] = noisy(0.51, 0.52, 0.53, 0.54)
    found["b-none"] = noisy(0.4, 0.6, 0.55, 0.5)
    rows = across(found, ["b"], reference="uniform").splitlines()[2:]
    marks = {row.split(" | ")[0][2:]: row.split(" | ")[2].split(" ", 3)[3:] for row in rows}
    assert marks["sure"] == ["↑ .003"]
    assert marks["maybe"] == ["(↑ .030)"]
    assert marks["none"] == []


def test_holms_method_is_that_of_the_definition() -> None:
    p = [0.01, 0.04, 0.03, 0.005, 0.5]
    assert holm(p) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.5])
    assert holm([]) == []
    assert holm([math.nan, 0.001, 0.002]) == pytest.approx([1.0, 0.002, 0.002])
    assert holm([0.001, math.nan, 0.002]) == pytest.approx([0.002, 1.0, 0.002])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])


def test_best_steps_are_kept_with_the_numbers(tmp_path: Path) -> None:
    keep(tmp_path, "one", 0, 0.5, last=0.4)
    keep(tmp_path, "one", 1, 0.7, last=0.6)
    assert summarise(collect(tmp_path))["one"]["best_step"] == [50, 0]
    numbers = tmp_path / "numbers.json"
    numbers.write_text(to_json(summarise(collect(tmp_path))))
    assert markdown(collect(numbers)) == markdown(collect(tmp_path))


def test_classification_is_collected(tmp_path: Path) -> None:
    folder = tmp_path / "one" / "seed0"
    folder.mkdir(parents=True)
    numbers = {"nll": 0.6, "platt": {"nll": 0.5}}
    report = {"seed": 0, "both": {"mrr": 0.2}, "classification": numbers}
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "metrics.jsonl").write_text('{"seconds": 3.0}\n')
    result = collect(tmp_path)["one"]
    assert result.numbers("platt.nll") == [0.5]
    assert result.numbers("nll") == [0.6]
    assert result.numbers("brier") == []


def test_classification_is_summarised_where_it_is_known() -> None:
    classified = {0: {"nll": 0.62, "platt.nll": 0.58}}
    both = {"b": results({0: 0.4}), "a": replace(results({0: 0.1}), classified=classified)}
    assert summarise(both)["a"]["classified"]["platt.nll"]["mean"] == 0.58
    assert "classified" not in summarise(both)["b"]


BOTH = {
    "b": Results({0: {"mrr": 0.4}, 1: {"mrr": 0.5}}, {}, {0: 10.0, 1: 20.0}),
    "a": Results({0: {"mrr": 0.1}}, {}, {0: 5.0}, classified={0: {"nll": 0.62, "platt.nll": 0.58}}),
}


def test_a_paper_number_stands_beside_ours() -> None:
    table = beside(BOTH, ["mrr", "platt.nll"], {"b": {"mrr": 0.44}, "a": {"platt.nll": 0.582}})
    assert table.splitlines()[2:] == [
        "| a | .100 | .580 (.582) | 1 | 5 |",
        "| b | .450 ± .071 (.440) | – | 2 | 15 |",
    ]


def test_a_metric_that_no_recipe_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"--metrics nnl: known: mrr, nll, platt.nll"):
        beside(BOTH, ["nnl"], {})
