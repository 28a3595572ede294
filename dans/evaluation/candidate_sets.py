"""Sets of entities that answers are restricted to: a list, a type, or domains and ranges."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from dans.config.reading import lines
from dans.config.schema import ALL, DOMAIN_RANGE, TYPE, EvaluationConfig, check_among
from dans.data.graph import KnowledgeGraph, Vocabulary
from dans.data.query_index import ranges
from dans.errors import InputError, did_you_mean, shown
from dans.samplers.entity_types import Concepts, read_concepts, slots, stretches

#: What may restrict answers, for messages.
ACCEPTED = f"{DOMAIN_RANGE}, {TYPE}NAME, or a file of names, one a line"


@dataclass(frozen=True)
class CandidateSets:
    """The entities that are candidates for the head and for the tail of each relation.

    Slot 2r is the head of relation r, slot 2r + 1 its tail.

    Args:
        sets: (2m,) the number of each slot's set; −1: all entities.
        members: (p,) int64 entities, sorted by set, rising within each.
        starts: (s + 1,) where the members of a set begin.
        num_entities: n, or the number of ``columns``.
        kind: ``list``, ``type`` or ``domain-range``.
        about: the sets, in a phrase.
        name: what a report is called after; empty: kind and digest.
        columns: the entities that members are positions in; None: all entities.

    Example:
        >>> kg = KnowledgeGraph.of([("ada", "knows", "bob"), ("bob", "owns", "tea")])
        >>> sets = CandidateSets.seen(kg)
        >>> sets.excluded(torch.tensor([1, 2]))  # tails of knows, heads of owns
        tensor([[ True, False,  True],
                [ True, False,  True]])
        >>> sets.holds(torch.tensor([1, 3]), torch.tensor([0, 2]))
        tensor([False,  True])
    """

    sets: Tensor
    members: Tensor
    starts: Tensor
    num_entities: int
    kind: str
    about: str
    name: str = ""
    columns: Tensor | None = None

    @classmethod
    def of_members(
        cls, numbers: Tensor, entities: Tensor, kg: KnowledgeGraph, kind: str, about: str
    ) -> "CandidateSets":
        """A set for each slot, from (p,) slots and entities; one without a member is open."""
        n, number = kg.num_entities, 2 * kg.num_relations
        keys = (numbers * n + entities).unique()
        counts = torch.bincount(keys // n, minlength=number)
        sets = torch.where(counts > 0, torch.arange(number), -1)
        return cls(sets, keys % n, _starts(counts), n, kind, about)

    @classmethod
    def seen(cls, kg: KnowledgeGraph) -> "CandidateSets":
        """Domains and ranges: the entities that are heads, or tails, of a relation in training.

        A relation without training triples restricts nothing.
        """
        about = "the entities seen in training as head, or as tail, of the relation"
        numbers, entities = slots(kg.train).flatten(), kg.train[:, [0, 2]].flatten()
        found = cls.of_members(numbers, entities, kg, DOMAIN_RANGE, about)
        return replace(found, name=DOMAIN_RANGE)

    @classmethod
    def of_types(
        cls, concepts: Concepts, allowed: Tensor, kg: KnowledgeGraph, about: str
    ) -> "CandidateSets":
        """Domains and ranges from types, (2m, c) bool by slot; one without a type is open."""
        found = [torch.empty(0, 2, dtype=torch.int64)]
        for part in stretches(len(allowed), kg.num_entities):
            pairs = concepts.having(allowed[part]).nonzero()
            found.append(pairs + torch.tensor([part.start, 0]))
        numbers, entities = torch.cat(found).unbind(1)
        return cls.of_members(numbers, entities, kg, DOMAIN_RANGE, about)

    @classmethod
    def same(cls, entities: Tensor, kg: KnowledgeGraph, kind: str, about: str) -> "CandidateSets":
        """One set of (p,) entities, rising, for the head and the tail of every relation."""
        sets = torch.zeros(2 * kg.num_relations, dtype=torch.int64)
        starts = torch.tensor([0, len(entities)])
        return cls(sets, entities, starts, kg.num_entities, kind, about)

    def check(self, kg: KnowledgeGraph) -> "CandidateSets":
        """Itself; an ``InputError`` if it is of another graph."""
        if (len(self.sets), self.num_entities) != (2 * kg.num_relations, kg.num_entities):
            raise InputError(
                f"among: the sets are of a graph of {self.num_entities} entities and "
                f"{len(self.sets) // 2} relations, {kg.name} has {kg.num_entities} and "
                f"{kg.num_relations}"
            )
        return self

    @property
    def label(self) -> str:
        """The name, or kind and eight letters that differ where sets do."""
        if self.name:
            return self.name
        content = hashlib.sha256()
        for part in (self.sets, self.members, self.starts):
            content.update(part.cpu().numpy().tobytes())
        return f"{self.kind}-{content.hexdigest()[:8]}"

    def sizes(self, slots: Tensor) -> Tensor:
        """How many candidates (q,) slots have."""
        numbers = self.sets[slots]
        counts = torch.cat((self.starts.diff(), self.starts.new_tensor([self.num_entities])))
        return counts[numbers]

    def at(self, slots: Tensor, positions: Tensor) -> Tensor:
        """The candidates at (q, ·) positions, each below the size, of the sets of (q,) slots."""
        if not len(self.members):
            return positions
        numbers = self.sets[slots].unsqueeze(1)
        place = self.starts[numbers.clamp(min=0)] + positions
        inside = self.members[place.clamp(max=len(self.members) - 1)]
        return torch.where(numbers < 0, positions, inside)

    @cached_property
    def _keys(self) -> Tensor:
        """(p,) rising numbers, one for each set and member."""
        numbers = torch.arange(len(self.starts) - 1, device=self.starts.device)
        return numbers.repeat_interleave(self.starts.diff()) * self.num_entities + self.members

    def holds(self, slots: Tensor, entities: Tensor) -> Tensor:
        """Whether (q,) entities are candidates of (q,) slots."""
        numbers = self.sets[slots]
        return (numbers < 0) | torch.isin(numbers * self.num_entities + entities, self._keys)

    def excluded(self, slots: Tensor) -> Tensor:
        """(q, n) bool, which entities are no candidates of (q,) slots; stored entity by entity.

        2·q·n bytes are held at once.
        """
        numbers, which = self.sets[slots].unique(return_inverse=True)
        table = (numbers >= 0).repeat(self.num_entities, 1)
        own = numbers.clamp(min=0)
        rows, places = ranges(self.starts[own], self.starts.diff()[own])
        table[self.members[places], rows] = False
        excluded: Tensor = table.index_select(1, which).T
        return excluded

    def narrowed(self, slots: Tensor, also: Tensor) -> "CandidateSets":
        """The sets of some slots over their candidates and the entities ``also`` alone.

        Members are then positions in ``columns``, which is rising.
        """
        numbers = self.sets[slots].unique()
        if bool((numbers < 0).any()):
            return replace(self, columns=torch.arange(self.num_entities))
        counts = self.starts.diff()[numbers]
        members = self.members[ranges(self.starts[numbers], counts)[1]]
        columns = torch.cat((members, also)).unique()
        renumbered = torch.full((len(self.starts),), -1)
        renumbered[numbers] = torch.arange(len(numbers))
        return replace(
            self,
            sets=renumbered[self.sets],
            members=torch.searchsorted(columns, members),
            starts=_starts(counts),
            num_entities=len(columns),
            columns=columns,
        )

    def positions(self, entities: Tensor) -> tuple[Tensor, Tensor]:
        """Positions of (p,) entities in ``columns``, and whether they are there."""
        if self.columns is None:
            return entities, torch.ones_like(entities, dtype=torch.bool)
        at = torch.searchsorted(self.columns, entities.contiguous()).clamp(
            max=len(self.columns) - 1
        )
        return at, self.columns[at] == entities

    def ids(self, positions: Tensor) -> Tensor:
        """The entities at positions of ``columns``."""
        return positions if self.columns is None else self.columns[positions]

    def embeddings(self, entities: Tensor) -> Tensor:
        """The rows of ``columns`` in (n, d) embeddings."""
        if self.columns is None or len(self.columns) == len(entities):
            return entities
        return entities.index_select(0, self.columns.to(entities.device))

    def to(self, device: torch.device) -> "CandidateSets":
        """The same on a device."""
        columns = None if self.columns is None else self.columns.to(device)
        moved = {name: getattr(self, name).to(device) for name in ("sets", "members", "starts")}
        return replace(self, **moved, columns=columns)


def _starts(counts: Tensor) -> Tensor:
    return torch.cat((counts.new_zeros(1), counts.cumsum(0)))


@dataclass(frozen=True)
class Restriction:
    """Which entities are candidates of a query, as a user says it.

    Args:
        among: ``domain-range``; ``type:NAME``; the path of a file of names, one a line; names; or
            ``all``, no restriction.
        entity_types: a file, on each line an entity, a tab, and a type of it. With it the domain or
            the range of a relation is the entities that have a type of an entity seen there in
            training.
        relation_types: a file, on each line a relation, the type of its domain and that of its
            range, separated by tabs, in place of what is seen in training. An empty type, and a
            relation without a line, restrict nothing; of several lines any may apply.

    Example:
        >>> kg = KnowledgeGraph.of([("ada", "knows", "bob")])
        >>> Restriction(["bob"]).sets(kg).about
        'a list of 1 entity'
        >>> Restriction(["bop"]).sets(kg)
        Traceback (most recent call last):
        dans.errors.InputError: among[0]: unknown name 'bop'; did you mean 'bob'?
    """

    among: str | Path | Sequence[str]
    entity_types: str | Path | None = None
    relation_types: str | Path | None = None

    def __post_init__(self) -> None:
        """Refuse files without effect, and types without their file; names are kept in order."""
        if isinstance(self.among, Iterable) and not isinstance(self.among, str):
            object.__setattr__(self, "among", tuple(self.among))
        said = self.among if isinstance(self.among, str) else ""
        check_among(said, self.entity_types is not None, self.relation_types is not None)

    @classmethod
    def of(cls, chosen: EvaluationConfig) -> "Restriction | None":
        """That of the section ``[evaluation]`` of a recipe; None where it has none."""
        if not chosen.among:
            return None
        return cls(chosen.among, chosen.entity_types or None, chosen.relation_types or None)

    def sets(self, kg: KnowledgeGraph) -> CandidateSets:
        """The candidates in a graph; an unknown name is an ``InputError`` with its line."""
        if self.among == DOMAIN_RANGE and self.entity_types is None:
            return CandidateSets.seen(kg)
        return self._of_names(kg) if self.entity_types is None else self._of_types(kg)

    def _of_types(self, kg: KnowledgeGraph) -> CandidateSets:
        concepts = read_concepts(str(self.entity_types), kg.entities)
        if self.among != DOMAIN_RANGE:
            name = str(self.among).removeprefix(TYPE)
            number = concepts.names.index(name, where=f"among: type of {self.entity_types}")
            entities = concepts.entities[concepts.concepts == number]
            about = f"{_counted(len(entities))} of type {name}"
            return CandidateSets.same(entities, kg, "type", about)
        about = "the entities of a type seen in training for head, or for tail, of the relation"
        allowed = concepts.seen(kg.train, kg.num_relations)
        if self.relation_types is not None:
            about = "the entities of the types given for head, or for tail, of the relation"
            allowed = read_domains(Path(self.relation_types), kg.relations, concepts.names)
        return CandidateSets.of_types(concepts, allowed, kg, about)

    def _of_names(self, kg: KnowledgeGraph) -> CandidateSets:
        names: Iterable[tuple[str, str]]
        if isinstance(self.among, (str, Path)):
            if isinstance(self.among, str) and not Path(self.among).exists():
                hint = did_you_mean(self.among, [DOMAIN_RANGE])
                given = f"expected {ACCEPTED}; there is no file {shown(self.among)}"
                raise InputError(f"among: {given}{hint}")
            names = ((f"{self.among}:{i}", line) for i, line in lines(Path(self.among)) if line)
        elif isinstance(self.among, Iterable):
            names = ((f"among[{i}]", name) for i, name in enumerate(self.among))
        else:
            raise InputError(f"among: expected {ACCEPTED}; got {shown(self.among)}")
        ids = [kg.entities.index(name, where=where) for where, name in names]
        if not ids:
            where = self.among if isinstance(self.among, (str, Path)) else "among"
            raise InputError(f"{where}: no name in it; expected names of entities")
        entities = torch.tensor(ids).unique()
        return CandidateSets.same(entities, kg, "list", f"a list of {_counted(len(entities))}")


#: What restricts the candidates of queries.
Among: TypeAlias = str | Path | Sequence[str] | Restriction | CandidateSets


def candidate_sets(among: Among | None, kg: KnowledgeGraph) -> CandidateSets | None:
    """The candidates of a graph under a restriction; None without one, or with ``all``."""
    if among is None:
        return None
    if isinstance(among, CandidateSets):
        return among.check(kg)
    restriction = among if isinstance(among, Restriction) else Restriction(among)
    return None if restriction.among == ALL else restriction.sets(kg)


def read_domains(path: Path, relations: Vocabulary, types: Vocabulary) -> Tensor:
    """The types of each slot, (2m, c) bool: on each line relation, type of domain, type of range.

    The columns are separated by tabs. The file is UTF-8, plain or ``.gz``.
    """
    allowed = torch.zeros(2 * len(relations), len(types), dtype=torch.bool)
    # A slot is open as soon as one of its lines is.
    opened = torch.zeros(2 * len(relations), dtype=torch.bool)
    for number, line in lines(path):
        if not line:
            continue
        where, columns = f"{path}:{number}", line.split("\t")
        if len(columns) != 3:
            wanted = "relation, type of its domain, type of its range"
            raise InputError(f"{where}: found {len(columns)} columns, expected 3: {wanted}")
        relation = relations.index(columns[0], where=f"{where}: relation")
        for side, name in enumerate(columns[1:]):
            if name:
                allowed[2 * relation + side, types.index(name, where=f"{where}: type")] = True
            else:
                opened[2 * relation + side] = True
    if not (allowed.any() or opened.any()):
        raise InputError(f"{path}: no line in it; expected relation, type of domain, type of range")
    return allowed & ~opened.unsqueeze(1)


def _counted(number: int) -> str:
    return f"{number:,} {'entity' if number == 1 else 'entities'}"
