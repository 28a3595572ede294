"""Filtered ranking of the relations of pairs: (h, ?, t), beside two baselines that count."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph, Split
from dans.data.known_triples import KnownTriples
from dans.data.query_index import ranges
from dans.evaluation.evaluator import MANY, Evaluator, Unseen, limits
from dans.evaluation.ranking import metrics, rank
from dans.memory import Budget
from dans.models.decoders import Decoder, Multilinear
from dans.models.decoders.costs import query_cost
from dans.models.model import eval_mode

#: What the names of metrics of relation queries start with.
RELATION = "relation_"


@dataclass(frozen=True)
class RelationReport:
    """The metrics of the filtered ranking of relations, of a model and of two baselines.

    ``protocol``: filter, ties, number of relations, and which triples are ranked if not all.
    ``model``: ranked by the model's scores. ``frequency``: by the number of training triples of the
    relation. ``ends``: by those that have this head and this tail, as ``EndCounts``. The names of
    metrics start with ``relation_``.
    """

    split: str
    protocol: dict[str, Any]
    model: dict[str, float]
    frequency: dict[str, float]
    ends: dict[str, float]

    def __str__(self) -> str:
        """The table."""
        return "\n".join(self.table())

    def to_json(self) -> dict[str, object]:
        """Plain containers, for ``json.dump``."""
        return asdict(self)

    def table(self) -> list[str]:
        """The lines of a table: a row for the model and for each baseline, a column per metric."""
        rows: Mapping[str, Mapping[str, float]] = {
            "model": self.model,
            "frequency": self.frequency,
            "ends": self.ends,
        }
        lines = [f"Relations of {self.split} among {self.protocol['relations']:,}."]
        if limited := limits(self.protocol):
            lines.append(f"{limited[0].upper()}{limited[1:]}.")
        wide = 2 + max(map(len, self.model))
        lines.append(f"{'':<9}" + "".join(f"{name:>{wide}}" for name in self.model))
        for title, numbers in rows.items():
            cells = (str(v) if isinstance(v, int) else f"{v:.4f}" for v in numbers.values())
            lines.append(f"{title:<9}" + "".join(f"{cell:>{wide}}" for cell in cells))
        return lines


class EndCounts:
    """Scores of relations by the training triples that have a head, and those that have a tail.

    s(h, r, t) = log c(r) + log (c(h, r) + 1) / (c(r) + n) + log (c(r, t) + 1) / (c(r) + n)

    c counts training triples. That is log p(r) p(h | r) p(t | r) up to a constant, with counts
    smoothed by one: naive Bayes, with head and tail independent given the relation.

    Example:
        >>> kg = KnowledgeGraph.of([("ada", "knows", "bob"), ("ada", "knows", "cy"),
        ...                         ("bob", "owns", "tea")])
        >>> EndCounts(kg)(torch.tensor([1]), torch.tensor([3])).argmax(1)  # bob and tea
        tensor([1])
    """

    def __init__(self, kg: KnowledgeGraph) -> None:
        self.n, self.m = kg.num_entities, kg.num_relations
        #: (m,) training triples of each relation
        self.triples = torch.bincount(kg.train[:, 1], minlength=self.m).double()
        keys = (kg.train[:, column] * self.m + kg.train[:, 1] for column in (0, 2))
        self._heads, self._tails = (each.unique(return_counts=True) for each in keys)

    def __call__(self, heads: Tensor, tails: Tensor) -> Tensor:
        """(q, m) float64 scores of all relations of (q,) heads and tails."""
        log = self._counts(self._heads, heads).add_(1).log_()
        log += self._counts(self._tails, tails).add_(1).log_()
        return log + self.triples.log() - 2 * (self.triples + self.n).log()

    def _counts(self, table: tuple[Tensor, Tensor], entities: Tensor) -> Tensor:
        """(q, m) float64, the training triples of each relation that have (q,) entities."""
        keys, counts = table
        first = torch.searchsorted(keys, entities * self.m)
        stop = torch.searchsorted(keys, (entities + 1) * self.m)
        rows, places = ranges(first, stop - first)
        found = torch.zeros(len(entities), self.m, dtype=torch.float64)
        found[rows, keys[places] % self.m] = counts[places].double()
        return found


def rank_relations(
    kg: KnowledgeGraph,
    split: Split,
    decoder: Decoder,
    entities: Tensor,
    *,
    ks: Sequence[int] = (1, 3, 10),
    unseen: Unseen = "rank",
    most: int = 0,
    seed: int = 0,
    budget: Budget | None = None,
) -> RelationReport:
    """Rank the relation of every triple of a split among all relations, filtered; ties count half.

    The other relations that hold between head and tail in any split are left out. Scores are those
    of tail queries, without dropout. How scores of different relations compare depends on how the
    model was trained: a loss over entities alone does not fit them to each other.

    Args:
        entities: (n, d) embeddings; their device is the one used. Other arguments are as in
            ``Evaluator``.
    """
    chosen = Evaluator(kg, split, ks=ks, unseen=unseen, most=most, seed=seed, budget=budget)
    known, counts, device = kg.known(), EndCounts(kg), entities.device
    heads, relations, tails = chosen.triples.unbind(1)
    budget = budget or Budget(device=device)

    def measured(scores: Callable[[Tensor, Tensor], Tensor]) -> dict[str, float]:
        def work(part: slice) -> Tensor:
            rows, answers = known_relations(known, heads[part], tails[part])
            found = scores(heads[part], tails[part])
            # The right answer is among the known ones, once.
            candidates = 1 + kg.num_relations - rows.bincount(minlength=len(found))
            others = rows.to(found.device), answers.to(found.device)
            ranks = rank(found, relations[part].to(found.device), others).cpu()
            return torch.stack((ranks, candidates.double()))

        each, fixed = relation_bytes(decoder, entities)
        parts = budget.chunks(len(heads), each, work, most=MANY, fixed=fixed)
        ranks, candidates = torch.cat(list(parts), 1)
        numbers = metrics(ranks, candidates, ks=chosen.ks)
        return {k if k == "queries" else f"{RELATION}{k}": v for k, v in numbers.items()}

    with eval_mode(decoder), torch.no_grad():
        own = measured(
            lambda h, t: decoder.score_relations(entities[h.to(device)], entities[t.to(device)])
        )
    protocol = {**chosen.protocol(), "ties": "realistic", "relations": kg.num_relations}
    return RelationReport(
        split=split,
        protocol={**protocol, "unseen_entities": {"rank": "ranked", "drop": "dropped"}[unseen]},
        model=own,
        frequency=measured(lambda h, _: counts.triples.expand(len(h), -1)),
        ends=measured(counts),
    )


def known_relations(known: KnownTriples, heads: Tensor, tails: Tensor) -> tuple[Tensor, Tensor]:
    """All known relations of (b,) pairs: flat rows, rising, and relations, (p,) each.

    Example:
        >>> known = KnownTriples(torch.tensor([[0, 0, 1], [0, 2, 1]]), 2, 3)
        >>> known_relations(known, torch.tensor([1, 0]), torch.tensor([0, 1]))
        (tensor([1, 1]), tensor([0, 2]))
    """
    relations = torch.arange(known.num_relations, device=heads.device)
    pairs = heads.unsqueeze(1), relations.unsqueeze(0), tails.unsqueeze(1)
    triples = torch.stack(torch.broadcast_tensors(*pairs), -1)
    rows, found = known.is_known(triples).nonzero(as_tuple=True)
    return rows, found


def relation_bytes(decoder: Decoder, entities: Tensor) -> tuple[int, int]:
    """Bytes held to score and rank all relations of a pair, and beside all pairs."""
    m, size = decoder.num_relations, entities.element_size()
    wide = decoder.pair_width if isinstance(decoder, Multilinear) else m * decoder.dim
    # Beside the decoder's own memory: the scores, and what finding known triples takes.
    each = (query_cost(decoder, 1) + 4 * wide) * size + 64 * m
    return each, 2 * decoder.relation.weight.numel() * size
