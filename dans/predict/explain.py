"""Explanations of a triple: paths, the training triples that carry it, analogous answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dans.data.graph import KnowledgeGraph
from dans.data.message_graph import MessageGraph, Norm
from dans.data.neighbor_sampling import Block, IncomingMessages
from dans.errors import InputError, counted, shortened
from dans.evaluation.classifier import logits
from dans.memory import Budget
from dans.models.decoders import Decoder
from dans.models.model import Model, eval_mode
from dans.models.rgcn import RGCNLayer
from dans.predict.path_search import MOST_EDGES, Adjacency, PathSearch
from dans.predict.predictor import Predictor
from dans.runs.train import Trained

if TYPE_CHECKING:
    import networkx
    from matplotlib.axes import Axes

#: The most paths that are ordered by the shares of their triples, and the most scores for it of
#: each side, except where fewer paths than are asked for would be ordered.
MOST_PATHS, MOST_SCORES = 100, 5_000_000

#: What the values of the triples that carry a prediction are.
Basis: TypeAlias = Literal["gradient", "similarity"]

#: A triple of names: head, relation, tail.
Names = tuple[str, str, str]


@dataclass(frozen=True)
class Path:
    """A path between head and tail: training triples, each with its score, in the order of steps.

    Args:
        scores: the model's, of each triple.
        forward: is a triple passed from its head to its tail?
        score: Σ (log p(t | h, r) + log p(h | r, t)) / 2 over the triples: at most 0, larger is
            truer. p is the share exp(score) / Σ exp(score) of a right answer in the sum over
            itself and its competitors, the entities that are no known answer.
    """

    triples: tuple[Names, ...]
    scores: tuple[float, ...]
    forward: tuple[bool, ...]
    score: float

    def __str__(self) -> str:
        """As ``ada --knows--> bob <--owns-- cy``."""
        (head, _, tail), text = self.triples[0], ""
        for (head, relation, tail), forth in zip(self.triples, self.forward, strict=True):
            start, end = (head, tail) if forth else (tail, head)
            arrow = f"--{shortened(relation)}-->" if forth else f"<--{shortened(relation)}--"
            text += f"{'' if text else shortened(start)} {arrow} {shortened(end)}"
        return text.lstrip()


@dataclass(frozen=True)
class Support:
    """A training triple, and how strongly it supports the explained one.

    Of ``carried_by`` of a model that uses the graph, ``value`` is the gradient × input of its
    messages, to first order their part of the score; else it is a similarity, at most 1.
    """

    triple: Names
    value: float


@dataclass(frozen=True)
class Effect:
    """The score of the explained triple with and without some training triples, both computed."""

    before: float
    after: float


@dataclass(frozen=True)
class Explanation:
    """Why a model predicts a triple; prints as text.

    Args:
        triple: the explained one.
        score: the model's.
        paths: those with the highest scores.
        all_paths: were all edges looked at? False where that took too many.
        carried_by: training triples, the strongest first.
        basis: of ``carried_by``: ``gradient`` × input, or ``similarity`` where the model does not
            use the graph.
        effect: of removing ``carried_by`` together; None where the model does not use the graph.
        analogies: training triples of the relation with the nearest tail queries.
    """

    triple: Names
    score: float
    paths: tuple[Path, ...]
    all_paths: bool
    carried_by: tuple[Support, ...]
    basis: Basis
    effect: Effect | None
    analogies: tuple[Support, ...]

    def __str__(self) -> str:
        """The explanation for a person: every name on one line, long ones cut."""
        lines = [f"{_shown(self.triple)}: score {self.score:.4f}"]
        rest = "" if self.all_paths else "; not all edges of hubs were looked at"
        lines += ["", f"paths of training triples (sum of log shares, 0 is best{rest})"]
        lines += [f"  {path.score:8.4f}  {path}" for path in self.paths] or ["  none"]
        titles = {
            "gradient": "training triples that carry it (gradient × input)",
            "similarity": "most similar training triples (mean cosine of query and answer)",
        }
        similar = "known answers to the nearest queries (cosine)"
        parts = (titles[self.basis], self.carried_by), (similar, self.analogies)
        for title, supports in parts:
            lines += ["", title]
            lines += [f"  {s.value:8.4f}  {_shown(s.triple)}" for s in supports] or ["  none"]
            if supports is self.carried_by and self.effect and supports:
                change = f"{self.effect.before:.4f} to {self.effect.after:.4f}"
                lines.append(f"  all of them removed, the score changes from {change}")
        return "\n".join(lines)

    def to_json(self) -> str:
        """The fields as one JSON object."""
        return json.dumps(asdict(self), ensure_ascii=False)

    def to_networkx(self) -> networkx.MultiDiGraph[str]:
        """The triples as a graph of names; the key of an edge is the relation.

        The attribute ``roles`` of an edge lists what the triple is: ``explained``, ``path``,
        ``carries`` or ``analogy``.
        """
        import networkx

        graph: networkx.MultiDiGraph[str] = networkx.MultiDiGraph()
        parts: tuple[tuple[str, Sequence[Names]], ...] = (
            ("explained", [self.triple]),
            ("path", [triple for path in self.paths for triple in path.triples]),
            ("carries", [support.triple for support in self.carried_by]),
            ("analogy", [support.triple for support in self.analogies]),
        )
        for role, triples in parts:
            for head, relation, tail in dict.fromkeys(triples):
                roles = graph.get_edge_data(head, tail, relation, {}).get("roles", ())
                graph.add_edge(head, tail, key=relation, roles=(*roles, role))
        return graph

    def draw(self, where: str | FilePath | Axes) -> None:
        """Draw paths and carrying triples between head and tail; needs matplotlib.

        Args:
            where: axes of matplotlib, or the path of a ``.png``, ``.svg`` or ``.pdf`` file. Long
                names are cut. Similar triples, which a lookup model names, are not drawn.
        """
        from dans.predict.picture import draw

        draw(self, where)


def _shown(triple: Names) -> str:
    """A triple in brackets; a name that holds a comma stands in quotes."""
    names = (f"'{name}'" if "," in name else name for name in map(shortened, triple))
    return f"({', '.join(names)})"


class Explainer:
    """Explanations of triples by a trained model, from its training triples.

    Args:
        entities: (n, d) embeddings; their device is the one used.
        norm: of the messages.
        neighborhoods: encode head and tail alone, from the messages that reach them, as is done
            for graphs whose messages do not all fit into memory at a time.
        budget: memory that scores may take; None: a quarter of what is free.
    """

    def __init__(
        self,
        kg: KnowledgeGraph,
        model: Model,
        entities: Tensor,
        *,
        norm: Norm = "relation",
        neighborhoods: bool = False,
        budget: Budget | None = None,
    ) -> None:
        self.kg, self.model, self.entities, self.norm = kg, model, entities, norm
        self.neighborhoods = neighborhoods
        self.budget = Budget(device=entities.device) if budget is None else budget

    @classmethod
    def of(cls, trained: Trained, *, budget: Budget | None = None) -> Explainer:
        """Of a trained run; by neighborhoods where ``graph.fanout`` is given."""
        graph, kg = trained.config.graph, trained.kg
        given: dict[str, Any] = {"norm": graph.norm, "neighborhoods": bool(graph.fanout)}
        return cls(kg, trained.model, trained.entities, budget=budget, **given)

    @cached_property
    def edges(self) -> Adjacency:
        """The training triples as edges."""
        return Adjacency(self.kg.train, self.kg.num_entities)

    @cached_property
    def messages(self) -> MessageGraph:
        """The training triples as messages."""
        return self.kg.messages(self.norm).to(self.entities.device)

    @cached_property
    def incoming(self) -> IncomingMessages:
        """The training triples as messages by the entity that receives them."""
        kg = self.kg
        return IncomingMessages(kg.train, kg.num_entities, kg.num_relations, self.norm)

    def explain(
        self, head: str, relation: str, tail: str, *, top: int = 5, most: int = MOST_EDGES
    ) -> Explanation:
        """Explain a triple by name.

        Args:
            head: name of an entity; ``tail`` likewise, and ``relation`` of a relation.
            top: the most paths, carrying triples and analogies, each.
            most: the most edges looked at for the middle of paths of three steps.
        """
        counted("top", top)
        counted("most", most, most=2**40)
        kg = self.kg
        ids = [
            kg.entities.index(head, where="head"),
            kg.relations.index(relation, where="relation"),
            kg.entities.index(tail, where="tail"),
        ]
        triple = torch.tensor(ids)
        paths, complete = self.paths(triple, top=top, most=most)
        basis: Basis = "similarity"
        score, effect = self.score(triple), None
        if self.model.encoder.uses_graph:
            rows, values = self.carrying(triple, top=top)
            basis, effect = "gradient", Effect(score, self.score_without(triple, rows))
        else:
            rows, values = self.similar(triple, top=top)
        return Explanation(
            (head, relation, tail),
            score,
            paths,
            complete,
            self._supports(rows, values),
            basis,
            effect,
            self._supports(*self.analogies(triple, top=top)),
        )

    def score(self, triple: Tensor) -> float:
        """The score of a (3,) triple, as `Predictor.score` gives it."""
        return float(self._scores(triple.unsqueeze(0), self.entities))

    @torch.no_grad()
    def _scores(self, triples: Tensor, entities: Tensor) -> Tensor:
        scores = logits(self.model.decoder, entities, triples, budget=self.budget)
        if not scores.isfinite().all():
            raise FloatingPointError("a score is no finite number; the model has no explanation")
        return scores

    def paths(
        self, triple: Tensor, *, top: int, most: int = MOST_EDGES
    ) -> tuple[tuple[Path, ...], bool]:
        """The best paths of up to three steps without the triple itself; were all looked at?

        Those with the highest sums of log-sigmoids of their triples' scores, `MOST_PATHS` at the
        most, are ordered by the shares, which take the scores of all entities.
        """
        head, tail = int(triple[0]), int(triple[2])
        if head == tail:
            return (), True
        kg, edges = self.kg, self.edges
        search = PathSearch(edges, kg.num_entities)
        left_out = (kg.train == triple).all(1)
        candidates, complete = search.candidates(head, tail, left_out, most)
        rows = edges.triple[torch.cat(candidates)].unique()
        scores = self.entities.new_zeros(len(kg.train), device="cpu")
        scores[rows] = self._scores(kg.train[rows], self.entities)
        several = max(top, min(MOST_PATHS, MOST_SCORES // (3 * kg.num_entities)))
        best = search.best(head, tail, candidates, F.logsigmoid(scores), several)
        shares = self._log_shares([edges.triple[path] for _, path in best])
        totals = [(float(shares[edges.triple[path]].sum()), path) for _, path in best]
        totals.sort(key=lambda path: -path[0])
        return tuple(self._path(*path, scores) for path in totals[:top]), complete

    def _log_shares(self, paths: Sequence[Tensor]) -> Tensor:
        """(f,) mean log share as a head and as a tail of the training triples of some paths."""
        shares = torch.zeros(len(self.kg.train), dtype=torch.float64)
        if paths:
            rows = torch.cat(list(paths)).unique()
            predictor = Predictor(
                self.kg, self.model.decoder, self.entities.detach(), budget=self.budget
            )
            sides = [predictor.ranked(self.kg.train[rows], column)[1] for column in (0, 2)]
            shares[rows] = (sides[0] + sides[1]) / 2
        return shares

    def _path(self, score: float, path: list[int], scores: Tensor) -> Path:
        rows = self.edges.triple[path]
        forward = tuple(self.edges.forward[path].tolist())
        return Path(tuple(self._names(rows)), tuple(scores[rows].tolist()), forward, score)

    def around(self, triple: Tensor) -> Tensor:
        """(c,) rows of the training triples with head or tail of a triple, itself left out."""
        ends, train = triple[[0, 2]], self.kg.train
        touches = torch.isin(train[:, 0], ends) | torch.isin(train[:, 2], ends)
        return (touches & (train != triple).any(1)).nonzero().flatten()

    def carrying(self, triple: Tensor, *, top: int) -> tuple[Tensor, Tensor]:
        """The triples `around` a triple with the highest `contributions` above 0: rows, values."""
        rows = self.around(triple)
        rows, values = _highest(rows, self.contributions(triple, rows), top)
        return rows[values > 0], values[values > 0]

    @torch.no_grad()
    def score_without(self, triple: Tensor, rows: Tensor) -> float:
        """The score of a triple, its entities encoded without some training triples."""
        if self.neighborhoods:
            entities, place = self._encoded(triple, exclude=rows)[:2]
            return float(self._scores(place.unsqueeze(0), entities))
        keep = torch.ones(len(self.kg.train), dtype=torch.bool)
        keep[rows] = False
        messages = self.messages.restrict(keep.to(self.entities.device))
        return float(self._scores(triple.unsqueeze(0), self.model.embeddings(messages)))

    def contributions(self, triple: Tensor, rows: Tensor) -> Tensor:
        """Gradient × input of the score by the message weights of training triples, (c,).

            Σ_layers Σ_messages w · ∂score/∂w,    ∂score/∂w_{ij}^r = (x_j W_r) · ∂score/∂out_i

        with x the input and out the output of a layer; a triple has two messages in each.
        """
        device = self.entities.device
        with _probed(self.model) as layers, torch.enable_grad():
            if self.neighborhoods:
                entities, place, ids, blocks = self._encoded(triple)
            else:
                with eval_mode(self.model):
                    entities, place = self.model.encode(self.messages), triple
            score = _score(self.model.decoder, entities, place.to(device))
        if not layers:
            raise InputError("explain: accepts encoders of RGCN layers, and lookup encoders")
        gradients = torch.autograd.grad(score, [probe for _, _, probe in layers])
        if self.neighborhoods:
            sent: Sequence[tuple[MessageGraph | Block, Tensor]] = [
                (block.to(device), self._row_of(rows, block, ids).to(device)) for block in blocks
            ]
        else:
            position = torch.full((len(self.kg.train),), -1, device=device)
            position[rows.to(device)] = torch.arange(len(rows), device=device)
            sent = [(self.messages, position[self.messages.triple_ids.long()])] * len(layers)
        total = self.entities.new_zeros(len(rows))
        for (layer, x, _), gradient, (messages, of_each) in zip(
            layers, gradients, sent, strict=True
        ):
            some = (of_each >= 0).nonzero().flatten()
            total.index_add_(0, of_each[some], _by_message(layer, x, gradient, messages, some))
        return total.cpu()

    def _encoded(
        self, triple: Tensor, exclude: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Block, ...]]:
        """Head and tail of a triple encoded from all messages that reach them.

        Their embeddings; the triple by their rows; the entities of the rows of the first input;
        and the messages of each layer.
        """
        ends, place = triple[[0, 2]].unique(return_inverse=True)
        everything = [0] * self.model.encoder.num_layers
        around = self.incoming.sample(ends, everything, exclude=exclude, seed=0)
        with eval_mode(self.model):
            entities = self.model.encode_sampled(around.to(self.entities.device))
        rows = torch.stack((place[0], triple[1], place[1]))
        return entities, rows, around.entity_ids, around.blocks

    def _row_of(self, rows: Tensor, block: Block, ids: Tensor) -> Tensor:
        """(e,) which of some training triples each message of a block is of; −1: of none."""
        n, m = self.kg.num_entities, self.kg.num_relations

        def key(sources: Tensor, etypes: Tensor, targets: Tensor) -> Tensor:
            return (sources * 2 * m + etypes) * n + targets

        heads, relations, tails = self.kg.train[rows].unbind(1)
        both = torch.cat((key(heads, relations, tails), key(tails, relations + m, heads)))
        found = key(ids[block.sources], block.etype, ids[block.targets])
        if not len(rows):
            return torch.full_like(found, -1)
        keys, order = both.sort()
        place = torch.searchsorted(keys, found).clamp(max=len(keys) - 1)
        return torch.where(keys[place] == found, order[place] % len(rows), -1)

    @torch.no_grad()
    def similar(self, triple: Tensor, *, top: int) -> tuple[Tensor, Tensor]:
        """The most similar training triples of the relation: rows and similarities.

        The mean of two cosines: of the tail query embeddings, and of the tails' embeddings.
        """
        rows, queries, answers = self._cosines(triple)
        rows, values = rows.cpu(), ((queries + answers) / 2).cpu()
        other = (self.kg.train[rows] != triple).any(1)
        return _highest(rows[other], values[other], top)

    @torch.no_grad()
    def analogies(self, triple: Tensor, *, top: int) -> tuple[Tensor, Tensor]:
        """Known answers to the nearest tail queries of the relation: rows and cosines.

        Of each other head one training triple, that with the most similar tail.
        """
        rows, queries, answers = (part.cpu() for part in self._cosines(triple))
        order = answers.argsort(descending=True, stable=True)
        heads = self.kg.train[rows[order], 0]
        _, which = heads.unique(return_inverse=True)
        first = torch.full((len(heads),), len(heads)).scatter_reduce(
            0, which, torch.arange(len(heads)), "amin"
        )
        chosen = first[first < len(heads)]
        chosen = order[chosen[heads[chosen] != triple[0]]]
        return _highest(rows[chosen], queries[chosen], top)

    def _cosines(self, triple: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Training triples of the relation; cosines of their tail queries and tails with its."""
        rows = (self.kg.train[:, 1] == triple[1]).nonzero().flatten()
        decoder, entities = self.model.decoder, self.entities
        triples = torch.cat((triple.unsqueeze(0), self.kg.train[rows])).to(entities.device)
        heads, relations, tails = triples.unbind(1)
        with eval_mode(decoder):
            queries, answers = decoder.tail_queries(entities[heads], relations), entities[tails]
        cosines = [F.cosine_similarity(x[:1], x[1:]) for x in (queries, answers)]
        return rows, cosines[0], cosines[1]

    def _names(self, rows: Tensor) -> Iterator[Names]:
        entities, relations = self.kg.entities, self.kg.relations
        for h, r, t in self.kg.train[rows].tolist():
            yield entities[h], relations[r], entities[t]

    def _supports(self, rows: Tensor, values: Tensor) -> tuple[Support, ...]:
        return tuple(map(Support, self._names(rows), values.tolist()))


