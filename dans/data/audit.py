"""Data audit: leakage between splits, duplicates, unseen entities and relations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dans.data.known_triples import KnownTriples
from dans.data.readers import Split


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
        train = _Train(triples[holds], num_entities, num_relations)
        (valid, valid_holds), (test, test_holds) = lines["valid"], lines["test"]
        return cls(
            name,
            num_entities,
            num_relations,
            len(train.entities),
            {split: train.audit(*given) for split, given in lines.items()},
            train.shared(valid, test),
            train.shared(valid[valid_holds], test[test_holds]),
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
    """The training triples, with which other triples are compared."""

    def __init__(self, triples: Tensor, num_entities: int, num_relations: int) -> None:
        self.sizes = num_entities, num_relations
        self.known = KnownTriples(triples, num_entities, num_relations)
        self.links = KnownTriples(_unnamed(triples), num_entities, 1)
        self.entities, self.relations = triples[:, [0, 2]].unique(), triples[:, 1].unique()

    def audit(self, lines: Tensor, holds: Tensor) -> SplitAudit:
        triples, negatives = lines[holds], lines[~holds]
        ends = lines[:, [0, 2]]
        distinct = torch.cat((lines, holds[:, None].long()), dim=1).unique(dim=0)
        back = triples.flip(1)
        unseen = ~torch.isin(ends, self.entities).all(dim=1)
        relations = lines[:, 1].unique()
        return SplitAudit(
            lines=len(lines),
            negatives=len(negatives),
            repeats=len(lines) - len(distinct),
            # Sorted by triple, then label: a triple with both labels fills two adjacent rows.
            contradictions=int((distinct[1:, :3] == distinct[:-1, :3]).all(dim=1).sum()),
            self_loops=int((ends[:, 0] == ends[:, 1]).sum()),
            relations=len(relations),
            unseen_entities=int((~torch.isin(ends.unique(), self.entities)).sum()),
            lines_unseen=int(unseen.sum()),
            triples_unseen=int(unseen[holds].sum()),
            unseen_relations=int((~torch.isin(relations, self.relations)).sum()),
            in_train=int(self.known.is_known(triples).sum()),
            negatives_in_train=int(self.known.is_known(negatives).sum()),
            reversed_in_train=int((self.known.is_known(back) & (back[:, 0] != back[:, 2])).sum()),
            linked_in_train=int(self.links.is_known(_unnamed(triples)).sum()),
            linked_back_in_train=int(self.links.is_known(_unnamed(back)).sum()),
        )

    def shared(self, some: Tensor, others: Tensor) -> int:
        """The number of distinct triples in both of two splits."""
        return int(KnownTriples(others, *self.sizes).is_known(some.unique(dim=0)).sum())


def _unnamed(triples: Tensor) -> Tensor:
    """The triples with relation 0."""
    return triples * torch.tensor([1, 0, 1])


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
