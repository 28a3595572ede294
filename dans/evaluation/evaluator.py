"""Filtered ranking of head and tail queries.

Scores are computed in tiles whose shapes depend on the numbers of queries and entities only,
because matrix products of other shapes round differently. So ranks do not depend on memory: a
smaller budget keeps fewer rows of each tile, and computes the tile again for the others.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, get_args

import torch
from torch import Tensor

from dans.config.selection import RESTRICTED, SAMPLED
from dans.data.graph import SPLITS, KnowledgeGraph, Split
from dans.data.progress import Pulse
from dans.errors import InputError, one_of
from dans.evaluation.adjusted import adjusted
from dans.evaluation.competitors import Queries, query_competitors
from dans.evaluation.grouped_metrics import Row, group_rows
from dans.evaluation.ranking import metrics, refuse_nan
from dans.evaluation.text_table import aligned
from dans.memory import Budget
from dans.models.decoders.base import Decoder
from dans.models.decoders.costs import query_cost, score_cost
from dans.models.model import eval_mode

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger(__name__)

#: What to do with triples whose head or tail is in no training triple.
Unseen = Literal["rank", "drop"]

#: What a query leaves open.
Side = Literal["head", "tail"]

#: Is given scores and the first entity they are of, and refuses what is no score.
Check: TypeAlias = Callable[[Tensor, int], None]

#: Bytes of the scores of a block of queries, unless it has ``FEW`` queries or ``MANY``.
MAX_BYTES = 16 * 2**20
#: Training triples of a graph whose filter set is kept after the known answers are found.
KEPT = 2_000_000

#: Scores of a tile: what a CPU's cache holds, or what keeps another device busy.
TILE, TILE_ELSEWHERE = 2**18, 2**22

#: Queries of a block, at least and at most. Fewer are multiplied by other kernels, which round
#: equal entities differently.
FEW, MANY = 16, 1024


@dataclass(frozen=True)
class EvaluationReport:
    """The metrics of the filtered ranking of one split, by name.

    ``protocol``: filter, ties, triples with unseen entities, and where not all triples are ranked
    or not all entities are candidates, which; reports are comparable only if it agrees. The names
    of metrics among drawn or given candidates start with ``sampled_``, among those of a restriction
    with ``restricted_``. ``heads``: over queries (?, r, t); ``tails``: over (h, r, ?).
    ``tie_rate``: share of queries whose right answer ties with a competitor; above 0.01, look for a
    constant encoder or saturated scores.
    """

    split: str
    protocol: dict[str, Any]
    both: dict[str, float]
    heads: dict[str, float]
    tails: dict[str, float]
    tie_rate: float
    #: by side, the metrics of ``dans.evaluation.adjusted``
    adjusted: dict[str, dict[str, float]] = field(default_factory=dict)
    #: what else its file holds, such as checkpoint, seed and classification
    details: dict[str, Any] = field(default_factory=dict, compare=False)
    #: what it was made from; None where it was read from a file
    source: tuple[KnowledgeGraph, "Ranks"] | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        """The table."""
        return "\n".join(self.table())

    def to_json(self) -> dict[str, object]:
        """Plain containers, for ``json.dump``."""
        content = asdict(replace(self, source=None, details={}))
        del content["source"], content["details"]
        return {**content, **self.details}

    @property
    def selection_metric(self) -> float:
        """The MRR over both sides, by which checkpoints are selected unless a recipe says else."""
        return self.both[f"{self.prefix}mrr"]

    @property
    def prefix(self) -> str:
        """What the names of its metrics start with: ``sampled_``, ``restricted_`` or nothing."""
        drawn = self.protocol.get("candidates")
        return "" if drawn is None else RESTRICTED if "among" in drawn else SAMPLED

    def metrics(self) -> dict[str, dict[str, float]]:
        """The metrics to log, by side."""
        return {"both": self.both, "heads": self.heads, "tails": self.tails}

    def adjusted_table(self) -> list[str]:
        """The lines of a table of the adjusted metrics: a row per metric, a column per side."""
        names = next(iter(self.adjusted.values()), {})
        rows = ([name, *(of[name] for of in self.adjusted.values())] for name in names)
        return aligned([["adjusted", *self.adjusted], *rows])

    def side_rows(self, *, adjusted: bool = False) -> list[Row]:
        """The metrics as rows of a table, one for each side."""
        rows: list[Row] = []
        for side, numbers in self.metrics().items():
            rows.append({"side": side, **numbers, **(self.adjusted[side] if adjusted else {})})
        return rows

    def rows(self, by: str) -> list[Row]:
        """The metrics by group of queries, as rows of a table with equal columns.

        ``by``: ``relation``; its ``category``, 1-1 to N-N; or the ``degree`` or the type of the
        right answer, ``type:FILE``, by a file of entity, tab, type. Groups have a query at least;
        by relation and by type, those with most queries come first.
        """
        if self.source is None:
            raise InputError("by: a report from a file has no ranks; evaluate the run")
        return group_rows(*self.source, by, prefix=self.prefix)

    def by(self, by: str) -> "DataFrame":
        """The metrics by group, as ``rows``, as a data frame.

        ``heads_mrr`` and ``tails_mrr`` are missing where a side has no query.
        """
        from pandas import DataFrame

        return DataFrame(self.rows(by))

    def by_relation(self) -> "DataFrame":
        """The metrics by relation as a data frame, the one with most queries first."""
        return self.by("relation")

    def summary(self) -> str:
        """Split, MRR and Hits@1 in a phrase."""
        mrr, hits = self.selection_metric, self.both[f"{self.prefix}hits@1"]
        kind = self.prefix.replace("_", " ")
        return f"{self.split} {kind}MRR {mrr:.4f}, Hits@1 {hits:.4f}"

    def limits(self) -> str:
        """In a phrase, which entities are candidates and which triples are ranked; "" if all."""
        return limits(self.protocol)

    def table(self) -> list[str]:
        """The lines of a table: first what was not ranked, then a row per side.

        Where there are old and new entities, each kind of answer has a row too.
        """
        rows = self.metrics() | self.details.get("answers", {})
        lines = aligned(
            [[self.split, *self.both], *([name, *of.values()] for name, of in rows.items())]
        )
        limited = self.limits()
        return [f"{limited[0].upper()}{limited[1:]}.", *lines] if limited else lines


def limits(protocol: Mapping[str, Any]) -> str:
    """What a protocol leaves out, in a phrase; "" for all triples among all entities.

    Example:
        >>> limits({"triples": {"ranked": 100, "of": 5000, "seed": 0}})
        'exact ranks of 100 of 5,000 triples, drawn by seed 0'
    """
    drawn, some = protocol.get("candidates"), protocol.get("triples")
    if not drawn and not some:
        return ""
    said = "exact ranks"
    if drawn and "among" in drawn:
        said = f"ranked among {drawn['about']}"
        if "outside" in drawn:
            outside = sum(drawn["outside"].values())
            said += f"; {outside:,} of {drawn['queries']:,} right answers are not there and were "
            said += "added"
        said += "; this MRR is not comparable with that among all"
    elif drawn:
        filtered = "known answers left out" if protocol["filter"] else "known answers not left out"
        if drawn["from"] == "given":
            said = f"ranked among the negatives given with the data set, {filtered}"
        else:
            where = {"all": "all entities", "types": "the domain or range of the relation"}
            said = f"ranked among {drawn['number']:,} candidates drawn from {where[drawn['from']]}"
            said += f" by seed {drawn['seed']}, {filtered}"
        said += "; this MRR is higher than among all entities, and not comparable with it"
    if some:
        which = f"{some['ranked']:,} of {some['of']:,} triples, drawn by seed {some['seed']}"
        said = f"{which}, {said}" if drawn else f"{said} of {which}"
    return said


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

    @classmethod
    def joined(cls, parts: Sequence["Ranks"]) -> "Ranks":
        """The ranks of all queries, from the parts that were ranked by several processes.

        A part is 0 where it has no rank, so that the whole is the sum.

        Raises:
            ValueError: a query is in none of the parts, or in two.
        """
        first = parts[0].triples
        if not all(torch.equal(part.triples, first) for part in parts):
            raise ValueError("parts: expected those of the same triples")
        ranked = sum(((part.optimistic > 0).long() for part in parts), torch.zeros(()).long())
        if not bool((ranked == 1).all()):
            raise ValueError("parts: expected each query in one of them")
        names = ("optimistic", "pessimistic", "candidates")
        return cls(
            first, *(torch.stack([getattr(p, name) for p in parts]).sum(0) for name in names)
        )

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
        most: rank at most that many triples, drawn by ``seed``: the same for every model; 0: all.
        budget: memory for scores, tiles, queries and comparisons; None: a quarter of what is free
            at each ranking. Ranks do not depend on it.
    """

    #: ids of the entities that are scored; None: all
    columns: Tensor | None = None
    #: bytes held for each score, beside the score
    beside = 0

    def __init__(
        self,
        kg: KnowledgeGraph,
        split: Split,
        *,
        ks: Sequence[int] = (1, 3, 10),
        unseen: Unseen = "rank",
        most: int = 0,
        seed: int = 0,
        budget: Budget | None = None,
    ) -> None:
        one_of("unseen", unseen, get_args(Unseen))
        if not ks or min(ks) < 1:
            raise InputError(f"ks: expected positive ranks, got {list(ks)}")
        triples = kg.split(split)
        rows = torch.arange(len(triples))
        if unseen == "drop":
            rows = rows[kg.seen[triples[:, [0, 2]]].all(1)]
        if not len(rows):
            raise InputError(f"{split}: the split has no triple to rank")
        #: how many triples there are to choose from
        self.of, self.seed = len(rows), seed
        if 0 < most < len(rows):
            order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
            rows = rows[order[:most].sort().values]
        self.kg, self.split, self.rows, self.triples = kg, split, rows, triples[rows]
        #: what reports and the log call the split
        self.label: str = split
        self.ks, self.unseen, self.budget = tuple(ks), unseen, budget
        self.prepare()

    def prepare(self) -> None:
        """Group the triples by query, and find their known answers."""
        # Two numbers a triple, of no use once the answers are found: kept on small graphs alone.
        kg, known = self.kg, self.kg.known(keep=len(self.kg.train) < KEPT)
        heads, relations, tails = self.triples.to(known.device).unbind(1)
        n = kg.num_entities
        self._heads = Queries.of(tails, relations, heads, lambda t, r: known.heads(r, t), n)
        self._tails = Queries.of(heads, relations, tails, known.tails, n)

    def __call__(self, decoder: Decoder, entities: Tensor) -> EvaluationReport:
        """The metrics of ``ranks``; a NaN among the scores is a ``FloatingPointError``."""
        return self.report(self.ranks(decoder, entities))

    def ranks(self, decoder: Decoder, entities: Tensor, *, part: tuple[int, int] = (0, 1)) -> Ranks:
        """Rank the split without dropout, on the device of the (n, d) entities.

        ``part``: (i, w) ranks the i-th of w parts of the queries, i from 0, as one of w processes;
        the others have rank 0. ``Ranks.joined`` makes the whole, to the bit: queries are scored in
        the same blocks.
        """
        return self.ranks_by(ModelScores(decoder, entities), part=part)

    @torch.no_grad()
    def ranks_by(self, scores: "BlockScores", *, part: tuple[int, int] = (0, 1)) -> Ranks:
        """Rank the split, as ``ranks``, by the scores of a model or of several."""
        n = self.kg.num_entities
        if scores.num_entities != n:
            raise ValueError(f"entities: expected {n} rows, got {scores.num_entities}")
        if self.columns is not None and len(self.columns) < n:
            scores = scores.among(self.columns)
        heads, tails = self._heads.to(scores.device), self._tails.to(scores.device)
        columns = (
            self._side("head", heads, scores, part),
            self._side("tail", tails, scores, part),
        )
        return Ranks(self.triples, *torch.stack(columns, 2).cpu())

    def report(self, ranks: Ranks) -> EvaluationReport:
        """The metrics of ranks, all of ``ranks`` or some of their rows."""
        realistic, candidates = ranks.realistic, ranks.candidates
        unseen = {"rank": "ranked", "drop": "dropped"}[self.unseen]
        sides = {
            "both": (realistic.flatten(), candidates.flatten()),
            "heads": (realistic[:, 0], candidates[:, 0]),
            "tails": (realistic[:, 1], candidates[:, 1]),
        }
        return EvaluationReport(
            split=self.label,
            protocol={**self.protocol(), "ties": "realistic", "unseen_entities": unseen},
            **{side: self.named(metrics(*of, ks=self.ks)) for side, of in sides.items()},
            tie_rate=float((ranks.optimistic != ranks.pessimistic).double().mean()),
            adjusted={k: self.named(adjusted(*of, ks=self.ks)) for k, of in sides.items()},
            source=(self.kg, ranks),
        )

    def protocol(self) -> dict[str, Any]:
        """What is left out as known, and which triples are ranked if not all."""
        found: dict[str, Any] = {"filter": list(SPLITS)}
        if len(self.rows) < self.of:
            found["triples"] = {"ranked": len(self.rows), "of": self.of, "seed": self.seed}
        return found

    def named(self, numbers: dict[str, float]) -> dict[str, float]:
        """Metrics under the names of a report."""
        return numbers

    def _side(
        self, side: Side, queries: Queries, scores: "BlockScores", share: tuple[int, int]
    ) -> Tensor:
        """Optimistic ranks, pessimistic ranks and candidates of one side, (3, f)."""
        q, n, size = len(queries.anchors), scores.num_entities, scores.element_size
        # Blocks and tiles of nearly one size: small remainders would be rounded differently.
        most = min(max(MAX_BYTES // (n * size), FEW), MANY)
        most = ceil(q / ceil(q / most))
        rows = max(most, FEW)
        fixed = scores.bytes_held(rows) + queries.bytes_held(most, n, size)
        budget = self.budget or Budget(device=scores.device)

        def competitors(block: slice) -> Tensor:
            # A function, so that the scores of one part are freed before the next are computed.
            def of(part: slice) -> Tensor:
                anchors, relations = queries.anchors[block], queries.relations[block]
                check = partial(self._refuse_nan, relations=relations[part])
                found = scores(side, anchors, relations, part, rows, check)
                return self.competitors(found, queries, block.start + part.start, side)

            each = scores.bytes_each + n * self.beside
            parts = budget.chunks(block.stop - block.start, each, of, fixed=fixed)
            return torch.cat(list(parts), 1)

        pulse = Pulse()
        ranks = torch.zeros(3, len(self.triples), dtype=torch.int64, device=scores.device)
        for first in range(0, q, most)[share[0] :: share[1]]:
            done = min(first + most, q)
            counted = competitors(slice(first, done))
            own = slice(int(queries.starts[first]), int(queries.starts[done]))
            block = torch.cat((1 + counted, queries.candidates[own].unsqueeze(0)))
            ranks.index_copy_(1, queries.triples[own], block)
            if pulse.due():
                of = f"{done:,} of {q:,} different {side} queries of {self.label}"
                log.info("ranked %s, %s", of, pulse.left(done, q))
        return ranks

    def competitors(self, scores: Tensor, queries: Queries, first: int, side: str) -> Tensor:
        """How many competitors score above each right answer, and how many at least as high."""
        return query_competitors(scores, queries, first)

    def _refuse_nan(self, scores: Tensor, left: int, *, relations: Tensor) -> None:
        def entity(_: int, column: int) -> int:
            return left + column if self.columns is None else int(self.columns[left + column])

        refuse_nan(scores, relations, self.kg, entity)


class BlockScores(Protocol):
    """Scores of all entities as answers to blocks of queries."""

    device: torch.device
    num_entities: int
    #: bytes of a score
    element_size: int
    #: bytes held for each query whose scores are kept
    bytes_each: int

    def bytes_held(self, rows: int) -> int:
        """The bytes held beside, for a block of so many queries."""

    def among(self, columns: Tensor) -> "BlockScores":
        """Scores of some entities alone, (c,) rising ids; anchors then are positions among them."""

    def __call__(
        self,
        side: Side,
        anchors: Tensor,
        relations: Tensor,
        part: slice,
        rows: int,
        check: Check,
    ) -> Tensor:
        """Scores of a part of a block of queries, (p, n), which the caller may overwrite.

        Args:
            side: what is predicted, from the other entities, (b,) ``anchors``, and (b,) relations.
            part: the queries whose scores are kept, p of them.
            rows: queries of a block, of which this may be the last and shorter.
            check: called with scores as they are computed, (p, ·), and their first entity.
        """


class ModelScores:
    """Scores by one model, without dropout: a decoder and (n, d) embeddings of entities."""

    def __init__(self, decoder: Decoder, entities: Tensor) -> None:
        self.decoder, self.entities = decoder, entities
        self.device, self.num_entities = entities.device, len(entities)
        self.element_size = entities.element_size()
        self.bytes_each = self.num_entities * self.element_size

    def bytes_held(self, rows: int) -> int:
        """The bytes of queries and of a tile of scores."""
        wide = _tile_width(rows, self.entities)
        numbers = query_cost(self.decoder, rows) + score_cost(self.decoder, rows, wide)
        return numbers * self.element_size

    def among(self, columns: Tensor) -> "ModelScores":
        """Scores of some entities alone, (c,) ids, which anchors then are positions among."""
        some = self.entities.index_select(0, columns.to(self.device))
        return ModelScores(self.decoder, some)

    def __call__(
        self,
        side: Side,
        anchors: Tensor,
        relations: Tensor,
        part: slice,
        rows: int,
        check: Check,
    ) -> Tensor:
        """The decoder's scores, entity by entity."""
        decoder, entities = self.decoder, self.entities
        with eval_mode(decoder):
            given = entities.index_select(0, anchors)
            if side == "head":
                queries = decoder.head_queries(relations, given)
            else:
                queries = decoder.tail_queries(given, relations)
            wide = _tile_width(rows, entities)
            return score_all(decoder, queries, entities, part=part, wide=wide, check=check)


def score_all(
    decoder: Decoder,
    queries: Tensor,
    entities: Tensor,
    *,
    part: slice = slice(None),
    wide: int | None = None,
    check: Check | None = None,
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
