"""Memory and time of ranking under several memory budgets."""

from __future__ import annotations

from collections.abc import Callable

import torch

from dans.data.graph import KnowledgeGraph
from dans.evaluation.evaluator import EvaluationReport, Evaluator
from dans.memory import Budget, keep_freed_memory, stated
from dans.models.decoders import DECODERS
from dans.registry import build
from scripts.benchmarks.measure import Row, compete

#: Memory budgets; the first is a quarter of what is free.
BUDGETS = ("", "200MB", "50MB", "20MB")

#: Width of an entity's embedding.
WIDTH = 200


def rows(kg: str, decoder: str = "complex", rounds: int = 1) -> list[Row]:
    """All test triples of a data set ranked, by a model that was never trained, under each budget.

    A process grows by no more than its budget, the ranks, and what allocators keep for later.
    """
    work = f"Ranking under a budget, {decoder} d={WIDTH}, all of the {kg} test split"
    names = [f"dans, {text or 'a quarter of what is free'}" for text in BUDGETS]
    return compete(work, names, make_ranking, kg, decoder, rounds=rounds)


def make_ranking(name: str, kg: str, decoder: str) -> Callable[[], EvaluationReport]:
    """One ranking of the test split; graph, filter, model and embeddings are there before."""
    keep_freed_memory()
    text = BUDGETS[0] if "quarter" in name else name.removeprefix("dans, ")
    graph = KnowledgeGraph.load(kg)
    evaluator = Evaluator(graph, "test", budget=Budget(stated(text)))
    torch.manual_seed(0)
    model = build(DECODERS, decoder, num_relations=graph.num_relations, dim=WIDTH).eval()
    entities = torch.randn(graph.num_entities, WIDTH)
    return lambda: evaluator(model, entities)
