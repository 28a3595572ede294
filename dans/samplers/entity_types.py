"""Concepts (types) of entities, given or observed, and cardinality classes of relations."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from dans.config.reading import lines
from dans.data.graph import Vocabulary
from dans.data.query_index import Groups, distinct_ends, ranges
from dans.errors import InputError
from dans.models.batch import Positives
from dans.models.embedding_tables import constants

#: Numbers held at once where a table is made in parts: 64 MiB of float32.
ELEMENTS = 2**24


class Concepts(nn.Module):
    """A sparse n × c table: which entities have which concepts.

    Args:
        pairs: (p, 2) int64, an entity and a concept it has; repeated pairs count once.
        num_entities: n.
        num_concepts: c.
        names: of the concepts, where they have some.
    """

    #: (p,) the entities of all pairs, rising
    entities: Tensor
    #: (p,) their concepts, rising within an entity
    concepts: Tensor
    #: (n + 1,) where an entity's pairs start
    starts: Tensor
    #: (n,) the number of each entity's set of concepts; equal sets have one number
    sets: Tensor
    #: (s,) the first entity of each set
    examples: Tensor

    def __init__(
        self, pairs: Tensor, num_entities: int, num_concepts: int, names: Iterable[str] = ()
    ) -> None:
        super().__init__()
        self.names = Vocabulary(tuple(names))
        keys = torch.unique(pairs[:, 0] * num_concepts + pairs[:, 1])
        entities, concepts = keys // max(num_concepts, 1), keys % max(num_concepts, 1)
        counts = torch.bincount(entities, minlength=num_entities)
        starts = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
        numbers: dict[bytes, int] = {}
        flat = concepts.cpu().numpy()
        contents = [flat[start:stop].tobytes() for start, stop in pairwise(starts.tolist())]
        sets = starts.new_tensor([numbers.setdefault(x, len(numbers)) for x in contents])
        self.num_concepts = num_concepts
        examples = Groups.of(sets).first
        constants(
            self, entities=entities, concepts=concepts, starts=starts, sets=sets, examples=examples
        )

    def __len__(self) -> int:
        """The number of entities."""
        return len(self.sets)

    def of(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The concepts of (q,) entities, as flat pairs, (f,) each: which entity, which concept."""
        first, count = self.starts[ids], self.starts[ids + 1] - self.starts[ids]
        rows, positions = ranges(first, count)
        return rows, self.concepts[positions]

    def rows(self, ids: Tensor) -> Tensor:
        """The table's rows of some entities: (q, c) bool from (q,)."""
        table = torch.zeros(len(ids), self.num_concepts, dtype=torch.bool, device=ids.device)
        return table.index_put(self.of(ids), table.new_ones(()))

    def having(self, allowed: Tensor) -> Tensor:
        """Which entities have at least one of some concepts: (q, n) bool from (q, c) bool.

        4n(q + 1) bytes are held at once.
        """
        size = (len(self), self.num_concepts)
        pairs = torch.stack((self.entities, self.concepts))
        given = allowed.T.float()
        ones = given.new_ones(len(self.entities))
        table = torch.sparse_coo_tensor(
            pairs, ones, size, is_coalesced=True, check_invariants=False
        )
        count: Tensor = torch.sparse.mm(table, given)
        return count.T > 0

    def seen(self, triples: Tensor, num_relations: int) -> Tensor:
        """The concepts of the entities that occur in each of the ``slots``: (2m, c) bool."""
        table = torch.zeros(2 * num_relations, self.num_concepts, dtype=torch.bool)
        table = table.to(triples.device)
        s = len(self.examples)
        for keys in (slots(triples) * s + self.sets[triples[:, [0, 2]]]).unique().split(2**16):
            rows, concepts = self.of(self.examples[keys % s])
            table = table.index_put(((keys // s)[rows], concepts), table.new_ones(()))
        return table


def slots(triples: Tensor) -> Tensor:
    """The slots that a triple's two ends fill: (f, 2), 2r for the head and 2r + 1 for the tail."""
    return 2 * triples[:, 1:2] + torch.tensor([0, 1], device=triples.device)


def slot_of(positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
    """The slot that each negative fills, for the arguments of ``EntitySampler.draw``: (...)."""
    return 2 * positives.triples[rows, 1] + (~corrupt_head).long()


def pseudo_types(triples: Tensor, num_entities: int, num_relations: int) -> Concepts:
    """Concepts from the training triples alone: the slots in which an entity occurs.

    concept(e) = {(r, head): e is the head of a triple of r} ∪ {(r, tail): e is the tail of one}

    Source: the local closed world of Krompaß et al. 2015, arXiv:1508.02593.
    """
    pairs = torch.stack((triples[:, [0, 2]], slots(triples)), dim=-1).flatten(0, 1)
    return Concepts(pairs, num_entities, 2 * num_relations)


def read_concepts(path: str, names: Vocabulary) -> Concepts:
    """Concepts from a file: on each line the name of an entity, a tab, and a concept it has.

    An entity may have several lines, or none; empty lines are skipped. The file is UTF-8, plain or
    ``.gz``. Errors name file and line.
    """
    numbers: dict[str, int] = {}
    pairs = []
    for number, line in lines(Path(path)):
        if not line:
            continue
        where, columns = f"{path}:{number}", line.split("\t")
        if len(columns) != 2:
            found = f"{len(columns)} column{'s' * (len(columns) != 1)}"
            raise InputError(f"{where}: found {found}, expected 2: entity, type")
        entity, concept = columns
        if not (entity.strip() and concept.strip()):
            missing = "type" if entity.strip() else "entity"
            raise InputError(f"{where}: empty {missing}; expected entity, type")
        i = names.index(entity, where=f"{where}: expected an entity of the graph")
        pairs.append((i, numbers.setdefault(concept, len(numbers))))
    if not pairs:
        raise InputError(f"{path}: the file holds no line; expected entity, tab, type")
    return Concepts(torch.tensor(pairs), len(names), len(numbers), numbers)


def concepts_of(
    path: str | None,
    names: Vocabulary | None,
    triples: Tensor,
    num_entities: int,
    num_relations: int,
    *,
    option: str = "concepts",
) -> Concepts:
    """Concepts from a file, which ``option`` names in errors; without one, pseudo-types."""
    if path is None:
        return pseudo_types(triples, num_entities, num_relations)
    if names is None:
        raise InputError(f"entity_names: needed to read {path}")
    try:
        return read_concepts(path, names)
    except InputError as error:
        raise InputError(f"{option}: {error}") from error


def cardinalities(triples: Tensor, num_relations: int) -> Tensor:
    """The class of every relation: 0 for 1-1, 1 for 1-N, 2 for N-1, 3 for N-N; (m,) int64.

    Tails are N where tph, the mean number of tails of a head, is at least 1.5, and heads where hpt
    is; both count distinct triples. A relation without triples is 1-1.

    Source: Wang et al. 2014 (TransH), after Bordes et al. 2013.

    Example:
        >>> cardinalities(torch.tensor([[0, 0, 1], [0, 0, 2], [3, 1, 1], [4, 1, 1]]), 3)
        tensor([1, 2, 0])
    """
    heads, relations, tails = triples.unbind(-1)
    n = 1 + int(triples.max()) if len(triples) else 1
    keys = ((relations * n + heads) * n + tails).unique()
    number = torch.bincount(keys // (n * n), minlength=num_relations)
    ends = distinct_ends(triples, num_relations).clamp(min=1)
    many_tails, many_heads = number >= 1.5 * ends
    classes: Tensor = many_tails.long() + 2 * many_heads.long()
    return classes


def stretches(rows: int, width: int, most: int | None = None) -> Iterator[slice]:
    """Slices of rows of some width, each of at most ``most`` numbers (``ELEMENTS``), or one row."""
    size = max(1, (ELEMENTS if most is None else most) // max(1, width))
    return (slice(start, start + size) for start in range(0, rows, size))
