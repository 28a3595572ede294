"""The table of a search's log: means over seeds, an empty cell for what was not tried."""

import json
from pathlib import Path
from typing import Any

import pytest

from dans.analysis.search_log import table
from dans.errors import InputError


def logged(tmp_path: Path, **runs: Any) -> Path:
    path = tmp_path / "search.json"
    path.write_text(json.dumps({"one": {"what": "the first", "runs": runs}}))
    return path


def test_cells_are_means_over_seeds_and_empty_where_nothing_was_tried(tmp_path: Path) -> None:
    path = logged(
        tmp_path, a={"seeds": [10, 11], "best": [0.5, 0.6]}, c={"seeds": [10], "best": [0.25]}
    )
    assert table(path, ["a", "b", "c"]).splitlines() == [
        "| configuration | a | b | c | what it is |",
        "|---|---:|---:|---:|---|",
        "| one | .550 (2) |  | .250 | the first |",
    ]


def test_a_base_without_a_column_and_a_value_without_a_seed_are_refused(tmp_path: Path) -> None:
    path = logged(tmp_path, a={"seeds": [10], "best": [0.5, 0.6]})
    with pytest.raises(InputError, match="one: a: best: expected one value for each seed"):
        table(path, ["a"])
    with pytest.raises(InputError, match="one: runs: no column for a"):
        table(path, ["b"])
