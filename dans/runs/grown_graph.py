"""A graph that grew: which rows of a model's weights are taken over, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dans.data.entity_features import EntityFeatures
from dans.data.graph import KnowledgeGraph, Split, Vocabulary
from dans.data.known_triples import KnownTriples
from dans.errors import InputError, shown
from dans.models.decoders import Decoder
from dans.models.embedding_tables import EntityTable
from dans.models.features import FeaturedTable
from dans.models.rgcn import RGCNLayer
from dans.training.checkpoint import peek
from dans.training.run_folder import RunFolder


@dataclass(frozen=True, eq=False)
class Growth:
    """What a graph has of an earlier one, by name, and what is new in it.

    Args:
        before: the graph that a run was trained on.
        kg: the graph that training continues on.
        entities: (n,) the id that each entity of ``kg`` had in ``before``; −1: a new one.
        relations: (m,) likewise.

    Example:
        >>> before = KnowledgeGraph.of([("ada", "knows", "bob")])
        >>> Growth.of(before, KnowledgeGraph.of([("cy", "likes", "ada"), ("ada", "knows", "bob")]))
        entities: 2 taken over, 1 new; relations: 1 taken over, 1 new
    """

    before: KnowledgeGraph
    kg: KnowledgeGraph
    entities: Tensor
    relations: Tensor

    @classmethod
    def of(cls, before: KnowledgeGraph, kg: KnowledgeGraph) -> Growth:
        """The growth from one graph to another.

        Raises:
            InputError: a name is no longer there; the first of them, and how many there are.
        """
        pairs = {
            "entities": (before.entities, kg.entities),
            "relations": (before.relations, kg.relations),
        }
        for what, (old, new) in pairs.items():
            if lost := [name for name in old.names if name not in new]:
                number = f"{len(lost)} of the {len(old)} {what} of the run to start from"
                remedy = "name triples that have all of them, or train without init_from"
                raise InputError(f"{kg.name} lacks {number}, first {shown(lost[0])}; {remedy}")
        return cls(before, kg, *(_ids_before(old, new) for old, new in pairs.values()))

    @property
    def has_new(self) -> bool:
        """Whether there are entities or relations that the run did not have."""
        return bool((self.entities < 0).any() or (self.relations < 0).any())

    def weights(self, state: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:
        """The weights of a run in the rows of a model of the graph that grew.

        Rows of new entities and relations are the model's own, and so is a row for entities
        without features that the run had no use for. Weights of other shapes are left as they are.

        Args:
            state: the run's, with the rows of ``before``.
            model: of ``kg``; of several processes it has rows of entities of its own.
        """
        own, found = model.state_dict(), dict(state)
        for name, part in model.named_modules():
            if isinstance(part, FeaturedTable):
                found.pop(f"{name}.missing", None)
                if part.missing is not None:
                    missing = f"{name}.missing"
                    found[missing] = state.get(missing, own[missing])
            key = rows_of(part)
            if not key:
                continue
            key, given = f"{name}.{key}", state.get(f"{name}.{key}")
            if isinstance(part, EntityTable):
                kept, rows, size = part.own, self.entities, self.before.num_entities
                rows = rows[kept.start : kept.stop : kept.step]
            else:
                directions = len(own[key]) // len(self.relations)
                size = self.before.num_relations
                rows = torch.cat(
                    [
                        (self.relations + i * size).where(self.relations >= 0, self.relations)
                        for i in range(directions)
                    ]
                )
                size *= directions
            if isinstance(given, Tensor) and given.shape == (size, *own[key].shape[1:]):
                old = (rows >= 0).to(own[key].device)
                found[key] = own[key].to(given.dtype, copy=True)
                found[key][old] = given[rows[rows >= 0]]
        return found

    def trained_on(self, split: Split) -> int:
        """The triples of a split that the run was trained on, and that train does not have."""
        to = torch.empty(2, max(self.before.num_entities, self.before.num_relations)).long()
        for i, ids in enumerate((self.entities, self.relations)):
            to[i, ids[ids >= 0]] = (ids >= 0).nonzero().squeeze(1)
        heads, relations, tails = self.before.train.unbind(1)
        there = torch.stack((to[0, heads], to[1, relations], to[0, tails]), dim=1)
        known = KnownTriples(there, self.kg.num_entities, self.kg.num_relations)
        triples = self.kg.split(split)
        return int((known.is_known(triples) & ~self.kg.known(("train",)).is_known(triples)).sum())

    def __repr__(self) -> str:
        counts = {"entities": self.entities, "relations": self.relations}
        return "; ".join(
            f"{what}: {int((ids >= 0).sum())} taken over, {int((ids < 0).sum())} new"
            for what, ids in counts.items()
        )


def rows_of(part: nn.Module) -> str:
    """The weight of a module that has rows of entities or of relations; "" for other modules.

    Rows of relations come once, or for both directions: the inverse of r is r + m.
    """
    if isinstance(part, EntityTable):
        return "weight"
    if isinstance(part, Decoder):
        return "relation.weight"
    if isinstance(part, RGCNLayer):
        return "matrices" if part.coefficients is None else "coefficients"
    return ""


def is_of(run: RunFolder, kg: KnowledgeGraph) -> bool:
    """Whether a run was trained on these triples."""
    return bool(peek(run.checkpoints.file("best"))["digest"] == kg.digest)


def graph_before(run: RunFolder, digest: str) -> KnowledgeGraph:
    """The graph that a run was trained on, from its own copy or from where it was read.

    Raises:
        InputError: what was read then is not there any more.
    """
    data = run.triples(run.config().data)
    kg = KnowledgeGraph.load(data)
    if kg.digest != digest:
        why = "so nothing says which entity a row is of"
        remedy = "put the new triples elsewhere and these back as they were"
        raise InputError(f"{data}: changed since the run was trained on it, {why}; {remedy}")
    return kg


def features_as_in(run: RunFolder, kg: KnowledgeGraph, tables: Mapping[str, Any]) -> KnowledgeGraph:
    """A graph that grew with features in the columns of a run, by its means and categories.

    Args:
        run: whose copy of its features says what the columns are.
        kg: the graph; features that it has already must be in these columns.
        tables: as of `KnowledgeGraph.with_features`, where the graph has none.

    Raises:
        InputError: there are no features of the graph that grew, or they have other columns.
    """
    kept = EntityFeatures.load(run.features)
    if tables:
        return kg.with_features(kept.of_others(tables, kg.entities.names))
    if kg.features is None:
        what = "the run was trained with features and the graph that grew has none"
        raise InputError(f"features: {what}; give dans.train features=, or name files")
    if kg.features.blocks != kept.blocks:
        what = "scaled or laid out in other columns than those of the run"
        raise InputError(f"features: {what}; give them to dans.train as features= instead")
    return kg


def _ids_before(old: Vocabulary, new: Vocabulary) -> Tensor:
    return torch.tensor([old.index(name) if name in old else -1 for name in new.names]).long()
