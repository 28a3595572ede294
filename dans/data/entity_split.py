"""Split of triples by entity: some entities are held out, with a part of their triples."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dans.data.splitting import split_triples
from dans.errors import InputError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InductiveSplit:
    """Four parts of the triples of a graph, (·, 3) each, and how they were made.

    ``train`` and ``valid``: triples among the other entities. ``extra``: triples of
    held-out entities that are given at prediction time, at least one of each. ``test``: other
    triples of theirs, to be predicted. ``about``: the rule, its numbers and counts.
    """

    train: Tensor
    valid: Tensor
    extra: Tensor
    test: Tensor
    about: dict[str, Any]

    def parts(self) -> dict[str, Tensor]:
        """The four parts by name."""
        return {name: getattr(self, name) for name in ("train", "valid", "extra", "test")}


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
) -> InductiveSplit:
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

    Raises:
        InputError: a share is not in (0, 1), or leaves a part without triples.

    Example:
        >>> ring = torch.tensor([[i, 0, (i + k) % 10] for i in range(10) for k in (1, 2)])
        >>> found = split_entities(ring, (10, 1), 0.2, valid=0.1)
        >>> {name: len(part) for name, part in found.parts().items()}, found.about["left_out"]
        ({'train': 11, 'valid': 1, 'extra': 4, 'test': 4}, {'among_held_out': 0, 'relations': 0})
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
    parts = split_triples(inside, sizes, (1 - valid, valid, 0.0), seed=seed, where=where)
    train = parts["train"]
    if both_new:
        own = triples[unseen_ends > 0]
    seen = torch.zeros(m, dtype=torch.bool)
    seen[train[:, 1]] = True
    of_seen = own[seen[own[:, 1]]]
    if not len(of_seen):
        raise InputError(
            f"{where}: held_out: {held_out:g} of the entities leaves none with a triple"
        )
    divided = split_triples(
        of_seen,
        sizes,
        (1 - test, 0.0, test),
        seed=seed,
        beside=train,
        where=f"{where}: held-out entities, extra as train",
    )
    found = InductiveSplit(train, parts["valid"], divided["train"], divided["test"], {})
    ids = {name: part[:, [0, 2]].unique() for name, part in found.parts().items()}
    new = {name: int((~kept[ids[name]]).sum()) for name in ("extra", "test")}
    found.about.update(
        rule="share of the entities held out; train and valid: triples among the others; extra and "
        "test: triples with one held-out entity"
        + (" or two" if both_new else "")
        + ", at least one of each in extra",
        source="after Hamaguchi et al. 2017, IJCAI",
        seed=seed,
        shares={"entities": held_out, "test": test, "valid": valid},
        triples={name: len(part) for name, part in found.parts().items()},
        entities={"train": len(ids["train"]), **{f"new in {k}": v for k, v in new.items()}},
        left_out={
            "among_held_out": 0 if both_new else len(both),
            "relations": len(own) - len(of_seen),
        },
    )
    return found
