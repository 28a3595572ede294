"""Splits of triples, drawn by triple or by entity, with every entity and relation kept in train."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

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
        beside: (·, 3) triples that are in train too, and are not split.
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


def split_entities(
    triples: Tensor,
    sizes: tuple[int, int],
    held_out: float = 0.1,
    *,
    test: float = 0.5,
    valid: float = 0.05,
    both_new: bool = False,
    seed: int = 0,
    where: object = "triples",
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split distinct triples such that training never sees a share of the entities.

    A random share of the entities is held out. Triples among the others are train and valid, each
    entity and relation with a triple in train. Triples of one held-out entity and one other are
    extra and test: they leave extra in random order for test, as long as each held-out entity has
    another one in extra. Triples of two held-out entities are left out, unless ``both_new``. So are
    those of relations without a triple in train. An entity all of whose triples lead to held-out
    ones counts as held out.

    The parts are those of Hamaguchi et al. 2017 (IJCAI, "Knowledge Transfer for Out-of-Knowledge-
    Base Entities", section 4), where one end of a test triple is unseen, and triples of two unseen
    entities are discarded; there the held-out entities are those of some test triples, here they
    are drawn uniformly. Teru et al. 2020 (GraIL, arXiv:1911.06962) train and test on two graphs
    without a common entity, which is a rule for models without embeddings of known entities.

    Args:
        triples: (·, 3) distinct ids.
        sizes: the numbers of entities and relations.
        held_out: share of the entities.
        test: share of the triples of held-out entities that are test.
        valid: share of the triples among the other entities that are valid.
        both_new: divide the triples of two held-out entities, too.
        seed: of all that is drawn.
        where: opens what is logged.

    Returns:
        The parts by name, (·, 3) each, and the rule with its numbers and counts. ``train`` and
        ``valid`` are triples among the other entities; ``extra`` triples of held-out ones that are
        given at prediction time, at least one of each; ``test`` others of theirs, to be predicted.

    Raises:
        InputError: a share is not in (0, 1), or leaves a part without triples.

    Example:
        >>> ring = torch.tensor([[i, 0, (i + k) % 10] for i in range(10) for k in (1, 2)])
        >>> parts, about = split_entities(ring, (10, 1), 0.2, valid=0.1)
        >>> {name: len(part) for name, part in parts.items()}
        {'train': 11, 'valid': 1, 'extra': 4, 'test': 4}
        >>> about["left_out"]
        {'triples among held-out entities': 0, 'triples of relations that train lacks': 0}
    """
    for name, value in {"held_out": held_out, "test": test, "valid": valid}.items():
        if not 0 < value < 1 and (name, value) != ("valid", 0):
            raise InputError(f"{name}: expected a share in (0, 1), got {value:g}")
    n, m = sizes
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    drawn = torch.zeros(n, dtype=torch.bool)
    drawn[order[: round(held_out * n)]] = True
    ends = triples[:, [0, 2]]
    # Without a triple among the other ones, an entity would not be in train.
    kept = torch.zeros(n, dtype=torch.bool)
    kept[ends[~drawn[ends].any(1)].flatten()] = True
    unseen_ends = (~kept[ends]).sum(1)
    inside, own = triples[unseen_ends == 0], triples[unseen_ends == 1]
    both = triples[unseen_ends == 2]
    if not len(inside):
        raise InputError(
            f"{where}: held_out: {held_out:g} of the entities leaves no triple to train on"
        )
    shares = (1 - valid, valid, 0.0)
    train, validation, _ = split_triples(inside, sizes, shares, seed=seed, where=where).values()
    if both_new:
        own = triples[unseen_ends > 0]
    seen = torch.zeros(m, dtype=torch.bool)
    seen[train[:, 1]] = True
    of_seen = own[seen[own[:, 1]]]
    if not len(of_seen):
        raise InputError(
            f"{where}: held_out: {held_out:g} of the entities leaves none with a triple"
        )
    extra, _, tested = split_triples(
        of_seen,
        sizes,
        (1 - test, 0.0, test),
        seed=seed,
        beside=train,
        where=f"{where}: held-out entities, extra as train",
    ).values()
    parts = {"train": train, "valid": validation, "extra": extra, "test": tested}
    ids = {name: part[:, [0, 2]].unique() for name, part in parts.items()}
    new = {f"new in {name}": int((~kept[ids[name]]).sum()) for name in ("extra", "test")}
    about = {
        "rule": "share of the entities held out; train and valid: triples among the others; extra "
        f"and test: triples with one held-out entity{' or two' if both_new else ''}, at least one "
        "of each in extra",
        "source": "after Hamaguchi et al. 2017, IJCAI",
        "seed": seed,
        "shares": {"entities": held_out, "test": test, "valid": valid},
        "triples": {name: len(part) for name, part in parts.items()},
        "entities": {"train": len(ids["train"]), **new},
        "left_out": {
            "triples among held-out entities": 0 if both_new else len(both),
            "triples of relations that train lacks": len(own) - len(of_seen),
        },
    }
    return parts, about
