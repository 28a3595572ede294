"""A model of a small graph."""

from typing import Any

import torch

from dans.data.graph import KnowledgeGraph
from dans.models import ENCODERS
from dans.models.decoders import DECODERS
from dans.models.model import Model
from dans.registry import build

DIM = 4


def model_of(
    kg: KnowledgeGraph, decoder: str = "complex", encoder: str = "lookup", **given: Any
) -> Model:
    """A model in float64, always from the same seed, with ``given`` options of its decoder."""
    torch.manual_seed(0)
    sizes = {"num_entities": kg.num_entities, "num_relations": kg.num_relations, "dim": DIM}
    built = build(ENCODERS, encoder, **sizes)
    return Model(built, build(DECODERS, decoder, given=given, **sizes)).double()
