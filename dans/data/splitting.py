"""Split of triples into train, valid and test, with every entity and relation kept in train."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from dans.data.readers import SPLITS, Split
from dans.errors import InputError, one_of, shown

log = logging.getLogger(__name__)

#: What to do about triples between the same two entities, which tell each other.
InverseLeakage = Literal["allow", "avoid"]


#: Triples that are made lists at once.
PART = 2**16

#: The splits that triples leave train for.
HELD_OUT: tuple[Split, ...] = ("test", "valid")


def check_shares(shares: Sequence[float]) -> None:
    """Refuse what is not three shares of which train's is above 0."""
    known = isinstance(shares, Sequence) and not isinstance(shares, str) and len(shares) == 3
    if not known or not all(isinstance(share, (int, float)) and share >= 0 for share in shares):
        raise InputError(f"split: expected shares such as (.8, .1, .1), got {shown(shares)}")
    if not math.isclose(sum(shares), 1, abs_tol=1e-6) or not shares[0]:
        raise InputError(
            "split: expected the shares of train (above 0), valid and test, which sum to 1, such as"
            f" (.8, .1, .1); got {shown(shares)}"
        )


def split_triples(
    triples: Tensor,
    sizes: tuple[int, int],
    shares: Sequence[float],
    *,
    seed: int = 0,
    inverse_leakage: InverseLeakage = "allow",
    beside: Tensor | None = None,
    where: object = "triples",
) -> dict[Split, Tensor]:
    """Split distinct triples by a seed; each split keeps their order.

    Triples leave train in a random order, as long as each of their entities and their relation has
    another triple there, until test and valid have their shares. Where that cannot be reached, a
    warning says so.

    Args:
        triples: (·, 3) distinct ids.
        sizes: the numbers of entities and relations.
        shares: of train, valid and test; they sum to 1.
        seed: of the order.
        inverse_leakage: ``avoid`` keeps all triples between the same two entities, whatever their
            relation and direction, in one split.
        where: opens what is logged.

    Example:
        >>> triples = torch.tensor([[0, 0, 1], [1, 0, 2], [2, 0, 0], [0, 1, 2], [2, 1, 1]])
        >>> parts = split_triples(triples, (3, 2), (.6, .2, .2))
        >>> [len(part) for part in parts.values()]
        [3, 1, 1]
    """
    check_shares(shares)
    one_of("inverse_leakage", inverse_leakage, ("allow", "avoid"))
    counted = triples if beside is None else torch.cat((triples, beside))
    ends, types = counted[:, [0, 2]].flatten(), counted[:, 1]
    columns = zip((ends, types), sizes, strict=True)
    entities, relations = (torch.bincount(ids, minlength=size).tolist() for ids, size in columns)

    def change(group: Iterable[list[int]], by: int) -> None:
        for head, relation, tail in group:
            entities[head] += by
            entities[tail] += by
            relations[relation] += by

    room: dict[Split, int] = {
        split: max(1, round(share * len(triples))) if share else 0
        for split, share in zip(SPLITS[1:], shares[1:], strict=True)
    }
    wanted = dict(room)
    places = bytearray(len(triples))
    for rows, group in _groups(triples, seed, together=inverse_leakage == "avoid"):
        if not any(room.values()):
            break
        fits = [split for split in HELD_OUT if room[split] >= len(group)]
        if not fits:
            continue
        change(group, -1)
        if all(entities[h] and relations[r] and entities[t] for h, r, t in group):
            target = max(fits, key=lambda split: room[split] / wanted[split])
            room[target] -= len(group)
            for row in rows:
                places[row] = SPLITS.index(target)
        else:
            change(group, 1)
    # An empty buffer is refused.
    numbers = torch.frombuffer(places or bytearray(1), dtype=torch.uint8)[: len(places)]
    parts = {split: triples[numbers == i] for i, split in enumerate(SPLITS)}
    sizes_said = ", ".join(f"{len(part):,} {split}" for split, part in parts.items())
    if any(shares[1:]):
        log.info("%s: split with seed %d: %s triples", where, seed, sizes_said)
    for split, missing in room.items():
        if missing:
            log.warning(
                "%s: %s has %s triples instead of %s: every other triple is needed in train, as the"
                " only one of an entity or a relation%s",
                *(where, split, f"{wanted[split] - missing:,}", f"{wanted[split]:,}"),
                " or together with one between the same entities"
                if inverse_leakage == "avoid"
                else "",
            )
    return parts


def _groups(
    triples: Tensor, seed: int, *, together: bool
) -> Iterator[tuple[list[int], list[list[int]]]]:
    """Rows and triples that go into one split, in random order.

    Those between two entities, where they stay ``together``, else each by itself. Made as they are
    taken, for few are.
    """
    generator = torch.Generator().manual_seed(seed)
    if not together:
        for rows in torch.randperm(len(triples), generator=generator).split(PART):
            for row, triple in zip(rows.tolist(), triples[rows].tolist(), strict=True):
                yield [row], [triple]
        return
    listed = triples.tolist()
    pairs: dict[tuple[int, int], list[int]] = {}
    for row, (head, _, tail) in enumerate(listed):
        pairs.setdefault((min(head, tail), max(head, tail)), []).append(row)
    groups = list(pairs.values())
    for i in torch.randperm(len(groups), generator=generator).tolist():
        yield groups[i], [listed[row] for row in groups[i]]
