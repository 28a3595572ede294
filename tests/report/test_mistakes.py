"""The worst queries and the high-scoring new triples, against all scores at once."""

from collections.abc import Sequence

import pytest
import torch

from dans.config.schema import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.evaluation.calibration import Platt
from dans.evaluation.evaluator import Evaluator, Ranks
from dans.models.decoders import DistMult
from dans.models.encoders import Lookup
from dans.models.model import Model
from dans.predict import Predictor
from dans.report import mistakes
from dans.report.mistakes import missing, score, worst
from dans.runs.train import Trained


@pytest.fixture
def trained(kg: KnowledgeGraph) -> Trained:
    """A random model."""
    torch.manual_seed(0)
    encoder = Lookup(kg.num_entities, 4)
    model = Model(encoder, DistMult(kg.num_relations, 4))
    config = RunConfig.parse({"data": "toy", "encoder": "lookup", "decoder": "distmult"})
    return Trained(config, kg, model, torch.randn(kg.num_entities, 4), 0, {})


@pytest.fixture
def predictor(trained: Trained) -> Predictor:
    return Predictor(trained.kg, trained.model.decoder, trained.entities)


@pytest.fixture
def ranks(trained: Trained) -> Ranks:
    return Evaluator(trained.kg, "test").ranks(trained.model.decoder, trained.entities)


def truth(trained: Trained, triple: Sequence[int]) -> float:
    """The score of a triple, by ids."""
    return float(trained.positives(torch.tensor([triple])).scores().detach())


def new_scores(trained: Trained) -> dict[tuple[str, str, str], float]:
    """Scores of the triples of no split that answer a test query, by a loop over all."""
    kg, found = trained.kg, {}
    known = {tuple(f) for split in (kg.train, kg.valid, kg.test) for f in split.tolist()}
    for h, r, t in kg.test.tolist():
        for e in range(kg.num_entities):
            for triple in ((e, r, t), (h, r, e)):
                if triple not in known:
                    names = kg.entities[triple[0]], kg.relations[r], kg.entities[triple[2]]
                    found[names] = truth(trained, triple)
    return found


def test_worst_answers_come_first_and_queries_once(predictor: Predictor, ranks: Ranks) -> None:
    found = worst(predictor, ranks)
    assert found
    assert found[0].rank == float(ranks.realistic.max())
    assert [one.rank for one in found] == sorted((one.rank for one in found), reverse=True)
    assert len({one.query for one in found}) == len(found)
    assert {one.query.target for one in found} == {"head", "tail"}


def test_answers_are_the_highest_scores_with_known_ones_marked(
    trained: Trained, predictor: Predictor, ranks: Ranks
) -> None:
    kg = trained.kg
    for one in worst(predictor, ranks):
        assert len(one.answers) == mistakes.ANSWERS
        given = [(answer.name, answer.score, answer.known) for answer in one.answers]
        for name, value, known in (*given, (one.right, one.score, None)):
            head, relation, tail = (part or name for part in one.query.parts)
            triple = [
                kg.entities.index(head),
                kg.relations.index(relation),
                kg.entities.index(tail),
            ]
            splits = [s for s in ("train", "valid", "test") if triple in kg.split(s).tolist()]
            assert "test" in splits if known is None else list(known) == splits
            assert value == pytest.approx(truth(trained, triple), abs=1e-5)
        assert one.answers[0].score >= one.answers[-1].score


def test_no_relation_fills_the_table(
    predictor: Predictor, ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mistakes, "SAME", 1)
    found = worst(predictor, ranks)
    kinds = [(one.query.relation, one.query.target) for one in found]
    assert len(set(kinds)) == len(kinds)


def test_perfect_answers_are_not_wrong(predictor: Predictor, ranks: Ranks) -> None:
    first = torch.ones_like(ranks.optimistic)
    assert worst(predictor, Ranks(ranks.triples, first, first, ranks.candidates)) == []


def test_missing_triples_are_the_highest_scores_of_no_split(
    trained: Trained, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mistakes, "EACH", 8)
    found, searched = missing(predictor, trained.kg.test)
    scores = new_scores(trained)
    expected = sorted(scores.values(), reverse=True)[: mistakes.MISSING]
    assert [one.score for one in found] == pytest.approx(expected, abs=1e-5)
    for one in found:
        assert scores[one.head, one.relation, one.tail] == pytest.approx(one.score, abs=1e-5)
        assert one.probability is None
    pairs = trained.kg.test.tolist()
    assert searched == len({(r, t) for _, r, t in pairs}) + len({(h, r) for h, r, _ in pairs})


def test_probabilities_are_the_calibrations(trained: Trained, predictor: Predictor) -> None:
    predictor.calibration = Platt(a=2.0, b=-1.0)
    found, _ = missing(predictor, trained.kg.test)
    for one in found:
        assert one.probability == pytest.approx(1 / (1 + 2.718281828 ** (1 - 2 * one.score)))


@pytest.mark.parametrize("heads", [True, False])
def test_score_is_that_of_the_decoder(
    trained: Trained, predictor: Predictor, *, heads: bool
) -> None:
    for triple in trained.kg.test:
        own = truth(trained, triple.tolist())
        assert score(predictor, triple, heads=heads) == pytest.approx(own, abs=1e-5)
