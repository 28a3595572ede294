"""Scores of candidate entities, for samplers that look at the model."""

import torch
from torch import Tensor
from torch.nn import functional as F

from dans.errors import InputError
from dans.models.batch import Positives

#: Scores that a table may hold, 64 MiB of float32; and numbers gathered at a time without one. A
#: larger part leaves a CPU's cache, and takes up to five times as long.
TABLE, PART = 2**24, 2**20


class Scorer:
    """The model's scores of corrupted triples, without gradients.

    Where many candidates are expected among few entities, the scores of all encoded for the 2b
    queries of the batch are computed once, and looked up; otherwise the candidates' embeddings are
    gathered part by part.

    ``expected`` says about how many candidates will be scored in all.
    """

    def __init__(self, positives: Positives, *, expected: int = 0) -> None:
        self.positives = positives
        self.entities = positives.entities.detach()
        self.queries = torch.cat((positives.tail_query, positives.head_query)).detach()
        scores = len(self.queries) * len(self.entities)
        self.table = self.score_all() if 0 < scores <= min(TABLE, expected) else None

    @torch.no_grad()
    def __call__(self, rows: Tensor, ids: Tensor, corrupt_head: Tensor) -> Tensor:
        """Scores of the batch's triples ``rows``, corrupted by ids: (...); arguments broadcast."""
        queries = rows + len(self.positives) * corrupt_head.long()
        ids = self.positives.rows(ids)
        if self.table is not None:
            return self.table[queries, ids]
        queries, ids = torch.broadcast_tensors(queries, ids)
        size = max(1, PART // (2 * max(1, self.entities.shape[1])))
        parts = zip(queries.flatten().split(size), ids.flatten().split(size), strict=True)
        scores = [
            self.positives.score_query(F.embedding(q, self.queries), F.embedding(e, self.entities))
            for q, e in parts
        ]
        return torch.cat(scores).view(ids.shape)

    @torch.no_grad()
    def score_all(self) -> Tensor:
        """Scores of all entities, for the tail queries and then the head queries: (2b, n)."""
        if self.positives.dot:
            scores = self.queries @ self.entities.T
            return scores + self.positives.shift if self.positives.shift else scores
        size = max(1, PART // max(1, self.entities.numel()))
        parts = [
            self.positives.score_query(part.unsqueeze(1), self.entities)
            for part in self.queries.split(size)
        ]
        return torch.cat(parts)


@torch.no_grad()
def score_gap(positives: Positives, stored: Tensor) -> float | None:
    """Mean score of what is stored for the queries of triples, minus that of the triples.

    ``stored``: (b, 2, ·) ids, −1 for none; None where nothing is stored.
    """
    rows = torch.arange(len(positives), device=stored.device)
    head = torch.tensor([False, True], device=stored.device).expand(len(positives), 2)
    scores = Scorer(positives)(rows.view(-1, 1, 1), stored.clamp(min=0), head.unsqueeze(-1))
    above = (scores - positives.scores(head).unsqueeze(-1))[stored >= 0]
    return float(above.mean()) if len(above) else None


def check_entities(positives: Positives, num_entities: int, what: str) -> None:
    """Refuse a batch over another number of entities than a sampler's, of which ``what`` speaks."""
    if positives.num_entities != num_entities:
        raise InputError(
            f"num_entities: {what} {num_entities} entities, not {positives.num_entities}"
        )
