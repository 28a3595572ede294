"""Ids of names by first appearance, and triples of ids from lines or files of names.

A file without anything unusual is read in blocks, several times faster than line by line. What is
unusual, a wrong number of columns for example, is left to `dans.data.readers`, which takes it or
refuses it by file and line.
"""

from __future__ import annotations

import zlib
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dans.config.reading import MOST_LINE, kind_of, unpacked
from dans.data.readers import TABLES, Line, read
from dans.errors import InputError

#: Bytes of a file that are read at once, cut at the end of a line.
BLOCK = 2**24

#: What a plain file has between its names: two tabs in each line, then its end.
_SEPARATORS = np.frombuffer(b"\t\t\n", dtype=np.uint8)

_MARK = "\ufeff".encode()


class NameIds:
    """Numbers names of entities and of relations by their first appearance in head, then tail.

    Example:
        >>> ids = NameIds()
        >>> ids.of_lines([("ada", "knows", "bob", True), ("ada", "knows", "ada", False)])
        (tensor([[0, 0, 1],
                [0, 0, 0]]), tensor([ True, False]))
        >>> list(ids.entities)
        ['ada', 'bob']
    """

    def __init__(self) -> None:
        #: the id of each name so far; a further name gets the next one
        self.entities: defaultdict[str, int] = defaultdict(count().__next__)
        self.relations: defaultdict[str, int] = defaultdict(count().__next__)

    def of_lines(self, lines: Iterable[Line]) -> tuple[Tensor, Tensor]:
        """The (f, 3) ids of lines, and their labels, (f,) bool."""
        entities, relations = self.entities, self.relations
        ids, holds = array("q"), bytearray()
        for head, relation, tail, label in lines:
            ids.extend((entities[head], relations[relation], entities[tail]))
            holds.append(label)
        if not holds:
            return torch.empty(0, 3, dtype=torch.int64), torch.empty(0, dtype=torch.bool)
        # The tensors keep the array's memory.
        return torch.frombuffer(ids, dtype=torch.int64).view(-1, 3), torch.frombuffer(
            holds, dtype=torch.bool
        )

    def of_file(self, path: Path) -> tuple[Tensor, Tensor]:
        """The (f, 3) ids of a file of names without labels, and their labels, all true.

        Raises:
            InputError: as by `dans.data.readers.read`.
        """
        ids = self.of_plain_file(path)
        if ids is None:
            # Names numbered so far keep their ids: the lines come in the same order.
            return self.of_lines(read(path))
        return ids, torch.ones(len(ids), dtype=torch.bool)

    def of_plain_file(self, path: Path) -> Tensor | None:
        """The (f, 3) ids of a file without anything unusual; None for any other one."""
        try:
            return self._of_blocks(path)
        except (InputError, OSError, EOFError, zlib.error, ValueError):
            return None

    def _of_blocks(self, path: Path) -> Tensor:
        """The ids of a plain file; ``ValueError`` before any name of a block that is unusual."""
        if kind_of(path) not in TABLES:
            raise ValueError("no table")
        parts = []
        entities, relations = self.entities, self.relations
        for block in _blocks(path):
            columns = _columns(block)
            by_row = np.empty((len(columns) // 3, 3), dtype=np.int64)
            names = columns[1::3]
            del columns[1::3]
            before = len(entities), len(relations)
            ends = np.fromiter(map(entities.__getitem__, columns), np.int64, len(columns))
            by_row[:, ::2] = ends.reshape(-1, 2)
            by_row[:, 1] = np.fromiter(map(relations.__getitem__, names), np.int64, len(names))
            for known, first in zip((entities, relations), before, strict=True):
                _check_new(known, first)
            parts.append(by_row)
        return torch.from_numpy(np.concatenate(parts))


def _check_new(names: dict[str, int], before: int) -> None:
    """Refuse spaces instead of a name among those after the first ``before`` ones."""
    for name, _ in zip(reversed(names), range(len(names) - before), strict=False):
        if name.isspace():
            raise ValueError("an empty name")


def _blocks(path: Path) -> Iterator[bytes]:
    """A file in pieces of whole lines with LF at their ends, without a leading byte order mark."""
    first = True
    with unpacked(path) as file:
        block = file.read(BLOCK)
        while block:
            line = file.readline(MOST_LINE + 1)
            if len(line) > MOST_LINE:
                raise ValueError("a long line")
            following = file.read(BLOCK)
            block += line
            if b"\r" in block:
                block = block.replace(b"\r\n", b"\n")
            if first:
                block, first = block.removeprefix(_MARK), False
            # Blank lines at the end are none.
            yield block if following else block.rstrip(b"\n") + b"\n"
            block = following


def _columns(block: bytes) -> list[str]:
    """The names in whole lines of three columns, row by row."""
    if b"\0" in block or b"\r" in block or _MARK in block:
        raise ValueError("a character that is refused")
    characters = np.frombuffer(block, dtype=np.uint8)
    places = np.flatnonzero((characters == _SEPARATORS[0]) | (characters == _SEPARATORS[2]))
    found = characters[places]
    if len(found) % 3 or not (found.reshape(-1, 3) == _SEPARATORS).all():
        raise ValueError("another number of columns")
    lengths = np.diff(places, prepend=-1)
    if not lengths.min() > 1 or lengths.max() > MOST_LINE // 3:
        raise ValueError("an empty name or a long line")
    columns = block.decode().replace("\n", "\t").split("\t")
    columns.pop()
    return columns
