"""The questions that the facts of a split ask, each of them once."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Questions:
    """The distinct questions of one side of a split, the ones with most answers to rank first.

    The order makes the questions that have a j-th answer the first rows of any chunk, so that one
    comparison serves them all and no row of scores is copied.

    Args:
        anchors: (q,) the given entity of each question.
        relations: (q,) and its relation.
        answers: (f,) the entity each fact asks for; facts lie question by question.
        facts: (f,) the row of the split each came from.
        starts: (q + 1,) where the facts of each question start, on the CPU.
        known: (p,) entities known to answer, question by question.
        known_starts: (q + 1,) where those of each question start, on the CPU.
        candidates: (f,) how many compete: all entities but the other known answers.
    """

    anchors: Tensor
    relations: Tensor
    answers: Tensor
    facts: Tensor
    starts: Tensor
    known: Tensor
    known_starts: Tensor
    candidates: Tensor

    @classmethod
    def of(
        cls,
        anchors: Tensor,
        relations: Tensor,
        answers: Tensor,
        known: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
        num_entities: int,
    ) -> "Questions":
        """Group the facts of a split, (f,) ids each, by question.

        Args:
            anchors: (f,) the given entities.
            relations: (f,).
            answers: (f,) the entities asked for.
            known: all known answers of (q,) anchors and (q,) relations, as flat pairs.
            num_entities: n.
        """
        pairs, question, counts = torch.stack((anchors, relations), 1).unique(
            dim=0, return_inverse=True, return_counts=True
        )
        order = counts.argsort(descending=True, stable=True)
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order), device=order.device)
        facts = place[question].argsort(stable=True)
        asked, related = pairs[order].unbind(1)
        rows, entities = known(asked, related)
        known_counts = torch.bincount(rows, minlength=len(order))
        return cls(
            anchors=asked,
            relations=related,
            answers=answers[facts],
            facts=facts,
            starts=_starts(counts[order]),
            known=entities,
            known_starts=_starts(known_counts),
            candidates=num_entities + 1 - known_counts.repeat_interleave(counts[order]),
        )

    def to(self, device: torch.device) -> "Questions":
        """The same on another device; the boundaries stay, they are read as numbers."""
        moved = ("anchors", "relations", "answers", "facts", "known", "candidates")
        stay = {"starts": self.starts, "known_starts": self.known_starts}
        return Questions(**{name: getattr(self, name).to(device) for name in moved}, **stay)


def _starts(counts: Tensor) -> Tensor:
    return torch.cat((counts.new_zeros(1), counts.cumsum(0))).cpu()
