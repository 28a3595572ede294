"""Negatives from files: a list made by hand, or the negatives log of another run."""

import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from dans.config.reading import lines
from dans.data.graph import Vocabulary
from dans.data.known_triples import KnownTriples
from dans.data.query_index import repeats
from dans.errors import InputError, one_of
from dans.models.batch import Positives
from dans.models.embedding_tables import constants
from dans.registry import File
from dans.samplers.corruption import EntitySampler, Filter, Mask, Side, any_other, replaced
from dans.samplers.entity_sets import below, distinct

#: The columns of every line: a triple, the side that is corrupted, and the negative.
CORE = ("head", "relation", "tail", "side", "negative")

#: The further columns of a negatives log; see ``dans.training.negatives_log``.
RECORDED = ("step", "valid", "generated")

#: Lines held before they are merged with those read so far.
PENDING = 2**21

#: What is done where nothing is listed.
Missing = Literal["uniform", "refuse"]


class Listed(EntitySampler):
    """Negatives from a file that lists them for each triple and side.

    Each line has five columns separated by tabs: head, relation, tail, side (``head`` or ``tail``,
    the one corrupted) and the negative, all by name. A first line that names these columns is a
    header. A negatives log (``train.log_negatives``) has three more, and is read as it is; of its
    lines, those whose column ``valid`` is 0, or whose negative is the entity it replaces, are left
    out. A list made by hand must not have the latter.

    The k negatives of a triple and a side are drawn without repeats from those listed, with equal
    probability; where fewer are listed, all are taken, and the rest may repeat. Equal lines count
    once.

    Checkpoints hold a digest alone, by which other content is refused on resuming.

    Args:
        file: a ``.tsv`` file, plain or ``.gz``; or a folder, all whose files of that kind are read.
        missing: for a triple and side without a list, ``uniform`` draws any other entity;
            ``refuse`` demands that every training triple has negatives.
        filter: ``mask`` marks known triples as invalid. ``resample`` is refused: nothing else may
            be drawn.
    """

    filters: ClassVar[tuple[Filter, ...]] = ("none", "mask")

    #: (q,) keys of the triples and sides that have negatives, rising
    queries: Tensor
    #: (q + 1,) where the negatives of each begin, and where the last ones end
    first: Tensor
    #: (p,) the negatives
    negatives: Tensor

    def __init__(
        self,
        file: File,
        k: int = 20,
        *,
        side: Side = "coin",
        missing: Missing = "uniform",
        filter: Mask = "none",
        triples: Tensor,
        entity_names: Vocabulary,
        relation_names: Vocabulary,
        known: KnownTriples | None = None,
    ) -> None:
        super().__init__(k, side=side, filter=filter, known=known)
        one_of("missing", missing, ("uniform", "refuse"))
        self.missing: Missing = missing
        self.num_entities, self.num_relations = len(entity_names), len(relation_names)
        if 2 * self.num_entities**2 * self.num_relations >= 2**63:
            raise InputError(
                f"file: {self.num_entities} entities and {self.num_relations} relations need keys "
                "beyond 64 bits; accepted are 2 · entities² · relations below 2^63"
            )
        keys, negatives = gather(Path(file), entity_names, relation_names)
        queries, counts = keys.unique_consecutive(return_counts=True)
        first = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
        constants(self, queries=queries, first=first, negatives=negatives)
        self._check_coverage(file, triples, entity_names, relation_names)

    def _check_coverage(
        self, file: str, triples: Tensor, entities: Vocabulary, relations: Vocabulary
    ) -> None:
        """Refuse a list of no training triple, or of too few where ``missing`` is ``refuse``."""
        wanted = ("tail", "head") if self.side == "coin" else (self.side,)
        keys = query(triples, self.num_entities, self.num_relations)
        listed = {name: torch.isin(keys + (name == "head"), self.queries) for name in wanted}
        if not any(found.any() for found in listed.values()):
            raise InputError(
                f"file: {file}: lists no negative of a {' or '.join(wanted)} of any training triple"
            )
        for name, found in listed.items():
            if self.missing == "refuse" and not bool(found.all()):
                head, relation, tail = triples[int((~found).nonzero()[0])].tolist()
                triple = f"{entities[head]} {relations[relation]} {entities[tail]}"
                raise InputError(
                    f"file: {file}: lists no negative of the {name} for {int((~found).sum())} of "
                    f"{len(triples)} training triples, the first being: {triple}; "
                    "missing = uniform draws any other entity there"
                )

    def draw(self, positives: Positives, rows: Tensor, corrupt_head: Tensor) -> Tensor:
        """Listed negatives of the sides corrupted, distinct along the last axis of (b, k)."""
        tails = query(positives.triples, self.num_entities, self.num_relations)
        keys = torch.stack((tails, tails + 1), dim=1)
        position = torch.searchsorted(self.queries, keys).clamp_(max=len(self.queries) - 1)
        listed = self.queries[position] == keys
        start = self.first[position]
        counts = torch.where(listed, self.first[position + 1] - start, 0)
        side = corrupt_head.long()
        listed, start, counts = (x.gather(1, side) for x in (listed, start, counts))
        picks = distinct(counts, corrupt_head)
        picks = torch.where(picks < 0, below(counts.clamp(min=1)), picks)
        # Where nothing is listed the pick is arbitrary, and any other entity takes its place.
        ids = self.negatives[(start + picks).clamp(max=len(self.negatives) - 1)]
        if bool(listed.all()):
            return ids
        if self.missing == "refuse":
            raise InputError(
                "file: lists no negative for some triple; missing = uniform draws others"
            )
        true = replaced(positives, rows, corrupt_head)
        return torch.where(listed, ids, any_other(true, positives.num_entities))

    def get_extra_state(self) -> Tensor:
        """The SHA-256 of the list, (32,) bytes: all that a checkpoint holds of it."""
        digest = hashlib.sha256()
        for part in (self.queries, self.first, self.negatives):
            digest.update(part.cpu().numpy().tobytes())
        return torch.tensor(list(digest.digest()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse a checkpoint of another list."""
        if not torch.equal(state.cpu(), self.get_extra_state()):
            raise InputError("file: lists other negatives than it did when the checkpoint was made")


def query(triples: Tensor, num_entities: int, num_relations: int) -> Tensor:
    """2 · ((h·m + r)·n + t) for a corrupted tail; one more for a corrupted head."""
    heads, relations, tails = triples.unbind(-1)
    return 2 * ((heads * num_relations + relations) * num_entities + tails)


def gather(file: Path, entities: Vocabulary, relations: Vocabulary) -> tuple[Tensor, Tensor]:
    """All that is listed: keys of triples and sides, rising, and a negative for each, (p,) each."""
    paths = sorted([*file.glob("*.tsv"), *file.glob("*.tsv.gz")]) if file.is_dir() else [file]
    if not paths:
        raise InputError(f"file: {file}: the folder holds no .tsv and no .tsv.gz file")
    merged = torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    pending = array("q")
    try:
        for path in paths:
            for pair in _negatives(path, entities, relations):
                pending.extend(pair)
                # Twice what is merged already: all merges together cost a few times the last one.
                if len(pending) >= 2 * max(PENDING, len(merged[0])):
                    merged, pending = merge(merged, pending), array("q")
    except InputError as error:
        raise InputError(f"file: {error}") from error
    return merge(merged, pending)


def merge(merged: tuple[Tensor, Tensor], pending: "array[int]") -> tuple[Tensor, Tensor]:
    """Pairs of key and negative with further ones, in order and without repeats."""
    if not pending:
        return merged
    fresh = torch.frombuffer(pending, dtype=torch.int64).view(-1, 2)
    keys, negatives = torch.cat((merged[0], fresh[:, 0])), torch.cat((merged[1], fresh[:, 1]))
    for column in (1, 0):
        order = torch.argsort((keys, negatives)[column], stable=True)
        keys, negatives = keys[order], negatives[order]
    repeated = repeats(keys.unsqueeze(0)) & repeats(negatives.unsqueeze(0))
    return keys[~repeated[0]], negatives[~repeated[0]]


def _negatives(
    path: Path, entities: Vocabulary, relations: Vocabulary
) -> Iterator[tuple[int, int]]:
    """The key of a triple and side, and the negative, for each line that counts."""
    n, m = len(entities), len(relations)
    for number, line in lines(path):
        where, columns = f"{path}:{number}", line.split("\t")
        if len(columns) not in (5, 8):
            found = f"{len(columns)} columns" if line else "0 columns (a blank line)"
            raise InputError(
                f"{where}: found {found}, expected 5: {', '.join(CORE)}; "
                f"or 8, with {', '.join(RECORDED)}"
            )
        core, recorded = columns[:5], columns[5:]
        if number == 1 and tuple(core) == CORE:
            continue
        head, relation, tail, side, negative = core
        if side not in ("head", "tail"):
            raise InputError(f"{where}: side: known: head, tail; got {side!r}")
        if recorded and recorded[1] not in ("0", "1"):
            raise InputError(f"{where}: valid: known: 0, 1; got {recorded[1]!r}")
        if recorded and recorded[1] == "0":
            continue
        h = entities.index(head, where=f"{where}: head")
        r = relations.index(relation, where=f"{where}: relation")
        t = entities.index(tail, where=f"{where}: tail")
        e = entities.index(negative, where=f"{where}: negative")
        if e != (h if side == "head" else t):
            yield 2 * ((h * m + r) * n + t) + (side == "head"), e
        elif not recorded:
            raise InputError(f"{where}: negative: {negative!r} is the entity it replaces")
