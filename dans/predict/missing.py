"""Triples that no split holds, predicted for whole relations, a block of queries at a time."""

import csv
import io
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, TypeAlias

import torch
from torch import Tensor

from dans.config.writing import write_atomically
from dans.data.graph import SPLITS, KnowledgeGraph
from dans.data.progress import Pulse
from dans.data.readers import first_without_line
from dans.errors import InputError, boolean, counted, finite, install_command, shown
from dans.predict.predictor import Predictor
from dans.predict.queries import ScoredTriple

log = logging.getLogger(__name__)

#: Columns of a file of triples.
COLUMNS = ("head", "relation", "tail", "score", "probability")

#: Triples that become text, objects, or a row group, at a time.
AT_ONCE = 10_000

#: Rows of a file, each as wide as ``COLUMNS``.
Rows: TypeAlias = Sequence[Sequence[object]]


def missing(
    predictor: Predictor,
    relations: Sequence[str] | None = None,
    *,
    above: float | None = None,
    above_score: float | None = None,
    top: int | None = None,
    observed: bool = False,
) -> Iterator[ScoredTriple]:
    """Predicted triples (h, r, t) that neither train, valid nor test holds, by relation and head.

    One of ``above``, ``above_score`` and ``top`` says which. Only a block of pairs (h, t) is in
    memory at a time, within the predictor's budget.

    Args:
        relations: names; None: all.
        above: with at least this calibrated probability.
        above_score: with at least this score: of the query (h, r, ?), or, with reciprocal
            relations, the mean of both directions.
        top: the best so many new answers to each query (h, r, ?).
        observed: only heads and tails that the relation has in train.

    Raises:
        InputError: an unknown relation, a threshold that cannot be used, or a probability of a
            model without calibration.

    Example:
        >>> from dans.data.graph import KnowledgeGraph
        >>> from dans.models.decoders import DistMult
        >>> kg = KnowledgeGraph.of([("ada", "knows", "bob"), ("bob", "knows", "cy")])
        >>> decoder, entities = DistMult(num_relations=1, dim=1), torch.tensor([[1.], [2], [3]])
        >>> _ = decoder.relation.weight.data.fill_(1)
        >>> for found in missing(Predictor(kg, decoder, entities), above_score=3, observed=True):
        ...     found.head, found.relation, found.tail, found.score
        ('ada', 'knows', 'cy', 3.0)
        ('bob', 'knows', 'bob', 4.0)
    """
    if [above, above_score, top].count(None) != 2:
        raise InputError("missing: expected one of above, above_score and top")
    if above is not None:
        finite("above", above)
    if above is not None and not 0 <= above <= 1:
        raise InputError(f"above: expected a probability from 0 to 1, got {above:g}")
    if above is not None and predictor.calibration is None:
        raise InputError(
            "above: this run has no calibrated probabilities, which need validation lines labelled "
            "true and false, or drawn negatives (dans evaluate RUN --calibrate); expected "
            "above_score, or top, the best answers to each query"
        )
    if top is not None:
        counted("top", top)
    boolean("observed", observed)
    if above_score is not None:
        finite("above_score", above_score)
    names = predictor.kg.relations
    for name in relations or ():
        if not isinstance(name, str):
            raise InputError(f"relation: expected a name, got {shown(name)}")
    ids = (
        range(len(names))
        if relations is None
        else [names.index(name, where="relation") for name in relations]
    )
    return _found(predictor, ids, above, above_score, top, observed)


def _found(
    predictor: Predictor,
    relations: Sequence[int],
    above: float | None,
    above_score: float | None,
    top: int | None,
    observed: bool,
) -> Iterator[ScoredTriple]:
    kg, pulse = predictor.kg, Pulse()
    for done, relation in enumerate(relations):
        own = kg.train[kg.train[:, 1] == relation]
        heads = own[:, 0].unique() if observed else torch.arange(kg.num_entities)
        others = torch.ones(kg.num_entities, dtype=torch.bool)
        if observed:
            others[own[:, 2]] = False
        ids = torch.stack((heads, torch.full_like(heads, relation), heads), 1)
        false = _labelled_false(kg, relation)

        def block(
            part: slice,
            ids: Tensor = ids,
            others: Tensor | None = others if observed else None,
            false: Tensor = false,
        ) -> Tensor:
            return _block(predictor, ids[part], others, false, above, above_score, top)

        for triples in _without_gradient(predictor, ids, block):
            for some in triples.split(AT_ONCE):
                yield from predictor.scored(some)
        if pulse.due():
            said = f"{done + 1:,} of {len(relations):,} relations"
            log.info("predicted %s, %s", said, pulse.left(done + 1, len(relations)))


def _labelled_false(kg: KnowledgeGraph, relation: int) -> Tensor:
    """The lines of a relation that are labelled false in any split, (f, 3)."""
    found = []
    for split in SPLITS:
        lines, holds = kg.lines(split)
        found.append(lines[~holds & (lines[:, 1] == relation)])
    return torch.cat(found)


