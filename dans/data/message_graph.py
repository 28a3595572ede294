"""The messages of a relational graph convolution as flat, sorted tensors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from dans.errors import one_of

#: ``relation``: 1/|N_i^r|; ``node``: 1/deg(i); ``code``: 1/deg(i) · 1/|N_j^{r,out}|
Norm = Literal["relation", "node", "code"]


@dataclass(frozen=True, eq=False)
class MessageGraph:
    """Two messages for each triple: h to t by edge type r, and t to h by edge type r + m.

    With N_i^r the messages of type r that i receives, deg(i) the number of all messages that i
    receives, and N_j^{r,out} those of type r that j sends, the weight of a message from j to i is

        relation: 1/|N_i^r|    node: 1/deg(i)    code: 1/deg(i) · 1/|N_j^{r,out}|

    as in Eq. 1 of DANS (Liu et al. 2024, arXiv:2410.07592), in DGL's link prediction example, and
    in the published program of DANS.

    Messages are sorted by edge type, then target; the first half is those from head to tail. Only
    `of` sorts: build with it.

    The four tensors of ids are int32 where ids fit, which takes 40 bytes a triple, else int64.

    Args:
        sources: (e,) entities that send.
        targets: (e,) entities that receive.
        etype: (e,) in [0, 2m).
        triple_ids: (e,) the triple a message comes from; each triple occurs twice.
        weight: (e,) float32.
        num_entities: n.
        num_etypes: 2m.
        norm: of the weights.

    Example:
        >>> graph = MessageGraph.of(torch.tensor([[0, 1, 2], [1, 1, 2], [2, 0, 0]]), 3, 2)
        >>> graph.sources.tolist(), graph.targets.tolist()
        ([2, 0, 1, 0, 2, 2], [0, 2, 2, 2, 0, 1])
        >>> graph.etype.tolist(), graph.weight
        ([0, 1, 1, 2, 3, 3], tensor([1.0000, 0.5000, 0.5000, 1.0000, 1.0000, 1.0000]))
        >>> graph.restrict(torch.tensor([True, False, True])).weight
        tensor([1., 1., 1., 1.])
    """

    sources: Tensor
    targets: Tensor
    etype: Tensor
    triple_ids: Tensor
    weight: Tensor
    num_entities: int
    num_etypes: int
    norm: Norm
    #: what message passing derives from these messages and keeps with them, by name
    cache: dict[object, object] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls,
        triples: Tensor,
        num_entities: int,
        num_relations: int,
        norm: Norm = "relation",
    ) -> MessageGraph:
        """The messages of (f, 3) triples, in both directions."""
        one_of("norm", norm, get_args(Norm))
        heads, relations, tails = triples.unbind(1)
        triple_ids = torch.arange(len(triples), device=triples.device)
        largest = max(num_entities, 2 * num_relations, len(triples))
        kept = torch.int32 if largest < 2**31 else torch.int64
        parts = [triples.new_empty(2 * len(triples), dtype=kept) for _ in range(4)]
        # By halves, and without copies in between: at 100 million triples each counts.
        for half, (sent, received) in enumerate(((heads, tails), (tails, heads))):
            order = (relations * num_entities).add_(received).argsort(stable=True)
            of_half = slice(half * len(triples), (half + 1) * len(triples))
            for part, values in zip(parts, (sent, received, relations, triple_ids), strict=True):
                part[of_half] = values[order]
            parts[2][of_half] += half * num_relations
        sources, targets, etype, triple_ids = parts
        weight = _weight(targets, etype, triple_ids, num_entities, norm)
        return cls(
            sources, targets, etype, triple_ids, weight, num_entities, 2 * num_relations, norm
        )

    def __len__(self) -> int:
        return len(self.sources)

    def restrict(self, keep: Tensor) -> MessageGraph:
        """The messages of the triples where ``keep``, bool by triple, is true, with new weights."""
        kept = keep[self.triple_ids].nonzero().squeeze(1)
        names = ("sources", "targets", "etype", "triple_ids")
        parts = {name: getattr(self, name).index_select(0, kept) for name in names}
        _, targets, etype, triple_ids = parts.values()
        weight = _weight(targets, etype, triple_ids, self.num_entities, self.norm)
        return replace(self, **parts, weight=weight)

    def to(self, device: torch.device | str) -> MessageGraph:
        """The same messages on another device."""
        names = ("sources", "targets", "etype", "triple_ids", "weight")
        moved = {name: getattr(self, name).to(device) for name in names}
        return self if moved["sources"] is self.sources else replace(self, **moved)

    @property
    def device(self) -> torch.device:
        """The device of the messages."""
        return self.sources.device


def reverse(triple_ids: Tensor) -> Tensor:
    """(e,) positions of the opposite of each message, from the sorted messages' (e,) triples.

    Each half holds each triple once.
    """
    half = len(triple_ids) // 2
    forth, back = triple_ids[:half].long(), triple_ids[half:]
    here = torch.arange(half, device=triple_ids.device)
    position = here.new_empty(int(triple_ids.max()) + 1 if half else 0)
    of_back = position.index_copy(0, forth, here)[back]
    of_forth = torch.empty_like(here).index_copy_(0, of_back, here)
    return torch.cat((of_forth + half, of_back))


def _weight(
    targets: Tensor, etype: Tensor, triple_ids: Tensor, num_entities: int, norm: Norm
) -> Tensor:
    if norm == "relation":
        return _per_relation(targets, etype)
    per_node = torch.bincount(targets, minlength=num_entities)[targets].float().reciprocal()
    if norm == "node":
        return per_node
    # What j sends by r is what j receives by the inverse of r.
    return per_node * _per_relation(targets, etype)[reverse(triple_ids)]


def _per_relation(targets: Tensor, etype: Tensor) -> Tensor:
    """(e,) 1/|N_i^r|: messages of one target and type are adjacent."""
    new = (etype[1:] != etype[:-1]).logical_or_(targets[1:] != targets[:-1])
    ends = targets.new_tensor([len(targets) - 1], dtype=torch.int64)[: len(targets)]
    counts = torch.cat((new.nonzero().squeeze(1), ends)).diff(prepend=ends.new_tensor([-1]))
    return counts.float().reciprocal().repeat_interleave(counts)
