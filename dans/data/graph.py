"""Knowledge graphs: triples as ids in three splits, names of ids, and DGL and message views."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from dans.data.audit import Audit, where_true
from dans.data.known_triples import KnownTriples, triple_keys
from dans.data.message_graph import MessageGraph, Norm
from dans.data.name_ids import NameIds
from dans.data.names_audit import Origin, name_warnings
from dans.data.query_index import first_rows
from dans.data.readers import SPLITS, Line, Split
from dans.errors import (
    LONGEST_SHOWN,
    InputError,
    folder_or_file,
    nearest,
    one_of,
    shortened,
    shown,
    textual,
)

if TYPE_CHECKING:
    import networkx
    import pandas

    from dans.data._dgl import dgl
    from dans.data.entity_features import EntityFeatures

__all__ = ["SPLITS", "KnowledgeGraph", "Split", "Vocabulary", "Walks"]

#: Names are listed in full, where none is close to the unknown one, if there are at most so many.
LISTED = 10


@dataclass(frozen=True)
class Vocabulary:
    """Names of entities or of relations, each once; a name's position is its id."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self._ids) != len(self.names):
            twice = next(name for i, name in enumerate(self.names) if self._ids[name] != i)
            raise InputError(f"{shown(twice)}: the name occurs twice")

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    def index(self, name: str, *, where: str = "") -> int:
        """The id of a name; an error starts with ``where`` and offers close matches."""
        textual(where or "name", name)
        if name not in self._ids:
            near = nearest(name, self.names)
            alike = " or ".join(shown(one, LONGEST_SHOWN) for one in near)
            hint = f"; did you mean {alike}?" if near else ""
            if not near and len(self.names) <= LISTED:
                hint = f"; known: {', '.join(map(shortened, self.names))}"
            raise InputError(f"{where}{': ' * bool(where)}unknown name {shown(name)}{hint}")
        return self._ids[name]

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._ids

    def __getitem__(self, i: int) -> str:
        return self.names[i]


@dataclass(frozen=True, eq=False)
class Walks:
    """Random walks by DGL over (f, 3) triples, without relations and directions.

    The probability of a step to a neighbour is proportional to the number of triples between the
    two. DGL's own generator is seeded from torch's at each call; its draws also depend on the
    number of threads.

    Example:
        >>> Walks(torch.tensor([[0, 0, 1]]), 3)(torch.tensor([0, 2]), length=2)
        tensor([[ 0,  1,  0],
                [ 2, -1, -1]])
    """

    triples: Tensor
    num_entities: int

    def __call__(self, starts: Tensor, length: int) -> Tensor:
        """(w, length + 1) entities of walks from (w,) starts; −1 after one without neighbours."""
        from dans.data._dgl import dgl

        dgl.seed(int(torch.randint(2**31 - 1, ())))
        walks: Tensor = dgl.sampling.random_walk(self._graph, starts, length=length)[0]
        return walks

    @cached_property
    def _graph(self) -> dgl.DGLGraph:
        from dans.data._dgl import dgl

        heads, tails = self.triples[:, 0], self.triples[:, 2]
        ends = torch.cat((heads, tails)), torch.cat((tails, heads))
        return dgl.graph(ends, num_nodes=self.num_entities)


