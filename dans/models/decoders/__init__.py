"""Decoders by name: a new one is a module here, an import, and a line in ``DECODERS``."""

from dans.models.decoders.base import Decoder
from dans.models.decoders.multilinear import ComplEx, DistMult, Multilinear, SimplE
from dans.models.decoders.rescal import RESCAL
from dans.models.decoders.rotate import RotatE
from dans.models.decoders.transe import TransE
from dans.models.decoders.tucker import TuckER

DECODERS: dict[str, type[Decoder]] = {
    "complex": ComplEx,
    "distmult": DistMult,
    "rescal": RESCAL,
    "rotate": RotatE,
    "simple": SimplE,
    "transe": TransE,
    "tucker": TuckER,
}

__all__ = [
    "DECODERS",
    "RESCAL",
    "ComplEx",
    "Decoder",
    "DistMult",
    "Multilinear",
    "RotatE",
    "SimplE",
    "TransE",
    "TuckER",
]
