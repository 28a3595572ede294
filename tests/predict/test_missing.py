"""Missing triples are all those that are wanted, and no others."""

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.data.own_triples import named
from dans.errors import InputError
from dans.evaluation.calibration import Platt
from dans.models.decoders import DistMult
from dans.predict import Predictor
from dans.predict.missing import COLUMNS, missing, write
from dans.predict.queries import ScoredTriple


def predictor_of(kg: KnowledgeGraph, *, reciprocal: bool = False, **given: object) -> Predictor:
    torch.manual_seed(0)
    decoder = DistMult(kg.num_relations, 4, reciprocal=reciprocal).double()
    entities = torch.randn(kg.num_entities, 4).double()
    return Predictor(kg, decoder, entities, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("reciprocal", [False, True])
def test_those_above_a_probability_are_those_scored_so(
    kg: KnowledgeGraph, reciprocal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = predictor_of(kg, reciprocal=reciprocal, calibration=Platt(0.5, 0.0))
    names = kg.entities.names
    every = [(h, r, t) for r in kg.relations.names for h in names for t in names]
    expected = {
        (one.head, one.relation, one.tail): one.probability
        for one in predictor.score(every)
        if not one.known and (one.probability or 0) >= 0.6
    }
    assert 10 < len(expected) < len(every) / 2
    found = {
        (one.head, one.relation, one.tail): one.probability for one in missing(predictor, above=0.6)
    }
    assert found == pytest.approx(expected)
    monkeypatch.setattr("dans.predict.predictor.MANY", 3)
    assert len(list(missing(predictor, above=0.6))) == len(expected)


def test_the_best_of_each_query_are_its_new_answers(kg: KnowledgeGraph) -> None:
    predictor = predictor_of(kg)
    found = list(missing(predictor, ["owns"], top=2))
    for head in kg.entities.names:
        best = predictor.tails(head, "owns", top=2, new_only=True)
        assert {one.tail for one in found if one.head == head} == {one.name for one in best}


def test_observed_are_heads_and_tails_of_the_relation(kg: KnowledgeGraph) -> None:
    found = list(missing(predictor_of(kg), ["owns"], above_score=-99.0, observed=True))
    # 3 heads and 4 tails, less 4 triples of train, and (ada, owns, cup) and (ada, owns, map).
    assert len(found) == 3 * 4 - 4 - 2
    assert {one.head for one in found} == {"ada", "bob", "cy"} - {"ada"}
    assert torch.is_grad_enabled()


def test_a_file_is_whole_or_not_there(
    kg: KnowledgeGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = predictor_of(kg)
    expected = list(missing(predictor, top=1))
    for kind, wide in ((".tsv", "\t"), (".csv", ",")):
        path = tmp_path / f"new{kind}"
        assert write(path, missing(predictor, top=1)) == len(expected)
        head, *lines = path.read_text("utf-8").splitlines()
        assert head.split(wide) == list(COLUMNS)
        assert [tuple(line.split(wide)[:3]) for line in lines] == [
            (one.head, one.relation, one.tail) for one in expected
        ]
    write(tmp_path / "new.jsonl", missing(predictor, top=1))
    first = json.loads((tmp_path / "new.jsonl").read_text("utf-8").splitlines()[0])
    assert first["score"] == pytest.approx(expected[0].score)
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("dans.predict.missing.AT_ONCE", 4)
    assert write(tmp_path / "new.parquet", missing(predictor, top=1)) == len(expected)
    file = parquet.ParquetFile(tmp_path / "new.parquet")
    assert file.num_row_groups == -(-len(expected) // 4)
    assert file.read().to_pylist() == [
        {name: getattr(one, name) for name in COLUMNS} for one in expected
    ]
    predictor.entities[0, 0] = torch.nan
    with pytest.raises(FloatingPointError):
        write(tmp_path / "wrong.tsv", missing(predictor, top=1))
    with pytest.raises(FloatingPointError):
        write(tmp_path / "wrong.parquet", missing(predictor, top=1))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["new.csv", "new.jsonl", "new.parquet", "new.tsv"]


def test_names_in_a_file_are_those_that_are_read_from_it(tmp_path: Path) -> None:
    names = ['"a" b', 'c"', "d,e", "'f"]
    kg = KnowledgeGraph.of([(h, "is", t) for h, t in pairwise(names)])
    expected = list(missing(predictor_of(kg), top=2))
    for kind in (".tsv", ".csv"):
        write(path := tmp_path / f"new{kind}", iter(expected))
        read = [names for _, (*names, _) in named(path, kg).lines]  # type: ignore[union-attr]
        assert read == [[one.head, one.relation, one.tail] for one in expected]
    with pytest.raises(InputError, match=r"'a\\tb': a name with a tab .* one of \.csv"):
        write(tmp_path / "no.tsv", iter([ScoredTriple("a\tb", "is", "c", 0.0, None, ())]))
    assert not (tmp_path / "no.tsv").exists()


def test_what_cannot_be_meant_is_refused_at_once(
    kg: KnowledgeGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = predictor_of(kg)
    for given, said in (
        ({}, "expected one of"),
        ({"top": 1, "above_score": 0.0}, "expected one of"),
        ({"above": 0.5}, "no calibrated probabilities"),
        ({"above": 1.5}, "from 0 to 1"),
        ({"top": 0}, "at least 1"),
        ({"top": 1.5}, "top: expected a whole number, got 1.5"),
        ({"above_score": math.nan}, "above_score: must be a finite number, got nan"),
        ({"relations": ["ows"], "top": 1}, "did you mean"),
        ({"relations": [[]], "top": 1}, r"relation: expected a name, got \[\]"),
    ):
        with pytest.raises(InputError, match=said):
            missing(predictor, **given)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"\.tsv, \.csv, \.jsonl, \.parquet"):
        write(tmp_path / "new.txt", missing(predictor, top=1))
    monkeypatch.setattr("dans.predict.missing.find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs pyarrow"):
        write(tmp_path / "new.parquet", missing(predictor, top=1))
