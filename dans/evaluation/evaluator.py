"""Filtered ranking: distinct queries in blocks, counted and never sorted.

No rank depends on memory. Queries and entities meet in tiles, whose shapes follow from their
numbers alone, because a product of another shape rounds otherwise. A smaller budget keeps fewer
rows of the tiles it makes, and makes them again for the others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from math import ceil
from typing import Literal, TypedDict

import torch
from torch import Tensor

from dans.data.graph import SPLITS, KnowledgeGraph, Split
from dans.errors import InputError
from dans.evaluation.competitors import Queries, query_competitors
from dans.evaluation.ranking import metrics
from dans.memory import Budget
from dans.models.decoders.base import Decoder
from dans.models.model import eval_mode

Unseen = Literal["rank", "drop"]

#: What the scores of a block take, unless it has ``FEW`` queries or ``MANY``.
MAX_BYTES = 16 * 2**20

#: Scores of the tiles that a block is made of: on a CPU what its cache holds, elsewhere what keeps
#: a device busy.
TILE, TILE_ELSEWHERE = 2**18, 2**22

#: Queries of a block. Fewer are multiplied by other kernels, which round equal entities
#: differently; more take memory for nothing.
FEW, MANY = 16, 1024


class Protocol(TypedDict):
    """How a report was made: two reports compare only if these agree."""

    filter: list[str]
    ties: str
    unseen_entities: str


@dataclass(frozen=True)
class Report:
    """Filtered ranking of one split.

    Args:
        split: the triples that were ranked.
        protocol: the splits that filter, the rule for ties, the policy for unseen entities.
        both: metric to value over the queries of both sides.
        heads: the same for (?, r, t).
        tails: the same for (h, r, ?).
        tie_rate: share of queries whose right answer shares its score with a competitor. Above one
            in a hundred, look for a dead encoder or saturated scores.
    """

    split: str
    protocol: Protocol
    both: dict[str, float]
    heads: dict[str, float]
    tails: dict[str, float]
    tie_rate: float

    def to_json(self) -> dict[str, object]:
        """Plain containers, for ``json.dump``."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Report":
        """The report that ``to_json`` wrote.

        Raises:
            InputError: a key is missing or unknown.
        """
        expected = {field.name for field in fields(cls)}
        if expected != set(data):
            wrong = ", ".join(sorted(expected ^ set(data)))
            raise InputError(f"report: missing or unknown {wrong}; a report has {sorted(expected)}")
        return cls(**data)  # type: ignore[arg-type]

    @property
    def selection_metric(self) -> float:
        """What checkpoints are chosen by: MRR of both sides."""
        return self.both["mrr"]

    def is_better(self, best: float) -> bool:
        """Is it better than the best figure so far?"""
        return self.selection_metric > best

    def metrics(self) -> dict[str, dict[str, float]]:
        """What is recorded at a validation."""
        return {"both": self.both, "heads": self.heads, "tails": self.tails}

    def summary(self) -> str:
        """Half a line."""
        return f"{self.split} MRR {self.selection_metric:.4f}, Hits@1 {self.both['hits@1']:.4f}"

    def table(self) -> list[str]:
        """The lines to print: one side a row, one metric a column."""
        rows = {"both": self.both, "heads": self.heads, "tails": self.tails}
        cells = [[self.split, *self.both]] + [
            [side, *(str(v) if isinstance(v, int) else f"{v:.4f}" for v in numbers.values())]
            for side, numbers in rows.items()
        ]
        return ["".join([f"{side:<6}", *(f"{cell:>11}" for cell in row)]) for side, *row in cells]


@dataclass(frozen=True)
class Ranks:
    """Where the right answers came in, query by query; the first column is (?, r, t).

    Args:
        triples: (f, 3) the triples ranked, in the split's order.
        optimistic: (f, 2) int64 ranks, ties won.
        pessimistic: (f, 2) int64 ranks, ties lost.
        candidates: (f, 2) int64 competitors, the right answer among them.
    """

    triples: Tensor
    optimistic: Tensor
    pessimistic: Tensor
    candidates: Tensor

    @property
    def realistic(self) -> Tensor:
        """(f, 2) float64, ties counted half."""
        return (self.optimistic + self.pessimistic).double() / 2

    @property
    def heads(self) -> Tensor:
        """(f,) realistic ranks of the head in (?, r, t)."""
        return self.realistic[:, 0]

    @property
    def tails(self) -> Tensor:
        """(f,) realistic ranks of the tail in (h, r, ?)."""
        return self.realistic[:, 1]


