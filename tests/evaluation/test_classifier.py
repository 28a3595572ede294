"""Labelled lines are scored as they are, true and false alike."""

from dataclasses import replace

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.evaluation import classifier
from dans.evaluation.classification import classification
from dans.evaluation.classifier import Classifier, logits
from dans.memory import Budget
from dans.models.decoders import DECODERS, Multilinear
from dans.models.decoders.multilinear import DistMult
from dans.registry import build


def labelled(kg: KnowledgeGraph) -> KnowledgeGraph:
    """The toy graph, whose valid lines stand in both directions; the reversed ones do not hold."""
    lines = torch.cat((kg.valid, kg.valid.flip(1)[:, [0, 1, 2]]))
    holds = torch.arange(len(lines)) < len(kg.valid)
    return replace(kg, labelled={"valid": (lines, holds)})


@pytest.mark.parametrize("reciprocal", [False, True])
@pytest.mark.parametrize("bound", [None, 2.0])
@pytest.mark.parametrize("name", sorted(DECODERS))
def test_every_decoder_scores_as_in_ranking(
    name: str, bound: float | None, reciprocal: bool, kg: KnowledgeGraph
) -> None:
    given = {"bound": bound, "shift": -1.5} if issubclass(DECODERS[name], Multilinear) else {}
    torch.manual_seed(0)
    decoder = build(
        DECODERS,
        name,
        given={"reciprocal": reciprocal, **given},
        num_relations=kg.num_relations,
        dim=4,
    ).eval()
    prepared = decoder.prepare(torch.randn(kg.num_entities, 4))
    graph = labelled(kg)
    found = Classifier(graph, "valid").scores(decoder, prepared)
    heads, relations, tails = graph.lines("valid")[0].unbind(1)
    queries = decoder.tail_queries(prepared[heads], relations)
    expected = decoder.score_all(queries, prepared).gather(1, tails.unsqueeze(1))
    if reciprocal:
        queries = decoder.head_queries(relations, prepared[tails])
        backward = decoder.score_all(queries, prepared).gather(1, heads.unsqueeze(1))
        assert not torch.allclose(expected, backward)
        expected = (expected + backward) / 2
    torch.testing.assert_close(found, expected.squeeze(1))


def test_a_decoder_that_trains_is_evaluated_without_dropout_and_keeps_training(
    kg: KnowledgeGraph,
) -> None:
    torch.manual_seed(0)
    decoder = DistMult(kg.num_relations, 40, dropout=0.5, query_dropout=0.5)
    entities = torch.randn(kg.num_entities, 40)
    classifier = Classifier(labelled(kg), "valid")
    expected = classifier.scores(decoder.eval(), entities)
    assert not decoder.training
    assert torch.equal(classifier.scores(decoder.train(), entities), expected)
    assert decoder.training


def test_classification_report_is_chosen_by_its_nll(kg: KnowledgeGraph) -> None:
    torch.manual_seed(0)
    decoder = DistMult(kg.num_relations, 4)
    graph = labelled(kg)
    classifier = Classifier(graph, "valid")
    entities = torch.randn(kg.num_entities, 4)
    report = classifier(decoder, entities)
    expected = classification(classifier.scores(decoder, entities), graph.lines("valid")[1])
    assert report.numbers == expected
    assert report.selection_metric == expected["nll"]
    assert f"valid NLL {expected['nll']:.4f}" in report.summary()


def test_lines_of_one_kind_are_refused(kg: KnowledgeGraph) -> None:
    with pytest.raises(InputError, match="valid: lines labelled true and lines labelled false"):
        Classifier(kg, "valid")


@pytest.mark.parametrize("name", DECODERS)
def test_no_logit_depends_on_the_lines_scored_at_a_time(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    decoder = build(DECODERS, name, num_relations=5, dim=20)
    entities = torch.randn(40, 20)
    lines = torch.stack((torch.arange(400) % 40, torch.arange(400) % 5, torch.arange(400) // 10), 1)
    whole = logits(decoder, entities, lines)
    close = 1e-6 if name in ("rescal", "tucker") else 0.0
    score = classifier._scores

    def limited(*given: torch.Tensor) -> torch.Tensor:
        if len(given[-1]) > 30:
            raise MemoryError
        return score(*given)

    monkeypatch.setattr(classifier, "_scores", limited)
    budget = Budget(10**9)
    torch.testing.assert_close(
        logits(decoder, entities, lines, budget=budget), whole, rtol=close, atol=close
    )
    assert budget.found is not None
    with pytest.raises(InputError, match="memory_budget: expected at least"):
        logits(decoder, entities, lines, budget=Budget(1000))
    assert logits(decoder, entities, lines[:0]).shape == (0,)
