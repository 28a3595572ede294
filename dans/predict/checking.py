"""Triples ordered by how plausible a trained model finds them, the least plausible first."""

import math
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.data.known_triples import KnownTriples
from dans.data.neighbor_sampling import IncomingMessages
from dans.data.own_triples import OwnTriples
from dans.errors import InputError, counted, shortened
from dans.predict.predictor import Predictor
from dans.predict.queries import ScoredTriple
from dans.runs.train import Trained

#: Checked training triples are left out of the messages a block at a time, at most 1 of ``BLOCKS``
#: training triples at once.
BLOCKS = 20

#: From (f,) bool, the training triples that send messages, to the embeddings of all entities.
Encode = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class CheckedTriple:
    """A triple with its score and filtered ranks, and its plausibility."""

    triple: ScoredTriple
    #: √(p(head) · p(tail)), above 0 and at most 1, of their shares among their competitors
    plausibility: float

    def to_json(self) -> dict[str, Any]:
        """Plain containers, for ``json.dump``: the fields of the triple, and its plausibility."""
        return {"plausibility": self.plausibility, **asdict(self.triple)}


@dataclass(frozen=True)
class Plausibility:
    """Of (f, 3) triples: (2, f) filtered ranks and logs of shares, of heads and of tails."""

    ranks: Tensor
    logs: Tensor
    scored: list[ScoredTriple]

    @property
    def values(self) -> Tensor:
        """(f,) the mean of the two logs."""
        return self.logs.mean(0)


def check(
    predictor: Predictor,
    triples: Any = None,
    *,
    top: int = 20,
    encode: Encode | None = None,
) -> list[CheckedTriple]:
    """The ``top`` triples that the model finds least plausible, the least plausible first.

        plausibility = √(p(h | r, t) · p(t | h, r))

    where p is the softmax of the scores of the answer and its competitors, other known answers left
    out. Of equal ones, the triple with the lower score comes first.

    Args:
        triples: by name, as `dans.data.own_triples.OwnTriples.of` takes them, without the lines
            labelled false; None: those of train. An empty list gives an empty list.
        encode: embeds all entities from the messages of some training triples. A checked training
            triple then sends no messages while it is scored, so that it is no evidence for itself:
            they are left out in blocks, of all training triples in ``BLOCKS``. None: embeddings are
            those of the predictor.
    """
    counted("top", top)
    ids = predictor.kg.train
    if triples is not None:
        own = OwnTriples.of(predictor.kg, triples, empty=True)
        ids = own.lines[own.holds]
        if len(ids) < len(own.lines) and not len(ids):
            raise InputError(f"{triples}: no triple in it: each of its lines is labelled false")
    found = plausibility(predictor, ids, encode=encode)
    scores = [one.score for one in found.scored]
    values = found.values.tolist()
    order = sorted(range(len(ids)), key=lambda i: (values[i], scores[i]))[:top]
    ranks = found.ranks.tolist()
    return [
        CheckedTriple(
            replace(found.scored[i], head_rank=ranks[0][i], tail_rank=ranks[1][i]),
            math.exp(values[i]),
        )
        for i in order
    ]


def plausibility(
    predictor: Predictor, ids: Tensor, *, encode: Encode | None = None
) -> Plausibility:
    """Ranks, shares and scores of (f, 3) triples; arguments as those of `check`."""
    kg = predictor.kg
    ranks, logs = torch.empty(2, 2, len(ids), dtype=torch.float64)
    scored: dict[int, ScoredTriple] = {}
    for rows, keep in _blocks(kg, ids, held_out=encode is not None):
        one = predictor
        if encode is not None and keep is not None:
            one = copy(predictor)
            one.entities = encode(keep)
        for side, column in enumerate((0, 2)):
            ranks[side, rows], logs[side, rows] = one.ranked(ids[rows], column)
        scored |= dict(zip(rows.tolist(), one.scored(ids[rows]), strict=True))
    return Plausibility(ranks, logs, [scored[i] for i in range(len(ids))])


def _blocks(
    kg: KnowledgeGraph, ids: Tensor, *, held_out: bool
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Rows of the triples, and which training triples send messages while they are scored."""
    rows = torch.arange(len(ids))
    mine = kg.known(("train",)).is_known(ids) if held_out else torch.zeros(len(ids)).bool()
    if len(others := rows[~mine]):
        yield others, None
    number = int(mine.sum())
    blocks = min(number, math.ceil(BLOCKS * number / max(1, len(kg.train))))
    for first in range(blocks):
        # Evenly spaced: blocks of a file that is sorted are alike.
        block = rows[mine][first::blocks]
        block_of = KnownTriples(ids[block], kg.num_entities, kg.num_relations)
        yield block, ~block_of.is_known(kg.train)


def encoder_of(trained: Trained) -> Encode | None:
    """Embeds the entities of a run from some of its training triples; None for a lookup encoder."""
    kg, model, graph = trained.kg, trained.model, trained.config.graph
    if not model.encoder.uses_graph:
        return None

    def encode(keep: Tensor) -> Tensor:
        if graph.fanout:
            sizes = kg.num_entities, kg.num_relations
            return model.embeddings_in_pieces(IncomingMessages(kg.train[keep], *sizes, graph.norm))
        messages = kg.messages(graph.norm).restrict(keep)
        return model.embeddings(messages.to(trained.entities.device))

    return encode


def table(checked: Iterable[CheckedTriple]) -> str:
    """The checked triples as lines of tab-separated columns, with a header.

    Names stand on one line, long ones cut.
    """
    rows = ["plausibility\tscore\tprobability\thead\trelation\ttail"]
    for one in checked:
        triple = one.triple
        probability = "" if triple.probability is None else f"{triple.probability:.4f}"
        columns = (f"{one.plausibility:.3g}", f"{triple.score:.4f}", probability)
        names = map(shortened, (triple.head, triple.relation, triple.tail))
        rows.append("\t".join((*columns, *names)))
    return "\n".join(rows)
