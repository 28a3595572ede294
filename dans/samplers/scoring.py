"""Scores of candidates, for samplers that look at the model."""

import torch
from torch import Tensor
from torch.nn import functional as F

from dans.models.batch import Positives

#: Scores that a table may hold, 64 MiB of float32; and numbers gathered at a time otherwise. A
#: larger part leaves a CPU's cache, and takes up to five times as long.
TABLE, PART = 2**24, 2**20


class Scorer:
    """What the model thinks of entities in the place of others, without gradients.

    A triple asks two queries, so there are 2b queries; a candidate is one entity for one of them.
    Where there are many candidates for few entities, all of a query's scores are computed once, by
    a matrix product where ``score_query`` is one, and looked up; otherwise the candidates'
    embeddings are gathered, part by part, in bounded memory.

    Args:
        positives: the batch.
        expected: about how many candidates will be scored in all.
        table: scores that a table may hold.
        part: numbers held at once where there is none.

    Example:
        >>> entities = torch.eye(3)
        >>> triples = torch.tensor([[0, 0, 1]])
        >>> h, t = entities[:1], entities[1:2]
        >>> score_query = lambda query, entity: (query * entity).sum(-1)
        >>> positives = Positives(triples, h, h, t, 2 * h, 3 * t, entities, score_query)
        >>> scorer = Scorer(positives)
        >>> scorer(torch.tensor([0, 0]), torch.tensor([0, 1]), torch.tensor([False, True]))
        tensor([2., 3.])
    """

    def __init__(
        self, positives: Positives, *, expected: int = 0, table: int = TABLE, part: int = PART
    ) -> None:
        self.positives = positives
        self.part = part
        self.entities = positives.entities.detach()
        self.queries = torch.cat((positives.tail_query, positives.head_query)).detach()
        scores = len(self.queries) * len(self.entities)
        self.table = self.every() if 0 < scores <= min(table, expected) else None

    @torch.no_grad()
    def __call__(self, rows: Tensor, ids: Tensor, replaces_head: Tensor) -> Tensor:
        """Scores of candidates.

        Args:
            rows: the triples they are candidates for, (...), or what broadcasts to it.
            ids: (...) entities.
            replaces_head: which side they would replace, likewise.

        Returns:
            (...) scores, detached.
        """
        asked = rows + len(self.positives) * replaces_head.long()
        if self.table is not None:
            return self.table[asked, ids]
        asked, ids = torch.broadcast_tensors(asked, ids)
        width = max(1, self.entities.shape[1])
        size = max(1, self.part // (2 * width))
        scores = [
            self.score_query(part, F.embedding(who, self.entities))
            for part, who in zip(
                asked.flatten().split(size), ids.flatten().split(size), strict=True
            )
        ]
        return torch.cat(scores).view(ids.shape)

    def score_query(self, asked: Tensor, embeddings: Tensor) -> Tensor:
        """Scores of (q, d) embeddings as answers to queries given by number."""
        return self.positives.score_query(F.embedding(asked, self.queries), embeddings)

    @torch.no_grad()
    def every(self) -> Tensor:
        """All entities' scores for all queries, tails' first: (2b, n)."""
        if self.positives.dot:
            return self.queries @ self.entities.T
        size = max(1, self.part // max(1, self.entities.numel()))
        parts = [
            self.positives.score_query(part.unsqueeze(1), self.entities)
            for part in self.queries.split(size)
        ]
        return torch.cat(parts)


@torch.no_grad()
def gap(positives: Positives, held: Tensor) -> float | None:
    """How far entities held for the queries of triples score above these triples, on average.

    Args:
        positives: the batch.
        held: (b, 2, ·) ids, for the tail and for the head; −1 where there is none.

    Returns:
        None where there is none at all.
    """
    rows = torch.arange(len(positives), device=held.device)
    head = torch.tensor([False, True], device=held.device).expand(len(positives), 2)
    scores = Scorer(positives)(rows.view(-1, 1, 1), held.clamp(min=0), head.unsqueeze(-1))
    above = (scores - positives.scores(head).unsqueeze(-1))[held >= 0]
    return float(above.mean()) if len(above) else None
