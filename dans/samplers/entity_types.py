"""What kind of thing an entity is, and what kind a relation is."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from dans.config.reading import lines
from dans.data.query_index import distinct_ends, ranges
from dans.errors import InputError
from dans.samplers.names import Names

#: Numbers held at once where a whole is made part by part: 64 MiB of float32.
ELEMENTS = 2**24


class Concepts(nn.Module):
    """Which of n entities have which of c concepts: where the ones of an n × c table are.

    State: 16 bytes for each pair of an entity and its concept, and 32 for each entity; the table
    itself is never written out. Nothing of it goes into checkpoints.

    Args:
        pairs: (p, 2) int64, an entity and a concept it has; repeats count once.
        num_entities: n.
        num_concepts: c.

    Example:
        >>> concepts = Concepts(torch.tensor([[0, 0], [1, 0], [1, 1]]), 3, 2)
        >>> concepts.rows(torch.tensor([1, 2]))
        tensor([[ True,  True],
                [False, False]])
        >>> concepts.having(torch.tensor([[False, True]]))
        tensor([[False,  True, False]])
    """

    #: (p,) the entities of all pairs, rising
    entities: Tensor
    #: (p,) their concepts, rising within an entity
    concepts: Tensor
    #: (n + 1,) where an entity's pairs start
    starts: Tensor
    #: (n,) a number for each entity's set of concepts; the same set has the same number
    sets: Tensor
    #: (s,) the first entity of each set
    examples: Tensor

    def __init__(self, pairs: Tensor, num_entities: int, num_concepts: int) -> None:
        super().__init__()
        keys = torch.unique(pairs[:, 0] * num_concepts + pairs[:, 1])
        entities, concepts = keys // max(num_concepts, 1), keys % max(num_concepts, 1)
        counts = torch.bincount(entities, minlength=num_entities)
        starts = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
        sets, examples = alike(concepts, starts)
        self.num_concepts = num_concepts
        for name, value in (
            ("entities", entities),
            ("concepts", concepts),
            ("starts", starts),
            ("sets", sets),
            ("examples", examples),
        ):
            self.register_buffer(name, value, persistent=False)

    def __len__(self) -> int:
        """How many entities."""
        return len(self.sets)

    def of(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The concepts of some entities, as flat pairs.

        Args:
            ids: (q,).

        Returns:
            (f,) which of the q, rising, and (f,) a concept it has.
        """
        first, count = self.starts[ids], self.starts[ids + 1] - self.starts[ids]
        rows, places = ranges(first, count)
        return rows, self.concepts[places]

    def rows(self, ids: Tensor) -> Tensor:
        """The table's rows of some entities: (q, c) bool from (q,)."""
        table = torch.zeros(len(ids), self.num_concepts, dtype=torch.bool, device=ids.device)
        return table.index_put(self.of(ids), table.new_ones(()))

    def having(self, allowed: Tensor) -> Tensor:
        """Which entities have at least one of some concepts: (q, n) bool from (q, c) bool.

        4n(q + 1) bytes are held at once.
        """
        size = (len(self), self.num_concepts)
        places = torch.stack((self.entities, self.concepts))
        ones = torch.ones(len(self.entities), device=places.device)
        table = torch.sparse_coo_tensor(
            places, ones, size, is_coalesced=True, check_invariants=False
        )
        count: Tensor = torch.sparse.mm(table, allowed.T.float())
        return count.T > 0

    def seen(self, triples: Tensor, num_relations: int) -> Tensor:
        """The concepts of what occurs in each slot: (2m, c) bool; see ``slots``."""
        table = torch.zeros(2 * num_relations, self.num_concepts, dtype=torch.bool)
        table = table.to(triples.device)
        s = len(self.examples)
        for keys in (slots(triples) * s + self.sets[triples[:, [0, 2]]]).unique().split(2**16):
            rows, concepts = self.of(self.examples[keys % s])
            table = table.index_put(((keys // s)[rows], concepts), table.new_ones(()))
        return table


def alike(concepts: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Number the distinct stretches of a list.

    Args:
        concepts: (p,) int64.
        starts: (n + 1,) where each stretch starts.

    Returns:
        (n,) a number for each stretch, counted by first appearance, and (s,) the first of each.

    Example:
        >>> alike(torch.tensor([4, 5, 7, 4, 5]), torch.tensor([0, 2, 3, 5, 5]))
        (tensor([0, 1, 0, 2]), tensor([0, 1, 3]))
    """
    flat, ends = concepts.cpu().numpy(), starts.tolist()
    numbers: dict[bytes, int] = {}
    examples, found = [], []
    for i in range(len(ends) - 1):
        stretch = flat[ends[i] : ends[i + 1]].tobytes()
        if stretch not in numbers:
            numbers[stretch] = len(numbers)
            examples.append(i)
        found.append(numbers[stretch])
    return (
        torch.tensor(found, dtype=torch.int64, device=concepts.device),
        torch.tensor(examples, dtype=torch.int64, device=concepts.device),
    )


def slots(triples: Tensor) -> Tensor:
    """The slots that a triple's two ends fill: (f, 2), 2r for the head and 2r + 1 for the tail.

    Example:
        >>> slots(torch.tensor([[7, 3, 8]]))
        tensor([[6, 7]])
    """
    return 2 * triples[:, 1:2] + torch.tensor([0, 1], device=triples.device)


def pseudo_types(triples: Tensor, num_entities: int, num_relations: int) -> Concepts:
    """Concepts where nobody wrote any down: the slots in which an entity occurs.

    concept(e) = {(r, head): e heads a triple of r} ∪ {(r, tail): e ends one},  c = 2m

    Source: the local closed world of Krompaß et al. 2015, arXiv:1508.02593.

    Args:
        triples: (f, 3) the training triples.
        num_entities: n.
        num_relations: m.

    Example:
        >>> pseudo_types(torch.tensor([[0, 0, 1], [1, 0, 2]]), 3, 1).rows(torch.arange(3))
        tensor([[ True, False],
                [ True,  True],
                [False,  True]])
    """
    pairs = torch.stack((triples[:, [0, 2]], slots(triples)), dim=-1).flatten(0, 1)
    return Concepts(pairs, num_entities, 2 * num_relations)


def read_concepts(path: str, names: Names) -> Concepts:
    r"""Concepts from a file: on each line the name of an entity, a tab, and a concept it has.

    An entity may have several lines, or none.

    Args:
        path: the file, in UTF-8, plain or ``.gz``.
        names: of the entities.

    Raises:
        InputError: the file cannot be read or holds no line; a line is not two names that are not
            empty, or its entity is none of the graph's. The message names file and line.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "concepts.tsv")
        >>> _ = path.write_text("ada\tperson\nada\tpilot\ntea\tdrink\n", encoding="utf-8")
        >>> read_concepts(str(path), ("ada", "tea")).rows(torch.arange(2))
        tensor([[ True,  True, False],
                [False, False,  True]])
    """
    numbers: dict[str, int] = {}
    pairs = []
    for line, (entity, concept) in _pairs(path):
        try:
            found = names.index(entity)
        except InputError as error:
            raise InputError(f"{path}:{line}: expected an entity of the graph: {error}") from error
        pairs.append((found, numbers.setdefault(concept, len(numbers))))
    if not pairs:
        raise InputError(f"{path}: the file holds no line; expected entity, tab, concept")
    return Concepts(torch.tensor(pairs), len(names), len(numbers))


def _pairs(path: str) -> Iterator[tuple[int, tuple[str, str]]]:
    """The two columns of each line, numbered from 1."""
    for number, line in lines(Path(path)):
        columns = line.split("\t")
        if len(columns) != 2:
            found = f"found {len(columns)} columns, expected 2: entity, concept"
            raise InputError(f"{path}:{number}: {found}")
        entity, concept = columns
        if not (entity.strip() and concept.strip()):
            missing = "concept" if entity.strip() else "entity"
            raise InputError(f"{path}:{number}: empty {missing}; expected entity, concept")
        yield number, (entity, concept)


def concepts_of(
    path: str | None,
    names: Names | None,
    triples: Tensor,
    num_entities: int,
    num_relations: int,
    *,
    option: str = "concepts",
) -> Concepts:
    """Concepts from a file, which an option names, or pseudo-types where there is none.

    Raises:
        InputError: see ``read_concepts``; or a file without the names of entities.
    """
    if path is None:
        return pseudo_types(triples, num_entities, num_relations)
    if names is None:
        raise InputError(f"entity_names: needed to read {path}")
    try:
        return read_concepts(path, names)
    except InputError as error:
        raise InputError(f"{option}: {error}") from error


def cardinalities(triples: Tensor, num_relations: int, threshold: float = 1.5) -> Tensor:
    """The class of every relation: 0 for 1-1, 1 for 1-N, 2 for N-1, 3 for N-N.

    N stands on the tail's side where tph, the mean number of tails of a head, reaches the
    threshold, and on the head's where hpt does; both count distinct triples.

    Source: Wang et al. 2014 (TransH), after Bordes et al. 2013.

    Args:
        triples: (f, 3).
        num_relations: m. A relation without triples is taken for 1-1.
        threshold: between one and many.

    Returns:
        (m,) int64.

    Example:
        >>> cardinalities(torch.tensor([[0, 0, 1], [0, 0, 2], [3, 1, 1], [4, 1, 1]]), 3)
        tensor([1, 2, 0])
    """
    heads, relations, tails = triples.unbind(-1)
    n = 1 + int(triples.max()) if len(triples) else 1
    keys = ((relations * n + heads) * n + tails).unique()
    number = torch.bincount(keys // (n * n), minlength=num_relations)
    of_heads, of_tails = distinct_ends(triples, num_relations).unbind()
    many_tails = number >= threshold * of_heads.clamp(min=1)
    many_heads = number >= threshold * of_tails.clamp(min=1)
    return many_tails.long() + 2 * many_heads.long()


def stretches(rows: int, width: int) -> Iterator[slice]:
    """Stretches of rows, so many that ``ELEMENTS`` numbers are held at once."""
    size = max(1, ELEMENTS // max(1, width))
    return (slice(start, start + size) for start in range(0, rows, size))