class Evaluator:
    """Filtered ranking of both sides, the filter being all three splits.

    For each triple of a split the queries (h, r, ?) and (?, r, t) are put to the decoder; every
    other known answer leaves the race, and the rank of the right one is counted, ties half. Equal
    queries are asked once, and the scores of one block of them exist at a time.

    The budget covers all that ranking holds at a time: scores, tiles, queries, verdicts. It does
    not cover what is there before and after: the triples and their filter, the model, the entities'
    embeddings (and making them: an encoder takes the whole graph), and the ranks.

    Args:
        kg: the graph; its three splits filter.
        split: the triples to rank.
        ks: where to cut Hits@k.
        unseen: ``"rank"`` every triple, or ``"drop"`` those that hold an entity training never saw.
            Such an entity stays a candidate either way.
        budget: what may be held at a time; None: a quarter of what is free at each ranking. The
            ranks do not depend on it.

    Raises:
        InputError: the split is empty, or an option is out of range.
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
        if unseen not in ("rank", "drop"):
            raise InputError(f"unseen: expected 'rank' or 'drop', got {unseen!r}")
        if not ks or min(ks) < 1:
            raise InputError(f"ks: expected positive ranks, got {list(ks)}")
        triples = kg.split(split)
        if unseen == "drop":
            triples = triples[kg.seen[triples[:, [0, 2]]].all(1)]
        if not len(triples):
            raise InputError(f"{split}: the split has no triple to rank")
        self.kg = kg
        self.split = split
        self.ks = tuple(ks)
        self.unseen = unseen
        self.budget = budget
        self.triples = triples
        known = kg.known()
        heads, relations, tails = triples.to(known.device).unbind(1)
        n = kg.num_entities
        self._heads = Queries.of(tails, relations, heads, lambda t, r: known.heads(r, t), n)
        self._tails = Queries.of(heads, relations, tails, known.tails, n)

    def __call__(self, decoder: Decoder, entities: Tensor) -> Report:
        """Rank the split.

        Args:
            decoder: asked for query embeddings, and matched with every entity.
            entities: (n, d) their embeddings; the work is done on their device.

        Raises:
            FloatingPointError: a score is NaN.
        """
        return self.report(self.ranks(decoder, entities))

    @torch.no_grad()
    def ranks(self, decoder: Decoder, entities: Tensor) -> Ranks:
        """The rank of each triple's head and tail, for paired tests and reports by relation.

        Nothing is dropped, whatever mode the decoder is in.

        Args:
            decoder: as for a report.
            entities: (n, d).

        Raises:
            FloatingPointError: a score is NaN.
            InputError: not even one query fits in the budget.
            ValueError: entities are missing.
        """
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

    def report(self, ranks: Ranks) -> Report:
        """Summarise ranks, those of ``ranks`` or some of their rows."""
        realistic, candidates = ranks.realistic, ranks.candidates
        return Report(
            split=self.split,
            protocol={
                "filter": list(SPLITS),
                "ties": "realistic",
                "unseen_entities": {"rank": "ranked", "drop": "dropped"}[self.unseen],
            },
            both=metrics(realistic.flatten(), candidates.flatten(), ks=self.ks),
            heads=metrics(realistic[:, 0], candidates[:, 0], ks=self.ks),
            tails=metrics(realistic[:, 1], candidates[:, 1], ks=self.ks),
            tie_rate=float((ranks.optimistic != ranks.pessimistic).double().mean()),
        )

    def _side(
        self,
        side: Queries,
        ask: Callable[[Tensor, Tensor], Tensor],
        decoder: Decoder,
        entities: Tensor,
    ) -> Tensor:
        """Optimistic and pessimistic ranks and candidates, (3, f), in the split's order."""
        asked, n, size = len(side.anchors), len(entities), entities.element_size()
        most, wide = _shape(asked, n, entities)
        each = n * size
        rows = max(most, FEW)
        held = decoder.asking(rows) + decoder.matching(rows, wide)
        fixed = held * size + side.held(most, n, size)
        budget = self.budget or Budget(device=entities.device)

        def competitors(block: slice) -> Tensor:
            # A function of its own, so that one part's scores are gone before the next are made.
            def of(part: slice) -> Tensor:
                related = side.relations[block]
                queries = ask(entities.index_select(0, side.anchors[block]), related)
                refuse = partial(self._refuse_nan, relations=related[part])
                scores = score_all(decoder, queries, entities, part=part, wide=wide, check=refuse)
                return query_competitors(scores, side, block.start + part.start)

            parts = budget.chunks(block.stop - block.start, each, of, fixed=fixed)
            return torch.cat(list(parts), 1)

        blocks = [slice(first, min(first + most, asked)) for first in range(0, asked, most)]
        counted = torch.cat([competitors(block) for block in blocks], 1)
        ranks = torch.cat((1 + counted, side.candidates.unsqueeze(0)))
        return torch.empty_like(ranks).index_copy_(1, side.triples, ranks)

    def _refuse_nan(self, scores: Tensor, left: int, *, relations: Tensor) -> None:
        # A sum is NaN if a term is, or if both infinities are among them: cheap, then certain.
        if not scores.sum().isnan():
            return
        wrong = scores.isnan().nonzero()
        if len(wrong):
            row, entity = wrong[0].tolist()
            relation = self.kg.relations[int(relations[row])]
            raise FloatingPointError(
                f"relation {relation!r}: the score of entity {self.kg.entities[left + entity]!r} "
                f"is NaN; the model has diverged and has no rank"
            )