def _without_gradient(
    predictor: Predictor, ids: Tensor, work: Callable[[slice], Tensor]
) -> Iterator[Tensor]:
    with torch.no_grad():
        blocks = predictor._chunks(ids, 2, work)
    while True:
        # Gradients are off for a block alone: between blocks the caller's code runs.
        with torch.no_grad():
            triples = next(blocks, None)
        if triples is None:
            return
        yield triples


def _block(
    predictor: Predictor,
    ids: Tensor,
    others: Tensor | None,
    false: Tensor,
    above: float | None,
    above_score: float | None,
    top: int | None,
) -> Tensor:
    """The triples of a block of queries that are wanted, (p, 3)."""
    scores = predictor._scores(ids, 2)
    wanted = torch.ones_like(scores, dtype=torch.bool)
    wanted[predictor._known(ids, 2)] = False
    rows = torch.searchsorted(ids[:, 0].contiguous(), false[:, 0].contiguous())
    there = ids[rows.clamp(max=len(ids) - 1), 0] == false[:, 0]
    wanted[rows[there].to(wanted.device), false[there, 2].to(wanted.device)] = False
    if others is not None:
        wanted[:, others.to(wanted.device)] = False
    single = not predictor.decoder.reciprocal
    if above_score is not None and single:
        wanted &= scores >= above_score
    elif top is not None:
        best = scores.masked_fill(~wanted, -torch.inf)
        best = best.sort(dim=1, descending=True, stable=True).indices[:, :top]
        wanted &= torch.zeros_like(wanted).scatter_(1, best, True)
    elif above is not None and predictor.calibration and single:
        wanted &= predictor.calibration.probabilities(scores) >= above
    rows, tails = wanted.nonzero(as_tuple=True)
    triples = ids[rows.cpu()].clone()
    triples[:, 2] = tails.cpu()
    if single or top is not None:
        return triples
    # What is written, and what a calibration takes, is the mean of both directions.
    means = predictor._logits(triples)
    if above_score is not None:
        return triples[means >= above_score]
    if above is not None and predictor.calibration:
        return triples[predictor.calibration.probabilities(means) >= above]
    return triples


def write(path: Path, triples: Iterator[ScoredTriple]) -> int:
    """Write triples into a file as they come, whole or not at all; returns how many.

    The end of the name says how: ``.tsv`` and ``.csv`` with a header, names in a ``.tsv`` as they
    are and in a ``.csv`` with quotes where they are needed; ``.jsonl``, an object a line;
    ``.parquet``, a row group for ``AT_ONCE`` triples at most.

    Raises:
        InputError: a name has a tab or a line end in it, and the file is a ``.tsv``.
    """
    check_name(path)
    written = 0

    def blocks() -> Iterator[Rows]:
        nonlocal written
        while some := list(islice(triples, AT_ONCE)):
            yield [[getattr(triple, name) for name in COLUMNS] for triple in some]
            written += len(some)

    write_atomically(path, lambda file: WRITERS[path.suffix](file, blocks()))
    return written


def check_name(path: Path) -> None:
    """Refuse a name whose end is that of no format, or of one that a missing package writes."""
    if path.suffix not in WRITERS:
        raise InputError(f"{path}: expected a name that ends in {', '.join(WRITERS)}")
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        install = install_command("parquet")
        raise InputError(f"{path}: Parquet needs pyarrow: {install}, or name a .csv")


def _tabs(file: BinaryIO, blocks: Iterator[Rows]) -> None:
    for row in chain([COLUMNS], chain.from_iterable(blocks)):
        cells = ["" if cell is None else str(cell) for cell in row]
        if (wrong := first_without_line(cells)) is not None:
            others = ", ".join(kind for kind in WRITERS if kind != ".tsv")
            no_tsv = "a name with a tab or a line end has no .tsv, where quotes are part of names"
            raise InputError(f"{shown(wrong)}: {no_tsv}; name one of {others}")
        file.write(("\t".join(cells) + "\n").encode())


def _commas(file: BinaryIO, blocks: Iterator[Rows]) -> None:
    for rows in chain([[COLUMNS]], blocks):
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        file.write(text.getvalue().encode())


def _json_lines(file: BinaryIO, blocks: Iterator[Rows]) -> None:
    for row in chain.from_iterable(blocks):
        file.write(f"{json.dumps(dict(zip(COLUMNS, row, strict=True)))}\n".encode())


def _parquet(file: BinaryIO, blocks: Iterator[Rows]) -> None:
    import pyarrow
    from pyarrow import parquet

    kinds = [pyarrow.string()] * 3 + [pyarrow.float64()] * 2
    schema = pyarrow.schema(list(zip(COLUMNS, kinds, strict=True)))
    with parquet.ParquetWriter(file, schema) as writer:
        for rows in blocks:
            columns = [list(column) for column in zip(*rows, strict=True)]
            writer.write_table(pyarrow.table(columns, schema=schema))


#: By the end of a file's name, what writes blocks of rows into it.
WRITERS: dict[str, Callable[[BinaryIO, Iterator[Rows]], None]] = {
    ".tsv": _tabs,
    ".csv": _commas,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}
