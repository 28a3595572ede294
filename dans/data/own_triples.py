"""Triples of one's own in the names of a graph that is there already, to evaluate a run on."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import contains
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from dans.data.graph import KnowledgeGraph
from dans.data.objects import triples_of
from dans.data.readers import Line
from dans.data.sources import file_lines
from dans.errors import InputError, one_of

log = logging.getLogger(__name__)

#: What becomes of a line with a name that the graph does not have.
Unknown = Literal["refuse", "drop"]


@dataclass(frozen=True)
class OwnTriples:
    """Lines that are in no split of a graph, as its ids.

    Attributes:
        name: of the file; ``triples`` for an object in memory.
        lines: (f, 3) int64, all lines.
        holds: (f,) bool, their labels; all true where there are none.
        labelled: whether the lines have labels.
        dropped: how many lines were left out, since the graph lacks a name of theirs.
    """

    name: str
    lines: Tensor
    holds: Tensor
    labelled: bool = False
    dropped: int = 0

    @classmethod
    def of(cls, kg: KnowledgeGraph, given: Any, *, unknown: Unknown = "refuse") -> OwnTriples:
        """Read a file, or an object in memory.

        Args:
            kg: whose names are known.
            given: a path of what `dans.load` reads as one file; a text table may have labels, 1 or
                -1, as its fourth column. Or triples of names in a list, a data frame, an array.
            unknown: ``refuse`` a name that the graph lacks, or ``drop`` its lines and count them.

        Raises:
            InputError: a name is unknown, by file and line; or no line is left.

        Example:
            >>> kg = KnowledgeGraph.of([("ada", "knows", "bob"), ("bob", "knows", "ada")])
            >>> OwnTriples.of(kg, [("ada", "knows", "ada")]).lines
            tensor([[0, 0, 0]])
        """
        one_of("unknown", unknown, get_args(Unknown))
        if isinstance(given, (str, os.PathLike)):
            path, numbers = Path(given), array("q")
            labelled, lines = file_lines(path, numbers)
            return cls._of_lines(kg, lines, str(path), numbers, unknown, labelled=labelled)
        found, _ = triples_of(given, "triples")
        if isinstance(found, Tensor):
            return cls("triples", found, torch.ones(len(found), dtype=torch.bool))
        lines = ((head, relation, tail, True) for head, relation, tail, _ in found)
        return cls._of_lines(kg, lines, "triples", None, unknown)

    @classmethod
    def _of_lines(
        cls,
        kg: KnowledgeGraph,
        lines: Iterable[Line],
        where: str,
        numbers: array[int] | None,
        unknown: Unknown,
        *,
        labelled: bool = False,
    ) -> OwnTriples:
        ids, holds, dropped = array("q"), bytearray(), 0
        columns = (kg.entities, kg.relations, kg.entities)
        for i, (*names, label) in enumerate(lines):
            if unknown == "drop" and not all(map(contains, columns, names)):
                dropped += 1
                continue
            # Files of RDF and Parquet have no lines to number.
            at = f"{where}:{numbers[-1]}" if numbers else f"{where}[{i}]"
            ids.extend(one.index(name, where=at) for one, name in zip(columns, names, strict=True))
            holds.append(label)
        if dropped:
            sentence = "%s: %d of %d lines have a name that %s lacks; they are left out"
            log.warning(sentence, where, dropped, dropped + len(holds), kg.name)
        if not holds:
            raise InputError(f"{where}: no line is left whose names {kg.name} has")
        name = "triples" if numbers is None else Path(where).name
        triples = torch.frombuffer(ids, dtype=torch.int64).view(-1, 3)
        return cls(name, triples, torch.frombuffer(holds, dtype=torch.bool), labelled, dropped)

    @property
    def label(self) -> str:
        """What reports call it: ``own-`` and the file's name without suffixes.

        Example:
            >>> OwnTriples("new facts.tsv.gz", torch.empty(0, 3), torch.empty(0)).label
            'own-new_facts'
        """
        return "own-" + re.sub(r"[^\w-]", "_", self.name.split(".")[0] or "triples")

    def graph(self, kg: KnowledgeGraph) -> KnowledgeGraph:
        """The graph with these lines as its split test; its own test triples are part of valid.

        So the filter set of its three splits is that of train, valid, test and these.
        """
        return replace(
            kg,
            valid=torch.cat((kg.valid, kg.test)),
            test=self.lines[self.holds],
            labelled={"test": (self.lines, self.holds)} if self.labelled else {},
            given_negatives={},
        )

    def stated(self) -> dict[str, Any]:
        """For the protocol of a report: what they are, with a digest of their ids and labels."""
        digest = hashlib.sha256(self.lines.numpy().tobytes() + self.holds.numpy().tobytes())
        counts = {"lines": len(self.lines), "dropped": self.dropped}
        return {"name": self.name, **counts, "digest": digest.hexdigest()}
