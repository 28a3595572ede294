"""The least plausible triples come first, by ranks worked out by hand."""

from pathlib import Path

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.models.decoders import DistMult
from dans.predict import Predictor
from dans.predict.checking import check, read_triples, table


def toy() -> Predictor:
    kg = KnowledgeGraph.of([("a", "r", "b"), ("b", "r", "c"), ("c", "r", "c")])
    decoder = DistMult(num_relations=1, dim=1)
    decoder.relation.weight.data.fill_(1)
    return Predictor(kg, decoder, torch.tensor([[1.0], [2.0], [3.0]]))


def test_plausibility_is_the_mean_of_reciprocal_ranks() -> None:
    # Scores are products of 1, 2 and 3. (a, r, b): tail behind c, head behind b and c.
    # (b, r, c): tail first; head first, because c is a known head of c.
    found = {(one.triple.head, one.triple.tail): one.plausibility for one in check(toy())}
    assert found[("a", "b")] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert found[("b", "c")] == 1


def test_least_plausible_come_first_and_ties_by_score() -> None:
    listed = [(one.triple.head, one.triple.tail) for one in check(toy())]
    assert listed == [("a", "b"), ("b", "c"), ("c", "c")]
    assert len(check(toy(), top=1)) == 1
    (given,) = check(toy(), [("a", "r", "a")])
    assert given.triple.known == ()
    with pytest.raises(InputError, match="at least 1"):
        check(toy(), top=0)


def test_table_and_file(tmp_path: Path) -> None:
    (path := tmp_path / "t.tsv").write_text("a\tr\tb\n\n")
    assert read_triples(path) == [("a", "r", "b")]
    assert table(check(toy(), read_triples(path))).splitlines()[1] == "0.4167\t2.0000\t\ta\tr\tb"
    path.write_text("a\tr\n")
    with pytest.raises(InputError, match="got 2 columns"):
        read_triples(path)
