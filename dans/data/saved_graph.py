"""A knowledge graph in a folder of its own: names as JSON, triples as safetensors, no pickle."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import torch
from safetensors import torch as safetensors
from torch import Tensor

from dans.config.reading import opened
from dans.config.writing import sweep, whole
from dans.data.entity_features import EntityFeatures
from dans.data.graph import KnowledgeGraph, Vocabulary
from dans.data.readers import SPLITS, Split
from dans.data.tensor_file import reading, write_tensors, writing
from dans.errors import InputError

NAMES, TRIPLES, FEATURES = "graph.json", "triples.safetensors", "features.safetensors"

#: What the given negatives of a split are called in the file, those of heads first.
GIVEN = "head_negatives", "tail_negatives"

#: Version of the layout.
VERSION = 1


class Names(msgspec.Struct, forbid_unknown_fields=True):
    """The content of ``graph.json``."""

    version: int
    name: str
    #: of the graph: the two files belong together
    digest: str
    labelled: list[Split]
    entities: list[str]
    relations: list[str]


def is_saved(folder: Path) -> bool:
    """Is there a graph that `write` wrote?"""
    return (folder / NAMES).exists() and (folder / TRIPLES).exists()


def write(kg: KnowledgeGraph, folder: Path) -> None:
    """Write all lines of a graph, their labels and all names; each file whole or not at all."""
    tensors: dict[str, Tensor] = {}
    for split in SPLITS:
        tensors[split], labels = kg.lines(split)
        if split in kg.labelled:
            tensors[f"{split}.labels"] = labels
        if split in kg.given_negatives:
            for side, ids in zip(GIVEN, kg.given_negatives[split], strict=True):
                tensors[f"{split}.{side}"] = ids
    names = Names(
        VERSION,
        kg.name,
        kg.digest,
        [split for split in SPLITS if split in kg.labelled],
        list(kg.entities.names),
        list(kg.relations.names),
    )
    text = json.dumps(msgspec.structs.asdict(names), indent=1) + "\n"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        if any(folder.iterdir()):
            raise InputError(f"{folder}: is not empty; name a new folder")
        if kg.features is not None:
            kg.features.save(folder / FEATURES)
        with whole(folder / TRIPLES) as file:
            write_tensors(file, tensors, {})
        with whole(folder / NAMES) as file:
            file.write(text.encode())


def read(folder: Path) -> KnowledgeGraph:
    """Read what `write` wrote; a graph that is not the one written is refused by its digest."""
    path, expected = folder / NAMES, "a graph as dans saves it"
    with reading(path, expected):
        with opened(path) as file:
            content = json.loads(file.read())
        if isinstance(content, dict) and content.get("version", 0) != VERSION:
            raise InputError(f"{path}: version: expected {VERSION}, got {content.get('version')!r}")
        names = msgspec.convert(content, Names)
    path = folder / TRIPLES
    with reading(path, expected):
        with opened(path) as file:
            tensors = safetensors.load(file.read())
        lines = {split: tensors[split] for split in SPLITS}
        holds = {
            split: tensors.get(f"{split}.labels", torch.ones(len(triples), dtype=torch.bool))
            for split, triples in lines.items()
        }
        train, valid, test = (lines[split][holds[split]] for split in SPLITS)
        kg = KnowledgeGraph(
            names.name,
            Vocabulary(tuple(names.entities)),
            Vocabulary(tuple(names.relations)),
            train,
            valid,
            test,
            labelled={split: (lines[split], holds[split]) for split in names.labelled},
            given_negatives={
                split: (tensors[f"{split}.{GIVEN[0]}"], tensors[f"{split}.{GIVEN[1]}"])
                for split in SPLITS
                if f"{split}.{GIVEN[0]}" in tensors
            },
        )
    if kg.digest != names.digest:
        raise InputError(f"{folder}: {NAMES} and {TRIPLES} are not of one graph, or are damaged")
    path = folder / FEATURES
    return kg.with_features(EntityFeatures.load(path)) if path.exists() else kg
