"""Data audit: leakage between splits, duplicates, unseen entities and relations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples, distinct, triple_keys
from dans.data.readers import Split

#: Triples that are looked up at once.
PART = 2**20


@dataclass(frozen=True)
class SplitAudit:
    """Counts of one split, and of its overlap with train.

    *Lines* are all lines of the file, *triples* those labelled true; without labels all are.
    """

    lines: int
    #: lines labelled false
    negatives: int
    #: lines that repeat an earlier one
    repeats: int
    #: triples labelled both true and false
    contradictions: int
    self_loops: int
    relations: int
    #: distinct entities that train lacks, then the lines and the triples with such an entity
    unseen_entities: int
    lines_unseen: int
    triples_unseen: int
    #: distinct relations that train lacks
    unseen_relations: int
    #: triples that are in train too (of train itself: all)
    in_train: int
    #: negatives that are triples of train
    negatives_in_train: int
    #: triples (h, r, t) with (t, r, h) in train, self-loops not counted
    reversed_in_train: int
    #: triples whose head is linked to their tail by any relation of train, and the other way round
    linked_in_train: int
    linked_back_in_train: int

    @property
    def triples(self) -> int:
        """Lines labelled true."""
        return self.lines - self.negatives


@dataclass(frozen=True)
class Audit:
    r"""Counts of a data set and its splits that a reader of results should know.

    Example:
        >>> from dans.data.graph import KnowledgeGraph
        >>> triples = [("ada", "knows", "bob"), ("ada", "knows", "bob")]
        >>> audit = KnowledgeGraph.of(triples, test=[("bob", "knows", "ada")], name="toy").audit()
        >>> print(*audit.lines(), sep="\n")  # doctest: +ELLIPSIS
        toy: 2 entities and 1 relation, of which train holds 2 and 1
        train: 2 triples of 1 relation; 1 line repeats an earlier one
        valid: empty
        test: 1 triple of 1 relation; 1 (100.0 %) is in train with head and tail exchanged; ...
        warning: the graph has one relation, 'knows' (train, triple 1); ...
    """

    name: str
    entities: int
    relations: int
    entities_in_train: int
    splits: Mapping[Split, SplitAudit]
    #: distinct triples in both valid and test, whatever their labels, and those labelled true
    in_valid_and_test: int
    triples_in_valid_and_test: int
    #: sentences on names and columns, by ``names_audit``
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        num_entities: int,
        num_relations: int,
        lines: Mapping[Split, tuple[Tensor, Tensor]],
        warnings: Iterable[str] = (),
    ) -> Audit:
        """The audit of splits given as all lines, (·, 3), and their labels, (·,) bool."""
        triples, holds = lines["train"]
        train = _Train(where_true(triples, holds), num_entities, num_relations)
        (valid, valid_holds), (test, test_holds) = lines["valid"], lines["test"]
        return cls(
            name,
            num_entities,
            num_relations,
            int(train.entities.sum()),
            {split: train.audit(split, *given) for split, given in lines.items()},
            train.shared(valid, test),
            train.shared(where_true(valid, valid_holds), where_true(test, test_holds)),
            tuple(warnings),
        )

    def lines(self) -> list[str]:
        """One sentence for the data set and one for each split; counts of zero are left out."""
        train = self.splits["train"]
        whole = (
            f"{self.name}: {_count(self.entities, 'entity')} and"
            f" {_count(self.relations, 'relation')}, of which train holds"
            f" {self.entities_in_train:,} and {train.relations:,}"
        )
        sentences = [whole, *(_sentence(name, split) for name, split in self.splits.items())]
        both = self.in_valid_and_test
        shared = [f"valid and test share {_count(both, 'triple')}"] if both else []
        return [*sentences, *shared, *(f"warning: {warning}" for warning in self.warnings)]


class _Train:
    """The training triples, with which other triples are compared.

    They are kept as sorted keys, and others are looked up part by part: memory is a few numbers a
    triple.
    """

    def __init__(self, triples: Tensor, num_entities: int, num_relations: int) -> None:
        self.sizes = num_entities, num_relations
        self.known = KnownTriples(triples, num_entities, num_relations).by_head
        self.links = distinct(triples[:, 0] * num_entities + triples[:, 2])
        self.entities, self.relations = self.seen(triples)

    def seen(self, triples: Tensor) -> tuple[Tensor, Tensor]:
        """Which entities, (n,) bool, and which relations, (m,) bool, occur in triples."""
        entities, relations = (torch.zeros(size, dtype=torch.bool) for size in self.sizes)
        for column, found in enumerate((entities, relations, entities)):
            found[triples[:, column]] = True
        return entities, relations

    def keys(self, triples: Tensor) -> Tensor:
        return triple_keys(triples, *self.sizes)

    def audit(self, split: Split, lines: Tensor, holds: Tensor) -> SplitAudit:
        triples, negatives = where_true(lines, holds), where_true(lines, ~holds)
        true = self.known if split == "train" else distinct(self.keys(triples))
        false = distinct(self.keys(negatives))
        entities, relations = self.seen(lines)
        counts: Counter[str] = Counter()
        for part in lines.split(PART):
            counts["self-loops"] += int((part[:, 0] == part[:, 2]).sum())
        if split != "train" or len(negatives):
            unseen = ~self.entities[lines[:, [0, 2]]].all(dim=1)
            counts["lines unseen"] = int(unseen.sum())
            counts["triples unseen"] = int(unseen[holds].sum())
        for part in triples.split(PART):
            back = part.flip(1)
            loops = part[:, 0] == part[:, 2]
            counts["reversed"] += _count_in(self.keys(back[~loops]), self.known)
            counts["linked back"] += _count_in(self._link(back), self.links)
            if split != "train":
                counts["known"] += _count_in(self.keys(part), self.known)
                counts["linked"] += _count_in(self._link(part), self.links)
        if split == "train":
            counts["known"] = counts["linked"] = len(triples)
        return SplitAudit(
            lines=len(lines),
            negatives=len(negatives),
            repeats=len(lines) - len(true) - len(false),
            contradictions=_count_in(false, true),
            self_loops=counts["self-loops"],
            relations=int(relations.sum()),
            unseen_entities=int((entities & ~self.entities).sum()),
            lines_unseen=counts["lines unseen"],
            triples_unseen=counts["triples unseen"],
            unseen_relations=int((relations & ~self.relations).sum()),
            in_train=counts["known"],
            negatives_in_train=_count_in(self.keys(negatives), self.known),
            reversed_in_train=counts["reversed"],
            linked_in_train=counts["linked"],
            linked_back_in_train=counts["linked back"],
        )

    def shared(self, some: Tensor, others: Tensor) -> int:
        """The number of distinct triples in both of two splits."""
        return _count_in(distinct(self.keys(some)), distinct(self.keys(others)))

    def _link(self, triples: Tensor) -> Tensor:
        """Keys of head and tail."""
        return triples[:, 0] * self.sizes[0] + triples[:, 2]


def _count_in(keys: Tensor, known: Tensor) -> int:
    """How many keys are among sorted ones."""
    if not len(known):
        return 0
    # A search for rising keys finds what it compares with in the cache.
    wanted = torch.from_numpy(np.sort(keys.numpy()))
    places = torch.searchsorted(known, wanted).clamp_(max=len(known) - 1)
    return int((known[places] == wanted).sum())


def where_true(triples: Tensor, holds: Tensor) -> Tensor:
    """The triples where ``holds``; no copy of all."""
    return triples if bool(holds.all()) else triples[holds]


def _count(number: int, noun: str) -> str:
    plural = noun.removesuffix("y") + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {noun if number == 1 else plural}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def _linked(count: int, whole: int, direction: str) -> tuple[int, str, str]:
    end = f"a triple of train {direction}, of any relation"
    return count, f"({_share(count, whole)}) has {end}", f"({_share(count, whole)}) have {end}"


def _sentence(name: Split, split: SplitAudit) -> str:
    if not split.lines:
        return f"{name}: empty"
    first = f"{_count(split.triples, 'triple')} of {_count(split.relations, 'relation')}"
    if split.negatives:
        first += f", and {_count(split.negatives, 'line')} labelled false"
    unseen = f"in {_count(split.lines_unseen, 'line')} ({_share(split.lines_unseen, split.lines)})"
    share = _share(split.reversed_in_train, split.triples)
    counts = [
        (split.repeats, "line repeats an earlier one", "lines repeat an earlier one"),
        (split.contradictions, "triple has both labels", "triples have both labels"),
        (split.self_loops, "self-loop", "self-loops"),
    ]
    if name != "train":
        false = "labelled false"
        exchanged = "in train with head and tail exchanged"
        counts += [
            (split.in_train, "triple is in train too", "triples are in train too"),
            (
                split.negatives_in_train,
                f"line {false} is a triple of train",
                f"lines {false} are triples of train",
            ),
            (
                split.unseen_entities,
                f"entity unseen in train, {unseen}",
                f"entities unseen in train, {unseen}",
            ),
            (split.unseen_relations, "relation unseen in train", "relations unseen in train"),
            (split.reversed_in_train, f"({share}) is {exchanged}", f"({share}) are {exchanged}"),
            _linked(split.linked_in_train, split.triples, "from head to tail"),
            _linked(split.linked_back_in_train, split.triples, "from tail to head"),
        ]
    said = (f"{count:,} {one if count == 1 else many}" for count, one, many in counts if count)
    return f"{name}: {'; '.join([first, *said])}"
