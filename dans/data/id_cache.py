"""The ids of large files of names, kept beside the downloads, so that they are read once.

Kept by the digest of the files: one that changes is read again. What is damaged, or none of ours,
is ignored. ``DANS_ID_CACHE=off`` neither reads nor writes it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from torch import Tensor

from dans.config.reading import opened
from dans.config.writing import sweep, whole
from dans.data.graph import KnowledgeGraph, Vocabulary
from dans.data.readers import SPLITS, Split
from dans.data.tensor_file import read_checked, write_tensors
from dans.errors import InputError, one_of

log = logging.getLogger(__name__)

#: The variable that turns it off.
VARIABLE = "DANS_ID_CACHE"

#: Fewer lines are read as fast as they are found here; files of fewer bytes have fewer lines.
LEAST_LINES, LEAST_BYTES = 1_000_000, 2**20

#: Of the layout.
VERSION = "2"


class Ids(NamedTuple):
    """Names in the order of their ids, and the (f, 3) ids of each split."""

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    triples: Mapping[Split, Tensor]

    def graph(self, name: str, **more: Any) -> KnowledgeGraph:
        """The graph of these names and triples; ``more`` as of `KnowledgeGraph`."""
        names = Vocabulary(self.entities), Vocabulary(self.relations)
        train, valid, test = (self.triples[split] for split in SPLITS)
        return KnowledgeGraph(name, *names, train, valid, test, **more)

    def write(self, path: Path, about: Mapping[str, str]) -> None:
        """Write a file of tensors, names as the bytes of JSON, with some text."""
        kept = torch.int32 if len(self.entities) < 2**31 else torch.int64
        tensors: dict[str, Tensor] = {split: self.triples[split].to(kept) for split in SPLITS}
        for kind, names in (("entities", self.entities), ("relations", self.relations)):
            text = bytearray(json.dumps(names).encode())
            tensors[kind] = torch.frombuffer(text, dtype=torch.uint8)
        with whole(path) as file:
            write_tensors(file, tensors, about)

    @classmethod
    def read(cls, path: Path) -> tuple[dict[str, str], Ids]:
        """The text and the ids in a file that `write` wrote; other files have other errors."""
        about, tensors = read_checked(path)
        names = [json.loads(tensors[kind].numpy().tobytes()) for kind in ("entities", "relations")]
        triples = {split: tensors[split].long() for split in SPLITS}
        return about, cls(tuple(names[0]), tuple(names[1]), triples)


class IdCache:
    """The place of the ids of some files.

    Args:
        folder: of the cache.
        files: of each split, tables of names without labels.
    """

    def __init__(self, folder: Path, files: Mapping[Split, Path]) -> None:
        one_of(VARIABLE, os.environ.get(VARIABLE, "on"), ("on", "off"))
        self.folder, self.files = folder, files
        #: None: nothing is kept of these files
        self.path: Path | None = None
        try:
            self._before = self._states()
            if os.environ.get(VARIABLE) != "off" and self.size() >= LEAST_BYTES:
                self.path = folder / f"{self._digest()}.safetensors"
        except (OSError, InputError):
            # Whoever reads the files says what is wrong with them.
            self._before = []

    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size in self._before)

    def load(self) -> Ids | None:
        """What was kept of the files; None where there is nothing, or it is damaged."""
        if self.path is None or not self.path.is_file():
            return None
        try:
            about, ids = Ids.read(self.path)
            stated = about.get("version"), about.get("files"), "digest" in about
            if stated != (VERSION, self.path.stem, True):
                raise ValueError("is of other files, of another version, or damaged")
        except (SafetensorError, OSError, ValueError, LookupError, RuntimeError) as error:
            log.warning("%s: ignored: %s", self.path, str(error).splitlines()[0])
            return None
        log.info("%s: ids of %s", self.path, ", ".join(str(path) for path in self.files.values()))
        return ids

    def keep(self, ids: Ids) -> None:
        """Keep what was read, if there is much of it and no file changed in between."""
        if self.path is None or sum(map(len, ids.triples.values())) < LEAST_LINES:
            return
        try:
            if self._states() != self._before:
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            sweep(self.folder)
            ids.write(self.path, {"version": VERSION, "files": self.path.stem})
        except (OSError, SafetensorError) as error:
            log.info("%s: cannot be written, so the files are read again: %s", self.path, error)

    def _states(self) -> list[tuple[int, int]]:
        found = (path.stat() for path in self.files.values())
        return [(state.st_mtime_ns, state.st_size) for state in found]

    def _digest(self) -> str:
        """Of the splits, the kinds of their files, and their bytes."""
        digest = hashlib.sha256(VERSION.encode())
        for (split, path), (_, size) in zip(self.files.items(), self._before, strict=True):
            digest.update(f"{split} {''.join(path.suffixes[-2:])} {size}\n".encode())
            with opened(path) as file:
                while chunk := file.read(2**20):
                    digest.update(chunk)
        return digest.hexdigest()
