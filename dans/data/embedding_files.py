"""Embeddings by name in files: word2vec text, and NumPy arrays with their names beside them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dans.config.reading import opened, read_object
from dans.data.feature_tables import no_entity
from dans.data.readers import numbered_lines
from dans.data.tensor_file import reading
from dans.errors import InputError, shown

if TYPE_CHECKING:
    from dans.data.graph import Vocabulary

#: What lies beside an array of ``dans export``, with the names of its rows.
NAMES = "names.json"

#: Where a row is, its name, and its numbers, or what should be numbers.
Row = tuple[str, str, Any]


def read_embeddings(path: Path, entities: Vocabulary) -> tuple[Tensor, Tensor]:
    r"""The rows of a file that are of entities: their ids (u,), and their embeddings (u, d).

    A file ``.npy`` holds an array (r, d), and ``names.json`` beside it the names of the rows, in a
    list with the name of the file, as ``dans export`` writes them. Any other is word2vec text, also
    with ``.gz`` at the end: the number of rows and their width, then a line for each row with its
    name and its numbers. A name is percent-decoded, or taken as it is where only so it is an
    entity. Rows of other names are left out, after a look at their numbers.

    Raises:
        InputError: a line cannot be read, a number is not finite, a name has two rows, or none is
            that of an entity.

    Example:
        >>> from dans.data.graph import Vocabulary
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "own.word2vec.txt")
        ...     _ = path.write_text("3 2\nice%20tea 1 2\nbob 3 4\nice 5 6\n")
        ...     read_embeddings(path, Vocabulary(("ada", "bob", "ice tea")))
        (tensor([2, 1]), tensor([[1., 2.],
                [3., 4.]]))
    """
    rows = _of_array(path) if path.suffix == ".npy" else _of_text(path)
    first = next(rows, None)
    if first is None:
        raise InputError(f"{path}: holds no row")
    found: dict[int, NDArray[np.float32]] = {}
    places: dict[int, str] = {}
    for place, written, given in chain((first,), rows):
        numbers = _numbers(place, written, given)
        decoded = written if path.suffix == ".npy" else unquote(written)
        name = decoded if decoded in entities else written
        if name not in entities:
            continue
        entity = entities.index(name)
        if entity in places:
            raise InputError(f"{place}: {shown(name)}: has a row already, {places[entity]}")
        found[entity], places[entity] = numbers, place
    if not found:
        raise no_entity(path, first[1], entities)
    return torch.tensor(list(found)), torch.from_numpy(np.stack(list(found.values())))


def _numbers(place: str, name: str, given: Any) -> NDArray[np.float32]:
    """A row as float32, all of them finite."""
    try:
        with np.errstate(over="ignore"):
            numbers = np.array(given, dtype=np.float64).astype(np.float32)
    except ValueError as error:
        raise InputError(f"{place}: {shown(name)}: expected numbers: {error}") from None
    for i in np.flatnonzero(~np.isfinite(numbers))[:1]:
        wrong = f"number {i + 1} must be finite in 32 bits, got {given[i]}"
        raise InputError(f"{place}: {shown(name)}: {wrong}")
    return numbers


def _of_text(path: Path) -> Iterator[Row]:
    """The rows of word2vec text."""
    lines = numbered_lines(path)
    number, opening = next(lines, (1, ""))
    sizes = opening.split()
    if len(sizes) != 2 or not all(size.isascii() and size.isdigit() for size in sizes):
        expected = "expected word2vec text, whose first line is the number of rows and their width"
        raise InputError(f"{path}:{number}: {expected}, got {shown(opening)}")
    count, width = map(int, sizes)
    done = 0
    for number, line in lines:
        name, *numbers = line.rstrip().split(" ")
        if len(numbers) != width or not name:
            got = f"{len(numbers)} after {shown(name)}"
            expected = f"a name without spaces, then {width} numbers with a space before each"
            raise InputError(f"{path}:{number}: expected {expected}, got {got}")
        done += 1
        yield f"{path}:{number}", name, numbers
    if done != count:
        raise InputError(f"{path}: has {done} rows, and {count} by its first line; is it whole?")


def _of_array(path: Path) -> Iterator[Row]:
    """The rows of an array, with their names from the file beside it."""
    with reading(path, "an array of numbers"), opened(path) as file:
        table = np.load(file)
    if not isinstance(table, np.ndarray) or table.ndim != 2 or table.dtype.kind not in "fiu":
        found = f"shape {np.shape(table)} of {getattr(table, 'dtype', 'several arrays')}"
        raise InputError(f"{path}: expected rows of numbers, (r, d), got {found}")
    beside, key = path.with_name(NAMES), path.stem
    with reading(beside, "an object of names"):
        names = read_object(beside).get(key)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        rows = f"the names of the rows of {path.name}"
        raise InputError(f"{beside}: {key}: expected a list, {rows}, got {shown(names)}")
    if len(names) != len(table):
        rows = f"{len(table)} rows in {path.name}"
        raise InputError(f"{beside}: {key}: {len(names)} names for {rows}; expected one for each")
    for i, (name, row) in enumerate(zip(names, table, strict=True)):
        yield f"{path}[{i}]", name, row
