"""A split is a folder that is loaded again; of held-out entities it shows training nothing."""

import re
from pathlib import Path

import pytest

from dans.cli.main import dispatch
from dans.data.graph import KnowledgeGraph
from dans.data.split_folder import by_entities, by_triples, write
from dans.errors import InputError

TRIPLES = [(f"e{i}", f"r{k % 2}", f"e{(i + k) % 20}") for i in range(20) for k in (1, 2)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "ring.tsv"
    path.write_text("".join("\t".join(row) + "\n" for row in [*TRIPLES, TRIPLES[0]]))
    return path


def test_by_triples_all_are_written_once(source: Path, tmp_path: Path) -> None:
    about = by_triples(source, tmp_path / "out", (0.5, 0.25, 0.25), seed=3)
    kg = KnowledgeGraph.load(tmp_path / "out")
    assert about["triples"] == {"train": 20, "valid": 10, "test": 10}
    assert sorted(kg.to_pandas()[["head", "relation", "tail"]].itertuples(index=False)) == sorted(
        TRIPLES
    )
    assert '"seed": 3' in (tmp_path / "out" / "README.md").read_text()
    by_triples(tmp_path / "out", tmp_path / "again")
    assert len(KnowledgeGraph.load(tmp_path / "again").to_pandas()) == len(TRIPLES)


def test_by_entities_the_folder_to_train_on_lacks_them(source: Path, tmp_path: Path) -> None:
    about = by_entities(source, tmp_path / "out", 0.2, valid=0.0, seed=1)
    kg = KnowledgeGraph.load(tmp_path / "out")
    assert kg.num_entities == about["entities"]["train"] <= 16
    assert not len(kg.valid)
    extra, test = ((tmp_path / "out" / "unseen" / f"{name}.txt") for name in ("extra", "test"))
    named = {name for line in extra.read_text().splitlines() for name in line.split("\t")[::2]}
    assert about["entities"]["new in extra"] == len(named - set(kg.entities.names))
    assert len(test.read_text().splitlines()) == about["triples"]["test"] > 0


def test_nothing_is_overwritten_or_left_half_written(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(InputError, match="out: is there already; name a new folder"):
        by_triples(source, tmp_path / "out")
    odd = KnowledgeGraph.of([("a\tb", "knows", "c")])
    with pytest.raises(InputError, match="a name with a tab"):
        write(tmp_path / "new", odd, {"train.txt": odd.train}, {}, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "ring.tsv"]


def test_what_an_inductive_split_left_out_is_said_in_full(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dispatch(["split", str(source), "--inductive", "--out", str(tmp_path / "out")])
    said = r"left out: \d triples among held-out entities, 0 triples of relations that train lacks$"
    assert re.search(said, capsys.readouterr().out, re.MULTILINE)