def score_all(
    decoder: Decoder,
    queries: Tensor,
    entities: Tensor,
    *,
    part: slice = slice(None),
    wide: int | None = None,
    check: Callable[[Tensor, int], None] | None = None,
) -> Tensor:
    """Scores of all entities for some queries, in tiles, so that equal entities have equal scores.

    Products of few rows, or of few that are left over, are rounded differently: tiles are made of
    all queries, ``FEW`` at the least, and are nearly of one size.

    Args:
        decoder: matches queries with entities.
        queries: (q, d).
        entities: (n, d).
        part: the queries whose scores are kept, p of them.
        wide: entities of a tile; None: as suits the queries.
        check: given the scores kept of a tile, (p, ·), and its first entity.

    Returns:
        (p, n), laid out entity by entity.
    """
    if len(queries) < FEW:
        more = queries[-1:].expand(FEW - len(queries), -1)
        part = slice(*part.indices(len(queries)))
        queries = torch.cat((queries, more))
    wide = wide or _tile_width(len(queries), entities)

    def tile(left: int) -> Tensor:
        scores = decoder.score_all(queries, entities[left : left + wide])[part]
        if check is not None:
            check(scores, left)
        return scores.T

    first = tile(0)
    board = first.new_empty(len(entities), first.shape[1])
    board[:wide] = first
    del first
    for left in range(wide, len(entities), wide):
        board[left : left + wide] = tile(left)
    return board.T


def _shape(asked: int, num_entities: int, entities: Tensor) -> tuple[int, int]:
    """Queries of a block and entities of a tile; all but the last ones are as large.

    Blocks and tiles are nearly of one size: few that are left over would be rounded differently.
    """
    rows = MAX_BYTES // (num_entities * entities.element_size())
    rows = min(max(rows, FEW), MANY)
    rows = ceil(asked / ceil(asked / rows))
    return rows, _tile_width(max(rows, FEW), entities)


def _tile_width(rows: int, entities: Tensor) -> int:
    """Entities of a tile for some queries."""
    tile = TILE if entities.device.type == "cpu" else TILE_ELSEWHERE
    return ceil(len(entities) / ceil(len(entities) / max(1, tile // rows)))
