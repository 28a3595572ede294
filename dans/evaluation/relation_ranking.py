"""Filtered ranking of the relations of pairs: (h, ?, t), beside two baselines that count."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph, Split
from dans.data.known_triples import KnownTriples
from dans.data.query_index import Groups, ranges
from dans.errors import one_of
from dans.evaluation.evaluator import (
    FEW,
    MANY,
    MAX_BYTES,
    Evaluator,
    ModelScores,
    Side,
    Unseen,
    limits,
)
from dans.evaluation.ranking import metrics, rank
from dans.evaluation.text_table import aligned
from dans.memory import Budget
from dans.models.decoders import Decoder, Multilinear
from dans.models.decoders.costs import query_cost
from dans.models.model import eval_mode

#: What the names of metrics of relation queries start with.
RELATION = "relation_"

#: By what a model orders relations: as ``RelationPosterior``, or the scores of its tail queries.
Order = Literal["posterior", "scores"]

#: What is added to each count of training triples in p(r | h) and p(r | t).
SMOOTHING = 0.03


@dataclass(frozen=True)
class RelationReport:
    """The metrics of the filtered ranking of relations, of a model and of two baselines.

    ``protocol``: filter, ties, number of relations, and which triples are ranked if not all.
    ``model``: in the order that ``protocol["order"]`` names, which predictions have too.
    ``scores``: by the scores of tail queries alone. ``frequency``: by the number of training
    triples of the relation. ``ends``: by those that have this head and this tail, as ``EndCounts``.
    The names of metrics start with ``relation_``.
    """

    split: str
    protocol: dict[str, Any]
    model: dict[str, float]
    scores: dict[str, float]
    frequency: dict[str, float]
    ends: dict[str, float]

    def __str__(self) -> str:
        """The table."""
        return "\n".join(self.table())

    def to_json(self) -> dict[str, object]:
        """Plain containers, for ``json.dump``."""
        return asdict(self)

    def rows(self) -> dict[str, dict[str, float]]:
        """The metrics by title, those of the scores only where the model has another order."""
        scores = {} if self.protocol["order"] == "scores" else {"scores": self.scores}
        return {"model": self.model, **scores, "frequency": self.frequency, "ends": self.ends}

    def table(self) -> list[str]:
        """The lines of a table: a row for the model and for each baseline, a column per metric."""
        among = f"Relations of {self.split} triples among {self.protocol['relations']:,}"
        lines = [f"{among}; frequency and ends are baselines that count training triples."]
        if limited := limits(self.protocol):
            lines.append(f"{limited[0].upper()}{limited[1:]}.")
        rows = ([title, *numbers.values()] for title, numbers in self.rows().items())
        return [*lines, *aligned([["", *self.model], *rows])]


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
        log = sum(count.add_(1).log_() for count in self.counts(heads, tails))
        return log + self.triples.log() - 2 * (self.triples + self.n).log()

    def counts(self, heads: Tensor, tails: Tensor) -> tuple[Tensor, Tensor]:
        """c(h, r) of (q,) heads and c(r, t) of (q,) tails, (q, m) float64 each."""
        return self._counts(self._heads, heads), self._counts(self._tails, tails)

    def _counts(self, table: tuple[Tensor, Tensor], entities: Tensor) -> Tensor:
        """(q, m) float64, the training triples of each relation that have (q,) entities."""
        keys, counts = table
        first = torch.searchsorted(keys, entities * self.m)
        stop = torch.searchsorted(keys, (entities + 1) * self.m)
        rows, places = ranges(first, stop - first)
        found = torch.zeros(len(entities), self.m, dtype=torch.float64)
        found[rows, keys[places] % self.m] = counts[places].double()
        return found


class RelationPosterior:
    """Log probabilities of the relations of pairs, by a model that was trained by entity queries.

    Its softmax over all entities is p(t | h, r), and p(h | r, t) of head queries. With the share of
    a relation in the training triples of h, or of t, Bayes' rule makes of each p(r | h, t), up to a
    factor that is the same for all relations. The two are averaged, as logs:

        log p(r | h, t) = ½ log p(r | h) p(t | h, r) + ½ log p(r | t) p(h | r, t) + constant
        p(r | h) = (c(h, r) + a) / (c(h) + a m),  p(r | t) = (c(r, t) + a) / (c(t) + a m)

    c counts training triples, a is ``SMOOTHING``, and the constant makes the sum over r one. Scores
    themselves are not comparable between relations: a softmax over entities is the same if all
    scores of a query get the same number added.

    Args:
        entities: (n, d) embeddings; their device is the one used.

    Example:
        >>> from dans.models.decoders import DistMult
        >>> kg = KnowledgeGraph.of([("ada", "knows", "bob"), ("bob", "owns", "tea")])
        >>> decoder = DistMult(num_relations=2, dim=1)
        >>> posterior = RelationPosterior(kg, decoder, torch.zeros(3, 1))
        >>> posterior(torch.tensor([0]), torch.tensor([2])).exp()  # ada and tea: all scores are 0
        tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """

    def __init__(self, kg: KnowledgeGraph, decoder: Decoder, entities: Tensor) -> None:
        self.kg, self.model = kg, ModelScores(decoder, entities)
        #: queries scored at a time, as many whatever the memory, which so changes no rounding
        self.rows = max(FEW, min(kg.num_relations, MAX_BYTES // 4 // self.model.bytes_each))

    @cached_property
    def ends(self) -> EndCounts:
        """The counts of training triples."""
        return EndCounts(self.kg)

    @property
    def bytes_held(self) -> tuple[int, int]:
        """Bytes for each pair, and beside all pairs."""
        block = 4 * self.rows * self.model.bytes_each
        return 64 * self.kg.num_relations, block + self.model.bytes_held(self.rows)

    @torch.no_grad()
    def __call__(self, heads: Tensor, tails: Tensor) -> Tensor:
        """(q, m) float64 log probabilities of all relations of (q,) heads and tails."""
        heads, tails = heads.cpu(), tails.cpu()
        of_heads, of_tails = (
            count.add_(SMOOTHING).log_() for count in self.ends.counts(heads, tails)
        )
        total = of_heads.add_(self.shares("tail", heads, tails))
        total += of_tails.add_(self.shares("head", tails, heads))
        return (total / 2).log_softmax(1).to(self.model.device)

    def shares(self, side: Side, anchors: Tensor, answers: Tensor) -> Tensor:
        """(q, m) logs of the softmax over all entities at the answers, for every relation."""
        device, found = self.model.device, torch.empty(len(anchors), self.ends.m).double()
        groups = Groups.of(anchors)
        for own in groups.rows.split(groups.counts.tolist()):
            anchor, targets = anchors[own[:1]].to(device), answers[own].to(device)
            for some in torch.arange(self.ends.m).split(self.rows):
                given = anchor.expand(len(some)), some.to(device)
                scores = self.model(side, *given, slice(None), self.rows, lambda *_: None)
                logs = scores[:, targets] - scores.logsumexp(1, keepdim=True)
                found[own[:, None], some] = logs.T.double().cpu()
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
    order: Order = "posterior",
) -> RelationReport:
    """Rank the relation of every triple of a split among all relations, filtered; ties count half.

    The other relations that hold between head and tail in any split are left out.

    Args:
        entities: (n, d) embeddings; their device is the one used. Other arguments are as in
            ``Evaluator``.
        order: of the model: ``posterior``, as ``RelationPosterior``, for one that was trained by
            entity queries alone; ``scores``, of tail queries, for one whose loss compares the
            scores of relations.
    """
    one_of("order", order, get_args(Order))
    chosen = Evaluator(kg, split, ks=ks, unseen=unseen, most=most, seed=seed, budget=budget)
    known, counts, device = kg.known(), EndCounts(kg), entities.device
    heads, relations, tails = chosen.triples.unbind(1)
    budget = budget or Budget(device=device)

    def measured(
        scores: Callable[[Tensor, Tensor], Tensor], more: tuple[int, int] = (0, 0)
    ) -> dict[str, float]:
        def work(part: slice) -> Tensor:
            rows, answers = known_relations(known, heads[part], tails[part])
            found = scores(heads[part], tails[part])
            # The right answer is among the known ones, once.
            candidates = 1 + kg.num_relations - rows.bincount(minlength=len(found))
            others = rows.to(found.device), answers.to(found.device)
            ranks = rank(found, relations[part].to(found.device), others).cpu()
            return torch.stack((ranks, candidates.double()))

        each, fixed = map(sum, zip(relation_bytes(decoder, entities), more, strict=True))
        parts = budget.chunks(len(heads), each, work, most=MANY, fixed=fixed)
        ranks, candidates = torch.cat(list(parts), 1)
        numbers = metrics(ranks, candidates, ks=chosen.ks)
        return {k if k == "queries" else f"{RELATION}{k}": v for k, v in numbers.items()}

    with eval_mode(decoder), torch.no_grad():
        own = raw = measured(
            lambda h, t: decoder.score_relations(entities[h.to(device)], entities[t.to(device)])
        )
        if order == "posterior":
            posterior = RelationPosterior(kg, decoder, entities)
            own = measured(posterior, posterior.bytes_held)
    protocol = {**chosen.protocol(), "ties": "realistic", "relations": kg.num_relations}
    protocol["order"] = order
    return RelationReport(
        split=split,
        protocol={**protocol, "unseen_entities": {"rank": "ranked", "drop": "dropped"}[unseen]},
        model=own,
        scores=raw,
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
    product = type(decoder).score_relations is Multilinear.score_relations
    wide = decoder.pair_width if isinstance(decoder, Multilinear) and product else m * decoder.dim
    # Beside the decoder's own memory: the scores, and what finding known triples takes.
    each = (query_cost(decoder, 1) + 4 * wide) * size + 64 * m
    return each, 2 * decoder.relation.weight.numel() * size
