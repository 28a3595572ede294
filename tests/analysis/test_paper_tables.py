"""A paper's table on a page: ours beside theirs, what is not run empty and counted."""

from pathlib import Path

import pytest

from dans.analysis.paper_tables import left, markdown, recorded, signed, summary
from dans.analysis.tables import merge
from dans.config.papers import Cell, Group, PaperTable, Row
from docs.page_tables import beside_paper
from tests.test_page_tables import results


def cell(setting: str, *, kind: str = "", theirs: bool = True, **published: float) -> Cell:
    row = Row(title=setting.title(), setting=setting, kind=kind)
    values = {metric: (value, 0.0) for metric, value in published.items()}
    return Cell(row, kind or "dans", "b", "D", values, theirs=theirs)


TABLE = PaperTable(
    "p",
    "P, Table 1",
    "P",
    3,
    (
        Group(
            "G",
            ("mrr", "hits@1"),
            "uniform",
            (
                cell("base", kind="pretrain", theirs=False),
                cell("uniform", mrr=0.52),
                cell("other", mrr=0.5),
                cell("missing", mrr=0.7),
                cell("control", theirs=False),
            ),
        ),
    ),
)

RECORDS = {
    "pretrain/b": results([0.9, 0.9, 0.9]),
    "dans/b-uniform": results([0.5, 0.5, 0.5]),
    "dans/b-other": results([0.6, 0.61, 0.62]),
}


def test_ours_stand_beside_theirs_and_what_is_not_run_is_empty() -> None:
    text = markdown(TABLE, RECORDS)
    rows = [line for line in text.splitlines() if line.startswith("| D")]
    at = "3 of 3"
    assert rows == [
        f"| D, Base | `pretrain/b` | .900 ± .000 |  |  | .800 ± .000 | {at} |"
        " .900 ± .000 | 3 | 2 | aaa |",
        f"| D, Uniform | `b-uniform` | .500 ± .000 | .520 | −.020 | .400 ± .000 | {at} |"
        " .500 ± .000 | 3 | 2 | aaa |",
        f"| D, Other | `b-other` | .610 ± .010 ↑ .003 | .500 | +.110 | .510 ± .010 ↑ .003 | {at} |"
        " .610 ± .010 | 3 | 2 | aaa |",
        "| D, Missing | `b-missing` |  | .700 |  |  |  |  |  |  |  |",
        "| D, Control | `b-control` |  |  |  |  |  |  |  |  |  |",
    ]


def test_cells_are_counted() -> None:
    text = summary(TABLE, RECORDS)
    assert text.startswith("Run: 2 of 3 cells of the paper (G 2 of 3), and 1 of 2 rows of ours; ")
    assert "seeds: 3; commits: aaa." in text
    assert text.endswith("As good as the paper's or better: 1 of 2.")
    assert summary(TABLE, {}).endswith("(G 0 of 3), and 0 of 2 rows of ours.")


def test_what_survives_is_said_by_name() -> None:
    text = "by what survives Holm's correction: better `b-other`; worse none."
    assert text in markdown(TABLE, RECORDS)
    one = {place: results([0.5]) for place in RECORDS}
    assert "No difference is tested: there is one seed." in markdown(TABLE, one)


def test_less_is_better_of_an_error() -> None:
    one = Cell(Row(title="R"), "baselines", "b", "D", {"nll": (0.6, 0.0)})
    table = PaperTable("p", "P", "P", 1, (Group("G", ("nll",), "", (one,)),))
    found = results([0.5])
    for value, reached in ((0.5, 1), (0.7, 0)):
        found = results([0.5])
        found = type(found)(found.best, {}, found.seconds, classified={0: {"nll": value}})
        assert summary(table, {"baselines/b": found}).endswith(f"better: {reached} of 1.")


def test_a_value_that_cannot_be_has_a_mark_and_no_difference() -> None:
    row = Row(title="R")
    one = Cell(row, "dans", "b", "D", {"mrr": (0.6, 0.01)}, ("mrr",), "it is too high")
    table = PaperTable("p", "P", "P", 1, (Group("G", ("mrr",), "", (one,)),))
    text = markdown(table, {"dans/b": results([0.5])})
    assert "| D, R † | `b` | .500 | .600 ± .010 ? |  | .400 |" in text
    assert "† `b`: it is too high." in text


def test_a_kind_s_own_file_comes_first(tmp_path: Path) -> None:
    merge(tmp_path / "dans-0.1.json", {"a": results([0.1]), "b": results([0.2])})
    merge(tmp_path / "dans.json", {"a": results([0.3])})
    merge(tmp_path / "pretrain-x.json", {"a": results([0.4])})
    found = recorded(tmp_path)
    values = {place: one.values("mrr") for place, one in found.items()}
    assert values == {"dans/a": [0.3], "dans/b": [0.2], "pretrain/a": [0.4]}
    assert recorded(tmp_path / "nothing") == {}


def test_time_left_is_that_of_the_records() -> None:
    assert left(["dans/b-uniform", "dans/b-other", "dans/b-new"], RECORDS) == (4.0, 1)


def test_the_source_is_one_command_and_the_commits(tmp_path: Path) -> None:
    folder = tmp_path / "scripts" / "results"
    folder.mkdir(parents=True)
    merge(folder / "dans.json", {"b-uniform": results([0.5]), "of-no-table": results([0.1], "zzz")})
    source = beside_paper(TABLE, tmp_path).split("\n\n")[-1]
    assert source == "Source: `dans reproduce p`, `dans tabulate --pages`; commit: aaa."


@pytest.mark.parametrize(("value", "text"), [(0.0004, ".000"), (0.0006, "+.001"), (-1.5, "−1.500")])
def test_differences_have_signs(value: float, text: str) -> None:
    assert signed(value) == text
