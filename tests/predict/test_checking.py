"""The least plausible triples come first, by shares worked out by hand."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dans.data.graph import KnowledgeGraph, Vocabulary
from dans.errors import InputError
from dans.evaluation.calibration import Platt
from dans.models.decoders import DistMult
from dans.models.model import Model
from dans.models.rgcn import RGCN
from dans.predict import Predictor
from dans.predict.checking import check, plausibility, table


def toy() -> Predictor:
    kg = KnowledgeGraph.of([("a", "r", "b"), ("b", "r", "c"), ("c", "r", "c")])
    decoder = DistMult(num_relations=1, dim=1)
    decoder.relation.weight.data.fill_(1)
    return Predictor(kg, decoder, torch.tensor([[1.0], [2.0], [3.0]]))


def test_plausibility_is_the_geometric_mean_of_shares() -> None:
    # Scores are products of 1, 2 and 3. (a, r, b): tails score 1, 2, 3 and heads 2, 4, 6.
    # (b, r, c): tails 2, 4, 6; of the heads 3, 6, 9 the last is another known one.
    found = {(one.triple.head, one.triple.tail): one for one in check(toy())}
    e = math.exp
    tail, head = e(2) / (e(1) + e(2) + e(3)), e(2) / (e(2) + e(4) + e(6))
    assert found[("a", "b")].plausibility == pytest.approx((tail * head) ** 0.5)
    tail, head = e(6) / (e(2) + e(4) + e(6)), e(6) / (e(3) + e(6))
    assert found[("b", "c")].plausibility == pytest.approx((tail * head) ** 0.5)
    assert (found[("a", "b")].triple.head_rank, found[("a", "b")].triple.tail_rank) == (3, 2)


def test_least_plausible_come_first() -> None:
    listed = [(one.triple.head, one.triple.tail) for one in check(toy())]
    assert listed == [("a", "b"), ("b", "c"), ("c", "c")]
    assert len(check(toy(), top=1)) == 1
    (given,) = check(toy(), [("a", "r", "a")])
    assert given.triple.known == ()
    with pytest.raises(InputError, match="top: "):
        check(toy(), top=0)


def test_a_checked_training_triple_sends_no_message_while_it_is_scored(kg: KnowledgeGraph) -> None:
    torch.manual_seed(0)
    n, m = kg.num_entities, kg.num_relations
    model = Model(RGCN(n, m, 8), DistMult(m, 8)).eval()
    torch.nn.init.normal_(model.decoder.relation.weight)
    predictor = Predictor(kg, model.decoder, model.embeddings(kg.messages()).clone())
    left_out = []

    def encode(keep: torch.Tensor) -> torch.Tensor:
        left_out.append((~keep).nonzero().flatten().tolist())
        return model.embeddings(kg.messages().restrict(keep))

    ids = torch.cat((kg.train, kg.test[:1]))
    found = plausibility(predictor, ids, encode=encode)
    assert sorted(row for rows in left_out for row in rows) == list(range(len(kg.train)))
    keep = torch.arange(len(kg.train)) != 4
    alone = Predictor(kg, model.decoder, encode(keep))
    own = alone.scored(ids[4:5])[0].score
    assert found.scored[4].score == pytest.approx(own)
    assert own != pytest.approx(predictor.scored(ids[4:5])[0].score, abs=1e-3)
    # What is no training triple is scored with all messages.
    assert found.scored[-1] == predictor.scored(ids[-1:])[0]


def test_probabilities_stand_where_there_are_labels() -> None:
    predictor = toy()
    assert {one.triple.probability for one in check(predictor)} == {None}
    scores, labels = torch.tensor([1.0, 2, 6, 9]), torch.tensor([False, True, False, True])
    predictor.calibration = Platt.fit(scores, labels)
    found = check(predictor)
    for one in found:
        score = torch.tensor([one.triple.score])
        expected = float(predictor.calibration.probabilities(score))
        assert one.triple.probability == pytest.approx(expected)
        assert 0 < expected < 1
    assert table(found).splitlines()[1].split("\t")[2] == f"{found[0].triple.probability:.4f}"


def test_each_triple_of_a_table_is_one_line_of_six_columns() -> None:
    predictor = toy()
    names = ("tab\there", "line\nend", "c\x1b[2J" + "x" * 5000)
    predictor.kg = replace(predictor.kg, entities=Vocabulary(names))
    text = table(check(predictor))
    rows = [line.split("\t") for line in text.splitlines()]
    assert "\x1b" not in text
    assert [len(row) for row in rows] == [6] * 4
    assert max(map(len, text.splitlines())) < 500
    assert rows[1][3:] == ["tab\\there", "r", "line\\nend"]


def test_table_and_file(tmp_path: Path) -> None:
    (path := tmp_path / "t.tsv").write_text("a\tr\tb\n\nb\tr\tb\n")
    assert check(toy(), path) == check(toy(), [("a", "r", "b"), ("b", "r", "b")])
    assert table(check(toy(), path)).splitlines()[1] == "0.0623\t2.0000\t\ta\tr\tb"
    path.write_text("a\tr\tb\t1\nb\tr\tb\t-1\n")
    assert [one.triple.head for one in check(toy(), path)] == ["a"], "a false line is none"
    path.write_text("a\tr\tb\t-1\nb\tr\tb\t-1\n")
    with pytest.raises(InputError, match=r"t\.tsv: no triple in it: each .* is labelled false"):
        check(toy(), path)
    path.write_text("\n")
    with pytest.raises(InputError, match=r"t\.tsv: the file holds no triple"):
        check(toy(), path)
    assert check(toy(), []) == check(toy(), torch.empty(0, 3, dtype=torch.int64)) == []
    rows = [("a", "r", "b"), ("b", "r", "b")]
    assert check(toy(), (row for row in rows)) == check(toy(), rows)
    for text, sentence in (
        ("a\tr\n", "found 2 columns"),
        ("a\tr\tb\n\na\tr\td\n", r"t\.tsv:3: tail: unknown name 'd'; known: a, b, c"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=sentence):
            check(toy(), path)
