"""The worst answers and the facts believed, against all scores at once."""

from collections.abc import Sequence

import pytest
import torch

from dans.assembly import Trained
from dans.calibration import Platt
from dans.config import RunConfig
from dans.data.graph import KnowledgeGraph
from dans.evaluation import Evaluator, Ranks
from dans.models.decoders import DistMult
from dans.models.encoders import Lookup
from dans.models.model import Model
from dans.reporting import wrong
from dans.reporting.wrong import missing, score, worst


@pytest.fixture
def trained(kg: KnowledgeGraph) -> Trained:
    """A model that knows nothing."""
    torch.manual_seed(0)
    encoder = Lookup(kg.num_entities, 4)
    model = Model(encoder, DistMult(kg.num_relations, 4))
    config = RunConfig.parse({"data": "toy", "encoder": "lookup", "decoder": "distmult"})
    return Trained(config, kg, model, torch.randn(kg.num_entities, 4), 0, {})


@pytest.fixture
def ranks(trained: Trained) -> Ranks:
    return Evaluator(trained.kg, "test").ranks(trained.model.decoder, trained.entities)


def truth(trained: Trained, fact: Sequence[int]) -> float:
    """The score of a fact, by ids."""
    return float(trained.positives(torch.tensor([fact])).scores().detach())


def believed(trained: Trained) -> dict[tuple[str, str, str], float]:
    """Unknown answers to what test asks, with their scores, by a loop over all of them."""
    kg, found = trained.kg, {}
    known = {tuple(f) for split in (kg.train, kg.valid, kg.test) for f in split.tolist()}
    for h, r, t in kg.test.tolist():
        for e in range(kg.num_entities):
            for fact in ((e, r, t), (h, r, e)):
                if fact not in known:
                    names = kg.entities[fact[0]], kg.relations[r], kg.entities[fact[2]]
                    found[names] = truth(trained, fact)
    return found


def test_worst_answers_come_first_and_questions_once(trained: Trained, ranks: Ranks) -> None:
    found = worst(trained, ranks)
    assert found
    assert found[0].rank == float(ranks.realistic.max())
    assert [one.rank for one in found] == sorted((one.rank for one in found), reverse=True)
    questions = [(one.head, one.relation, one.tail) for one in found]
    assert len(set(questions)) == len(questions)
    assert all((head == "?") != (tail == "?") for head, _, tail in questions)


def test_answers_are_the_highest_scores_with_known_ones_marked(
    trained: Trained, ranks: Ranks
) -> None:
    kg = trained.kg
    for one in worst(trained, ranks):
        assert len(one.answers) == wrong.ANSWERS
        names = [one.head, one.relation, one.tail]
        for answer in (*one.answers, one.right):
            names[0 if one.head == "?" else 2] = answer.name
            fact = [kg.entities.index(names[0]), kg.relations.index(names[1])]
            fact.append(kg.entities.index(names[2]))
            splits = [s for s in ("train", "valid", "test") if fact in kg.split(s).tolist()]
            assert list(answer.known) == splits
            expected = truth(trained, fact)
            assert answer.score == pytest.approx(expected, abs=1e-5)
        assert one.answers[0].score >= one.answers[-1].score
        assert "test" in one.right.known


def test_no_relation_fills_the_table(
    trained: Trained, ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wrong, "SAME", 1)
    found = worst(trained, ranks)
    kinds = [(one.relation, one.head == "?") for one in found]
    assert len(set(kinds)) == len(kinds)


def test_perfect_answers_are_not_wrong(trained: Trained, ranks: Ranks) -> None:
    first = torch.ones_like(ranks.optimistic)
    assert worst(trained, Ranks(ranks.facts, first, first, ranks.candidates)) == []


@pytest.mark.parametrize("size", [2**24, 1], ids=["at once", "one by one"])
def test_believed_facts_are_the_best_unknown_ones(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(wrong, "EACH", 8)
    monkeypatch.setattr(wrong, "MAX_BYTES", size)
    found, asked = missing(trained, trained.kg.test)
    scores = believed(trained)
    expected = sorted(scores.values(), reverse=True)[: wrong.MISSING]
    assert [one.score for one in found] == pytest.approx(expected, abs=1e-5)
    for one in found:
        assert scores[one.head, one.relation, one.tail] == pytest.approx(one.score, abs=1e-5)
        assert one.probability is None
    pairs = trained.kg.test.tolist()
    assert asked == len({(r, t) for _, r, t in pairs}) + len({(h, r) for h, r, _ in pairs})


def test_probabilities_are_the_calibrations(trained: Trained) -> None:
    found, _ = missing(trained, trained.kg.test, Platt(a=2.0, b=-1.0))
    for one in found:
        assert one.probability == pytest.approx(1 / (1 + 2.718281828 ** (1 - 2 * one.score)))


def test_scores_are_those_of_the_decoder(trained: Trained) -> None:
    facts = trained.kg.test[:2]
    tails, heads = (score(trained, facts, heads=side) for side in (False, True))
    own = trained.positives(facts).scores().squeeze(1)
    torch.testing.assert_close(tails[range(2), facts[:, 2]], own.detach())
    torch.testing.assert_close(heads[range(2), facts[:, 0]], own.detach())
