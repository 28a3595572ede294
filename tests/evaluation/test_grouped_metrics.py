"""Metrics by group of queries against those of the queries of the group alone."""

import csv
import io
from pathlib import Path

import pytest
import torch

from dans.data.graph import KnowledgeGraph
from dans.errors import InputError
from dans.evaluation.evaluator import EvaluationReport, Evaluator
from dans.evaluation.grouped_metrics import classify, csv_text, table
from dans.evaluation.ranking import metrics
from dans.evaluation.sampled_ranking import SampledEvaluator
from dans.models.decoders import DistMult


@pytest.fixture
def report(kg: KnowledgeGraph) -> EvaluationReport:
    torch.manual_seed(0)
    return Evaluator(kg, "test")(DistMult(kg.num_relations, 4), torch.randn(kg.num_entities, 4))


def test_rows_are_the_metrics_of_their_own_queries(
    kg: KnowledgeGraph, report: EvaluationReport, tmp_path: Path
) -> None:
    assert report.source is not None
    ranks = report.source[1]
    people = {"ada", "bob", "cy", "gus"}
    path = tmp_path / "types.tsv"
    lines = [f"{name}\tperson\n" for name in sorted(people)]
    path.write_text("".join([*lines, "tea\tthing\n", "ada\tpoet\n"]))

    def types(entity: int) -> list[str]:
        name = kg.entities[entity]
        found = ["person"] * (name in people) + ["poet"] * (name == "ada")
        return [*found, *["thing"] * (name == "tea")] or ["no type"]

    classes = classify(kg.train, kg.num_relations)
    triples = kg.test.tolist()
    groupings = {
        "relation": [[[kg.relations[r]]] * 2 for _, r, _ in triples],
        "category": [[[classes[r]]] * 2 for _, r, _ in triples],
        f"type:{path}": [[types(h), types(t)] for h, _, t in triples],
    }
    for by, groups in groupings.items():
        kind = by.partition(":")[0]
        rows = report.rows(by)
        names = {name for pair in groups for side in pair for name in side}
        assert {row[kind] for row in rows} == names
        for row in rows:
            mine = torch.tensor([[row[kind] in side for side in pair] for pair in groups])
            wanted = metrics(ranks.realistic[mine], ranks.candidates[mine])
            assert {name: row[name] for name in wanted} == wanted
            tails = mine[:, 1]
            mrr = (1 / ranks.realistic[:, 1][tails]).mean().item() if tails.any() else None
            assert row["tails_mrr"] == pytest.approx(mrr)
    by_relation = report.by_relation()
    assert by_relation["queries"].sum() == report.both["queries"]
    assert by_relation["queries"].is_monotonic_decreasing
    means = (by_relation["mrr"] * by_relation["queries"]).sum() / by_relation["queries"].sum()
    assert means == pytest.approx(report.both["mrr"])


def test_a_table_and_csv_have_a_line_for_each_row(report: EvaluationReport) -> None:
    rows = report.rows("degree")
    lines = table(rows)
    assert len({len(line) for line in lines}) == 1
    assert [line.split()[0] for line in lines] == ["degree", *(row["degree"] for row in rows)]
    assert "–" in lines[1]
    read = list(csv.DictReader(io.StringIO(csv_text(rows))))
    assert [float(one["mrr"]) for one in read] == [row["mrr"] for row in rows]
    assert read[0]["tails_mrr"] == ""


def test_metrics_among_some_keep_their_names(kg: KnowledgeGraph) -> None:
    torch.manual_seed(0)
    sampled = SampledEvaluator(kg, "test", candidates=3)
    row = sampled(DistMult(kg.num_relations, 4), torch.randn(kg.num_entities, 4)).rows("category")[
        0
    ]
    assert {"sampled_mrr", "sampled_hits@10", "heads_sampled_mrr", "queries"} <= row.keys()
    assert "mrr" not in row


@pytest.mark.parametrize("by", ["relations", "type", "relation:x", ""])
def test_what_metrics_are_not_grouped_by_is_refused(report: EvaluationReport, by: str) -> None:
    with pytest.raises(InputError, match="relation, category, degree, type:FILE; got"):
        report.rows(by)
