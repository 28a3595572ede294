"""Tables of the papers as data: every cell has a recipe, and what is printed has a source."""

import math
from pathlib import Path

import pytest

from dans.config import papers
from dans.config.recipes import COMMANDS
from dans.errors import InputError

#: What a paper may print, and the largest value of it.
LARGEST = {
    **dict.fromkeys(("mrr", "hits@1", "hits@3", "hits@10", "ndcg@5", "auc", "brier"), 1.0),
    **{"platt.brier": 1.0, "nll": math.inf, "platt.nll": math.inf},
}


@pytest.mark.parametrize("name", papers.names())
def test_a_table_has_a_source_and_plausible_values(name: str) -> None:
    table = papers.read(name)
    assert "Table" in table.title
    assert "Table" in table.source
    assert table.seeds in (1, 5)
    assert any(cell.theirs for cell in table.cells.values())
    for group in table.groups:
        for cell in group.cells:
            assert cell.kind in COMMANDS
            assert not cell.theirs or set(cell.published) == set(group.metrics), cell.name
            assert set(cell.doubtful) <= set(cell.published)
            assert bool(cell.doubtful) <= bool(cell.note)
            for metric, (value, deviation) in cell.published.items():
                assert 0 < value <= LARGEST[metric]
                assert 0 <= deviation < 0.1
            rising = [cell.published.get(f"hits@{k}", (1.0, 0))[0] for k in (1, 3, 10)]
            assert rising == sorted(rising) or "hits@1" in cell.doubtful
            # With one right answer NDCG@5 is never below Hits@1.
            if cell.published.keys() >= {"hits@1", "ndcg@5"}:
                low = cell.published["ndcg@5"] < cell.published["hits@1"]
                assert low == ("ndcg@5" in cell.doubtful), cell.name


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("dans-2", [15, 15, 15]),
        ("dans-3", [6, 6, 6]),
        ("kamigaito-hayashi-2", [24, 24]),
        ("kamigaito-hayashi-3", [4, 4, 4, 4]),
        ("stay-positive-2", [4, 4, 4, 4]),
    ],
)
def test_a_table_is_whole(name: str, counts: list[int]) -> None:
    groups = papers.read(name).groups
    assert [sum(cell.theirs for cell in group.cells) for group in groups] == counts


@pytest.mark.parametrize("name", ["dans-2", "dans-3"])
def test_filtered_uniform_and_the_control_stand_in_every_table_of_samplers(name: str) -> None:
    for group in papers.read(name).groups:
        ours = {(cell.base, cell.row.setting) for cell in group.cells if not cell.theirs}
        for base in {cell.base for cell in group.cells}:
            assert {(base, "uniform-filtered"), (base, "self-loop-filtered")} <= ours


def test_printed_values_are_by_run_without_those_that_cannot_be() -> None:
    printed = papers.published("baselines")
    assert printed["wn18am-simple"] == {"mrr": 0.461}
    assert printed["fb15k-237-complex-sce"]["hits@10"] == 0.466
    assert papers.published("dans")["umls-distmult-paper"]["mrr"] == 0.724
    assert papers.published("pretrain") == {}


def test_a_table_that_is_not_there_or_is_wrong_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"'dans-9': no such table; known: dans-2, dans-3, "):
        papers.read("dans-9")
    monkeypatch.setattr(papers, "PAPERS", tmp_path)
    head = 'title = "T"\nsource = "S"\nkind = "dans"\nmetrics = ["mrr"]\nseeds = 1\n'
    rows = 'rows = [{ title = "Rand", setting = "uniform" }]\ndecoders = { b = "B" }\n'
    group = '[[group]]\ntitle = "G"\n[group.cells.a-b]\n'
    (tmp_path / "one.toml").write_text(f"{head}{rows}{group}uniform = {{ mrr = [0.5, 0.1] }}\n")
    (cell,) = papers.read("one").cells.values()
    assert (cell.place, cell.decoder, cell.published) == (
        "dans/a-b-uniform",
        "B",
        {"mrr": (0.5, 0.1)},
    )
    (tmp_path / "two.toml").write_text(f"{head}{rows}{group}unifrom = {{ mrr = 0.5 }}\n")
    with pytest.raises(InputError, match=r"two\.toml: unifrom: no row has such a setting"):
        papers.read("two")
    (tmp_path / "three.toml").write_text(f"{head}seed = 1\n{rows}")
    with pytest.raises(InputError, match=r"three\.toml: seed: unknown option"):
        papers.read("three")