@dataclass(frozen=True, eq=False)
class KnowledgeGraph:
    """Triples of entity and relation ids in three splits, and the names of the ids.

    Ids count names by first appearance, in train, then valid, then test; in what `load` splits, in
    the order there, and ids of arrays keep theirs. Each triple of train is
    there once, at its first line: a graph is a set of triples, and a second copy would send the
    message that hides the first. Repeated lines of valid and test are kept; `audit` counts all.

    Args:
        name: of the data set.
        entities: names of the n entities.
        relations: names of the m relations.
        train: (·, 3) int64 true triples, ids of head, relation and tail; valid and test likewise.
        labelled: of splits with labels, all lines, (·, 3), and the labels, (·,) bool; the three
            tensors above hold the lines labelled true.
        given_negatives: of splits that a data set publishes negatives for, as OGB's do: for each
            of the q triples of the split, entities in place of its head and of its tail, (q, c)
            int64 ids each.
        features: what is known of each entity beside the triples; `with_features` reads them.

    Attributes:
        source: what `load` reads the same graph from again: the name of a card, or the absolute
            path of a card or a folder; "" where there is no such thing.

    Example:
        >>> kg = KnowledgeGraph.of(train=[("ada", "knows", "bob"), ("bob", "likes", "tea")])
        >>> kg
        KnowledgeGraph(entities=3, relations=2, train=2, valid=0, test=0)
        >>> kg.heterograph().num_edges("000001")
        1
        >>> kg.messages().etype.tolist()    # sorted; the inverse of r is r + m
        [0, 1, 2, 3]
    """

    name: str
    entities: Vocabulary
    relations: Vocabulary
    train: Tensor
    valid: Tensor
    test: Tensor
    labelled: Mapping[Split, tuple[Tensor, Tensor]] = field(default_factory=dict)
    given_negatives: Mapping[Split, tuple[Tensor, Tensor]] = field(default_factory=dict)
    features: EntityFeatures | None = None
    # No argument: a graph made from another one by `dataclasses.replace` has no source.
    source: str = field(default="", init=False)
    #: the lines of train, where some are repeated
    _lines: dict[Split, Tensor] = field(default_factory=dict, init=False)
    _known: dict[tuple[Split, ...], KnownTriples] = field(default_factory=dict, init=False)
    _messages: dict[Norm, MessageGraph] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        limits = torch.tensor([self.num_entities, self.num_relations, self.num_entities])
        for name in SPLITS:
            triples = self.split(name)
            if triples.dtype != torch.int64 or triples.ndim != 2 or triples.shape[1] != 3:
                given = f"{tuple(triples.shape)} {triples.dtype}"
                raise InputError(f"{name}: expected (·, 3) int64 ids, got {given}")
            if bool(((triples < 0) | (triples >= limits)).any()):
                sizes = f"{self.num_entities} entities and {self.num_relations} relations"
                raise InputError(f"{name}: holds an id outside of {sizes}")
        if self.features is not None and len(self.features) != self.num_entities:
            given = f"{len(self.features)} rows for {self.num_entities} entities"
            raise InputError(f"features: expected a row for each entity, got {given}")
        once = first_rows(triple_keys(self.train, self.num_entities, self.num_relations))
        if len(once) < len(self.train):
            self._lines["train"] = self.train
            object.__setattr__(self, "train", self.train[once])

    @classmethod
    def of(
        cls,
        train: Iterable[tuple[str, str, str]],
        valid: Iterable[tuple[str, str, str]] = (),
        test: Iterable[tuple[str, str, str]] = (),
        *,
        name: str = "unnamed",
    ) -> KnowledgeGraph:
        """A graph from triples of names: head, relation, tail."""
        given = zip(SPLITS, (train, valid, test), strict=True)
        return cls.of_lines({split: _checked(split, rows) for split, rows in given}, name=name)

    @classmethod
    def load(cls, where: str | Path, *, labelled: Sequence[Split] = ()) -> KnowledgeGraph:
        """A graph from a data set with a card, from a folder, or from a file.

        This is `dans.data.sources.load` with its defaults, which says what is read and how.

        Args:
            where: the name of a card, such as ``"umls"``; the path of a card; a folder that holds
                train, and mostly valid and test (``"./umls"`` is a folder, ``"umls"`` the card), or
                that `save` wrote; a file, which is split.
            labelled: the splits of a folder whose lines have a fourth column, 1 or -1. A card says
                so itself.
        """
        from dans.data.sources import load

        return load(where, labelled=labelled)

    def renamed(self, name: str, source: str = "") -> KnowledgeGraph:
        """The same graph with another name, and another source or none."""
        other = copy(self)
        other.__dict__.update(name=name, source=source)
        return other

    def with_features(self, features: Mapping[str, Any] | EntityFeatures | None) -> KnowledgeGraph:
        """The same graph with features of its entities, or without.

        Args:
            features: tables by name, as `dans.data.entity_features.EntityFeatures.of` takes them.

        Example:
            >>> kg = KnowledgeGraph.of([("ada", "knows", "bob")])
            >>> kg.with_features({"age": {"ada": 30, "bob": 50}}).features
            EntityFeatures(2 entities, 1 columns: age (numbers, 1))
        """
        from dans.data.entity_features import EntityFeatures

        if features is not None and not isinstance(features, EntityFeatures):
            features = EntityFeatures.of(features, self.entities, self.seen)
        other = copy(self)
        other.__dict__.update(features=features)
        other.__post_init__()
        return other

    def save(self, folder: str | Path) -> None:
        """Write the graph into a folder, from which `load` reads it bit by bit the same.

        The folder holds ``graph.json``, with the names and the digest, and
        ``triples.safetensors``, with all lines and labels; and ``features.safetensors`` where it
        has features. Names may have any characters.

        Raises:
            InputError: the folder is not empty, or cannot be written.
        """
        from dans.data import saved_graph

        saved_graph.write(self, folder_or_file("folder", folder))

    @classmethod
    def of_lines(
        cls,
        lines: Mapping[Split, Iterable[Line] | Path],
        *,
        labelled: Sequence[Split] = (),
        name: str = "unnamed",
    ) -> KnowledgeGraph:
        """A graph from lines of names and a label, of which those labelled false are no triples.

        The lines of a split may be a file of names without labels.
        """
        ids = NameIds()
        triples, labels = {}, {}
        for split in SPLITS:
            given = lines.get(split, ())
            some = ids.of_file(given) if isinstance(given, Path) else ids.of_lines(given)
            triples[split], labels[split] = some
        return cls(
            name,
            Vocabulary(tuple(ids.entities)),
            Vocabulary(tuple(ids.relations)),
            train=where_true(triples["train"], labels["train"]),
            valid=where_true(triples["valid"], labels["valid"]),
            test=where_true(triples["test"], labels["test"]),
            labelled={s: (triples[s], labels[s]) for s in SPLITS if s in labelled},
            given_negatives={},
        )

    def __repr__(self) -> str:
        sizes = {"entities": self.num_entities, "relations": self.num_relations}
        sizes |= {split: len(self.split(split)) for split in SPLITS}
        return f"KnowledgeGraph({', '.join(f'{name}={size}' for name, size in sizes.items())})"

    @property
    def num_entities(self) -> int:
        """The number of entities of all splits, n."""
        return len(self.entities)

    @property
    def num_relations(self) -> int:
        """The number of relations, m, without inverses."""
        return len(self.relations)

    def split(self, name: Split) -> Tensor:
        """The triples of one split, (·, 3)."""
        one_of("split", name, SPLITS)
        triples: Tensor = getattr(self, name)
        return triples

    def lines(self, name: Split) -> tuple[Tensor, Tensor]:
        """All lines of one split, (·, 3), and their labels, (·,) bool."""
        triples = self._lines.get(name, self.split(name))
        return self.labelled.get(name, (triples, torch.ones(len(triples), dtype=torch.bool)))

    @cached_property
    def digest(self) -> str:
        """Sha256 of all names and triples in order: equal graphs have equal digests."""
        names = json.dumps([self.entities.names, self.relations.names, sorted(self.labelled)])
        digest = hashlib.sha256(names.encode())
        for split in SPLITS:
            triples, labels = self.lines(split)
            digest.update(len(triples).to_bytes(8, "little"))
            digest.update(np.ascontiguousarray(triples.numpy(), dtype="<i8").data)
            digest.update(np.ascontiguousarray(labels.numpy()).data)
        return digest.hexdigest()

    @cached_property
    def seen(self) -> Tensor:
        """(n,) bool, whether an entity occurs in train."""
        seen = torch.zeros(self.num_entities, dtype=torch.bool)
        seen[self.train[:, [0, 2]].flatten()] = True
        return seen

    def heterograph(self, split: Split = "train") -> dgl.DGLGraph:
        """The triples of a split as a DGL graph with one edge type for each relation.

        DGL sorts edge types by name, so they are named by zero-padded relation ids. The edge data
        ``triple`` is the row of an edge in the split.
        """
        width = max(6, len(str(self.num_relations)))
        names = [f"{r:0{width}}" for r in range(self.num_relations)]
        return self._by_relation(self.split(split), names)

    def _by_relation(self, triples: Tensor, names: Sequence[str]) -> dgl.DGLGraph:
        # DGL takes seconds to import; reading, sampling and ranking do without.
        from dans.data._dgl import dgl

        order = torch.argsort(triples[:, 1], stable=True)
        counts = torch.bincount(triples[:, 1], minlength=self.num_relations).tolist()
        etypes = [("entity", name, "entity") for name in names]
        edges = {
            etype: (rows[:, 0], rows[:, 2])
            for etype, rows in zip(etypes, triples[order].split(counts), strict=True)
        }
        graph = dgl.heterograph(edges, {"entity": self.num_entities}, idtype=torch.int64)
        for etype, rows in zip(etypes, order.split(counts), strict=True):
            graph.edges[etype].data["triple"] = rows
        return graph

    def to_dgl(self, split: Split | None = None) -> dgl.DGLGraph:
        """The triples of a split, or of all, as a DGL heterograph whose edge types are relations.

        Nodes have the ids of entities. Edges have the data ``split``: 0, 1 and 2 for train, valid
        and test. `dans.load(graph, entities=kg.entities.names)` reads it again, with its splits.

        Example:
            >>> graph = KnowledgeGraph.of([("ada", "knows", "bob")], test=[("bob", "is", "it")])
            >>> graph.to_dgl().canonical_etypes
            [('entity', 'is', 'entity'), ('entity', 'knows', 'entity')]
        """
        triples, splits = self._with_splits(split)
        graph = self._by_relation(triples, self.relations.names)
        for etype in graph.canonical_etypes:
            graph.edges[etype].data["split"] = splits[graph.edges[etype].data.pop("triple")]
        return graph

    def to_networkx(self, split: Split | None = None) -> networkx.MultiDiGraph[str]:
        """The triples of a split, or of all, as a networkx graph of names.

        The key of an edge is the relation, its attribute ``split`` the split; a triple of several
        splits is one edge, of the first of them. All entities are nodes. `dans.load` reads such a
        graph again, with its splits.

        Example:
            >>> graph = KnowledgeGraph.of([("ada", "knows", "bob")]).to_networkx()
            >>> list(graph.edges(keys=True))
            [('ada', 'bob', 'knows')]
        """
        import networkx

        graph: networkx.MultiDiGraph[str] = networkx.MultiDiGraph(name=self.name)
        graph.add_nodes_from(self.entities.names)
        triples, splits = self._with_splits(split)
        # Backwards, so that the first split of a triple is the last to name it.
        for (h, r, t), i in zip(triples.flip(0).tolist(), splits.flip(0).tolist(), strict=True):
            ends = self.entities[h], self.entities[t]
            graph.add_edge(*ends, key=self.relations[r], split=SPLITS[i])
        return graph

    def to_pandas(self, split: Split | None = None) -> pandas.DataFrame:
        """The triples of a split, or of all, as a table of head, relation, tail and split.

        `dans.load` reads such a table again, with its splits.

        Example:
            >>> print(KnowledgeGraph.of([("ada", "knows", "bob")]).to_pandas())
              head relation tail  split
            0  ada    knows  bob  train
        """
        try:
            import pandas
        except ImportError:
            raise InputError("to_pandas: needs pandas: pip install pandas") from None
        triples, splits = self._with_splits(split)
        heads, relations, tails = triples.t().tolist()
        columns = {
            "head": [self.entities[i] for i in heads],
            "relation": [self.relations[i] for i in relations],
            "tail": [self.entities[i] for i in tails],
            "split": [SPLITS[i] for i in splits.tolist()],
        }
        return pandas.DataFrame(columns)

    def _with_splits(self, split: Split | None) -> tuple[Tensor, Tensor]:
        """The triples of a split, or of all, and the number of the split of each."""
        chosen = SPLITS if split is None else (split,)
        parts = [self.split(name) for name in chosen]
        numbers = torch.tensor([SPLITS.index(name) for name in chosen])
        return torch.cat(parts), numbers.repeat_interleave(torch.tensor([len(p) for p in parts]))

    def messages(self, norm: Norm = "relation", *, used: bool = True) -> MessageGraph:
        """The training triples as messages in both directions, with one of the three norms.

        Without any message for an encoder that has no use for them.
        """
        sizes = self.num_entities, self.num_relations
        if not used:
            return MessageGraph.of(self.train[:0], *sizes, norm)
        if norm not in self._messages:
            self._messages[norm] = MessageGraph.of(self.train, *sizes, norm)
        return self._messages[norm]

    @cached_property
    def walks(self) -> Walks:
        """Random walks over the training triples."""
        return Walks(self.train, self.num_entities)

    def known(self, splits: Sequence[Split] = SPLITS, *, keep: bool = True) -> KnownTriples:
        """The filter set of some splits; kept with the graph, unless it is used once."""
        key = tuple(split for split in SPLITS if split in splits)
        if key in self._known:
            return self._known[key]
        parts = [self.split(split) for split in splits]
        triples = torch.cat(parts) if len(parts) > 1 else parts[0]
        known = KnownTriples(triples, self.num_entities, self.num_relations)
        if keep:
            self._known[key] = known
        return known

    def audit(self) -> Audit:
        """Counts of repeats, overlap of splits, unseen names, self-loops and reversed triples."""
        lines = {split: self.lines(split) for split in SPLITS}
        warnings = self.warnings()
        return Audit.of(self.name, self.num_entities, self.num_relations, lines, warnings)

    def warnings(self, files: Mapping[Split, Origin] | None = None) -> list[str]:
        """What looks like a mistake in names, columns and splits; `files` says where these are."""
        lines = {split: self.lines(split)[0] for split in SPLITS}
        found = name_warnings(self.entities.names, self.relations.names, lines, files)
        return found + self.overlaps()

    def overlaps(self) -> list[str]:
        """A sentence for each of valid and test that has triples of train."""
        found = []
        for split in SPLITS[1:]:
            if again := self._in_train(split):
                found.append(
                    f"in train too: {again:,} of {len(self.split(split)):,} {split} triples; "
                    "that they are ranked well says nothing about new triples"
                )
        return found

    def _in_train(self, split: Split) -> int:
        """How many triples of a split are in train, which is not sorted: it is the large one."""
        sizes = self.num_entities, self.num_relations
        if sizes[0] ** 2 * sizes[1] >= 2**63:
            return 0
        again = self.train[self.known((split,), keep=False).is_known(self.train)]
        return int(KnownTriples(again, *sizes).is_known(self.split(split)).sum())


def _checked(split: Split, triples: Iterable[tuple[str, str, str]]) -> Iterable[Line]:
    if isinstance(triples, str) or not isinstance(triples, Iterable):
        raise InputError(f"{split}: expected triples of names, got {shown(triples)}")
    for i, triple in enumerate(triples):
        names = () if isinstance(triple, str) or not isinstance(triple, Iterable) else tuple(triple)
        if len(names) != 3 or not all(isinstance(name, str) and name.strip() for name in names):
            # A data frame gives the names of its columns, an array its rows.
            listed = isinstance(triple, (tuple, list))
            hint = "" if listed else "; dans.load takes data frames and arrays"
            got = f"got {shown(triple)}{hint}"
            raise InputError(f"{split}[{i}]: expected three names, head, relation, tail, {got}")
        yield *names, True
