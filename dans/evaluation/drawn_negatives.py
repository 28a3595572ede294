"""Labels for a graph that has none: its triples are true, and as many drawn negatives are false."""

from collections.abc import Iterable
from dataclasses import replace

import torch

from dans.data.graph import KnowledgeGraph, Split
from dans.evaluation.sampled_ranking import Draws


def with_drawn(kg: KnowledgeGraph, splits: Iterable[Split], seed: int = 0) -> KnowledgeGraph:
    """The graph whose lines of some splits are its triples and, labelled false, drawn negatives.

    For each triple the head or the tail, by a fair coin, is replaced by an entity that is drawn
    uniformly from those with which the triple is in no split. A triple that has no such entity has
    no negative. What is drawn depends on the seed and the splits alone.

    Example:
        >>> kg = KnowledgeGraph.of([("ada", "knows", "bob"), ("bob", "owns", "tea")])
        >>> lines, holds = with_drawn(kg, ["train"]).lines("train")
        >>> holds.tolist(), kg.known().is_known(lines).tolist()
        ([True, True, False, False], [True, True, False, False])
    """
    generator, labelled = torch.Generator().manual_seed(seed), {}
    for split in splits:
        triples = kg.split(split)
        heads = torch.rand(len(triples), generator=generator) < 0.5
        lines = [triples]
        for column, rows in ((0, heads), (2, ~heads)):
            negatives = triples[rows].clone()
            ids, there = Draws(kg.known(), column, 1)(negatives, generator)
            negatives[:, column] = ids[:, 0]
            lines.append(negatives[there[:, 0]])
        both = torch.cat(lines)
        labelled[split] = (both, torch.arange(len(both)) < len(triples))
    return replace(kg, labelled=labelled)
