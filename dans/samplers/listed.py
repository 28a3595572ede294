"""Negatives that somebody chose: read from a file, a folder, or what another run wrote down."""

import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dans.config.reading import lines
from dans.data.known_triples import KnownTriples
from dans.errors import InputError, one_of
from dans.models.batch import Negatives, Positives
from dans.samplers.base import NegativeSampler
from dans.samplers.corruption import any_other, replaced
from dans.samplers.draws import below, distinct
from dans.samplers.filters import SIDES, Mask, Side, not_known, positive, requires_known, sides
from dans.samplers.names import Names

#: The columns every line has: a triple, the side that is replaced, and by whom.
CORE = ("head", "relation", "tail", "side", "negative")

#: The further columns of what a run wrote down; see ``dans.training.negatives_log``.
RECORDED = ("step", "valid", "generated")

#: Lines held before they are merged with those read so far.
PENDING = 2**21

#: What is done where nothing is listed.
Missing = Literal["uniform", "refuse"]


class Listed(NegativeSampler):
    r"""Negatives from a file that lists them, triple by triple and side by side.

    Each line has five columns separated by tabs: head, relation, tail, side (``head`` or ``tail``,
    the one replaced) and the negative, all by name. A first line that names these columns is a
    header. A negatives log (``train.log_negatives``) has three more, and is read as it is; a line
    whose column ``valid`` is 0 was not trained on and is left out. So is one whose negative is the
    entity it replaces, which some samplers draw; a list made by hand should not have one.

    Of what is listed for a triple and a side, as many as are wanted are drawn without repeats, all
    with equal probability; where fewer are listed, all are negatives, and the rest are drawn anew
    and may repeat. Lines that repeat count once.

    Cost per batch: O(b k²) for the draws, two binary searches for each triple. State: 8 bytes for
    each negative listed and 16 for each triple and side, constants and so not in checkpoints; a
    digest of 32 bytes is, and other content is refused on the way back. Reading holds as many
    bytes again.

    Args:
        file: a ``.tsv`` file, plain or ``.gz``; or a folder, all whose files of that kind are read.
        k: negatives per triple.
        side: a fair coin for each negative, or always the same side.
        missing: for a triple and side without a list, ``uniform`` draws any other entity;
            ``refuse`` demands that every training triple has negatives.
        filter: ``mask`` marks those invalid that are known triples. Nothing else can be drawn, so
            ``resample`` is refused.
        triples: (f, 3) the training triples.
        entity_names: of the n entities.
        relation_names: of the m relations.
        known: the triples to filter by.

    Raises:
        InputError: a file that cannot be read, a line that is not as above or has an unknown name,
            a negative by hand that is the entity it replaces, no line for any training triple, an
            unknown choice, or ids beyond 64-bit keys.

    Example:
        >>> import tempfile
        >>> class Few(tuple): pass
        >>> path = Path(tempfile.mkdtemp(), "negatives.tsv")
        >>> _ = path.write_text("ada\tknows\tbob\ttail\tcy\nada\tknows\tbob\ttail\ttea\n")
        >>> triples, names = torch.tensor([[0, 0, 1]]), Few(("ada", "bob", "cy", "tea"))
        >>> sampler = Listed(str(path), k=2, side="tail", triples=triples, entity_names=names,
        ...     relation_names=Few(("knows",)))
        >>> sampler(Positives.of_ids(triples, 4)).ids.sort().values
        tensor([[2, 3]])
    """

    #: (q,) keys of the triples and sides that have negatives, rising
    queries: Tensor
    #: (q + 1,) where the negatives of each begin, and where the last ones end
    first: Tensor
    #: (p,) the negatives
    negatives: Tensor

    def __init__(
        self,
        file: str,
        k: int = 20,
        *,
        side: Side = "coin",
        missing: Missing = "uniform",
        filter: Mask = "none",
        triples: Tensor,
        entity_names: Names,
        relation_names: Names,
        known: KnownTriples | None = None,
    ) -> None:
        super().__init__()
        positive("k", k)
        one_of("side", side, SIDES)
        one_of("missing", missing, ("uniform", "refuse"))
        one_of("filter", filter, ("none", "mask"))
        requires_known(filter, known)
        self.num_entities, self.num_relations = len(entity_names), len(relation_names)
        if 2 * self.num_entities**2 * self.num_relations >= 2**63:
            raise InputError(
                f"file: {self.num_entities} entities and {self.num_relations} relations need keys "
                "beyond 64 bits; accepted are 2 · entities² · relations below 2^63"
            )
        self.k = k
        self.side: Side = side
        self.missing: Missing = missing
        self.filter: Mask = filter
        self.known = known
        keys, negatives = gather(Path(file), entity_names, relation_names)
        queries, counts = keys.unique_consecutive(return_counts=True)
        first = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
        for name, value in (("queries", queries), ("first", first), ("negatives", negatives)):
            self.register_buffer(name, value, persistent=False)
        self._check_coverage(Path(file), triples, entity_names, relation_names)

    def _check_coverage(
        self, file: Path, triples: Tensor, entities: Names, relations: Names
    ) -> None:
        """Refuse a list that has nothing to say, or not all that was asked of it."""
        wanted = ("tail", "head") if self.side == "coin" else (self.side,)
        keys = query(triples, self.num_entities, self.num_relations)
        lists = {name: torch.isin(keys + (name == "head"), self.queries) for name in wanted}
        if not any(bool(found.any()) for found in lists.values()):
            raise InputError(
                f"file: {file}: lists no negative of a {' or '.join(wanted)} of any training triple"
            )
        for name, found in lists.items():
            if self.missing == "refuse" and not bool(found.all()):
                head, relation, tail = triples[int((~found).nonzero()[0])].tolist()
                triple = f"{entities[head]} {relations[relation]} {entities[tail]}"
                raise InputError(
                    f"file: {file}: lists no negative of the {name} for {int((~found).sum())} of "
                    f"{len(triples)} training triples, the first being: {triple}; "
                    "missing = uniform draws any other entity there"
                )

    def forward(self, positives: Positives) -> Negatives:
        """See ``NegativeSampler``; ids are always given."""
        replaces_head = sides(self.side, len(positives), self.k, positives.triples.device)
        ids = self.draw(positives, replaces_head)
        valid = None
        if self.filter == "mask" and self.known is not None:
            valid = not_known(self.known, positives.triples, ids, replaces_head)
        return Negatives.of(positives.entities, ids, replaces_head, valid)

    def draw(self, positives: Positives, replaces_head: Tensor) -> Tensor:
        """Negatives of the sides wanted: (b, k) ids.

        Raises:
            InputError: nothing is listed for one of them, and ``missing`` says to refuse.
        """
        tails = query(positives.triples, self.num_entities, self.num_relations)
        asked = torch.stack((tails, tails + 1), dim=1)
        place = torch.searchsorted(self.queries, asked).clamp_(max=len(self.queries) - 1)
        listed = self.queries[place] == asked
        start = self.first[place]
        counts = torch.where(listed, self.first[place + 1] - start, 0)
        side = replaces_head.long()
        listed, start, counts = (x.gather(1, side) for x in (listed, start, counts))
        picks = distinct(counts, replaces_head)
        picks = torch.where(picks < 0, below(counts.clamp(min=1)), picks)
        # Where nothing is listed, the pick means nothing and is replaced below.
        ids = self.negatives[(start + picks).clamp(max=len(self.negatives) - 1)]
        if bool(listed.all()):
            return ids
        if self.missing == "refuse":
            raise InputError(
                "file: lists no negative for some triple; missing = uniform draws others"
            )
        triples = torch.arange(len(positives), device=tails.device).unsqueeze(1)
        true = replaced(positives, triples, replaces_head)
        return torch.where(listed, ids, any_other(true, len(positives.entities)))

    def get_extra_state(self) -> Tensor:
        """What a checkpoint keeps of the list: the SHA-256 of its content, (32,) bytes."""
        digest = hashlib.sha256()
        for part in (self.queries, self.first, self.negatives):
            digest.update(part.cpu().numpy().tobytes())
        return torch.tensor(list(digest.digest()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse to continue with another list.

        Raises:
            InputError: its content is not that of the checkpoint.
        """
        if not torch.equal(state.cpu(), self.get_extra_state()):
            raise InputError("file: lists other negatives than it did when the checkpoint was made")


def query(triples: Tensor, num_entities: int, num_relations: int) -> Tensor:
    """One number for each triple and side: that of the tail, and one more for the head.

    Args:
        triples: (..., 3).
        num_entities: n.
        num_relations: m.

    Returns:
        (...) keys, 2 · ((h·m + r)·n + t).
    """
    heads, relations, tails = triples.unbind(-1)
    return 2 * ((heads * num_relations + relations) * num_entities + tails)


def gather(file: Path, entities: Names, relations: Names) -> tuple[Tensor, Tensor]:
    """All that is listed: keys of triples and sides, rising, and a negative for each, (p,) each.

    Raises:
        InputError: see ``Listed``.
    """
    kept = torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    pending = array("q")
    n, m = len(entities), len(relations)
    try:
        for path in _files(file):
            for h, r, t, head, e in _negatives(path, entities, relations):
                pending.extend((2 * ((h * m + r) * n + t) + head, e))
                # Twice what is kept: all merging costs no more than a few times the last one then.
                if len(pending) >= 2 * max(PENDING, len(kept[0])):
                    kept, pending = merge(kept, pending), array("q")
    except InputError as error:
        raise InputError(f"file: {error}") from error
    return merge(kept, pending)


def merge(kept: tuple[Tensor, Tensor], pending: "array[int]") -> tuple[Tensor, Tensor]:
    """Pairs of key and negative, in order and without repeats."""
    if not pending:
        return kept
    fresh = torch.frombuffer(pending, dtype=torch.int64).view(-1, 2)
    keys, negatives = torch.cat((kept[0], fresh[:, 0])), torch.cat((kept[1], fresh[:, 1]))
    for column in (1, 0):
        order = torch.argsort((keys, negatives)[column], stable=True)
        keys, negatives = keys[order], negatives[order]
    new = torch.ones(len(keys), dtype=torch.bool)
    new[1:] = (keys[1:] != keys[:-1]) | (negatives[1:] != negatives[:-1])
    return keys[new], negatives[new]


def _files(path: Path) -> list[Path]:
    """A file, or those of a folder in the order of their names."""
    if not path.is_dir():
        return [path]
    found = sorted([*path.glob("*.tsv"), *path.glob("*.tsv.gz")])
    if not found:
        raise InputError(f"{path}: the folder holds no .tsv and no .tsv.gz file")
    return found


def _negatives(
    path: Path, entities: Names, relations: Names
) -> Iterator[tuple[int, int, int, bool, int]]:
    """Head, relation, tail, is it the head that is replaced, and the negative, line by line."""
    for number, core, by_hand in _table(path):
        head, relation, tail, side, negative = core
        try:
            h, r, t = entities.index(head), relations.index(relation), entities.index(tail)
            e = entities.index(negative)
        except InputError:
            stranger = _stranger(core, entities, relations)
            raise InputError(f"{path}:{number}: {stranger}") from None
        if e != (h if side == "head" else t):
            yield h, r, t, side == "head", e
        elif by_hand:
            raise InputError(f"{path}:{number}: negative: {negative!r} is the entity it replaces")


def _stranger(core: list[str], entities: Names, relations: Names) -> str:
    """What is wrong with the first name of a line that is not known."""
    for column, name in zip(CORE, core, strict=True):
        try:
            if column != "side":
                (relations if column == "relation" else entities).index(name)
        except InputError as error:
            return f"{column}: {error}"
    raise ValueError("all names are known")


def _table(path: Path) -> Iterator[tuple[int, list[str], bool]]:
    """Lines by number, from 1, their five columns, and did no run write them; headers left out.

    What a run wrote down and did not train on is left out as well.
    """
    for number, line in lines(path):
        columns = line.split("\t")
        if len(columns) not in (len(CORE), len(CORE) + len(RECORDED)):
            found = f"{len(columns) if line else 0} columns"
            raise InputError(
                f"{path}:{number}: found {found}{' (a blank line)' * (not line)}, "
                f"expected {len(CORE)}: {', '.join(CORE)}"
                f"; or {len(CORE) + len(RECORDED)}, with {', '.join(RECORDED)}"
            )
        core, recorded = columns[: len(CORE)], columns[len(CORE) :]
        if number == 1 and tuple(core) == CORE:
            continue
        if core[3] not in ("head", "tail"):
            raise InputError(f"{path}:{number}: side: known: head, tail; got {core[3]!r}")
        if recorded and recorded[1] not in ("0", "1"):
            raise InputError(f"{path}:{number}: valid: known: 0, 1; got {recorded[1]!r}")
        if not recorded or recorded[1] == "1":
            yield number, core, not recorded
