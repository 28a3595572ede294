"""Filtered ranking of head and tail queries.

Scores are computed in tiles whose shapes depend on the numbers of queries and entities only,
because matrix products of other shapes round differently. So ranks do not depend on memory: a
smaller budget keeps fewer rows of each tile, and computes the tile again for the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import ceil
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from dans.data.graph import SPLITS, KnowledgeGraph, Split
from dans.errors import InputError, one_of
from dans.evaluation.competitors import Queries, query_competitors
from dans.evaluation.ranking import metrics
from dans.memory import Budget
from dans.models.decoders.base import Decoder
from dans.models.decoders.costs import query_cost, score_cost
from dans.models.model import eval_mode

#: What to do with triples whose head or tail is in no training triple.
Unseen = Literal["rank", "drop"]

#: Bytes of the scores of a block of queries, unless it has ``FEW`` queries or ``MANY``.
MAX_BYTES = 16 * 2**20

#: Scores of a tile: what a CPU's cache holds, or what keeps another device busy.
TILE, TILE_ELSEWHERE = 2**18, 2**22

#: Queries of a block, at least and at most. Fewer are multiplied by other kernels, which round
#: equal entities differently.
FEW, MANY = 16, 1024


@dataclass(frozen=True)
class EvaluationReport:
    """The metrics of the filtered ranking of one split, by name.

    ``protocol``: filter, ties, and triples with unseen entities; reports are comparable only if it
    agrees. ``heads``: over queries (?, r, t); ``tails``: over (h, r, ?). ``tie_rate``: share of
    queries whose right answer ties with a competitor; above 0.01, look for a constant encoder or
    saturated scores.
    """

    split: str
    protocol: dict[str, Any]
    both: dict[str, float]
    heads: dict[str, float]
    tails: dict[str, float]
    tie_rate: float

    def __str__(self) -> str:
        """The table."""
        return "\n".join(self.table())

    def to_json(self) -> dict[str, object]:
        """Plain containers, for ``json.dump``."""
        return asdict(self)

    @property
    def selection_metric(self) -> float:
        """The MRR over both sides, by which checkpoints are selected."""
        return self.both["mrr"]

    def is_better(self, best: float) -> bool:
        """Is the selection metric better than this?"""
        return self.selection_metric > best

    def metrics(self) -> dict[str, dict[str, float]]:
        """The metrics to log, by side."""
        return {"both": self.both, "heads": self.heads, "tails": self.tails}

    def summary(self) -> str:
        """Split, MRR and Hits@1 in a phrase."""
        return f"{self.split} MRR {self.selection_metric:.4f}, Hits@1 {self.both['hits@1']:.4f}"

    def table(self) -> list[str]:
        """The lines of a table: a row per side, a column per metric."""
        lines = [f"{self.split:<6}" + "".join(f"{name:>11}" for name in self.both)]
        for side, numbers in self.metrics().items():
            cells = (str(v) if isinstance(v, int) else f"{v:.4f}" for v in numbers.values())
            lines.append(f"{side:<6}" + "".join(f"{cell:>11}" for cell in cells))
        return lines


@dataclass(frozen=True)
class Ranks:
    """The rank of every triple's head and tail; column 0 is (?, r, t), column 1 is (h, r, ?).

    ``triples``: (f, 3), in the order of the split. ``optimistic`` and ``pessimistic``: (f, 2) int64
    ranks, the right answer before and after its ties. ``candidates``: (f, 2) int64 competitors and
    the right answer.
    """

    triples: Tensor
    optimistic: Tensor
    pessimistic: Tensor
    candidates: Tensor

    @property
    def realistic(self) -> Tensor:
        """(f, 2) float64 ranks, ties counting half."""
        return (self.optimistic + self.pessimistic).double() / 2


class Evaluator:
    """Ranks the head and the tail of every triple of a split, filtered by all three splits.

    Equal queries are scored once, and the scores of one block of queries exist at a time.

    Args:
        ks: the k of Hits@k.
        unseen: ``"rank"`` all triples, or ``"drop"`` those with an entity that is in no training
            triple. Such an entity is a candidate either way.
        budget: memory for scores, tiles, queries and comparisons; None: a quarter of what is free
            at each ranking. Ranks do not depend on it.
    """

    def __init__(
        self,
        kg: KnowledgeGraph,
        split: Split,
        *,
        ks: Sequence[int] = (1, 3, 10),
        unseen: Unseen = "rank",
        budget: Budget | None = None,
    ) -> None:
        one_of("unseen", unseen, get_args(Unseen))
        if not ks or min(ks) < 1:
            raise InputError(f"ks: expected positive ranks, got {list(ks)}")
        triples = kg.split(split)
        if unseen == "drop":
            triples = triples[kg.seen[triples[:, [0, 2]]].all(1)]
        if not len(triples):
            raise InputError(f"{split}: the split has no triple to rank")
        self.kg, self.split, self.triples = kg, split, triples
        self.ks, self.unseen, self.budget = tuple(ks), unseen, budget
        known = kg.known()
        heads, relations, tails = triples.to(known.device).unbind(1)
        n = kg.num_entities
        self._heads = Queries.of(tails, relations, heads, lambda t, r: known.heads(r, t), n)
        self._tails = Queries.of(heads, relations, tails, known.tails, n)

    def __call__(self, decoder: Decoder, entities: Tensor) -> EvaluationReport:
        """The metrics of ``ranks``; a NaN among the scores is a ``FloatingPointError``."""
        return self.report(self.ranks(decoder, entities))

    @torch.no_grad()
    def ranks(self, decoder: Decoder, entities: Tensor) -> Ranks:
        """Rank the split without dropout, on the device of the (n, d) entities."""
        n = self.kg.num_entities
        if len(entities) != n:
            raise ValueError(f"entities: expected {n} rows, got {len(entities)}")
        heads, tails = self._heads.to(entities.device), self._tails.to(entities.device)
        with eval_mode(decoder):
            columns = (
                self._side(heads, lambda t, r: decoder.head_queries(r, t), decoder, entities),
                self._side(tails, decoder.tail_queries, decoder, entities),
            )
        return Ranks(self.triples, *torch.stack(columns, 2).cpu())

    def report(self, ranks: Ranks) -> EvaluationReport:
        """The metrics of ranks, all of ``ranks`` or some of their rows."""
        realistic, candidates = ranks.realistic, ranks.candidates
        unseen = {"rank": "ranked", "drop": "dropped"}[self.unseen]
        return EvaluationReport(
            split=self.split,
            protocol={"filter": list(SPLITS), "ties": "realistic", "unseen_entities": unseen},
            both=metrics(realistic.flatten(), candidates.flatten(), ks=self.ks),
            heads=metrics(realistic[:, 0], candidates[:, 0], ks=self.ks),
            tails=metrics(realistic[:, 1], candidates[:, 1], ks=self.ks),
            tie_rate=float((ranks.optimistic != ranks.pessimistic).double().mean()),
        )

    def _side(
        self,
        queries: Queries,
        embed: Callable[[Tensor, Tensor], Tensor],
        decoder: Decoder,
        entities: Tensor,
    ) -> Tensor:
        """Optimistic ranks, pessimistic ranks and candidates of one side, (3, f)."""
        q, n, size = len(queries.anchors), len(entities), entities.element_size()
        # Blocks and tiles of nearly one size: small remainders would be rounded differently.
        most = min(max(MAX_BYTES // (n * size), FEW), MANY)
        most = ceil(q / ceil(q / most))
        rows = max(most, FEW)
        wide = _tile_width(rows, entities)
        held = query_cost(decoder, rows) + score_cost(decoder, rows, wide)
        fixed = held * size + queries.bytes_held(most, n, size)
        budget = self.budget or Budget(device=entities.device)

        def competitors(block: slice) -> Tensor:
            # A function, so that the scores of one part are freed before the next are computed.
            def of(part: slice) -> Tensor:
                relations = queries.relations[block]
                embedded = embed(entities.index_select(0, queries.anchors[block]), relations)
                check = partial(self._refuse_nan, relations=relations[part])
                scores = score_all(decoder, embedded, entities, part=part, wide=wide, check=check)
                return query_competitors(scores, queries, block.start + part.start)

            parts = budget.chunks(block.stop - block.start, n * size, of, fixed=fixed)
            return torch.cat(list(parts), 1)

        blocks = [slice(first, min(first + most, q)) for first in range(0, q, most)]
        counted = torch.cat([competitors(block) for block in blocks], 1)
        ranks = torch.cat((1 + counted, queries.candidates.unsqueeze(0)))
        return torch.empty_like(ranks).index_copy_(1, queries.triples, ranks)

    def _refuse_nan(self, scores: Tensor, left: int, *, relations: Tensor) -> None:
        # The sum is NaN if a score is, or if +∞ and −∞ are among them: a cheap test, then an exact.
        if not scores.sum().isnan():
            return
        wrong = scores.isnan().nonzero()
        if len(wrong):
            row, entity = wrong[0].tolist()
            relation, name = self.kg.relations[int(relations[row])], self.kg.entities[left + entity]
            where = f"relation {relation!r}: the score of entity {name!r}"
            raise FloatingPointError(f"{where} is NaN; the model has diverged and has no rank")


def score_all(
    decoder: Decoder,
    queries: Tensor,
    entities: Tensor,
    *,
    part: slice = slice(None),
    wide: int | None = None,
    check: Callable[[Tensor, int], None] | None = None,
) -> Tensor:
    """Scores of (n, d) entities for (q, d) queries, (p, n), stored entity by entity.

    Products of few rows or columns are rounded differently: so that equal entities get equal
    scores, tiles have at least ``FEW`` queries, and nearly one width.

    Args:
        part: the queries whose scores are kept, p of them.
        wide: entities of a tile; None: by the number of queries.
        check: called with the kept scores of each tile, (p, ·), and its first entity.
    """
    if len(queries) < FEW:
        part = slice(*part.indices(len(queries)))
        queries = torch.cat((queries, queries[-1:].expand(FEW - len(queries), -1)))
    wide = wide or _tile_width(len(queries), entities)

    def tile(left: int) -> Tensor:
        scores = decoder.score_all(queries, entities[left : left + wide])[part]
        if check is not None:
            check(scores, left)
        return scores.T

    first = tile(0)
    by_entity = first.new_empty(len(entities), first.shape[1])
    by_entity[:wide] = first
    del first
    for left in range(wide, len(entities), wide):
        by_entity[left : left + wide] = tile(left)
    return by_entity.T


def _tile_width(rows: int, entities: Tensor) -> int:
    """Entities of a tile of so many queries; all tiles are nearly of one width."""
    tile = TILE if entities.device.type == "cpu" else TILE_ELSEWHERE
    return ceil(len(entities) / ceil(len(entities) / max(1, tile // rows)))
