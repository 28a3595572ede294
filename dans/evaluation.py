"""Filtered ranking: distinct queries in chunks, counted and never sorted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import ceil
from typing import Literal, TypedDict

import torch
from torch import Tensor

from dans.data.graph import SPLITS, KnowledgeGraph, Split
from dans.errors import InputError
from dans.models.decoders.base import Decoder
from dans.models.model import at_rest
from dans.questions import Questions
from dans.ranking import metrics

Unseen = Literal["rank", "drop"]

#: What the scores of one chunk may take by default.
MAX_BYTES = 16 * 2**20

#: Scores compared at a time: their verdicts stay in the cache until they are summed.
TILE = 2**19

#: Questions with more answers than this are compared by themselves, one row against many.
MANY = 8


class Protocol(TypedDict):
    """How a report was made: two reports compare only if these agree."""

    filter: list[str]
    ties: str
    unseen_entities: str


@dataclass(frozen=True)
class Report:
    """Filtered ranking of one split.

    Args:
        split: the facts that were ranked.
        protocol: the splits that filter, the rule for ties, the policy for unseen entities.
        both: metric to value over the queries of both sides.
        heads: the same for (?, r, t).
        tails: the same for (h, r, ?).
        tie_rate: share of queries whose right answer shares its score with a rival. Above one in a
            hundred, look for a dead encoder or saturated scores.
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
    def figure(self) -> float:
        """What checkpoints are chosen by: MRR of both sides."""
        return self.both["mrr"]

    def beats(self, best: float) -> bool:
        """Is it better than the best figure so far?"""
        return self.figure > best

    def metrics(self) -> dict[str, dict[str, float]]:
        """What is recorded at a validation."""
        return {"both": self.both, "heads": self.heads, "tails": self.tails}

    def summary(self) -> str:
        """Half a line."""
        return f"{self.split} MRR {self.figure:.4f}, Hits@1 {self.both['hits@1']:.4f}"

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
        facts: (f, 3) the facts ranked, in the split's order.
        optimistic: (f, 2) int64 ranks, ties won.
        pessimistic: (f, 2) int64 ranks, ties lost.
        candidates: (f, 2) int64 competitors, the right answer among them.
    """

    facts: Tensor
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

    For each fact of a split the questions (h, r, ?) and (?, r, t) are put to the decoder; every
    other known answer leaves the race, and the rank of the right one is counted, ties half. Equal
    questions are scored once, and only one chunk of scores exists at a time.

    Args:
        kg: the graph; its three splits filter.
        split: the facts to rank.
        ks: where to cut Hits@k.
        unseen: ``"rank"`` every fact, or ``"drop"`` those that hold an entity training never saw.
            Such an entity stays a candidate either way.
        max_bytes: what the scores of a chunk may take; one question's scores at the least. The
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
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if unseen not in ("rank", "drop"):
            raise InputError(f"unseen: expected 'rank' or 'drop', got {unseen!r}")
        if max_bytes < 1:
            raise InputError(f"max_bytes: expected a positive number, got {max_bytes}")
        if not ks or min(ks) < 1:
            raise InputError(f"ks: expected positive ranks, got {list(ks)}")
        facts = kg.split(split)
        if unseen == "drop":
            facts = facts[kg.seen[facts[:, [0, 2]]].all(1)]
        if not len(facts):
            raise InputError(f"{split}: the split has no fact to rank")
        self.kg = kg
        self.split = split
        self.ks = tuple(ks)
        self.unseen = unseen
        self.max_bytes = max_bytes
        self.facts = facts
        known = kg.known()
        heads, relations, tails = facts.to(known.device).unbind(1)
        n = kg.num_entities
        self._heads = Questions.of(tails, relations, heads, lambda t, r: known.heads(r, t), n)
        self._tails = Questions.of(heads, relations, tails, known.tails, n)

    def __call__(self, decoder: Decoder, entities: Tensor) -> Report:
        """Rank the split.

        Args:
            decoder: asked for query vectors, and matched with every entity.
            entities: (n, d) their vectors; the work is done on their device.

        Raises:
            FloatingPointError: a score is NaN.
        """
        return self.report(self.ranks(decoder, entities))

    @torch.no_grad()
    def ranks(self, decoder: Decoder, entities: Tensor) -> Ranks:
        """The rank of each fact's head and tail, for paired tests and reports by relation.

        Nothing is dropped, whatever mode the decoder is in.

        Args:
            decoder: as for a report.
            entities: (n, d).

        Raises:
            FloatingPointError: a score is NaN.
            ValueError: entities are missing.
        """
        n = self.kg.num_entities
        if len(entities) != n:
            raise ValueError(f"entities: expected {n} rows, got {len(entities)}")
        heads, tails = self._heads.to(entities.device), self._tails.to(entities.device)
        with at_rest(decoder):
            columns = (
                self._side(heads, lambda t, r: decoder.ask_heads(r, t), decoder, entities),
                self._side(tails, decoder.ask_tails, decoder, entities),
            )
        return Ranks(self.facts, *torch.stack(columns, 2).cpu())

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
        side: Questions,
        ask: Callable[[Tensor, Tensor], Tensor],
        decoder: Decoder,
        entities: Tensor,
    ) -> Tensor:
        """Optimistic and pessimistic ranks and candidates, (3, f), in the split's order."""
        asked = len(side.anchors)
        rows = max(1, self.max_bytes // (len(entities) * entities.element_size()))
        # Chunks of one size: a product of a few leftover rows rounds equal entities differently.
        rows = ceil(asked / ceil(asked / rows))

        # A function of its own, so that one chunk's scores are gone before the next are made.
        def rivals(first: int) -> Tensor:
            chunk = slice(first, first + rows)
            queries = ask(entities.index_select(0, side.anchors[chunk]), side.relations[chunk])
            scores = decoder.match_all(queries, entities)
            self._refuse_nan(scores, side.relations[chunk])
            return _chunk_rivals(scores, side, first)

        counted = torch.cat([rivals(first) for first in range(0, asked, rows)], 1)
        ranks = torch.cat((1 + counted, side.candidates.unsqueeze(0)))
        return torch.empty_like(ranks).index_copy_(1, side.facts, ranks)

    def _refuse_nan(self, scores: Tensor, relations: Tensor) -> None:
        # A sum is NaN if a term is, or if both infinities are among them: cheap, then certain.
        if not scores.sum().isnan():
            return
        wrong = scores.isnan().nonzero()
        if len(wrong):
            row, entity = wrong[0].tolist()
            relation = self.kg.relations[int(relations[row])]
            raise FloatingPointError(
                f"relation {relation!r}: the score of entity {self.kg.entities[entity]!r} is NaN; "
                f"the model has diverged and has no rank"
            )


def _chunk_rivals(scores: Tensor, side: Questions, first: int) -> Tensor:
    """Rivals of the answers to some questions, counted as ``_rivals`` does: (2, ·), fact by fact.

    Args:
        scores: (b, n) of the questions from ``first`` on; overwritten.
        side: all questions.
        first: where the chunk begins.
    """
    stop = first + len(scores)
    starts, counts, facts = _cut(side.starts, first, stop)
    gold = scores[_repeat(counts, scores.device), side.answers[facts]]
    _, known_counts, known = _cut(side.known_starts, first, stop)
    # NaN is neither above, below nor level with anything: it leaves the race even where the right
    # answer is at −∞. The right answer leaves as well, and its rank is one more than the rivals.
    scores[_repeat(known_counts, scores.device), side.known[known]] = torch.nan
    rivals = torch.empty(2, len(gold), dtype=torch.int64, device=scores.device)
    many = int((counts > MANY).sum())
    for row in range(many):
        own = slice(int(starts[row]), int(starts[row + 1]))
        rivals[:, own] = _rivals(scores[row].contiguous().expand(int(counts[row]), -1), gold[own])
    for turn in range(MANY):
        having = int((counts > turn).sum())
        if having > many:
            place = (starts[many:having] + turn).to(scores.device)
            rivals[:, place] = _rivals(scores[many:having], gold[place])
    return rivals


def _cut(starts: Tensor, first: int, stop: int) -> tuple[Tensor, Tensor, slice]:
    """Of the questions ``first`` to ``stop``: where each starts, how much it has, and all of it."""
    part = starts[first : stop + 1]
    return part - part[0], part.diff(), slice(int(part[0]), int(part[-1]))


def _repeat(counts: Tensor, device: torch.device) -> Tensor:
    """[2, 1] to [0, 0, 1]."""
    return torch.arange(len(counts)).repeat_interleave(counts).to(device)


def _rivals(scores: Tensor, gold: Tensor) -> Tensor:
    """How many scores of each row are above its gold, and how many at least level: (2, p) int64."""
    by_entity = 0 < scores.stride(0) < scores.stride(1)
    board, bar = (scores.T, gold) if by_entity else (scores, gold.unsqueeze(1))
    lines, width = board.shape
    step = max(1, TILE // width)
    # Verdicts in the type of the scores: comparing into booleans is not vectorised on a CPU.
    verdict = board.new_empty(min(step, lines), width)
    exact = torch.promote_types(scores.dtype, torch.float32 if width < 2**24 else torch.float64)
    totals = gold.new_zeros(2, len(gold), dtype=torch.float64)
    for first in range(0, lines, step):
        rows = slice(first, first + step)
        part, cut = board[rows], bar if by_entity else bar[rows]
        for total, compare in zip(totals, (torch.gt, torch.ge), strict=True):
            wins = compare(part, cut, out=verdict[: len(part)]).sum(1 - by_entity, dtype=exact)
            (total if by_entity else total[rows]).add_(wins)
    return totals.long()