def _highest(rows: Tensor, values: Tensor, top: int) -> tuple[Tensor, Tensor]:
    order = values.argsort(descending=True, stable=True)[:top]
    return rows[order], values[order]


def _score(decoder: Decoder, entities: Tensor, triple: Tensor) -> Tensor:
    """What ``logits`` gives for a (3,) triple, with a gradient."""
    head, relation, tail = triple.view(3, 1)
    h, t = entities[head], entities[tail]
    score = decoder.score_query(decoder.tail_queries(h, relation), t)
    if decoder.reciprocal:
        score = (score + decoder.score_query(decoder.head_queries(relation, t), h)) / 2
    return score.sum()


@contextmanager
def _probed(model: nn.Module) -> Iterator[list[tuple[RGCNLayer, Tensor, Tensor]]]:
    """Lists the layers that are called, each with its input and a zero added to its output.

    The gradient by that zero is the gradient by the output.
    """
    seen: list[tuple[RGCNLayer, Tensor, Tensor]] = []

    def add(layer: Any, inputs: tuple[Any, ...], out: Tensor) -> Tensor:
        probe = torch.zeros_like(out, requires_grad=True)
        seen.append((layer, inputs[0].detach(), probe))
        return out + probe

    layers = [part for part in model.modules() if isinstance(part, RGCNLayer)]
    handles = [layer.register_forward_hook(add) for layer in layers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def _by_message(
    layer: RGCNLayer, x: Tensor, gradient: Tensor, messages: MessageGraph | Block, some: Tensor
) -> Tensor:
    """w (x_j W_r) · gradient_i of some messages of a layer, by their positions."""
    etypes, found = messages.etype[some].long(), x.new_empty(len(some))
    for etype in etypes.unique().tolist():
        rows = (etypes == etype).nonzero().flatten()
        matrix = layer.matrices[etype] if layer.coefficients is None else None
        if layer.coefficients is not None:
            matrix = torch.einsum("b,bcij->cij", layer.coefficients[etype], layer.matrices)
        sent = x[messages.sources[some[rows]].long()]
        received = gradient[messages.targets[some[rows]].long()]
        blocks = layer.matrices.shape[1]
        parts = sent.view(len(rows), blocks, -1), matrix, received.view(len(rows), blocks, -1)
        found[rows] = torch.einsum("kci,cij,kcj->k", *parts)
    return found * messages.weight[some].to(found.dtype)
