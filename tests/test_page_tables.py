"""Tables of the pages: pairs of one commit, chosen rows, merged records and expected values."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dans.analysis.tables import Results, across, collect, merge
from dans.errors import InputError
from docs.page_tables import (
    chosen,
    differences,
    expected,
    search_log,
    source,
    write_pages,
)


def results(values: Sequence[float], commit: str = "aaa", *, less: float = 0.1) -> Results:
    metrics = ("mrr", "hits@1", "hits@3", "hits@10", "ndcg@5")
    best, last = (
        {seed: dict.fromkeys(metrics, value - by) for seed, value in enumerate(values)}
        for by in (0, less)
    )
    steps = dict.fromkeys(best, 0)
    return Results(best, last, dict.fromkeys(best, 2.0), steps, commit=commit)


def test_only_recipes_of_one_commit_are_compared() -> None:
    found = {
        "b-uniform": results([0.5, 0.5, 0.5]),
        "b-same": results([0.6, 0.61, 0.62]),
        "b-other": results([0.6, 0.61, 0.62], "bbb"),
    }
    rows = across(found, ["b"], reference="uniform").splitlines()[2:]
    assert rows == [
        "| uniform | 3 | .500 ± .000 | .400 ± .000 | 3 of 3 |",
        "| other | 3 | .610 ± .010 ° | .510 ± .010 ° | 3 of 3 |",
        "| same | 3 | .610 ± .010 ↑ .003 | .510 ± .010 ↑ .003 | 3 of 3 |",
    ]
    pairs = [("same", "uniform"), ("other", "uniform")]
    assert differences(found, ["b"], pairs, unnamed="dans").splitlines()[2:] == [
        "| same − uniform | **+.110 ± .006 (p = .003)** | **+.110 ± .006 (p = .003)** |",
        "| other − uniform | – | – |",
    ]


def test_chosen_rows_have_best_and_last_step() -> None:
    every = {"dans": {"b": results([0.5, 0.7]), "c-uniform": results([0.3])}, "baselines": {}}
    rows = [("DANS", "dans", ""), ("uniform", "dans", "uniform"), ("softmax", "baselines", "sce")]
    assert chosen(every, ["b", "c"], rows).splitlines()[2:] == [
        "| DANS | .600 ± .141 / .500 ± .141 | – | 2 |",
        "| uniform | – | .300 / .200 | 1 |",
        "| softmax | – | – |  |",
    ]


def test_source_names_the_commits_of_the_columns() -> None:
    found = {"b-x": results([0.5]), "c-x": results([0.5], "bbb"), "d": results([0.5], "")}
    assert "commit: aaa (b), bbb (c)." in source(found, ["b", "c"])
    assert "commit: not recorded." in source({"d": found["d"]}, [])


def test_source_names_commands_that_make_all_seeds_and_every_file() -> None:
    found = {"b-x": results([0.5] * 10), "b-y": results([0.5] * 5)}
    said = " ".join(source(found, ["b"], kinds=["dans-0.1", "baselines"], match="b-*").split())
    assert "`dans reproduce dans --match 'b-*' --seeds 10`, `dans reproduce baselines" in said
    assert "`scripts/results/dans-0.1.json` and `scripts/results/baselines.json`." in said
    assert "--seeds" not in source({"b-y": found["b-y"]}, ["b"], kinds=["dans"])


def test_a_record_of_more_seeds_stays(tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    assert merge(path, {"one": results([0.5, 0.6]), "two": results([0.1])}) == []
    assert merge(path, {"one": results([0.9], "bbb"), "two": results([0.2], "bbb")}) == ["one"]
    plain = json.loads(path.read_text())
    assert plain["one"]["best"]["mrr"]["values"] == [0.5, 0.6]
    assert plain["one"]["last"]["mrr"]["values"] == [0.4, 0.5]
    assert (plain["one"]["best_step"], plain["one"]["commit"]) == ([0, 0], "aaa")
    assert (plain["two"]["best"]["mrr"]["values"], plain["two"]["commit"]) == ([0.2], "bbb")
    assert collect(path)["one"] == results([0.5, 0.6])


def test_a_seed_without_best_step_leaves_the_steps_out(tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    merge(path, {"one": replace(results([0.5, 0.6]), best_step={1: 20})})
    plain = json.loads(path.read_text())
    assert "best_step" not in plain["one"]
    plain["one"]["best_step"] = [20]
    path.write_text(json.dumps(plain))
    with pytest.raises(InputError, match="best_step: expected one for each of 2 seeds"):
        collect(path)


def test_expected_values_are_those_of_the_records(tmp_path: Path) -> None:
    path = tmp_path / "dans-b.toml"
    head = 'metric = "mrr"\nseeds = 2\ncommit = "aaa"\n\n[expected.b]\n'
    path.write_text(f"# Words.\n{head}uniform = 0.1\ndans = {{ value = 0.1, seeds = 9 }}\n")
    found = {"b-uniform": results([0.5, 0.6]), "b": results([0.7], "bbb")}
    text = f'# Words.\n{head}uniform = 0.55\ndans = {{ value = 0.7, seeds = 1, commit = "bbb" }}\n'
    assert expected(path, found) == text
    with pytest.raises(InputError, match="b-uniform: no numbers of it are recorded"):
        expected(path, {})


def test_one_call_writes_all_tables_and_expected_values(tmp_path: Path) -> None:
    places = tmp_path / "scripts" / "results"
    expecting = tmp_path / "dans" / "results"
    for folder in (places, expecting, tmp_path / "docs"):
        folder.mkdir(parents=True)
    merge(places / "dans-0.1.json", {"b-uniform": results([0.5, 0.6]), "b": results([0.7, 0.9])})
    (expecting / "dans-b.toml").write_text(
        'metric = "mrr"\nseeds = 2\ncommit = "aaa"\n\n[expected.b]\ndans = 0.1\n'
    )
    every = {
        "one": 'match = "b*"\nreference = "uniform"',
        "two": 'pairs = [["dans", "uniform"]]',
        "three": 'rows = [["DANS", "dans-0.1", ""]]',
    }
    listed = [
        f'[[table]]\npage = "page.md"\nmark = "{mark}"\nrecords = "dans-0.1"\n{what}\n'
        'across = ["b"]\n'
        for mark, what in every.items()
    ]
    text = '[expected]\n"dans-b.toml" = "dans-0.1"\n\n' + "\n".join(listed)
    (tmp_path / "docs" / "tables.toml").write_text(text)
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- {mark} -->\n<!-- /{mark} -->\n" for mark in every))
    write_pages(tmp_path, {})
    written = page.read_text()
    assert "| dans | 2 | .800 ± .141 | .700 ± .141 | 2 of 2 |" in written
    assert "| dans − uniform | +.250 ± .050 (p = .126) |" in written
    assert "| DANS | .800 ± .141 / .700 ± .141 | 2 |" in written
    assert "--match 'b*' --seeds 2`" in written
    assert (expecting / "dans-b.toml").read_text().endswith("dans = 0.8\n")
    write_pages(tmp_path, {})
    assert page.read_text() == written


def logged(tmp_path: Path, **runs: Any) -> Path:
    path = tmp_path / "search.json"
    path.write_text(json.dumps({"one": {"what": "the first", "runs": runs}}))
    return path


def test_cells_are_means_over_seeds_and_empty_where_nothing_was_tried(tmp_path: Path) -> None:
    path = logged(
        tmp_path, a={"seeds": [10, 11], "best": [0.5, 0.6]}, c={"seeds": [10], "best": [0.25]}
    )
    assert search_log(path, ["a", "b", "c"]).splitlines() == [
        "| configuration | a | b | c | what it is |",
        "|---|---:|---:|---:|---|",
        "| one | .550 (2) |  | .250 | the first |",
    ]


def test_a_base_without_a_column_and_a_value_without_a_seed_are_refused(tmp_path: Path) -> None:
    path = logged(tmp_path, a={"seeds": [10], "best": [0.5, 0.6]})
    with pytest.raises(InputError, match="one: a: best: expected one value for each seed"):
        search_log(path, ["a"])
    with pytest.raises(InputError, match="one: runs: no column for a"):
        search_log(path, ["b"])
