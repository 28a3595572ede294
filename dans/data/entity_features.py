"""Features of entities: numbers, categories and embeddings that a user has, as one matrix.

Each table of features becomes some columns of the matrix, in a way that is fitted on the graph it
was read for, so that entities that come later are put into the same columns.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dans.config.schema import FeatureKind, FeatureScale, FeatureTable
from dans.config.writing import whole
from dans.data.feature_tables import Cells, chosen, is_plain, read_cells
from dans.data.tensor_file import read_checked, reading, write_tensors, writing
from dans.errors import LARGE, InputError, did_you_mean, shown
from dans.memory import room_for

if TYPE_CHECKING:
    from dans.data.graph import Vocabulary

log = logging.getLogger(__name__)

#: How the numbers of a kind are scaled, the default first; categories are not.
SCALES: dict[FeatureKind, tuple[FeatureScale, ...]] = {
    "numbers": ("standard", "none"),
    "embeddings": ("none", "unit", "standard"),
    "categories": (),
}

#: Version of the layout of a file.
VERSION = "1"


class Block(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one table of features is put into columns, fitted on the entities of training.

    Numbers and embeddings: the columns, scaled, 0 where one is missing; then a column for each of
    ``gaps`` that is 1 where a row lacks that number. Categories: a column for each, 1 where the
    entity is of it. Last, where ``gap``, a column that is 1 for entities without a row.
    """

    name: str
    kind: FeatureKind
    scale: FeatureScale
    columns: tuple[str, ...]
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    gaps: tuple[int, ...] = ()
    #: the number of a column, and a category of it
    categories: tuple[tuple[int, str], ...] = ()
    gap: bool = False

    @property
    def labels(self) -> list[str]:
        """The names of its columns in the matrix."""
        if self.kind == "categories":
            found = [f"{self.name}.{self.columns[j]}={name}" for j, name in self.categories]
        else:
            found = [f"{self.name}.{column}" for column in self.columns]
            found += [f"{self.name}.{self.columns[j]} missing" for j in self.gaps]
        return found + [f"{self.name} missing"] * self.gap

    @classmethod
    def fit(
        cls, name: str, cells: Cells, table: FeatureTable, entities: Vocabulary, seen: Tensor
    ) -> Block:
        """The block of a table, by the entities of training, (n,) bool."""
        accepted = SCALES[table.kind]
        if table.scale not in ("auto", *accepted):
            known = f"known: {', '.join(accepted)}" if accepted else "leave it out"
            raise InputError(
                f"{cells.where}: scale: {table.scale} is not for {table.kind}; {known}"
            )
        first: FeatureScale = next(iter(accepted), "none")
        scale = first if table.scale == "auto" else table.scale
        block = cls(name, table.kind, scale, cells.columns)
        if table.kind == "categories":
            ids = cells.ids(entities, once=False)
            pairs = {(j, name) for i, j, name in cells.categories() if ids[i] >= 0}
            if not pairs:
                raise InputError(f"{cells.where}: holds no category")
            block = msgspec.structs.replace(block, categories=tuple(sorted(pairs)))
            values, present = block.apply(cells, entities)
        else:
            values, present, missing = block.aligned(cells, entities)
            trained = values[seen.numpy()]
            there = ~np.isnan(trained)
            for j in np.flatnonzero(~there.any(0))[:1]:
                column = f"{cells.where}: column {cells.columns[j]}"
                raise InputError(f"{column}: has no value for any entity of a training triple")
            if scale == "standard":
                mean = np.nanmean(trained, axis=0)
                deviation = np.nanstd(trained, axis=0)
                # A constant column says nothing: it becomes 0.
                deviation[deviation <= 1e-12 * np.maximum(1, np.abs(mean))] = 0
                block = msgspec.structs.replace(
                    block, mean=tuple(mean.tolist()), deviation=tuple(deviation.tolist())
                )
            block = msgspec.structs.replace(
                block, gaps=tuple(np.flatnonzero(missing.any(0)).tolist())
            )
        return msgspec.structs.replace(block, gap=not bool(present.all()))

    def aligned(
        self, cells: Cells, entities: Vocabulary
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
        """Numbers by entity, (n, c); which entities have a row, (n,); what their rows lack."""
        given, ids = cells.numbers(), cells.ids(entities, once=True)
        holes = np.isnan(given)
        if self.kind == "embeddings":
            for row in np.flatnonzero(holes.any(1) & ~holes.all(1) & (ids >= 0))[:1]:
                raise InputError(f"{cells.place(row)}: an embedding lacks some of its numbers")
        values = np.full((len(entities), given.shape[1]), np.nan)
        values[ids[ids >= 0]] = given[ids >= 0]
        present = ~np.isnan(values).all(1)
        return values, present, np.isnan(values) & present[:, None]

    def apply(self, cells: Cells, entities: Vocabulary) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Its columns for some entities, (n, w) float32, and which of them have a row, (n,)."""
        n, c = len(entities), len(self.columns)
        if cells.cells.shape[1] != c or not (
            cells.columns == self.columns or is_plain(cells.columns)
        ):
            given, own = (
                ", ".join(map(shown, some[:20])) for some in (cells.columns, self.columns)
            )
            raise InputError(f"{cells.where}: expected the columns {own}; got {given}")
        width = len(self.labels)
        room_for(cells.where, n * width)
        out = np.zeros((n, width), dtype=np.float32)
        if self.kind == "categories":
            ids, present = cells.ids(entities, once=False), np.zeros(n, dtype=np.bool_)
            place = {category: i for i, category in enumerate(self.categories)}
            for i, j, name in cells.categories():
                if ids[i] >= 0:
                    present[ids[i]] = True
                    if (j, name) in place:
                        out[ids[i], place[j, name]] = 1
        else:
            values, present, missing = self.aligned(cells, entities)
            if self.scale == "standard":
                divisor = np.array(self.deviation)
                values = (values - self.mean) / np.where(divisor, divisor, np.inf)
            elif self.scale == "unit":
                length = np.sqrt((values**2).sum(1, keepdims=True))
                values = values / np.where(length > 0, length, 1)
            # Numbers far outside of those of training are cut, not turned into infinities.
            out[:, :c] = np.clip(np.nan_to_num(values), -LARGE, LARGE)
            out[:, c : c + len(self.gaps)] = missing[:, self.gaps]
        if self.gap:
            out[:, -1] = ~present
        return out, present


@dataclass(frozen=True, eq=False)
class EntityFeatures:
    """Features of the n entities of a graph, as a matrix for a network.

    Args:
        values: (n, f) float32; 0 where something is missing, beside which a column says so.
        present: (n, b) bool, which entities have a row in each block.
        blocks: how the b tables were put into columns.

    Example:
        >>> from dans.data.graph import KnowledgeGraph
        >>> kg = KnowledgeGraph.of([("ada", "knows", "bob"), ("bob", "knows", "cy")])
        >>> ages, kinds = {"ada": 30, "bob": 50}, {"cy": "cat", "bob": "man"}
        >>> kg = kg.with_features({"age": ages, "is": kinds})
        >>> kg.features.labels
        ['age.1', 'age missing', 'is.1=cat', 'is.1=man', 'is missing']
        >>> kg.features.values.tolist()[2]
        [0.0, 1.0, 1.0, 0.0, 0.0]
        >>> kg.features.of_others({"age": {"eve": 40}}, ["eve"]).values.tolist()
        [[0.0, 0.0, 0.0, 0.0, 1.0]]
    """

    values: Tensor
    present: Tensor
    blocks: tuple[Block, ...]

    @classmethod
    def of(
        cls, given: Mapping[str, Any], entities: Vocabulary, seen: Tensor | None = None
    ) -> EntityFeatures:
        """The features that files or objects hold of some entities.

        Numbers are standardised with mean and deviation over the entities of training triples that
        have a value, by default.

        Args:
            given: by a name of the user's choice, each a file (``.csv``, ``.tsv``, ``.npy``,
                ``.parquet``), an array (n, f), a mapping of entity names to a number, to text or
                to a row, a data frame with entity names as index; or a mapping with ``file`` or
                ``values``, one of these, and the options of ``dans.config.schema.FeatureTable``.
            entities: the names of all entities.
            seen: (n,) bool, the entities of training triples; None: all.

        Raises:
            InputError: something in a table cannot be used; it names file, line and entity.
        """
        if not isinstance(given, Mapping) or not given:
            raise InputError(f"features: expected tables by name, got {shown(given)}")
        seen = torch.ones(len(entities), dtype=torch.bool) if seen is None else seen
        found, blocks = [], []
        for name, one in given.items():
            cells, table = read_cells(str(name), one)
            blocks.append(Block.fit(str(name), cells, table, entities, seen))
            found.append(blocks[-1].apply(cells, entities))
            _say(cells, blocks[-1], found[-1][1], entities)
        return cls._joined(found, blocks)

    @classmethod
    def _joined(
        cls, parts: Sequence[tuple[NDArray[Any], NDArray[np.bool_]]], blocks: Sequence[Block]
    ) -> EntityFeatures:
        values = torch.from_numpy(np.concatenate([one for one, _ in parts], axis=1))
        present = torch.from_numpy(np.stack([one for _, one in parts], axis=1))
        return cls(values, present, tuple(blocks))

    def of_others(self, given: Mapping[str, Any], names: Sequence[str]) -> EntityFeatures:
        """The same columns for other entities, by the means, deviations and categories of these.

        Args:
            given: as of `of`, by the same names; a table that is left out is missing for all.
                Categories that these entities have not are left out.
            names: of the other entities, which are the rows.
        """
        return self.of_cells(self.read(given), names)

    def read(self, given: Mapping[str, Any]) -> dict[str, Cells]:
        """Tables of other entities by name, as `of_others` takes them; other columns left out."""
        if not isinstance(given, Mapping):
            raise InputError(f"features: expected tables by name, got {shown(given)}")
        blocks, found = {block.name: block for block in self.blocks}, {}
        for name, one in given.items():
            if name not in blocks:
                hint = did_you_mean(str(name), list(blocks))
                raise InputError(f"features: {name}: unknown; known: {', '.join(blocks)}{hint}")
            cells, _ = read_cells(name, one, blocks[name].kind)
            own = blocks[name].columns
            if not is_plain(own):
                if cells.key and is_plain(cells.columns):
                    wanted = f"expected {', '.join(map(shown, own[:20]))}"
                    raise InputError(f"{cells.where}: its first line names no column; {wanted}")
                if set(own) < set(cells.columns):
                    cells = chosen(cells, own, f"features.table.{name}")
            found[name] = cells
        return found

    def of_cells(self, given: Mapping[str, Cells], names: Sequence[str]) -> EntityFeatures:
        """The same columns for other entities, from what `read` returns."""
        from dans.data.graph import Vocabulary

        entities, parts = Vocabulary(tuple(names)), []
        for block in self.blocks:
            if block.name in given:
                parts.append(block.apply(given[block.name], entities))
                continue
            values = np.zeros((len(names), len(block.labels)), dtype=np.float32)
            values[:, -1:] = block.gap
            parts.append((values, np.zeros(len(names), dtype=np.bool_)))
        return self._joined(parts, self.blocks)

    def followed_by(self, others: EntityFeatures) -> EntityFeatures:
        """These, and behind them those of other entities in the same columns."""
        values = torch.cat((self.values, others.values))
        return EntityFeatures(values, torch.cat((self.present, others.present)), self.blocks)

    def __len__(self) -> int:
        """The number of entities, n."""
        return len(self.values)

    def __repr__(self) -> str:
        """The number of entities and of columns, and the names of the tables."""
        names = ", ".join(f"{one.name} ({one.kind}, {len(one.labels)})" for one in self.blocks)
        return f"EntityFeatures({len(self)} entities, {self.values.shape[1]} columns: {names})"

    @property
    def labels(self) -> list[str]:
        """The names of the f columns."""
        return [label for block in self.blocks for label in block.labels]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the matrix and the blocks."""
        digest = hashlib.sha256(msgspec.json.encode(self.blocks))
        for tensor in (self.values, self.present):
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write a safetensors file, whole or not at all; `load` reads it bit by bit the same."""
        about = {"features": VERSION, "blocks": msgspec.json.encode(self.blocks).decode()}
        with writing(path), whole(path) as file:
            write_tensors(file, {"values": self.values, "present": self.present}, about)

    @classmethod
    def load(cls, path: Path) -> EntityFeatures:
        """Read what `save` wrote; a file that is damaged is refused by its digest."""
        with reading(path, "features as dans saves them"):
            about, tensors = read_checked(path)
            if about["features"] != VERSION or "digest" not in about:
                raise ValueError("another layout, or damaged")
            blocks = msgspec.json.decode(about["blocks"], type=tuple[Block, ...])
            # What is read may be the file itself, mapped into memory.
            return cls(tensors["values"].clone(), tensors["present"].clone(), blocks)


def _say(cells: Cells, block: Block, present: NDArray[np.bool_], entities: Vocabulary) -> None:
    """Log how many entities have a row, and how many rows are of none."""
    rows, n = int(present.sum()), len(entities)
    said = f"{rows} of {n} entities have a row; {len(block.labels)} columns"
    strange = sum(name not in entities for name in cells.names or ())
    said += f"; {strange} names are no entities" if strange else ""
    log.info("%s: %s", cells.where, said)
