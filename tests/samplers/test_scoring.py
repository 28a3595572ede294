"""Scores of candidates: the same by table, by parts, and one by one."""

from dataclasses import replace

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.models.batch import Positives
from dans.models.decoders import DECODERS, DistMult
from dans.samplers import scoring
from dans.samplers.scoring import Scorer, score_gap
from tests.suites.samplers import triples_as_embeddings


@pytest.mark.parametrize(
    ("expected", "sizes"),
    [(0, {}), (10**6, {}), (0, {"PART": 1}), (10**6, {"TABLE": 300, "PART": 50})],
)
def test_scores_are_those_of_negatives(
    expected: int, sizes: dict[str, int], kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in sizes.items():
        monkeypatch.setattr(scoring, name, size)
    for decoder in DECODERS:
        positives, _, _ = triples_as_embeddings(kg, decoder)
        scorer = Scorer(positives, expected=expected)
        assert (scorer.table is not None) == (expected > 0)
        torch.manual_seed(1)
        ids = torch.randint(kg.num_entities, (len(positives), 5))
        side = torch.rand(ids.shape) < 0.5
        rows = torch.arange(len(positives)).unsqueeze(1)
        queries = torch.where(
            side.unsqueeze(-1), positives.head_query.unsqueeze(1), positives.tail_query.unsqueeze(1)
        )
        wanted = positives.score_query(queries, positives.entities[ids]).detach()
        scores = scorer(rows, ids, side)
        torch.testing.assert_close(scores, wanted)
        assert not scores.requires_grad


def test_scores_by_table_have_the_shift_of_the_decoder(kg: KnowledgeGraph) -> None:
    decoder = DistMult(kg.num_relations, 4, shift=5.0)
    positives = Positives.from_embeddings(kg.train, torch.randn(kg.num_entities, 4), decoder)
    rows, side = torch.arange(len(kg.train)), kg.train[:, 0] % 2 == 0
    found = [Scorer(positives, expected=n)(rows, kg.train[:, 0], side) for n in (0, 10**6)]
    torch.testing.assert_close(*found)


def test_a_table_that_would_be_too_large_or_too_little_used_is_not_made(
    kg: KnowledgeGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    positives, _, _ = triples_as_embeddings(kg)
    scores = 2 * len(positives) * kg.num_entities
    assert Scorer(positives, expected=scores).table is not None
    assert Scorer(positives, expected=scores - 1).table is None
    monkeypatch.setattr(scoring, "TABLE", scores - 1)
    assert Scorer(positives, expected=scores).table is None


@pytest.mark.parametrize("reciprocal", [False, True])
def test_the_gap_is_a_mean_over_all_that_is_stored(reciprocal: bool, kg: KnowledgeGraph) -> None:
    positives = triples_as_embeddings(kg)[0].detach()
    positives = replace(positives, reciprocal=reciprocal, head_query=2 * positives.head_query)
    torch.manual_seed(0)
    stored = torch.randint(-1, kg.num_entities, (len(positives), 2, 3))
    above = []
    for i, (heads, _, tails) in enumerate(kg.train.tolist()):
        for side, query in enumerate((positives.tail_query[i], positives.head_query[i])):
            triple = (query, heads) if reciprocal and side else (positives.tail_query[i], tails)
            for e in stored[i, side].tolist():
                if e >= 0:
                    score = positives.score_query(query, positives.entities[e])
                    above.append(
                        float(
                            score - positives.score_query(triple[0], positives.entities[triple[1]])
                        )
                    )
    assert score_gap(positives, stored) == pytest.approx(sum(above) / len(above), abs=1e-5)
    assert score_gap(positives, torch.full_like(stored, -1)) is None
